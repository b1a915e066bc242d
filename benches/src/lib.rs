//! What Milepost costs: client CPU, server CPU, wall time, memory and requests, beside the least that a machine can do it
//! with (the raw loop) and beside other clients, in one run.
//!
//! | module | holds |
//! |---|---|
//! | [`pattern`] | the bytes that all files and all answers are made of |
//! | [`workload`] | the sets of files |
//! | [`sink`] | an S3 server that throws bodies away and counts |
//! | [`process`] | what a process has used, and waiting for one |
//! | [`sample`] | one measurement, which runs in a process of its own |
//! | [`subject`] | the clients that are measured |
//! | [`mod@run`] | rounds of samples |
//! | [`gate`] | instruction counts |
//! | [`neighbour`] | what a save does to others on the machine |
//! | [`report`] | tables and a plot |
//! | [`machine`] | where it was measured |
//!
//! `docs/performance.md` says how to run it and what the numbers do not say.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program's own output, not a library's")]

#[cfg(feature = "all")]
pub mod gate;
#[cfg(feature = "all")]
pub mod machine;
#[cfg(feature = "all")]
pub mod neighbour;
pub mod pattern;
pub mod process;
#[cfg(feature = "all")]
pub mod report;
#[cfg(feature = "all")]
pub mod run;
pub mod sample;
#[cfg(feature = "all")]
pub mod sink;
#[cfg(feature = "all")]
pub mod subject;
pub mod workload;

/// An error as a text: nobody handles the errors of a measurement, they end it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// A result whose error ends the measurement.
pub type Result<T> = std::result::Result<T, Error>;

/// Says what failed, before why.
pub trait Context<T> {
    /// Puts `what` before the error's own text.
    ///
    /// # Errors
    /// The same, longer.
    fn context(self, what: impl std::fmt::Display) -> Result<T>;
}

impl<T, E: std::fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl std::fmt::Display) -> Result<T> {
        self.map_err(|error| format!("{what}: {error}").into())
    }
}
