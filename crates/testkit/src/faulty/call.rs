//! What is known of a call, and how a trace prints.

use std::collections::BTreeMap;
use std::fmt;

use milepost_store::BucketErrorKind;

use super::plan::Fault;

/// Which request of the port a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the method of that name")]
pub enum CallKind {
    FreeSpace,
    Put,
    Get,
    Head,
    List,
    Delete,
    CreateUpload,
    UploadPart,
    ListParts,
    CompleteUpload,
    AbortUpload,
    ListUploads,
}

impl CallKind {
    /// Does the call change the store?
    #[must_use]
    pub const fn is_write(self) -> bool {
        matches!(
            self,
            Self::Put | Self::Delete | Self::CreateUpload | Self::UploadPart | Self::CompleteUpload | Self::AbortUpload
        )
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It still runs, hangs after a crash, or its future was dropped.
    Unfinished,
    /// It succeeded. Of a get: the reply came; its body may still fail.
    Ok,
    /// It failed.
    Failed {
        /// How.
        kind: BucketErrorKind,
        /// Was the caller told that the effect may have happened?
        maybe_applied: bool,
    },
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its number, from 1.
    pub number: u64,
    /// Which request.
    pub kind: CallKind,
    /// The key; of a listing the prefix, of a delete the first of its keys.
    pub key: String,
    /// What else it said: put mode, range, part number, how many keys.
    pub detail: String,
    /// What was done to it.
    pub fault: Option<Fault>,
    /// How it ended.
    pub outcome: Outcome,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:5} {:?} {}", self.number, self.kind, self.key)?;
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail)?;
        }
        match self.outcome {
            Outcome::Unfinished => f.write_str(" … unfinished")?,
            Outcome::Ok => f.write_str(" ok")?,
            Outcome::Failed { kind, maybe_applied } => {
                write!(f, " {kind:?}{}", if maybe_applied { ", maybe applied" } else { "" })?;
            }
        }
        match &self.fault {
            Some(fault) => write!(f, "  <- {fault:?}"),
            None => Ok(()),
        }
    }
}

/// Calls in the order in which they began. Prints the seed, where there is one, and then one call to a line.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// What the faults were drawn from: the same seed on the same calls gives them again.
    pub seed: Option<u64>,
    /// The calls.
    pub calls: Vec<Call>,
}

impl Trace {
    /// The calls of one kind.
    pub fn of(&self, kind: CallKind) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(move |call| call.kind == kind)
    }

    /// The calls that something was done to.
    pub fn faults(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(|call| call.fault.is_some())
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(seed) = self.seed {
            writeln!(f, "faults drawn from seed {seed}:")?;
        }
        self.calls.iter().try_for_each(|call| writeln!(f, "{call}"))
    }
}

/// How many calls of each kind there were.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requests(pub(super) BTreeMap<CallKind, u64>);

impl Requests {
    /// Calls of one kind.
    #[must_use]
    pub fn of(&self, kind: CallKind) -> u64 {
        self.0.get(&kind).copied().unwrap_or(0)
    }

    /// All calls.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Calls that change the store.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.0.iter().filter(|(kind, _)| kind.is_write()).map(|(_, count)| count).sum()
    }
}
