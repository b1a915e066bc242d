//! What copying a backup between stores takes and gives.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use milepost_core::document::CopiedFrom;
use milepost_core::{BackupId, ClusterDocument, FileName, FileSetKind, MetadataDocument, StatusDocument};

use crate::context::OpContext;
use crate::error::Result;

/// A committed backup, opened to be copied into another store: its documents as they were read, and its contents.
///
/// It holds nothing in the store: the backup may be deleted meanwhile, which the next call tells.
#[async_trait]
pub trait Exported: fmt::Debug + Send + Sync + 'static {
    /// The status as it was read: COMPLETED.
    fn status(&self) -> &StatusDocument;

    /// The metadata, which agrees with the status.
    fn metadata(&self) -> &MetadataDocument;

    /// The metadata's bytes as they are stored. Their SHA-256 is the one that the status names.
    fn metadata_bytes(&self) -> Bytes;

    /// The cluster that owns the store.
    fn cluster(&self) -> &ClusterDocument;

    /// The store, as people are told, without secrets.
    fn location(&self) -> &str;

    /// Reads the bytes of a range that lies within the file, and gives them to `sink` in order. They are as the store gives
    /// them: whoever copies checks them against the metadata.
    ///
    /// # Errors
    /// Integrity where the content is absent or short; Conflict where the backup changed meanwhile; the common ones. `sink` may
    /// have got some of the bytes then.
    async fn read(
        &self,
        kind: FileSetKind,
        name: &FileName,
        range: Range<u64>,
        sink: &mut (dyn for<'b> FnMut(&'b [u8]) + Send),
        cx: &OpContext,
    ) -> Result<()>;

    /// Is the backup still the committed one that was opened?
    ///
    /// # Errors
    /// Conflict where it is not; the common ones.
    async fn still_committed(&self, cx: &OpContext) -> Result<()>;
}

/// How to copy a backup into a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ImportOptions {
    /// Go on with a copy of the same backup that is IN_PROGRESS: its process is taken to be gone, and is fenced where it is
    /// not. One that is FAILED is continued without this.
    pub resume: bool,
    /// Change nothing; tell what would be done.
    pub dry_run: bool,
}

/// How a copy ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportOutcome {
    /// Committed by this call.
    Copied,
    /// The store holds the same backup already, committed with the same metadata: nothing was written.
    AlreadyThere,
    /// A dry run: it would be copied.
    WouldCopy,
}

/// What copying one backup into a store did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportReport {
    /// The backup.
    pub id: BackupId,
    /// How it ended.
    pub outcome: ImportOutcome,
    /// What the new status says of where it comes from.
    pub from: CopiedFrom,
    /// Files of the backup.
    pub files: u64,
    /// Files that this call sent; the others were there from an earlier attempt.
    pub files_sent: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes that this call sent.
    pub bytes_sent: u64,
    /// Is it complete? False where files were left out on purpose when it was saved.
    pub complete: bool,
    /// How long the call took.
    pub duration: Duration,
    /// Requests that had to be sent again, to either store.
    pub retries: u64,
    /// Things that are odd but harmless, as keys below the prefix that no file owns.
    pub warnings: Vec<String>,
}
