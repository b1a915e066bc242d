//! How a check says what it saw, and a suite which checks failed.

use std::fmt;
use std::time::Duration;

/// What a check saw that must not be.
#[derive(Debug)]
pub(crate) struct Seen(pub(crate) String);

pub(crate) type Checked<T = ()> = Result<T, Seen>;

/// One check that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCheck {
    /// Its name, as it can be given to the suite's `skip`.
    pub check: &'static str,
    /// What it saw.
    pub seen: String,
}

/// The checks of a suite that failed. `Display` and `Debug` name each with what it saw, one to a paragraph.
#[derive(Clone, PartialEq, Eq)]
pub struct SuiteFailure {
    /// Whom the suite was run on.
    pub subject: String,
    /// How many checks were run.
    pub run: usize,
    /// Those that failed, in the order of the suite.
    pub failed: Vec<FailedCheck>,
}

impl fmt::Display for SuiteFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} of {} checks failed", self.subject, self.failed.len(), self.run)?;
        for FailedCheck { check, seen } in &self.failed {
            write!(f, "\n  {check}: {seen}")?;
        }
        Ok(())
    }
}

// Tests unwrap the result and show this; the derived form would be one unreadable line.
impl fmt::Debug for SuiteFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for SuiteFailure {}

/// Ends the check unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::check::Seen(format!($($message)+)));
        }
    };
}

/// Ends the check unless both are equal; the message says what they are.
macro_rules! ensure_eq {
    ($found:expr, $expected:expr, $($message:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) => {
                if found != expected {
                    return Err($crate::check::Seen(format!(
                        "{}: expected {}, found {}",
                        format_args!($($message)+),
                        $crate::check::shown(expected),
                        $crate::check::shown(found),
                    )));
                }
            }
        }
    };
}
pub(crate) use {ensure, ensure_eq};

/// A value in a message, cut: a listing of a thousand keys helps nobody.
pub(crate) fn shown(value: &(impl fmt::Debug + ?Sized)) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(400) {
        Some((at, _)) => format!("{}… ({} characters)", &text[..at], text.len()),
        None => text,
    }
}

/// Says what was being done when a call failed that must not fail.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl fmt::Display) -> Checked<T>;
}

impl<T, E: fmt::Debug> Doing<T> for Result<T, E> {
    fn doing(self, what: impl fmt::Display) -> Checked<T> {
        self.map_err(|error| Seen(format!("{what} failed: {error:?}")))
    }
}

/// Runs one check within a time limit.
pub(crate) async fn run(limit: Duration, check: impl Future<Output = Checked>) -> Checked {
    match tokio::time::timeout(limit, check).await {
        Ok(result) => result,
        Err(_) => Err(Seen(format!("did not end within {limit:?}"))),
    }
}

pub(crate) fn report(subject: String, run: usize, failed: Vec<FailedCheck>) -> Result<(), SuiteFailure> {
    if failed.is_empty() { Ok(()) } else { Err(SuiteFailure { subject, run, failed }) }
}
