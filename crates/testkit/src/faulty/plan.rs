//! Which fault meets which call.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use milepost_store::BucketErrorKind;
use milepost_store::env::SeededRandom;
use tokio::sync::watch;

use super::call::CallKind;

/// What is done to a call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It fails and has no effect.
    Before(BucketErrorKind),
    /// It has its effect (if the store lets it), but the reply is lost: the caller is told this kind, and, of a write, that
    /// it may have been applied.
    After(BucketErrorKind),
    /// The caller is told of a timeout at once; the effect comes this much later. Reads are only told of the timeout.
    Late(Duration),
    /// It is answered as ever, and reaches the store a second time so much later: a zombie. Of a read: nothing more than that.
    Again(Duration),
    /// The request reaches the store twice, as when a client library sends it again by itself: the caller gets the second
    /// reply.
    Repeat,
    /// It waits this long, then goes on.
    Delay(Duration),
    /// It waits at a gate, then goes on: so that a test can do something in between.
    Hold(Gate),
    /// The store asks to slow down, and for how long.
    Throttle(Option<Duration>),
    /// Of a get: the body breaks off with an error after this many bytes. Other calls go on unharmed.
    CutBody(u64),
    /// Of a delete: keys that contain this text stay, and their outcomes are this failure. Other calls go on unharmed.
    KeepKeys(String, BucketErrorKind),
    /// Of a listing: the page ends after so many entries (at least one), and the next one goes on there, as a store may.
    ShortPage(usize),
    /// Of a query for open uploads: the answer names none, as of a server that has them in memory and was restarted.
    HideUploads,
}

impl Fault {
    /// Does the call end as it would without the fault? Such faults do not hinder a retry.
    pub(super) fn is_harmless(&self) -> bool {
        matches!(self, Self::Delay(_) | Self::Repeat | Self::Again(_) | Self::ShortPage(_))
    }
}

/// Holds a call until a test opens it. Clones are the same gate.
#[derive(Clone)]
pub struct Gate {
    reached: Arc<watch::Sender<bool>>,
    open: Arc<watch::Sender<bool>>,
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self { reached: Arc::new(watch::Sender::new(false)), open: Arc::new(watch::Sender::new(false)) }
    }

    /// Waits until a call is held.
    pub async fn reached(&self) {
        // The sender is held by self: waiting cannot fail.
        let _ = self.reached.subscribe().wait_for(|reached| *reached).await;
    }

    /// Lets every call go on, now and later.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    pub(crate) async fn pass(&self) {
        self.reached.send_replace(true);
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

/// Describes calls of the port.
pub type On = crate::on::On<CallKind>;

impl On {
    /// The first call of this kind.
    #[must_use]
    pub fn call(kind: CallKind) -> Self {
        Self::kind(kind)
    }
}

/// Before or after the effect of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The request never reaches the store.
    Before,
    /// The store has applied it; nobody hears of it.
    After,
}

/// What calls do once the process has crashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// They never return: the test drops them.
    Hang,
    /// They fail as unavailable: for code that must come to an end by itself.
    Fail,
}

/// How many calls of a thousand meet each fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    /// Fail without effect.
    pub before: u32,
    /// Lose the reply.
    pub after: u32,
    /// Have a write's effect later than its reply.
    pub late: u32,
    /// Deliver a write twice.
    pub repeat: u32,
    /// Deliver a write a second time long after it was answered: up to 200 times `longest`.
    pub again: u32,
    /// Refuse a put or a completion as if its condition did not hold, without a look (409).
    pub unsure: u32,
    /// End a page of a listing early.
    pub short_page: u32,
    /// Ask to slow down.
    pub throttle: u32,
    /// Wait.
    pub delay: u32,
    /// Break a body off.
    pub cut_body: u32,
    /// Fail one key of a delete.
    pub keep_key: u32,
    /// How long to wait, and how late to be, at most.
    pub longest: Duration,
    /// After so many faults in a row on one kind and key, one such call is spared: retries come to an end.
    pub in_a_row: u32,
}

impl Default for Rates {
    /// About one call in six meets something; never more than two in a row; waits of up to 50 ms.
    fn default() -> Self {
        Self {
            before: 40,
            after: 40,
            late: 10,
            repeat: 10,
            throttle: 20,
            delay: 30,
            cut_body: 40,
            keep_key: 50,
            again: 10,
            unsure: 10,
            short_page: 50,
            longest: Duration::from_millis(50),
            in_a_row: 2,
        }
    }
}

impl Rates {
    /// No faults: a start for `Rates { after: 100, ..Rates::none() }`.
    #[must_use]
    pub fn none() -> Self {
        Self {
            before: 0,
            after: 0,
            late: 0,
            repeat: 0,
            throttle: 0,
            delay: 0,
            cut_body: 0,
            keep_key: 0,
            again: 0,
            unsure: 0,
            short_page: 0,
            longest: Duration::from_millis(50),
            in_a_row: 2,
        }
    }

    /// The fault for the `nth` call that says `what`, if any.
    pub(super) fn draw(&self, seed: u64, kind: CallKind, what: &str, nth: u64) -> Option<Fault> {
        // FNV-1a over what makes the call this one: no draw depends on the order in which tasks happen to run.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in format!("{kind:?} {what} {nth}").bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        let random = SeededRandom::new(seed ^ hash);
        let (write, roll) = (kind.is_write(), (random.next() % 1000) as u32);
        let lost = if random.next() & 1 == 0 { BucketErrorKind::Unavailable } else { BucketErrorKind::Timeout };
        let nanos = u64::try_from(self.longest.as_nanos()).unwrap_or(u64::MAX).max(1);
        let wait = Duration::from_nanos(random.next() % nanos);
        let digit = random.next() % 10;
        let conditional = matches!(kind, CallKind::Put | CallKind::CompleteUpload);
        let faults = [
            (self.before, true, Fault::Before(lost)),
            (self.after, true, Fault::After(lost)),
            (self.late, write, Fault::Late(wait)),
            (self.repeat, write, Fault::Repeat),
            (self.throttle, true, Fault::Throttle(Some(wait))),
            (self.delay, true, Fault::Delay(wait)),
            (self.cut_body, kind == CallKind::Get, Fault::CutBody(random.next() % 65_536)),
            (self.keep_key, kind == CallKind::Delete, Fault::KeepKeys(digit.to_string(), BucketErrorKind::Unavailable)),
            (self.again, write, Fault::Again(wait * (1 + random.next() % 200) as u32)),
            (self.unsure, conditional, Fault::Before(BucketErrorKind::Precondition)),
            (self.short_page, kind == CallKind::List, Fault::ShortPage(1 + (random.next() % 3) as usize)),
        ];
        let mut below = 0;
        for (rate, fits, fault) in faults {
            below += if fits { rate } else { 0 };
            if roll < below {
                return Some(fault);
            }
        }
        None
    }
}
