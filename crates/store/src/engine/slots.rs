//! How many requests move contents at the same time: a semaphore whose size follows the [`Pace`].
//!
//! Documents take no slot and no ticket: a status, a listing or a commit never waits behind parts.

use std::sync::{Mutex, MutexGuard, PoisonError};

use milepost_core::Pace;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::bucket::{BucketError, BucketErrorKind};

/// The slots of a store.
#[derive(Debug)]
pub(crate) struct Slots {
    semaphore: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pace: Pace,
    /// Slots that exist: free, taken, less those owed.
    granted: u32,
    /// Slots that are taken.
    busy: u32,
    /// Slots that vanish when they are given back.
    owed: u32,
    /// The pace's time begins with the first request.
    began: Option<Instant>,
}

impl State {
    fn now(&mut self) -> std::time::Duration {
        self.began.get_or_insert_with(Instant::now).elapsed()
    }
}

impl Slots {
    /// At most `ceiling` slots.
    pub(crate) fn new(ceiling: usize) -> Self {
        let pace = Pace::new(u32::try_from(ceiling).unwrap_or(u32::MAX));
        let granted = pace.limit();
        let state = Mutex::new(State { pace, granted, busy: 0, owed: 0, began: None });
        Self { semaphore: Semaphore::new(granted as usize), state }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot, when there is one. Who has one never waits for a ticket, so the two cannot wait for each other.
    pub(crate) async fn take(&self) -> Slot<'_> {
        // The semaphore is never closed; if it were, a request more would be the least of it.
        if let Ok(permit) = self.semaphore.acquire().await {
            permit.forget();
        }
        let mut state = self.lock();
        state.busy += 1;
        state.now();
        Slot { slots: self }
    }

    /// Runs one request that moves `bytes`, when its turn comes.
    pub(crate) async fn run<T>(
        &self,
        bytes: u64,
        request: impl Future<Output = Result<T, BucketError>>,
    ) -> Result<T, BucketError> {
        let slot = self.take().await;
        let outcome = request.await;
        match &outcome {
            Ok(_) => slot.moved(bytes),
            Err(error) => self.failed(error),
        }
        outcome
    }

    /// A request failed: it matters whether the store asked to slow down.
    pub(crate) fn failed(&self, error: &BucketError) {
        if error.kind != BucketErrorKind::Throttled {
            return;
        }
        let mut state = self.lock();
        let now = state.now();
        state.pace.throttled(now);
        let limit = state.pace.limit();
        self.follow(&mut state);
        drop(state);
        tracing::debug!(limit, "the store asks to slow down");
    }

    /// Makes the semaphore as large as the pace says.
    fn follow(&self, state: &mut State) {
        let wanted = state.pace.limit();
        if wanted > state.granted {
            let more = wanted - state.granted;
            let kept = more.min(state.owed);
            state.owed -= kept;
            self.semaphore.add_permits((more - kept) as usize);
        } else {
            let fewer = state.granted - wanted;
            let forgotten = self.semaphore.forget_permits(fewer as usize);
            state.owed += fewer - u32::try_from(forgotten).unwrap_or(fewer);
        }
        state.granted = wanted;
    }
}

/// A place for one request, given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    slots: &'a Slots,
}

impl Slot<'_> {
    /// The request moved bytes.
    pub(crate) fn moved(&self, bytes: u64) {
        let mut state = self.slots.lock();
        let (now, busy) = (state.now(), state.busy);
        state.pace.moved(now, bytes, busy);
        self.slots.follow(&mut state);
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.slots.lock();
        state.busy -= 1;
        if state.owed > 0 {
            state.owed -= 1;
        } else {
            self.slots.semaphore.add_permits(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn throttled() -> BucketError {
        BucketError::new(BucketErrorKind::Throttled, "slow down")
    }

    #[tokio::test(start_paused = true)]
    async fn slots_go_while_all_are_taken_and_come_back() {
        let slots = Slots::new(4);
        let mut taken = Vec::new();
        for _ in 0..4 {
            taken.push(slots.take().await);
        }
        slots.failed(&throttled());
        let counts = || (slots.semaphore.available_permits(), slots.lock().busy);
        assert_eq!(slots.lock().granted, 3);
        assert_eq!(slots.lock().owed, 1);
        drop(taken.pop());
        assert_eq!(slots.semaphore.available_permits(), 0, "the first that is given back is the one owed");
        drop(taken.pop());
        assert_eq!(slots.semaphore.available_permits(), 1);
        drop(taken);
        assert_eq!(counts(), (3, 0));
        // Another failure than being throttled takes nothing.
        tokio::time::sleep(Duration::from_secs(2)).await;
        slots.failed(&BucketError::new(BucketErrorKind::Unavailable, "gone"));
        assert_eq!(slots.semaphore.available_permits(), 3);
    }

    /// A bucket that refuses more than three requests at once.
    #[tokio::test(start_paused = true)]
    async fn requests_settle_at_what_a_bucket_bears() {
        let slots = Slots::new(32);
        let (at_once, k) = (std::cell::Cell::new(0u32), std::cell::Cell::new(3u32));
        let most = std::cell::Cell::new(0u32);
        let began = Instant::now();
        let request = || async {
            if at_once.get() >= k.get() {
                return Err(throttled());
            }
            at_once.set(at_once.get() + 1);
            tokio::time::sleep(Duration::from_millis(50)).await;
            at_once.set(at_once.get() - 1);
            Ok(())
        };
        let worker = || async {
            while began.elapsed() < Duration::from_secs(400) {
                if slots.run(1 << 20, request()).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                let at = began.elapsed().as_secs();
                if (60..120).contains(&at) {
                    most.set(most.get().max(slots.lock().granted));
                }
                if at > 120 {
                    k.set(20);
                }
            }
        };
        futures::future::join_all((0..40).map(|_| worker())).await;
        assert!((2..=4).contains(&most.get()), "{}", most.get());
        let settled = slots.lock().granted;
        assert!((10..=21).contains(&settled), "{settled}");
        assert_eq!(slots.lock().busy, 0);
        assert_eq!(slots.semaphore.available_permits(), settled as usize);
    }
}
