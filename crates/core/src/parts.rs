//! How a file is cut into the parts of a multipart upload.
//!
//! Part sizes are powers of two wherever the limits of the store let them: the parts of a file are then whole subtrees of
//! its BLAKE3 tree, so parts that are hashed out of order can be joined.
//!
//! ```
//! use milepost_core::parts::PartPlan;
//! const MIB: u64 = 1024 * 1024;
//!
//! // S3: parts of 5 MiB to 5 GiB, at most 10,000 of them.
//! let plan = PartPlan::new(20 * MIB, 8 * MIB, 5 * MIB, 5120 * MIB, 10_000)?;
//! assert_eq!((plan.part_size(), plan.count()), (8 * MIB, 3));
//! assert_eq!(plan.range(3), 16 * MIB..20 * MIB);
//! # Ok::<(), milepost_core::parts::PartError>(())
//! ```

use std::ops::Range;

use thiserror::Error;

const MIB: u64 = 1024 * 1024;

/// Why a file cannot be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PartError {
    /// The file is longer than the most parts of the largest size hold.
    #[error("a file of {len} bytes does not fit {max_parts} parts of at most {max_part} bytes")]
    TooLarge {
        /// The file's length in bytes.
        len: u64,
        /// The most parts.
        max_parts: u32,
        /// The largest part, in bytes.
        max_part: u64,
    },
    /// No part can meet the limits: one is 0, or the smallest part is larger than the largest.
    #[error("no part can be from {min_part} to {max_part} bytes long, {max_parts} of them at most")]
    Limits {
        /// The smallest part, in bytes.
        min_part: u64,
        /// The largest part, in bytes.
        max_part: u64,
        /// The most parts.
        max_parts: u32,
    },
}

/// A file cut into parts: all of one size but the last, which may be shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PartPlan {
    len: u64,
    part_size: u64,
    count: u32,
}

impl PartPlan {
    /// Cuts a file of `len` bytes into parts of about `wanted` bytes. `min_part` and `max_part` are what the store takes
    /// for a part (the last may be shorter), in bytes, and `max_parts` is how many of them it takes.
    ///
    /// The size is the smallest power of two that is not below `wanted` nor `min_part` and holds the file in `max_parts`
    /// parts. Where that exceeds `max_part`: the largest power of two that does not, if it is enough; else the smallest
    /// sufficient multiple of a MiB, or `max_part` itself.
    ///
    /// # Errors
    /// [`PartError::TooLarge`] where `max_parts` parts of `max_part` bytes do not hold the file; [`PartError::Limits`] where
    /// no part at all meets the limits.
    pub fn new(len: u64, wanted: u64, min_part: u64, max_part: u64, max_parts: u32) -> Result<Self, PartError> {
        if max_part == 0 || max_parts == 0 || min_part > max_part {
            return Err(PartError::Limits { min_part, max_part, max_parts });
        }
        let sufficient = len.div_ceil(u64::from(max_parts)).max(min_part).max(1);
        if sufficient > max_part {
            return Err(PartError::TooLarge { len, max_parts, max_part });
        }
        let largest_power = 1 << max_part.ilog2();
        let part_size = match sufficient.max(wanted).checked_next_power_of_two() {
            Some(power) if power <= max_part => power,
            _ if largest_power >= sufficient => largest_power,
            // Only close to the limits, as S3's files of more than 39 TiB: 4 GiB is too small, 8 GiB too large.
            _ => sufficient.checked_next_multiple_of(MIB).unwrap_or(max_part).min(max_part),
        };
        // `part_size` is at least `sufficient`, so the count is at most `max_parts`.
        let count = u32::try_from(len.div_ceil(part_size)).unwrap_or(max_parts).max(1);
        Ok(Self { len, part_size, count })
    }

    /// A file that is not cut: one part of all its bytes.
    #[must_use]
    pub const fn whole(len: u64) -> Self {
        Self { len, part_size: if len == 0 { 1 } else { len }, count: 1 }
    }

    /// The length of the file, in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Is the file empty? It has one part all the same, an empty one.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The length of every part but the last, in bytes. A power of two wherever the limits let it be one.
    #[must_use]
    pub const fn part_size(&self) -> u64 {
        self.part_size
    }

    /// How many parts there are: at least 1, at most the limit.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The bytes of part `number`, which runs from 1 to [`count`](Self::count). Any other number: an empty range at the
    /// file's end.
    #[must_use]
    pub fn range(&self, number: u32) -> Range<u64> {
        if number == 0 || number > self.count {
            return self.len..self.len;
        }
        let start = u64::from(number - 1).saturating_mul(self.part_size).min(self.len);
        start..start.saturating_add(self.part_size).min(self.len)
    }

    /// All part numbers with their bytes, in order.
    pub fn parts(&self) -> impl Iterator<Item = (u32, Range<u64>)> + use<> {
        let plan = *self;
        (1..=plan.count).map(move |number| (number, plan.range(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GIB: u64 = 1024 * MIB;

    fn s3(len: u64) -> PartPlan {
        PartPlan::new(len, 8 * MIB, 5 * MIB, 5 * GIB, 10_000).unwrap()
    }

    fn check(plan: &PartPlan, len: u64) {
        let mut next = 0;
        for (number, range) in plan.parts() {
            assert_eq!(range.start, next, "part {number} of {plan:?}");
            if number < plan.count() {
                assert_eq!(range.end - range.start, plan.part_size(), "part {number} of {plan:?}");
            } else {
                assert!(range.end - range.start <= plan.part_size());
                assert!(len == 0 || range.end > range.start, "the last part of {plan:?} is empty");
            }
            next = range.end;
        }
        assert_eq!(next, len, "{plan:?}");
        assert_eq!(plan.range(0), len..len);
        assert_eq!(plan.range(plan.count() + 1), len..len);
    }

    #[test]
    fn parts_grow_with_the_file() {
        for (len, size, count) in [
            (0, 8 * MIB, 1),
            (1, 8 * MIB, 1),
            (8 * MIB, 8 * MIB, 1),
            (8 * MIB + 1, 8 * MIB, 2),
            (5 * GIB, 8 * MIB, 640),
            (10_000 * 8 * MIB, 8 * MIB, 10_000),
            (10_000 * 8 * MIB + 1, 16 * MIB, 5001),
            (48 * GIB, 8 * MIB, 6144),
            (200 * GIB, 32 * MIB, 6400),
            (10_000 * 4 * GIB, 4 * GIB, 10_000),
            // 4 GiB no longer do, 8 GiB are refused: a multiple of a MiB.
            (10_000 * 4 * GIB + 1, 4 * GIB + MIB, 9998),
            (10_000 * 5 * GIB, 5 * GIB, 10_000),
        ] {
            let plan = s3(len);
            assert_eq!((plan.part_size(), plan.count()), (size, count), "{len}");
            assert_eq!((plan.len(), plan.is_empty()), (len, len == 0));
            check(&plan, len);
        }
    }

    #[test]
    fn a_file_that_is_not_cut_is_its_one_part() {
        for len in [0, 1, 3 * MIB + 1, u64::MAX] {
            let plan = PartPlan::whole(len);
            assert_eq!((plan.count(), plan.range(1)), (1, 0..len));
        }
    }

    #[test]
    fn what_cannot_fit_is_refused() {
        let len = 10_000 * 5 * GIB + 1;
        assert_eq!(
            PartPlan::new(len, 8 * MIB, 5 * MIB, 5 * GIB, 10_000),
            Err(PartError::TooLarge { len, max_parts: 10_000, max_part: 5 * GIB })
        );
        for (min_part, max_part, max_parts) in [(2, 1, 1), (0, 0, 1), (1, 1, 0)] {
            let error = PartPlan::new(1, 1, min_part, max_part, max_parts).unwrap_err();
            assert_eq!(error, PartError::Limits { min_part, max_part, max_parts });
            assert!(error.to_string().starts_with("no part can be"), "{error}");
        }
    }

    #[test]
    fn a_power_of_two_below_the_wanted_size_is_better_than_none() {
        assert_eq!(PartPlan::new(100 * GIB, 5 * GIB, 5 * MIB, 5 * GIB, 10_000).unwrap().part_size(), 4 * GIB);
        assert_eq!(PartPlan::new(100, u64::MAX, 0, u64::MAX, 10).unwrap().part_size(), 1 << 63);
        // Where only one size is allowed, that one.
        assert_eq!(PartPlan::new(100 * MIB, 1, 5 * MIB, 5 * MIB, 20).unwrap().part_size(), 5 * MIB);
        assert_eq!(PartPlan::new(u64::MAX, 1, 1, u64::MAX, 1).unwrap().part_size(), u64::MAX);
    }

    proptest! {
        #[test]
        fn ranges_tile_the_file(
            len in prop_oneof![0u64..100_000, 0u64..1 << 45],
            wanted in 0u64..1 << 34,
            min_part in prop_oneof![0u64..100, 0u64..10 * MIB],
            max_part in prop_oneof![1u64..1000, 1u64..8 * GIB],
            max_parts in 1u32..2000,
        ) {
            let fits = u128::from(len) <= u128::from(max_part) * u128::from(max_parts);
            match PartPlan::new(len, wanted, min_part, max_part, max_parts) {
                Ok(plan) => {
                    prop_assert!(fits && min_part <= max_part);
                    check(&plan, len);
                    let size = plan.part_size();
                    prop_assert!(plan.count() <= max_parts && size >= min_part.max(1) && size <= max_part);
                    // A power of two in bounds that holds the file is never passed over.
                    let usable = |power: u64| power >= min_part && power <= max_part
                        && u128::from(power) * u128::from(max_parts) >= u128::from(len);
                    let powers: Vec<u64> = (0..63).map(|bit| 1 << bit).filter(|power| usable(*power)).collect();
                    prop_assert_eq!(size.is_power_of_two(), !powers.is_empty());
                    if let Some(smallest) = powers.iter().find(|power| **power >= wanted).or(powers.last()) {
                        prop_assert_eq!(size, *smallest);
                    }
                }
                Err(PartError::TooLarge { .. }) => prop_assert!(!fits),
                Err(PartError::Limits { .. }) => prop_assert!(min_part > max_part),
            }
        }
    }
}
