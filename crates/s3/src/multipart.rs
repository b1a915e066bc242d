//! Multipart uploads.
//!
//! With `crc64nvme` the upload is begun with a full-object checksum: the server combines the parts' checksums, compares with
//! the one in the completion and keeps it. With `crc32c` S3 knows a checksum of checksums only, and asks for each part's in
//! the completion: they are read back from the server, which verified them. With `off` ETags alone name the parts.

use aws_sdk_s3::config::Builder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, EncodingType};
use bytes::Bytes;
use milepost_core::{Crc64Nvme, ObjectKey};
use milepost_store::bucket::{MAX_PAGE, OpenUpload, PartInfo, UploadId, UploadQuery};
use milepost_store::{BucketError, BucketErrorKind, ETag};

use crate::bucket::S3Bucket;
use crate::error::{self, Asked, Condition};
use crate::listing::decoded;
use crate::reply::{ServerDate, etag, named_etag, quoted};
use crate::settings::WireChecksum;

/// The most open uploads that one query gives.
const MAX_UPLOADS: usize = 10_000;
/// The most parts of an upload, and with 1000 on a page, ten pages of them: a server that pages for ever is cut off.
const MAX_PARTS: usize = 10_000;
/// The most pages of one query: a server may send short ones.
const MAX_PAGES: usize = 1000;

/// A part that the store holds.
pub(crate) struct HeldPart {
    pub info: PartInfo,
    crc32c: Option<String>,
}

impl S3Bucket {
    fn about<'a>(&'a self, what: &'static str, key: &'a ObjectKey) -> Asked<'a> {
        Asked { upload: true, ..self.shared.asked(what, key.as_str()) }
    }

    pub(crate) async fn begin(&self, key: &ObjectKey, _part_size: u64) -> Result<UploadId, BucketError> {
        let shared = &*self.shared;
        let (checksum, kind) = match shared.wire {
            WireChecksum::Crc64nvme => (Some(ChecksumAlgorithm::Crc64Nvme), Some(ChecksumType::FullObject)),
            WireChecksum::Crc32c => (Some(ChecksumAlgorithm::Crc32C), Some(ChecksumType::Composite)),
            WireChecksum::Off => (None, None),
        };
        let (algorithm, customer, md5) = shared.encryption.customer();
        let mut request = shared
            .client
            .create_multipart_upload()
            .bucket(&shared.bucket)
            .key(key.as_str())
            .set_expected_bucket_owner(shared.owner.clone())
            .set_checksum_algorithm(checksum)
            .set_checksum_type(kind)
            .set_server_side_encryption(shared.encryption.server.clone())
            .set_ssekms_key_id(shared.encryption.kms_key_id.clone())
            .set_bucket_key_enabled(shared.encryption.bucket_key)
            .set_sse_customer_algorithm(algorithm)
            .set_sse_customer_key(customer)
            .set_sse_customer_key_md5(md5);
        if let Some(class) = self.storage_class(key) {
            request = request.storage_class(class.into());
        }
        // Not about an upload yet: a 404 is the bucket's.
        let asked = Asked { writes: true, ..shared.asked("begin upload of", key.as_str()) };
        let reply = shared.send(request.send()).await.map_err(|error| error::map(asked, &error))?;
        let upload = reply.upload_id().filter(|id| !id.is_empty());
        upload.map(|id| UploadId(id.to_owned())).ok_or_else(|| error::nonsense(asked, "it names no upload"))
    }

    pub(crate) async fn send_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: Bytes,
        crc: Crc64Nvme,
    ) -> Result<PartInfo, BucketError> {
        let asked = Asked { writes: true, ..self.about("send part of", key) };
        let part_number = i32::try_from(number).ok().filter(|number| (1..=MAX_PARTS as i32).contains(number));
        let Some(part_number) = part_number else {
            let message = format!("{key}: parts are numbered from 1 to {MAX_PARTS}, not {number}");
            return Err(BucketError::new(BucketErrorKind::Invalid, message));
        };
        let shared = &*self.shared;
        let size = body.len() as u64;
        let sums = shared.checksums(&body, crc);
        let (algorithm, customer, md5) = shared.encryption.customer();
        let request = shared
            .client
            .upload_part()
            .bucket(&shared.bucket)
            .key(key.as_str())
            .upload_id(&upload.0)
            .part_number(part_number)
            .set_expected_bucket_owner(shared.owner.clone())
            .content_length(i64::try_from(body.len()).unwrap_or(i64::MAX))
            .set_checksum_crc64_nvme(sums.crc64nvme)
            .set_checksum_crc32_c(sums.crc32c)
            .set_content_md5(sums.md5)
            .set_sse_customer_algorithm(algorithm)
            .set_sse_customer_key(customer)
            .set_sse_customer_key_md5(md5)
            .body(ByteStream::from(body))
            .customize();
        let request = if shared.payload_signing { request } else { request.disable_payload_signing() };
        let reply = shared.send(request.send()).await.map_err(|error| error::map(asked, &error))?;
        let etag = named_etag(asked, reply.e_tag())?;
        Ok(PartInfo { number, size, etag, crc64nvme: Some(crc) })
    }

    pub(crate) async fn parts(&self, key: &ObjectKey, upload: &UploadId) -> Result<Vec<HeldPart>, BucketError> {
        let shared = &*self.shared;
        let asked = self.about("list parts of", key);
        let (algorithm, customer, md5) = shared.encryption.customer();
        let mut parts: Vec<HeldPart> = Vec::new();
        let mut marker: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let request = shared
                .client
                .list_parts()
                .bucket(&shared.bucket)
                .key(key.as_str())
                .upload_id(&upload.0)
                .set_expected_bucket_owner(shared.owner.clone())
                .set_sse_customer_algorithm(algorithm.clone())
                .set_sse_customer_key(customer.clone())
                .set_sse_customer_key_md5(md5.clone())
                .max_parts(MAX_PAGE as i32)
                .set_part_number_marker(marker.take());
            let reply = shared.send(request.send()).await.map_err(|error| error::map(asked, &error))?;
            for part in reply.parts() {
                let number = part.part_number().and_then(|number| u32::try_from(number).ok());
                let size = part.size().and_then(|size| u64::try_from(size).ok());
                let (Some(number), Some(size), Some(tag)) = (number, size, part.e_tag()) else {
                    return Err(error::nonsense(asked, "a part lacks number, length or ETag"));
                };
                let crc64nvme = part.checksum_crc64_nvme().and_then(|crc| crc.parse().ok());
                let info = PartInfo { number, size, etag: etag(tag), crc64nvme };
                parts.push(HeldPart { info, crc32c: part.checksum_crc32_c().map(str::to_owned) });
            }
            if parts.len() > MAX_PARTS {
                return Err(error::nonsense(asked, "there are more parts than there can be"));
            }
            if reply.is_truncated() != Some(true) {
                parts.sort_by_key(|part| part.info.number);
                return Ok(parts);
            }
            let next = reply.next_part_number_marker().filter(|next| !next.is_empty());
            marker = Some(
                next.ok_or_else(|| error::nonsense(asked, "there is more, but it does not say where"))?.to_owned(),
            );
        }
        Err(error::nonsense(asked, "its pages do not end"))
    }

    pub(crate) async fn complete(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartInfo],
        crc: Crc64Nvme,
    ) -> Result<ETag, BucketError> {
        let shared = &*self.shared;
        let asked = Asked { writes: true, condition: Condition::Create, ..self.about("complete upload of", key) };
        let held = if shared.wire == WireChecksum::Crc32c { self.parts(key, upload).await? } else { Vec::new() };
        let completed = parts.iter().map(|part| {
            let crc32c = held.iter().find(|held| held.info.number == part.number).and_then(|held| held.crc32c.clone());
            CompletedPart::builder()
                .part_number(i32::try_from(part.number).unwrap_or(i32::MAX))
                .e_tag(quoted(&part.etag))
                .set_checksum_crc64_nvme(self.part_checksum(part))
                .set_checksum_crc32_c(crc32c)
                .build()
        });
        let completed = CompletedMultipartUpload::builder().set_parts(Some(completed.collect())).build();
        let size: u64 = parts.iter().map(|part| part.size).sum();
        let whole = shared.wire == WireChecksum::Crc64nvme;
        let (algorithm, customer, md5) = shared.encryption.customer();
        let request = shared
            .client
            .complete_multipart_upload()
            .bucket(&shared.bucket)
            .key(key.as_str())
            .upload_id(&upload.0)
            .set_expected_bucket_owner(shared.owner.clone())
            .if_none_match("*")
            .set_checksum_crc64_nvme(whole.then(|| crc.to_string()))
            .set_checksum_type(whole.then_some(ChecksumType::FullObject))
            .set_mpu_object_size(whole.then(|| i64::try_from(size).unwrap_or(i64::MAX)))
            .set_sse_customer_algorithm(algorithm)
            .set_sse_customer_key(customer)
            .set_sse_customer_key_md5(md5)
            .multipart_upload(completed)
            .customize()
            .config_override(Builder::new().timeout_config(shared.completion.clone()));
        let reply = shared.send(request.send()).await.map_err(|error| error::map(asked, &error))?;
        named_etag(asked, reply.e_tag())
    }

    fn part_checksum(&self, part: &PartInfo) -> Option<String> {
        let crc = part.crc64nvme.filter(|_| self.shared.wire == WireChecksum::Crc64nvme)?;
        Some(crc.to_string())
    }

    pub(crate) async fn abort(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), BucketError> {
        let shared = &*self.shared;
        let request = shared
            .client
            .abort_multipart_upload()
            .bucket(&shared.bucket)
            .key(key.as_str())
            .upload_id(&upload.0)
            .set_expected_bucket_owner(shared.owner.clone());
        let asked = Asked { writes: true, ..self.about("abort upload of", key) };
        match shared.send(request.send()).await.map_err(|error| error::map(asked, &error)) {
            // Completed or aborted already.
            Err(error) if error.kind != BucketErrorKind::NoSuchUpload => Err(error),
            _ => Ok(()),
        }
    }

    pub(crate) async fn uploads(&self, query: UploadQuery) -> Result<Vec<OpenUpload>, BucketError> {
        let shared = &*self.shared;
        let (prefix, exactly) = match query {
            UploadQuery::Prefix(prefix) => (prefix, None),
            UploadQuery::Key(key) => (key.as_str().to_owned(), Some(key)),
        };
        let asked = shared.asked("list uploads of", &prefix);
        let mut found: Vec<OpenUpload> = Vec::new();
        let (mut key_marker, mut upload_marker) = (None, None);
        for _ in 0..MAX_PAGES {
            let date = ServerDate::default();
            let request = shared
                .client
                .list_multipart_uploads()
                .bucket(&shared.bucket)
                .set_expected_bucket_owner(shared.owner.clone())
                .set_prefix((!prefix.is_empty()).then(|| prefix.clone()))
                .max_uploads(MAX_PAGE as i32)
                .encoding_type(EncodingType::Url)
                .set_key_marker(key_marker.take())
                .set_upload_id_marker(upload_marker.take())
                .customize()
                .interceptor(date.clone());
            let reply = shared.send(request.send()).await.map_err(|error| error::map(asked, &error))?;
            let encoded = reply.encoding_type() == Some(&EncodingType::Url);
            let mut beyond = false;
            for upload in reply.uploads() {
                let key = decoded(asked, upload.key(), encoded)?;
                let id = upload.upload_id().ok_or_else(|| error::nonsense(asked, "an upload has no id"))?;
                match &exactly {
                    Some(exactly) if key != exactly.as_str() => beyond |= key.as_str() > exactly.as_str(),
                    _ => found.push(OpenUpload {
                        key,
                        upload: UploadId(id.to_owned()),
                        age: date.age(upload.initiated()),
                    }),
                }
            }
            // Keys come in order: behind the one that was asked for there is nothing of it.
            if reply.is_truncated() != Some(true) || beyond || found.len() >= MAX_UPLOADS {
                found.truncate(MAX_UPLOADS);
                return Ok(found);
            }
            let next = reply.next_key_marker().filter(|next| !next.is_empty());
            key_marker = Some(decoded(
                asked,
                Some(next.ok_or_else(|| error::nonsense(asked, "there is more, but it does not say where"))?),
                encoded,
            )?);
            upload_marker = reply.next_upload_id_marker().filter(|next| !next.is_empty()).map(str::to_owned);
        }
        Err(error::nonsense(asked, "its pages do not end"))
    }
}
