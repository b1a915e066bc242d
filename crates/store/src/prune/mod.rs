//! Prune: a plan of what goes ([`milepost_core::retention`]), and its execution over any [`BackupStore`].
//!
//! [`plan`] lists the store and changes nothing: it is the dry run. [`execute`] does a plan, in this order:
//!
//! 1. every save without a sign of life is marked as failed;
//! 2. a complete checkpoint that stays is verified: the newest, or the next where that is damaged. What can be restored goes
//!    only if it is older than the proven one;
//! 3. deletes, the oldest checkpoint first. Before each the proven checkpoint is looked at again;
//! 4. tombstones are forgotten.
//!
//! Each change is meant for the document that the plan saw, by attempt and revision: what changed meanwhile is left alone
//! and named. A prune that was interrupted, or that races with another, is continued by the next.

mod execute;
mod proof;

use std::time::Duration;

use futures::StreamExt as _;
use milepost_core::retention::{Action, Candidate, RetentionPlan, RetentionPolicy, Step};
use milepost_core::{BackupId, CheckpointId, VerifyLevel};

use crate::api::{BackupStore, ListEntry, ListQuery};
use crate::context::OpContext;
use crate::error::{Error, Operation, Result};

pub use execute::execute;

/// Lists every backup, tombstones too, and plans by `policy`. Nothing is changed.
///
/// Costs what a listing of everything costs: a request for each folder of a partition and a checkpoint, and one for each
/// status. Keeps a few hundred bytes for each backup in memory.
///
/// # Errors
/// InvalidInput for a policy that contradicts itself, before the store is asked; those of the listing.
pub async fn plan(store: &dyn BackupStore, policy: &RetentionPolicy, cx: &OpContext) -> Result<RetentionPlan> {
    let unusable = |error: milepost_core::retention::PolicyError| {
        Error::invalid_input(error.to_string()).during(Operation::Prune).with_hint("nothing was looked at or changed")
    };
    policy.check().map_err(unusable)?;
    let mut listing = store.list(ListQuery { tombstones: true, ..ListQuery::default() }, cx.clone());
    let mut candidates = Vec::new();
    while let Some(entry) = listing.next().await {
        match entry? {
            ListEntry::Backup(status) => {
                candidates.extend(status.document.as_ref().map(|document| Candidate::new(document, status.age)));
            }
            ListEntry::Corrupt { id, reason, .. } => candidates.push(Candidate::corrupt(id, reason)),
        }
    }
    RetentionPlan::new(candidates, policy).map_err(unusable)
}

/// How a plan is done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneOptions {
    /// How deep the survivor is verified. Default: the checksums that the store holds.
    pub verify: VerifyLevel,
    /// Backups of one checkpoint that are deleted at the same time, and copies that are verified at the same time: 1 to 64,
    /// others are taken for the nearest of these. Default: 4.
    pub concurrency: usize,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self { verify: VerifyLevel::Checksums, concurrency: 4 }
    }
}

/// What one step did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effect {
    /// Objects deleted, the status left out.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Multipart uploads aborted.
    pub uploads: u64,
    /// Somebody else did it first: another prune, a delete.
    pub elsewhere: bool,
    /// Why a tombstone that was to be forgotten was kept.
    pub kept: Option<String>,
}

/// One step that was not done.
#[derive(Debug)]
pub struct StepFailure {
    /// The backup.
    pub id: BackupId,
    /// What was to happen to it.
    pub action: Action,
    /// Why it did not.
    pub error: Error,
}

/// What a prune did. A prune does what it can: a backup that changed meanwhile does not stop the others.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct PruneReport {
    /// Saves marked as failed.
    pub fenced: u64,
    /// Backups deleted, deletes of others that were continued among them.
    pub deleted: u64,
    /// Tombstones forgotten.
    pub forgotten: u64,
    /// Objects deleted, statuses left out.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Multipart uploads aborted.
    pub uploads: u64,
    /// The checkpoint that was verified before anything older went; `None` where nothing that can be restored was to go, or
    /// no checkpoint proved good.
    pub proven: Option<CheckpointId>,
    /// Copies that the verification found damaged, with what is wrong.
    pub damaged: Vec<(BackupId, String)>,
    /// Steps that failed, each with its error.
    pub failed: Vec<StepFailure>,
    /// Steps that were not tried: behind the error that ended the prune, or for lack of a proven survivor.
    pub untried: u64,
    /// What ended the prune early: no answer, no permission, cancelled, or a survivor that is no longer there.
    pub stopped: Option<Error>,
    /// How long it took.
    pub duration: Duration,
}

impl PruneReport {
    fn count(&mut self, step: &Step, effect: &Effect) {
        match step.action {
            Action::Keep => {}
            Action::Fence => self.fenced += 1,
            Action::Delete | Action::Finish => self.deleted += 1,
            Action::Forget => self.forgotten += u64::from(effect.kept.is_none()),
        }
        self.objects += effect.objects;
        self.bytes += effect.bytes;
        self.uploads += effect.uploads;
    }
}

/// Is told of each step as it ends.
pub type Watch<'a> = &'a (dyn Fn(&Step, &Result<Effect>) + Sync);
