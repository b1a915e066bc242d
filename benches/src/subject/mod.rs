//! The clients that are measured.

mod milepost;
mod raw;
mod sdk;

use crate::Result;
use crate::sample::{Measured, Spec, measure};

/// Does what `spec` says, in this process, and measures it.
///
/// # Errors
/// Where the client is unknown or fails.
pub fn run(spec: &Spec) -> Result<Measured> {
    match spec.subject.as_str() {
        "milepost" => measure(|| milepost::run(spec)),
        "raw" => measure(|| raw::run(spec)),
        "sdk" => measure(|| sdk::run(spec)),
        other => Err(format!("no client is called {other}").into()),
    }
}
