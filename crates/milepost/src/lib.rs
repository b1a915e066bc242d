//! Milepost is the backup store for replicated logs: this is the crate that a broker embeds.
//!
//! A store is opened by its URL; everything else goes through [`BackupStore`].
//!
//! ```
//! use milepost::{Backup, BackupId, BackupState, Descriptor, FileEntry, FileName, OpContext};
//! use milepost::{RestoreOptions, RestoreTarget, SaveOptions, Settings};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let log = folder.path().join("1.log");
//! std::fs::write(&log, "the first records")?;
//! let bucket = folder.path().join("backups");
//! let store = milepost::open(&format!("file://{}", bucket.display()), Settings::default())?;
//! let cx = OpContext::new(); // carries cancellation, a deadline and progress
//!
//! // Node 2 saves partition 1 at checkpoint 100.
//! let id: BackupId = "1/100/2".parse()?;
//! let backup = Backup {
//!     id,
//!     descriptor: Descriptor { number_of_partitions: Some(1), ..Descriptor::default() },
//!     snapshots: vec![],
//!     segments: vec![FileEntry::from_path(FileName::new("1.log")?, &log)],
//!     reservation: None,
//! };
//! let saved = store.save(backup, SaveOptions::default(), &cx).await?;
//! assert_eq!(saved.bytes, 17);
//!
//! assert_eq!(store.status(id, &cx).await?.state(), BackupState::Completed);
//!
//! // The folder appears only when all of it is there, verified and synced.
//! let target = RestoreTarget { path: folder.path().join("restored") };
//! store.restore(id, target, RestoreOptions::default(), &cx).await?;
//! assert_eq!(std::fs::read(folder.path().join("restored/segments/1.log"))?, b"the first records");
//! # Ok(())
//! # }
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`mod@open`] | [`open()`], [`open_admin`], [`Settings`] |
//! | [`url`](mod@crate::url) | [`StoreUrl`]: which store is meant |
//! | [`system`] | clock, random bits, host and folders of this machine |
//!
//! The feature `s3` (on by default) brings the S3 backend and [`S3Settings`]; without it an `s3://` URL is refused.
//!
//! Everything that a broker needs of `milepost_store` and `milepost_core` is named here too; the crates themselves are
//! [`store`] and [`core`](mod@core).

pub mod open;
#[cfg(feature = "s3")]
mod s3;
pub mod system;
pub mod url;

pub use milepost_core as core;
pub use milepost_core::{
    AttemptId, BackupId, CheckpointId, ClusterDocument, ClusterId, CopiedFrom, Counts, Crc64Nvme, Descriptor, Digest,
    DigestAlgorithm, DigestHasher, FileName, FileRecord, FileSetKind, Hold, HoldId, Kind, LogRange, MetadataDocument,
    NameError, NodeId, Owner, PartitionId, Selector, SkippedFile, StatusCode, StatusDocument, Timestamp, Verification,
    VerifyLevel,
};
#[cfg(feature = "s3")]
pub use milepost_s3::{S3Location, S3Settings, Sse, WireChecksum};
pub use milepost_store as store;
pub use milepost_store::{
    Annotation, Backup, BackupState, BackupStatus, BackupStore, ByteStream, Clock, DeleteOptions, DeleteReport, ETag,
    Env, Error, ErrorKind, Expect, Exported, FileEntry, FileFailure, FileRef, FileSet, FileSource, FileVersion,
    Finding, ImportOptions, ImportOutcome, ImportReport, InitOptions, ListEntry, ListQuery, Metadata, OpContext,
    Operation, Order, PathSource, ProbeCheck, ProbeReport, Problem, Progress, ProgressSample, Random, ReadAt,
    RestoreCheck, RestoreOptions, RestoreOutcome, RestoreReport, RestoreTarget, Result, SaveOptions, SaveOutcome,
    SaveReport, SavedFile, StoreAdmin, StoreSettings, UploadInfo, VerifyReport,
};
pub use milepost_store::{checkpoints, contents, copy, doctor, hold, journals, node, prune, stats, verifying};
pub use open::{Settings, open, open_admin, open_with};
pub use url::StoreUrl;

/// The library's example in the project's README, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct ReadmeExamples;
