//! How often a journal is written.

use std::time::Duration;

use tokio::time::Instant;

/// Decides when a journal is due.
///
/// Wanted: every N files or T seconds, so that little is lost. But each write is of the whole journal: at 300,000 files some
/// 80 MB, and one every 100 files would be 3,000 writes or 120 GB, growing with the square of the number of files. So after a
/// write that took `c`, the next one waits at least `9c` more: writing takes at most a tenth of the time, whatever the size, and
/// its sum is bounded by a ninth of the save's duration plus one write. What a kill then loses grows only in proportion to a
/// write's cost, and costs a HEAD or a hash of each file done since, not an upload: the bucket is the truth.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    every_files: u32,
    every: Duration,
    changed: u32,
    last: Instant,
    cost: Duration,
}

/// A write may take one part in this many of the time.
const SHARE: u32 = 10;

impl Pace {
    /// Due after `every_files` changes or after `every` with any change, counted from `now`.
    pub(crate) const fn new(every_files: u32, every: Duration, now: Instant) -> Self {
        Self { every_files, every, changed: 0, last: now, cost: Duration::ZERO }
    }

    /// Something changed that the next write would keep.
    pub(crate) const fn changed(&mut self) {
        self.changed = self.changed.saturating_add(1);
    }

    /// Should the journal be written now?
    pub(crate) fn due(&self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.last);
        self.changed > 0
            && (self.changed >= self.every_files || since >= self.every)
            && since >= self.cost.saturating_mul(SHARE - 1)
    }

    /// A write takes all changes so far, and begins. Until it ends no other one is due.
    pub(crate) const fn begin(&mut self) {
        self.changed = 0;
    }

    /// The write ended, after `cost`, well or not.
    pub(crate) const fn end(&mut self, now: Instant, cost: Duration) {
        self.last = now;
        self.cost = cost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn files_or_time_make_it_due_but_nothing_new_does_not() {
        let start = Instant::now();
        let mut pace = Pace::new(3, Duration::from_secs(5), start);
        assert!(!pace.due(start + Duration::from_secs(60)));
        pace.changed();
        assert!(!pace.due(start) && pace.due(start + Duration::from_secs(5)));
        pace.changed();
        pace.changed();
        assert!(pace.due(start));
        pace.begin();
        pace.end(start, Duration::ZERO);
        assert!(!pace.due(start + Duration::from_secs(60)));
    }

    #[tokio::test(start_paused = true)]
    async fn writing_takes_a_tenth_of_the_time_at_most_and_grows_no_faster_than_the_save() {
        // A save of 300,000 files, 1 ms each; a write costs 1.5 µs a file done so far and 5 ms for its syncs.
        for files in [1_000u64, 30_000, 300_000] {
            let start = Instant::now();
            let mut pace = Pace::new(100, Duration::from_secs(5), start);
            let (mut now, mut written, mut writes) = (start, Duration::ZERO, 0);
            let cost = Duration::from_millis(5) + Duration::from_nanos(1_500) * u32::try_from(files).unwrap();
            for _ in 0..files {
                now += Duration::from_millis(1);
                pace.changed();
                if pace.due(now) {
                    pace.begin();
                    now += cost;
                    pace.end(now, cost);
                    (written, writes) = (written + cost, writes + 1);
                }
            }
            assert!(written <= (now - start) / 10 + cost, "{files}: {written:?} of {:?}", now - start);
            assert!(writes > files / 10_000, "{files}: only {writes} writes");
        }
    }
}
