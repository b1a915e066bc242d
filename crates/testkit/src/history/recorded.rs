//! A bucket that writes down when every read and write of a status began and ended.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use milepost_core::{BackupId, BackupObject, Crc64Nvme, Layout, ObjectKey, StatusDocument, Timestamp};
use milepost_store::bucket::{
    DeleteOutcome, GetReply, ListPage, ListRequest, ObjectMeta, OpenUpload, PartInfo, PartLimits, PutMode, UploadId,
    UploadQuery,
};
use milepost_store::{Bucket, BucketError, BucketErrorKind, ETag};

/// Where lines go.
type Sink = dyn Fn(String) + Send + Sync;
/// A clock that all clients of a history share, in nanoseconds.
type Now = dyn Fn() -> u64 + Send + Sync;

/// The log of one client. Clones are the same one.
#[derive(Clone)]
pub struct Log {
    number: u64,
    next: Arc<AtomicU64>,
    now: Arc<Now>,
    sink: Arc<Sink>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Log {
    /// The log of client `number`: `now` is a monotonic clock that all clients share, `sink` takes whole lines, one by one.
    pub fn new(
        number: u64,
        now: impl Fn() -> u64 + Send + Sync + 'static,
        sink: impl Fn(String) + Send + Sync + 'static,
    ) -> Self {
        Self { number, next: Arc::default(), now: Arc::new(now), sink: Arc::new(sink) }
    }

    /// `BEGIN client.call time what`; gives the call's number.
    pub(super) fn begins(&self, what: String) -> u64 {
        let call = self.next.fetch_add(1, Ordering::Relaxed);
        (self.sink)(format!("BEGIN {}.{call} {} {what}\n", self.number, (self.now)()));
        call
    }

    /// `END client.call time kind id version`
    pub(super) fn ends(&self, call: u64, kind: &str, id: BackupId, version: &str) {
        let time = (self.now)();
        (self.sink)(format!("END {}.{call} {time} {kind} {id} {version}\n", self.number));
    }
}

/// How a version of a status is called in the log: its revision and what tells it from others, `0 -` for none.
pub(super) fn version(document: Option<&StatusDocument>) -> String {
    let Some(document) = document else { return "0 -".to_owned() };
    // What was read can be written.
    let hash = milepost_core::checksum::sha256_hex(&document.encode().unwrap_or_default());
    let committed = match (&document.metadata_sha256, document.status_code.name()) {
        (Some(sha256), "COMPLETED") => format!(":{sha256}"),
        _ => String::new(),
    };
    format!("{} {}{committed}", document.revision, &hash[..16])
}

/// A bucket that writes down every read and write of a status. Its base is the bucket itself.
#[derive(Debug, Clone)]
pub struct Recorded<B> {
    inner: B,
    pub(super) log: Log,
}

impl<B> Recorded<B> {
    /// Writes to `log` what goes on at `inner`.
    pub fn new(inner: B, log: Log) -> Self {
        Self { inner, log }
    }
}

/// The version that bytes are; statuses that cannot be read are no part of these histories.
fn read_version(bytes: &[u8], id: BackupId) -> Answer<String> {
    StatusDocument::parse(bytes, id)
        .map(|document| version(Some(&document)))
        .map_err(|error| BucketError::new(BucketErrorKind::Invalid, format!("{id}: {error}")))
}

fn status_of(key: &ObjectKey) -> Option<BackupId> {
    match Layout::default().parse(key.as_str()) {
        Some((id, BackupObject::Status)) => Some(id),
        _ => None,
    }
}

type Answer<T> = Result<T, BucketError>;

impl<B: Bucket> Bucket for Recorded<B> {
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
        false
    }

    async fn free_space(&self) -> Answer<Option<u64>> {
        self.inner.free_space().await
    }

    async fn clock(&self) -> Answer<Option<Timestamp>> {
        self.inner.clock().await
    }

    async fn put(&self, key: &ObjectKey, body: Bytes, crc: Crc64Nvme, mode: PutMode) -> Answer<ETag> {
        let Some(id) = status_of(key) else { return self.inner.put(key, body, crc, mode).await };
        let version = read_version(&body, id)?;
        let call = self.log.begins(format!("W {id} {version}"));
        let answer = self.inner.put(key, body, crc, mode).await;
        match &answer {
            Ok(_) => self.log.ends(call, "W", id, &version),
            Err(error) if !error.maybe_applied => self.log.ends(call, "N", id, &version),
            Err(_) => {}
        }
        answer
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Answer<GetReply> {
        let Some(id) = status_of(key) else { return self.inner.get(key, range).await };
        let call = self.log.begins(format!("R {id}"));
        let mut reply = match self.inner.get(key, range).await {
            Err(error) if error.kind == BucketErrorKind::NotFound => {
                self.log.ends(call, "R", id, "0 -");
                return Err(error);
            }
            reply => reply?,
        };
        let bytes = Bytes::from(reply.body.try_collect::<Vec<Bytes>>().await?.concat());
        self.log.ends(call, "R", id, &read_version(&bytes, id)?);
        reply.body = futures::stream::iter([Ok(bytes)]).boxed();
        Ok(reply)
    }

    async fn head(&self, key: &ObjectKey) -> Answer<ObjectMeta> {
        self.inner.head(key).await
    }

    async fn list(&self, request: ListRequest) -> Answer<ListPage> {
        self.inner.list(request).await
    }

    async fn delete(&self, keys: Vec<String>) -> Answer<Vec<DeleteOutcome>> {
        self.inner.delete(keys).await
    }

    async fn create_upload(&self, key: &ObjectKey, part_size: u64) -> Answer<UploadId> {
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
        self.inner.complete_upload(key, upload, parts, crc).await
    }

    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Answer<()> {
        self.inner.abort_upload(key, upload).await
    }

    async fn list_uploads(&self, query: UploadQuery) -> Answer<Vec<OpenUpload>> {
        self.inner.list_uploads(query).await
    }
}
