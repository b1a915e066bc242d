//! What the server's threads and the test share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use milepost_store::MemoryBucket;
use tokio::sync::watch;

use super::fault::{Fault, On, Script};
use super::log::{Log, Request};
use super::operation::Operation;
use super::quirks::Quirks;

/// The log keeps so many requests, the last ones.
const MAX_LOG: usize = 100_000;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) bucket: MemoryBucket,
    state: Mutex<State>,
    /// Late deliveries that are still to come.
    pending: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    script: Script,
    quirks: Quirks,
    log: VecDeque<Request>,
    counts: BTreeMap<Operation, u64>,
    /// Requests so far: those that `reset` forgot, too, so that request ids stay unique.
    arrived: u64,
    under_way: usize,
    most_under_way: usize,
}

/// A request that has arrived. While this lives, the request counts as under way.
pub(super) struct Arrived<'a> {
    shared: &'a Shared,
    pub(super) number: u64,
    pub(super) fault: Option<Fault>,
    /// More requests are under way than the quirks allow.
    pub(super) too_many: bool,
}

impl Drop for Arrived<'_> {
    fn drop(&mut self) {
        self.shared.lock().under_way -= 1;
    }
}

/// A late delivery that is still to come.
pub(super) struct Pending(Arc<Shared>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending.send_modify(|pending| *pending -= 1);
    }
}

impl Shared {
    pub(super) fn new(bucket: MemoryBucket) -> Self {
        Self { bucket, state: Mutex::default(), pending: watch::Sender::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below the lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arrive(&self, operation: Operation, key: String) -> Arrived<'_> {
        let mut state = self.lock();
        state.arrived += 1;
        let number = state.arrived;
        let too_many = state.quirks.max_concurrent.is_some_and(|most| state.under_way >= most);
        state.under_way += 1;
        state.most_under_way = state.most_under_way.max(state.under_way);
        *state.counts.entry(operation).or_default() += 1;
        let fault = state.script.meet(operation, &key);
        if state.log.len() == MAX_LOG {
            state.log.pop_front();
        }
        let fault_of_log = fault.clone();
        state.log.push_back(Request { number, operation, key, body: 0, fault: fault_of_log, status: None, late: None });
        Arrived { shared: self, number, fault, too_many }
    }

    /// Notes how a request was answered. One that the log has dropped already is not missed.
    pub(super) fn note(&self, number: u64, change: impl FnOnce(&mut Request)) {
        let mut state = self.lock();
        if let Ok(at) = state.log.binary_search_by_key(&number, |request| request.number)
            && let Some(request) = state.log.get_mut(at)
        {
            change(request);
        }
    }

    pub(super) fn later(self: &Arc<Self>) -> Pending {
        self.pending.send_modify(|pending| *pending += 1);
        Pending(Arc::clone(self))
    }

    pub(super) async fn settled(&self) {
        // The sender is held by self: waiting cannot fail.
        let _ = self.pending.subscribe().wait_for(|pending| *pending == 0).await;
    }

    pub(super) fn inject(&self, on: On, fault: Fault) {
        self.lock().script.add(on, fault);
    }

    pub(super) fn clear_faults(&self) {
        self.lock().script.clear();
    }

    pub(super) fn quirks(&self) -> Quirks {
        self.lock().quirks.clone()
    }

    pub(super) fn set_quirks(&self, quirks: Quirks) {
        self.lock().quirks = quirks;
    }

    pub(super) fn log(&self) -> Log {
        Log { requests: self.lock().log.iter().cloned().collect() }
    }

    pub(super) fn count(&self, operation: Operation) -> u64 {
        self.lock().counts.get(&operation).copied().unwrap_or(0)
    }

    pub(super) fn counts(&self) -> BTreeMap<Operation, u64> {
        self.lock().counts.clone()
    }

    pub(super) fn most_under_way(&self) -> usize {
        self.lock().most_under_way
    }

    pub(super) fn reset(&self) {
        let mut state = self.lock();
        state.log.clear();
        state.counts.clear();
        state.most_under_way = state.under_way;
    }
}
