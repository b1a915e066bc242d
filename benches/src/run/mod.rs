//! Rounds of samples.
//!
//! In every round each client runs once, in another order each time: whatever the machine does meanwhile hits all of them alike,
//! and ratios are taken within a round.

mod client;
mod growth;
mod rclone;
mod rounds;
mod server;

pub use client::Client;
pub use rounds::{Against, Options, Record, Run, run};
