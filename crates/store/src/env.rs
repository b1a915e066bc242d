//! Time and randomness, passed in: the composition root alone asks the machine, so that a test can replay a seed.
//!
//! Waiting is tokio's: `tokio::time::pause` makes a test's hours pass in milliseconds. What is passed in here is the wall
//! clock, which goes into documents and nowhere else, and random bits.

use std::fmt;
use std::sync::Arc;

use milepost_core::{AttemptId, Owner, Timestamp};

/// The wall clock.
pub trait Clock: Send + Sync + 'static {
    /// The time of day, for documents; never used to order anything.
    fn now(&self) -> Timestamp;
}

/// A source of random bits, for ids and jitter.
pub trait Random: Send + Sync + 'static {
    /// 128 bits. Two processes must not draw the same.
    fn bits(&self) -> [u8; 16];
}

/// Everything that the engine would otherwise ask the machine for.
#[derive(Clone)]
pub struct Env {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Random bits.
    pub random: Arc<dyn Random>,
    /// This host's name, at most 255 bytes, for people who look for the owner of a save.
    pub host: String,
    /// This process's id.
    pub pid: u32,
    /// Where threads that read and write files come from.
    pub threads: Threads,
}

/// Where threads that read and write files come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Threads {
    /// A store starts a few of its own, and they end with it.
    #[default]
    Own,
    /// The runtime's pool of blocking threads lends them, for as long as there is work. A paused clock (`tokio::time::pause`)
    /// runs ahead of threads that the runtime does not know, so tests want this; priorities then have no effect.
    Runtime,
}

impl Env {
    /// The owner of an attempt that begins now.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner { host: milepost_core::document::cut(&self.host, 255), pid: self.pid, started_at: self.clock.now() }
    }

    /// A new attempt id.
    #[must_use]
    pub fn attempt(&self) -> AttemptId {
        AttemptId::from_random(self.random.bits())
    }

    /// 64 random bits.
    #[must_use]
    pub fn seed(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.random.bits();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").field("host", &self.host).field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// A clock that stands at one time until told otherwise, for tests.
#[derive(Debug)]
pub struct FixedClock(std::sync::Mutex<Timestamp>);

impl FixedClock {
    /// A clock that shows `at`.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        Self(std::sync::Mutex::new(at))
    }

    /// Sets the clock.
    pub fn set(&self, at: Timestamp) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = at;
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Random bits from a seed (SplitMix64), for tests: the same seed gives the same bits in the same order.
#[derive(Debug)]
pub struct SeededRandom(std::sync::atomic::AtomicU64);

impl SeededRandom {
    /// The sequence of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(std::sync::atomic::AtomicU64::new(seed))
    }

    /// The next 64 bits.
    pub fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, std::sync::atomic::Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Random for SeededRandom {
    fn bits(&self) -> [u8; 16] {
        let mut bits = [0; 16];
        bits[..8].copy_from_slice(&self.next().to_le_bytes());
        bits[8..].copy_from_slice(&self.next().to_le_bytes());
        bits
    }
}
