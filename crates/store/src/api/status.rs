//! The state of a backup, and which document a change is meant for.

use std::fmt;
use std::time::Duration;

use milepost_core::{AttemptId, BackupId, MetadataDocument, StatusCode, StatusDocument};

use crate::bucket::ETag;

/// The state of a backup as readers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackupState {
    /// No status, or a tombstone.
    DoesNotExist,
    /// Claimed.
    InProgress,
    /// Committed.
    Completed,
    /// Given up.
    Failed,
    /// Being deleted.
    Deleting,
    /// A status that cannot be used.
    Corrupt,
}

impl BackupState {
    /// The word in output and JSON, as in `DOES_NOT_EXIST`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DoesNotExist => "DOES_NOT_EXIST",
            Self::InProgress => "IN_PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Deleting => "DELETING",
            Self::Corrupt => "CORRUPT",
        }
    }
}

impl From<StatusCode> for BackupState {
    fn from(code: StatusCode) -> Self {
        match code {
            StatusCode::InProgress => Self::InProgress,
            StatusCode::Completed => Self::Completed,
            StatusCode::Failed => Self::Failed,
            StatusCode::Deleting => Self::Deleting,
            StatusCode::Deleted => Self::DoesNotExist,
        }
    }
}

impl fmt::Display for BackupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A backup's status, as read at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupStatus {
    /// The backup.
    pub id: BackupId,
    /// The document; `None` where there is none. A tombstone is kept here, though its state is DOES_NOT_EXIST.
    pub document: Option<StatusDocument>,
    /// The document's ETag.
    pub etag: Option<ETag>,
    /// How long ago the document was written, by the store's clock.
    pub age: Option<Duration>,
}

impl BackupStatus {
    /// The state as readers see it.
    #[must_use]
    pub fn state(&self) -> BackupState {
        self.document.as_ref().map_or(BackupState::DoesNotExist, |document| document.status_code.into())
    }

    /// Is it a tombstone: deleted, and the id used up?
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.document.as_ref().is_some_and(|document| document.status_code == StatusCode::Deleted)
    }

    /// The very document as an expectation for mark_failed, delete or annotate. Of an absent one: [`Expect::Any`].
    #[must_use]
    pub fn expect(&self) -> Expect {
        self.etag.clone().map_or(Expect::Any, Expect::ETag)
    }
}

/// Which document a change is meant for. A mismatch is a Conflict and is never retried.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Expect {
    /// The one that the call reads first.
    #[default]
    Any,
    /// This attempt's document at this revision.
    Revision {
        /// The attempt.
        attempt: AttemptId,
        /// The revision.
        revision: u64,
    },
    /// The document with this ETag.
    ETag(ETag),
}

/// A backup's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The document.
    pub document: MetadataDocument,
    /// SHA-256 of its bytes, as the status names it.
    pub sha256: String,
}
