//! Is there room for what a restore still has to write?

use std::path::Path;

use super::place::{self, Beside, Content, Place};
use super::plan::{Plan, PlannedFile};
use crate::error::{Error, Result};
use crate::fs::Dir;

/// What file systems give to files, at the least.
const BLOCK: u64 = 4096;

/// What a restore still writes, and the room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    /// Bytes of files that are not staged yet, each rounded up to a block.
    pub needed: u64,
    /// Bytes that can be written.
    pub available: u64,
}

/// Compares files with the free space of the file system that `dir` is on. `kept`: for the hint, what a refusal leaves.
///
/// # Errors
/// Refused, with both numbers; Target where the file system does not answer.
pub(super) fn compare<'a>(
    dir: &Dir,
    path: &Path,
    files: impl Iterator<Item = &'a PlannedFile>,
    kept: &str,
) -> Result<Space> {
    let needed =
        files.map(|file| file.size.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX)).fold(0, u64::saturating_add);
    let available = dir.free_space().map_err(|error| place::failed(path, "cannot ask for the free space of", error))?;
    if needed > available {
        return Err(Error::refused(format!(
            "no space: {needed} more bytes are needed in {}, {available} are free",
            path.display()
        ))
        .with_hint(format!("free some space or choose another target; {kept}")));
    }
    Ok(Space { needed, available })
}

/// Refuses a plan that has no room where nothing is staged yet: such a restore leaves nothing behind. What an earlier run
/// staged is for [`super::Staging::check_space`] to count.
pub(super) fn of_a_fresh_one(place: &Place, plan: &Plan) -> Result<()> {
    let dir = match (&place.target, &place.parent) {
        (Some(target), _) if matches!(place.judge(target)?, Content::Empty) => target,
        (None, Some(parent)) if matches!(place.look_beside()?, Beside::Nothing) => &parent.dir,
        _ => return Ok(()),
    };
    compare(dir, &place.path, plan.files().iter(), "nothing was written").map(drop)
}
