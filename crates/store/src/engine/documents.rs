//! Reading documents: the cap is checked before a byte is fetched, and held while fetching.

use std::time::Duration;

use futures::StreamExt as _;
use milepost_core::document::MAX_METADATA_BYTES;
use milepost_core::{BackupId, DocumentError, MetadataDocument, ObjectKey};

use super::Engine;
use crate::api::Metadata;
use crate::bucket::{Bucket, BucketError, BucketErrorKind, ETag, GetReply};
use crate::context::OpContext;
use crate::error::{Error, Result};

/// A document's bytes, or why they were not fetched.
pub(crate) enum Fetched {
    /// No such key.
    Absent,
    /// Larger than its cap.
    TooLarge { size: u64, etag: ETag },
    /// The bytes.
    Bytes { bytes: Vec<u8>, etag: ETag, age: Option<Duration> },
}

async fn collect(reply: GetReply, cap: u64) -> Result<Fetched, BucketError> {
    let GetReply { meta, mut body } = reply;
    if meta.size > cap {
        return Ok(Fetched::TooLarge { size: meta.size, etag: meta.etag });
    }
    let mut bytes = Vec::with_capacity(meta.size as usize);
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() as u64 > meta.size {
            break;
        }
    }
    if bytes.len() as u64 != meta.size {
        let message = format!("the store announced {} bytes and sent {}", meta.size, bytes.len());
        return Err(BucketError::new(BucketErrorKind::Unavailable, message));
    }
    Ok(Fetched::Bytes { bytes, etag: meta.etag, age: meta.age })
}

impl<B: Bucket> Engine<B> {
    /// Fetches a document of at most `cap` bytes.
    pub(crate) async fn fetch_document(&self, key: &ObjectKey, cap: u64, cx: &OpContext) -> Result<Fetched> {
        let answer = self
            .ask(cx, || async {
                match self.bucket.get(key, None).await {
                    Ok(reply) => collect(reply, cap).await,
                    Err(error) if error.kind == BucketErrorKind::NotFound => Ok(Fetched::Absent),
                    Err(error) => Err(error),
                }
            })
            .await?;
        answer.map_err(Error::from)
    }

    /// Fetches a document of at most `cap` bytes and parses it; one that cannot be used is an error. `None`: there is none.
    pub(crate) async fn fetch_parsed<T>(
        &self,
        key: &ObjectKey,
        cap: u64,
        cx: &OpContext,
        parse: impl FnOnce(&[u8]) -> Result<T, DocumentError>,
    ) -> Result<Option<(T, ETag)>> {
        match self.fetch_document(key, cap, cx).await? {
            Fetched::Absent => Ok(None),
            Fetched::TooLarge { size, .. } => Err(unusable(key, &DocumentError::TooLarge { size, limit: cap })),
            Fetched::Bytes { bytes, etag, .. } => match parse(&bytes) {
                Ok(document) => Ok(Some((document, etag))),
                Err(error) => Err(unusable(key, &error)),
            },
        }
    }

    /// Fetches and parses a backup's metadata, whatever its status says of it. `None`: there is none.
    pub(crate) async fn fetch_metadata(&self, id: BackupId, cx: &OpContext) -> Result<Option<Metadata>> {
        let parse = |bytes: &[u8]| {
            let sha256 = milepost_core::checksum::sha256_hex(bytes);
            MetadataDocument::parse(bytes, id).map(|document| Metadata { document, sha256 })
        };
        let fetched = self.fetch_parsed(&self.layout.metadata(id), MAX_METADATA_BYTES, cx, parse).await?;
        Ok(fetched.map(|(metadata, _)| metadata))
    }

    /// Fetches the metadata whose hash a status names, with its bytes.
    pub(crate) async fn committed_metadata(
        &self,
        id: BackupId,
        sha256: &str,
        cx: &OpContext,
    ) -> Result<(Metadata, Vec<u8>)> {
        let key = self.layout.metadata(id);
        let bytes = match self.fetch_document(&key, MAX_METADATA_BYTES, cx).await? {
            Fetched::Absent => {
                return Err(Error::corrupt(key.as_str(), "is missing, although the backup was committed"));
            }
            Fetched::TooLarge { size, .. } => {
                return Err(unusable(&key, &DocumentError::TooLarge { size, limit: MAX_METADATA_BYTES }));
            }
            Fetched::Bytes { bytes, .. } => bytes,
        };
        // The hash first: a document that was edited is not to be believed, even about its format.
        let actual = milepost_core::checksum::sha256_hex(&bytes);
        if actual != sha256 {
            let reason = format!("was changed after the commit: expected SHA-256 {sha256}, found {actual}");
            return Err(Error::corrupt(key.as_str(), reason));
        }
        let document = MetadataDocument::parse(&bytes, id).map_err(|error| unusable(&key, &error))?;
        if document.cluster_id != self.cluster_id()? {
            return Err(Error::corrupt(key.as_str(), format!("belongs to cluster {}", document.cluster_id)));
        }
        Ok((Metadata { document, sha256: actual }, bytes))
    }
}

/// A document that cannot be used: Refused for one of a newer format, which is whole and must not be touched.
pub(crate) fn unusable(key: &ObjectKey, error: &DocumentError) -> Error {
    if error.is_newer() {
        Error::refused(format!("{key} {error}"))
    } else {
        Error::corrupt(key.as_str(), error.to_string())
    }
}
