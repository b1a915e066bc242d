//! Locks between all threads and processes that use one directory.
//!
//! A lock is `flock` on one of 256 files that are made once and never removed, chosen by the key. The kernel frees it when
//! its holder dies; a holder that was stopped keeps it, so nobody waits for ever: a lock is tried, not waited for, and after
//! a bound the request fails. Every acquisition opens the file anew, because a lock belongs to an open file: threads of one
//! process exclude each other too.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use milepost_core::Crc64Nvme;
use rustix::io::Errno;
use tokio::time::Instant;

use super::run;
use crate::bucket::{BucketError, BucketErrorKind};
use crate::fs::{Dir, Lockable};

/// The pause between two tries grows from the first to the last of these.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "dropping it frees the lock")] Lockable<File>);

/// How one try ended.
pub(super) enum Attempt<T> {
    Done(T),
    /// Somebody holds the lock on this file.
    Busy(PathBuf),
}

/// The name of the lock file of a key.
pub(super) fn shard(key: &str) -> String {
    format!("{:02x}", Crc64Nvme::of(key.as_bytes()).0 >> 56)
}

/// Takes the lock on an open file where nobody holds it.
pub(super) fn try_flock<F: AsFd>(file: F, shared: bool) -> io::Result<Option<Lockable<F>>> {
    let file = Lockable::new(file);
    match file.try_lock(shared) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Takes the exclusive lock on a lock file, which is made where there is none, unless somebody holds it.
pub(super) fn try_lock(dir: &Dir, name: &str) -> io::Result<Option<Lock>> {
    let Some(file) = try_flock(dir.open_or_create(name)?, false)? else { return Ok(None) };
    // A file that somebody has removed meanwhile excludes nobody.
    let held = rustix::fs::fstat(&file)?.st_ino;
    match dir.stat(name) {
        Ok(stat) if stat.st_ino == held => Ok(Some(Lock(file))),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Pauses between tries, up to a bound.
pub(super) struct Patience {
    until: Instant,
    bound: Duration,
    pause: Duration,
}

impl Patience {
    pub(super) fn new(bound: Duration) -> Self {
        Self { until: Instant::now() + bound, bound, pause: PAUSES.0 }
    }

    /// Waits a moment for the lock on `path`.
    ///
    /// # Errors
    /// Unavailable: the bound is reached.
    pub(super) async fn wait(&mut self, path: &std::path::Path) -> Result<(), BucketError> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let message = format!("{} is locked by another process for more than {:?}", path.display(), self.bound);
            return Err(BucketError::new(BucketErrorKind::Unavailable, message)
                .with_hint("is a process of this directory stopped or stuck? `fuser` or `lslocks` names it"));
        }
        tokio::time::sleep(self.pause.min(left)).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        Ok(())
    }
}

/// Tries again, each time on a blocking thread, while somebody else holds a lock. The lock is held by the work on that
/// thread alone: dropping this future frees it when the work ends.
pub(super) async fn persist<T: Send + 'static>(
    bound: Duration,
    attempt: impl Fn() -> Result<Attempt<T>, BucketError> + Send + Sync + 'static,
) -> Result<T, BucketError> {
    let attempt = Arc::new(attempt);
    let mut patience = Patience::new(bound);
    loop {
        let attempt = Arc::clone(&attempt);
        match run(move || attempt()).await? {
            Attempt::Done(value) => return Ok(value),
            Attempt::Busy(path) => patience.wait(&path).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_excludes_the_own_process_and_ends_with_its_guard() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(temp.path()).unwrap();
        let held = try_lock(&dir, "00").unwrap().unwrap();
        assert!(try_lock(&dir, "00").unwrap().is_none());
        assert!(try_lock(&dir, "01").unwrap().is_some());
        drop(held);
        assert!(try_lock(&dir, "00").unwrap().is_some());
    }

    #[test]
    fn keys_spread_over_the_shards() {
        let shards: std::collections::HashSet<String> =
            (0..5000).map(|n| shard(&format!("1/{n}/2/status.json"))).collect();
        assert!(shards.len() > 250 && shards.iter().all(|name| name.len() == 2), "{}", shards.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_that_never_comes_free_ends_in_an_error_that_names_it() {
        let failed = persist(Duration::from_secs(10), || Ok(Attempt::<()>::Busy("/r/.milepost/locks/a7".into())))
            .await
            .unwrap_err();
        assert_eq!(failed.kind, BucketErrorKind::Unavailable);
        assert!(failed.message.contains("locks/a7") && failed.is_transient() && !failed.maybe_applied);
    }
}
