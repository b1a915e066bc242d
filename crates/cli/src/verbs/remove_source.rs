//! `save --remove-source`: the staged files go once they are saved, and only those that are what was saved.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use milepost::{FileFailure, FileSet, FileSetKind, SaveReport};
use serde_json::{Value, json};

/// A file as it was before the save.
#[derive(Debug)]
struct Staged {
    path: PathBuf,
    look: io::Result<Look>,
}

/// What tells one content of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
}

fn look(path: &Path) -> io::Result<Look> {
    let found = std::fs::symlink_metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::other("is no regular file any more"));
    }
    let modified = (found.mtime(), found.mtime_nsec());
    Ok(Look { device: found.dev(), inode: found.ino(), len: found.len(), modified })
}

/// All files that are to go, as they were before anything was read of them.
#[derive(Debug, Default)]
pub(super) struct Source {
    files: BTreeMap<(FileSetKind, String), Staged>,
}

/// What became of them.
#[derive(Debug, Default)]
pub(super) struct Removed {
    /// Files that are gone.
    pub(super) files: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Files that stay because they are not what was saved.
    pub(super) kept: Vec<FileFailure>,
    /// Files that could not be removed.
    pub(super) failed: Vec<FileFailure>,
}

impl Source {
    /// Looks at the files of a set, which lie below `folder` under their names.
    pub(super) fn add(&mut self, kind: FileSetKind, folder: Option<&Path>, set: &FileSet) {
        let Some(folder) = folder else { return };
        for file in set {
            let path = folder.join(file.name.as_str());
            let look = look(&path);
            self.files.insert((kind, file.name.to_string()), Staged { path, look });
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.files.len() as u64
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.files.values().filter_map(|staged| staged.look.as_ref().ok()).map(|look| look.len).sum()
    }

    /// Removes what was saved and has not changed since; folders stay. `report` is of a save that compared or sent each file.
    pub(super) fn remove(self, report: &SaveReport) -> Removed {
        let saved: BTreeMap<(FileSetKind, String), u64> =
            report.files.iter().map(|file| ((file.kind, file.record.name.to_string()), file.record.size)).collect();
        let mut removed = Removed::default();
        for ((kind, name), staged) in self.files {
            let file = format!("{kind}/{name}");
            let mut keep = |reason: String| removed.kept.push(FileFailure { file: file.clone(), reason });
            let Some(size) = saved.get(&(kind, name)) else {
                keep("was left out of the backup".to_owned());
                continue;
            };
            match (&staged.look, look(&staged.path)) {
                (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => keep("is gone already".to_owned()),
                (Ok(before), Ok(now)) if *before == now && now.len == *size => {
                    match std::fs::remove_file(&staged.path) {
                        Ok(()) => {
                            removed.files += 1;
                            removed.bytes += size;
                        }
                        Err(error) => removed.failed.push(FileFailure { file, reason: error.to_string() }),
                    }
                }
                (Ok(_), Ok(now)) if now.len > *size => {
                    keep(format!("has {} bytes, of which {size} were saved", now.len));
                }
                (_, Err(error)) => keep(error.to_string()),
                _ => keep("changed since the save began".to_owned()),
            }
        }
        removed
    }
}

impl Removed {
    /// As a field of the summary.
    pub(super) fn json(&self) -> Value {
        let list = |files: &[FileFailure]| -> Vec<Value> {
            files.iter().map(|file| json!({ "file": file.file, "reason": file.reason })).collect()
        };
        json!({ "files": self.files, "bytes": self.bytes, "kept": list(&self.kept), "failed": list(&self.failed) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use milepost::{BackupId, Crc64Nvme, FileEntry, FileName, FileRecord, SaveOutcome, SavedFile};

    use super::*;

    #[test]
    fn only_what_is_still_what_was_saved_goes() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a", "sub/b", "grown", "changed", "gone", "skipped"];
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        let set: FileSet = names
            .iter()
            .map(|name| {
                std::fs::write(folder.path().join(name), "12345").unwrap();
                FileEntry::from_path(FileName::new(*name).unwrap(), folder.path().join(name))
            })
            .collect();
        let mut source = Source::default();
        source.add(FileSetKind::Segments, Some(folder.path()), &set);
        source.add(FileSetKind::Snapshots, None, &FileSet::new());
        assert_eq!((source.len(), source.bytes()), (6, 30));
        let files = names.iter().filter(|name| **name != "skipped").map(|name| SavedFile {
            kind: FileSetKind::Segments,
            record: FileRecord {
                name: FileName::new(*name).unwrap(),
                size: 5,
                crc64nvme: Crc64Nvme::of(b"12345"),
                digest: None,
            },
            sent: true,
        });
        let report = SaveReport {
            id: BackupId::new(1, 1, 1),
            outcome: SaveOutcome::Saved,
            files: files.collect(),
            bytes: 25,
            bytes_sent: 25,
            metadata_sha256: String::new(),
            duration: Duration::ZERO,
            retries: 0,
            warnings: vec![],
        };
        std::fs::write(folder.path().join("grown"), "1234567").unwrap();
        std::fs::remove_file(folder.path().join("gone")).unwrap();
        std::fs::remove_file(folder.path().join("changed")).unwrap();
        std::fs::write(folder.path().join("changed"), "54321").unwrap();
        let removed = source.remove(&report);
        assert_eq!((removed.files, removed.bytes, removed.failed.len()), (2, 10, 0));
        let kept: Vec<&str> = removed.kept.iter().map(|kept| kept.file.as_str()).collect();
        assert_eq!(kept, ["segments/changed", "segments/gone", "segments/grown", "segments/skipped"]);
        let left: Vec<bool> = names.iter().map(|name| folder.path().join(name).exists()).collect();
        assert_eq!(left, [false, false, true, true, false, true]);
        assert!(folder.path().join("sub").exists(), "folders stay");
    }
}
