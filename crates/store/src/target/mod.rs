//! The file side of a restore: a target folder that is restored whole, or visibly not at all.
//!
//! Two shapes, by what the target is when the restore begins:
//!
//! | target | staging | how it becomes visible |
//! |---|---|---|
//! | absent | `.NAME.milepost-restore` beside it | the marker is written and synced inside, then ONE rename makes the staging the target |
//! | an empty folder (`lost+found` aside), perhaps a mount point | `.milepost-restore` inside it | both file sets are renamed in, then the marker, then the staging goes |
//!
//! In both, `.milepost.json` (the [`Marker`]) is what says "restored": it appears only after every file was verified by the
//! caller, synced, and had its final place. Everything else in a target is unfinished or not ours.
//!
//! What a kill leaves, and what the next run makes of it:
//!
//! - Staging carries a binding (backup and hash of its metadata), written first. Of the same binding, files under their final
//!   name are kept: a file gets that name only after [`FileWriter::finish`] synced its verified bytes. Of another binding,
//!   staging starts afresh. An empty staging folder is one whose binding was not written yet. Staging that is neither is
//!   somebody else's, and is refused, never removed.
//! - In an existing target, the marker is written into the staging before the first set is renamed out of it. Sets in the
//!   target are therefore taken for ours only beside staging that holds it and lacks them; then only a restore of the same
//!   binding goes on. Sets that a broker made are never touched.
//! - While the staging beside an absent target is made ready for its rename, its binding goes only after its marker is there:
//!   at each moment one of the two says whose it is.
//! - A marker beside staging inside the target: the restore is complete, [`settle`] removes the rest.
//!
//! One process at a time: each holds a lock on the folder that is, or becomes, the target. All calls block; [`off_thread`] keeps them from a
//! runtime's own threads.

mod commit;
mod documents;
mod place;
mod plan;
mod space;
mod staging;
mod writer;

use std::path::Path;

pub(crate) use documents::{Binding, Marker};
pub(crate) use plan::Plan;
pub(crate) use staging::Staging;
pub(crate) use writer::{FileWriter, StagedFile};

use crate::error::{Error, ErrorKind, Result};
use crate::fs::Locked;
use place::{Beside, Content, INNER_STAGING, Place, Stage};

/// What a target is before a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TargetState {
    /// All of this backup is there. Something else may have written to it since.
    Restored(Marker),
    /// Nothing is there, and nothing is staged.
    Absent,
    /// An empty folder, and nothing is staged.
    Empty,
    /// A restore of this binding was begun and not finished (`None`: killed before it said of what). The target is not
    /// restored, even where it holds both file sets.
    Unfinished(Option<Binding>),
}

/// Runs calls of this room on a thread that may block. Dropping the future lets them finish unseen.
///
/// # Errors
/// Those of `work`; Internal where it panicked.
pub(crate) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::new(ErrorKind::Internal, error.to_string())),
    }
}

/// Looks at a target and changes nothing.
///
/// # Errors
/// InvalidInput: the path is unusable, a link, or its parent is missing. TargetNotEmpty: something else is there, up to five
/// entries are named. Refused: the marker is of a newer format. Target: the folder cannot be read.
pub(crate) fn inspect(path: &Path) -> Result<TargetState> {
    let place = Place::locate(path)?;
    let Some(dir) = &place.target else {
        return match place.look_beside()? {
            Beside::Nothing => Ok(TargetState::Absent),
            Beside::Ours(stage) => Ok(TargetState::Unfinished(stage.binding())),
        };
    };
    Ok(match place.judge(dir)? {
        Content::Restored(marker) => TargetState::Restored(marker),
        Content::Empty => TargetState::Empty,
        Content::Staged { stage, .. } => TargetState::Unfinished(stage.binding()),
    })
}

/// Finishes what a kill just behind the end of a restore may have left: the names of a restored target are synced, own
/// staging inside or beside it is removed. Does nothing to a target without marker. Call it before a restored target is reported.
///
/// # Errors
/// As [`inspect`]; Target where it cannot be synced.
pub(crate) fn settle(path: &Path) -> Result<()> {
    let place = Place::locate(path)?;
    let Some(dir) = &place.target else { return Ok(()) };
    if !matches!(place.judge(dir)?, Content::Restored(_)) {
        return Ok(());
    }
    let failed = |error| place.failed("cannot sync", error);
    dir.sync().map_err(failed)?;
    if let Some(parent) = &place.parent {
        parent.dir.sync().map_err(failed)?;
    }
    staging::drop_orphan(&place);
    // Busy: whoever holds the lock is about to remove the staging itself.
    if matches!(dir.try_lock(), Ok(Locked::Busy)) {
        return Ok(());
    }
    if let Some(Stage::Empty | Stage::Bound { .. }) = place.stage_at(dir, INNER_STAGING)? {
        commit::remove_staging(dir, INNER_STAGING)
            .map_err(|error| place.failed("cannot remove staging from", error))?;
    }
    Ok(())
}

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;
