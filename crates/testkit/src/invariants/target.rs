//! The folder of a restore: all of a backup, or nothing that could be taken for it.

use std::io;
use std::path::Path;

use bytes::Bytes;

use super::{Broken, Contents, Invariant};
use crate::fixtures::files_below;

/// The file that says of a target: all is here.
const MARKER: &str = ".milepost.json";
/// The folder inside an existing target that is not finished.
const STAGING: &str = ".milepost-restore";

/// What a restore's target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoredAs {
    /// Nothing is there.
    Absent,
    /// A folder without files.
    Untouched,
    /// The marker is there, and so is every byte.
    Complete,
    /// Files without a marker, which the next restore continues or refuses.
    Unfinished,
}

/// Judges the target of a restore of `contents`, at any moment; `told` says that a restore reported success.
///
/// # Errors
/// [`Invariant::Target`] where a target with the marker differs from the contents in any name or byte, where there are
/// files without marker and staging, or where a success was reported and the marker is not there.
///
/// A folder that cannot be read counts as a violation too.
pub fn judge_target(target: &Path, contents: &Contents, told: bool) -> Result<RestoredAs, Broken> {
    let broken = |seen: String| Broken::one(Invariant::Target, format!("{}: {seen}", target.display()));
    let found = look(target, contents).map_err(|error| broken(error.to_string()))?;
    match found {
        Ok(RestoredAs::Complete) => Ok(RestoredAs::Complete),
        Ok(other) if told => Err(broken(format!("called restored, but is {other:?}"))),
        Ok(other) => Ok(other),
        Err(seen) => Err(broken(seen)),
    }
}

fn look(target: &Path, contents: &Contents) -> io::Result<Result<RestoredAs, String>> {
    if !target.try_exists()? {
        return Ok(Ok(RestoredAs::Absent));
    }
    let mut files = Contents::new();
    for (name, path) in files_below(target)? {
        files.insert(name, Bytes::from(std::fs::read(path)?));
    }
    let staging = target.join(STAGING).try_exists()?;
    if files.remove(MARKER).is_some() {
        // Staging beside the marker is what a crash right behind the marker leaves.
        files.retain(|name, _| !name.starts_with(STAGING));
        if files == *contents {
            return Ok(Ok(RestoredAs::Complete));
        }
        let names: Vec<_> = files.keys().collect();
        return Ok(Err(format!("carries the marker, but holds {names:?} with other names or bytes than were saved")));
    }
    Ok(match (files.is_empty(), staging) {
        (_, true) => Ok(RestoredAs::Unfinished),
        (true, false) => Ok(RestoredAs::Untouched),
        (false, false) => Err("holds files, but neither the marker nor staging".to_owned()),
    })
}
