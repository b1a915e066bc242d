//! The memory bucket as one actor reaches it: every request waits until the replay says what becomes of it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use milepost_core::{Crc64Nvme, ObjectKey};
use milepost_store::bucket::{
    DeleteOutcome, GetReply, ListPage, ListRequest, ObjectMeta, OpenUpload, PartInfo, PartLimits, PutMode, UploadId,
    UploadQuery,
};
use milepost_store::{Bucket, BucketError, BucketErrorKind, ETag, MemoryBucket};
use tokio::sync::{Notify, oneshot};

use crate::words::Fault;

/// What is asked for, as far as the model knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Ask {
    GetStatus,
    PutStatus,
    GetMeta,
    PutMeta,
    PutFile,
    HeadFile,
    List,
    Delete,
    /// The model has no word for it: the cluster's document, seals, uploads (there are none), free space.
    Other,
}

/// A put that may reach the bucket once more, or later.
#[derive(Debug, Clone)]
pub(super) struct Late {
    key: ObjectKey,
    body: Bytes,
    crc: Crc64Nvme,
    mode: PutMode,
}

impl Late {
    pub(super) async fn lands(self, bucket: &MemoryBucket) {
        // Whatever it answers, nobody hears it.
        drop(bucket.put(&self.key, self.body, self.crc, self.mode).await);
    }
}

struct Waiting {
    ask: Ask,
    late: Option<Late>,
    go: oneshot::Sender<Fault>,
}

/// Who waits for what.
#[derive(Clone, Default)]
pub(super) struct Desk {
    waiting: Arc<Mutex<HashMap<usize, Waiting>>>,
    pub(super) bell: Arc<Notify>,
}

impl Desk {
    pub(super) fn asks(&self, actor: usize) -> Option<Ask> {
        self.waiting.lock().unwrap().get(&actor).filter(|waiting| !waiting.go.is_closed()).map(|waiting| waiting.ask)
    }

    /// Lets the request of an actor go, to this fate; gives what may land later.
    pub(super) fn go(&self, actor: usize, fate: Fault) -> Option<Late> {
        let waiting = self.waiting.lock().unwrap().remove(&actor)?;
        // A closed gate is one whose actor was killed.
        let _ = waiting.go.send(fate);
        waiting.late
    }
}

/// The bucket of one actor.
#[derive(Clone)]
pub(super) struct Gated {
    inner: MemoryBucket,
    actor: usize,
    desk: Desk,
}

impl std::fmt::Debug for Gated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gated").field("actor", &self.actor).finish_non_exhaustive()
    }
}

type Answer<T> = Result<T, BucketError>;

fn lost<T>() -> Answer<T> {
    Err(BucketError::new(BucketErrorKind::Timeout, "no answer").maybe_applied())
}

impl Gated {
    pub(super) fn new(inner: MemoryBucket, actor: usize, desk: &Desk) -> Self {
        Self { inner, actor, desk: desk.clone() }
    }

    async fn pass(&self, ask: Ask, late: Option<Late>) -> Fault {
        let (go, fate) = oneshot::channel();
        let before = self.desk.waiting.lock().unwrap().insert(self.actor, Waiting { ask, late, go });
        assert!(before.is_none_or(|before| before.go.is_closed()), "two requests of one actor at once");
        self.desk.bell.notify_one();
        // The desk outlives every actor.
        fate.await.unwrap()
    }
}

fn of_key(key: &str, status: Ask, metadata: Ask, file: Ask) -> Ask {
    match key.rsplit_once('/').map_or(key, |(_, name)| name) {
        _ if key.starts_with("_milepost/") || !key.contains('/') => Ask::Other,
        "status.json" => status,
        "metadata.json" => metadata,
        _ => file,
    }
}

impl Bucket for Gated {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn part_limits(&self) -> PartLimits {
        self.inner.part_limits()
    }

    fn needs_probe(&self) -> bool {
        false
    }

    async fn free_space(&self) -> Answer<Option<u64>> {
        self.inner.free_space().await
    }

    async fn put(&self, key: &ObjectKey, body: Bytes, crc: Crc64Nvme, mode: PutMode) -> Answer<ETag> {
        let ask = of_key(key.as_str(), Ask::PutStatus, Ask::PutMeta, Ask::PutFile);
        let late = Late { key: key.clone(), body: body.clone(), crc, mode: mode.clone() };
        let fate = self.pass(ask, Some(late)).await;
        if fate == Fault::Delayed {
            return lost();
        }
        let answer = self.inner.put(key, body, crc, mode).await;
        if fate == Fault::Lost { lost() } else { answer }
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Answer<GetReply> {
        self.pass(of_key(key.as_str(), Ask::GetStatus, Ask::GetMeta, Ask::Other), None).await;
        self.inner.get(key, range).await
    }

    async fn head(&self, key: &ObjectKey) -> Answer<ObjectMeta> {
        self.pass(of_key(key.as_str(), Ask::Other, Ask::Other, Ask::HeadFile), None).await;
        self.inner.head(key).await
    }

    async fn list(&self, request: ListRequest) -> Answer<ListPage> {
        self.pass(Ask::List, None).await;
        self.inner.list(request).await
    }

    async fn delete(&self, keys: Vec<String>) -> Answer<Vec<DeleteOutcome>> {
        self.pass(Ask::Delete, None).await;
        self.inner.delete(keys).await
    }

    async fn create_upload(&self, _: &ObjectKey, _: u64) -> Answer<UploadId> {
        unreachable!("files are small")
    }

    async fn upload_part(&self, _: &ObjectKey, _: &UploadId, _: u32, _: Bytes, _: Crc64Nvme) -> Answer<PartInfo> {
        unreachable!("files are small")
    }

    async fn list_parts(&self, _: &ObjectKey, _: &UploadId) -> Answer<Vec<PartInfo>> {
        unreachable!("files are small")
    }

    async fn complete_upload(&self, _: &ObjectKey, _: &UploadId, _: &[PartInfo], _: Crc64Nvme) -> Answer<ETag> {
        unreachable!("files are small")
    }

    async fn abort_upload(&self, _: &ObjectKey, _: &UploadId) -> Answer<()> {
        unreachable!("files are small")
    }

    async fn list_uploads(&self, query: UploadQuery) -> Answer<Vec<OpenUpload>> {
        self.inner.list_uploads(query).await
    }
}
