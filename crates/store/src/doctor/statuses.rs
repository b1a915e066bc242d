//! What the statuses tell: unreadable ones, saves without a sign of life, deletes that were interrupted, tombstones.

use milepost_core::retention::{Action, RetentionPlan};
use milepost_core::{BackupId, StatusCode};

use super::finding::{Check, Finding, Outcome, Repair, Severity, count};
use super::{Look, Seen};

impl Look<'_> {
    pub(super) fn corrupt_status(&mut self, id: BackupId, reason: &str, newer: bool) {
        let finding = if newer {
            // It is whole: a newer version wrote it.
            Finding::new(Check::Statuses, Severity::Warning, format!("{id} is of a newer format: {reason}"))
                .by("use the milepost that wrote it, or a newer one")
        } else {
            Finding::new(Check::Statuses, Severity::Error, format!("the status of {id} cannot be read: {reason}"))
                .by(format!("milepost delete {id} --corrupt"))
        };
        self.diagnosis.find(finding.of(id));
    }

    /// `plan` is what a prune would do that keeps every complete checkpoint: it names what is stale, unfinished, of no use.
    pub(super) fn statuses(&mut self, plan: RetentionPlan) {
        self.diagnosis.check(Check::Statuses, Outcome::Done, format!("of {}", count(self.seen.len() as u64, "backup")));
        let mut of_no_use: Option<(BackupId, u64, u64)> = None;
        let mut tombstones: Option<(BackupId, u64)> = None;
        for step in plan.changes() {
            let id = step.id;
            match step.action {
                Action::Fence => {
                    let what = format!("the save of {id} is stale: {}", step.reason);
                    let command = format!("milepost mark-failed {id} --reason 'no sign of life'");
                    let found = Finding::new(Check::Statuses, Severity::Warning, what).of(id).by(command);
                    let age = self.age(id);
                    self.diagnosis.find(found.aged(age));
                }
                Action::Finish => {
                    let what = format!("the delete of {id} was interrupted");
                    let found = Finding::new(Check::Statuses, Severity::Warning, what).of(id);
                    let age = self.age(id);
                    self.diagnosis.find(found.aged(age).by(format!("milepost delete {id}")));
                }
                Action::Delete => {
                    let (_, backups, bytes) = of_no_use.get_or_insert((id, 0, 0));
                    *backups += 1;
                    *bytes = bytes.saturating_add(step.bytes);
                }
                Action::Forget => tombstones.get_or_insert((id, 0)).1 += 1,
                Action::Keep => {}
            }
        }
        let unproven: Vec<BackupId> = self
            .seen
            .iter()
            .filter(|(_, seen)| matches!(seen, Seen::Status(known) if known.code == StatusCode::Completed && known.unproven))
            .map(|(id, _)| *id)
            .collect();
        for id in unproven {
            let what = format!("{id} failed its last verification");
            let found = Finding::new(Check::Statuses, Severity::Error, what).of(id);
            self.diagnosis.find(found.by(format!("milepost verify {id} --level content")));
        }
        if let Some((first, backups, bytes)) = of_no_use {
            let what = format!(
                "failed, or of incomplete checkpoints, and of no use: {}; the first is {first}",
                count(backups, "backup")
            );
            let found = Finding::new(Check::Statuses, Severity::Note, what).of(first).heap(backups, Some(bytes));
            self.diagnosis.find(found.by("milepost prune --dry-run"));
        }
        if let Some((first, number)) = tombstones {
            let what = format!("past their grace: {}; the first is {first}", count(number, "tombstone"));
            let found = Finding::new(Check::Statuses, Severity::Note, what).of(first).heap(number, None);
            self.diagnosis.find(found.mended_by(Repair::Forget(Box::new(forgets(plan)))));
        }
    }

    fn age(&self, id: BackupId) -> Option<std::time::Duration> {
        match self.seen.get(&id)? {
            Seen::Status(known) => known.age,
            Seen::Corrupt => None,
        }
    }
}

/// The plan without all that is more than forgetting.
fn forgets(mut plan: RetentionPlan) -> RetentionPlan {
    for step in plan.checkpoints.iter_mut().flat_map(|planned| &mut planned.steps) {
        if step.action != Action::Forget {
            step.action = Action::Keep;
        }
    }
    plan.checkpoints.retain(|planned| planned.steps.iter().any(|step| step.action == Action::Forget));
    plan
}
