//! From a folder to the files of a set.
//!
//! Everything that cannot be saved is named at once, before anything is written anywhere: a save that fails on its third
//! file of a thousand, again and again, is no way to learn what a folder holds.

use std::fs::{self, FileType};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use milepost::core::document::MAX_FILES;
use milepost::core::name::check_set;
use milepost::{Error, ErrorKind, FileEntry, FileFailure, FileName, FileSet, FileSetKind, Result};

use crate::units::count;

/// The deepest nesting; a longer name would not be taken anyway.
const MAX_DEPTH: usize = 64;
/// The most refusals that are kept.
const MAX_REFUSED: usize = 1000;

/// All regular files below `folder`, by name. Of no folder, the empty set.
///
/// # Errors
/// InvalidInput for a folder that is absent, is none, or holds more files than a backup takes; Source with everything
/// that is no regular file or has no safe name.
pub(crate) fn collect(kind: FileSetKind, folder: Option<&Path>) -> Result<FileSet> {
    let Some(folder) = folder else { return Ok(FileSet::new()) };
    let unusable =
        |error: std::io::Error| Error::invalid_input(format!("--{kind}: {} cannot be read: {error}", folder.display()));
    // The folder itself may be a link: the user named it. Nothing below it may be one.
    if !fs::metadata(folder).map_err(unusable)?.is_dir() {
        return Err(Error::invalid_input(format!("--{kind}: {} is not a folder", folder.display())));
    }
    let mut walk = Walk { kind, found: Vec::new(), refused: Vec::new() };
    walk.folder(folder, "", 0)?;
    if !walk.refused.is_empty() {
        let number = count(walk.refused.len() as u64, "entry").replace("entrys", "entries");
        let message = format!("--{kind}: {number} of {} cannot be saved", folder.display());
        return Err(Error::new(ErrorKind::Source { files: walk.refused }, message)
            .with_hint("a backup holds regular files only; move the rest away, or give another folder"));
    }
    let mut files = walk.found;
    files.sort_by(|a, b| a.0.cmp(&b.0));
    check_set(files.iter().map(|(name, _)| name))
        .map_err(|error| Error::invalid_input(format!("--{kind}: {error}")))?;
    Ok(files.into_iter().map(|(name, path)| FileEntry::from_path(name, path)).collect())
}

struct Walk {
    kind: FileSetKind,
    found: Vec<(FileName, PathBuf)>,
    refused: Vec<FileFailure>,
}

impl Walk {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            self.refuse(prefix, format!("folders are nested deeper than {MAX_DEPTH}"));
            return Ok(());
        }
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.refuse(prefix, format!("cannot be read: {error}"));
                return Ok(());
            }
        };
        for entry in entries {
            match entry.and_then(|entry| Ok((entry.file_type()?, entry))) {
                Ok((kind, entry)) => self.entry(&entry, kind, prefix, depth)?,
                Err(error) => self.refuse(prefix, format!("cannot be read: {error}")),
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &fs::DirEntry, kind: FileType, prefix: &str, depth: usize) -> Result<()> {
        let raw = entry.file_name();
        let join = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        let Some(own) = raw.to_str() else {
            self.refuse(&join(&raw.to_string_lossy()), "its name is not UTF-8");
            return Ok(());
        };
        let name = join(own);
        if kind.is_dir() {
            return self.folder(&entry.path(), &name, depth + 1);
        }
        if let Some(what) = not_a_file(kind) {
            self.refuse(&name, format!("is {what}, not a regular file"));
            return Ok(());
        }
        match FileName::new(name.as_str()) {
            Ok(safe) => self.found.push((safe, entry.path())),
            Err(error) => self.refuse(&name, error.to_string()),
        }
        if self.found.len() > MAX_FILES {
            return Err(Error::invalid_input(format!("--{}: more than {MAX_FILES} files", self.kind)));
        }
        Ok(())
    }

    fn refuse(&mut self, name: &str, reason: impl Into<String>) {
        if self.refused.len() < MAX_REFUSED {
            let file = format!("{}/{name}", self.kind).trim_end_matches('/').to_owned();
            self.refused.push(FileFailure { file, reason: reason.into() });
        }
    }
}

fn not_a_file(kind: FileType) -> Option<&'static str> {
    if kind.is_symlink() {
        Some("a symbolic link")
    } else if kind.is_fifo() {
        Some("a pipe")
    } else if kind.is_socket() {
        Some("a socket")
    } else if kind.is_block_device() || kind.is_char_device() {
        Some("a device")
    } else {
        (!kind.is_file()).then_some("something else")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        collect(FileSetKind::Segments, Some(folder)).unwrap().iter().map(|file| file.name.to_string()).collect()
    }

    fn refused(folder: &Path) -> Vec<String> {
        let error = collect(FileSetKind::Segments, Some(folder)).unwrap_err();
        match error.kind() {
            ErrorKind::Source { files } => files.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_are_found_at_any_depth_and_sorted() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/deep")).unwrap();
        fs::create_dir_all(folder.path().join("empty")).unwrap();
        for name in ["z.log", "a/deep/1", "a/2", "b c"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        assert_eq!(names(folder.path()), ["a/2", "a/deep/1", "b c", "z.log"]);
        assert!(names(&folder.path().join("empty")).is_empty());
        assert!(collect(FileSetKind::Snapshots, None).unwrap().is_empty());
    }

    #[test]
    fn everything_that_is_no_file_is_named_at_once() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("good"), "x").unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        std::os::unix::fs::symlink("good", folder.path().join("sub/link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"bad\xff")), "x").unwrap();
        fs::write(folder.path().join("back\\slash"), "x").unwrap();
        let all = refused(folder.path()).join("\n");
        for part in
            ["segments/sub/link: is a symbolic link", "segments/socket: is a socket", "not UTF-8", "holds a backslash"]
        {
            assert!(all.contains(part), "{part} in {all}");
        }
    }

    #[test]
    fn a_folder_that_is_none_is_bad_input() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        for path in [file, folder.path().join("absent")] {
            let error = collect(FileSetKind::Snapshots, Some(&path)).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::InvalidInput), "{error:?}");
            assert!(error.to_string().contains("--snapshots"), "{error}");
        }
    }

    #[test]
    fn twins_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("A.log"), "x").unwrap();
        fs::write(folder.path().join("a.log"), "x").unwrap();
        let error = collect(FileSetKind::Segments, Some(folder.path())).unwrap_err();
        assert!(error.to_string().contains("differ only in case"), "{error}");
    }
}
