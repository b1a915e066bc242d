//! A bucket that fails, loses replies, tears bodies and crashes: by script, or by seed.
//!
//! [`FaultyBucket`] wraps any [`Bucket`]. It counts the requests, keeps a trace of them that prints, and does to them what
//! it is told:
//!
//! - [`FaultyBucket::inject`] scripts one [`Fault`] for the calls that [`On`] describes;
//! - [`FaultyBucket::from_seed`] draws faults at given [`Rates`]. What is drawn for a call depends on the seed, the call's
//!   kind, its key and how many such calls there were, not on what other tasks do in between: the same seed gives the same
//!   faults although requests run side by side;
//! - [`FaultyBucket::crash_on`] is a power cut: from that moment on nothing reaches the store and no call returns. The
//!   test waits for [`FaultyBucket::crashed`], drops the future that was running, and goes on with
//!   [`FaultyBucket::successor`], the next process.
//!
//! ```
//! use milepost_store::bucket::{Bucket, ListRequest};
//! use milepost_store::{BucketErrorKind, MemoryBucket};
//! use milepost_testkit::faulty::{CallKind, Fault, FaultyBucket, On};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bucket = FaultyBucket::new(MemoryBucket::new("example"));
//! bucket.inject(On::call(CallKind::List).nth(2), Fault::Before(BucketErrorKind::Unavailable));
//! assert!(bucket.list(ListRequest::all("")).await.is_ok());
//! assert!(bucket.list(ListRequest::all("")).await.is_err());
//! assert!(bucket.list(ListRequest::all("")).await.is_ok());
//! assert_eq!(bucket.requests().of(CallKind::List), 3);
//! # Ok(())
//! # }
//! ```

mod call;
mod plan;
mod port;
mod shared;

use std::fmt;
use std::sync::Arc;

use milepost_store::Bucket;

pub use call::{Call, CallKind, Outcome, Requests, Trace};
pub use plan::{Crash, Fault, Gate, On, Point, Rates};
use shared::Shared;

/// A bucket with faults. Clones share everything.
pub struct FaultyBucket<B> {
    inner: Arc<B>,
    shared: Arc<Shared>,
}

impl<B> Clone for FaultyBucket<B> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), shared: Arc::clone(&self.shared) }
    }
}

impl<B: fmt::Debug> fmt::Debug for FaultyBucket<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyBucket").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<B: Bucket> FaultyBucket<B> {
    /// Counts and traces; fails only where it is told to.
    #[must_use]
    pub fn new(inner: B) -> Self {
        Self { inner: Arc::new(inner), shared: Arc::new(Shared::new(None)) }
    }

    /// Draws faults from `seed` at `rates`, besides what is scripted.
    #[must_use]
    pub fn from_seed(inner: B, seed: u64, rates: Rates) -> Self {
        Self { inner: Arc::new(inner), shared: Arc::new(Shared::new(Some((seed, rates)))) }
    }

    /// The same store as the next process sees it: no faults, not crashed, nothing traced.
    #[must_use]
    pub fn successor(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), shared: Arc::new(Shared::new(None)) }
    }

    /// The bucket without faults.
    #[must_use]
    pub fn inner(&self) -> &B {
        &self.inner
    }

    /// Does `fault` to the calls that `on` describes, counted from now. Where several scripts meet one call, the first that
    /// was injected acts.
    pub fn inject(&self, on: On, fault: Fault) {
        self.shared.inject(on, fault);
    }

    /// Crashes at the first call that `on` describes, before or after its effect: that call and every later one hang or
    /// fail, bodies that were being read too.
    pub fn crash_on(&self, on: On, point: Point, crash: Crash) {
        self.shared.crash_on(on, point, crash);
    }

    /// Crashes at the `n`-th call from now, whatever it is (from 1).
    pub fn crash_at(&self, n: u64, point: Point, crash: Crash) {
        self.crash_on(On::any().nth(n), point, crash);
    }

    /// Waits until the crash.
    pub async fn crashed(&self) {
        self.shared.crashed().await;
    }

    /// Has it crashed?
    #[must_use]
    pub fn is_crashed(&self) -> bool {
        self.shared.crash_now().is_some()
    }

    /// How many calls of each kind there were, failed ones too.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.shared.requests()
    }

    /// The calls in the order in which they began: the last 100,000.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.shared.trace()
    }

    /// Forgets counts and trace, keeps scripts and crash: so that a test counts the requests of one step.
    pub fn reset(&self) {
        self.shared.reset();
    }
}
