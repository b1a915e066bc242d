//! Deleting keys, and the folders that become empty.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use milepost_core::ObjectKey;

use super::fault::{fault, fault_in_effect, invalid, says_absent};
use super::lock::{Patience, shard, try_lock};
use super::place::Place;
use super::{DirectoryBucket, Inner, run};
use crate::bucket::{BucketError, BucketErrorKind, DeleteOutcome, MAX_PAGE};
use crate::fs::Dir;

/// A batch on its way.
#[derive(Debug)]
struct Batch {
    keys: Vec<String>,
    results: Vec<Option<Result<(), BucketError>>>,
    /// Where the keys without a result lie.
    pending: Vec<(usize, Place)>,
    /// Folders that held, or may have held, one of the keys.
    folders: BTreeSet<Vec<String>>,
}

pub(super) async fn delete(bucket: &DirectoryBucket, keys: Vec<String>) -> Result<Vec<DeleteOutcome>, BucketError> {
    if keys.len() > MAX_PAGE {
        return Err(invalid(format!("a batched delete takes at most {MAX_PAGE} keys, not {}", keys.len())));
    }
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut batch = Batch::new(keys);
    let mut patience = Patience::new(bucket.lock_wait);
    // All keys whose lock is free go in one hop to a blocking thread; the others are tried again together.
    loop {
        let inner = Arc::clone(&bucket.inner);
        let busy;
        (batch, busy) = run(move || {
            let busy = batch.remove_files(&inner)?;
            Ok((batch, busy))
        })
        .await?;
        let Some(busy) = busy else { break };
        if let Err(error) = patience.wait(&busy).await {
            batch.give_up(&error);
            break;
        }
    }
    let inner = Arc::clone(&bucket.inner);
    run(move || {
        batch.remove_folders(&inner)?;
        Ok(batch.outcomes())
    })
    .await
}

impl Batch {
    fn new(keys: Vec<String>) -> Self {
        let (mut results, mut pending) = (Vec::with_capacity(keys.len()), Vec::with_capacity(keys.len()));
        for (at, key) in keys.iter().enumerate() {
            let place = ObjectKey::new(key.as_str())
                .map_err(|error| invalid(error.to_string()))
                .and_then(|key| Place::of(&key));
            results.push(match place {
                Ok(place) => {
                    pending.push((at, place));
                    None
                }
                Err(error) => Some(Err(error)),
            });
        }
        Self { keys, results, pending, folders: BTreeSet::new() }
    }

    /// Removes the files of all keys whose lock is free; gives the path of a lock that is not.
    ///
    /// # Errors
    /// Where nothing can be written at all.
    fn remove_files(&mut self, inner: &Inner) -> Result<Option<PathBuf>, BucketError> {
        let own = inner.own()?;
        let mut busy = None;
        for (at, place) in std::mem::take(&mut self.pending) {
            let shard = shard(place.key.as_str());
            let lock_path = inner.lock_path(&shard);
            let result = match try_lock(&own.locks, &shard) {
                Ok(None) => {
                    busy = Some(lock_path);
                    self.pending.push((at, place));
                    continue;
                }
                // The lock ends with its file: no replace that compared before can write behind it.
                Ok(Some(_lock)) => remove_file(inner, &place),
                Err(error) => Err(fault(error, "cannot lock", &lock_path)),
            };
            self.results[at] = Some(result);
            // Also of an absent key: another deleter may have died before its sync, or left the folder empty.
            self.folders.insert(place.folders);
        }
        Ok(busy)
    }

    fn give_up(&mut self, error: &BucketError) {
        for (at, place) in self.pending.drain(..) {
            let mut failed = BucketError::new(error.kind, format!("cannot delete {}: {}", place.key, error.message));
            failed.hint.clone_from(&error.hint);
            self.results[at] = Some(Err(failed));
        }
    }

    /// Removes the folders that became empty, from the bottom up, then syncs each folder that lost something once.
    fn remove_folders(&mut self, inner: &Inner) -> Result<(), BucketError> {
        let mut by_depth: BTreeMap<usize, BTreeSet<Vec<String>>> = BTreeMap::new();
        for folder in std::mem::take(&mut self.folders) {
            by_depth.entry(folder.len()).or_default().insert(folder);
        }
        let mut stay = BTreeSet::new();
        while let Some((depth, folders)) = by_depth.pop_last() {
            for folder in folders {
                let Some((name, parents)) = folder.split_last() else {
                    stay.insert(folder);
                    continue;
                };
                let removed = walk(&inner.root, parents).and_then(|parent| parent.remove_dir(name));
                match removed {
                    // What is gone already may have been removed by somebody who did not live to sync.
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(_) => {
                        stay.insert(folder);
                        continue;
                    }
                }
                inner.lasting.forget(&folder);
                by_depth.entry(depth - 1).or_default().insert(parents.to_vec());
            }
        }
        for folder in stay {
            sync(&inner.root, &folder)
                .map_err(|error| fault(error, "cannot sync", &inner.path.join(folder.join("/"))).maybe_applied())?;
        }
        Ok(())
    }

    fn outcomes(self) -> Vec<DeleteOutcome> {
        let lost = || Err(BucketError::new(BucketErrorKind::Other, "was not tried"));
        self.keys
            .into_iter()
            .zip(self.results)
            .map(|(key, result)| DeleteOutcome { key, result: result.unwrap_or_else(lost) })
            .collect()
    }
}

/// Removes one file. A folder, or something below a file, is no object: absent.
fn remove_file(inner: &Inner, place: &Place) -> Result<(), BucketError> {
    let failed = |error| fault_in_effect(error, "cannot delete", &inner.file_path(place));
    let folder = match place.folder(&inner.root) {
        Ok(folder) => folder,
        Err(error) if says_absent(&error) => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    match folder.remove_file(&place.name) {
        Ok(()) => Ok(()),
        Err(error) if says_absent(&error) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

fn walk(root: &Dir, folders: &[String]) -> io::Result<Dir> {
    root.walk(folders.iter().map(String::as_str))
}

/// Syncs a folder, or where it is gone the nearest one above it: what is gone must stay gone.
fn sync(root: &Dir, mut folders: &[String]) -> io::Result<()> {
    loop {
        match walk(root, folders) {
            Ok(dir) => return dir.sync(),
            Err(error) if says_absent(&error) => {}
            Err(error) => return Err(error),
        }
        let Some((_, parents)) = folders.split_last() else { return Ok(()) };
        folders = parents;
    }
}
