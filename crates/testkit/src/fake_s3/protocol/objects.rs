//! One object: put, get, head, delete.

use futures::{TryStreamExt as _, stream};
use milepost_core::Crc64Nvme;
use milepost_store::bucket::{MAX_PAGE, PutMode};
use milepost_store::{Bucket as _, BucketErrorKind, ETag as StoreETag};
use s3s::dto::*;
use s3s::{S3Request, S3Result, s3_error};

use super::checksums::{Announced, read};
use super::{Protocol, Reply, error, full_object, ok, written};
use crate::fake_s3::layer::KeepKeys;
use crate::fake_s3::quirks::Quirks;

/// What a GET or HEAD may name besides the key.
struct Conditions {
    if_match: Option<IfMatch>,
    if_none_match: Option<IfNoneMatch>,
}

impl Conditions {
    fn hold(&self, etag: &StoreETag) -> S3Result<()> {
        let is = |condition: &ETagCondition| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(wanted) => wanted.value() == etag.0,
        };
        if self.if_match.as_ref().is_some_and(|wanted| !is(wanted)) {
            return Err(s3_error!(PreconditionFailed));
        }
        if self.if_none_match.as_ref().is_some_and(is) {
            return Err(s3_error!(NotModified));
        }
        Ok(())
    }
}

fn put_mode(input: &PutObjectInput, quirks: &Quirks) -> S3Result<PutMode> {
    let create = input.if_none_match.as_ref().filter(|_| !quirks.ignore_create);
    let replace = input.if_match.as_ref().filter(|_| !quirks.ignore_replace);
    match (create, replace) {
        (None, None) => Ok(PutMode::Overwrite),
        (Some(ETagCondition::Any), None) => Ok(PutMode::Create),
        (None, Some(ETagCondition::ETag(etag))) => Ok(PutMode::Replace(StoreETag(etag.value().to_owned()))),
        _ => Err(s3_error!(NotImplemented, "a put takes If-None-Match: * or If-Match with an ETag")),
    }
}

impl Protocol {
    pub(super) async fn put(&self, request: S3Request<PutObjectInput>) -> Reply<PutObjectOutput> {
        let mut input = request.input;
        let quirks = self.shared.quirks();
        let key = self.key(&input.bucket, &input.key)?;
        let mode = put_mode(&input, &quirks)?;
        let body = read(input.body.take()).await?;
        let announced = Announced {
            crc32: input.checksum_crc32,
            crc32c: input.checksum_crc32c,
            crc64nvme: input.checksum_crc64nvme,
            sha1: input.checksum_sha1,
            sha256: input.checksum_sha256,
            md5: input.content_md5,
        };
        if !quirks.no_checksums {
            announced.with_trailers(request.trailing_headers.as_ref()).verify(&body)?;
        }
        let crc = Crc64Nvme::of(&body);
        let replaces = matches!(mode, PutMode::Replace(_));
        let etag = match self.bucket().put(&key, body, crc, mode).await {
            Ok(etag) => etag,
            Err(failed) => {
                let refused = replaces && failed.kind == BucketErrorKind::Precondition && !quirks.absent_is_412;
                if refused && self.bucket().head(&key).await.is_err() {
                    return Err(s3_error!(NoSuchKey, "If-Match of a key that does not exist"));
                }
                return Err(error(&failed));
            }
        };
        ok(PutObjectOutput {
            e_tag: Some(ETag::Strong(etag.0)),
            checksum_crc64nvme: (!quirks.no_checksums).then(|| crc.to_string()),
            checksum_type: (!quirks.no_checksums).then(full_object),
            ..PutObjectOutput::default()
        })
    }

    pub(super) async fn get(&self, input: GetObjectInput) -> Reply<GetObjectOutput> {
        let quirks = self.shared.quirks();
        self.known(&input.bucket)?;
        // A key that cannot be written is one that is not there.
        let key = self.key(&input.bucket, &input.key).map_err(|_| s3_error!(NoSuchKey))?;
        let whole = self.bucket().get(&key, None).await.map_err(|failed| error(&failed))?;
        let meta = whole.meta;
        Conditions { if_match: input.if_match, if_none_match: input.if_none_match }.hold(&meta.etag)?;
        let mut chunks: Vec<bytes::Bytes> = whole.body.try_collect().await.map_err(|failed| error(&failed))?;
        let (mut length, mut content_range) = (meta.size, None);
        if let Some(range) = &input.range {
            let wanted = range.check(meta.size)?;
            content_range = Some(format!("bytes {}-{}/{}", wanted.start, wanted.end.saturating_sub(1), meta.size));
            length = wanted.end - wanted.start;
            chunks = cut(chunks, wanted);
        }
        // Amazon tells the checksum where it is asked for, and of the whole object only.
        let told = input.checksum_mode.is_some() && input.range.is_none() && !quirks.no_checksums;
        ok(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(StreamingBlob::wrap(stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>)))),
            content_length: i64::try_from(length).ok(),
            content_range,
            e_tag: Some(ETag::Strong(meta.etag.0)),
            last_modified: Some(written(meta.age, &quirks)),
            checksum_crc64nvme: meta.crc64nvme.filter(|_| told).map(|crc| crc.to_string()),
            checksum_type: told.then(full_object),
            ..GetObjectOutput::default()
        })
    }

    pub(super) async fn head(&self, input: HeadObjectInput) -> Reply<HeadObjectOutput> {
        let quirks = self.shared.quirks();
        self.known(&input.bucket)?;
        let key = self.key(&input.bucket, &input.key).map_err(|_| s3_error!(NoSuchKey))?;
        let meta = self.bucket().head(&key).await.map_err(|failed| error(&failed))?;
        Conditions { if_match: input.if_match, if_none_match: input.if_none_match }.hold(&meta.etag)?;
        let told = input.checksum_mode.is_some() && !quirks.no_checksums;
        ok(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: i64::try_from(meta.size).ok(),
            e_tag: Some(ETag::Strong(meta.etag.0)),
            last_modified: Some(written(meta.age, &quirks)),
            checksum_crc64nvme: meta.crc64nvme.filter(|_| told).map(|crc| crc.to_string()),
            checksum_type: told.then(full_object),
            ..HeadObjectOutput::default()
        })
    }

    pub(super) async fn delete_one(&self, input: DeleteObjectInput) -> Reply<DeleteObjectOutput> {
        self.known(&input.bucket)?;
        // Conditions on deletes are ignored, as most servers do.
        self.bucket().delete(vec![input.key]).await.map_err(|failed| error(&failed))?;
        ok(DeleteObjectOutput::default())
    }

    pub(super) async fn delete_many(&self, request: S3Request<DeleteObjectsInput>) -> Reply<DeleteObjectsOutput> {
        let input = request.input;
        self.known(&input.bucket)?;
        let keep = request.extensions.get::<KeepKeys>();
        let keys: Vec<String> = input.delete.objects.into_iter().map(|object| object.key).collect();
        if keys.is_empty() || keys.len() > MAX_PAGE {
            return Err(s3_error!(MalformedXML, "a delete names 1 to {} keys, not {}", MAX_PAGE, keys.len()));
        }
        let (kept, gone): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| keep.is_some_and(|keep| key.contains(&keep.containing)));
        let outcomes = self.bucket().delete(gone).await.map_err(|failed| error(&failed))?;
        let errors = kept.into_iter().map(|key| Error {
            code: keep.map(|keep| keep.code.clone()),
            key: Some(key),
            message: Some("by the test's fault script".to_owned()),
            version_id: None,
        });
        let deleted = outcomes
            .into_iter()
            .filter(|_| input.delete.quiet != Some(true))
            .map(|outcome| DeletedObject { key: Some(outcome.key), ..DeletedObject::default() });
        ok(DeleteObjectsOutput {
            deleted: Some(deleted.collect()),
            errors: Some(errors.collect()),
            ..DeleteObjectsOutput::default()
        })
    }
}

/// The bytes of `range`, none of them copied.
fn cut(chunks: Vec<bytes::Bytes>, range: std::ops::Range<u64>) -> Vec<bytes::Bytes> {
    let mut at = 0u64;
    let mut wanted = Vec::new();
    for chunk in chunks {
        let end = at + chunk.len() as u64;
        let (from, to) = (range.start.clamp(at, end), range.end.clamp(at, end));
        if from < to {
            // Both lie within the chunk, whose length is a usize.
            wanted.push(chunk.slice((from - at) as usize..(to - at) as usize));
        }
        at = end;
    }
    wanted
}
