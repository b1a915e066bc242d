//! A bucket that sees every effect, in order.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use milepost_core::{BackupId, Crc64Nvme, Layout, ObjectKey, Timestamp};
use milepost_store::bucket::{
    DeleteOutcome, GetReply, ListPage, ListRequest, ObjectMeta, OpenUpload, PartInfo, PartLimits, PutMode, UploadId,
    UploadQuery,
};
use milepost_store::{Bucket, BucketError, ETag};

use super::history::History;
use super::{Broken, Contents};

type Answer<T> = Result<T, BucketError>;

/// A bucket that lets everything through, sees what it does to the objects, and judges it. Clones and scopes share what was
/// seen.
///
/// Writes and deletes go through one at a time, so that the order of the effects is known. What reaches the bucket on
/// another way (another process, [`Witness::inner`]) is not seen: begin on an empty bucket, or call [`Witness::plant`].
pub struct Witness<B> {
    inner: Arc<B>,
    seen: Arc<Mutex<History>>,
    turn: Arc<tokio::sync::Mutex<()>>,
    scope: Option<BackupId>,
}

impl<B> Clone for Witness<B> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            seen: Arc::clone(&self.seen),
            turn: Arc::clone(&self.turn),
            scope: self.scope,
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for Witness<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<B: Bucket> Witness<B> {
    /// Watches an empty bucket whose backups lie where `layout` says.
    #[must_use]
    pub fn new(inner: B, layout: Layout) -> Self {
        Self {
            inner: Arc::new(inner),
            seen: Arc::new(Mutex::new(History::new(layout))),
            turn: Arc::default(),
            scope: None,
        }
    }

    /// The same bucket for an operation on `id`: what it writes elsewhere breaks [`Invariant::Bounds`](super::Invariant::Bounds).
    #[must_use]
    pub fn scoped(&self, id: BackupId) -> Self {
        Self { scope: Some(id), ..self.clone() }
    }

    /// The bucket itself.
    #[must_use]
    pub fn inner(&self) -> &B {
        &self.inner
    }

    /// Says what a save of `id` would save. A commit must be of one of the contents that were offered for its id.
    pub fn offers(&self, id: BackupId, contents: Contents) {
        self.history().offers(id, contents);
    }

    /// Takes note that a test put these bytes there (`None`: removed the object) with means of its own; nothing is judged.
    pub fn plant(&self, key: &str, bytes: Option<Bytes>) {
        self.history().plant(key, bytes);
    }

    /// Did everything hold that was seen so far?
    ///
    /// # Errors
    /// All violations, with the last 400 effects.
    pub fn verdict(&self) -> Result<(), Broken> {
        self.history().verdict()
    }

    /// How many effects were seen.
    #[must_use]
    pub fn effects(&self) -> u64 {
        self.history().effects()
    }

    /// The last 400 effects, one to a line.
    #[must_use]
    pub fn log(&self) -> String {
        self.history().log()
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands at a key, read past everything that could lie.
    async fn standing(&self, key: &ObjectKey) -> Option<Bytes> {
        use futures::TryStreamExt as _;
        let reply = self.inner.get(key, None).await.ok()?;
        let chunks: Vec<Bytes> = reply.body.try_collect().await.ok()?;
        Some(chunks.concat().into())
    }
}

impl<B: Bucket> Bucket for Witness<B> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn part_limits(&self) -> PartLimits {
        self.inner.part_limits()
    }

    fn lists_uploads_by_prefix(&self) -> bool {
        self.inner.lists_uploads_by_prefix()
    }

    fn needs_probe(&self) -> bool {
        self.inner.needs_probe()
    }

    async fn free_space(&self) -> Answer<Option<u64>> {
        self.inner.free_space().await
    }

    async fn clock(&self) -> Answer<Option<Timestamp>> {
        self.inner.clock().await
    }

    async fn put(&self, key: &ObjectKey, body: Bytes, crc: Crc64Nvme, mode: PutMode) -> Answer<ETag> {
        let turn = self.turn.lock().await;
        let result = self.inner.put(key, body, crc, mode).await;
        // A failure may have had its effect all the same; what is there is what counts.
        let now = self.standing(key).await;
        self.history().changed(key.as_str(), now, self.scope);
        drop(turn);
        result
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Answer<GetReply> {
        // Between an effect and its note in the history nobody may read it: it would be taken for made up.
        let _turn = self.turn.lock().await;
        self.inner.get(key, range).await
    }

    async fn head(&self, key: &ObjectKey) -> Answer<ObjectMeta> {
        self.inner.head(key).await
    }

    async fn list(&self, request: ListRequest) -> Answer<ListPage> {
        self.inner.list(request).await
    }

    async fn delete(&self, keys: Vec<String>) -> Answer<Vec<DeleteOutcome>> {
        let turn = self.turn.lock().await;
        let result = self.inner.delete(keys.clone()).await;
        for key in keys {
            let now = match ObjectKey::new(key.as_str()) {
                Ok(key) => self.standing(&key).await,
                Err(_) => None,
            };
            self.history().changed(&key, now, self.scope);
        }
        drop(turn);
        result
    }

    async fn create_upload(&self, key: &ObjectKey, part_size: u64) -> Answer<UploadId> {
        self.history().touched(key.as_str(), "begins an upload", self.scope);
        self.inner.create_upload(key, part_size).await
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: Bytes,
        crc: Crc64Nvme,
    ) -> Answer<PartInfo> {
        self.inner.upload_part(key, upload, number, body, crc).await
    }

    async fn list_parts(&self, key: &ObjectKey, upload: &UploadId) -> Answer<Vec<PartInfo>> {
        self.inner.list_parts(key, upload).await
    }

    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartInfo],
        crc: Crc64Nvme,
    ) -> Answer<ETag> {
        let turn = self.turn.lock().await;
        let result = self.inner.complete_upload(key, upload, parts, crc).await;
        let now = self.standing(key).await;
        self.history().changed(key.as_str(), now, self.scope);
        drop(turn);
        result
    }

    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Answer<()> {
        self.history().touched(key.as_str(), "aborts an upload", self.scope);
        self.inner.abort_upload(key, upload).await
    }

    async fn list_uploads(&self, query: UploadQuery) -> Answer<Vec<OpenUpload>> {
        self.inner.list_uploads(query).await
    }
}
