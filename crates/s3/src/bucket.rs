//! [`S3Bucket`]: the port to an object store, over the SDK.
//!
//! Each call is one request, with exceptions that are documented where they are made: a range behind an object's end needs a
//! HEAD, a delete of keys that XML cannot carry needs a request for each, listings of parts and uploads are paged.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use milepost_core::{Crc64Nvme, ObjectKey, Timestamp};
use milepost_store::bucket::{
    Bucket, DeleteOutcome, GetReply, ListPage, ListRequest, ObjectMeta, OpenUpload, PartInfo, PartLimits, PutMode,
    UploadId, UploadQuery,
};
use milepost_store::{BucketError, ETag, Result};
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use crate::client;
use crate::encryption::Encryption;
use crate::error::{Asked, Condition};
use crate::settings::{S3Settings, WireChecksum};

/// What S3 says about parts (Amazon S3 user guide, "Multipart upload limits").
const LIMITS: PartLimits = PartLimits { min_part: 5 << 20, max_part: 5 << 30, max_parts: 10_000 };
/// A completion of thousands of parts takes servers minutes.
const COMPLETION: u32 = 5;

/// A bucket of an S3 server. Clones share one client and its connections.
#[derive(Clone)]
pub struct S3Bucket {
    pub(crate) shared: Arc<Shared>,
}

/// What all requests of a bucket have in common.
pub(crate) struct Shared {
    pub client: Client,
    pub bucket: String,
    pub endpoint: Option<String>,
    pub owner: Option<String>,
    pub wire: WireChecksum,
    pub content_md5: bool,
    pub payload_signing: bool,
    pub encryption: Encryption,
    pub storage_class: Option<String>,
    /// How long a reply's body may pause.
    pub pause: Duration,
    pub completion: TimeoutConfig,
    location: String,
}

impl S3Bucket {
    /// Makes the client of a bucket. Sends nothing to S3: [`S3Bucket::check`] does. Asks the SDK's own sources for a region
    /// where the settings give none.
    ///
    /// # Errors
    /// InvalidInput for settings outside their limits, files that cannot be used, and where no region can be found.
    pub async fn new(settings: &S3Settings) -> Result<Self> {
        settings.check()?;
        let encryption = Encryption::new(settings).await?;
        let client = client::client(settings).await?;
        let base = if settings.base_path.is_empty() { "" } else { "/" };
        let at = settings.endpoint.as_deref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
        let shared = Shared {
            client,
            bucket: settings.bucket.clone(),
            endpoint: settings.endpoint.clone(),
            owner: settings.expected_bucket_owner.clone(),
            wire: settings.wire_checksum,
            content_md5: settings.content_md5,
            payload_signing: settings.payload_signing,
            encryption,
            storage_class: settings.storage_class.clone(),
            pause: settings.attempt_timeout,
            completion: client::timeouts(settings, COMPLETION),
            location: format!("s3://{}{base}{}{at}", settings.bucket, settings.base_path.trim_matches('/')),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Is the bucket there, and may its keys below `prefix` be listed? One request, without a second try.
    ///
    /// # Errors
    /// Invalid where the bucket does not exist or is in another region, Denied, Unavailable, Timeout; each with a hint.
    pub async fn check(&self, prefix: &str) -> Result<(), BucketError> {
        // Not HeadBucket: its failures have no body, so that a wrong secret looks like a missing permission.
        let request = ListRequest { limit: 1, ..ListRequest::all(prefix) };
        self.list_page(request).await.map(drop)
    }
}

impl Shared {
    pub(crate) fn asked<'a>(&'a self, what: &'static str, key: &'a str) -> Asked<'a> {
        Asked {
            what,
            bucket: &self.bucket,
            endpoint: self.endpoint.as_deref(),
            customer_key: self.encryption.has_customer_key(),
            key,
            writes: false,
            condition: Condition::None,
            upload: false,
        }
    }

    /// Sends a request. At trace level the SDK logs whole requests, and a customer's key is a header of them: what carries
    /// one is not logged at all.
    pub(crate) async fn send<T>(&self, request: impl Future<Output = T>) -> T {
        if self.encryption.has_customer_key() {
            request.with_subscriber(NoSubscriber::default()).await
        } else {
            request.await
        }
    }

    /// The checksum headers of a body.
    pub(crate) fn checksums(&self, body: &Bytes, crc: Crc64Nvme) -> Checksums {
        Checksums {
            crc64nvme: (self.wire == WireChecksum::Crc64nvme).then(|| crc.to_string()),
            crc32c: (self.wire == WireChecksum::Crc32c).then(|| crc32c(body)),
            md5: self.content_md5.then(|| STANDARD.encode(Md5::digest(body))),
        }
    }
}

/// The checksum headers of one body.
pub(crate) struct Checksums {
    pub crc64nvme: Option<String>,
    pub crc32c: Option<String>,
    pub md5: Option<String>,
}

fn crc32c(body: &[u8]) -> String {
    // 32 bits in a 64-bit register: the upper ones are zero.
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, body) as u32;
    STANDARD.encode(crc.to_be_bytes())
}

impl fmt::Debug for S3Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Bucket").field("location", &self.shared.location).finish_non_exhaustive()
    }
}

// The SDK's futures hold whole requests, tens of kilobytes in a debug build: kept inside the engine's, which hold several,
// they overflow a thread's stack. Hence on the heap, one allocation for each request.
impl Bucket for S3Bucket {
    fn location(&self) -> String {
        self.shared.location.clone()
    }

    fn part_limits(&self) -> PartLimits {
        LIMITS
    }

    /// MinIO does not, and no server tells which kind it is: the engine always asks by exact key too.
    fn lists_uploads_by_prefix(&self) -> bool {
        false
    }

    async fn free_space(&self) -> Result<Option<u64>, BucketError> {
        Ok(None)
    }

    async fn clock(&self) -> Result<Option<Timestamp>, BucketError> {
        self.server_time().await
    }

    async fn put(&self, key: &ObjectKey, body: Bytes, crc: Crc64Nvme, mode: PutMode) -> Result<ETag, BucketError> {
        Box::pin(self.put_object(key, body, crc, mode)).await
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<GetReply, BucketError> {
        Box::pin(self.get_object(key, range)).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BucketError> {
        Box::pin(self.head_object(key)).await
    }

    async fn list(&self, request: ListRequest) -> Result<ListPage, BucketError> {
        Box::pin(self.list_page(request)).await
    }

    async fn delete(&self, keys: Vec<String>) -> Result<Vec<DeleteOutcome>, BucketError> {
        Box::pin(self.delete_keys(keys)).await
    }

    async fn create_upload(&self, key: &ObjectKey, part_size: u64) -> Result<UploadId, BucketError> {
        Box::pin(self.begin(key, part_size)).await
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: Bytes,
        crc: Crc64Nvme,
    ) -> Result<PartInfo, BucketError> {
        Box::pin(self.send_part(key, upload, number, body, crc)).await
    }

    async fn list_parts(&self, key: &ObjectKey, upload: &UploadId) -> Result<Vec<PartInfo>, BucketError> {
        let parts = Box::pin(self.parts(key, upload)).await?;
        Ok(parts.into_iter().map(|part| part.info).collect())
    }

    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartInfo],
        crc: Crc64Nvme,
    ) -> Result<ETag, BucketError> {
        Box::pin(self.complete(key, upload, parts, crc)).await
    }

    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), BucketError> {
        Box::pin(self.abort(key, upload)).await
    }

    async fn list_uploads(&self, query: UploadQuery) -> Result<Vec<OpenUpload>, BucketError> {
        Box::pin(self.uploads(query)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_is_that_of_the_standard() {
        // RFC 3720, B.4: 32 bytes of zeros give 8a9136aa.
        assert_eq!(STANDARD.decode(crc32c(&[0; 32])).unwrap(), [0x8a, 0x91, 0x36, 0xaa]);
    }

    #[tokio::test]
    async fn debug_and_location_hold_no_secret() {
        let settings = S3Settings {
            bucket: "backups".into(),
            base_path: "prod".into(),
            endpoint: Some("http://localhost:9000".into()),
            region: Some("eu-central-1".into()),
            access_key_id: Some("AKIAEXAMPLE".into()),
            secret_access_key: Some("hunter2secret".into()),
            session_token: Some("hunter2token".into()),
            ..S3Settings::default()
        };
        let bucket = S3Bucket::new(&settings).await.unwrap();
        assert_eq!(bucket.location(), "s3://backups/prod at http://localhost:9000");
        for text in [format!("{bucket:?}"), format!("{settings:?}"), format!("{:?}", bucket.shared.client)] {
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
