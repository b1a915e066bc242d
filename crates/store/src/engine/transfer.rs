//! Moving contents: the byte budget, the rate limit, hashing in order, fetching with continuation.
//!
//! Memory hangs on one semaphore of bytes. A ticket is taken before bytes are read and given back when they are sent; nobody
//! takes a second ticket while holding one, so nobody waits for himself. Requests hang on slots (see `slots`), which are
//! taken behind tickets, never before.

use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use milepost_core::hashing::Hasher;
use milepost_core::{DigestAlgorithm, Hashes, ObjectKey};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::Engine;
use super::retry::Tries;
use crate::bucket::{Bucket, BucketError, BucketErrorKind, GetReply};
use crate::context::OpContext;
use crate::error::{Error, ErrorKind, Result};

/// The semaphore counts in units of this many bytes: its permits are 32-bit.
const UNIT: u64 = 4096;

/// Bytes of contents in memory, all operations of a store together.
#[derive(Debug)]
pub(crate) struct Budget {
    semaphore: Arc<Semaphore>,
    units: u32,
}

/// Room for bytes, given back when dropped. It goes with the buffer that it is for, to whichever thread fills that.
#[derive(Debug)]
pub(crate) struct Ticket(#[expect(dead_code, reason = "dropping it gives the room back")] OwnedSemaphorePermit);

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1);
        Self { semaphore: Arc::new(Semaphore::new(units as usize)), units }
    }

    /// Waits for room. A single buffer larger than the whole budget (a part of a file above 10,000 parts) gets all of it.
    pub(crate) async fn ticket(&self, bytes: u64) -> Result<Ticket> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.units);
        let permit = Arc::clone(&self.semaphore).acquire_many_owned(units).await;
        permit.map(Ticket).map_err(|_| Error::new(ErrorKind::Internal, "the byte budget was closed"))
    }
}

/// A limit in bytes per second, all operations of a store together.
#[derive(Debug)]
pub(crate) struct RateLimit {
    bytes_per_second: Option<NonZeroU64>,
    /// The time at which everything granted so far has been paid for at the limit's pace.
    paid_until: tokio::sync::Mutex<Option<Instant>>,
}

impl RateLimit {
    pub(crate) fn new(bytes_per_second: Option<NonZeroU64>) -> Self {
        Self { bytes_per_second, paid_until: tokio::sync::Mutex::new(None) }
    }

    /// Is there a limit at all?
    pub(crate) fn is_limited(&self) -> bool {
        self.bytes_per_second.is_some()
    }

    /// The pause behind a piece that was read from a disk: half the time that moving it will take. So the reader gets ahead, and
    /// the disk is let alone in between.
    pub(crate) async fn breathe(&self, bytes: u64) {
        if let Some(rate) = self.bytes_per_second {
            tokio::time::sleep(Duration::from_secs_f64(bytes as f64 / rate.get() as f64 / 2.0)).await;
        }
    }

    /// Waits until so many bytes may be moved.
    pub(crate) async fn pay(&self, bytes: u64) {
        let Some(rate) = self.bytes_per_second else { return };
        let cost = Duration::from_secs_f64(bytes as f64 / rate.get() as f64);
        let end = {
            let mut paid_until = self.paid_until.lock().await;
            let now = Instant::now();
            // An idle time is not saved up: after it, the pace is the limit's again.
            let end = paid_until.map_or(now, |at| at.max(now)) + cost;
            *paid_until = Some(end);
            end
        };
        // Paid first, moved afterwards: one large request is then as slow as many small ones.
        tokio::time::sleep_until(end).await;
    }
}

/// Where a fetch stands between two bodies.
struct Fetch<B: Bucket> {
    engine: Arc<Engine<B>>,
    cx: OpContext,
    key: ObjectKey,
    range: Range<u64>,
    body: Option<BoxStream<'static, Result<Bytes, BucketError>>>,
    tries: Option<Tries>,
}

impl<B: Bucket> Fetch<B> {
    async fn chunk(&mut self) -> Result<Option<Bytes>> {
        while self.range.start < self.range.end {
            let result = match &mut self.body {
                Some(body) => self.cx.run(async { Ok(body.next().await) }).await?,
                None => match self.open().await? {
                    Ok(body) => {
                        self.body = Some(body);
                        continue;
                    }
                    Err(error) => Some(Err(error)),
                },
            };
            let error = match result {
                Some(Ok(chunk)) if chunk.is_empty() => continue,
                Some(Ok(mut chunk)) => {
                    let room = self.range.end - self.range.start;
                    chunk.truncate(usize::try_from(room).unwrap_or(usize::MAX));
                    self.range.start += chunk.len() as u64;
                    // Bytes came: the store is back, and so is the budget.
                    self.tries = None;
                    let pay = self.engine.rate.pay(chunk.len() as u64);
                    self.cx
                        .run(async {
                            pay.await;
                            Ok(())
                        })
                        .await?;
                    return Ok(Some(chunk));
                }
                Some(Err(error)) => error,
                None => BucketError::new(
                    BucketErrorKind::Unavailable,
                    format!("the body of {} ended {} bytes early", self.key, self.range.end - self.range.start),
                ),
            };
            self.body = None;
            self.engine.slots.failed(&error);
            if !error.is_transient() {
                return Err(error.into());
            }
            let tries = self.tries.get_or_insert_with(|| self.engine.tries());
            tries.pause(error, &self.cx).await?;
        }
        Ok(None)
    }

    async fn open(&mut self) -> Result<Result<BoxStream<'static, Result<Bytes, BucketError>>, BucketError>> {
        let get = self.engine.bucket.get(&self.key, Some(self.range.clone()));
        match self.cx.run(async { Ok(get.await) }).await? {
            Ok(GetReply { meta, .. }) if meta.size < self.range.end => Err(Error::integrity(
                self.key.as_str(),
                format!("at least {} bytes", self.range.end),
                format!("{} bytes", meta.size),
            )),
            Ok(reply) => Ok(Ok(reply.body)),
            Err(error) => Ok(Err(error)),
        }
    }
}

impl<B: Bucket> Engine<B> {
    /// The bytes of a range of an object, in order. A cut body is continued from where it ended; an object that is shorter
    /// than the range is an Integrity error, an absent one NotFound.
    pub(crate) fn fetch(
        self: &Arc<Self>,
        key: ObjectKey,
        range: Range<u64>,
        cx: &OpContext,
    ) -> BoxStream<'static, Result<Bytes>> {
        let fetch = Fetch { engine: Arc::clone(self), cx: cx.clone(), key, range, body: None, tries: None };
        futures::stream::unfold(Some(fetch), |state| async {
            let mut fetch = state?;
            match fetch.chunk().await {
                Ok(Some(chunk)) => Some((Ok(chunk), Some(fetch))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
        // A reader that gathers chunks asks once more behind the last one.
        .fuse()
        .boxed()
    }

    /// The hashes of an object of `size` bytes, read whole; `seen` is told how many bytes came each time.
    pub(crate) async fn hash_object(
        self: &Arc<Self>,
        key: &ObjectKey,
        size: u64,
        algorithm: Option<DigestAlgorithm>,
        cx: &OpContext,
        seen: impl Fn(u64) + Send,
    ) -> Result<Hashes> {
        let mut hasher = Hasher::new(algorithm);
        let mut chunks = self.fetch(key.clone(), 0..size, cx);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            seen(chunk.len() as u64);
            // Hashing a chunk of 1 MiB takes a millisecond or less: not worth a thread of its own.
            hasher.update(&chunk);
        }
        Ok(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_kept_within_a_tenth_over_thirty_seconds() {
        let rate = RateLimit::new(NonZeroU64::new(1_000_000));
        let start = Instant::now();
        let mut sent = 0u64;
        while start.elapsed() < Duration::from_secs(30) {
            rate.pay(250_000).await;
            sent += 250_000;
        }
        assert!((27_000_000..=33_000_000).contains(&sent), "{sent}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_limit_never_waits() {
        let start = Instant::now();
        RateLimit::new(None).pay(u64::MAX).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_large_request_is_limited_as_well() {
        let start = Instant::now();
        RateLimit::new(NonZeroU64::new(1_000_000)).pay(3_000_000).await;
        assert!(start.elapsed() >= Duration::from_secs(3), "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn a_buffer_above_the_whole_budget_gets_all_of_it() {
        let budget = Budget::new(10_000);
        let all = budget.ticket(1 << 40).await.unwrap();
        assert_eq!(budget.semaphore.available_permits(), 0);
        drop(all);
        assert_eq!(budget.semaphore.available_permits(), 3);
    }
}
