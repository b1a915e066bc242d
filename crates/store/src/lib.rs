//! The store of backups: what a broker calls, the engine behind it, and the port to an object store below it.
//!
//! [`BackupStore`] is what users call: object-safe, boxed. [`Bucket`] is what a backend implements: static dispatch, a
//! dozen requests. [`BucketBackupStore`] is the engine between them, written once: it speaks the protocol of
//! `docs/design.md`, moves the bytes, retries, and settles what a lost reply leaves open.
//!
//! | module | holds |
//! |---|---|
//! | [`api`] | [`BackupStore`], [`StoreAdmin`], and what they take and give |
//! | [`error`] | the one error, its kinds and exit codes |
//! | [`bucket`] | the port: [`Bucket`], its requests and its errors |
//! | [`context`] | [`OpContext`]: cancellation, deadline, progress |
//! | [`env`](mod@env) | [`Clock`], [`Random`]: time and randomness, passed in |
//! | [`settings`] | what an operator may tune, with limits |
//! | [`source`] | files to be saved |
//! | [`engine`] | [`BucketBackupStore`] |
//! | [`checkpoints`] | checkpoints as wholes, the latest complete one |
//! | [`copy`](mod@copy) | copying backups to another store |
//! | [`contents`] | one file of a backup, verified while it streams |
//! | [`stats`] | what lies in a store, and how it grows |
//! | [`doctor`] | what is wrong with a store, and clearing up |
//! | [`hold`] | holding and releasing a backup or a checkpoint |
//! | [`node`] | restoring a node's whole data folder |
//! | [`verifying`] | verifying many backups, what was proven longest ago first |
//! | [`prune`] | deleting what a retention policy no longer keeps |
//! | [`journals`] | what unfinished saves noted, for people |
//! | [`memory`] | the memory bucket, the reference model |
//! | [`directory`] | the directory bucket, the embedded default |

pub mod api;
pub mod bucket;
pub mod checkpoints;
pub mod contents;
pub mod context;
pub mod copy;
pub mod directory;
pub mod doctor;
pub mod engine;
pub mod env;
pub mod error;
mod fs;
/// Targets of cargo-fuzz, which are no part of the library.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::journal::hostile::{example as example_journal, journal};
}
pub mod hold;
mod journal;
pub mod journals;
pub mod memory;
pub mod node;
pub mod prune;
pub mod settings;
pub mod source;
pub mod stats;
mod target;
pub mod verifying;

pub use api::{
    Backup, BackupState, BackupStatus, BackupStore, Below, ByteStream, ClockReading, DeleteOptions, DeleteReport,
    Examination, ExamineOptions, Expect, Exported, FileRef, Finding, FoundUpload, Heap, ImportOptions, ImportOutcome,
    ImportReport, InitOptions, Leftover, ListEntry, ListQuery, Mend, Mended, Metadata, Order, Permission, ProbeCheck,
    ProbeReport, Problem, RestoreCheck, RestoreOptions, RestoreOutcome, RestoreReport, RestoreTarget, SaveOptions,
    SaveOutcome, SaveReport, SavedFile, StoreAdmin, Survey, UploadInfo, UploadOf, VerifyReport,
};
pub use bucket::{Bucket, BucketError, BucketErrorKind, ETag};
pub use context::{OpContext, Progress, ProgressSample};
pub use directory::DirectoryBucket;
pub use engine::BucketBackupStore;
pub use env::{Clock, Env, Random, Threads};
pub use error::{Error, ErrorKind, FileFailure, Operation, Result};
pub use memory::MemoryBucket;
pub use milepost_core as core;
pub use milepost_core::lifecycle::Annotation;
pub use settings::{Priority, StoreSettings};
pub use source::{FileEntry, FileSet, FileSource, FileVersion, PathSource, ReadAt};
