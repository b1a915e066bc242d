//! The S3 API over a [`MemoryBucket`]: what s3s has parsed and authenticated, done by the bucket.
//!
//! s3s verifies neither checksums nor conditions. Bodies are read whole first; then one call of the bucket checks and
//! writes under its lock, so that conditions are atomic here as they are there.

mod checksums;
mod listings;
mod multipart;
mod objects;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use milepost_core::ObjectKey;
use milepost_store::{BucketError, BucketErrorKind, MemoryBucket};
use s3s::dto::*;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::BUCKET;
use super::quirks::Quirks;
use super::shared::Shared;

/// What s3s calls.
#[derive(Debug)]
pub(super) struct Protocol {
    pub(super) shared: Arc<Shared>,
}

type Reply<T> = S3Result<S3Response<T>>;

fn ok<T>(output: T) -> Reply<T> {
    Ok(S3Response::new(output))
}

/// The error that a server answers where the bucket fails.
fn error(error: &BucketError) -> S3Error {
    use BucketErrorKind as K;
    let code = match error.kind {
        K::NotFound => S3ErrorCode::NoSuchKey,
        K::NoSuchUpload => S3ErrorCode::NoSuchUpload,
        K::Precondition => S3ErrorCode::PreconditionFailed,
        K::BadDigest => S3ErrorCode::BadDigest,
        K::Invalid => S3ErrorCode::InvalidArgument,
        K::NoSpace => {
            // MinIO's; Amazon never runs out of room.
            let mut full =
                S3Error::with_message(S3ErrorCode::Custom("XMinioStorageFull".into()), error.message.clone());
            full.set_status_code(hyper::StatusCode::INSUFFICIENT_STORAGE);
            return full;
        }
        _ => S3ErrorCode::InternalError,
    };
    S3Error::with_message(code, error.message.clone())
}

/// When something of this age was written. The machine's own clock: hyper's Date header shows it too, and clients compare
/// the two.
#[expect(clippy::disallowed_methods, reason = "a server has a clock of its own, and this one is a server")]
fn written(age: Option<Duration>, quirks: &Quirks) -> Timestamp {
    let now = SystemTime::now();
    let ago = age.unwrap_or_default().saturating_add(quirks.older_by);
    Timestamp::from(now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH))
}

fn full_object() -> ChecksumType {
    ChecksumType::from_static(ChecksumType::FULL_OBJECT)
}

impl Protocol {
    fn bucket(&self) -> &MemoryBucket {
        &self.shared.bucket
    }

    fn known(&self, bucket: &str) -> S3Result<()> {
        if bucket == BUCKET {
            return Ok(());
        }
        Err(s3_error!(NoSuchBucket, "the fake server has one bucket, {}", BUCKET))
    }

    /// A key to write. Servers differ in which keys they take; this one takes those that Milepost can name, as MinIO
    /// refuses `a//b`.
    fn key(&self, bucket: &str, key: &str) -> S3Result<ObjectKey> {
        self.known(bucket)?;
        ObjectKey::new(key).map_err(|problem| s3_error!(InvalidArgument, "{}", problem))
    }
}

#[async_trait]
impl S3 for Protocol {
    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> Reply<HeadBucketOutput> {
        self.known(&request.input.bucket)?;
        ok(HeadBucketOutput::default())
    }

    async fn get_bucket_location(&self, request: S3Request<GetBucketLocationInput>) -> Reply<GetBucketLocationOutput> {
        self.known(&request.input.bucket)?;
        ok(GetBucketLocationOutput::default())
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> Reply<PutObjectOutput> {
        self.put(request).await
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> Reply<GetObjectOutput> {
        self.get(request.input).await
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> Reply<HeadObjectOutput> {
        self.head(request.input).await
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> Reply<DeleteObjectOutput> {
        self.delete_one(request.input).await
    }

    async fn delete_objects(&self, request: S3Request<DeleteObjectsInput>) -> Reply<DeleteObjectsOutput> {
        self.delete_many(request).await
    }

    async fn list_objects_v2(&self, request: S3Request<ListObjectsV2Input>) -> Reply<ListObjectsV2Output> {
        self.list(request.input).await
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Reply<CreateMultipartUploadOutput> {
        self.create_upload(request.input).await
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> Reply<UploadPartOutput> {
        self.part(request).await
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> Reply<ListPartsOutput> {
        self.parts(request.input).await
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Reply<CompleteMultipartUploadOutput> {
        self.complete(request.input).await
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Reply<AbortMultipartUploadOutput> {
        self.abort(request.input).await
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> Reply<ListMultipartUploadsOutput> {
        self.uploads(request.input).await
    }
}
