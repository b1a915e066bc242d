//! Where a key's file lies, and folders that outlast a power loss.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use milepost_core::ObjectKey;

use super::fault::invalid;
use crate::bucket::BucketError;
use crate::fs::Dir;

/// The folder below the root that holds what is no object.
pub(super) const OWN: &str = ".milepost";

/// A key's way through the folders below the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) key: ObjectKey,
    pub(super) folders: Vec<String>,
    pub(super) name: String,
}

impl Place {
    /// # Errors
    /// Invalid: the key lies in the bucket's own folder.
    pub(super) fn of(key: &ObjectKey) -> Result<Self, BucketError> {
        let mut folders: Vec<String> = key.components().map(str::to_owned).collect();
        if folders.first().is_some_and(|first| first == OWN) {
            return Err(invalid(format!("{key}: {OWN} is the directory's own folder and holds no objects")));
        }
        // An ObjectKey has at least one component.
        let name = folders.pop().unwrap_or_default();
        Ok(Self { key: key.clone(), folders, name })
    }

    /// Opens the folder of the file.
    pub(super) fn folder(&self, root: &Dir) -> io::Result<Dir> {
        root.walk(self.folders.iter().map(String::as_str))
    }
}

/// Folders whose entry in their parent this process has synced.
///
/// A folder made by another process a moment ago is there but may not outlast a power loss until that process has synced its
/// parent. What is put into it must not be acknowledged before: so every folder is synced once by everybody who uses it.
#[derive(Debug, Default)]
pub(super) struct Lasting(Mutex<HashMap<String, u64>>);

/// More folders than this are forgotten and cost one more sync each.
const LASTING_MAX: usize = 10_000;

impl Lasting {
    /// Walks down from the root, makes what is missing, and syncs what may not last yet.
    ///
    /// # Errors
    /// `NotFound` where somebody removed a folder on the way, because it was empty: worth another try.
    pub(super) fn make(&self, root: &Dir, folders: &[String]) -> io::Result<Dir> {
        let (mut dir, mut path) = (root.clone(), String::new());
        for name in folders {
            let (next, made) = dir.make_dir(name)?;
            path.push_str(name);
            path.push('/');
            // The inode number tells a folder from one that was removed and made again in its place.
            let inode = next.stat_self()?.st_ino;
            if made || !self.with(|known| known.get(&path) == Some(&inode)) {
                dir.sync()?;
                self.with(|known| {
                    if known.len() >= LASTING_MAX {
                        known.clear();
                    }
                    known.insert(path.clone(), inode)
                });
            }
            dir = next;
        }
        Ok(dir)
    }

    /// A folder was removed; an inode number may come back.
    pub(super) fn forget(&self, folders: &[String]) {
        let path = folders.iter().fold(String::new(), |path, name| path + name + "/");
        self.with(|known| known.remove(&path));
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<String, u64>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_fall_into_folders_and_a_name() {
        let place = Place::of(&ObjectKey::new("1/100/2/status.json").unwrap()).unwrap();
        assert_eq!((place.folders.join("|").as_str(), place.name.as_str()), ("1|100|2", "status.json"));
        assert!(Place::of(&ObjectKey::new("a/.milepost").unwrap()).is_ok());
        for own in [".milepost", ".milepost/tmp/x"] {
            assert!(Place::of(&ObjectKey::new(own).unwrap()).is_err(), "{own}");
        }
    }

    #[test]
    fn folders_are_made_once_and_remembered_until_removed() {
        let temp = tempfile::tempdir().unwrap();
        let root = Dir::open_root(temp.path()).unwrap();
        let lasting = Lasting::default();
        let folders = ["a".to_owned(), "b".to_owned()];
        lasting.make(&root, &folders).unwrap();
        lasting.make(&root, &folders).unwrap();
        assert_eq!(lasting.with(|known| known.len()), 2);
        lasting.forget(&folders);
        assert_eq!(lasting.with(|known| known.len()), 1);
    }
}
