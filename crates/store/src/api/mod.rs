//! What a broker calls: [`BackupStore`], and what its methods take and give.

mod admin;
mod copy;
mod delete;
mod examine;
mod list;
mod read;
mod restore;
mod save;
mod status;
mod verify;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use milepost_core::lifecycle::Annotation;
use milepost_core::{BackupId, ClusterDocument, VerifyLevel};

pub use admin::{InitOptions, ProbeCheck, ProbeReport, UploadInfo};
pub use copy::{Exported, ImportOptions, ImportOutcome, ImportReport};
pub use delete::{DeleteOptions, DeleteReport};
pub use examine::{
    Below, ClockReading, Examination, ExamineOptions, FoundUpload, Heap, Leftover, Mend, Mended, Permission, Survey,
    UploadOf,
};
pub use list::{ListEntry, ListQuery, Order};
pub use read::{ByteStream, FileRef};
pub use restore::{RestoreCheck, RestoreOptions, RestoreOutcome, RestoreReport, RestoreTarget};
pub use save::{Backup, SaveOptions, SaveOutcome, SaveReport, SavedFile};
pub use status::{BackupState, BackupStatus, Expect, Metadata};
pub use verify::{Finding, Problem, VerifyReport};

use crate::context::OpContext;
use crate::error::Result;

/// A store of backups. Every method may be called from many tasks at once, in many processes, on many nodes: the store
/// alone orders what they do.
///
/// Errors say what failed, why and what to do ([`crate::Error`]). Common to all methods: InvalidInput before any effect;
/// Refused where the base belongs to another cluster; Unavailable and Denied after retries; Cancelled and Deadline by the
/// context. Dropping a future is safe: what it leaves, the next call of the same kind continues.
#[async_trait]
pub trait BackupStore: fmt::Debug + Send + Sync + 'static {
    /// Saves a partition's files: claims the id, uploads the contents, writes the metadata, commits.
    ///
    /// # Errors
    /// WrongState where the id is taken (as the table of `docs/design.md` says; with `resume` fewer states refuse);
    /// Source with every file that failed, Integrity for an object that holds other bytes: the backup is then FAILED.
    /// Conflict when another attempt took over. An error after the commit was sent says so: `status` tells.
    /// Cancelling marks the backup as FAILED; dropping leaves it IN_PROGRESS.
    async fn save(&self, backup: Backup, options: SaveOptions, cx: &OpContext) -> Result<SaveReport>;

    /// The state of one backup. Absence is a state, not an error.
    ///
    /// # Errors
    /// Corrupt for a status that cannot be used; Refused for one of a newer format.
    async fn status(&self, id: BackupId, cx: &OpContext) -> Result<BackupStatus>;

    /// The metadata that a backup committed, checked against the hash in its status.
    ///
    /// # Errors
    /// NotFound; WrongState for a backup that never was committed; Corrupt.
    async fn metadata(&self, id: BackupId, cx: &OpContext) -> Result<Metadata>;

    /// Reads a range of one file of a committed backup, cut to the file's end. The bytes are as the store gives them: only
    /// restore and verify check digests.
    ///
    /// # Errors
    /// NotFound, WrongState, Corrupt; the stream ends with an error where the content is short or vanishes.
    async fn read(&self, file: FileRef, range: Range<u64>, cx: &OpContext) -> Result<ByteStream>;

    /// Backups by checkpoint (newest first unless asked otherwise), then partition, then node. Statuses alone are read.
    /// A damaged one is an entry, never an error of the listing.
    fn list(&self, query: ListQuery, cx: OpContext) -> BoxStream<'static, Result<ListEntry>>;

    /// Restores a committed backup into a folder that is absent or empty, verified while streaming; the folder appears, or
    /// is marked as restored, only when all of it is there and synced. A second run continues.
    ///
    /// # Errors
    /// NotFound, WrongState, TargetNotEmpty, Refused (no space, another fingerprint): nothing is touched. Corrupt,
    /// Integrity, Target, Cancelled: unfinished staging stays, which the next run continues.
    async fn restore(
        &self,
        id: BackupId,
        target: RestoreTarget,
        options: RestoreOptions,
        cx: &OpContext,
    ) -> Result<RestoreReport>;

    /// Declares a backup failed: a save that will not go on, a committed one that turned out unusable, or, where nothing is,
    /// a record that the node could not save. Of a FAILED one the first reason is kept.
    ///
    /// # Errors
    /// WrongState for DELETING and DELETED, Held, Conflict where the document is not the one expected or changes meanwhile.
    async fn mark_failed(&self, id: BackupId, reason: &str, expect: Expect, cx: &OpContext) -> Result<BackupStatus>;

    /// Deletes a backup and leaves its tombstone. Deleting what is absent succeeds and writes nothing. Continues what an
    /// earlier delete left.
    ///
    /// # Errors
    /// WrongState for IN_PROGRESS and, unless asked for, for a corrupt status; Held, Conflict, Partial with the report.
    async fn delete(&self, id: BackupId, options: DeleteOptions, cx: &OpContext) -> Result<DeleteReport>;

    /// Holds, releases, or records a verification of a committed backup.
    ///
    /// # Errors
    /// NotFound, WrongState, Conflict, InvalidInput for too many or too long holds.
    async fn annotate(&self, id: BackupId, change: Annotation, expect: Expect, cx: &OpContext) -> Result<BackupStatus>;

    /// Checks a committed backup, and reports what it found; findings are not an error.
    ///
    /// # Errors
    /// NotFound, WrongState; Corrupt for documents that cannot be used.
    async fn verify(&self, id: BackupId, level: VerifyLevel, cx: &OpContext) -> Result<VerifyReport>;
}

/// What an operator does to a base, besides backups.
#[async_trait]
pub trait StoreAdmin: BackupStore {
    /// Makes `cluster.json`, or takes the one that is there if name and configured id agree.
    ///
    /// # Errors
    /// Refused where backups exist without it (adopt says which cluster they belong to), or it says something else.
    async fn init(&self, options: InitOptions, cx: &OpContext) -> Result<ClusterDocument>;

    /// Tries out whether the store keeps the promises that the protocol needs, below `_milepost/probe/`.
    ///
    /// # Errors
    /// Only where the store could not be asked; a failed check is in the report.
    async fn probe(&self, cx: &OpContext) -> Result<ProbeReport>;

    /// Open multipart uploads of one backup, as far as the store tells.
    ///
    /// # Errors
    /// The common ones.
    async fn open_uploads(&self, id: BackupId, cx: &OpContext) -> Result<Vec<UploadInfo>>;

    /// Opens a committed backup, to be copied into another store.
    ///
    /// # Errors
    /// NotFound, WrongState for a backup that is not COMPLETED, Corrupt.
    async fn export(&self, id: BackupId, cx: &OpContext) -> Result<Arc<dyn Exported>>;

    /// Copies a backup of another store into this one, as a save whose files come from there: every byte is checked against
    /// the metadata on its way, and the metadata stays the same, byte for byte. The status is new, and says where the backup
    /// comes from. A store that nobody has written to is given the other one's cluster id.
    ///
    /// # Errors
    /// Refused where this store belongs to another cluster, or the id is sealed; WrongState where the id is taken by anything
    /// but an unfinished copy of the same backup; Integrity for damage at the source or other bytes under a content's key
    /// here, Conflict where the backup changed at the source or another process took over here. What was begun is FAILED then,
    /// and the same call again continues it. Cancelling marks it as FAILED too, dropping leaves it IN_PROGRESS.
    async fn import(&self, from: Arc<dyn Exported>, options: ImportOptions, cx: &OpContext) -> Result<ImportReport>;

    /// Looks at the base as a whole: permissions, clock, uploads and, where asked for, every object. `doctor` makes sense of it.
    /// Of the base it changes nothing but one object below `_milepost/probe/`, which it writes and removes.
    ///
    /// # Errors
    /// The common ones; Unsupported for a store that cannot be examined. What this role may not do is in the result.
    async fn examine(&self, options: ExamineOptions, cx: &OpContext) -> Result<Examination> {
        let _ = (options, cx);
        Err(crate::error::Error::new(crate::error::ErrorKind::Unsupported, "this store cannot be examined"))
    }

    /// Clears up one thing that an examination found, if it still is nobody's and old enough. Dropping leaves it done or
    /// undone; doing it twice is doing it once.
    ///
    /// # Errors
    /// The common ones; Unsupported for a store that cannot be examined.
    async fn mend(&self, mend: Mend, cx: &OpContext) -> Result<Mended> {
        let _ = (mend, cx);
        Err(crate::error::Error::new(crate::error::ErrorKind::Unsupported, "this store cannot be mended"))
    }
}
