//! What all clones of a faulty bucket share: scripts, counts, the trace, the crash.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use milepost_store::{BucketError, BucketErrorKind};
use tokio::sync::watch;

use super::call::{Call, CallKind, Outcome, Requests, Trace};
use super::plan::{Crash, Fault, On, Point, Rates};
use crate::on::Counted;

/// Calls that the trace keeps.
const MAX_TRACE: usize = 100_000;

pub(super) struct Shared {
    state: Mutex<State>,
    crash: watch::Sender<Option<Crash>>,
}

#[derive(Default)]
struct State {
    seeded: Option<(u64, Rates)>,
    scripts: Vec<(Counted<CallKind>, Fault)>,
    crashes: Vec<(Counted<CallKind>, Point, Crash)>,
    /// Of each kind and call: how many there were, and how many of the last ones met a fault.
    seen: HashMap<(CallKind, String), (u64, u32)>,
    requests: Requests,
    trace: VecDeque<Call>,
    number: u64,
}

/// A call that has begun. Its outcome stays unfinished if it is dropped before it ends.
pub(super) struct Ticket {
    number: u64,
    pub(super) fault: Option<Fault>,
    pub(super) crash: Option<(Point, Crash)>,
}

impl Shared {
    pub(super) fn new(seeded: Option<(u64, Rates)>) -> Self {
        Self { state: Mutex::new(State { seeded, ..State::default() }), crash: watch::Sender::new(None) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn inject(&self, on: On, fault: Fault) {
        self.lock().scripts.push((Counted::new(on), fault));
    }

    pub(super) fn crash_on(&self, on: On, point: Point, crash: Crash) {
        self.lock().crashes.push((Counted::new(on), point, crash));
    }

    pub(super) fn crash(&self, crash: Crash) {
        self.crash.send_replace(Some(crash));
    }

    pub(super) fn crash_now(&self) -> Option<Crash> {
        *self.crash.borrow()
    }

    pub(super) async fn crashed(&self) {
        // The sender is held by self: waiting cannot fail.
        let _ = self.crash.subscribe().wait_for(Option::is_some).await;
    }

    /// Returns while the process lives; afterwards hangs or fails.
    pub(super) async fn alive(&self) -> Result<(), BucketError> {
        match self.crash_now() {
            None => Ok(()),
            Some(Crash::Hang) => std::future::pending().await,
            Some(Crash::Fail) => Err(BucketError::new(BucketErrorKind::Unavailable, "the process has crashed")),
        }
    }

    pub(super) fn begin(&self, kind: CallKind, key: &str, detail: &str) -> Ticket {
        let mut guard = self.lock();
        let state = &mut *guard;
        *state.requests.0.entry(kind).or_default() += 1;
        state.number += 1;
        let number = state.number;
        // Every script counts every call, whether or not an earlier one acts on it.
        let mut scripted = None;
        for (counted, fault) in &mut state.scripts {
            if counted.meets(&kind, key) && scripted.is_none() {
                scripted = Some(fault.clone());
            }
        }
        let mut crash = None;
        for (counted, point, how) in &mut state.crashes {
            if counted.meets(&kind, key) && crash.is_none() {
                crash = Some((*point, *how));
            }
        }
        let fault = scripted.or_else(|| {
            let (seed, rates) = state.seeded.as_ref()?;
            // A put's mode holds an ETag and a page's token is the store's: they may differ from run to run.
            let what = if kind == CallKind::UploadPart { format!("{key} {detail}") } else { key.to_owned() };
            let (times, in_a_row) = state.seen.entry((kind, what.clone())).or_default();
            *times += 1;
            let drawn = rates
                .draw(*seed, kind, &what, *times)
                .filter(|fault| fault.is_harmless() || *in_a_row < rates.in_a_row);
            *in_a_row = if drawn.as_ref().is_none_or(Fault::is_harmless) { 0 } else { *in_a_row + 1 };
            drawn
        });
        if state.trace.len() == MAX_TRACE {
            state.trace.pop_front();
        }
        state.trace.push_back(Call {
            number,
            kind,
            key: key.to_owned(),
            detail: detail.to_owned(),
            fault: fault.clone(),
            outcome: Outcome::Unfinished,
        });
        Ticket { number, fault, crash }
    }

    pub(super) fn end<T>(&self, ticket: &Ticket, result: &Result<T, BucketError>) {
        let mut state = self.lock();
        let outcome = match result {
            Ok(_) => Outcome::Ok,
            Err(error) => Outcome::Failed { kind: error.kind, maybe_applied: error.maybe_applied },
        };
        // Numbers rise through the trace, which may have been reset meanwhile.
        if let Ok(at) = state.trace.binary_search_by_key(&ticket.number, |call| call.number) {
            state.trace[at].outcome = outcome;
        }
    }

    pub(super) fn requests(&self) -> Requests {
        self.lock().requests.clone()
    }

    pub(super) fn trace(&self) -> Trace {
        let state = self.lock();
        Trace { seed: state.seeded.as_ref().map(|(seed, _)| *seed), calls: state.trace.iter().cloned().collect() }
    }

    pub(super) fn reset(&self) {
        let mut state = self.lock();
        state.requests = Requests::default();
        state.trace.clear();
    }
}
