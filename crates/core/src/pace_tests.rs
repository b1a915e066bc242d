use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

const STEP: Duration = Duration::from_millis(50);
const PART: u64 = 8 * 1024 * 1024;

/// A bucket with `links` places: a request takes 50 ms alone, and as much longer as there are more requests than links. More
/// than `bearable` at once, and the newest is refused.
struct Bucket {
    pace: Pace,
    now: Duration,
    /// Ends of requests under way.
    under_way: BinaryHeap<Reverse<Duration>>,
    moved: u64,
}

impl Bucket {
    fn new(ceiling: u32) -> Self {
        Self { pace: Pace::new(ceiling), now: Duration::ZERO, under_way: BinaryHeap::new(), moved: 0 }
    }

    /// Saves for `time`. The largest limit in its second half.
    fn run(&mut self, time: Duration, bearable: u32, links: u32) -> u32 {
        let (end, half) = (self.now + time, self.now + time / 2);
        let mut most = 0;
        while self.now < end {
            let mut refused = false;
            while (self.under_way.len() as u32) < self.pace.limit() {
                if self.under_way.len() as u32 >= bearable {
                    refused = true;
                    break;
                }
                let crowd = (self.under_way.len() as u32 + 1).max(links);
                self.under_way.push(Reverse(self.now + STEP * crowd / links));
            }
            if refused {
                self.pace.throttled(self.now);
                // The refused request comes again after its wait.
                self.now += Duration::from_millis(10);
                let now = self.now;
                self.finish_until(now);
                continue;
            }
            let Some(Reverse(next)) = self.under_way.peek().copied() else { continue };
            self.now = next;
            self.finish_until(next);
            if self.now > half {
                most = most.max(self.pace.limit());
            }
        }
        most
    }

    fn finish_until(&mut self, now: Duration) {
        while let Some(Reverse(end)) = self.under_way.peek().copied()
            && end <= now
        {
            let busy = self.under_way.len() as u32;
            self.under_way.pop();
            self.moved += PART;
            self.pace.moved(end, PART, busy);
        }
    }
}

#[test]
fn it_settles_at_what_the_server_bears_and_goes_up_when_that_rises() {
    for k in [1, 2, 3, 5, 8, 13, 20] {
        let mut bucket = Bucket::new(64);
        // The first minute: it has settled by then.
        bucket.run(Duration::from_secs(60), k, 1000);
        let most = bucket.run(Duration::from_secs(120), k, 1000);
        assert!(most <= k + 1, "{most} at {k}");
        assert!(bucket.pace.limit() + 1 >= k, "{:?} at {k}: far below what is borne", bucket.pace);
        // And the server recovers.
        let most = bucket.run(Duration::from_secs(240), 3 * k + 4, 1000);
        assert!(most > k + 1 && most <= 3 * k + 5, "{most} after {k}");
    }
}

#[test]
fn it_goes_up_only_while_more_bytes_get_through() {
    for links in [1, 4, 6, 10] {
        let mut bucket = Bucket::new(256);
        let most = bucket.run(Duration::from_secs(120), 1000, links);
        assert!(most <= links.max(START) + 2, "{most} with {links}");
        assert!(bucket.pace.limit() >= links.min(START), "{:?} with {links}", bucket.pace);
    }
}

#[test]
fn the_ceiling_is_never_passed_and_one_is_never_left() {
    for ceiling in [0, 1, 2, 4, 7] {
        let mut bucket = Bucket::new(ceiling);
        assert_eq!(bucket.pace.limit(), ceiling.clamp(1, START));
        let most = bucket.run(Duration::from_secs(60), 1000, 1000);
        assert!(most <= ceiling.max(1), "{most} of {ceiling}");
        for second in 0..100 {
            bucket.pace.throttled(bucket.now + Duration::from_secs(second));
        }
        assert_eq!(bucket.pace.limit(), 1);
    }
}

#[test]
fn a_burst_of_refusals_counts_once() {
    let mut pace = Pace::new(4);
    for ms in 0..100 {
        pace.throttled(Duration::from_millis(ms));
    }
    assert_eq!(pace.limit(), 3);
}

#[test]
fn requests_that_leave_places_empty_raise_nothing() {
    let mut pace = Pace::new(100);
    for second in 1..100 {
        for _ in 0..20 {
            pace.moved(Duration::from_secs(second), PART, 2);
        }
    }
    assert_eq!(pace.limit(), START);
}
