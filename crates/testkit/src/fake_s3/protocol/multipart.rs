//! Multipart uploads with a checksum of the whole object.

use milepost_core::{Crc64Nvme, ObjectKey};
use milepost_store::bucket::{PartInfo, UploadId, UploadQuery};
use milepost_store::{Bucket as _, BucketErrorKind, ETag as StoreETag};
use s3s::dto::*;
use s3s::{S3Request, S3Result, s3_error};

use super::checksums::{Announced, read};
use super::listings::spelled;
use super::{Protocol, Reply, error, full_object, ok, written};

/// The most parts or uploads of one page (Amazon S3 API reference, ListParts and ListMultipartUploads).
const MAX_PAGE: usize = 1000;

fn page_size(asked: Option<i32>) -> S3Result<usize> {
    let asked = asked.unwrap_or(MAX_PAGE as i32);
    match usize::try_from(asked) {
        Ok(size @ 1..) => Ok(size.min(MAX_PAGE)),
        _ => Err(s3_error!(InvalidArgument, "a page of {} entries", asked)),
    }
}

impl Protocol {
    pub(super) async fn create_upload(&self, input: CreateMultipartUploadInput) -> Reply<CreateMultipartUploadOutput> {
        let key = self.key(&input.bucket, &input.key)?;
        let composite = input.checksum_type.as_ref().is_some_and(|kind| *kind != full_object());
        if composite
            && input.checksum_algorithm.as_ref().is_some_and(|name| name.as_str() == ChecksumAlgorithm::CRC64NVME)
        {
            return Err(s3_error!(InvalidRequest, "CRC64NVME is a checksum of the whole object only"));
        }
        // S3 learns the size of the parts as they come.
        let smallest = self.bucket().part_limits().min_part;
        let upload = self.bucket().create_upload(&key, smallest).await.map_err(|failed| error(&failed))?;
        ok(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(upload.0),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: input.checksum_type,
            ..CreateMultipartUploadOutput::default()
        })
    }

    pub(super) async fn part(&self, request: S3Request<UploadPartInput>) -> Reply<UploadPartOutput> {
        let mut input = request.input;
        let quirks = self.shared.quirks();
        let key = self.key(&input.bucket, &input.key)?;
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
        let number = u32::try_from(input.part_number).unwrap_or(0);
        let crc = Crc64Nvme::of(&body);
        let part = self.bucket().upload_part(&key, &UploadId(input.upload_id), number, body, crc).await;
        let part = part.map_err(|failed| error(&failed))?;
        ok(UploadPartOutput {
            e_tag: Some(ETag::Strong(part.etag.0)),
            checksum_crc64nvme: (!quirks.no_checksums).then(|| crc.to_string()),
            ..UploadPartOutput::default()
        })
    }

    async fn held(&self, key: &ObjectKey, upload: &str) -> S3Result<Vec<PartInfo>> {
        self.bucket().list_parts(key, &UploadId(upload.to_owned())).await.map_err(|failed| error(&failed))
    }

    pub(super) async fn parts(&self, input: ListPartsInput) -> Reply<ListPartsOutput> {
        let quirks = self.shared.quirks();
        let key = self.key(&input.bucket, &input.key)?;
        let size = page_size(input.max_parts)?;
        let after = input.part_number_marker.and_then(|marker| u32::try_from(marker).ok()).unwrap_or(0);
        let held = self.held(&key, &input.upload_id).await?;
        let mut rest = held.into_iter().filter(|part| part.number > after);
        let page: Vec<PartInfo> = rest.by_ref().take(size).collect();
        let more = rest.next().is_some();
        let last = page.last().and_then(|part| i32::try_from(part.number).ok());
        let parts = page.into_iter().map(|part| Part {
            part_number: i32::try_from(part.number).ok(),
            size: i64::try_from(part.size).ok(),
            e_tag: Some(ETag::Strong(part.etag.0)),
            last_modified: Some(written(None, &quirks)),
            checksum_crc64nvme: part.crc64nvme.filter(|_| !quirks.no_checksums).map(|crc| crc.to_string()),
            ..Part::default()
        });
        ok(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            parts: Some(parts.collect()),
            is_truncated: Some(more),
            max_parts: i32::try_from(size).ok(),
            part_number_marker: input.part_number_marker,
            next_part_number_marker: last.filter(|_| more),
            checksum_type: (!quirks.no_checksums).then(full_object),
            ..ListPartsOutput::default()
        })
    }

    pub(super) async fn complete(&self, input: CompleteMultipartUploadInput) -> Reply<CompleteMultipartUploadOutput> {
        let quirks = self.shared.quirks();
        let key = self.key(&input.bucket, &input.key)?;
        let create = match (&input.if_none_match, &input.if_match) {
            (None, None) => false,
            (Some(ETagCondition::Any), None) => !quirks.ignore_complete,
            _ => return Err(s3_error!(NotImplemented, "a completion takes If-None-Match: *")),
        };
        let held = self.held(&key, &input.upload_id).await?;
        let named = named(input.multipart_upload.unwrap_or_default(), &held, self.bucket().part_limits().min_part)?;
        let size: u64 = named.iter().map(|part| part.size).sum();
        if input.mpu_object_size.is_some_and(|announced| u64::try_from(announced) != Ok(size)) {
            return Err(s3_error!(InvalidRequest, "the parts make {} bytes, not as announced", size));
        }
        let actual = named.iter().try_fold(Crc64Nvme::EMPTY, |crc, part| Some(crc.combine(part.crc64nvme?, part.size)));
        let actual = actual.ok_or_else(|| s3_error!(InternalError, "a part without a checksum"))?;
        if let Some(announced) = input.checksum_crc64nvme.as_ref().filter(|_| !quirks.no_checksums)
            && *announced != actual.to_string()
        {
            return Err(s3_error!(BadDigest, "CRC64NVME of the parts is {}, not {} as announced", actual, announced));
        }
        let upload = UploadId(input.upload_id);
        let etag = loop {
            match self.bucket().complete_upload(&key, &upload, &named, actual).await {
                Ok(etag) => break etag,
                // The bucket below completes create-only. A reader may see the key absent for a moment, which no real
                // server shows; only servers that are told to ignore conditions, and completions without one, come here.
                Err(failed) if failed.kind == BucketErrorKind::Precondition && !create => {
                    self.bucket().remove_raw(key.as_str());
                }
                Err(failed) => return Err(error(&failed)),
            }
        };
        ok(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(etag.0)),
            checksum_crc64nvme: (!quirks.no_checksums).then(|| actual.to_string()),
            checksum_type: (!quirks.no_checksums).then(full_object),
            ..CompleteMultipartUploadOutput::default()
        })
    }

    pub(super) async fn abort(&self, input: AbortMultipartUploadInput) -> Reply<AbortMultipartUploadOutput> {
        let key = self.key(&input.bucket, &input.key)?;
        // The bucket below forgives; servers do not.
        self.held(&key, &input.upload_id).await?;
        self.bucket().abort_upload(&key, &UploadId(input.upload_id)).await.map_err(|failed| error(&failed))?;
        ok(AbortMultipartUploadOutput::default())
    }

    pub(super) async fn uploads(&self, input: ListMultipartUploadsInput) -> Reply<ListMultipartUploadsOutput> {
        self.known(&input.bucket)?;
        let quirks = self.shared.quirks();
        let size = page_size(input.max_uploads)?;
        if input.delimiter.as_deref().is_some_and(|delimiter| !delimiter.is_empty()) {
            return Err(s3_error!(NotImplemented, "uploads are listed without a delimiter"));
        }
        let prefix = input.prefix.clone().unwrap_or_default();
        let open = self.bucket().list_uploads(UploadQuery::Prefix(prefix.clone())).await;
        let mut open = open.map_err(|failed| error(&failed))?;
        if quirks.uploads_by_exact_key {
            open.retain(|upload| upload.key == prefix);
        }
        // Behind the marker: a later key, or a later upload of the same key where both markers are given.
        let (after, after_upload) = (input.key_marker.as_deref(), input.upload_id_marker.as_deref());
        open.retain(|upload| match (after, after_upload) {
            (None | Some(""), _) => true,
            (Some(key), None | Some("")) => upload.key.as_str() > key,
            (Some(key), Some(id)) => (upload.key.as_str(), upload.upload.0.as_str()) > (key, id),
        });
        let more = open.len() > size;
        open.truncate(size);
        let last = open.last().filter(|_| more).cloned();
        let encoding = input.encoding_type.as_ref();
        let uploads = open.into_iter().map(|open| MultipartUpload {
            key: Some(spelled(&open.key, encoding)),
            upload_id: Some(open.upload.0),
            initiated: Some(written(open.age, &quirks)),
            ..MultipartUpload::default()
        });
        ok(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            prefix: Some(spelled(&prefix, encoding)),
            uploads: Some(uploads.collect()),
            is_truncated: Some(more),
            max_uploads: i32::try_from(size).ok(),
            key_marker: input.key_marker,
            upload_id_marker: input.upload_id_marker,
            next_key_marker: last.as_ref().map(|open| spelled(&open.key, encoding)),
            next_upload_id_marker: last.map(|open| open.upload.0),
            encoding_type: input.encoding_type,
            ..ListMultipartUploadsOutput::default()
        })
    }
}

/// The parts that a completion names, as the store holds them; the errors are those that Amazon documents.
fn named(completed: CompletedMultipartUpload, held: &[PartInfo], min_part: u64) -> S3Result<Vec<PartInfo>> {
    let parts = completed.parts.unwrap_or_default();
    if parts.is_empty() {
        return Err(s3_error!(MalformedXML, "a completion names its parts"));
    }
    let mut named: Vec<PartInfo> = Vec::with_capacity(parts.len());
    for part in parts {
        let number = part.part_number.and_then(|number| u32::try_from(number).ok());
        let etag = part.e_tag.map(|etag| StoreETag(etag.into_value()));
        let found = held.iter().find(|found| Some(found.number) == number && Some(&found.etag) == etag.as_ref());
        let found = found.ok_or_else(|| s3_error!(InvalidPart, "no part {:?} with {:?}", number, etag))?;
        let wrong = |crc: &String| found.crc64nvme.is_some_and(|held| held.to_string() != *crc);
        if part.checksum_crc64nvme.as_ref().is_some_and(wrong) {
            return Err(s3_error!(InvalidPart, "part {} has another checksum", found.number));
        }
        if named.last().is_some_and(|last| last.number >= found.number) {
            return Err(s3_error!(InvalidPartOrder));
        }
        named.push(found.clone());
    }
    let all_but_last = named.len() - 1;
    if let Some(small) = named.iter().take(all_but_last).find(|part| part.size < min_part) {
        return Err(s3_error!(
            EntityTooSmall,
            "part {} is {} bytes long, less than {}",
            small.number,
            small.size,
            min_part
        ));
    }
    Ok(named)
}
