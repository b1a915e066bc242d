//! What a save takes and gives.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use milepost_core::{BackupId, Descriptor, DigestAlgorithm, FileRecord, FileSetKind, SkippedFile};

use crate::source::FileSet;

/// What is to be saved.
pub struct Backup {
    /// The id to claim.
    pub id: BackupId,
    /// What the broker says of it.
    pub descriptor: Descriptor,
    /// Immutable files.
    pub snapshots: FileSet,
    /// Append-only files.
    pub segments: FileSet,
    /// Whatever keeps the broker from removing the files; dropped after the last read.
    pub reservation: Option<Box<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backup")
            .field("id", &self.id)
            .field("descriptor", &self.descriptor)
            .field("snapshots", &self.snapshots.len())
            .field("segments", &self.segments.len())
            .finish_non_exhaustive()
    }
}

/// How to save.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SaveOptions {
    /// The digest to record of each file besides CRC64NVME; `None` for none. Default: BLAKE3.
    pub digest: Option<DigestAlgorithm>,
    /// Continue an IN_PROGRESS or FAILED backup of an equal descriptor; accept a COMPLETED one of equal files.
    pub resume: bool,
    /// Do not read the journal of an earlier attempt: plan and hash anew.
    pub ignore_journal: bool,
    /// Where the files come from, for people who read the journal.
    pub source: Option<String>,
    /// Files that somebody chose to leave out; the backup is then not complete.
    pub skipped: Vec<SkippedFile>,
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self {
            digest: Some(DigestAlgorithm::Blake3),
            resume: false,
            ignore_journal: false,
            source: None,
            skipped: Vec::new(),
        }
    }
}

/// How a save ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveOutcome {
    /// Committed by this call.
    Saved,
    /// Resumed a backup that was committed already, with equal files: nothing was written.
    AlreadyComplete,
}

/// One file of a save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedFile {
    /// Its set.
    pub kind: FileSetKind,
    /// Name, size, checksum and digest.
    pub record: FileRecord,
    /// Did this call send it? False: it was there from an earlier attempt.
    pub sent: bool,
}

/// What a save did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveReport {
    /// The backup.
    pub id: BackupId,
    /// How it ended.
    pub outcome: SaveOutcome,
    /// Every file.
    pub files: Vec<SavedFile>,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes that this call sent, parts of resumed uploads left out.
    pub bytes_sent: u64,
    /// SHA-256 of `metadata.json`.
    pub metadata_sha256: String,
    /// How long the call took.
    pub duration: Duration,
    /// Requests that had to be sent again.
    pub retries: u64,
    /// Things that are odd but harmless, as keys below the prefix that no file owns.
    pub warnings: Vec<String>,
}
