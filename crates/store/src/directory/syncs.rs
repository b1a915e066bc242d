//! Syncs of folders, shared by those who ask at the same time.
//!
//! Many small files go into one folder at once, and each write is acknowledged only when its entry lasts. One sync that
//! begins behind an entry's making covers it, whoever calls it; so those who wait for the sync that is running share the next
//! one. That is as safe as a sync for each: nobody is told "done" before a sync that began after his entry was made ended well.
//! Where it fails, everybody calls his own and sees the failure himself.

use std::collections::HashMap;
use std::io;
use std::sync::{Condvar, Mutex, PoisonError};

use crate::fs::Dir;

/// Who waits for a sync of which folder.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    folders: Mutex<HashMap<(u64, u64), Folder>>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Folder {
    /// Calls under way: the folder is forgotten with the last one, for an inode number may come back.
    calls: usize,
    /// Calls so far; each has a number.
    asked: u64,
    /// Calls up to this number are covered.
    covered: u64,
    running: bool,
}

impl Syncs {
    /// Makes the entries that were made in `folder` before this call last. Blocks.
    pub(super) fn sync(&self, folder: &Dir) -> io::Result<()> {
        let stat = folder.stat_self()?;
        let place = (stat.st_dev, stat.st_ino);
        let result = self.covered(place, folder);
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = folders.get_mut(&place) {
            entry.calls -= 1;
            if entry.calls == 0 {
                folders.remove(&place);
            }
        }
        result
    }

    fn covered(&self, place: (u64, u64), folder: &Dir) -> io::Result<()> {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = folders.entry(place).or_default();
        entry.calls += 1;
        entry.asked += 1;
        let own = entry.asked;
        loop {
            // There as long as this call is counted.
            let entry = folders.entry(place).or_default();
            if entry.covered >= own {
                return Ok(());
            }
            if entry.running {
                folders = self.ended.wait(folders).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            entry.running = true;
            let asked = entry.asked;
            drop(folders);
            let result = folder.sync();
            folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
            let entry = folders.entry(place).or_default();
            entry.running = false;
            if result.is_ok() {
                entry.covered = entry.covered.max(asked);
            }
            self.ended.notify_all();
            return result;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_at_once_all_end_and_nothing_is_kept() {
        let temp = tempfile::tempdir().unwrap();
        let root = Dir::open_root(temp.path()).unwrap();
        let folders = ["a", "b"].map(|name| root.make_dir(name).unwrap().0);
        let syncs = Syncs::default();
        std::thread::scope(|threads| {
            for thread in 0..8 {
                let (syncs, folders) = (&syncs, &folders);
                threads.spawn(move || {
                    for n in 0..50 {
                        let folder = &folders[(thread + n) % 2];
                        folder.create_new(&format!("{thread}-{n}")).unwrap();
                        syncs.sync(folder).unwrap();
                    }
                });
            }
        });
        assert!(syncs.folders.lock().unwrap().is_empty());
    }

    /// Who asks while a sync runs is not covered by it: that one may have begun before his entry was made.
    #[test]
    fn a_running_sync_covers_only_who_asked_before_it_began() {
        let temp = tempfile::tempdir().unwrap();
        let root = Dir::open_root(temp.path()).unwrap();
        let stat = root.stat_self().unwrap();
        let place = (stat.st_dev, stat.st_ino);
        let syncs = Syncs::default();
        // One is running that began behind the first three calls.
        let running = Folder { calls: 1, asked: 3, covered: 0, running: true };
        syncs.folders.lock().unwrap().insert(place, running);
        std::thread::scope(|threads| {
            let late = threads.spawn(|| syncs.sync(&root));
            loop {
                if syncs.folders.lock().unwrap()[&place].asked == 4 {
                    break;
                }
                std::thread::yield_now();
            }
            {
                let mut folders = syncs.folders.lock().unwrap();
                let folder = folders.get_mut(&place).unwrap();
                (folder.covered, folder.running) = (3, false);
            }
            syncs.ended.notify_all();
            late.join().unwrap().unwrap();
        });
        assert_eq!(syncs.folders.lock().unwrap()[&place].covered, 4, "the late one called its own");
    }
}
