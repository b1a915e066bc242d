//! The history of one status: which document may follow which.

use milepost_core::{BackupId, StatusCode, StatusDocument};

use super::Invariant;
use super::history::{History, Standing};

impl History {
    /// A status key changed; `was` stood there before.
    pub(super) fn judge_status(&mut self, id: BackupId, was: Standing) {
        match (was, self.standing(id)) {
            (_, Standing::Absent) if !self.removable(id) => {
                self.broken(Invariant::Deleted, format!("{id}: a status was removed that is no sealed tombstone"));
            }
            (_, Standing::Absent) => {
                let number = self.effects();
                let past = self.past.entry(id).or_default();
                past.forgotten = true;
                past.versions.push((number, None));
            }
            (_, Standing::Corrupt) => {
                self.broken(Invariant::Honest, format!("{id}: a status was written that nobody can read"));
            }
            (was, Standing::Document(now)) => {
                if let Err((invariant, seen)) = self.follows(&was, &now) {
                    self.broken(invariant, format!("{id}: {seen}"));
                }
                self.remember(*now);
            }
        }
    }

    /// Was the document that is gone a tombstone, and does the seal cover it? What a claim of a sealed id left counts too: the
    /// removal of the tombstone was on its way when it was claimed, and the claim is given up by reading the seal.
    fn removable(&self, id: BackupId) -> bool {
        let last = self
            .past
            .get(&id)
            .and_then(|past| past.versions.last())
            .and_then(|(_, now)| now.as_ref())
            .map(|now| now.status_code);
        self.sealed(id) && last.is_some_and(|code| code != StatusCode::Completed)
    }

    fn remember(&mut self, now: StatusDocument) {
        if now.status_code == StatusCode::Completed {
            self.judge_whole(&now);
        }
        let number = self.effects();
        let past = self.past.entry(now.id).or_default();
        match now.status_code {
            StatusCode::Completed => drop(past.committed.insert(now.attempt_id.clone())),
            StatusCode::Deleted => past.tombstone = true,
            _ => {}
        }
        past.versions.push((number, Some(now)));
    }

    /// May `now` follow `was`?
    fn follows(&self, was: &Standing, now: &StatusDocument) -> Result<(), (Invariant, String)> {
        use StatusCode as C;
        let past = self.past.get(&now.id);
        if now.status_code == C::Completed && past.is_some_and(|past| past.tombstone) {
            return Err((Invariant::Deleted, "COMPLETED although the id was used up by a delete".to_owned()));
        }
        let was = match was {
            Standing::Document(was) => was,
            Standing::Absent => {
                let new = now.revision == 1 && matches!(now.status_code, C::InProgress | C::Failed | C::Deleting);
                return if new { Ok(()) } else { Err((Invariant::Honest, format!("begins with {}", brief(now)))) };
            }
            Standing::Corrupt => {
                let deleting = now.status_code == C::Deleting;
                let seen = format!("{} follows a corrupt status", brief(now));
                return if deleting { Ok(()) } else { Err((Invariant::Honest, seen)) };
            }
        };
        let seen = || format!("{} follows {}", brief(now), brief(was));
        let fail = |invariant: Invariant, why: &str| Err((invariant, format!("{}: {why}", seen())));
        let same_attempt = was.attempt_id == now.attempt_id;
        let same_hash = was.metadata_sha256 == now.metadata_sha256;
        if now.revision != was.revision + 1 || now.created_at != was.created_at || now.last_modified < was.last_modified
        {
            return fail(Invariant::Fenced, "it was not made from the document that it replaces");
        }
        match (was.status_code, now.status_code) {
            // A sign of life, or a take-over: then nothing of the former attempt's claim is left.
            (C::InProgress, C::InProgress) => Ok(()),
            (C::InProgress, C::Completed) if !same_attempt => {
                fail(Invariant::Fenced, "an attempt committed that does not hold the claim")
            }
            (C::InProgress, C::Completed) if past.is_some_and(|past| !past.committed.is_empty()) => {
                fail(Invariant::Fenced, "another attempt had committed before")
            }
            (C::InProgress, C::Completed) => Ok(()),
            (C::InProgress, C::Failed) if same_attempt && same_hash => Ok(()),
            (C::InProgress, C::Failed) => fail(Invariant::Fenced, "the claim of another attempt was failed"),
            (C::Failed, C::InProgress) if was.metadata_sha256.is_some() => {
                fail(Invariant::Durable, "a backup that was COMPLETED is resumed")
            }
            (C::Failed, C::InProgress) if same_attempt => fail(Invariant::Fenced, "an attempt began twice"),
            (C::Failed, C::InProgress) => Ok(()),
            (C::Completed, C::Completed) if same_attempt && same_hash && was.completed_at == now.completed_at => Ok(()),
            (C::Completed, C::Failed | C::Deleting) if !was.holds.is_empty() => {
                fail(Invariant::Durable, "the backup is held")
            }
            (C::Completed, C::Failed | C::Deleting) if same_attempt && same_hash => Ok(()),
            (C::Completed, _) => fail(Invariant::Durable, "a COMPLETED was replaced"),
            (C::Failed | C::Deleting, C::Deleting | C::Deleted)
                if was.status_code != now.status_code && same_attempt =>
            {
                match (was.status_code, now.status_code) {
                    (C::Failed, C::Deleted) => fail(Invariant::Deleted, "a tombstone without a delete"),
                    _ => Ok(()),
                }
            }
            (C::Deleted, _) => fail(Invariant::Deleted, "a tombstone was replaced"),
            _ => fail(Invariant::Honest, "no legal transition"),
        }
    }
}

pub(super) fn brief(document: &StatusDocument) -> String {
    format!("{} of {} at revision {}", document.status_code, document.attempt_id, document.revision)
}
