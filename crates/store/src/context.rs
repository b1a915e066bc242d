//! What every call carries: cancellation, a deadline, and counters that a progress bar samples.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Result};

/// Cancellation, deadline and progress of one call. Cloning shares them.
///
/// Cancelling is tidy: a save marks its backup as FAILED and aborts its uploads. Dropping the call's future is safe:
/// it leaves an IN_PROGRESS backup that a resume takes over, or that the next delete sweeps.
#[derive(Debug, Clone, Default)]
pub struct OpContext {
    cancel: CancellationToken,
    deadline: Option<Instant>,
    progress: Arc<Progress>,
}

impl OpContext {
    /// A call that ends when it ends.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same call, cancelled when `token` is.
    #[must_use]
    pub fn with_cancel(mut self, token: CancellationToken) -> Self {
        self.cancel = token;
        self
    }

    /// The same call, ended with a Deadline error after `after`.
    #[must_use]
    pub fn with_timeout(mut self, after: Duration) -> Self {
        self.deadline = Some(Instant::now() + after);
        self
    }

    /// The counters of the call.
    #[must_use]
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// One of several calls that make up this one: cancelled with it, bound by its deadline, counted with it. Each has
    /// counters of its own, so that one that begins anew does not forget the others.
    #[must_use]
    pub fn part(&self) -> Self {
        let progress = Arc::new(Progress::default());
        self.progress.parts.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&progress));
        Self { cancel: self.cancel.clone(), deadline: self.deadline, progress }
    }

    /// Asks the call to stop.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Was the call cancelled, or has its deadline passed?
    ///
    /// # Errors
    /// Cancelled or Deadline.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(cancelled());
        }
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(too_late());
        }
        Ok(())
    }

    /// Runs `work` until it ends, the call is cancelled or its deadline passes; in the last two cases `work` is dropped.
    ///
    /// # Errors
    /// Those of `work`, Cancelled or Deadline.
    pub async fn run<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.check()?;
        let deadline = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(cancelled()),
            () = deadline => Err(too_late()),
            result = work => result,
        }
    }
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "cancelled")
}

fn too_late() -> Error {
    Error::new(ErrorKind::Deadline, "the deadline passed")
}

/// Counters of a running call. They only rise, until [`Progress::expect`] begins anew.
#[derive(Debug, Default)]
pub struct Progress {
    files_total: AtomicU64,
    bytes_total: AtomicU64,
    files_done: AtomicU64,
    bytes_done: AtomicU64,
    retries: AtomicU64,
    parts: Mutex<Vec<Arc<Progress>>>,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProgressSample {
    /// Files that the call set out to move; 0 while unknown.
    pub files_total: u64,
    /// Bytes that the call set out to move; 0 while unknown.
    pub bytes_total: u64,
    /// Files moved, or found to be there already.
    pub files_done: u64,
    /// Bytes moved, or found to be there already.
    pub bytes_done: u64,
    /// Requests that had to be sent again.
    pub retries: u64,
}

impl Progress {
    /// Says what the call sets out to move, and begins to count it: a second copy that is restored starts at 0 again.
    pub fn expect(&self, files: u64, bytes: u64) {
        self.files_done.store(0, Ordering::Relaxed);
        self.bytes_done.store(0, Ordering::Relaxed);
        self.files_total.store(files, Ordering::Relaxed);
        self.bytes_total.store(bytes, Ordering::Relaxed);
    }

    /// Counts bytes as moved.
    pub fn add_bytes(&self, bytes: u64) {
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts one file as done.
    pub fn add_file(&self) {
        self.files_done.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one more try of a request.
    pub fn add_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters now, those of all parts among them.
    #[must_use]
    pub fn sample(&self) -> ProgressSample {
        let parts: Vec<Arc<Self>> = self.parts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        parts.iter().map(|part| part.sample()).fold(self.own(), |sum, part| ProgressSample {
            files_total: sum.files_total + part.files_total,
            bytes_total: sum.bytes_total + part.bytes_total,
            files_done: sum.files_done + part.files_done,
            bytes_done: sum.bytes_done + part.bytes_done,
            retries: sum.retries + part.retries,
        })
    }

    fn own(&self) -> ProgressSample {
        ProgressSample {
            files_total: self.files_total.load(Ordering::Relaxed),
            bytes_total: self.bytes_total.load(Ordering::Relaxed),
            files_done: self.files_done.load(Ordering::Relaxed),
            bytes_done: self.bytes_done.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cancelled_and_counted_with_the_whole() {
        let whole = OpContext::new();
        let (one, two) = (whole.part(), whole.part());
        one.progress().expect(2, 20);
        two.progress().expect(3, 30);
        one.progress().add_bytes(5);
        two.progress().add_file();
        // One begins anew with another copy: the other is not forgotten.
        one.progress().expect(2, 20);
        let sample = whole.progress().sample();
        assert_eq!((sample.files_total, sample.bytes_total, sample.files_done, sample.bytes_done), (5, 50, 1, 0));
        whole.cancel();
        assert!(one.check().is_err() && two.check().is_err());
    }
}
