//! The bytes that everything is made of.
//!
//! Byte `o` of every file is byte `o mod PERIOD` of one block of noise. So the null sink can serve any range of any object
//! that it has thrown away: it needs to know the object's length only, and a restore from it still passes every checksum.
//! The period is a prime: no two parts of a file are equal.

use std::io::{self, Write};
use std::sync::OnceLock;

/// Length of the block in bytes.
pub const PERIOD: usize = 1_048_583;

/// The block: noise that does not compress.
pub fn block() -> &'static [u8] {
    static BLOCK: OnceLock<Vec<u8>> = OnceLock::new();
    BLOCK.get_or_init(|| {
        let mut bytes = vec![0; PERIOD];
        fill(&mut bytes, 0x4d69_6c65_706f_7374);
        bytes
    })
}

/// Writes bytes `from..to` of the endless repetition.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut impl Write, from: u64, to: u64) -> io::Result<()> {
    let block = block();
    let mut at = from;
    while at < to {
        let start = (at % PERIOD as u64) as usize;
        let take = (block.len() - start).min(usize::try_from(to - at).unwrap_or(usize::MAX));
        out.write_all(&block[start..start + take])?;
        at += take as u64;
    }
    Ok(())
}

/// Noise from a seed (xorshift64*).
fn fill(bytes: &mut [u8], seed: u64) {
    let mut noise = Noise::new(seed);
    for chunk in bytes.chunks_mut(8) {
        let word = noise.next().to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
}

/// Seeded numbers: the same in every run.
#[derive(Debug)]
pub struct Noise(u64);

impl Noise {
    /// Numbers that follow from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next one.
    pub const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// One of `low..=high`.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_range_is_that_of_the_endless_repetition() {
        let mut whole = Vec::new();
        write(&mut whole, 0, 3 * PERIOD as u64 + 5).unwrap();
        for (from, to) in [(0, 0), (1, 2), (PERIOD - 1, PERIOD + 1), (7, 2 * PERIOD + 7), (3 * PERIOD, 3 * PERIOD + 5)]
        {
            let mut range = Vec::new();
            write(&mut range, from as u64, to as u64).unwrap();
            assert!(range == whole[from..to], "{from}..{to}");
        }
    }

    #[test]
    fn numbers_keep_their_bounds_and_their_seed() {
        let draw = |seed| {
            let mut noise = Noise::new(seed);
            (0..1000).map(|_| noise.between(4, 64)).collect::<Vec<_>>()
        };
        assert!(draw(7).iter().all(|n| (4..=64).contains(n)));
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
