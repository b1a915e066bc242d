//! The null sink: an S3 server that throws bodies away and counts.
//!
//! What a client pays against it is the client's own: there is no disk, no hashing and no authentication on the other side. It
//! keeps the length of every object, the checksum that came with it, and the content of documents (keys that end in `.json` or
//! lie below `_milepost/`); everything else is served from [`pattern`](crate::pattern). Conditions on creates and
//! replacements are kept, so that a Milepost store passes its own probe.
//!
//! It is a process of its own ([`SinkProcess`]), so that client and server CPU are told apart: a thread for each connection,
//! and bodies are discarded in the kernel (`MSG_TRUNC`), without a copy.
//!
//! Beside S3: `GET /_sink/counts` gives [`Counts`] as JSON, `POST /_sink/reset` sets them to zero, `POST /_sink/forget` drops
//! all objects.

mod answer;
mod connection;
mod counts;
mod http;
mod objects;
mod start;
mod xml;

pub use counts::Counts;
pub use start::{SinkProcess, serve};
