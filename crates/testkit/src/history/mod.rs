//! What many clients saw of a few statuses, held against the one order in which those were written.
//!
//! Each [`Client`] runs verbs of the engine on a [`Recorded`] bucket, which writes down, by a clock that all of them share, when every read and
//! write of a status began and ended. Every write of a status is conditional, so revisions give the order of all that landed, and
//! [`History::is_linearizable`] decides exactly whether moments exist that fit every reader.

mod check;
mod client;
mod recorded;

pub use check::History;
pub use client::{Client, init};
pub use recorded::{Log, Recorded};
