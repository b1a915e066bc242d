//! The life cycle of a backup, as types: an illegal transition cannot be written.
//!
//! Each state is its own type; each method that changes one takes it by value, raises `revision` and moves `lastModified`
//! forward. What the engine may do is therefore what this page offers, and nothing else:
//!
//! | from | to | by |
//! |---|---|---|
//! | absent | IN_PROGRESS | [`InProgress::claim`] |
//! | absent | FAILED | [`Failed::record`] |
//! | absent with leftovers, or CORRUPT | DELETING | [`Deleting::leftovers`] |
//! | IN_PROGRESS | IN_PROGRESS | [`InProgress::progress`], [`InProgress::take_over`] |
//! | IN_PROGRESS | COMPLETED, FAILED | [`InProgress::commit`], [`InProgress::fail`] |
//! | FAILED that never was COMPLETED | IN_PROGRESS | [`Failed::take_over`] |
//! | FAILED | DELETING | [`Failed::delete`] |
//! | COMPLETED | COMPLETED | [`Completed::annotate`] |
//! | COMPLETED without holds | FAILED, DELETING | [`Completed::fail`], [`Completed::delete`] |
//! | DELETING | DELETED | [`Deleting::finish`] |
//! | DELETED | nothing | |

use jiff::Timestamp;
use thiserror::Error;

use crate::document::{
    CopiedFrom, Counts, Descriptor, FORMAT_VERSION, Hold, MAX_FAILURE_REASON_BYTES, MAX_HOLD_BYTES, MAX_HOLDS, Owner,
    StatusCode, StatusDocument, Verification, cut,
};
use crate::ids::{AttemptId, BackupId, ClusterId, HoldId};

/// Why a legal-looking transition is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TransitionError {
    /// The backup is held; the holds are named.
    #[error("is held: {}", .0.iter().map(|hold| format!("{} by {} ({})", hold.id, hold.owner, hold.reason)).collect::<Vec<_>>().join(", "))]
    Held(Vec<Hold>),
    /// A FAILED that was COMPLETED is not resumed: somebody declared its contents unusable.
    #[error("was COMPLETED before it was marked as failed; it can only be deleted")]
    WasCompleted,
    /// The attempt that resumes says something else of the backup than the one that began it.
    #[error("was begun with another descriptor; delete it or take a later checkpoint")]
    OtherDescriptor,
    /// No room for one more hold.
    #[error("has {MAX_HOLDS} holds already; release one first")]
    TooManyHolds,
    /// The hold's texts are too long.
    #[error("a hold's reason and owner take at most {MAX_HOLD_BYTES} bytes together")]
    HoldTooLong,
    /// No hold of that id.
    #[error("has no hold {0}")]
    NoSuchHold(HoldId),
}

/// A change of a completed backup that leaves it completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Annotation {
    /// Adds a hold; one of the same id that is there already is left as it is.
    Hold(Hold),
    /// Removes a hold.
    Release(HoldId),
    /// Records a verification.
    Verified(Verification),
}

impl Annotation {
    /// Is the annotation to be seen in this document? How a lost reply is settled: by content, not by revision.
    #[must_use]
    pub fn is_in(&self, document: &StatusDocument) -> bool {
        match self {
            Self::Hold(hold) => document.holds.iter().any(|held| held.id == hold.id),
            Self::Release(id) => document.holds.iter().all(|held| held.id != *id),
            Self::Verified(verification) => document.verified == Some(*verification),
        }
    }
}

/// Who claims a backup, with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The attempt that will own the backup: a new one for each try.
    pub attempt: AttemptId,
    /// The process that runs it.
    pub owner: Owner,
    /// What the broker says of the backup.
    pub descriptor: Descriptor,
    /// What will be saved.
    pub planned: Counts,
    /// Of which backup in another store it will be a copy.
    pub copied_from: Option<CopiedFrom>,
}

macro_rules! state {
    ($(#[$doc:meta])* $name:ident, $code:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(StatusDocument);

        impl $name {
            /// The document as it stands.
            #[must_use]
            pub fn document(&self) -> &StatusDocument {
                &self.0
            }

            /// The document, for writing.
            #[must_use]
            pub fn into_document(self) -> StatusDocument {
                self.0
            }

            fn enter(mut document: StatusDocument, now: Timestamp) -> Self {
                document.status_code = StatusCode::$code;
                // A clock that stepped back must not make a later change look older than an earlier one.
                document.last_modified = document.last_modified.max(now);
                document.revision = document.revision.saturating_add(1);
                Self(document)
            }
        }
    };
}

state!(
    /// A backup that an attempt owns.
    InProgress, InProgress);
state!(
    /// A committed backup.
    Completed, Completed);
state!(
    /// A backup that was given up.
    Failed, Failed);
state!(
    /// A backup that is being deleted.
    Deleting, Deleting);
state!(
    /// A tombstone. Nothing follows.
    Deleted, Deleted);

/// A status document, sorted by its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lifecycle {
    /// Claimed.
    InProgress(InProgress),
    /// Committed.
    Completed(Completed),
    /// Given up.
    Failed(Failed),
    /// Being deleted.
    Deleting(Deleting),
    /// A tombstone.
    Deleted(Deleted),
}

impl Lifecycle {
    /// The document as it stands.
    #[must_use]
    pub fn document(&self) -> &StatusDocument {
        match self {
            Self::InProgress(state) => state.document(),
            Self::Completed(state) => state.document(),
            Self::Failed(state) => state.document(),
            Self::Deleting(state) => state.document(),
            Self::Deleted(state) => state.document(),
        }
    }
}

impl From<StatusDocument> for Lifecycle {
    fn from(document: StatusDocument) -> Self {
        match document.status_code {
            StatusCode::InProgress => Self::InProgress(InProgress(document)),
            StatusCode::Completed => Self::Completed(Completed(document)),
            StatusCode::Failed => Self::Failed(Failed(document)),
            StatusCode::Deleting => Self::Deleting(Deleting(document)),
            StatusCode::Deleted => Self::Deleted(Deleted(document)),
        }
    }
}

fn blank(
    cluster_id: ClusterId,
    id: BackupId,
    attempt_id: AttemptId,
    code: StatusCode,
    now: Timestamp,
) -> StatusDocument {
    StatusDocument {
        format_version: FORMAT_VERSION,
        cluster_id,
        id,
        status_code: code,
        attempt_id,
        revision: 1,
        owner: None,
        created_at: now,
        last_modified: now,
        completed_at: None,
        descriptor: None,
        planned: None,
        done: None,
        complete: true,
        failure_reason: None,
        metadata_sha256: None,
        holds: Vec::new(),
        verified: None,
        copied_from: None,
    }
}

fn taken_over(mut document: StatusDocument, claim: Claim, now: Timestamp) -> Result<InProgress, TransitionError> {
    if document.descriptor.as_ref().is_some_and(|descriptor| *descriptor != claim.descriptor) {
        return Err(TransitionError::OtherDescriptor);
    }
    document.attempt_id = claim.attempt;
    document.owner = Some(claim.owner);
    document.descriptor = Some(claim.descriptor);
    document.planned = Some(claim.planned);
    document.done = Some(Counts::default());
    document.failure_reason = None;
    // Of the new owner, like all else: a save that takes over from a copy is none.
    document.copied_from = claim.copied_from;
    Ok(InProgress::enter(document, now))
}

impl InProgress {
    /// Claims an absent backup: revision 1.
    #[must_use]
    pub fn claim(cluster_id: ClusterId, id: BackupId, claim: Claim, now: Timestamp) -> Self {
        Self(StatusDocument {
            owner: Some(claim.owner),
            descriptor: Some(claim.descriptor),
            planned: Some(claim.planned),
            done: Some(Counts::default()),
            copied_from: claim.copied_from,
            ..blank(cluster_id, id, claim.attempt, StatusCode::InProgress, now)
        })
    }

    /// A sign of life: the counts so far.
    #[must_use]
    pub fn progress(mut self, done: Counts, now: Timestamp) -> Self {
        self.0.done = Some(done);
        Self::enter(self.0, now)
    }

    /// Another attempt takes the backup over: the former owner's next write finds itself fenced.
    ///
    /// # Errors
    /// [`TransitionError::OtherDescriptor`] where the broker now says something else; a document without descriptor takes
    /// the new one.
    pub fn take_over(self, claim: Claim, now: Timestamp) -> Result<Self, TransitionError> {
        taken_over(self.0, claim, now)
    }

    /// The commit: `metadata_sha256` is the hash of the metadata's bytes as they are in the bucket.
    #[must_use]
    pub fn commit(mut self, metadata_sha256: String, saved: Counts, complete: bool, now: Timestamp) -> Completed {
        self.0.metadata_sha256 = Some(metadata_sha256);
        self.0.planned = Some(saved);
        self.0.done = Some(saved);
        self.0.complete = complete;
        let mut committed = Completed::enter(self.0, now);
        committed.0.completed_at = Some(committed.0.last_modified);
        committed
    }

    /// Gives the backup up. The reason is cut to 4 KiB.
    #[must_use]
    pub fn fail(mut self, reason: &str, now: Timestamp) -> Failed {
        self.0.failure_reason = Some(cut(reason, MAX_FAILURE_REASON_BYTES));
        Failed::enter(self.0, now)
    }
}

impl Completed {
    /// The hash of the metadata that this backup committed.
    #[must_use]
    pub fn metadata_sha256(&self) -> &str {
        self.0.metadata_sha256.as_deref().unwrap_or_default()
    }

    fn free(&self) -> Result<(), TransitionError> {
        if self.0.holds.is_empty() { Ok(()) } else { Err(TransitionError::Held(self.0.holds.clone())) }
    }

    /// Declares a committed backup unusable. It keeps `metadataSha256`, so that nobody resumes it.
    ///
    /// # Errors
    /// [`TransitionError::Held`].
    pub fn fail(mut self, reason: &str, now: Timestamp) -> Result<Failed, TransitionError> {
        self.free()?;
        self.0.failure_reason = Some(cut(reason, MAX_FAILURE_REASON_BYTES));
        Ok(Failed::enter(self.0, now))
    }

    /// Begins to delete.
    ///
    /// # Errors
    /// [`TransitionError::Held`].
    pub fn delete(self, now: Timestamp) -> Result<Deleting, TransitionError> {
        self.free()?;
        Ok(Deleting::enter(self.0, now))
    }

    /// Adds or removes a hold, or records a verification. An annotation that is in the document already still raises the
    /// revision.
    ///
    /// # Errors
    /// [`TransitionError::TooManyHolds`], [`TransitionError::HoldTooLong`], [`TransitionError::NoSuchHold`].
    pub fn annotate(mut self, change: &Annotation, now: Timestamp) -> Result<Self, TransitionError> {
        match change {
            Annotation::Hold(hold) => {
                if !hold.fits() {
                    return Err(TransitionError::HoldTooLong);
                }
                if !change.is_in(&self.0) {
                    if self.0.holds.len() >= MAX_HOLDS {
                        return Err(TransitionError::TooManyHolds);
                    }
                    self.0.holds.push(hold.clone());
                }
            }
            Annotation::Release(id) => {
                if change.is_in(&self.0) {
                    return Err(TransitionError::NoSuchHold(id.clone()));
                }
                self.0.holds.retain(|hold| hold.id != *id);
            }
            Annotation::Verified(verification) => self.0.verified = Some(*verification),
        }
        Ok(Self::enter(self.0, now))
    }
}

impl Failed {
    /// A record that the node could not save: creates FAILED where nothing was.
    #[must_use]
    pub fn record(cluster_id: ClusterId, id: BackupId, attempt: AttemptId, reason: &str, now: Timestamp) -> Self {
        Self(StatusDocument {
            failure_reason: Some(cut(reason, MAX_FAILURE_REASON_BYTES)),
            ..blank(cluster_id, id, attempt, StatusCode::Failed, now)
        })
    }

    /// Was the backup committed before somebody marked it as failed?
    #[must_use]
    pub fn was_completed(&self) -> bool {
        self.0.metadata_sha256.is_some()
    }

    /// Another attempt resumes the failed save.
    ///
    /// # Errors
    /// [`TransitionError::WasCompleted`], [`TransitionError::OtherDescriptor`].
    pub fn take_over(self, claim: Claim, now: Timestamp) -> Result<InProgress, TransitionError> {
        if self.was_completed() {
            return Err(TransitionError::WasCompleted);
        }
        taken_over(self.0, claim, now)
    }

    /// Begins to delete.
    #[must_use]
    pub fn delete(self, now: Timestamp) -> Deleting {
        Deleting::enter(self.0, now)
    }
}

impl Deleting {
    /// Begins to delete where no readable status is: leftovers below an absent one, or a corrupt one.
    #[must_use]
    pub fn leftovers(cluster_id: ClusterId, id: BackupId, attempt: AttemptId, now: Timestamp) -> Self {
        Self(blank(cluster_id, id, attempt, StatusCode::Deleting, now))
    }

    /// Everything but the status is gone: the tombstone.
    #[must_use]
    pub fn finish(self, now: Timestamp) -> Deleted {
        Deleted::enter(self.0, now)
    }
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
