//! The demo's folder: never anybody else's.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use milepost::{Error, ErrorKind, Random, Result};

/// Its presence says that a demo made the folder.
const MARKER: &str = ".milepost-demo";
/// What a demo may replace; everything else in the folder is left alone.
const OWN: [&str; 2] = ["broker", "store"];

/// Makes the folder ready: absent or empty, it is marked as a demo's; an earlier demo's own parts are removed.
///
/// # Errors
/// TargetNotEmpty for a folder that holds something else; Target where it cannot be written.
pub(super) fn prepare(dir: &Path, random: &dyn Random) -> Result<()> {
    let failed = |error: io::Error| {
        Error::new(ErrorKind::Target, format!("{}: {error}", dir.display()))
            .with_hint("give a folder that may be written: --dir DIR")
    };
    fs::create_dir_all(dir).map_err(failed)?;
    let marker = dir.join(MARKER);
    // A link of that name is nobody's marker.
    if fs::symlink_metadata(&marker).is_ok_and(|found| found.is_file()) {
        for part in OWN {
            remove(&dir.join(part)).map_err(failed)?;
        }
        return Ok(());
    }
    if fs::read_dir(dir).map_err(failed)?.next().is_some() {
        return Err(Error::new(
            ErrorKind::TargetNotEmpty,
            format!("{} is not empty, and no demo made it", dir.display()),
        )
        .with_hint("give a folder that is absent or empty: --dir DIR"));
    }
    // Create-only: of two demos that begin at once in one folder, one goes on.
    let mut file = OpenOptions::new().write(true).create_new(true).open(marker).map_err(failed)?;
    let id = random.bits().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    writeln!(file, "made by `milepost demo`, run {id}; broker/ and store/ are replaced by the next one").map_err(failed)
}

/// Removes a part, whatever it is; a link is removed, not followed.
fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use milepost::store::env::SeededRandom;

    use super::*;

    #[test]
    fn a_folder_of_somebody_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("store")).unwrap();
        let error = prepare(folder.path(), &SeededRandom::new(1)).unwrap_err();
        assert_eq!(error.kind().exit_code(), 5);
        assert!(error.hint().is_some_and(|hint| hint.contains("--dir")));
        assert!(folder.path().join("store").exists());
    }

    #[test]
    fn an_earlier_demo_is_replaced_in_its_own_parts_only() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("demo");
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "x").unwrap();
        prepare(&dir, &SeededRandom::new(1)).unwrap();
        fs::create_dir_all(dir.join("broker/node-1")).unwrap();
        std::os::unix::fs::symlink(&outside, dir.join("store")).unwrap();
        fs::write(dir.join("notes.txt"), "mine").unwrap();
        prepare(&dir, &SeededRandom::new(2)).unwrap();
        assert!(!dir.join("broker").exists() && fs::symlink_metadata(dir.join("store")).is_err());
        assert!(dir.join("notes.txt").exists() && outside.join("file").exists());
    }
}
