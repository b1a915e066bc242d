//! This machine: the one place that asks it for the time, for random bits, for its name and its folders.
//!
//! Everything else takes an [`Env`], so that a test can replay a seed and stop the clock.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use etcetera::BaseStrategy as _;
use milepost_core::Timestamp;
use milepost_store::{Clock, Env, Error, ErrorKind, Random, Result};

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the composition root is where the time comes from")]
        Timestamp::now()
    }
}

/// Random bits of the operating system.
///
/// It was asked once at the start, so a later failure (a descriptor limit, on systems that read a device) does not stop a
/// running broker: the bits are then drawn from that first answer and a counter, which no other process shares.
#[derive(Debug)]
pub struct SystemRandom {
    seed: u128,
    drawn: AtomicU64,
}

impl SystemRandom {
    /// Asks the operating system for the first bits.
    ///
    /// # Errors
    /// Internal where it has none to give.
    pub fn new() -> Result<Self> {
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("the operating system gives no random bits: {error}"))
        })?;
        Ok(Self { seed: u128::from_le_bytes(seed), drawn: AtomicU64::new(0) })
    }

    fn fallback(&self) -> [u8; 16] {
        // Odd multipliers are bijections modulo 2^128: no two draws of one process are equal.
        let n = u128::from(self.drawn.fetch_add(1, Ordering::Relaxed)) + 1;
        let mut mixed = self.seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        mixed = (mixed ^ (mixed >> 65)).wrapping_mul(0xda94_2042_e4dd_58b5_94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 65)).to_le_bytes()
    }
}

impl Random for SystemRandom {
    fn bits(&self) -> [u8; 16] {
        let mut bits = [0; 16];
        match getrandom::fill(&mut bits) {
            Ok(()) => bits,
            Err(_) => self.fallback(),
        }
    }
}

/// This machine's clock, random bits, name and this process's id.
///
/// # Errors
/// Internal where the operating system gives no random bits.
pub fn env() -> Result<Env> {
    Ok(Env {
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom::new()?),
        host: host(),
        pid: std::process::id(),
        threads: milepost_store::env::Threads::Own,
    })
}

/// This machine's name, cut to 255 bytes; `unknown` where it has none.
#[must_use]
pub fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "unknown".to_owned() } else { milepost_core::document::cut(&name, 255) }
}

/// Where this user's programs keep their state: `$XDG_STATE_HOME/milepost`, else `~/.local/state/milepost`. `None` for a
/// user without a home. The folder may not exist yet.
#[must_use]
pub fn state_dir() -> Option<PathBuf> {
    let folders = etcetera::base_strategy::Xdg::new().ok()?;
    folders.state_dir().map(|folder| folder.join("milepost"))
}

/// Where resume journals go unless a setting says otherwise: `journals` in [`state_dir`].
#[must_use]
pub fn journal_dir() -> Option<PathBuf> {
    state_dir().map(|folder| folder.join("journals"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_machine_is_known() {
        let env = env().unwrap();
        assert!(!env.host.is_empty() && env.host.len() <= 255);
        assert_eq!(env.pid, std::process::id());
        assert!(env.clock.now() > Timestamp::UNIX_EPOCH);
        assert_ne!(env.attempt(), env.attempt());
    }

    #[test]
    fn fallback_bits_never_repeat() {
        let random = SystemRandom::new().unwrap();
        let drawn: HashSet<_> = (0..10_000).map(|_| random.fallback()).collect();
        assert_eq!(drawn.len(), 10_000);
        assert_ne!(SystemRandom::new().unwrap().fallback(), SystemRandom::new().unwrap().fallback());
    }
}
