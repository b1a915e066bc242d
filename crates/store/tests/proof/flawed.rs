//! A bucket with one flaw, above the witness: what it does wrong, the witness sees as an effect like any other.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use milepost_core::{Crc64Nvme, ObjectKey};
use milepost_store::bucket::{
    DeleteOutcome, GetReply, ListPage, ListRequest, ObjectMeta, OpenUpload, PartInfo, PartLimits, PutMode, UploadId,
    UploadQuery,
};
use milepost_store::{Bucket, BucketError, BucketErrorKind, ETag, MemoryBucket};
use milepost_testkit::invariants::Witness;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    IgnoresIfMatch,
    CreatesOverContents,
    CreatesOverStatuses,
    CompletesOverContents,
    LosesMetadata,
    LosesCommits,
    FlipsBytes,
    Rots,
    HidesAKey,
    DeletesNothing,
    DeletesByPrefix,
    DeletesTheStatusToo,
    RepeatsWithoutCondition,
    ReadsStatusesStale,
    HidesAFolder,
    Hangs,
}

type Answer<T> = Result<T, BucketError>;

#[derive(Debug, Clone)]
pub(crate) struct Flawed {
    inner: Witness<MemoryBucket>,
    flaw: Flaw,
    /// The first content of every status that was read.
    first: Arc<Mutex<HashMap<String, Bytes>>>,
}

fn flipped(body: &Bytes) -> Bytes {
    let mut bytes = body.to_vec();
    if let Some(byte) = bytes.first_mut() {
        *byte ^= 1;
    }
    bytes.into()
}

impl Flawed {
    pub(crate) fn new(inner: Witness<MemoryBucket>, flaw: Flaw) -> Self {
        Self { inner, flaw, first: Arc::default() }
    }

    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn gone(&self, key: &str) -> bool {
        self.is(Flaw::DeletesNothing) && self.first.lock().unwrap().contains_key(key)
    }
}

impl Bucket for Flawed {
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
        let status = key.as_str().ends_with("/status.json");
        let content = key.as_str().contains("/snapshots/") || key.as_str().contains("/segments/");
        match self.flaw {
            Flaw::IgnoresIfMatch if matches!(mode, PutMode::Replace(_)) => {
                self.inner.put(key, body, crc, PutMode::Overwrite).await
            }
            Flaw::CreatesOverContents if content => self.inner.put(key, body, crc, PutMode::Overwrite).await,
            Flaw::CreatesOverStatuses if status && mode == PutMode::Create => {
                self.inner.put(key, body, crc, PutMode::Overwrite).await
            }
            Flaw::LosesMetadata if key.as_str().ends_with("/metadata.json") => Ok(ETag("never".to_owned())),
            Flaw::LosesCommits if status && body.windows(9).any(|text| text == b"COMPLETED") => {
                Ok(ETag("never".to_owned()))
            }
            Flaw::FlipsBytes if content => {
                let other = flipped(&body);
                self.inner.put(key, other.clone(), Crc64Nvme::of(&other), mode).await
            }
            Flaw::Rots if status && body.windows(9).any(|text| text == b"COMPLETED") => {
                let etag = self.inner.put(key, body, crc, mode).await?;
                let name = key.as_str().replace("status.json", "snapshots/a.sst");
                let name = ObjectKey::new(name).unwrap();
                let other = Bytes::from_static(b"rotten");
                self.inner.put(&name, other.clone(), Crc64Nvme::of(&other), PutMode::Overwrite).await?;
                Ok(etag)
            }
            Flaw::RepeatsWithoutCondition if status => {
                let etag = self.inner.put(key, body.clone(), crc, mode).await?;
                let (inner, key) = (self.inner.clone(), key.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    drop(inner.put(&key, body, crc, PutMode::Overwrite).await);
                });
                Ok(etag)
            }
            _ => self.inner.put(key, body, crc, mode).await,
        }
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Answer<GetReply> {
        if self.gone(key.as_str()) {
            return Err(BucketError::new(BucketErrorKind::NotFound, key.to_string()));
        }
        let mut reply = self.inner.get(key, range).await?;
        if self.is(Flaw::ReadsStatusesStale) && key.as_str().ends_with("/status.json") {
            let chunks: Vec<_> = reply.body.map(Result::unwrap).collect().await;
            let now = Bytes::from(chunks.concat());
            let mut first = self.first.lock().unwrap();
            // What this very process writes it also reads; what it reads once, it reads for ever.
            let seen = first.entry(key.to_string()).or_insert_with(|| stale(&now)).clone();
            reply.meta.size = seen.len() as u64;
            reply.body = futures::stream::iter([Ok(seen)]).boxed();
        }
        Ok(reply)
    }

    async fn head(&self, key: &ObjectKey) -> Answer<ObjectMeta> {
        self.inner.head(key).await
    }

    async fn list(&self, request: ListRequest) -> Answer<ListPage> {
        let delimiter = request.delimiter;
        let mut page = self.inner.list(request).await?;
        if self.is(Flaw::HidesAKey) {
            page.objects.retain(|object| !object.key.ends_with("/metadata.json"));
        }
        if self.is(Flaw::HidesAFolder) && delimiter {
            page.folders.retain(|folder| !folder.ends_with("/20/"));
        }
        page.objects.retain(|object| !self.gone(&object.key));
        Ok(page)
    }

    async fn delete(&self, keys: Vec<String>) -> Answer<Vec<DeleteOutcome>> {
        let mut more = keys.clone();
        match self.flaw {
            Flaw::DeletesNothing => {
                let mut gone = self.first.lock().unwrap();
                gone.extend(keys.iter().map(|key| (key.clone(), Bytes::new())));
                return Ok(keys.into_iter().map(|key| DeleteOutcome { key, result: Ok(()) }).collect());
            }
            Flaw::DeletesByPrefix => {
                let prefix = keys[0].splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
                let all = self.inner.inner().keys();
                more = all
                    .into_iter()
                    .filter(|key| key.starts_with(&prefix) && !key.ends_with("/2/status.json"))
                    .collect();
            }
            Flaw::DeletesTheStatusToo => {
                let prefix = keys[0].splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
                more.push(format!("{prefix}/status.json"));
            }
            _ => {}
        }
        self.inner.delete(more).await?;
        Ok(keys.into_iter().map(|key| DeleteOutcome { key, result: Ok(()) }).collect())
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
        if self.is(Flaw::Hangs) {
            std::future::pending::<()>().await;
        }
        let result = self.inner.complete_upload(key, upload, parts, crc).await;
        match result {
            Err(error) if self.is(Flaw::CompletesOverContents) && error.kind == BucketErrorKind::Precondition => {
                self.inner.delete(vec![key.to_string()]).await?;
                self.inner.complete_upload(key, upload, parts, crc).await
            }
            result => result,
        }
    }

    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Answer<()> {
        self.inner.abort_upload(key, upload).await
    }

    async fn list_uploads(&self, query: UploadQuery) -> Answer<Vec<OpenUpload>> {
        self.inner.list_uploads(query).await
    }
}

/// A status as it was a revision ago.
fn stale(now: &Bytes) -> Bytes {
    let text = String::from_utf8_lossy(now);
    text.replace("COMPLETED", "FAILED").replace("\"DELETED\"", "\"DELETING\"").into_bytes().into()
}
