//! A share of many backups, drawn by a seed: the same seed draws the same ones, in whatever order they come.

use std::fmt;
use std::str::FromStr;

use crate::ids::BackupId;

/// A share in hundredths of a percent: above none, at most all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u32);

/// All of it, in hundredths of a percent.
const ALL: u32 = 100 * 100;

impl Share {
    /// So many hundredths of a percent; `None` for none, and for more than all.
    #[must_use]
    pub const fn new(hundredths: u32) -> Option<Self> {
        if hundredths == 0 || hundredths > ALL { None } else { Some(Self(hundredths)) }
    }

    /// How many of `number`: rounded up, so that of some at least one is drawn.
    #[must_use]
    pub fn of(self, number: usize) -> usize {
        let drawn = (number as u128 * u128::from(self.0)).div_ceil(u128::from(ALL));
        usize::try_from(drawn).unwrap_or(number).min(number)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, rest) if rest % 10 == 0 => write!(f, "{whole}.{}", rest / 10),
            (whole, rest) => write!(f, "{whole}.{rest:02}"),
        }
    }
}

impl FromStr for Share {
    type Err = String;

    /// A percentage with at most two decimals, as in `5` or `0.25`.
    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "a percentage is above 0 and at most 100, with at most two decimals, as in 5 or 0.25";
        let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str, most: usize| {
            let sane = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            sane.then(|| text.parse::<u32>().ok()).flatten()
        };
        let hundredths = digits(whole, 3)
            .zip(digits(rest, 2))
            .map(|(whole, hundredths)| whole * 100 + if rest.len() == 1 { hundredths * 10 } else { hundredths });
        hundredths.and_then(Self::new).ok_or_else(|| FORM.to_owned())
    }
}

/// Where a backup stands in the order of a seed: an order as good as any, for nobody to foresee without the seed.
fn rank(id: BackupId, seed: u64) -> u64 {
    let mix = |state: u64, value: u64| {
        // The finish of SplitMix64, whose every input bit reaches every output bit.
        let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ value;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let state = mix(seed, u64::from(id.partition.0));
    let state = mix(state, id.checkpoint.0);
    mix(state, u64::from(id.node.0))
}

/// Keeps the drawn share of `items`, in their order.
pub fn sample<T>(items: &mut Vec<T>, share: Share, seed: u64, id: impl Fn(&T) -> BackupId) {
    let number = share.of(items.len());
    let mut ranks: Vec<(u64, BackupId)> = items.iter().map(|item| (rank(id(item), seed), id(item))).collect();
    ranks.sort_unstable();
    let Some(last) = number.checked_sub(1).and_then(|at| ranks.get(at)).copied() else { return items.clear() };
    items.retain(|item| (rank(id(item), seed), id(item)) <= last);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn ids() -> Vec<BackupId> {
        (1..=50u64).flat_map(|c| (1..=5).flat_map(move |p| (1..=3).map(move |n| BackupId::new(p, c, n)))).collect()
    }

    fn drawn(mut items: Vec<BackupId>, percent: &str, seed: u64) -> BTreeSet<BackupId> {
        sample(&mut items, percent.parse().unwrap(), seed, |id| *id);
        items.into_iter().collect()
    }

    #[test]
    fn a_seed_draws_the_same_in_any_order_and_another_draws_others() {
        let mut backwards = ids();
        backwards.reverse();
        let first = drawn(ids(), "10", 7);
        assert_eq!((first.len(), &first), (75, &drawn(backwards, "10", 7)));
        assert_ne!(first, drawn(ids(), "10", 8));
    }

    #[test]
    fn every_backup_is_drawn_sooner_or_later_and_none_much_more_than_others() {
        let mut times = std::collections::BTreeMap::new();
        for seed in 0..400 {
            for id in drawn(ids(), "5", seed) {
                *times.entry(id).or_insert(0u32) += 1;
            }
        }
        // 20 times each in the mean; 4.4 is one standard deviation.
        assert_eq!(times.len(), 750);
        assert!(times.values().all(|times| (2..=45).contains(times)), "{:?}", times.values().max());
    }

    #[test]
    fn of_some_at_least_one_and_of_all_all() {
        assert_eq!(drawn(ids()[..1].to_vec(), "0.01", 1).len(), 1);
        assert_eq!(drawn(ids(), "100", 1).len(), 750);
        assert_eq!(drawn(vec![], "50", 1).len(), 0);
    }

    #[test]
    fn percentages_are_read_and_shown() {
        for text in ["1", "0.25", "12.5", "100", "0.01", "99.99"] {
            assert_eq!(text.parse::<Share>().unwrap().to_string(), text);
        }
        assert_eq!("5.0".parse::<Share>().unwrap().to_string(), "5");
        for text in ["0", "0.00", "100.01", "101", "-1", "1.234", "", ".", "5.", ".5", "1e2", "5%", "+5", "9999999999"]
        {
            text.parse::<Share>().unwrap_err();
        }
    }
}
