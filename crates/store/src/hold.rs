//! Holds over a whole checkpoint, and over one backup: what is held is not deleted, not marked as failed, not pruned.
//!
//! A hold lives in the status of each copy, so that a hold and a delete of the same copy cannot both win. A hold of a
//! checkpoint is the same hold, by its id, in every committed copy that is there now; a copy that is committed later is not
//! held by it.

use futures::StreamExt as _;
use milepost_core::lifecycle::Annotation;
use milepost_core::{BackupId, CheckpointId, Hold, HoldId, Selector};

use crate::api::{BackupState, BackupStatus, BackupStore, Expect, ListEntry, ListQuery};
use crate::context::OpContext;
use crate::error::{Error, ErrorKind, Operation, Result};

/// What is held or released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldTarget {
    /// One backup.
    Backup(BackupId),
    /// Every committed copy of a checkpoint.
    Checkpoint(CheckpointId),
}

/// Which holds are released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// The hold of this id.
    One(HoldId),
    /// All of them.
    All,
}

/// What happened to the copies of a target.
#[derive(Debug, Default)]
pub struct HoldReport {
    /// The copies that were held, or released, and of which hold.
    pub done: Vec<(BackupId, HoldId)>,
    /// Copies that cannot be held, because they are not committed; with their state.
    pub skipped: Vec<(BackupId, BackupState)>,
    /// Copies that changed at the same moment, so that somebody else won; each with what happened.
    pub failed: Vec<(BackupId, Error)>,
}

/// Holds a backup, or every committed copy of a checkpoint. A hold of the same id that is there already is left as it is.
///
/// # Errors
/// NotFound where there is no such backup or checkpoint; WrongState where none of it is committed; InvalidInput for too many
/// or too long holds; those of the store. What failed of some copies of a checkpoint is in the report.
pub async fn hold(store: &dyn BackupStore, target: HoldTarget, hold: &Hold, cx: &OpContext) -> Result<HoldReport> {
    let change = Annotation::Hold(hold.clone());
    let checkpoint = match target {
        HoldTarget::Backup(id) => {
            store.annotate(id, change, Expect::Any, cx).await?;
            return Ok(HoldReport { done: vec![(id, hold.id.clone())], ..HoldReport::default() });
        }
        HoldTarget::Checkpoint(checkpoint) => checkpoint,
    };
    let mut report = HoldReport::default();
    for status in committed(store, checkpoint, &mut report, cx).await? {
        let result = store.annotate(status.id, change.clone(), Expect::Any, cx).await;
        report.settle(status.id, &hold.id, result)?;
    }
    if report.done.is_empty() && report.failed.is_empty() {
        return Err(nothing_committed(checkpoint, &report));
    }
    Ok(report)
}

/// Releases a hold, or all, of a backup or of every copy of a checkpoint that has it.
///
/// # Errors
/// NotFound where there is no such backup, checkpoint or hold; those of the store.
pub async fn release(
    store: &dyn BackupStore,
    target: HoldTarget,
    which: &Release,
    cx: &OpContext,
) -> Result<HoldReport> {
    let mut report = HoldReport::default();
    let statuses = match target {
        HoldTarget::Backup(id) => vec![store.status(id, cx).await?],
        HoldTarget::Checkpoint(checkpoint) => committed(store, checkpoint, &mut report, cx).await?,
    };
    for status in statuses {
        let holds = status.document.map(|document| document.holds).unwrap_or_default();
        for hold in holds.into_iter().filter(|hold| *which == Release::All || *which == Release::One(hold.id.clone())) {
            let change = Annotation::Release(hold.id.clone());
            let result = store.annotate(status.id, change, Expect::Any, cx).await;
            report.settle(status.id, &hold.id, result)?;
        }
    }
    if report.done.is_empty() && report.failed.is_empty() {
        let what = match which {
            Release::One(id) => format!("no hold {id}"),
            Release::All => "no hold".to_owned(),
        };
        let (of, hint) = match target {
            HoldTarget::Backup(id) => (id.to_string(), format!("`milepost status {id}` shows its holds")),
            HoldTarget::Checkpoint(checkpoint) => {
                let hint = format!("`milepost list --checkpoint {checkpoint}` shows what is held");
                (format!("checkpoint {checkpoint}"), hint)
            }
        };
        let error = Error::new(ErrorKind::NotFound, format!("there is {what} of {of}"));
        return Err(error.during(Operation::Release).with_hint(hint));
    }
    Ok(report)
}

impl HoldReport {
    /// A copy that changed at the same moment is told; an error that the others would meet too ends it.
    fn settle(&mut self, id: BackupId, hold: &HoldId, result: Result<BackupStatus>) -> Result<()> {
        match result {
            Ok(_) => self.done.push((id, hold.clone())),
            Err(error) => match error.kind() {
                ErrorKind::NotFound
                | ErrorKind::WrongState { .. }
                | ErrorKind::Conflict { .. }
                | ErrorKind::InvalidInput => {
                    self.failed.push((id, error));
                }
                _ => return Err(error),
            },
        }
        Ok(())
    }
}

/// The committed copies of a checkpoint; the others go to the report.
async fn committed(
    store: &dyn BackupStore,
    checkpoint: CheckpointId,
    report: &mut HoldReport,
    cx: &OpContext,
) -> Result<Vec<BackupStatus>> {
    let selector = Selector { checkpoint: Some(checkpoint), ..Selector::ALL };
    let mut listing = store.list(ListQuery { selector, ..ListQuery::default() }, cx.clone());
    let mut found = Vec::new();
    while let Some(entry) = listing.next().await {
        match entry? {
            ListEntry::Backup(status) if status.state() == BackupState::Completed => found.push(status),
            ListEntry::Backup(status) => report.skipped.push((status.id, status.state())),
            ListEntry::Corrupt { id, .. } => report.skipped.push((id, BackupState::Corrupt)),
        }
    }
    Ok(found)
}

fn nothing_committed(checkpoint: CheckpointId, report: &HoldReport) -> Error {
    let error = match report.skipped.first() {
        None => Error::new(ErrorKind::NotFound, format!("there is no backup of checkpoint {checkpoint}"))
            .with_hint("`milepost list` shows what there is"),
        Some((id, found)) => Error::new(
            ErrorKind::WrongState { found: *found, owner: None },
            format!("no copy of checkpoint {checkpoint} is COMPLETED, and no other can be held: {id} is {found}"),
        )
        .with_hint(format!("`milepost list --checkpoint {checkpoint}` shows all copies")),
    };
    error.during(Operation::Hold)
}
