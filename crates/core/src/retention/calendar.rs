//! Days, weeks and months of UTC.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A span of the calendar that keeps one checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    Day,
    Week,
    Month,
}

impl Period {
    /// The period that a moment lies in, as people write it: `2026-11-21`, `2026-W47`, `2026-11`.
    pub(super) fn of(self, at: Timestamp) -> String {
        let date = at.to_zoned(TimeZone::UTC).date();
        match self {
            Self::Day => date.to_string(),
            Self::Week => {
                let week = date.iso_week_date();
                format!("{}-W{:02}", week.year(), week.week())
            }
            Self::Month => format!("{:04}-{:02}", date.year(), date.month()),
        }
    }

    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_are_those_of_iso_and_all_is_utc() {
        let of = |text: &str| {
            let at: Timestamp = text.parse().unwrap();
            [Period::Day, Period::Week, Period::Month].map(|period| period.of(at))
        };
        assert_eq!(of("2026-11-21T10:00:00Z"), ["2026-11-21", "2026-W47", "2026-11"]);
        assert_eq!(of("2027-01-01T00:00:00Z"), ["2027-01-01", "2026-W53", "2027-01"]);
        assert_eq!(of("2026-12-31T23:59:59-01:00")[0], "2027-01-01");
    }
}
