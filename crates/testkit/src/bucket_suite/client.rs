//! A bucket as the checks use it: keys below the check's own folder, bodies with their checksum, answers looked at.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use milepost_core::{Crc64Nvme, ObjectKey};
use milepost_store::bucket::{
    GetReply, ListPage, ListRequest, Listed, MAX_PAGE, ObjectMeta, OpenUpload, PartInfo, PutMode, UploadId, UploadQuery,
};
use milepost_store::{Bucket, BucketError, BucketErrorKind, ETag};

use super::{CHECKS, SuiteOptions};
use crate::check::{Checked, Doing as _, Seen, ensure, ensure_eq};
/// No two runs of a seed's bytes are alike, so a mixed-up offset shows.
pub(super) use crate::fixtures::seeded_bytes as bytes;

/// Listings give up after this many pages: a token that leads nowhere must not run for ever.
const MAX_PAGES: usize = 5_000;

pub(super) struct Client<B> {
    pub(super) bucket: Arc<B>,
    pub(super) options: Arc<SuiteOptions>,
    folder: &'static str,
}

impl<B> Clone for Client<B> {
    fn clone(&self) -> Self {
        Self { bucket: Arc::clone(&self.bucket), options: Arc::clone(&self.options), folder: self.folder }
    }
}

/// The call must have failed, in this way.
pub(super) fn refused<T: std::fmt::Debug>(
    result: Result<T, BucketError>,
    kind: BucketErrorKind,
    what: impl std::fmt::Display,
) -> Checked {
    match result {
        Ok(value) => Err(Seen(format!("{what}: expected {kind:?}, but it succeeded with {value:?}"))),
        Err(error) => {
            ensure!(error.kind == kind, "{what}: expected {kind:?}, found {error:?}");
            Ok(())
        }
    }
}

pub(super) async fn collect(reply: GetReply) -> Result<Bytes, BucketError> {
    let mut out = Vec::new();
    let mut body = reply.body;
    while let Some(chunk) = body.next().await {
        out.extend_from_slice(&chunk?);
    }
    Ok(out.into())
}

impl<B: Bucket> Client<B> {
    pub(super) fn new(bucket: B, folder: &'static str, options: Arc<SuiteOptions>) -> Self {
        Self { bucket: Arc::new(bucket), options, folder }
    }

    /// The check's own folder, with its final slash.
    pub(super) fn prefix(&self) -> String {
        format!("{}/", self.folder)
    }

    pub(super) fn key(&self, name: &str) -> Checked<ObjectKey> {
        ObjectKey::new(format!("{}/{name}", self.folder)).doing(format_args!("making a key of {name}"))
    }

    pub(super) async fn put(&self, key: &ObjectKey, body: &Bytes, mode: PutMode) -> Result<ETag, BucketError> {
        self.bucket.put(key, body.clone(), Crc64Nvme::of(body), mode).await
    }

    pub(super) async fn create(&self, key: &ObjectKey, body: &Bytes) -> Checked<ETag> {
        self.put(key, body, PutMode::Create).await.doing(format_args!("creating {key}"))
    }

    pub(super) async fn head(&self, key: &ObjectKey) -> Checked<ObjectMeta> {
        self.bucket.head(key).await.doing(format_args!("head of {key}"))
    }

    pub(super) async fn read(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Checked<Bytes> {
        let reply = self.bucket.get(key, range.clone()).await;
        let reply = reply.doing(format_args!("getting {key}, range {range:?}"))?;
        collect(reply).await.doing(format_args!("reading the body of {key}, range {range:?}"))
    }

    /// The key holds these bytes, and head, get and listing say the same of them.
    pub(super) async fn holds(&self, key: &ObjectKey, body: &Bytes, when: &str) -> Checked<ETag> {
        let reply = self.bucket.get(key, None).await.doing(format_args!("{when}: getting {key}"))?;
        let got = reply.meta.clone();
        let found = collect(reply).await.doing(format_args!("{when}: reading {key}"))?;
        ensure!(found == *body, "{when}: {key} holds other bytes ({} of {} expected)", found.len(), body.len());
        let head = self.head(key).await?;
        ensure_eq!(head.size, body.len() as u64, "{when}: size of {key} by head");
        ensure_eq!(got.size, head.size, "{when}: size of {key} by get");
        ensure_eq!(got.etag, head.etag, "{when}: ETag of {key} by get");
        let listed = self.listed().await?;
        let listed = listed.into_iter().find(|listed| listed.key == key.as_str());
        let expected = Some(Listed { key: key.as_str().to_owned(), size: head.size, etag: head.etag.clone() });
        ensure_eq!(listed, expected, "{when}: {key} in the listing");
        Ok(head.etag)
    }

    pub(super) async fn absent(&self, key: &ObjectKey, when: &str) -> Checked {
        refused(self.bucket.head(key).await, BucketErrorKind::NotFound, format_args!("{when}: head of {key}"))?;
        refused(self.bucket.get(key, None).await, BucketErrorKind::NotFound, format_args!("{when}: get of {key}"))?;
        let listed = self.listed().await?;
        ensure!(listed.iter().all(|listed| listed.key != key.as_str()), "{when}: {key} is listed");
        Ok(())
    }

    /// All pages of a listing, each within its limit, together in byte order.
    pub(super) async fn pages(&self, mut request: ListRequest) -> Checked<ListPage> {
        let mut all = ListPage::default();
        for _ in 0..MAX_PAGES {
            let page = self.bucket.list(request.clone()).await.doing(format_args!("listing {request:?}"))?;
            let entries = page.objects.len() + page.folders.len();
            ensure!(entries <= request.limit, "{request:?} gave {entries} entries");
            ensure!(page.objects.is_sorted_by(|a, b| a.key < b.key), "objects of {request:?} are out of byte order");
            ensure!(page.folders.is_sorted_by(|a, b| a < b), "folders of {request:?} are out of byte order");
            let last = [all.objects.last().map(|listed| &listed.key), all.folders.last()].into_iter().flatten().max();
            let first = [page.objects.first().map(|listed| &listed.key), page.folders.first()].into_iter().flatten();
            if let (Some(last), Some(first)) = (last, first.min()) {
                ensure!(last < first, "{request:?} begins with {first:?}, but the page before ended with {last:?}");
            }
            all.objects.extend(page.objects);
            all.folders.extend(page.folders);
            match page.next {
                Some(token) => request.page = Some(token),
                None => return Ok(all),
            }
        }
        Err(Seen(format!("the listing {request:?} did not end after {MAX_PAGES} pages")))
    }

    /// Everything in the check's folder.
    pub(super) async fn listed(&self) -> Checked<Vec<Listed>> {
        Ok(self.pages(ListRequest::all(self.prefix())).await?.objects)
    }

    /// Exactly these names are in the check's folder.
    pub(super) async fn shows(&self, names: &[&str], when: &str) -> Checked {
        let mut expected: Vec<String> = names.iter().map(|name| self.prefix() + name).collect();
        expected.sort();
        let found: Vec<String> = self.listed().await?.into_iter().map(|listed| listed.key).collect();
        ensure_eq!(found, expected, "{when}: the listing");
        Ok(())
    }

    /// Nothing is in the bucket but the folders of checks: no probe files, no parts, no droppings of temporary files.
    pub(super) async fn finds_no_strangers(&self) -> Checked {
        let root = self.pages(ListRequest { limit: MAX_PAGE, ..ListRequest::folders("") }).await?;
        ensure!(root.objects.is_empty(), "objects that nobody asked for: {:?}", root.objects);
        let stranger = root.folders.iter().find(|folder| !CHECKS.contains(&folder.trim_end_matches('/')));
        ensure!(stranger.is_none(), "a folder that nobody asked for: {stranger:?}");
        Ok(())
    }

    /// Bytes of one part in the checks: no smaller than the store takes, no larger than needed.
    pub(super) fn part_size(&self) -> usize {
        let limits = self.bucket.part_limits();
        let least = self.options.min_part.unwrap_or(limits.min_part).max(1024);
        usize::try_from(least.min(limits.max_part)).unwrap_or(1024)
    }

    pub(super) async fn begin(&self, key: &ObjectKey) -> Checked<UploadId> {
        let upload = self.bucket.create_upload(key, self.part_size() as u64).await;
        upload.doing(format_args!("beginning an upload of {key}"))
    }

    pub(super) async fn part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: &Bytes,
    ) -> Result<PartInfo, BucketError> {
        self.bucket.upload_part(key, upload, number, body.clone(), Crc64Nvme::of(body)).await
    }

    /// Begins an upload of `body` and sends its parts in order.
    pub(super) async fn uploaded(&self, key: &ObjectKey, body: &Bytes) -> Checked<(UploadId, Vec<PartInfo>)> {
        let upload = self.begin(key).await?;
        let mut parts = Vec::new();
        for (number, start) in (1u32..).zip((0..body.len()).step_by(self.part_size())) {
            let part = body.slice(start..(start + self.part_size()).min(body.len()));
            let sent = self.part(key, &upload, number, &part).await;
            parts.push(sent.doing(format_args!("sending part {number} of {key}"))?);
        }
        Ok((upload, parts))
    }

    pub(super) async fn complete(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartInfo],
        body: &Bytes,
    ) -> Result<ETag, BucketError> {
        self.bucket.complete_upload(key, upload, parts, Crc64Nvme::of(body)).await
    }

    pub(super) async fn open(&self, query: UploadQuery) -> Checked<Vec<OpenUpload>> {
        self.bucket.list_uploads(query.clone()).await.doing(format_args!("listing uploads by {query:?}"))
    }
}
