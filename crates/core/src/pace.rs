//! How many requests at once: up while more bytes get through, down when the server asks to slow down.
//!
//! A pure controller: the caller says what happened and when, and asks how many requests it may have under way. Time is any
//! clock that does not run backwards, as a duration since any moment.
//!
//! - It begins with [`START`] requests, or the ceiling where that is lower.
//! - **Up.** When all places were in use for a window, it tries one more (an eighth more while nothing was ever refused). If
//!   the bytes per second do not rise by a quarter of what the places did, the try is taken back, and the next one waits.
//! - **Down.** When the server throttles, a quarter of the places goes, at once; all refusals within a second count as one,
//!   for they answer requests that were sent before. The number that was refused is a wall: the controller goes up to just
//!   below it, and looks whether it still stands after a while that doubles with each refusal, 5 s to 60 s.

use std::time::Duration;

/// Requests at once in the beginning.
pub const START: u32 = 4;

/// The shortest time over which bytes are compared.
const WINDOW: Duration = Duration::from_secs(1);
/// Refusals that come closer together are about the same requests.
const COOL: Duration = Duration::from_secs(1);
/// How long a number that gained nothing is not tried again.
const REST: Duration = Duration::from_secs(15);
/// How long a wall is believed at first, and at most.
const BELIEF: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// The controller.
#[derive(Debug, Clone)]
pub struct Pace {
    ceiling: u32,
    limit: u32,
    window: Option<Window>,
    /// The number before the last step up, and the bytes per second that it reached.
    before: Option<(u32, f64)>,
    /// No step up before this time.
    rest_until: Duration,
    wall: Option<Wall>,
    belief: Duration,
    cut_at: Option<Duration>,
    throttled_ever: bool,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    began: Duration,
    bytes: u64,
    requests: u64,
    full: bool,
}

/// A number of requests that the server refused.
#[derive(Debug, Clone, Copy)]
struct Wall {
    at: u32,
    until: Duration,
}

impl Pace {
    /// A controller that never allows more than `ceiling` requests at once; at least 1.
    #[must_use]
    pub fn new(ceiling: u32) -> Self {
        let ceiling = ceiling.max(1);
        Self {
            ceiling,
            limit: ceiling.min(START),
            window: None,
            before: None,
            rest_until: Duration::ZERO,
            wall: None,
            belief: BELIEF.0,
            cut_at: None,
            throttled_ever: false,
        }
    }

    /// How many requests may be under way: 1 to the ceiling.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// A request moved `bytes`, while `busy` requests were under way, itself included.
    pub fn moved(&mut self, now: Duration, bytes: u64, busy: u32) {
        let window = self.window.get_or_insert(Window { began: now, bytes: 0, requests: 0, full: false });
        window.bytes = window.bytes.saturating_add(bytes);
        window.requests += 1;
        window.full |= busy >= self.limit;
        let window = *window;
        let took = now.saturating_sub(window.began);
        // A few requests tell nothing: they may all have begun before the last step.
        if took < WINDOW || window.requests < 2 * u64::from(self.limit) {
            return;
        }
        self.window = None;
        self.judge(now, window.bytes as f64 / took.as_secs_f64(), window.full);
    }

    fn judge(&mut self, now: Duration, rate: f64, full: bool) {
        if let Some((fewer, earlier)) = self.before.take() {
            let gain = f64::from(self.limit - fewer.min(self.limit)) / f64::from(fewer);
            if rate < earlier * (1.0 + gain / 4.0) {
                self.limit = fewer;
                self.rest_until = now + REST;
                return;
            }
            if self.wall.is_some_and(|wall| self.limit >= wall.at) {
                // Where it stood, more bytes get through: it is gone.
                self.wall = None;
                self.belief = BELIEF.0;
            }
        }
        if !full || now < self.rest_until {
            return;
        }
        let step = if self.throttled_ever { 1 } else { (self.limit / 8).max(1) };
        let mut next = self.limit.saturating_add(step).min(self.ceiling);
        if let Some(wall) = self.wall
            && now < wall.until
        {
            next = next.min(wall.at.saturating_sub(1).max(1));
        }
        if next > self.limit {
            self.before = Some((self.limit, rate));
            self.limit = next;
        }
    }

    /// The server asked to slow down.
    pub fn throttled(&mut self, now: Duration) {
        if self.cut_at.is_some_and(|at| now.saturating_sub(at) < COOL) {
            return;
        }
        self.cut_at = Some(now);
        if self.wall.is_some_and(|wall| wall.at <= self.limit) {
            self.belief = (self.belief * 2).min(BELIEF.1);
        }
        self.throttled_ever = true;
        self.wall = Some(Wall { at: self.limit, until: now + self.belief });
        // Who was refused for one more than before goes back to that, not far below it.
        self.limit = match self.before.take() {
            Some((fewer, _)) => fewer,
            None => (self.limit - self.limit.div_ceil(4)).max(1),
        };
        self.window = None;
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
