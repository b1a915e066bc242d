//! No acknowledged backup is ever lost, whatever fails: the engine above a bucket that fails, below the eyes of a witness.
//!
//! | module | what fails |
//! |---|---|
//! | `crash_points` | the process, at every request of every verb; then the next command, and its process too |
//! | `linearizable` | requests and replies, under many clients on many threads: what each is told stood while it asked |
//! | `pruning` | nothing, or requests and processes by chance: a prune among saves, restores, holds, deletes and other prunes |
//! | `planted` | the store's own promises, on purpose: each flaw must be seen |
//! | `simulation` | everything at once: three nodes, hours of paused time, one trace for a seed |
//! | `scripts` | what a script says: several nodes, faults, deaths and restarts, against a plain map |
//! | `seeds` | requests, replies and processes by chance, two verbs at a time |
//!
//! What must hold is in `milepost_testkit::invariants`, for all of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests and their helpers"
)]
#![allow(unreachable_pub, reason = "the helpers are a module of each test binary")]

#[path = "../common/mod.rs"]
mod common;
mod crash_points;
mod flawed;
mod linearizable;
mod planted;
mod pruning;
mod scripts;
mod seeds;
mod simulation;
mod verbs;
mod world;
