//! [`S3BackupStore`]: the engine over an S3 bucket.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use milepost_core::{BackupId, ClusterDocument, VerifyLevel};
use milepost_store::env::Env;
use milepost_store::{
    Annotation, Backup, BackupStatus, BackupStore, BucketBackupStore, BucketError, BucketErrorKind, ByteStream,
    DeleteOptions, DeleteReport, Error, ErrorKind, Examination, ExamineOptions, Expect, Exported, FileRef,
    ImportOptions, ImportReport, InitOptions, ListEntry, ListQuery, Mend, Mended, Metadata, OpContext, Operation,
    ProbeReport, RestoreOptions, RestoreReport, RestoreTarget, Result, SaveOptions, SaveReport, StoreAdmin,
    StoreSettings, UploadInfo, VerifyReport,
};

use crate::bucket::S3Bucket;
use crate::settings::S3Settings;

/// How long the check at the start may take, tries and all.
const CHECK: Duration = Duration::from_secs(10);
/// Tries of the check that a busy server may ask for.
const CHECK_TRIES: u32 = 3;

/// A [`BackupStore`] in an S3 bucket. Cloning shares everything.
///
/// ```no_run
/// use milepost_s3::{S3BackupStore, S3Location, S3Settings};
/// use milepost_store::{BackupStore, OpContext, StoreSettings, env::Env};
///
/// # async fn example(env: Env) -> milepost_store::Result<()> {
/// let location = S3Location::parse("s3://backups/prod?endpoint=http://localhost:9000")?;
/// let store = S3BackupStore::connect(&S3Settings::at(location), StoreSettings::default(), env).await?;
/// let status = store.status("1/100/2".parse().map_err(|e| milepost_store::Error::invalid_input(format!("{e}")))?, &OpContext::new()).await?;
/// # let _ = status;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct S3BackupStore(BucketBackupStore<S3Bucket>);

impl S3BackupStore {
    /// Opens a store and checks that its bucket is there. Takes 10 s at most, plus what the SDK's own sources of region and
    /// credentials take where the settings leave them open.
    ///
    /// # Errors
    /// InvalidInput for settings outside their limits, and for a bucket that does not exist or is elsewhere; Denied;
    /// Unavailable where nobody answers.
    pub async fn connect(s3: &S3Settings, store: StoreSettings, env: Env) -> Result<Self> {
        let opened = Self::open(s3, store, env).await?;
        opened.check(s3).await.map_err(|error| error.during(Operation::Open))?;
        Ok(opened)
    }

    /// Opens a store without a look at it: the first call then tells whether it is there.
    ///
    /// # Errors
    /// InvalidInput for settings outside their limits, and where no region can be found.
    pub async fn open(s3: &S3Settings, store: StoreSettings, env: Env) -> Result<Self> {
        let bucket = S3Bucket::new(s3).await.map_err(|error| error.during(Operation::Open))?;
        let layout = s3.layout().map_err(|error| error.during(Operation::Open))?;
        Ok(Self(BucketBackupStore::new(bucket, layout, store, env)?))
    }

    /// The bucket below.
    #[must_use]
    pub fn bucket(&self) -> &S3Bucket {
        self.0.bucket()
    }

    async fn check(&self, s3: &S3Settings) -> Result<()> {
        let layout = s3.layout()?;
        let tries = async {
            let mut wait = Duration::from_millis(250);
            for _ in 1..CHECK_TRIES {
                match self.bucket().check(layout.root()).await {
                    // A busy server is there; a dead one is told at once.
                    Err(error) if error.kind == BucketErrorKind::Throttled => tokio::time::sleep(wait).await,
                    other => return other,
                }
                wait *= 4;
            }
            self.bucket().check(layout.root()).await
        };
        let checked = tokio::time::timeout(CHECK, tries).await.unwrap_or_else(|_| {
            let message = format!("no answer within {CHECK:?}");
            Err(BucketError::new(BucketErrorKind::Timeout, message)
                .with_hint("nobody answers at the endpoint: mend it, or look at firewalls and proxies"))
        });
        checked.map_err(|error| match error.kind {
            // What no retry mends is the operator's to mend.
            BucketErrorKind::Invalid => {
                let refused = Error::new(ErrorKind::InvalidInput, error.message);
                match error.hint {
                    Some(hint) => refused.with_hint(hint),
                    None => refused,
                }
            }
            _ => Error::from(error),
        })
    }
}

#[async_trait]
impl BackupStore for S3BackupStore {
    async fn save(&self, backup: Backup, options: SaveOptions, cx: &OpContext) -> Result<SaveReport> {
        self.0.save(backup, options, cx).await
    }

    async fn status(&self, id: BackupId, cx: &OpContext) -> Result<BackupStatus> {
        self.0.status(id, cx).await
    }

    async fn metadata(&self, id: BackupId, cx: &OpContext) -> Result<Metadata> {
        self.0.metadata(id, cx).await
    }

    async fn read(&self, file: FileRef, range: Range<u64>, cx: &OpContext) -> Result<ByteStream> {
        self.0.read(file, range, cx).await
    }

    fn list(&self, query: ListQuery, cx: OpContext) -> BoxStream<'static, Result<ListEntry>> {
        self.0.list(query, cx)
    }

    async fn restore(
        &self,
        id: BackupId,
        target: RestoreTarget,
        options: RestoreOptions,
        cx: &OpContext,
    ) -> Result<RestoreReport> {
        self.0.restore(id, target, options, cx).await
    }

    async fn mark_failed(&self, id: BackupId, reason: &str, expect: Expect, cx: &OpContext) -> Result<BackupStatus> {
        self.0.mark_failed(id, reason, expect, cx).await
    }

    async fn delete(&self, id: BackupId, options: DeleteOptions, cx: &OpContext) -> Result<DeleteReport> {
        self.0.delete(id, options, cx).await
    }

    async fn annotate(&self, id: BackupId, change: Annotation, expect: Expect, cx: &OpContext) -> Result<BackupStatus> {
        self.0.annotate(id, change, expect, cx).await
    }

    async fn verify(&self, id: BackupId, level: VerifyLevel, cx: &OpContext) -> Result<VerifyReport> {
        self.0.verify(id, level, cx).await
    }
}

#[async_trait]
impl StoreAdmin for S3BackupStore {
    async fn init(&self, options: InitOptions, cx: &OpContext) -> Result<ClusterDocument> {
        self.0.init(options, cx).await
    }

    async fn probe(&self, cx: &OpContext) -> Result<ProbeReport> {
        self.0.probe(cx).await
    }

    async fn open_uploads(&self, id: BackupId, cx: &OpContext) -> Result<Vec<UploadInfo>> {
        self.0.open_uploads(id, cx).await
    }

    async fn export(&self, id: BackupId, cx: &OpContext) -> Result<Arc<dyn Exported>> {
        self.0.export(id, cx).await
    }

    async fn import(&self, from: Arc<dyn Exported>, options: ImportOptions, cx: &OpContext) -> Result<ImportReport> {
        self.0.import(from, options, cx).await
    }

    async fn examine(&self, options: ExamineOptions, cx: &OpContext) -> Result<Examination> {
        self.0.examine(options, cx).await
    }

    async fn mend(&self, mend: Mend, cx: &OpContext) -> Result<Mended> {
        self.0.mend(mend, cx).await
    }
}
