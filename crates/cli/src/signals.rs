//! Ctrl-C and SIGTERM: the first asks the work to end tidily, the second ends the process at once.

use std::io;
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

/// Listens from now on, and says so to `err` when a signal comes. On a thread of its own: the second signal ends the process also
/// while the work hangs. Where the system refuses a handler, its own behaviour stays: the process ends at once.
///
/// # Errors
/// Where there is no thread to be had.
pub(crate) fn listen(cx: OpContext, err: Option<Stderr>, caught: &Caught) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let handlers = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    };
    let (Ok(mut interrupt), Ok(mut terminate)) = handlers else { return Ok(()) };
    let first = caught.clone();
    let listening = async move {
        let number = next(&mut interrupt, &mut terminate).await;
        first.0.store(number, Ordering::Relaxed);
        if let Some(err) = err {
            err.text("stopping; once more ends at once, which leaves unfinished work for the next run\n");
        }
        cx.cancel();
        let number = next(&mut interrupt, &mut terminate).await;
        std::process::exit(128 + i32::from(number));
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listening))?;
    Ok(())
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> u8 {
    tokio::select! {
        _ = interrupt.recv() => 2,
        _ = terminate.recv() => 15,
    }
}
