//! Medians, spreads and ratios.

use std::fmt;

use crate::run::{Record, Run};
use crate::sample::{Measured, Op};
use crate::workload::Workload;

/// The middle of some values, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Spread {
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Self { median, low, high })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        write!(f, "{:.digits$} [{:.digits$}–{:.digits$}]", self.median, self.low, self.high)
    }
}

/// The samples of one client doing one thing with one workload.
pub(super) struct Samples<'a>(pub Vec<&'a Record>);

impl<'a> Samples<'a> {
    pub(super) fn of(run: &'a Run, workload: Workload, op: Op, client: &str) -> Self {
        let wanted = |record: &&Record| record.workload == workload && record.op == op && record.client == client;
        Self(run.records.iter().filter(wanted).collect())
    }

    /// Of every sample that did not fail.
    pub(super) fn each(&self, value: impl Fn(&Record, &Measured) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.0.iter().filter_map(|record| value(record, record.measured.as_ref()?)))
    }

    pub(super) fn failed(&self) -> Option<&str> {
        self.0.iter().find_map(|record| record.error.as_deref())
    }

    /// This client's value by another's, within each round.
    pub(super) fn ratio(&self, other: &Self, value: impl Fn(&Measured) -> f64) -> Option<Spread> {
        Spread::of(self.0.iter().filter_map(|own| {
            let its = other.0.iter().find(|its| its.round == own.round)?.measured.as_ref()?;
            Some(value(own.measured.as_ref()?) / value(its))
        }))
    }
}

/// The raw loop that a client is compared with: the one that hashes as it does.
pub(super) fn floor_of(client: &str) -> &'static str {
    let crc_only = !client.starts_with("milepost") && client != "raw" || client.contains("digest=none");
    if crc_only { "raw:digest=none" } else { "raw" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let spread = Spread::of([3.0, 1.0, f64::NAN, 2.0]).unwrap();
        assert_eq!((spread.median, spread.low, spread.high), (2.0, 1.0, 3.0));
        assert_eq!(Spread::of([1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Spread::of([]), None);
        assert_eq!(format!("{spread:.1}"), "2.0 [1.0–3.0]");
    }

    #[test]
    fn each_is_compared_with_the_loop_that_hashes_alike() {
        assert_eq!(floor_of("milepost"), "raw");
        assert_eq!(floor_of("milepost:part=16"), "raw");
        assert_eq!(floor_of("milepost:digest=none"), "raw:digest=none");
        assert_eq!(floor_of("rclone"), "raw:digest=none");
    }
}
