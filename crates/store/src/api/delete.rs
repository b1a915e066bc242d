//! What a delete takes and gives.

use std::time::Duration;

use milepost_core::BackupId;

use super::Expect;

/// How to delete.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DeleteOptions {
    /// The document that is meant.
    pub expect: Expect,
    /// Delete a backup whose status cannot be read. Never one of a newer format.
    pub corrupt: bool,
    /// Forget the tombstone once it is older than this and below the partition's newest completed checkpoint.
    pub forget: Option<Duration>,
    /// Change nothing; report what would be deleted.
    pub dry_run: bool,
}

/// What a delete did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteReport {
    /// The backup.
    pub id: BackupId,
    /// Objects deleted, the status left out.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Multipart uploads aborted.
    pub uploads: u64,
    /// Does a tombstone stand now?
    pub tombstone: bool,
    /// Was the tombstone forgotten?
    pub forgotten: bool,
    /// Why a tombstone that was to be forgotten was kept.
    pub kept: Option<String>,
    /// Keys that could not be deleted, with the reason: the first 1,000.
    pub failed: Vec<(String, String)>,
    /// Keys that were not tried after the last failure.
    pub untried: u64,
}
