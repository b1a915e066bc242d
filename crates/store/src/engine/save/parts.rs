//! One large file into the bucket, in parts: read ahead and hashed in parallel, sent in any order, joined in the end.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use milepost_core::hashing::{PartHash, any_order, join};
use milepost_core::parts::PartPlan;
use milepost_core::{DigestHasher, Hashes};

use super::content::Opened;
use super::plan::PlannedFile;
use super::upload::{Confirmed, Failure, Outcome, Uploads};
use crate::bucket::{Bucket, BucketError, BucketErrorKind, PartInfo, UploadId, UploadQuery, under};
use crate::engine::local::ReadPart;
use crate::error::{Error, ErrorKind};

/// Parts that are read while the others are sent: one that is being read, and one that waits for its turn.
const READ_AHEAD: usize = 2;

/// Where parts go.
#[derive(Clone, Copy)]
struct Destination<'a> {
    file: &'a PlannedFile,
    upload: &'a UploadId,
}

impl<B: Bucket> Uploads<'_, B> {
    /// A file by multipart upload; one that an earlier attempt began is continued from its parts.
    pub(super) async fn in_parts(&self, file: &PlannedFile, open: &Opened) -> Outcome<Confirmed> {
        let mut tries = self.engine.tries();
        let mut kept = if self.resume { self.begun(file).await? } else { None };
        loop {
            let (upload, plan, parts) = match kept.take() {
                Some(found) => found,
                None => {
                    let plan = self.part_plan(file, self.engine.settings.part_size)?;
                    let create = || self.engine.bucket.create_upload(&file.key, plan.part_size());
                    (self.engine.must(self.cx, create).await?, plan, Vec::new())
                }
            };
            self.note_open(file, &upload, plan.part_size());
            let (sent, hashes) = match self.send_parts(file, open, &upload, plan, &parts).await {
                Ok(done) => done,
                // Completed or aborted under our hands: look what is there, else start this file again.
                Err(Failure::Save(error)) if matches!(error.kind(), ErrorKind::NotFound) => {
                    self.note_closed(&upload);
                    if let Some(confirmed) = self.existing(file, open).await? {
                        return Ok(confirmed);
                    }
                    tries.pause(BucketError::new(BucketErrorKind::Unavailable, error.to_string()), self.cx).await?;
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            let complete = self.engine.bucket.complete_upload(&file.key, &upload, &sent, hashes.crc);
            let error = match under(self.cx, complete).await? {
                Ok(etag) => {
                    self.note_closed(&upload);
                    return Ok(self.confirmed(file, file.size, hashes, etag, true));
                }
                Err(error) => error,
            };
            let gone = error.kind == BucketErrorKind::NoSuchUpload;
            let bad = error.kind == BucketErrorKind::BadDigest;
            if gone || error.kind == BucketErrorKind::Precondition || error.maybe_applied {
                if let Some(etag) = self.look(file, hashes.crc).await? {
                    self.abort(file, &upload).await;
                    return Ok(self.confirmed(file, file.size, hashes, etag, true));
                }
            } else if !error.is_transient() {
                return Err(Failure::Save(Error::from(error)));
            }
            if gone || bad {
                // Parts that do not add up (a stranger's, or damaged ones) are not worth another completion.
                self.abort(file, &upload).await;
            } else {
                kept = Some((upload, plan, sent));
            }
            tries.pause(BucketError { kind: BucketErrorKind::Unavailable, ..error }, self.cx).await?;
        }
    }

    fn part_plan(&self, file: &PlannedFile, part_size: u64) -> Outcome<PartPlan> {
        let limits = self.engine.bucket.part_limits();
        PartPlan::new(file.size, part_size, limits.min_part, limits.max_part, limits.max_parts)
            .map_err(|error| Failure::File(error.to_string()))
    }

    /// An open upload of this file with the parts that the store holds.
    async fn begun(&self, file: &PlannedFile) -> Outcome<Option<(UploadId, PartPlan, Vec<PartInfo>)>> {
        let query = UploadQuery::Key(file.key.clone());
        let listed = match self.engine.ask(self.cx, || self.engine.bucket.list_uploads(query.clone())).await? {
            Ok(listed) => listed,
            // Only a shortcut is lost.
            Err(error) => {
                tracing::warn!(key = %file.key, %error, "open uploads could not be listed; sending the file anew");
                return Ok(None);
            }
        };
        let known = file.upload.iter().map(|(upload, size)| (upload.clone(), Some(*size)));
        let others = listed.into_iter().filter(|open| open.key == file.key.as_str()).map(|open| (open.upload, None));
        for (upload, part_size) in known.chain(others) {
            let list = self.engine.ask(self.cx, || self.engine.bucket.list_parts(&file.key, &upload)).await?;
            let Ok(parts) = list else { continue };
            // All parts but the last have one size; a single part tells nothing, so the settings' size is assumed.
            let first = parts.iter().find(|part| part.number == 1).map(|part| part.size);
            // The settings' size, unless the first part tells that the upload was begun with another.
            for wanted in [part_size, Some(self.engine.settings.part_size), first].into_iter().flatten() {
                let Ok(plan) = self.part_plan(file, wanted) else { continue };
                let range = plan.range(1);
                if first.is_none_or(|first| range.end - range.start == first) {
                    return Ok(Some((upload, plan, parts)));
                }
            }
        }
        Ok(None)
    }

    /// Reads, hashes and sends all parts; parts that the store holds with the right checksum are kept.
    async fn send_parts(
        &self,
        file: &PlannedFile,
        open: &Opened,
        upload: &UploadId,
        plan: PartPlan,
        held: &[PartInfo],
    ) -> Outcome<(Vec<PartInfo>, Hashes)> {
        let held: BTreeMap<u32, &PartInfo> = held.iter().map(|part| (part.number, part)).collect();
        let (held, to) = (&held, Destination { file, upload });
        let mut parts = Vec::with_capacity(plan.count() as usize);
        let mut on_their_way = FuturesUnordered::new();
        // A few more than are sent at once: they are read ahead, as far as the budget allows.
        let window = self.engine.settings.concurrency + READ_AHEAD;
        let mut in_order = None;
        if any_order(self.algorithm(file), &plan) {
            for number in 1..=plan.count() {
                while on_their_way.len() >= window {
                    parts.extend(on_their_way.next().await.transpose()?);
                }
                on_their_way.push(async move {
                    let part = self.read(file, open, plan, number, None).await?;
                    self.send_part(to, part, held).await
                });
            }
            while let Some(sent) = on_their_way.next().await {
                parts.push(sent?);
            }
        } else {
            let mut on_their_way = FuturesUnordered::new();
            let mut digest = self.algorithm(file).map(DigestHasher::new);
            // Read one after the other, because this digest takes bytes in order; send several at the same time.
            for number in 1..=plan.count() {
                while on_their_way.len() >= window {
                    parts.extend(on_their_way.next().await.transpose()?);
                }
                let read = self.read(file, open, plan, number, digest);
                tokio::pin!(read);
                // Both are polled: a reader that waits for a ticket waits for parts that are on their way.
                let mut part = loop {
                    tokio::select! {
                        part = &mut read => break part?,
                        Some(sent) = on_their_way.next() => parts.push(sent?),
                    }
                };
                digest = part.digest.take();
                on_their_way.push(self.send_part(to, part, held));
            }
            while let Some(sent) = on_their_way.next().await {
                parts.push(sent?);
            }
            in_order = digest.map(|digest| digest.finish());
        }
        drop(on_their_way);
        let (mut sent, hashes): (Vec<PartInfo>, Vec<PartHash>) = parts.into_iter().unzip();
        sent.sort_by_key(|part| part.number);
        let hashes = join(&plan, hashes, in_order)
            .map_err(|error| Error::new(ErrorKind::Internal, format!("{}: {error}", file.key)))?;
        self.as_recorded(file, &hashes)?;
        Ok((sent, hashes))
    }

    async fn send_part(
        &self,
        to: Destination<'_>,
        part: ReadPart,
        held: &BTreeMap<u32, &PartInfo>,
    ) -> Outcome<(PartInfo, PartHash)> {
        let ReadPart { body, hash, ticket, .. } = part;
        let (number, size, crc) = (hash.number(), hash.len(), hash.crc());
        let same = |part: &&&PartInfo| part.size == size && part.crc64nvme == Some(crc);
        if let Some(kept) = held.get(&number).filter(same) {
            self.cx.progress().add_bytes(size);
            return Ok(((*kept).clone(), hash));
        }
        self.pay(size).await?;
        let send = || {
            let part = self.engine.bucket.upload_part(&to.file.key, to.upload, number, body.clone(), crc);
            self.engine.slots.run(size, part)
        };
        let part = self.engine.must(self.cx, send).await?;
        self.sent(size);
        drop(ticket);
        Ok((part, hash))
    }
}
