//! What a restore takes and gives.

use std::path::PathBuf;
use std::time::Duration;

use milepost_core::BackupId;

/// Where to restore to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreTarget {
    /// The folder: absent (its parent must exist), or existing and empty, as a mount point is.
    pub path: PathBuf,
}

/// How restored bytes are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestoreCheck {
    /// Size, CRC64NVME and digest.
    #[default]
    Digest,
    /// Size and CRC64NVME.
    Size,
}

/// How to restore.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// How bytes are checked.
    pub check: RestoreCheck,
    /// Refuse a backup whose descriptor carries another fingerprint.
    pub expect_fingerprint: Option<String>,
    /// Succeed without a look at the store where the target carries a marker of any restored backup: an init container
    /// that runs again must not undo what the broker wrote since.
    pub skip_if_restored: bool,
}

/// How a restore ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreOutcome {
    /// The target is there now.
    Restored,
    /// The target carried the marker of this very backup, or of any with `skip_if_restored`: nothing was done.
    AlreadyRestored,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// The backup; of a skipped restore, the one that the marker names.
    pub id: BackupId,
    /// How it ended.
    pub outcome: RestoreOutcome,
    /// Files in the target.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that this call fetched; the others were staged by an earlier one.
    pub files_fetched: u64,
    /// Bytes that this call fetched.
    pub bytes_fetched: u64,
    /// SHA-256 of the metadata.
    pub metadata_sha256: String,
    /// How long the call took.
    pub duration: Duration,
    /// Requests that had to be sent again.
    pub retries: u64,
}
