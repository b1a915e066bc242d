//! Trying out whether a store keeps the promises that the protocol stands on.
//!
//! All below `_milepost/probe/`, under a random folder, removed afterwards. What follows from the result: `fitness`.

use bytes::Bytes;
use futures::future::join_all;
use milepost_core::{Crc64Nvme, FileName, ObjectKey};

use super::Engine;
use crate::api::{ProbeCheck, ProbeReport};
use crate::bucket::{Bucket, BucketError, BucketErrorKind, ListRequest, PutMode};
use crate::context::OpContext;
use crate::error::{Error, Result};

/// How many requests race in each check.
const RACERS: usize = 32;

/// The checks that a store must pass.
pub(super) const REQUIRED: [&str; 7] = [
    "racing-creates",
    "racing-replaces",
    "replace-absent",
    "racing-completions",
    "list-after-write",
    "list-after-delete",
    "etag-form",
];

/// A check's own failure is text; a store that cannot be asked is an error.
type Outcome = Result<Option<String>>;

struct Probe<'a, B: Bucket> {
    engine: &'a Engine<B>,
    cx: &'a OpContext,
    folder: String,
}

fn body(text: impl Into<String>) -> (Bytes, Crc64Nvme) {
    let bytes = Bytes::from(text.into());
    let crc = Crc64Nvme::of(&bytes);
    (bytes, crc)
}

/// Counts winners; a request whose outcome is unknown makes the check inconclusive, not failed. One that was denied is no
/// verdict on the store.
fn winners<T>(results: Vec<Result<T, BucketError>>) -> Outcome {
    if results.iter().any(|result| matches!(result, Err(error) if error.kind == BucketErrorKind::Denied)) {
        let denied = results.into_iter().filter_map(Result::err).find(|error| error.kind == BucketErrorKind::Denied);
        return denied.map_or(Ok(None), |error| Err(error.into()));
    }
    let won = results.iter().filter(|result| result.is_ok()).count();
    let unknown = results.iter().filter(|result| matches!(result, Err(error) if error.maybe_applied)).count();
    if let Some(Err(error)) = results
        .iter()
        .find(|result| matches!(result, Err(error) if error.kind != BucketErrorKind::Precondition && !error.maybe_applied && !error.is_transient()))
    {
        return Ok(Some(format!("a conditional write answered: {error}")));
    }
    Ok(match (won, unknown) {
        (1, _) | (0, 1..) => None,
        (won, _) => Some(format!("{won} of {} racing requests won; exactly one may", results.len())),
    })
}

impl<B: Bucket> Probe<'_, B> {
    fn key(&self, name: &str) -> Result<ObjectKey> {
        let name = FileName::new(format!("{}/{name}", self.folder))
            .map_err(|error| Error::invalid_input(error.to_string()))?;
        Ok(self.engine.layout.probe(&name))
    }

    async fn racing_creates(&self) -> Outcome {
        let key = self.key("create")?;
        let bucket = &self.engine.bucket;
        let racers = (0..RACERS).map(|n| {
            let (bytes, crc) = body(format!("racer {n}"));
            let key = &key;
            async move { bucket.put(key, bytes, crc, PutMode::Create).await }
        });
        winners(self.cx.run(async { Ok(join_all(racers).await) }).await?)
    }

    async fn racing_replaces(&self) -> Outcome {
        let key = self.key("replace.json")?;
        let bucket = &self.engine.bucket;
        let (bytes, crc) = body("before");
        let etag = self.engine.must(self.cx, || bucket.put(&key, bytes.clone(), crc, PutMode::Overwrite)).await?;
        let racers = (0..RACERS).map(|n| {
            let (bytes, crc) = body(format!("racer {n}"));
            let (key, etag) = (&key, etag.clone());
            async move { bucket.put(key, bytes, crc, PutMode::Replace(etag)).await }
        });
        winners(self.cx.run(async { Ok(join_all(racers).await) }).await?)
    }

    async fn replace_absent(&self) -> Outcome {
        let there = self.key("etag.json")?;
        let absent = self.key("absent.json")?;
        let bucket = &self.engine.bucket;
        let (bytes, crc) = body("x");
        let etag = self.engine.must(self.cx, || bucket.put(&there, bytes.clone(), crc, PutMode::Overwrite)).await?;
        let written = self
            .engine
            .ask(self.cx, || bucket.put(&absent, bytes.clone(), crc, PutMode::Replace(etag.clone())))
            .await?;
        if written.is_ok() {
            return Ok(Some("If-Match on an absent key was accepted".to_owned()));
        }
        Ok(match self.engine.ask(self.cx, || bucket.head(&absent)).await? {
            Err(error) if error.kind == BucketErrorKind::NotFound => None,
            Err(error) => Some(format!("after If-Match on an absent key, head answered: {error}")),
            Ok(_) => Some("If-Match on an absent key was refused, but wrote".to_owned()),
        })
    }

    async fn racing_completions(&self) -> Outcome {
        let key = self.key("complete")?;
        let bucket = &self.engine.bucket;
        let (bytes, crc) = body("part");
        let mut uploads = Vec::new();
        for _ in 0..4 {
            let upload = match self.engine.ask(self.cx, || bucket.create_upload(&key, bytes.len() as u64)).await? {
                Ok(upload) => upload,
                Err(error) => return Ok(Some(format!("a multipart upload could not be begun: {error}"))),
            };
            let part = self.engine.must(self.cx, || bucket.upload_part(&key, &upload, 1, bytes.clone(), crc)).await?;
            uploads.push((upload, [part]));
        }
        let racers = uploads.iter().map(|(upload, parts)| bucket.complete_upload(&key, upload, parts, crc));
        let results = self.cx.run(async { Ok(join_all(racers).await) }).await?;
        for (upload, _) in &uploads {
            // Aborting what was completed is fine, and what lost must not stay open.
            let _ = self.engine.ask(self.cx, || bucket.abort_upload(&key, upload)).await?;
        }
        winners(results)
    }

    async fn list_after_write(&self) -> Outcome {
        let key = self.key("listed")?;
        let bucket = &self.engine.bucket;
        let (bytes, crc) = body("listed");
        let etag = self.engine.must(self.cx, || bucket.put(&key, bytes.clone(), crc, PutMode::Overwrite)).await?;
        let page = self.list().await?;
        let Some(listed) = page.into_iter().find(|object| object.key == key.as_str()) else {
            return Ok(Some("an object was not listed right after it was written".to_owned()));
        };
        Ok((listed.etag != etag || listed.size != bytes.len() as u64)
            .then(|| "a listing names another ETag or size than the write did".to_owned()))
    }

    async fn list_after_delete(&self) -> Outcome {
        let key = self.key("gone")?;
        let bucket = &self.engine.bucket;
        let (bytes, crc) = body("gone");
        self.engine.must(self.cx, || bucket.put(&key, bytes.clone(), crc, PutMode::Overwrite)).await?;
        let deleted = self.engine.ask(self.cx, || bucket.delete(vec![key.as_str().to_owned()])).await?;
        let denied = |error: &BucketError| error.kind == BucketErrorKind::Denied;
        match deleted {
            // Writers may lack the permission to delete.
            Err(error) if denied(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
            Ok(outcomes) => {
                for outcome in outcomes {
                    match outcome.result {
                        Err(error) if denied(&error) => return Ok(None),
                        Err(error) => return Ok(Some(format!("a delete answered: {error}"))),
                        Ok(()) => {}
                    }
                }
            }
        }
        let listed = self.list().await?.iter().any(|object| object.key == key.as_str());
        Ok(listed.then(|| "an object was still listed right after it was deleted".to_owned()))
    }

    /// Every answer names a content by the same strong ETag: a status is read by GET, written by PUT, compared by If-Match.
    async fn etag_form(&self) -> Outcome {
        let key = self.key("form.json")?;
        let bucket = &self.engine.bucket;
        let (bytes, crc) = body("form");
        let put = self.engine.must(self.cx, || bucket.put(&key, bytes.clone(), crc, PutMode::Overwrite)).await?;
        let head = self.engine.must(self.cx, || bucket.head(&key)).await?.etag;
        let get = self.engine.must(self.cx, || bucket.get(&key, None)).await?.meta.etag;
        Ok(if put.0.is_empty() || put.0.starts_with("W/") {
            Some(format!("a write answered {put:?}, which no condition can name"))
        } else if put != head || put != get {
            Some(format!("a write answered {put:?}, head {head:?}, get {get:?}"))
        } else {
            None
        })
    }

    async fn checksum_kept(&self) -> Outcome {
        let key = self.key("checksum")?;
        let bucket = &self.engine.bucket;
        let (bytes, crc) = body("checksum");
        self.engine.must(self.cx, || bucket.put(&key, bytes.clone(), crc, PutMode::Overwrite)).await?;
        let meta = self.engine.must(self.cx, || bucket.head(&key)).await?;
        Ok(match meta.crc64nvme {
            Some(kept) if kept == crc => None,
            Some(kept) => Some(format!("wrote {crc:?}, the store says {kept:?}")),
            None => Some("the store keeps no CRC64NVME: checksums are verified by reading".to_owned()),
        })
    }

    async fn list(&self) -> Result<Vec<crate::bucket::Listed>> {
        let prefix = format!("{}{}/", self.engine.layout.probe_prefix(), self.folder);
        let request = ListRequest::all(prefix);
        Ok(self.engine.must(self.cx, || self.engine.bucket.list(request.clone())).await?.objects)
    }

    async fn clean_up(&self) -> Result<()> {
        let keys: Vec<String> = self.list().await?.into_iter().map(|object| object.key).collect();
        if !keys.is_empty() {
            // What cannot be deleted stays below the reserved folder, which no listing of backups looks into.
            let _ = self.engine.ask(self.cx, || self.engine.bucket.delete(keys.clone())).await?;
        }
        Ok(())
    }
}

impl<B: Bucket> Engine<B> {
    /// Tries the store out, and keeps the result where a later first write asks for it.
    pub(super) async fn probe(&self, cx: &OpContext) -> Result<ProbeReport> {
        let report = self.try_out(cx).await?;
        if self.bucket.needs_probe() {
            self.keep_result(&report, cx).await?;
        }
        Ok(report)
    }

    async fn try_out(&self, cx: &OpContext) -> Result<ProbeReport> {
        let probe = Probe { engine: self, cx, folder: self.env.attempt().to_string() };
        let mut checks = Vec::new();
        let mut note = |name, failure| checks.push(ProbeCheck { name, failure, required: REQUIRED.contains(&name) });
        note("racing-creates", probe.racing_creates().await?);
        note("racing-replaces", probe.racing_replaces().await?);
        note("replace-absent", probe.replace_absent().await?);
        note("racing-completions", probe.racing_completions().await?);
        note("list-after-write", probe.list_after_write().await?);
        note("list-after-delete", probe.list_after_delete().await?);
        note("etag-form", probe.etag_form().await?);
        note("checksum-kept", probe.checksum_kept().await?);
        probe.clean_up().await?;
        Ok(ProbeReport { location: self.bucket.location(), checks })
    }
}
