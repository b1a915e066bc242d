//! The memory bucket: the reference model of [`Bucket`], for tests and for trying Milepost out without a store.
//!
//! It does what the trait's page says and nothing more, so that an engine which runs on it runs on any bucket that passes
//! the conformance suite of `milepost-testkit`. Everything is gone when the last clone is dropped.
//!
//! One lock guards all of it. Each request takes the lock once, checks its condition and has its effect under it, and
//! never waits while holding it: that makes every write atomic and gives races one winner. Contents are [`Bytes`], so a
//! get copies nothing and goes on reading the old content while a new one is put.

mod state;

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use milepost_core::{Crc64Nvme, ObjectKey};

use crate::bucket::{
    Bucket, BucketError, BucketErrorKind, DeleteOutcome, ETag, GetReply, ListPage, ListRequest, MAX_PAGE, ObjectMeta,
    OpenUpload, PartInfo, PartLimits, PutMode, UploadId, UploadQuery,
};
use state::State;

/// A get's body comes in chunks of this many bytes, but for the last.
const CHUNK: usize = 64 * 1024;

/// What a multipart upload may look like unless a test says otherwise: the limits of S3, but no smallest part.
const DEFAULT_LIMITS: PartLimits = PartLimits { min_part: 1, max_part: 5 << 30, max_parts: 10_000 };

/// A bucket in memory. Clones share one content.
///
/// ```
/// use milepost_store::bucket::{Bucket, PutMode};
/// use milepost_store::core::{Crc64Nvme, ObjectKey};
/// use milepost_store::MemoryBucket;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bucket = MemoryBucket::new("example");
/// let key = ObjectKey::new("greeting.txt")?;
/// bucket.put(&key, "hello".into(), Crc64Nvme::of(b"hello"), PutMode::Create).await?;
/// assert_eq!(bucket.bytes("greeting.txt").as_deref(), Some(&b"hello"[..]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryBucket {
    name: Arc<str>,
    limits: PartLimits,
    state: Arc<Mutex<State>>,
}

impl MemoryBucket {
    /// An empty bucket. People are told `memory:NAME`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), limits: DEFAULT_LIMITS, state: Arc::default() }
    }

    /// The same bucket whose uploads keep other limits, for this clone and those made of it: a test can then use parts of
    /// 1 KiB, or see what a store with large parts refuses.
    #[must_use]
    pub fn with_part_limits(mut self, limits: PartLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The same bucket with room for `bytes` bytes of contents and parts; what does not fit is refused with NoSpace. Holds
    /// for all clones.
    #[must_use]
    pub fn with_capacity(self, bytes: u64) -> Self {
        self.set_capacity(Some(bytes));
        self
    }

    /// Changes the room of all clones: `None` for no end of it.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Every key, in byte order. For tests and embedded trials.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.lock().objects.keys().cloned().collect()
    }

    /// The content of a key. For tests and embedded trials.
    #[must_use]
    pub fn bytes(&self, key: &str) -> Option<Bytes> {
        self.lock().objects.get(key).map(|object| object.bytes.clone())
    }

    /// Plants a content under any key, also one that no request could name (`a//b`, `a/`), with its right checksum and
    /// without a look at conditions or room. For tests and embedded trials.
    pub fn put_raw(&self, key: impl Into<String>, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        let crc = Crc64Nvme::of(&bytes);
        self.lock().insert(key.into(), bytes, crc);
    }

    /// Removes a key without a trace, as somebody with the store's own tools would. Gives what was there. For tests and
    /// embedded trials.
    pub fn remove_raw(&self, key: &str) -> Option<Bytes> {
        self.lock().objects.remove(key).map(|object| object.bytes)
    }

    /// How many multipart uploads are neither completed nor aborted. For tests and embedded trials.
    #[must_use]
    pub fn open_upload_count(&self) -> usize {
        self.lock().uploads.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held can only have come from running out of memory; the state itself is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBucket").field("name", &self.name).finish_non_exhaustive()
    }
}

fn not_found(key: &ObjectKey) -> BucketError {
    BucketError::new(BucketErrorKind::NotFound, format!("{key}: no such key"))
}

fn verified(what: impl fmt::Display, body: &Bytes, crc: Crc64Nvme) -> Result<(), BucketError> {
    let actual = Crc64Nvme::of(body);
    if actual == crc {
        return Ok(());
    }
    let message = format!("{what}: the bytes have CRC64NVME {actual}, not {crc} as announced");
    Err(BucketError::new(BucketErrorKind::BadDigest, message))
}

impl Bucket for MemoryBucket {
    fn location(&self) -> String {
        format!("memory:{}", self.name)
    }

    fn needs_probe(&self) -> bool {
        false
    }

    fn part_limits(&self) -> PartLimits {
        self.limits
    }

    async fn free_space(&self) -> Result<Option<u64>, BucketError> {
        Ok(self.lock().free())
    }

    async fn put(&self, key: &ObjectKey, body: Bytes, crc: Crc64Nvme, mode: PutMode) -> Result<ETag, BucketError> {
        verified(key, &body, crc)?;
        let mut state = self.lock();
        let found = state.objects.get(key.as_str());
        let holds = match (&mode, found) {
            (PutMode::Create, found) => found.is_none(),
            (PutMode::Replace(expected), found) => found.is_some_and(|object| object.etag == *expected),
            (PutMode::Overwrite, _) => true,
        };
        if !holds {
            let found = found.map_or_else(|| "nothing is there".to_owned(), |object| format!("found {}", object.etag));
            return Err(BucketError::new(
                BucketErrorKind::Precondition,
                format!("{key}: the condition of {mode:?} does not hold: {found}"),
            ));
        }
        let freed = found.map_or(0, |object| object.bytes.len() as u64);
        state.room_for(key, body.len() as u64, freed)?;
        Ok(state.insert(key.as_str().to_owned(), body, crc))
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<GetReply, BucketError> {
        let (meta, whole) = {
            let state = self.lock();
            let object = state.objects.get(key.as_str()).ok_or_else(|| not_found(key))?;
            (object.meta(), object.bytes.clone())
        };
        let size = whole.len();
        let cut = |at: u64| usize::try_from(at).unwrap_or(size).min(size);
        let (start, end) = range.map_or((0, size), |range| (cut(range.start), cut(range.end)));
        let wanted = if start < end { whole.slice(start..end) } else { Bytes::new() };
        let chunks = (0..wanted.len()).step_by(CHUNK);
        let body = stream::iter(chunks).map(move |at| Ok(wanted.slice(at..(at + CHUNK).min(wanted.len())))).boxed();
        Ok(GetReply { meta, body })
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BucketError> {
        self.lock().objects.get(key.as_str()).map(state::Object::meta).ok_or_else(|| not_found(key))
    }

    async fn list(&self, request: ListRequest) -> Result<ListPage, BucketError> {
        if !(1..=MAX_PAGE).contains(&request.limit) {
            let message = format!("a page has 1 to {MAX_PAGE} entries, not {}", request.limit);
            return Err(BucketError::new(BucketErrorKind::Invalid, message));
        }
        Ok(self.lock().page(&request))
    }

    async fn delete(&self, keys: Vec<String>) -> Result<Vec<DeleteOutcome>, BucketError> {
        if keys.len() > MAX_PAGE {
            let message = format!("at most {MAX_PAGE} keys are deleted at once, not {}", keys.len());
            return Err(BucketError::new(BucketErrorKind::Invalid, message));
        }
        let mut state = self.lock();
        let outcomes = keys.into_iter().map(|key| {
            state.objects.remove(&key);
            DeleteOutcome { key, result: Ok(()) }
        });
        Ok(outcomes.collect())
    }

    async fn create_upload(&self, key: &ObjectKey, part_size: u64) -> Result<UploadId, BucketError> {
        let PartLimits { min_part, max_part, .. } = self.limits;
        if !(min_part..=max_part).contains(&part_size) {
            let message = format!("{key}: parts are {min_part} to {max_part} bytes long, not {part_size}");
            return Err(BucketError::new(BucketErrorKind::Invalid, message));
        }
        Ok(self.lock().begin(key))
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: Bytes,
        crc: Crc64Nvme,
    ) -> Result<PartInfo, BucketError> {
        let PartLimits { max_part, max_parts, .. } = self.limits;
        if !(1..=max_parts).contains(&number) || body.len() as u64 > max_part {
            let message = format!(
                "{key}: part {number} of {} bytes is not one of 1 to {max_parts} of at most {max_part} bytes",
                body.len()
            );
            return Err(BucketError::new(BucketErrorKind::Invalid, message));
        }
        verified(format_args!("{key}, part {number}"), &body, crc)?;
        self.lock().put_part(key, upload, number, body, crc)
    }

    async fn list_parts(&self, key: &ObjectKey, upload: &UploadId) -> Result<Vec<PartInfo>, BucketError> {
        Ok(self.lock().upload(key, upload)?.parts.iter().map(|(number, part)| part.info(*number)).collect())
    }

    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartInfo],
        crc: Crc64Nvme,
    ) -> Result<ETag, BucketError> {
        self.lock().complete(key, upload, parts, crc, self.limits.min_part)
    }

    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), BucketError> {
        let mut state = self.lock();
        if state.upload(key, upload).is_ok() {
            state.uploads.remove(&upload.0);
        }
        Ok(())
    }

    async fn list_uploads(&self, query: UploadQuery) -> Result<Vec<OpenUpload>, BucketError> {
        Ok(self.lock().open_uploads(&query))
    }
}

#[cfg(test)]
mod tests;
