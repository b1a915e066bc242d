//! The port itself: each request goes through one place that does to it what was planned.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use milepost_core::{Crc64Nvme, ObjectKey, Timestamp};
use milepost_store::bucket::{
    DeleteOutcome, GetReply, ListPage, ListRequest, ObjectMeta, OpenUpload, PartInfo, PartLimits, PutMode, UploadId,
    UploadQuery,
};
use milepost_store::{Bucket, BucketError, BucketErrorKind, ETag};

use super::FaultyBucket;
use super::call::CallKind;
use super::plan::{Crash, Fault, Point};
use super::shared::Shared;

type Answer<T> = Result<T, BucketError>;

fn injected(kind: BucketErrorKind, call: CallKind, key: &str, what: &str) -> BucketError {
    BucketError::new(kind, format!("{call:?} {key}: {what} (injected)"))
}

impl<B: Bucket> FaultyBucket<B> {
    /// Runs one request. `work` may be run twice, or later on a task of its own, so it owns all that it needs.
    async fn call<T, F>(
        &self,
        kind: CallKind,
        key: &str,
        detail: String,
        work: impl Fn(Arc<B>, Option<Fault>) -> F + Send + Sync,
    ) -> Answer<T>
    where
        T: Send + 'static,
        F: Future<Output = Answer<T>> + Send + 'static,
    {
        self.shared.alive().await?;
        let ticket = self.shared.begin(kind, key, &detail);
        if let Some((Point::Before, crash)) = ticket.crash {
            self.shared.crash(crash);
            self.shared.alive().await?;
        }
        let fault = ticket.fault.clone();
        let run = || work(Arc::clone(&self.inner), fault.clone());
        let maybe = |error: BucketError| if kind.is_write() { error.maybe_applied() } else { error };
        let result = match &fault {
            None | Some(Fault::CutBody(_) | Fault::KeepKeys(..) | Fault::ShortPage(_) | Fault::HideUploads) => {
                run().await
            }
            Some(Fault::Before(failure)) => Err(injected(*failure, kind, key, "failed before its effect")),
            Some(Fault::After(failure)) => {
                // What the reply said is lost with it, a refusal too.
                drop(run().await);
                Err(maybe(injected(*failure, kind, key, "the reply was lost")))
            }
            Some(Fault::Late(after)) => {
                if kind.is_write() {
                    let (late, after) = (run(), *after);
                    tokio::spawn(async move {
                        tokio::time::sleep(after).await;
                        drop(late.await);
                    });
                }
                Err(maybe(injected(BucketErrorKind::Timeout, kind, key, "no answer in time")))
            }
            Some(Fault::Again(after)) => {
                let result = run().await;
                if kind.is_write() {
                    let (zombie, after) = (run(), *after);
                    tokio::spawn(async move {
                        tokio::time::sleep(after).await;
                        drop(zombie.await);
                    });
                }
                result
            }
            Some(Fault::Repeat) => {
                drop(run().await);
                run().await
            }
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(*time).await;
                run().await
            }
            Some(Fault::Hold(gate)) => {
                gate.pass().await;
                run().await
            }
            Some(Fault::Throttle(retry_after)) => {
                let mut error = injected(BucketErrorKind::Throttled, kind, key, "asked to slow down");
                error.retry_after = *retry_after;
                Err(error)
            }
        };
        if let Some((Point::After, crash)) = ticket.crash {
            self.shared.crash(crash);
        }
        // Another task may have crashed the process while this call was on its way: its reply reaches nobody.
        let result = match self.shared.crash_now() {
            None => result,
            Some(Crash::Hang) => std::future::pending().await,
            Some(Crash::Fail) => Err(maybe(injected(BucketErrorKind::Unavailable, kind, key, "the process crashed"))),
        };
        self.shared.end(&ticket, &result);
        result
    }
}

type Body = BoxStream<'static, Answer<Bytes>>;

/// Lets `left` bytes through, then fails; hangs or fails once the process has crashed.
fn tampered(body: Body, cut: Option<u64>, shared: Arc<Shared>) -> Body {
    stream::unfold(Some((body, cut, shared)), |state| async move {
        let (mut body, mut cut, shared) = state?;
        if let Err(error) = shared.alive().await {
            return Some((Err(error), None));
        }
        if cut == Some(0) {
            let error = BucketError::new(BucketErrorKind::Unavailable, "the body broke off (injected)");
            return Some((Err(error), None));
        }
        match body.next().await {
            Some(Ok(mut chunk)) => {
                if let Some(left) = &mut cut {
                    chunk.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= chunk.len() as u64;
                }
                Some((Ok(chunk), Some((body, cut, shared))))
            }
            Some(Err(error)) => Some((Err(error), None)),
            None => None,
        }
    })
    .boxed()
}

impl<B: Bucket> Bucket for FaultyBucket<B> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn lists_uploads_by_prefix(&self) -> bool {
        self.inner.lists_uploads_by_prefix()
    }

    fn needs_probe(&self) -> bool {
        self.inner.needs_probe()
    }

    fn part_limits(&self) -> PartLimits {
        self.inner.part_limits()
    }

    async fn free_space(&self) -> Answer<Option<u64>> {
        self.call(CallKind::FreeSpace, "", String::new(), |bucket, _| async move { bucket.free_space().await }).await
    }

    async fn clock(&self) -> Answer<Option<Timestamp>> {
        self.inner.clock().await
    }

    async fn put(&self, key: &ObjectKey, body: Bytes, crc: Crc64Nvme, mode: PutMode) -> Answer<ETag> {
        let detail = format!("{mode:?}, {} bytes", body.len());
        self.call(CallKind::Put, key.as_str(), detail, |bucket, _| {
            let (key, body, mode) = (key.clone(), body.clone(), mode.clone());
            async move { bucket.put(&key, body, crc, mode).await }
        })
        .await
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Answer<GetReply> {
        let detail = range.as_ref().map(|range| format!("{range:?}")).unwrap_or_default();
        self.call(CallKind::Get, key.as_str(), detail, |bucket, fault| {
            let (key, range, shared) = (key.clone(), range.clone(), Arc::clone(&self.shared));
            async move {
                let mut reply = bucket.get(&key, range).await?;
                let cut = if let Some(Fault::CutBody(after)) = fault { Some(after) } else { None };
                reply.body = tampered(reply.body, cut, shared);
                Ok(reply)
            }
        })
        .await
    }

    async fn head(&self, key: &ObjectKey) -> Answer<ObjectMeta> {
        self.call(CallKind::Head, key.as_str(), String::new(), |bucket, _| {
            let key = key.clone();
            async move { bucket.head(&key).await }
        })
        .await
    }

    async fn list(&self, request: ListRequest) -> Answer<ListPage> {
        let folders = if request.delimiter { "folders, " } else { "" };
        let page = if request.page.is_some() { ", a later page" } else { "" };
        let detail = format!("{folders}at most {}{page}", request.limit);
        self.call(CallKind::List, &request.prefix, detail, |bucket, fault| {
            let mut request = request.clone();
            if let Some(Fault::ShortPage(most)) = fault {
                request.limit = request.limit.min(most.max(1));
            }
            async move { bucket.list(request).await }
        })
        .await
    }

    async fn delete(&self, keys: Vec<String>) -> Answer<Vec<DeleteOutcome>> {
        let first = keys.first().cloned().unwrap_or_default();
        self.call(CallKind::Delete, &first, format!("{} keys", keys.len()), |bucket, fault| {
            let keys = keys.clone();
            async move {
                let Some(Fault::KeepKeys(text, kind)) = fault else { return bucket.delete(keys).await };
                let (kept, gone): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.contains(&text));
                let mut outcomes = bucket.delete(gone).await?;
                outcomes.extend(kept.into_iter().map(|key| {
                    let error = injected(kind, CallKind::Delete, &key, "this key failed");
                    DeleteOutcome { key, result: Err(error) }
                }));
                Ok(outcomes)
            }
        })
        .await
    }

    async fn create_upload(&self, key: &ObjectKey, part_size: u64) -> Answer<UploadId> {
        self.call(CallKind::CreateUpload, key.as_str(), format!("parts of {part_size} bytes"), |bucket, _| {
            let key = key.clone();
            async move { bucket.create_upload(&key, part_size).await }
        })
        .await
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: Bytes,
        crc: Crc64Nvme,
    ) -> Answer<PartInfo> {
        let detail = format!("part {number}, {} bytes", body.len());
        self.call(CallKind::UploadPart, key.as_str(), detail, |bucket, _| {
            let (key, upload, body) = (key.clone(), upload.clone(), body.clone());
            async move { bucket.upload_part(&key, &upload, number, body, crc).await }
        })
        .await
    }

    async fn list_parts(&self, key: &ObjectKey, upload: &UploadId) -> Answer<Vec<PartInfo>> {
        self.call(CallKind::ListParts, key.as_str(), String::new(), |bucket, _| {
            let (key, upload) = (key.clone(), upload.clone());
            async move { bucket.list_parts(&key, &upload).await }
        })
        .await
    }

    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartInfo],
        crc: Crc64Nvme,
    ) -> Answer<ETag> {
        self.call(CallKind::CompleteUpload, key.as_str(), format!("{} parts", parts.len()), |bucket, _| {
            let (key, upload, parts) = (key.clone(), upload.clone(), parts.to_vec());
            async move { bucket.complete_upload(&key, &upload, &parts, crc).await }
        })
        .await
    }

    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Answer<()> {
        self.call(CallKind::AbortUpload, key.as_str(), String::new(), |bucket, _| {
            let (key, upload) = (key.clone(), upload.clone());
            async move { bucket.abort_upload(&key, &upload).await }
        })
        .await
    }

    async fn list_uploads(&self, query: UploadQuery) -> Answer<Vec<OpenUpload>> {
        let (key, detail) = match &query {
            UploadQuery::Prefix(prefix) => (prefix.clone(), "by prefix"),
            UploadQuery::Key(key) => (key.as_str().to_owned(), "by key"),
        };
        self.call(CallKind::ListUploads, &key, detail.to_owned(), |bucket, fault| {
            let query = query.clone();
            async move {
                if matches!(fault, Some(Fault::HideUploads)) {
                    Ok(Vec::new())
                } else {
                    bucket.list_uploads(query).await
                }
            }
        })
        .await
    }
}
