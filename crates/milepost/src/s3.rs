//! The S3 store behind the facade: opened without asking anybody, connected by the first call.
//!
//! [`crate::open`] is synchronous, because a broker opens its store where it reads its configuration, inside a runtime or
//! before there is one. An S3 client cannot be made there: region and credentials may come from a profile, a token service
//! or the instance, which is waiting, and its connections belong to the runtime that uses them. So opening checks the settings
//! alone, and the first call makes the client and looks whether the bucket is there, within its own deadline and
//! cancellation. A failure is not kept: the next call tries again, since a broker may start before its network does.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt as _};
use milepost_core::{BackupId, ClusterDocument, VerifyLevel};
use milepost_s3::{S3BackupStore, S3Location, S3Settings};
use milepost_store::env::Env;
use milepost_store::{
    Annotation, Backup, BackupStatus, BackupStore, ByteStream, DeleteOptions, DeleteReport, Examination,
    ExamineOptions, Expect, Exported, FileRef, ImportOptions, ImportReport, InitOptions, ListEntry, ListQuery, Mend,
    Mended, Metadata, OpContext, Operation, ProbeReport, RestoreOptions, RestoreReport, RestoreTarget, Result,
    SaveOptions, SaveReport, StoreAdmin, StoreSettings, UploadInfo, VerifyReport,
};
use tokio::sync::OnceCell;

/// An S3 store that connects when it is first used. Cloning shares the connection.
#[derive(Debug, Clone)]
pub(crate) struct LazyS3(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    s3: S3Settings,
    store: StoreSettings,
    env: Env,
    opened: OnceCell<S3BackupStore>,
}

impl LazyS3 {
    /// Checks all settings; asks nobody.
    ///
    /// # Errors
    /// InvalidInput names the setting.
    pub(crate) fn new(location: S3Location, s3: S3Settings, store: StoreSettings, env: Env) -> Result<Self> {
        let s3 = s3.located(location);
        s3.check()?;
        store.check()?;
        Ok(Self(Arc::new(Inner { s3, store, env, opened: OnceCell::new() })))
    }

    async fn store(&self, cx: &OpContext) -> Result<&S3BackupStore> {
        let Inner { s3, store, env, opened } = &*self.0;
        let connect =
            async { opened.get_or_try_init(|| Box::pin(S3BackupStore::connect(s3, store.clone(), env.clone()))).await };
        cx.run(connect).await.map_err(|error| error.during(Operation::Open))
    }
}

#[async_trait]
impl BackupStore for LazyS3 {
    async fn save(&self, backup: Backup, options: SaveOptions, cx: &OpContext) -> Result<SaveReport> {
        self.store(cx).await?.save(backup, options, cx).await
    }

    async fn status(&self, id: BackupId, cx: &OpContext) -> Result<BackupStatus> {
        self.store(cx).await?.status(id, cx).await
    }

    async fn metadata(&self, id: BackupId, cx: &OpContext) -> Result<Metadata> {
        self.store(cx).await?.metadata(id, cx).await
    }

    async fn read(&self, file: FileRef, range: Range<u64>, cx: &OpContext) -> Result<ByteStream> {
        self.store(cx).await?.read(file, range, cx).await
    }

    fn list(&self, query: ListQuery, cx: OpContext) -> BoxStream<'static, Result<ListEntry>> {
        let this = self.clone();
        let listing = async move {
            match this.store(&cx).await {
                Ok(store) => store.list(query, cx.clone()),
                Err(error) => stream::once(async { Err(error) }).boxed(),
            }
        };
        stream::once(listing).flatten().boxed()
    }

    async fn restore(
        &self,
        id: BackupId,
        target: RestoreTarget,
        options: RestoreOptions,
        cx: &OpContext,
    ) -> Result<RestoreReport> {
        self.store(cx).await?.restore(id, target, options, cx).await
    }

    async fn mark_failed(&self, id: BackupId, reason: &str, expect: Expect, cx: &OpContext) -> Result<BackupStatus> {
        self.store(cx).await?.mark_failed(id, reason, expect, cx).await
    }

    async fn delete(&self, id: BackupId, options: DeleteOptions, cx: &OpContext) -> Result<DeleteReport> {
        self.store(cx).await?.delete(id, options, cx).await
    }

    async fn annotate(&self, id: BackupId, change: Annotation, expect: Expect, cx: &OpContext) -> Result<BackupStatus> {
        self.store(cx).await?.annotate(id, change, expect, cx).await
    }

    async fn verify(&self, id: BackupId, level: VerifyLevel, cx: &OpContext) -> Result<VerifyReport> {
        self.store(cx).await?.verify(id, level, cx).await
    }
}

#[async_trait]
impl StoreAdmin for LazyS3 {
    async fn init(&self, options: InitOptions, cx: &OpContext) -> Result<ClusterDocument> {
        self.store(cx).await?.init(options, cx).await
    }

    async fn probe(&self, cx: &OpContext) -> Result<ProbeReport> {
        self.store(cx).await?.probe(cx).await
    }

    async fn open_uploads(&self, id: BackupId, cx: &OpContext) -> Result<Vec<UploadInfo>> {
        self.store(cx).await?.open_uploads(id, cx).await
    }

    async fn export(&self, id: BackupId, cx: &OpContext) -> Result<Arc<dyn Exported>> {
        self.store(cx).await?.export(id, cx).await
    }

    async fn import(&self, from: Arc<dyn Exported>, options: ImportOptions, cx: &OpContext) -> Result<ImportReport> {
        self.store(cx).await?.import(from, options, cx).await
    }

    async fn examine(&self, options: ExamineOptions, cx: &OpContext) -> Result<Examination> {
        self.store(cx).await?.examine(options, cx).await
    }

    async fn mend(&self, mend: Mend, cx: &OpContext) -> Result<Mended> {
        self.store(cx).await?.mend(mend, cx).await
    }
}
