//! The fault script: which fault meets which request.

use std::time::Duration;

use super::operation::Operation;
use crate::faulty::Gate;
use crate::on::Counted;

/// Until when something waits.
#[derive(Debug, Clone)]
pub enum Wait {
    /// So long, by the machine's clock: a paused test clock does not move it.
    For(Duration),
    /// Until a test opens the gate. One that is never opened hangs the request for good.
    Until(Gate),
}

impl From<Duration> for Wait {
    fn from(time: Duration) -> Self {
        Self::For(time)
    }
}

impl From<Gate> for Wait {
    fn from(gate: Gate) -> Self {
        Self::Until(gate)
    }
}

impl Wait {
    pub(super) async fn over(&self) {
        match self {
            Self::For(time) => tokio::time::sleep(*time).await,
            Self::Until(gate) => gate.pass().await,
        }
    }
}

/// What is done to a request. In each case the request arrives whole before anything else happens.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is answered with this status and error code, and has no effect.
    Answer {
        /// The HTTP status: 100 to 999; anything else answers 500.
        status: u16,
        /// The code in the error body, as in `SlowDown`.
        code: String,
        /// A Retry-After header of so many seconds.
        retry_after: Option<u32>,
    },
    /// It is answered with status 200 and an error body of this code, and has no effect: what a completion that failed late
    /// looks like.
    ErrorIn200(String),
    /// It has no effect, and the connection breaks without an answer.
    LoseRequest,
    /// It has its effect (if the bucket lets it), and the connection breaks without an answer.
    LoseReply,
    /// The connection breaks without an answer at once; the effect comes later.
    Late(Wait),
    /// It is answered as ever, and reaches the bucket a second time later: a zombie.
    Repeat(Wait),
    /// It waits, then goes on.
    Wait(Wait),
    /// The connection breaks after so many bytes of the reply's body. Headers come whole.
    CutBody(u64),
    /// After so many bytes of the reply's body nothing more comes, and the connection stays open.
    StallBody(u64),
    /// The byte at this offset of the reply's body is another one than it should be. Behind the end: unharmed.
    FlipByte(u64),
    /// Of DeleteObjects: keys that contain this text stay, with this error code each. Of DeleteObject: answered with the
    /// code and status 403. Other operations go on unharmed.
    KeepKeys {
        /// Part of the key.
        containing: String,
        /// The key's error code, as in `AccessDenied`.
        code: String,
    },
}

impl Fault {
    /// [`Fault::Answer`] without a Retry-After.
    #[must_use]
    pub fn answer(status: u16, code: impl Into<String>) -> Self {
        Self::Answer { status, code: code.into(), retry_after: None }
    }
}

/// Describes requests of the protocol.
pub type On = crate::on::On<Operation>;

impl On {
    /// The first request of this operation.
    #[must_use]
    pub fn operation(operation: Operation) -> Self {
        Self::kind(operation)
    }
}

/// The faults that were injected, each with what it has matched so far.
#[derive(Debug, Default)]
pub(super) struct Script(Vec<(Counted<Operation>, Fault)>);

impl Script {
    pub(super) fn add(&mut self, on: On, fault: Fault) {
        self.0.push((Counted::new(on), fault));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes note of a request. Every script counts it, so that `nth` means the same whatever else is injected; the first
    /// one that means it acts.
    pub(super) fn meet(&mut self, operation: Operation, key: &str) -> Option<Fault> {
        let mut acts = None;
        for (counted, fault) in &mut self.0 {
            if counted.meets(&operation, key) && acts.is_none() {
                acts = Some(fault.clone());
            }
        }
        acts
    }
}
