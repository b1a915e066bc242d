//! One client process: verbs on a few ids, and a log of every read and write of a status.

use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use milepost_core::{BackupId, BackupObject, Crc64Nvme, Hold, HoldId, Layout, ObjectKey, StatusDocument};
use milepost_store::bucket::{
    DeleteOutcome, GetReply, ListPage, ListRequest, ObjectMeta, OpenUpload, PartInfo, PartLimits, PutMode, UploadId,
    UploadQuery,
};
use milepost_store::env::{Clock as _, SeededRandom};
use milepost_store::{
    Annotation, BackupStatus, BackupStore as _, Bucket, BucketBackupStore, BucketError, BucketErrorKind, DeleteOptions,
    DirectoryBucket, ETag, ErrorKind, Expect, InitOptions, OpContext, SaveOptions, StoreAdmin as _,
};
use milepost_testkit::fixtures::{TickingClock, test_env};

use crate::common::{id, resume, settings, tiny};

const PART: &str = "MILEPOST_HISTORY_PART";

/// What one process is to do.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) root: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) number: u64,
    pub(crate) seed: u64,
    /// None: it makes the base.
    pub(crate) acts: u64,
}

/// Few enough that everybody meets everybody.
fn ids() -> [BackupId; 3] {
    [id(1, 100, 2), id(1, 101, 2), id(2, 100, 1)]
}

impl Part {
    pub(crate) fn tell(&self, command: &mut Command) {
        let Self { root, log, number, seed, acts } = self;
        command.env(PART, format!("{number} {seed} {acts} {} {}", log.display(), root.display()));
    }

    pub(crate) fn of_this_process() -> Option<Self> {
        let text = std::env::var(PART).ok()?;
        let words: Vec<&str> = text.splitn(5, ' ').collect();
        let number = |at: usize| words[at].parse().unwrap();
        Some(Self { number: number(0), seed: number(1), acts: number(2), log: words[3].into(), root: words[4].into() })
    }

    pub(crate) fn act(self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(self.acts());
    }

    async fn acts(self) {
        let bucket = Recorded::new(DirectoryBucket::open(&self.root, test_env(self.seed)).unwrap(), &self);
        let mut settings = settings();
        (settings.retry_delay, settings.retry_budget) = (Duration::from_millis(1), Duration::from_secs(20));
        let store = BucketBackupStore::new(bucket.clone(), Layout::default(), settings, test_env(self.seed)).unwrap();
        let random = SeededRandom::new(self.seed);
        if self.acts == 0 {
            store.init(InitOptions::default(), &OpContext::new()).await.unwrap();
        }
        for act in 0..self.acts {
            let id = ids()[usize::try_from(random.next() % 3).unwrap()];
            let cx = OpContext::new().with_timeout(Duration::from_secs(60));
            let verb = random.next() % 10;
            let began = bucket.begins(format!("{verb} {id}"));
            let told = match verb {
                0..=2 => store.status(id, &cx).await,
                3 => told(&bucket, began, id, store.save(tiny(id), SaveOptions::default(), &cx).await),
                4 | 5 => told(&bucket, began, id, store.save(tiny(id), resume(), &cx).await),
                6 => store.mark_failed(id, &format!("given up by {} in {act}", self.number), Expect::Any, &cx).await,
                7 => {
                    let hold = Hold {
                        id: HoldId::new(format!("hold-{}-{act}", self.number)).unwrap(),
                        reason: "audit".to_owned(),
                        owner: "ops".to_owned(),
                        created_at: TickingClock::new().now(),
                    };
                    store.annotate(id, Annotation::Hold(hold), Expect::Any, &cx).await
                }
                _ => match store.delete(id, DeleteOptions::default(), &cx).await {
                    Ok(_) => continue,
                    Err(error) => Err(error),
                },
            };
            match told {
                Ok(status) => bucket.ends(began, "R", id, &version(status.document.as_ref())),
                Err(error) => {
                    let defect = matches!(error.kind(), ErrorKind::Corrupt { .. } | ErrorKind::Internal);
                    assert!(!defect, "{verb} of {id}: {error:?}");
                }
            }
        }
    }
}

/// A save tells no status: that it ended well is written down by itself.
fn told(
    bucket: &Recorded,
    began: u64,
    id: BackupId,
    saved: milepost_store::Result<milepost_store::SaveReport>,
) -> milepost_store::Result<BackupStatus> {
    let report = saved?;
    bucket.ends(began, "S", id, &format!("0 {}", report.metadata_sha256));
    Err(milepost_store::Error::new(ErrorKind::NotFound, "no status to tell of"))
}

/// How a version of a status is called in the log: its revision and what tells it from others, `0 -` for none.
fn version(document: Option<&StatusDocument>) -> String {
    let Some(document) = document else { return "0 -".to_owned() };
    let hash = milepost_core::checksum::sha256_hex(&document.encode().unwrap());
    let committed = match (&document.metadata_sha256, document.status_code.name()) {
        (Some(sha256), "COMPLETED") => format!(":{sha256}"),
        _ => String::new(),
    };
    format!("{} {}{committed}", document.revision, &hash[..16])
}

/// The machine's monotonic clock, the same for all processes, in nanoseconds.
fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

/// A bucket that writes down every read and write of a status.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    inner: DirectoryBucket,
    log: Arc<File>,
    number: u64,
    next: Arc<AtomicU64>,
}

impl Recorded {
    fn new(inner: DirectoryBucket, part: &Part) -> Self {
        let log = Arc::new(File::options().create(true).append(true).open(&part.log).unwrap());
        Self { inner, log, number: part.number, next: Arc::default() }
    }

    /// One write of one line: a kill leaves a line whole, or the beginning of a last one.
    fn write(&self, line: String) {
        (&*self.log).write_all(line.as_bytes()).unwrap();
    }

    /// `BEGIN process.call time what`
    fn begins(&self, what: String) -> u64 {
        let call = self.next.fetch_add(1, Ordering::Relaxed);
        self.write(format!("BEGIN {}.{call} {} {what}\n", self.number, now()));
        call
    }

    /// `END process.call time kind id version`
    fn ends(&self, call: u64, kind: &str, id: BackupId, version: &str) {
        let time = now();
        self.write(format!("END {}.{call} {time} {kind} {id} {version}\n", self.number));
    }
}

fn status_of(key: &ObjectKey) -> Option<BackupId> {
    match Layout::default().parse(key.as_str()) {
        Some((id, BackupObject::Status)) => Some(id),
        _ => None,
    }
}

type Answer<T> = Result<T, BucketError>;

impl Bucket for Recorded {
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
        let Some(id) = status_of(key) else { return self.inner.put(key, body, crc, mode).await };
        let version = version(Some(&StatusDocument::parse(&body, id).unwrap()));
        let call = self.begins(format!("W {id} {version}"));
        let answer = self.inner.put(key, body, crc, mode).await;
        match &answer {
            Ok(_) => self.ends(call, "W", id, &version),
            Err(error) if !error.maybe_applied => self.ends(call, "N", id, &version),
            Err(_) => {}
        }
        answer
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Answer<GetReply> {
        let Some(id) = status_of(key) else { return self.inner.get(key, range).await };
        let call = self.begins(format!("R {id}"));
        let mut reply = match self.inner.get(key, range).await {
            Err(error) if error.kind == BucketErrorKind::NotFound => {
                self.ends(call, "R", id, "0 -");
                return Err(error);
            }
            reply => reply?,
        };
        let bytes = Bytes::from(reply.body.try_collect::<Vec<Bytes>>().await?.concat());
        self.ends(call, "R", id, &version(Some(&StatusDocument::parse(&bytes, id).unwrap())));
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
