//! A few threads of a store's own for its files: they read and hash, write and sync, and never run anything else.
//!
//! Few, because more than one or two only push each other's bytes out of the processor's cache and compete with the broker;
//! of its own, so that they can be given a low priority, that they take no place in the runtime's pool of blocking threads, and
//! that a disk that hangs holds up neither that pool nor the end of the runtime. They are started at the first need and end
//! with the store.
//!
//! Whoever stops waiting (a cancel, a dropped future) is not kept: work that was not begun is skipped, and a thread that hangs
//! in a call is given up and replaced. It ends when its call returns.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::env::Threads;
use crate::settings::Priority;

/// So many threads may be given up and still hang; then their places are not filled any more, and work waits.
const MAX_LOST: usize = 16;

/// Threads for files. Dropping it ends them, each behind the call that it is in.
#[derive(Debug)]
pub(crate) struct Lanes {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: &'static str,
    threads: Threads,
    priority: Priority,
    most: usize,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    /// Threads that take work, those that wait for some too.
    workers: usize,
    /// Threads that wait for work.
    idle: usize,
    /// Threads that hang in work that nobody waits for.
    lost: usize,
    closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("workers", &self.workers)
            .field("queued", &self.queue.len())
            .finish_non_exhaustive()
    }
}

struct Work {
    run: Box<dyn FnOnce() + Send>,
    /// Changed under the lock alone.
    stage: Arc<AtomicU8>,
}

const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
const DONE: u8 = 2;
const LOST: u8 = 3;

impl Lanes {
    /// At most `most` threads, none of them started yet.
    pub(crate) fn new(name: &'static str, most: usize, priority: Priority, threads: Threads) -> Self {
        let (state, wake) = (Mutex::default(), Condvar::new());
        Self { shared: Arc::new(Shared { name, threads, priority, most: most.max(1), state, wake }) }
    }

    /// Runs calls on files, when a thread is free, in the order of asking. Dropping the future skips work that was not begun,
    /// and lets work that was end unseen: what it gives is dropped on its thread.
    ///
    /// # Errors
    /// Those of `work`; where it panics, or no thread can be started, an error that says so.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (reply, answer) = oneshot::channel();
        let stage = Arc::new(AtomicU8::new(QUEUED));
        let run = Box::new(move || {
            if !reply.is_closed() {
                // Nobody listens any more: the outcome is dropped here.
                let _ = reply.send(work());
            }
        });
        let mut waiting = Waiting { shared: &self.shared, stage: Arc::clone(&stage), answered: false };
        self.shared.push(Work { run, stage })?;
        let outcome = answer.await;
        waiting.answered = true;
        outcome.unwrap_or_else(|_| Err(io::Error::other("the thread that worked on the file was lost")))
    }

    #[cfg(test)]
    fn counts(&self) -> (usize, usize) {
        let state = self.shared.lock();
        (state.workers, state.lost)
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

/// Somebody waits for work; dropped, nobody does.
struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    stage: Arc<AtomicU8>,
    /// Then its thread has not hung, though it may not have come back for more work yet.
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let mut state = self.shared.lock();
        if self.stage.load(Ordering::Acquire) == RUNNING && state.lost < MAX_LOST {
            self.stage.store(LOST, Ordering::Release);
            state.lost += 1;
            state.workers -= 1;
            // What fails here, the next work tries again.
            let _ = self.shared.staff(&mut state);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(self: &Arc<Self>, work: Work) -> io::Result<()> {
        let mut state = self.lock();
        state.queue.push_back(work);
        // Under one lock: what could not be staffed is still the last of the queue.
        self.staff(&mut state).inspect_err(|_| drop(state.queue.pop_back()))
    }

    /// Sees to it that somebody takes what is queued.
    fn staff(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        if state.idle > 0 {
            self.wake.notify_one();
        }
        if state.idle >= state.queue.len() || state.workers >= self.most {
            return Ok(());
        }
        match self.start() {
            Ok(()) => {
                state.workers += 1;
                Ok(())
            }
            // Fewer threads do it too.
            Err(_) if state.workers > 0 => Ok(()),
            Err(error) => Err(io::Error::new(error.kind(), format!("no thread for files can be started: {error}"))),
        }
    }

    fn start(self: &Arc<Self>) -> io::Result<()> {
        let shared = Arc::clone(self);
        match self.threads {
            Threads::Own => {
                std::thread::Builder::new().name(self.name.to_owned()).spawn(move || shared.work(true))?;
            }
            Threads::Runtime => {
                tokio::task::spawn_blocking(move || shared.work(false));
            }
        }
        Ok(())
    }

    fn work(&self, own: bool) {
        if own && self.priority == Priority::Low {
            lower();
        }
        let mut state = self.lock();
        loop {
            let Some(Work { run, stage }) = state.queue.pop_front() else {
                // A thread of the runtime goes home: its paused clock stands still for as long as one works.
                if state.closed || !own {
                    state.workers -= 1;
                    return;
                }
                state.idle += 1;
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                continue;
            };
            stage.store(RUNNING, Ordering::Release);
            drop(state);
            // A file source is foreign code. Its panic must not take the thread; the asker learns it by the lost reply.
            let outcome = catch_unwind(AssertUnwindSafe(run));
            if outcome.is_err() {
                tracing::error!(thread = self.name, "a call on a file panicked");
            }
            state = self.lock();
            if stage.swap(DONE, Ordering::AcqRel) == LOST {
                state.lost -= 1;
                if state.workers >= self.most {
                    return;
                }
                state.workers += 1;
            }
        }
    }
}

/// Puts this thread behind all others, for the processor and, where the disk's scheduler looks at priorities (BFQ,
/// mq-deadline), for the disk: a thread without an I/O priority of its own has the one that follows from its niceness.
fn lower() {
    let id = rustix::thread::gettid();
    // Linux takes a thread's id where it says process.
    if let Err(error) = rustix::process::setpriority_process(Some(id), 19) {
        tracing::warn!(%error, "the priority of a thread for files could not be lowered");
    }
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
