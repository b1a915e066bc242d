//! What an operator asks to be kept.

use std::time::Duration;

use thiserror::Error;

/// One day.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What is kept, and for how long what is of no use is left lying.
///
/// The `keep_…` rules add up: what any of them keeps stays. The floors `min_count` and `min_age` bind over everything, the
/// ceiling `max_bytes` too: a complete checkpoint goes only when enough newer ones stay AND it is old enough. Without any
/// rule and any floor every complete checkpoint is kept, but for the ceiling.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetentionPolicy {
    /// Keep this many of the newest complete checkpoints.
    pub keep_last: Option<u32>,
    /// Keep complete checkpoints younger than this.
    pub keep_within: Option<Duration>,
    /// Keep the newest complete checkpoint of each of this many last days that have one. Days, weeks (ISO, from Monday) and
    /// months are those of UTC.
    pub keep_daily: Option<u32>,
    /// The same by week.
    pub keep_weekly: Option<u32>,
    /// The same by month.
    pub keep_monthly: Option<u32>,
    /// Floor: the newest complete checkpoints, this many, stay whatever else is said.
    pub min_count: u32,
    /// Floor: complete checkpoints younger than this stay whatever else is said.
    pub min_age: Duration,
    /// Ceiling: the oldest complete checkpoints go until what stays takes no more bytes than this, rules or not; floors,
    /// holds and the newest complete checkpoint bind.
    pub max_bytes: Option<u64>,
    /// For how long failed copies and checkpoints that are not complete are left. Default: 24 h.
    pub failed_grace: Duration,
    /// How old a tombstone must be to be forgotten. Default: 24 h.
    pub tombstone_grace: Duration,
    /// Without a sign of life for this long an IN_PROGRESS is turned to FAILED. Default: 24 h.
    pub stale_after: Duration,
    /// Let the newest complete checkpoint go too, where no rule keeps it.
    pub allow_empty: bool,
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        Self {
            keep_last: None,
            keep_within: None,
            keep_daily: None,
            keep_weekly: None,
            keep_monthly: None,
            min_count: 0,
            min_age: Duration::ZERO,
            max_bytes: None,
            failed_grace: DAY,
            tombstone_grace: DAY,
            stale_after: DAY,
            allow_empty: false,
        }
    }
}

/// Why a policy cannot be meant as it stands. Nothing is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Every rule is zero.
    #[error("the rules keep nothing at all; give a rule that keeps something, or say that the store may become empty")]
    KeepsNothing,
    /// The only rule keeps fewer than the floor.
    #[error("keep-last {keep_last} contradicts min-count {min_count}: fewer are kept than must stay")]
    FewerThanFloor {
        /// The rule.
        keep_last: u32,
        /// The floor.
        min_count: u32,
    },
    /// The only rule keeps a shorter time than the floor.
    #[error("keep-within contradicts min-age: a shorter time is kept than must stay")]
    ShorterThanFloor,
    /// A store that must keep some may not become empty.
    #[error("min-count {0} contradicts allow-empty: one says that some must stay, the other that none need")]
    EmptyBelowFloor(u32),
}

impl RetentionPolicy {
    /// Does any rule name what is kept?
    pub(crate) fn has_rule(&self) -> bool {
        self.keep_within.is_some() || self.counts().any(|count| count.is_some())
    }

    /// Does any floor bind?
    pub(crate) fn has_floor(&self) -> bool {
        self.min_count > 0 || !self.min_age.is_zero()
    }

    fn counts(&self) -> impl Iterator<Item = Option<u32>> {
        [self.keep_last, self.keep_daily, self.keep_weekly, self.keep_monthly].into_iter()
    }

    /// Looks for contradictions.
    ///
    /// # Errors
    /// The first one that is found.
    pub fn check(&self) -> Result<(), PolicyError> {
        let nothing = self.counts().all(|count| count.unwrap_or(0) == 0)
            && self.keep_within.is_none_or(|within| within.is_zero())
            && !self.has_floor();
        if !self.allow_empty && ((self.has_rule() && nothing) || self.max_bytes == Some(0)) {
            return Err(PolicyError::KeepsNothing);
        }
        if self.allow_empty && self.min_count > 0 {
            return Err(PolicyError::EmptyBelowFloor(self.min_count));
        }
        let rules = self.counts().filter(Option::is_some).count() + usize::from(self.keep_within.is_some());
        // With a second rule the first may be meant for less than the floor; alone it can only be a slip.
        if rules == 1 {
            match (self.keep_last, self.keep_within) {
                (Some(keep_last), _) if keep_last < self.min_count => {
                    return Err(PolicyError::FewerThanFloor { keep_last, min_count: self.min_count });
                }
                (_, Some(within)) if within < self.min_age => return Err(PolicyError::ShorterThanFloor),
                _ => {}
            }
        }
        Ok(())
    }
}
