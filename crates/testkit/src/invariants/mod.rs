//! What must hold of every backup at any moment, whatever fails: the invariants, in one place, for every test.
//!
//! | part | judges |
//! |---|---|
//! | [`Witness`] | every effect on a bucket, in order, late ones too: it stands below the faults |
//! | the methods of [`Witness`] named `told_…` | what callers were told, against what the bucket saw |
//! | [`at_rest`] | what a store says of itself once nothing runs: states, listing, contents |
//! | [`judge_target`] | the folder of a restore |
//! | [`ends`] | whether a call comes to an end |
//!
//! A test puts the witness at the bottom, the faults above it and the engine on top, says before a save what it would save
//! ([`Witness::offers`]), and after each step asks [`Witness::verdict`] and [`at_rest`].
//!
//! ```
//! use milepost_store::bucket::{Bucket, PutMode};
//! use milepost_store::core::{Crc64Nvme, Layout, ObjectKey};
//! use milepost_store::MemoryBucket;
//! use milepost_testkit::invariants::{Invariant, Witness};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bucket = Witness::new(MemoryBucket::new("example"), Layout::default());
//! let body = "not a key of any backup";
//! bucket.put(&ObjectKey::new("elsewhere")?, body.into(), Crc64Nvme::of(body.as_bytes()), PutMode::Create).await?;
//! let broken = bucket.verdict().unwrap_err();
//! assert_eq!(broken.violations[0].invariant, Invariant::Bounds);
//! # Ok(())
//! # }
//! ```

mod contents;
mod effects;
mod history;
mod rest;
mod target;
mod told;
mod witness;

use std::fmt;
use std::time::Duration;

pub use contents::{Contents, contents_of};
pub use rest::at_rest;
pub use target::{RestoredAs, judge_target};
pub use told::Moment;
pub use witness::Witness;

/// A promise that no fault, crash or race may break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// I1.
    Durable,
    /// I2.
    Fenced,
    /// I3.
    Honest,
    /// I4.
    Deleted,
    /// I5.
    Target,
    /// I6.
    Ends,
    /// I7.
    Bounds,
    /// I8.
    Listing,
}

impl Invariant {
    /// All of them, by number.
    pub const ALL: [Self; 8] = [
        Self::Durable,
        Self::Fenced,
        Self::Honest,
        Self::Deleted,
        Self::Target,
        Self::Ends,
        Self::Bounds,
        Self::Listing,
    ];

    /// Its label, as in `I1`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Durable => "I1",
            Self::Fenced => "I2",
            Self::Honest => "I3",
            Self::Deleted => "I4",
            Self::Target => "I5",
            Self::Ends => "I6",
            Self::Bounds => "I7",
            Self::Listing => "I8",
        }
    }

    /// The promise. docs/guarantees.md carries these very words.
    #[must_use]
    pub const fn promise(self) -> &'static str {
        match self {
            Self::Durable => {
                "A backup that reads COMPLETED restores byte-identical to the files of one save, until a delete or a mark-failed of that very document."
            }
            Self::Fenced => {
                "Of all attempts at an id at most one commits, and only the one that holds the claim; a fenced attempt changes nothing that a reader can see."
            }
            Self::Honest => {
                "A backup is absent, IN_PROGRESS, COMPLETED, FAILED, DELETING or reported CORRUPT, each reached by a legal transition; a call that reported success has done what it says."
            }
            Self::Deleted => {
                "A delete that reported success leaves its tombstone alone; what a fenced saver or a late request writes afterwards never becomes COMPLETED and goes with the next delete; a delete that was cut off is continued by the next."
            }
            Self::Target => {
                "The target of a restore is absent, untouched, complete with its marker, or refused as unfinished; half of a backup is never taken for the whole."
            }
            Self::Ends => "Once faults stop, every operation ends, and one with a deadline ends by it.",
            Self::Bounds => {
                "An operation writes and removes nothing but below its backup's prefix, its partition's seal and the base's own documents, which no later write contradicts."
            }
            Self::Listing => "A listing shows every backup that has a status, whatever is damaged beside it.",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What was seen: the key or backup, what it was and what it should have been.
    pub seen: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.seen)
    }
}

/// The invariants that did not hold, with the effects that led there: `Display` and `Debug` print both.
#[derive(Clone, PartialEq, Eq)]
pub struct Broken {
    /// In the order in which they were seen.
    pub violations: Vec<Violation>,
    /// The effects on the bucket in their order, one to a line; empty where the judge saw none.
    pub effects: String,
}

impl Broken {
    /// One violation without a history.
    #[must_use]
    pub fn one(invariant: Invariant, seen: impl Into<String>) -> Self {
        Self { violations: vec![Violation { invariant, seen: seen.into() }], effects: String::new() }
    }

    /// Is this invariant among them?
    #[must_use]
    pub fn breaks(&self, invariant: Invariant) -> bool {
        self.violations.iter().any(|violation| violation.invariant == invariant)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.violations {
            writeln!(f, "{violation}\n   ({})", violation.invariant.promise())?;
        }
        if !self.effects.is_empty() {
            write!(f, "the effects on the bucket:\n{}", self.effects)?;
        }
        Ok(())
    }
}

// Tests unwrap the result and show this; the derived form would be one unreadable line.
impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Broken {}

/// Runs `work`, which must end within `limit` of tokio's time; `what` names it.
///
/// # Errors
/// [`Invariant::Ends`] where it does not; it is dropped then.
pub async fn ends<T>(limit: Duration, what: impl fmt::Display, work: impl Future<Output = T>) -> Result<T, Broken> {
    tokio::time::timeout(limit, work)
        .await
        .map_err(|_| Broken::one(Invariant::Ends, format!("{what} did not end within {limit:?}")))
}
