//! What lies below the base and what the statuses say, held against each other.

use std::collections::BTreeSet;

use milepost_core::{BackupId, StatusCode};

use super::finding::{Check, Finding, MAX_NAMED, Outcome, Repair, Severity, count};
use super::{Look, Seen};
use crate::api::{Below, Examination, UploadOf};
use crate::error::{ErrorKind, Result};

impl Look<'_> {
    pub(super) async fn objects(&mut self, found: &Examination) -> Result<()> {
        let Some(survey) = &found.survey else {
            self.diagnosis.check(Check::Objects, Outcome::Skipped, "asked for a quick look");
            return Ok(());
        };
        let objects: u64 = survey.backups.values().map(|below| below.contents.objects).sum();
        self.diagnosis.check(
            Check::Objects,
            Outcome::Done,
            format!("{} of {}", count(objects, "content"), count(survey.backups.len() as u64, "backup")),
        );
        let nothing = Below::default();
        let ids: BTreeSet<BackupId> = self.seen.keys().chain(survey.backups.keys()).copied().collect();
        let mut looked_again = 0;
        for id in ids {
            let wrong = self.judge(id, survey.backups.get(&id).unwrap_or(&nothing));
            if wrong.is_empty() {
                continue;
            }
            // A save or a delete that went on between the two looks is no finding. Past the cap nobody is asked.
            looked_again += 1;
            if looked_again <= MAX_NAMED && !self.still_as_seen(id).await? {
                continue;
            }
            wrong.into_iter().for_each(|finding| self.diagnosis.find(finding));
        }
        if survey.strays.objects > 0 {
            let first = survey.strays.first.clone().unwrap_or_default();
            let what = format!("nobody's: {}; the first is {first}", count(survey.strays.objects, "object"));
            let found = Finding::new(Check::Objects, Severity::Note, what).at(first);
            self.diagnosis.find(found.heap(survey.strays.objects, Some(survey.strays.bytes)));
        }
        Ok(())
    }

    fn judge(&self, id: BackupId, below: &Below) -> Vec<Finding> {
        let contents = &below.contents;
        let lies = contents.objects + below.strangers.objects + u64::from(below.metadata);
        let bytes = contents.bytes.saturating_add(below.strangers.bytes);
        let first = contents.first.clone().or_else(|| below.strangers.first.clone());
        let orphans = |whose: &str| {
            let what = format!("below {id}, {whose}: {}", count(lies, "object"));
            let found = Finding::new(Check::Objects, Severity::Warning, what).of(id).heap(lies, Some(bytes));
            let found = Finding { key: first.clone(), ..found };
            vec![found.by(format!("milepost delete {id}"))]
        };
        let known = match self.seen.get(&id) {
            None if lies > 0 => return orphans("which does not exist, lies what a late writer left"),
            None | Some(Seen::Corrupt) => return Vec::new(),
            Some(Seen::Status(known)) => known,
        };
        match known.code {
            StatusCode::Deleted if lies > 0 => orphans("which was deleted, lies what a late writer left"),
            StatusCode::Completed => {
                let mut wrong = Vec::new();
                let verify = |what: String, severity, level| {
                    let found = Finding::new(Check::Objects, severity, what).of(id);
                    found.by(format!("milepost verify {id} --level {level}"))
                };
                if !below.metadata {
                    let what = format!("{id} is COMPLETED, but its metadata.json is gone");
                    wrong.push(verify(what, Severity::Error, "documents"));
                }
                if let Some(done) = known.done {
                    let (has, should) = (contents.objects, done.files);
                    if has < should {
                        let what = format!(
                            "{id} is COMPLETED with {}, of which {} there",
                            count(should, "file"),
                            if has == 1 { "1 is".to_owned() } else { format!("{has} are") }
                        );
                        wrong.push(verify(what, Severity::Error, "objects").heap(should - has, None));
                    } else if has == should && contents.bytes != done.bytes {
                        let what =
                            format!("{id} is COMPLETED with {} bytes, but {} are there", done.bytes, contents.bytes);
                        wrong.push(verify(what, Severity::Error, "objects"));
                    }
                    let surplus = has.saturating_sub(should) + below.strangers.objects;
                    if surplus > 0 {
                        let what =
                            format!("below {id} lies what belongs to none of its files: {}", count(surplus, "object"));
                        wrong.push(verify(what, Severity::Note, "objects").heap(surplus, None));
                    }
                }
                wrong
            }
            _ => Vec::new(),
        }
    }

    /// Does the status say what it said before everything was listed?
    async fn still_as_seen(&self, id: BackupId) -> Result<bool> {
        let now = match self.store.status(id, self.cx).await {
            Ok(status) => status.document,
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt { .. } | ErrorKind::Refused) => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(match (self.seen.get(&id), now) {
            (None, None) => true,
            (Some(Seen::Status(known)), Some(now)) => {
                (&known.attempt, known.code) == (&now.attempt_id, now.status_code)
            }
            _ => false,
        })
    }

    pub(super) fn uploads(&mut self, found: &Examination) {
        let uploads = match &found.uploads {
            Ok(uploads) => uploads,
            Err(error) => return self.diagnosis.check(Check::Uploads, Outcome::Failed, error.message()),
        };
        let unlisted = "; this store finds others by their exact key alone, and ends them by its own expiry";
        let note = format!("{} open{}", uploads.len(), if found.lists_all_uploads { "" } else { unlisted });
        self.diagnosis.check(Check::Uploads, Outcome::Done, note);
        for upload in uploads {
            let old = upload.age.is_some_and(|age| age >= self.options.stale_after);
            let about = |severity, what: String| {
                let found = Finding::new(Check::Uploads, severity, what).at(&upload.key).aged(upload.age);
                Finding { bytes: upload.bytes, ..found }
            };
            let repair = || Repair::Upload(upload.clone());
            let finding = match upload.of {
                UploadOf::Stranger => {
                    about(Severity::Note, format!("an open upload of {} is not Milepost's", upload.key))
                }
                UploadOf::Probe if old => {
                    about(Severity::Note, format!("a probe left an open upload of {}", upload.key)).mended_by(repair())
                }
                UploadOf::Probe => continue,
                UploadOf::Backup(id) => match self.seen.get(&id) {
                    Some(Seen::Corrupt) => about(
                        Severity::Note,
                        format!("an upload of {} is open, and the status of {id} cannot be read", upload.key),
                    )
                    .of(id),
                    Some(Seen::Status(known)) if known.code == StatusCode::InProgress => continue,
                    _ if old => {
                        about(Severity::Warning, format!("an upload of {} is open, and no save owns {id}", upload.key))
                            .of(id)
                            .mended_by(repair())
                    }
                    // A save that has just ended may be aborting it.
                    _ => about(
                        Severity::Note,
                        format!("an upload of {} is open, though no save owns {id}; it is young", upload.key),
                    )
                    .of(id),
                },
            };
            self.diagnosis.find(finding);
        }
    }

    pub(super) fn leftovers(&mut self, found: &Examination) {
        let Some(survey) = &found.survey else {
            self.diagnosis.check(Check::Leftovers, Outcome::Skipped, "asked for a quick look");
            return;
        };
        let old = |age: Option<std::time::Duration>| age.is_some_and(|age| age >= self.options.stale_after);
        let keys: Vec<String> =
            survey.leftovers.iter().filter(|left| old(left.age)).map(|left| left.key.clone()).collect();
        let bytes = survey.leftovers.iter().filter(|left| old(left.age)).map(|left| left.size).sum();
        let youngest = survey.leftovers.iter().filter(|left| old(left.age)).filter_map(|left| left.age).min();
        self.diagnosis.check(
            Check::Leftovers,
            Outcome::Done,
            format!("{} of probes", count(survey.leftovers.len() as u64, "object")),
        );
        if let Some(first) = keys.first().cloned() {
            let number = keys.len() as u64;
            let what = format!("probes left {} below _milepost/probe/", count(number, "object"));
            let found = Finding::new(Check::Leftovers, Severity::Note, what).at(first).heap(number, Some(bytes));
            self.diagnosis.find(found.aged(youngest).mended_by(Repair::Leftovers(keys)));
        }
    }
}
