//! One backup, as far as retention cares.

use std::time::Duration;

use jiff::Timestamp;

use crate::copy::PartitionCopy;
use crate::document::{StatusCode, StatusDocument};
use crate::ids::{AttemptId, BackupId};

/// The revision at which a status was seen: what is done to it is meant for that document alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The attempt.
    pub attempt: AttemptId,
    /// Its revision.
    pub revision: u64,
}

/// One backup as a listing showed it, tombstones too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its id and its state.
    pub copy: PartitionCopy,
    /// The document that was read; `None` for a corrupt one.
    pub seen: Option<Seen>,
    /// How long ago the status was written, by the store's clock; `None` where the store does not tell.
    pub age: Option<Duration>,
    /// When it was committed; of a copy, when what it is a copy of was: else copies of thirty days, made in one hour, would
    /// count as one day's.
    pub completed_at: Option<Timestamp>,
    /// How long before its last change it was committed, by the clocks of those who wrote: an annotation makes the status
    /// young again, but not the backup.
    pub annotated_after: Duration,
    /// Bytes that it takes: done, or else planned.
    pub bytes: u64,
    /// Why it is held, by whom.
    pub holds: Vec<String>,
}

impl Candidate {
    /// A readable status, read `age` after it was written.
    #[must_use]
    pub fn new(document: &StatusDocument, age: Option<Duration>) -> Self {
        let annotated_after = document
            .completed_at
            .and_then(|at| Duration::try_from(document.last_modified.duration_since(at)).ok())
            .unwrap_or_default();
        Self {
            copy: PartitionCopy::from(document),
            seen: Some(Seen { attempt: document.attempt_id.clone(), revision: document.revision }),
            age,
            completed_at: document.first_completed_at(),
            annotated_after,
            bytes: document.done.or(document.planned).map_or(0, |counts| counts.bytes),
            holds: document
                .holds
                .iter()
                .map(|hold| format!("{} by {}: {}", hold.id, hold.owner, hold.reason))
                .collect(),
        }
    }

    /// A status that cannot be used, and why.
    #[must_use]
    pub fn corrupt(id: BackupId, reason: impl Into<String>) -> Self {
        Self {
            copy: PartitionCopy::corrupt(id, reason),
            seen: None,
            age: None,
            completed_at: None,
            annotated_after: Duration::ZERO,
            bytes: 0,
            holds: Vec::new(),
        }
    }

    /// The backup.
    #[must_use]
    pub fn id(&self) -> BackupId {
        self.copy.id
    }

    /// The state; `None` for a corrupt status.
    pub(super) fn code(&self) -> Option<StatusCode> {
        self.copy.facts().map(|facts| facts.status_code)
    }

    /// Is there a status that is not a tombstone?
    pub(super) fn is_live(&self) -> bool {
        self.code() != Some(StatusCode::Deleted)
    }

    /// How long ago the status changed. Unknown is young: nothing goes because nobody knows its age.
    pub(super) fn since_change(&self) -> Duration {
        self.age.unwrap_or_default()
    }

    /// How long ago the backup was committed: the store's clock up to the last change, the writers' before it.
    pub(super) fn since_commit(&self) -> Duration {
        self.age.map_or(Duration::ZERO, |age| age.saturating_add(self.annotated_after))
    }
}
