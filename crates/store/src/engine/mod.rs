//! The engine: the protocol of `docs/design.md` over any [`Bucket`].
//!
//! | room | holds |
//! |---|---|
//! | `retry` | waiting between tries |
//! | `documents` | reading documents under their caps |
//! | `register` | the status: reading it, conditional writes and their settlement |
//! | `cluster`, `seal` | who may use a base, which ids are used up |
//! | `pool`, `lanes` | buffers that are used again, and the threads that fill them |
//! | `local` | reading and hashing local files |
//! | `slots` | how many requests move contents at once |
//! | `transfer` | the byte budget, the rate limit, hashing in order, fetching |
//! | `save` | claim, upload, metadata, commit; resume; the copy of a backup from another store |
//! | `restore`, `verify`, `read`, `export` | reading back |
//! | `mark` | mark_failed and annotate |
//! | `delete`, `forget` | sweeping, the tombstone, forgetting it |
//! | `list` | the ordered stream of backups |
//! | `probe`, `fitness` | what a store must keep; whether this one does |
//! | `examine`, `survey` | a base as a whole, and what is nobody's in it |

mod cluster;
mod delete;
mod documents;
mod examine;
mod export;
mod fitness;
mod forget;
mod lanes;
mod list;
mod listing;
mod local;
mod mark;
mod pool;
mod probe;
mod read;
mod register;
mod restore;
mod retry;
mod save;
mod seal;
mod slots;
mod survey;
mod transfer;
mod verify;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use milepost_core::lifecycle::Annotation;
use milepost_core::{BackupId, ClusterDocument, Layout, VerifyLevel};
use tokio::sync::OnceCell;

use crate::api::{
    Backup, BackupStatus, BackupStore, ByteStream, DeleteOptions, DeleteReport, Examination, ExamineOptions, Expect,
    Exported, FileRef, ImportOptions, ImportReport, InitOptions, ListEntry, ListQuery, Mend, Mended, Metadata,
    ProbeReport, RestoreOptions, RestoreReport, RestoreTarget, SaveOptions, SaveReport, StoreAdmin, UploadInfo,
    VerifyReport,
};
use crate::bucket::Bucket;
use crate::context::OpContext;
use crate::env::Env;
use crate::error::{Error, Operation, Result};
use crate::settings::StoreSettings;
use lanes::Lanes;
use pool::Pool;
use slots::Slots;
use transfer::{Budget, RateLimit};
pub(crate) use verify::differing;

/// What all calls of one store share.
#[derive(Debug)]
pub(crate) struct Engine<B: Bucket> {
    bucket: B,
    layout: Layout,
    settings: StoreSettings,
    env: Env,
    /// `cluster.json` is create-only: read once, it never changes.
    cluster: OnceCell<ClusterDocument>,
    /// Set once the store was found fit, or was taken all the same.
    fit: OnceCell<()>,
    budget: Budget,
    pool: Arc<Pool>,
    rate: RateLimit,
    slots: Slots,
    /// Reads and hashes, and writes what was fetched.
    files: Lanes,
    /// Syncs: they wait for a disk and need no processor, and the more of them wait at once, the fewer writes the disk makes.
    syncs: Lanes,
}

/// Threads that sync restored files.
const SYNC_THREADS: usize = 4;

/// A [`BackupStore`] over any [`Bucket`]. Cloning shares everything: the byte budget, the rate limit, the cluster check.
#[derive(Debug)]
pub struct BucketBackupStore<B: Bucket> {
    engine: Arc<Engine<B>>,
}

impl<B: Bucket> Clone for BucketBackupStore<B> {
    fn clone(&self) -> Self {
        Self { engine: Arc::clone(&self.engine) }
    }
}

impl<B: Bucket> BucketBackupStore<B> {
    /// A store of the backups below `layout`'s base in `bucket`. Nothing is read or written yet.
    ///
    /// # Errors
    /// InvalidInput where a setting is outside its limits.
    pub fn new(bucket: B, layout: Layout, settings: StoreSettings, env: Env) -> Result<Self> {
        settings.check().map_err(|error| error.during(Operation::Open))?;
        let budget = Budget::new(settings.memory_budget);
        // What lies idle counts as well: both together never take more than the budget.
        let pool = Pool::new(settings.memory_budget);
        let rate = RateLimit::new(settings.rate_limit);
        let slots = Slots::new(settings.concurrency);
        let lanes = |name, most| Lanes::new(name, most, settings.file_priority, env.threads);
        let (files, syncs) = (lanes("milepost-files", settings.file_threads), lanes("milepost-sync", SYNC_THREADS));
        let (cluster, fit) = (OnceCell::new(), OnceCell::new());
        Ok(Self {
            engine: Arc::new(Engine {
                bucket,
                layout,
                settings,
                env,
                cluster,
                fit,
                budget,
                pool,
                rate,
                slots,
                files,
                syncs,
            }),
        })
    }

    /// The bucket below.
    #[must_use]
    pub fn bucket(&self) -> &B {
        &self.engine.bucket
    }
}

/// Says which call failed, and of which backup.
fn about(operation: Operation, id: BackupId) -> impl Fn(Error) -> Error {
    move |error| error.during(operation).of(id)
}

#[async_trait]
impl<B: Bucket> BackupStore for BucketBackupStore<B> {
    async fn save(&self, backup: Backup, options: SaveOptions, cx: &OpContext) -> Result<SaveReport> {
        let id = backup.id;
        self.engine.save(backup, options, cx).await.map_err(about(Operation::Save, id))
    }

    async fn status(&self, id: BackupId, cx: &OpContext) -> Result<BackupStatus> {
        self.engine.status(id, cx).await.map_err(about(Operation::Status, id))
    }

    async fn metadata(&self, id: BackupId, cx: &OpContext) -> Result<Metadata> {
        self.engine.metadata(id, cx).await.map_err(about(Operation::Metadata, id))
    }

    async fn read(&self, file: FileRef, range: Range<u64>, cx: &OpContext) -> Result<ByteStream> {
        let id = file.id;
        self.engine.read(file, range, cx).await.map_err(about(Operation::Read, id))
    }

    fn list(&self, query: ListQuery, cx: OpContext) -> BoxStream<'static, Result<ListEntry>> {
        list::list(Arc::clone(&self.engine), query, cx)
    }

    async fn restore(
        &self,
        id: BackupId,
        target: RestoreTarget,
        options: RestoreOptions,
        cx: &OpContext,
    ) -> Result<RestoreReport> {
        self.engine.restore(id, target, options, cx).await.map_err(about(Operation::Restore, id))
    }

    async fn mark_failed(&self, id: BackupId, reason: &str, expect: Expect, cx: &OpContext) -> Result<BackupStatus> {
        self.engine.mark_failed(id, reason, &expect, cx).await.map_err(about(Operation::MarkFailed, id))
    }

    async fn delete(&self, id: BackupId, options: DeleteOptions, cx: &OpContext) -> Result<DeleteReport> {
        self.engine.delete(id, options, cx).await.map_err(about(Operation::Delete, id))
    }

    async fn annotate(&self, id: BackupId, change: Annotation, expect: Expect, cx: &OpContext) -> Result<BackupStatus> {
        // By the word that whoever called knows.
        let operation = match change {
            Annotation::Hold(_) => Operation::Hold,
            Annotation::Release(_) => Operation::Release,
            Annotation::Verified(_) => Operation::Annotate,
        };
        self.engine.annotate(id, &change, &expect, cx).await.map_err(about(operation, id))
    }

    async fn verify(&self, id: BackupId, level: VerifyLevel, cx: &OpContext) -> Result<VerifyReport> {
        self.engine.verify(id, level, cx).await.map_err(about(Operation::Verify, id))
    }
}

#[async_trait]
impl<B: Bucket> StoreAdmin for BucketBackupStore<B> {
    async fn init(&self, options: InitOptions, cx: &OpContext) -> Result<ClusterDocument> {
        let operation = if options.adopt { Operation::Adopt } else { Operation::Init };
        self.engine.init(options, cx).await.map_err(|error| error.during(operation))
    }

    async fn probe(&self, cx: &OpContext) -> Result<ProbeReport> {
        self.engine.probe(cx).await.map_err(|error| error.during(Operation::Probe))
    }

    async fn open_uploads(&self, id: BackupId, cx: &OpContext) -> Result<Vec<UploadInfo>> {
        self.engine.open_uploads(id, cx).await.map_err(about(Operation::Uploads, id))
    }

    async fn export(&self, id: BackupId, cx: &OpContext) -> Result<Arc<dyn Exported>> {
        self.engine.export(id, cx).await.map_err(about(Operation::Export, id))
    }

    async fn import(&self, from: Arc<dyn Exported>, options: ImportOptions, cx: &OpContext) -> Result<ImportReport> {
        let id = from.status().id;
        self.engine.import(from, options, cx).await.map_err(about(Operation::Import, id))
    }

    async fn examine(&self, options: ExamineOptions, cx: &OpContext) -> Result<Examination> {
        self.engine.examine(options, cx).await.map_err(|error| error.during(Operation::Examine))
    }

    async fn mend(&self, mend: Mend, cx: &OpContext) -> Result<Mended> {
        self.engine.mend(mend, cx).await.map_err(|error| error.during(Operation::Examine))
    }
}
