//! Objects: put, get, head, delete.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType, Delete, ObjectIdentifier};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use md5::{Digest as _, Md5};
use milepost_core::{Crc64Nvme, ObjectKey};
use milepost_store::bucket::{DeleteOutcome, GetReply, MAX_PAGE, ObjectMeta, PutMode};
use milepost_store::{BucketError, BucketErrorKind, ETag};

use crate::bucket::S3Bucket;
use crate::error::{self, Asked, Condition};
use crate::reply::{ServerDate, named_etag, quoted, whole_length};

/// Requests at the same time for keys that no batch can carry.
const SINGLE_DELETES: usize = 8;

impl S3Bucket {
    pub(crate) async fn put_object(
        &self,
        key: &ObjectKey,
        body: Bytes,
        crc: Crc64Nvme,
        mode: PutMode,
    ) -> Result<ETag, BucketError> {
        let shared = &*self.shared;
        let sums = shared.checksums(&body, crc);
        let (algorithm, customer, md5) = shared.encryption.customer();
        let mut request = shared
            .client
            .put_object()
            .bucket(&shared.bucket)
            .key(key.as_str())
            .set_expected_bucket_owner(shared.owner.clone())
            .content_length(i64::try_from(body.len()).unwrap_or(i64::MAX))
            .set_checksum_crc64_nvme(sums.crc64nvme)
            .set_checksum_crc32_c(sums.crc32c)
            .set_content_md5(sums.md5)
            .set_server_side_encryption(shared.encryption.server.clone())
            .set_ssekms_key_id(shared.encryption.kms_key_id.clone())
            .set_bucket_key_enabled(shared.encryption.bucket_key)
            .set_sse_customer_algorithm(algorithm)
            .set_sse_customer_key(customer)
            .set_sse_customer_key_md5(md5);
        if let Some(class) = self.storage_class(key) {
            request = request.storage_class(class.into());
        }
        let (request, condition) = match &mode {
            PutMode::Create => (request.if_none_match("*"), Condition::Create),
            PutMode::Replace(etag) => (request.if_match(quoted(etag)), Condition::Replace),
            PutMode::Overwrite => (request, Condition::None),
        };
        let request = request.body(ByteStream::from(body)).customize();
        let request = if shared.payload_signing { request } else { request.disable_payload_signing() };
        let asked = Asked { writes: true, condition, ..shared.asked("put", key.as_str()) };
        let reply = shared.send(request.send()).await.map_err(|error| error::map(asked, &error))?;
        named_etag(asked, reply.e_tag())
    }

    /// The storage class of contents. Documents are rewritten, or read at every listing: they stay in the bucket's default.
    pub(crate) fn storage_class(&self, key: &ObjectKey) -> Option<&str> {
        let name = key.components().next_back().unwrap_or_default();
        let document = matches!(name, "status.json" | "metadata.json" | "cluster.json")
            || key.components().any(|component| component == "_milepost");
        self.shared.storage_class.as_deref().filter(|_| !document)
    }

    pub(crate) async fn get_object(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<GetReply, BucketError> {
        if range.as_ref().is_some_and(|range| range.start >= range.end) {
            // No range header says "nothing".
            return self.nothing_of(key).await;
        }
        let shared = &*self.shared;
        let asked = shared.asked("get", key.as_str());
        let (algorithm, customer, md5) = shared.encryption.customer();
        let date = ServerDate::default();
        let request = shared
            .client
            .get_object()
            .bucket(&shared.bucket)
            .key(key.as_str())
            .set_expected_bucket_owner(shared.owner.clone())
            .set_sse_customer_algorithm(algorithm)
            .set_sse_customer_key(customer)
            .set_sse_customer_key_md5(md5)
            .set_range(range.as_ref().map(header))
            // A whole object is verified while it streams; the checksum of a range is nobody's.
            .set_checksum_mode(range.is_none().then_some(ChecksumMode::Enabled))
            .customize()
            .interceptor(date.clone());
        let reply = match shared.send(request.send()).await {
            Ok(reply) => reply,
            // 416: the range begins behind the end.
            Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 416) => {
                return self.nothing_of(key).await;
            }
            Err(error) => return Err(error::map(asked, &error)),
        };
        let length = reply.content_length().and_then(|length| u64::try_from(length).ok());
        let Some(length) = length else { return Err(error::nonsense(asked, "it names no length")) };
        let (size, expected) = match (&range, reply.content_range().map(whole_length)) {
            (None, _) => (length, length),
            (Some(range), Some(Some(size))) => (size, range.end.min(size).saturating_sub(range.start)),
            (Some(_), Some(None)) => return Err(error::nonsense(asked, "it names no whole length")),
            // A server may answer a range that is everything with everything.
            (Some(range), None) if range.start == 0 && range.end >= length => (length, length),
            (Some(_), None) => return Err(error::nonsense(asked, "it ignores the range")),
        };
        if expected != length {
            return Err(error::nonsense(asked, &format!("it carries {length} bytes, not {expected}")));
        }
        let meta = ObjectMeta {
            size,
            etag: named_etag(asked, reply.e_tag())?,
            crc64nvme: whole_checksum(reply.checksum_crc64_nvme(), reply.checksum_type()),
            age: date.age(reply.last_modified()),
        };
        let body =
            Body { bytes: reply.body, missing: expected, bucket: self.clone(), key: key.clone(), pause: shared.pause };
        Ok(GetReply { meta, body: body.into_stream() })
    }

    /// The reply to a range that holds nothing.
    async fn nothing_of(&self, key: &ObjectKey) -> Result<GetReply, BucketError> {
        Ok(GetReply { meta: self.head_object(key).await?, body: stream::empty().boxed() })
    }

    pub(crate) async fn head_object(&self, key: &ObjectKey) -> Result<ObjectMeta, BucketError> {
        let shared = &*self.shared;
        let asked = shared.asked("head", key.as_str());
        let (algorithm, customer, md5) = shared.encryption.customer();
        let date = ServerDate::default();
        let request = shared
            .client
            .head_object()
            .bucket(&shared.bucket)
            .key(key.as_str())
            .set_expected_bucket_owner(shared.owner.clone())
            .set_sse_customer_algorithm(algorithm)
            .set_sse_customer_key(customer)
            .set_sse_customer_key_md5(md5)
            .checksum_mode(ChecksumMode::Enabled)
            .customize()
            .interceptor(date.clone());
        let reply = shared.send(request.send()).await.map_err(|error| error::map(asked, &error))?;
        let size = reply.content_length().and_then(|length| u64::try_from(length).ok());
        Ok(ObjectMeta {
            size: size.ok_or_else(|| error::nonsense(asked, "it names no length"))?,
            etag: named_etag(asked, reply.e_tag())?,
            crc64nvme: whole_checksum(reply.checksum_crc64_nvme(), reply.checksum_type()),
            age: date.age(reply.last_modified()),
        })
    }

    pub(crate) async fn delete_keys(&self, keys: Vec<String>) -> Result<Vec<DeleteOutcome>, BucketError> {
        if keys.len() > MAX_PAGE {
            let message = format!("at most {MAX_PAGE} keys are deleted at once, not {}", keys.len());
            return Err(BucketError::new(BucketErrorKind::Invalid, message));
        }
        let (singles, batch): (Vec<String>, Vec<String>) = keys.into_iter().partition(|key| !fits_xml(key));
        let mut outcomes = self.delete_batch(batch).await?;
        let mut singles = stream::iter(singles)
            .map(|key| async move {
                let result = self.delete_one(&key).await;
                DeleteOutcome { key, result }
            })
            .buffer_unordered(SINGLE_DELETES);
        while let Some(outcome) = singles.next().await {
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    async fn delete_batch(&self, keys: Vec<String>) -> Result<Vec<DeleteOutcome>, BucketError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let shared = &*self.shared;
        let asked = Asked { writes: true, ..shared.asked("delete", "") };
        let unusable = |error: &dyn std::fmt::Display| BucketError::new(BucketErrorKind::Invalid, error.to_string());
        let mut delete = Delete::builder().quiet(false);
        for key in &keys {
            let object = ObjectIdentifier::builder().key(key).build().map_err(|error| unusable(&error))?;
            delete = delete.objects(object);
        }
        let request = shared
            .client
            .delete_objects()
            .bucket(&shared.bucket)
            .set_expected_bucket_owner(shared.owner.clone())
            .delete(delete.build().map_err(|error| unusable(&error))?)
            .customize();
        let with_md5 = shared.content_md5;
        let request = request.mutate_request(move |request| {
            if let Some(md5) = with_md5.then(|| request.body().bytes().map(Md5::digest)).flatten() {
                request.headers_mut().insert("content-md5", STANDARD.encode(md5));
            }
        });
        let reply = shared.send(request.send()).await.map_err(|error| error::map(asked, &error))?;
        let deleted: BTreeSet<&str> = reply.deleted().iter().filter_map(|object| object.key()).collect();
        let failed: BTreeMap<&str, (&str, &str)> = reply
            .errors()
            .iter()
            .filter_map(|error| {
                Some((error.key()?, (error.code().unwrap_or_default(), error.message().unwrap_or_default())))
            })
            .collect();
        let outcomes = keys.into_iter().map(|key| {
            let asked = Asked { writes: true, ..shared.asked("delete", &key) };
            let result = match failed.get(key.as_str()) {
                // Deleting what is absent succeeds, on servers too that report it.
                Some(("NoSuchKey", _)) => Ok(()),
                Some((code, words)) => Err(error::map_entry(asked, code, words)),
                None if deleted.contains(key.as_str()) => Ok(()),
                // Neither done nor failed: the engine's next listing shows which; asking again harms nothing.
                None => Err(error::broken(asked, "the store's reply does not mention the key")),
            };
            DeleteOutcome { key, result }
        });
        Ok(outcomes.collect())
    }

    async fn delete_one(&self, key: &str) -> Result<(), BucketError> {
        let shared = &*self.shared;
        let request = shared
            .client
            .delete_object()
            .bucket(&shared.bucket)
            .key(key)
            .set_expected_bucket_owner(shared.owner.clone());
        let asked = Asked { writes: true, ..shared.asked("delete", key) };
        match shared.send(request.send()).await.map_err(|error| error::map(asked, &error)) {
            Err(error) if error.kind != BucketErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Can XML 1.0 carry the key, escaped or not?
fn fits_xml(key: &str) -> bool {
    !key.chars().any(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}' | '\u{2028}'))
}

/// A range as a header says it. Servers count in signed 64 bits: what lies behind is "to the end".
fn header(range: &Range<u64>) -> String {
    match i64::try_from(range.end) {
        Ok(end) => format!("bytes={}-{}", range.start, end - 1),
        Err(_) => format!("bytes={}-", range.start),
    }
}

/// The checksum of the whole object; one made of the parts' checksums says nothing about the bytes in a row.
fn whole_checksum(crc: Option<&str>, of: Option<&ChecksumType>) -> Option<Crc64Nvme> {
    if of == Some(&ChecksumType::Composite) {
        return None;
    }
    crc?.parse().ok()
}

/// A reply's body on its way.
struct Body {
    bytes: ByteStream,
    missing: u64,
    bucket: S3Bucket,
    key: ObjectKey,
    pause: Duration,
}

impl Body {
    fn into_stream(self) -> BoxStream<'static, Result<Bytes, BucketError>> {
        stream::unfold(Some(self), |body| async {
            let mut body = body?;
            match body.next().await {
                Ok(Some(chunk)) => Some((Ok(chunk), Some(body))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, BucketError> {
        let asked = self.bucket.shared.asked("get", self.key.as_str());
        loop {
            // Neither of the SDK's timeouts covers a body: a server that stops sending would hang a restore for ever.
            let Ok(next) = tokio::time::timeout(self.pause, self.bytes.next()).await else {
                return Err(error::late(asked, &format!("the body pauses, {} bytes before its end", self.missing)));
            };
            match next {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => {
                    let Some(missing) = self.missing.checked_sub(chunk.len() as u64) else {
                        return Err(error::nonsense(asked, "its body is longer than it says"));
                    };
                    self.missing = missing;
                    return Ok(Some(chunk));
                }
                Some(Err(error)) => {
                    let words = error::chain(&error);
                    if words.contains("checksum mismatch") {
                        return Err(BucketError::new(BucketErrorKind::BadDigest, format!("{}: {words}", self.key)));
                    }
                    return Err(error::broken(
                        asked,
                        &format!("the body broke, {} bytes missing: {words}", self.missing),
                    ));
                }
                None if self.missing > 0 => {
                    return Err(error::broken(asked, &format!("the body ended {} bytes early", self.missing)));
                }
                None => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_stay_within_what_servers_count() {
        assert_eq!(header(&(0..1)), "bytes=0-0");
        assert_eq!(header(&(5..10)), "bytes=5-9");
        assert_eq!(header(&(5..u64::MAX)), "bytes=5-");
    }

    #[test]
    fn only_a_whole_checksum_counts() {
        let crc = Crc64Nvme::of(b"x");
        let text = crc.to_string();
        assert_eq!(whole_checksum(Some(&text), Some(&ChecksumType::FullObject)), Some(crc));
        assert_eq!(whole_checksum(Some(&text), None), Some(crc));
        assert_eq!(whole_checksum(Some(&text), Some(&ChecksumType::Composite)), None);
        assert_eq!(whole_checksum(Some("jYEL4RPB2n8=-2"), None), None);
        assert_eq!(whole_checksum(None, None), None);
    }

    #[test]
    fn control_characters_do_not_fit_into_xml() {
        assert!(fits_xml("a/b c+&<>\"'é日😀"));
        for key in ["a\u{1}", "a\n", "a\u{7f}", "\u{ffff}", "a\u{85}"] {
            assert!(!fits_xml(key), "{key:?}");
        }
    }
}
