//! `status.json`: the one register of a backup.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Descriptor, DocumentError, FORMAT_VERSION, MAX_NUMBER, MAX_SMALL_DOCUMENT_BYTES, cut, json_len, strict};
use crate::checksum::is_sha256_hex;
use crate::ids::{AttemptId, BackupId, ClusterId, HoldId};

/// The longest `failureReason`, in bytes as the document holds it ([`json_len`]).
pub const MAX_FAILURE_REASON_BYTES: usize = 4096;
/// The most holds that a backup may have.
pub const MAX_HOLDS: usize = 16;
/// The most that one hold's reason and owner may take together, in bytes as the document holds them.
pub const MAX_HOLD_BYTES: usize = 1024;
/// The longest host name of an owner, in bytes as the document holds it.
pub const MAX_HOST_BYTES: usize = 255;
/// The longest location of the store that a copy comes from, in bytes as the document holds it.
pub const MAX_LOCATION_BYTES: usize = 1024;

/// The state of a backup, as its status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StatusCode {
    /// Claimed by an attempt that is, or was, uploading.
    InProgress,
    /// Committed: every file is there and the metadata names them.
    Completed,
    /// Given up, by the attempt itself or by `mark_failed`.
    Failed,
    /// Being deleted; can only be deleted further.
    Deleting,
    /// The tombstone: the id is used up. Readers show it as absent.
    Deleted,
}

impl StatusCode {
    /// The word in documents, as in `IN_PROGRESS`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Deleting => "DELETING",
            Self::Deleted => "DELETED",
        }
    }

    /// The highest revision of a status in this state. Each step towards a tombstone has room for one more: whatever revision
    /// somebody wrote into a status that can be read, it can be given up and deleted.
    const fn highest_revision(self) -> u64 {
        let steps_left = match self {
            Self::InProgress => 4,
            Self::Completed => 3,
            Self::Failed => 2,
            Self::Deleting => 1,
            Self::Deleted => 0,
        };
        MAX_NUMBER - 1 - steps_left
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The process that runs an attempt: for people who look for it, never for a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// The host's name, at most [`MAX_HOST_BYTES`].
    pub host: String,
    /// The process id.
    pub pid: u32,
    /// When the attempt began.
    pub started_at: Timestamp,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {} since {}", self.pid, self.host, self.started_at)
    }
}

/// A number of files and of bytes, both below 2^53.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A hold forbids delete, mark-failed and prune of a completed backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// Names the hold for its release.
    pub id: HoldId,
    /// Why the backup is held.
    pub reason: String,
    /// Who holds it.
    pub owner: String,
    /// Since when.
    pub created_at: Timestamp,
}

impl Hold {
    /// Are its texts short enough? See [`MAX_HOLD_BYTES`].
    #[must_use]
    pub fn fits(&self) -> bool {
        json_len(&self.reason) + json_len(&self.owner) <= MAX_HOLD_BYTES
    }
}

/// How deep a verification looked; each level includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyLevel {
    /// Status and metadata agree.
    Documents,
    /// Every object is listed with its size.
    Objects,
    /// The checksums that the server holds agree.
    Checksums,
    /// Every byte was read and hashed.
    Content,
}

impl VerifyLevel {
    /// The word in documents and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Objects => "objects",
            Self::Checksums => "checksums",
            Self::Content => "content",
        }
    }
}

impl fmt::Display for VerifyLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The last recorded verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// How deep it looked.
    pub level: VerifyLevel,
    /// When it ended.
    pub at: Timestamp,
    /// Did all agree?
    pub ok: bool,
}

/// The backup in another store of which this one is, or is to be, a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopiedFrom {
    /// The other store, without secrets: for people. At most [`MAX_LOCATION_BYTES`].
    pub location: String,
    /// The attempt that committed it there.
    pub attempt_id: AttemptId,
    /// SHA-256 of its metadata, lower-case hex: which contents are copied, known from the claim on.
    pub metadata_sha256: String,
    /// When the backup was first committed, by whoever saved it: a copy of a copy keeps it.
    #[serde(default)]
    pub completed_at: Option<Timestamp>,
}

impl CopiedFrom {
    /// What a copy of the committed backup `of` at `location` says; the location is cut to its limit. `None` for a backup
    /// that names no metadata, which no committed one is.
    #[must_use]
    pub fn new(location: &str, of: &StatusDocument) -> Option<Self> {
        Some(Self {
            location: cut(location, MAX_LOCATION_BYTES),
            attempt_id: of.attempt_id.clone(),
            metadata_sha256: of.metadata_sha256.clone()?,
            completed_at: of.first_completed_at(),
        })
    }
}

/// `status.json`: the only object of a backup that is ever overwritten, always conditionally.
///
/// This is the plain data. Which change may follow which is the business of [`crate::lifecycle`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusDocument {
    /// Always 1.
    pub format_version: u64,
    /// The cluster that owns the base.
    pub cluster_id: ClusterId,
    /// The backup whose status this is; must agree with the key.
    pub id: BackupId,
    /// The state.
    pub status_code: StatusCode,
    /// The attempt that claimed the backup, or whoever else created the document.
    pub attempt_id: AttemptId,
    /// 1 at creation, raised by every change.
    pub revision: u64,
    /// The process that runs the attempt.
    #[serde(default)]
    pub owner: Option<Owner>,
    /// When the document was created.
    pub created_at: Timestamp,
    /// The last change, a sign of life too. Never before an earlier change of the same document.
    pub last_modified: Timestamp,
    /// When the backup was committed.
    #[serde(default)]
    pub completed_at: Option<Timestamp>,
    /// What the broker says; `None` in a FAILED written for a node that could not save.
    #[serde(default)]
    pub descriptor: Option<Descriptor>,
    /// What the attempt set out to save.
    #[serde(default)]
    pub planned: Option<Counts>,
    /// What has been saved so far.
    #[serde(default)]
    pub done: Option<Counts>,
    /// False when files were skipped on purpose: never chosen as `latest` or `any`.
    #[serde(default = "yes")]
    pub complete: bool,
    /// Why a FAILED failed, at most 4 KiB.
    #[serde(default)]
    pub failure_reason: Option<String>,
    /// SHA-256 of `metadata.json`, lower-case hex. A FAILED that was COMPLETED keeps it.
    #[serde(default)]
    pub metadata_sha256: Option<String>,
    /// Holds, at most [`MAX_HOLDS`].
    #[serde(default)]
    pub holds: Vec<Hold>,
    /// The last recorded verification.
    #[serde(default)]
    pub verified: Option<Verification>,
    /// Where the backup comes from, if it was copied from another store; left out otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied_from: Option<CopiedFrom>,
}

const fn yes() -> bool {
    true
}

impl StatusDocument {
    /// Reads the status of `id`, at most 64 KiB.
    ///
    /// # Errors
    /// Any [`DocumentError`]; [`DocumentError::Invalid`] for a body that lies about its id, or a COMPLETED that names no
    /// metadata.
    pub fn parse(bytes: &[u8], id: BackupId) -> Result<Self, DocumentError> {
        let document: Self = strict::parse(bytes, MAX_SMALL_DOCUMENT_BYTES)?;
        if document.id != id {
            return Err(DocumentError::invalid(format!("says that it is backup {}", document.id)));
        }
        document.check()?;
        Ok(document)
    }

    /// Writes the document.
    ///
    /// # Errors
    /// [`DocumentError::TooLarge`] or [`DocumentError::Invalid`] where `parse` would refuse the result.
    pub fn encode(&self) -> Result<Vec<u8>, DocumentError> {
        self.check()?;
        strict::encode(self, MAX_SMALL_DOCUMENT_BYTES)
    }

    /// When the backup was committed: of a copy, when what it is a copy of was.
    #[must_use]
    pub fn first_completed_at(&self) -> Option<Timestamp> {
        self.copied_from.as_ref().and_then(|from| from.completed_at).or(self.completed_at)
    }

    fn check(&self) -> Result<(), DocumentError> {
        if self.format_version != FORMAT_VERSION {
            return Err(DocumentError::invalid("formatVersion is not 1"));
        }
        if self.revision == 0 || self.revision > self.status_code.highest_revision() {
            return Err(DocumentError::invalid("revision is not between 1 and 2^53"));
        }
        if let Some(hash) = &self.metadata_sha256 {
            if !is_sha256_hex(hash) {
                return Err(DocumentError::invalid("metadataSha256 is not 64 lower-case hex digits"));
            }
        } else if self.status_code == StatusCode::Completed {
            return Err(DocumentError::invalid("is COMPLETED but names no metadataSha256"));
        }
        match &self.descriptor {
            Some(descriptor) => descriptor.check()?,
            None if self.status_code == StatusCode::Completed => {
                return Err(DocumentError::invalid("is COMPLETED but has no descriptor"));
            }
            None => {}
        }
        if self.holds.len() > MAX_HOLDS {
            return Err(DocumentError::invalid(format!("has more than {MAX_HOLDS} holds")));
        }
        if !self.holds.iter().all(Hold::fits) {
            return Err(DocumentError::invalid(format!("has a hold of more than {MAX_HOLD_BYTES} bytes")));
        }
        for (at, hold) in self.holds.iter().enumerate() {
            if self.holds[..at].iter().any(|other| other.id == hold.id) {
                return Err(DocumentError::invalid(format!("has two holds of the id {}", hold.id)));
            }
        }
        if self.owner.as_ref().is_some_and(|owner| json_len(&owner.host) > MAX_HOST_BYTES) {
            return Err(DocumentError::invalid(format!("the owner's host is longer than {MAX_HOST_BYTES} bytes")));
        }
        if self.failure_reason.as_ref().is_some_and(|reason| json_len(reason) > MAX_FAILURE_REASON_BYTES) {
            return Err(DocumentError::invalid(format!(
                "failureReason is longer than {MAX_FAILURE_REASON_BYTES} bytes"
            )));
        }
        if let Some(from) = &self.copied_from {
            if json_len(&from.location) > MAX_LOCATION_BYTES {
                return Err(DocumentError::invalid(format!(
                    "copiedFrom: the location is longer than {MAX_LOCATION_BYTES} bytes"
                )));
            }
            if !is_sha256_hex(&from.metadata_sha256) {
                return Err(DocumentError::invalid("copiedFrom: metadataSha256 is not 64 lower-case hex digits"));
            }
        }
        for counts in [self.planned, self.done].into_iter().flatten() {
            if counts.files >= MAX_NUMBER || counts.bytes >= MAX_NUMBER {
                return Err(DocumentError::invalid("a count is not below 2^53"));
            }
        }
        Ok(())
    }
}
