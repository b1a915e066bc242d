//! Who may go when: the one place that orders the requests of a simulation.
//!
//! Every request waits for its turn, which follows from the seed, the process, the request and how many such there were; at
//! each moment of paused time one request goes, and time moves on only when everything that it set off has come to rest,
//! threads that read files too. So nothing depends on how the machine runs the threads, and a seed gives one trace.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use milepost_core::{Crc64Nvme, ObjectKey};
use milepost_store::bucket::{
    DeleteOutcome, GetReply, ListPage, ListRequest, ObjectMeta, OpenUpload, PartInfo, PartLimits, PutMode, UploadId,
    UploadQuery,
};
use milepost_store::env::SeededRandom;
use milepost_store::{Bucket, BucketError, ETag};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::world::Watched;

/// The longest that a request waits for its turn when nobody is before it, in milliseconds.
const SLOWEST: u64 = 400;

/// A number from a seed and a text (FNV-1a, then SplitMix64).
pub(super) fn drawn(seed: u64, text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    SeededRandom::new(seed ^ hash).next()
}

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<(u64, u64, String), oneshot::Sender<()>>,
    seen: HashMap<String, u64>,
    trace: Vec<String>,
}

/// The order of a simulation. Clones are the same one.
#[derive(Clone)]
pub(super) struct Turns {
    seed: u64,
    begun: Instant,
    queue: Arc<Mutex<Queue>>,
    bell: Arc<Notify>,
}

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turns").field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl Turns {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, begun: Instant::now(), queue: Arc::default(), bell: Arc::default() }
    }

    /// Milliseconds since the simulation began.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn write_down(&self, line: impl AsRef<str>) {
        let line = format!("{:8} {}", self.now(), line.as_ref());
        self.queue.lock().unwrap().trace.push(line);
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.queue.lock().unwrap().trace.clone()
    }

    async fn my_turn(&self, what: String) {
        let go = {
            let mut queue = self.queue.lock().unwrap();
            let nth = queue.seen.entry(what.clone()).or_default();
            *nth += 1;
            let draw = drawn(self.seed, &format!("{what} {nth}"));
            // A tenth of the requests is slow, the others come at once.
            let wait = if draw.is_multiple_of(10) { draw / 10 % SLOWEST } else { draw / 10 % 8 };
            let (send, go) = oneshot::channel();
            queue.waiting.insert((self.now() + 1 + wait, draw, what), send);
            go
        };
        self.bell.notify_one();
        // The sender goes only with the simulation.
        let _ = go.await;
    }

    /// Lets one request after the other go, for ever.
    pub(super) async fn run(self) {
        loop {
            let next = self.queue.lock().unwrap().waiting.keys().next().map(|(due, ..)| *due);
            match next {
                None => self.bell.notified().await,
                Some(due) if due > self.now() => {
                    tokio::select! {
                        () = tokio::time::sleep_until(self.begun + Duration::from_millis(due)) => {}
                        () = self.bell.notified() => {}
                    }
                }
                Some(_) => {
                    let first = self.queue.lock().unwrap().waiting.pop_first();
                    // Whoever was dropped meanwhile has never sent the request.
                    if let Some(((_, _, what), go)) = first.filter(|(_, go)| !go.is_closed()) {
                        self.write_down(what);
                        let _ = go.send(());
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
    }
}

/// The watched bucket as one process reaches it: each request in its turn.
#[derive(Debug, Clone)]
pub(super) struct Timed {
    inner: Watched,
    turns: Turns,
    process: String,
}

impl Timed {
    pub(super) fn new(inner: Watched, turns: &Turns, process: impl Into<String>) -> Self {
        Self { inner, turns: turns.clone(), process: process.into() }
    }

    async fn turn(&self, request: &str, key: &str) {
        self.turns.my_turn(format!("{} {request} {key}", self.process)).await;
    }
}

type Answer<T> = Result<T, BucketError>;

impl Bucket for Timed {
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
        self.turn("free_space", "").await;
        self.inner.free_space().await
    }

    async fn put(&self, key: &ObjectKey, body: Bytes, crc: Crc64Nvme, mode: PutMode) -> Answer<ETag> {
        self.turn("put", key.as_str()).await;
        self.inner.put(key, body, crc, mode).await
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Answer<GetReply> {
        self.turn("get", key.as_str()).await;
        self.inner.get(key, range).await
    }

    async fn head(&self, key: &ObjectKey) -> Answer<ObjectMeta> {
        self.turn("head", key.as_str()).await;
        self.inner.head(key).await
    }

    async fn list(&self, request: ListRequest) -> Answer<ListPage> {
        self.turn("list", &request.prefix).await;
        self.inner.list(request).await
    }

    async fn delete(&self, keys: Vec<String>) -> Answer<Vec<DeleteOutcome>> {
        self.turn("delete", keys.first().map_or("", String::as_str)).await;
        self.inner.delete(keys).await
    }

    async fn create_upload(&self, key: &ObjectKey, part_size: u64) -> Answer<UploadId> {
        self.turn("create_upload", key.as_str()).await;
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
        self.turn(&format!("part {number}"), key.as_str()).await;
        self.inner.upload_part(key, upload, number, body, crc).await
    }

    async fn list_parts(&self, key: &ObjectKey, upload: &UploadId) -> Answer<Vec<PartInfo>> {
        self.turn("list_parts", key.as_str()).await;
        self.inner.list_parts(key, upload).await
    }

    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartInfo],
        crc: Crc64Nvme,
    ) -> Answer<ETag> {
        self.turn("complete", key.as_str()).await;
        self.inner.complete_upload(key, upload, parts, crc).await
    }

    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Answer<()> {
        self.turn("abort", key.as_str()).await;
        self.inner.abort_upload(key, upload).await
    }

    async fn list_uploads(&self, query: UploadQuery) -> Answer<Vec<OpenUpload>> {
        self.turn("list_uploads", &format!("{query:?}")).await;
        self.inner.list_uploads(query).await
    }
}
