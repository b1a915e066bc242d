//! Ctrl-C and SIGTERM: the first asks the work to end tidily, the second ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use milepost::OpContext;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::out::Stderr;

/// The first signal that came, by number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caught(Arc<AtomicU8>);

impl Caught {
    /// The number, as 2 or 15.
    pub(crate) fn number(&self) -> Option<u8> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            number => Some(number),
        }
    }
}

/// Listens from now on, and says so to `err` when a signal comes. Where the system refuses a handler, its own behaviour stays: the process ends at once.
pub(crate) fn listen(cx: OpContext, err: Option<Stderr>, caught: &Caught) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    let first = caught.clone();
    tokio::spawn(async move {
        let number = next(&mut interrupt, &mut terminate).await;
        first.0.store(number, Ordering::Relaxed);
        if let Some(err) = err {
            err.text("stopping; once more ends at once, which leaves unfinished work for the next run\n");
        }
        cx.cancel();
        let number = next(&mut interrupt, &mut terminate).await;
        std::process::exit(128 + i32::from(number));
    });
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> u8 {
    tokio::select! {
        _ = interrupt.recv() => 2,
        _ = terminate.recv() => 15,
    }
}
