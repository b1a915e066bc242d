//! Copying backups from one store to another: one, or every committed copy of a checkpoint.
//!
//! Only what is COMPLETED is copied. Of a checkpoint each backup is copied on its own: one that fails does not stop the others,
//! and the same call again continues.

use milepost_core::{BackupId, CheckpointId, ClusterState};

use crate::api::{BackupState, ImportOptions, ImportReport, StoreAdmin};
use crate::checkpoints;
use crate::context::OpContext;
use crate::error::{Error, ErrorKind, Operation, Result};

/// What is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyTarget {
    /// One backup.
    Backup(BackupId),
    /// Every committed copy of a checkpoint.
    Checkpoint(CheckpointId),
}

/// What a copy did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CopyReport {
    /// Backups that are there now, or would be copied.
    pub done: Vec<ImportReport>,
    /// Backups of the checkpoint that are not committed, so that there is nothing to copy; with their state.
    pub skipped: Vec<(BackupId, BackupState)>,
    /// Backups that could not be copied, each with its error.
    pub failed: Vec<(BackupId, Error)>,
    /// Backups that were not tried behind the error that ended the copy.
    pub untried: u64,
    /// What ended the copy early: no answer, no permission, another cluster, cancelled.
    pub stopped: Option<Error>,
    /// The state of the checkpoint at the source; `None` where one backup was asked for.
    pub checkpoint: Option<ClusterState>,
}

/// Is told of each backup as it ends.
pub type Watch<'a> = &'a (dyn Fn(BackupId, &Result<ImportReport>) + Sync);

/// Copies a backup, or every committed copy of a checkpoint, one after the other, from one store to another.
///
/// # Errors
/// Of one backup, those of [`StoreAdmin::export`] and [`StoreAdmin::import`]. Of a checkpoint NotFound where there is none of
/// it, WrongState where none of it is committed, those of the listing; whatever else failed is in the report. Cancelling
/// leaves the backup under way FAILED at the destination; dropping leaves it IN_PROGRESS.
pub async fn copy(
    from: &dyn StoreAdmin,
    to: &dyn StoreAdmin,
    target: CopyTarget,
    options: ImportOptions,
    watch: Watch<'_>,
    cx: &OpContext,
) -> Result<CopyReport> {
    let one = async |id: BackupId| -> Result<ImportReport> {
        let part = cx.part();
        let opened = from.export(id, &part).await?;
        to.import(opened, options, &part).await
    };
    let checkpoint = match target {
        CopyTarget::Backup(id) => {
            let result = one(id).await;
            watch(id, &result);
            return Ok(CopyReport { done: vec![result?], ..CopyReport::default() });
        }
        CopyTarget::Checkpoint(checkpoint) => checkpoint,
    };
    let found = checkpoints::checkpoint(from, checkpoint, cx).await.map_err(|error| error.during(Operation::Copy))?;
    let mut report = CopyReport { checkpoint: Some(found.view.state), ..CopyReport::default() };
    let mut ids = Vec::new();
    for copy in found.copies() {
        let id = copy.copy.id;
        match found.statuses.get(&id).map(crate::BackupStatus::state) {
            Some(BackupState::Completed) => ids.push(id),
            Some(state) => report.skipped.push((id, state)),
            None => report.skipped.push((id, BackupState::Corrupt)),
        }
    }
    if ids.is_empty() {
        return Err(nothing_committed(checkpoint, &report).during(Operation::Copy));
    }
    ids.sort_unstable();
    for (at, id) in ids.iter().enumerate() {
        let result = one(*id).await;
        watch(*id, &result);
        match result {
            Ok(done) => report.done.push(done),
            Err(error) if ends_all(&error) => {
                report.untried = (ids.len() - at) as u64;
                report.stopped = Some(error);
                break;
            }
            Err(error) => report.failed.push((*id, error)),
        }
    }
    Ok(report)
}

/// Would the next backup meet the same?
fn ends_all(error: &Error) -> bool {
    use ErrorKind as K;
    matches!(
        error.kind(),
        K::Unavailable | K::Denied | K::Cancelled | K::Deadline | K::Internal | K::Refused | K::InvalidInput
    )
}

fn nothing_committed(checkpoint: CheckpointId, report: &CopyReport) -> Error {
    match report.skipped.first() {
        None => Error::new(ErrorKind::NotFound, format!("there is no backup of checkpoint {checkpoint}"))
            .with_hint("`milepost cluster` shows the checkpoints that there are"),
        Some((id, found)) => Error::new(
            ErrorKind::WrongState { found: *found, owner: None },
            format!("no copy of checkpoint {checkpoint} is COMPLETED, and no other can be copied: {id} is {found}"),
        )
        .with_hint(format!("`milepost cluster {checkpoint}` shows all copies")),
    }
}
