//! The port to an object store: a dozen requests that a backend implements, with their meaning.
//!
//! A bucket does one request per call: no retries, no reading back, no caching. It says truly whether a failed request may
//! have had its effect ([`BucketError::maybe_applied`]); the engine settles the rest. The conformance suite in
//! `milepost-testkit` checks every sentence of this page.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use milepost_core::{Crc64Nvme, ObjectKey, Timestamp};

use crate::context::OpContext;
use crate::error::{Error, ErrorKind};

/// The most keys of one listing page or one batched delete (Amazon S3 API reference, ListObjectsV2 and DeleteObjects).
pub const MAX_PAGE: usize = 1000;

/// What a write names the content that it may replace by. Opaque: equal for equal bytes, compared as text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ETag(pub String);

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "etag {}", self.0)
    }
}

/// Under which condition a put may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutMode {
    /// Only where nothing is (If-None-Match: *).
    Create,
    /// Only over this very content (If-Match).
    Replace(ETag),
    /// Whatever is there. Only the probe uses it.
    Overwrite,
}

/// What a head, a get or a listing says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its length in bytes.
    pub size: u64,
    /// Its ETag.
    pub etag: ETag,
    /// The checksum of the whole object: as stored by the server, or computed by a bucket that stores none. `None` where
    /// neither is to be had.
    pub crc64nvme: Option<Crc64Nvme>,
    /// How long ago it was last written, by the store's own clock. `None` where the store cannot tell.
    pub age: Option<Duration>,
}

/// One object of a listing. The key is raw: strangers may have put anything below a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key as the store spells it.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its ETag. Equal to that of `head` and `put` for the same content.
    pub etag: ETag,
}

/// One page of a listing is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRequest {
    /// Keys begin with this: empty, or ending in `/`.
    pub prefix: String,
    /// Fold everything below the next `/` into one folder.
    pub delimiter: bool,
    /// Continue after the page that gave this token.
    pub page: Option<PageToken>,
    /// At most this many objects and folders together: 1 to [`MAX_PAGE`].
    pub limit: usize,
}

impl ListRequest {
    /// The first page of everything below `prefix`.
    #[must_use]
    pub fn all(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), delimiter: false, page: None, limit: MAX_PAGE }
    }

    /// The first page of the objects and folders directly below `prefix`.
    #[must_use]
    pub fn folders(prefix: impl Into<String>) -> Self {
        Self { delimiter: true, ..Self::all(prefix) }
    }
}

/// Where a listing continues. Opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageToken(pub String);

/// One page of a listing, in the byte order of keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListPage {
    /// Objects.
    pub objects: Vec<Listed>,
    /// With a delimiter: folders, each with the prefix and a final `/`.
    pub folders: Vec<String>,
    /// The next page; `None` on the last one.
    pub next: Option<PageToken>,
}

/// A get's reply.
pub struct GetReply {
    /// The whole object's size, ETag and age; the checksum may be absent even where `head` gives one.
    pub meta: ObjectMeta,
    /// The bytes asked for, in chunks of any size up to 1 MiB or so. Ends with an error where fewer come than were asked for.
    pub body: BoxStream<'static, Result<Bytes, BucketError>>,
}

impl fmt::Debug for GetReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetReply").field("meta", &self.meta).finish_non_exhaustive()
    }
}

/// Names a multipart upload of one key. Opaque; holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UploadId(pub String);

/// A multipart upload that is neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    /// The key that it is for.
    pub key: String,
    /// Its id.
    pub upload: UploadId,
    /// How long ago it was begun, by the store's clock, where it tells.
    pub age: Option<Duration>,
}

/// A part that the store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartInfo {
    /// 1 to 10,000.
    pub number: u32,
    /// Its length in bytes.
    pub size: u64,
    /// Names it in a completion.
    pub etag: ETag,
    /// Its checksum, where the store holds or computes one.
    pub crc64nvme: Option<Crc64Nvme>,
}

/// What a multipart upload may look like (Amazon S3 user guide, "Multipart upload limits").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartLimits {
    /// The smallest part but the last, in bytes.
    pub min_part: u64,
    /// The largest part, in bytes.
    pub max_part: u64,
    /// The most parts.
    pub max_parts: u32,
}

/// The outcome of one key of a batched delete.
#[derive(Debug)]
pub struct DeleteOutcome {
    /// The key, as it was given.
    pub key: String,
    /// Deleting an absent key succeeds.
    pub result: Result<(), BucketError>,
}

/// How `list_uploads` may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadQuery {
    /// Uploads whose key begins with this. Some servers answer nothing unless it is a whole key.
    Prefix(String),
    /// Uploads of exactly this key.
    Key(ObjectKey),
}

/// An object store.
///
/// Keys are compared as bytes. Every write is atomic: a reader sees the old content or the new one. After a write or a
/// delete was answered, every get, head and listing shows it. Of racing conditional writes, at most one succeeds per
/// content that was there before. Dropping a call's future may leave its effect done or undone, never half.
pub trait Bucket: fmt::Debug + Send + Sync + 'static {
    /// What people are told the store is, as in `file:///var/backups`. No secrets.
    fn location(&self) -> String;

    /// What a multipart upload may look like.
    fn part_limits(&self) -> PartLimits;

    /// Does a query for uploads by prefix find all of them? Where not (MinIO), the engine asks by the exact key of every
    /// name that it knows.
    fn lists_uploads_by_prefix(&self) -> bool {
        true
    }

    /// Must the promises of this page be tried out by the first write to a new base? Not for a bucket that is part of Milepost:
    /// the memory's are proven by tests, and a directory whose file system lacks what they stand on fails by itself. `init`
    /// and `probe`, which people call, try out every bucket.
    fn needs_probe(&self) -> bool {
        true
    }

    /// How many bytes can still be written, where the store can tell.
    fn free_space(&self) -> impl Future<Output = Result<Option<u64>, BucketError>> + Send;

    /// What time it is by the store's own clock, where it tells.
    ///
    /// # Errors
    /// None of its own.
    fn clock(&self) -> impl Future<Output = Result<Option<Timestamp>, BucketError>> + Send {
        async { Ok(None) }
    }

    /// Writes an object whole. The store checks `crc` against what arrives where it can.
    ///
    /// # Errors
    /// [`BucketErrorKind::Precondition`] where the mode's condition does not hold (for `Replace`: an absent key too).
    fn put(
        &self,
        key: &ObjectKey,
        body: Bytes,
        crc: Crc64Nvme,
        mode: PutMode,
    ) -> impl Future<Output = Result<ETag, BucketError>> + Send;

    /// Reads an object, or the bytes of `range`, which is cut to the object's end; a range that begins at or behind the end
    /// gives an empty body.
    ///
    /// # Errors
    /// [`BucketErrorKind::NotFound`].
    fn get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
    ) -> impl Future<Output = Result<GetReply, BucketError>> + Send;

    /// What the store knows of an object, its checksum above all.
    ///
    /// # Errors
    /// [`BucketErrorKind::NotFound`].
    fn head(&self, key: &ObjectKey) -> impl Future<Output = Result<ObjectMeta, BucketError>> + Send;

    /// One page of a listing.
    ///
    /// # Errors
    /// None of its own: a prefix below which nothing is gives an empty page.
    fn list(&self, request: ListRequest) -> impl Future<Output = Result<ListPage, BucketError>> + Send;

    /// Deletes up to [`MAX_PAGE`] keys, unconditionally. Keys are raw, as a listing spelled them.
    ///
    /// # Errors
    /// Where the whole request failed; a key's own failure is in its outcome. One outcome per key.
    fn delete(&self, keys: Vec<String>) -> impl Future<Output = Result<Vec<DeleteOutcome>, BucketError>> + Send;

    /// Begins a multipart upload of parts that are `part_size` long, but for the last.
    ///
    /// # Errors
    /// None of its own.
    fn create_upload(
        &self,
        key: &ObjectKey,
        part_size: u64,
    ) -> impl Future<Output = Result<UploadId, BucketError>> + Send;

    /// Sends part `number` (from 1). The same number again replaces the part.
    ///
    /// # Errors
    /// [`BucketErrorKind::NoSuchUpload`] once it was completed or aborted.
    fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: Bytes,
        crc: Crc64Nvme,
    ) -> impl Future<Output = Result<PartInfo, BucketError>> + Send;

    /// The parts that the store holds, by number.
    ///
    /// # Errors
    /// [`BucketErrorKind::NoSuchUpload`].
    fn list_parts(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
    ) -> impl Future<Output = Result<Vec<PartInfo>, BucketError>> + Send;

    /// Makes the object of all its parts, create-only; `crc` is that of the whole object.
    ///
    /// # Errors
    /// [`BucketErrorKind::NoSuchUpload`], [`BucketErrorKind::Precondition`] where the key exists (the upload stays open),
    /// [`BucketErrorKind::BadDigest`] where the bytes are not those of `crc`.
    fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartInfo],
        crc: Crc64Nvme,
    ) -> impl Future<Output = Result<ETag, BucketError>> + Send;

    /// Gives an upload up and frees its parts.
    ///
    /// # Errors
    /// None of its own: aborting an upload that is no more succeeds.
    fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> impl Future<Output = Result<(), BucketError>> + Send;

    /// Open uploads, at most 10,000.
    ///
    /// # Errors
    /// None of its own.
    fn list_uploads(&self, query: UploadQuery) -> impl Future<Output = Result<Vec<OpenUpload>, BucketError>> + Send;
}

/// What went wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BucketErrorKind {
    /// No such key (404).
    NotFound,
    /// The condition does not hold (412), or the store cannot say (409).
    Precondition,
    /// The upload was completed or aborted, or never was.
    NoSuchUpload,
    /// What arrived is not what the checksum says.
    BadDigest,
    /// The store asks to slow down.
    Throttled,
    /// No connection, a broken one, or a server's own failure.
    Unavailable,
    /// No answer in time.
    Timeout,
    /// Credentials or permission.
    Denied,
    /// No room left.
    NoSpace,
    /// The store cannot do it, or this key or body is more than it takes.
    Unsupported,
    /// The request makes no sense to the store, or the bucket does not exist: no retry mends it.
    Invalid,
    /// Something that is none of the above.
    Other,
}

/// Why a request failed, and whether it may have had its effect.
#[derive(Debug)]
pub struct BucketError {
    /// What went wrong.
    pub kind: BucketErrorKind,
    /// May the effect have happened? Then only reading back tells.
    pub maybe_applied: bool,
    /// What failed and why, with key and request id where known. No secrets.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// How long the store asks to wait.
    pub retry_after: Option<Duration>,
    /// The cause.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl BucketError {
    /// A failure without effect.
    #[must_use]
    pub fn new(kind: BucketErrorKind, message: impl Into<String>) -> Self {
        Self { kind, maybe_applied: false, message: message.into(), hint: None, retry_after: None, source: None }
    }

    /// The same failure, whose request may have been applied.
    #[must_use]
    pub fn maybe_applied(mut self) -> Self {
        self.maybe_applied = true;
        self
    }

    /// The same failure with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Can the same request succeed later?
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self.kind, BucketErrorKind::Throttled | BucketErrorKind::Unavailable | BucketErrorKind::Timeout)
            // What was damaged on its way is whole at the sender.
            || matches!(self.kind, BucketErrorKind::BadDigest)
    }
}

impl fmt::Display for BucketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BucketError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<BucketError> for Error {
    fn from(error: BucketError) -> Self {
        use BucketErrorKind as K;
        let kind = match error.kind {
            K::NotFound | K::NoSuchUpload => ErrorKind::NotFound,
            K::Precondition => ErrorKind::Conflict { owner: None },
            K::Throttled | K::Unavailable | K::Timeout => ErrorKind::Unavailable,
            K::Denied => ErrorKind::Denied,
            K::NoSpace => ErrorKind::Refused,
            K::Unsupported => ErrorKind::Unsupported,
            // What no retry mends is the operator's to mend: a bucket that is gone, a wrong region, an unknown certificate.
            K::Invalid => ErrorKind::InvalidInput,
            K::BadDigest | K::Other => ErrorKind::Unavailable,
        };
        let mut mapped = Self::new(kind, error.message);
        if let Some(hint) = error.hint {
            mapped = mapped.with_hint(hint);
        }
        match error.source {
            Some(source) => mapped.with_source(source),
            None => mapped,
        }
    }
}

/// Runs one bucket call under a context's cancellation and deadline.
pub(crate) async fn under<T>(
    cx: &OpContext,
    call: impl Future<Output = Result<T, BucketError>>,
) -> crate::error::Result<Result<T, BucketError>> {
    cx.run(async { Ok(call.await) }).await
}
