//! One file into the bucket: create-only, each byte read once, hashed and sent from the same buffer.
//!
//! A 412, a 409 or a lost reply on a content means "look": absent → send again; the same checksum → it is there; anything
//! else → the file fails by name, and nothing is ever replaced.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use milepost_core::{Crc64Nvme, DigestAlgorithm, FileRecord, FileSetKind, Hashes};

use super::content::{Content, Opened};
use super::plan::PlannedFile;
use super::progress::Notes;
use crate::bucket::{Bucket, BucketError, BucketErrorKind, ETag, Listed, PutMode, UploadId, under};
use crate::context::OpContext;
use crate::engine::Engine;
use crate::engine::retry::Tries;
use crate::error::{Error, Result};

/// A file that is in the bucket with the right bytes.
#[derive(Debug, Clone)]
pub(super) struct Confirmed {
    pub kind: FileSetKind,
    pub record: FileRecord,
    /// The ETag that the answering PUT, completion or HEAD named.
    pub etag: ETag,
    /// Did this call send it?
    pub sent: bool,
}

/// Why a file is not confirmed.
pub(super) enum Failure {
    /// This file alone: the others go on.
    File(String),
    /// Other bytes stand at this file's key: the others go on.
    Differs { expected: String, actual: String },
    /// The whole save.
    Save(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Save(error)
    }
}
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::File(error.to_string())
    }
}

pub(super) type Outcome<T> = std::result::Result<T, Failure>;

/// What all uploads of one attempt share.
pub(super) struct Uploads<'a, B: Bucket> {
    pub engine: &'a Arc<Engine<B>>,
    pub cx: &'a OpContext,
    pub digest: Option<DigestAlgorithm>,
    /// Does this attempt continue another's? Then its open uploads are continued, and a segment's shorter object sets the
    /// length.
    pub resume: bool,
    pub bytes_sent: AtomicU64,
    pub notes: &'a Notes,
    /// Uploads of this attempt that are neither completed nor aborted.
    pub open: std::sync::Mutex<Vec<(milepost_core::ObjectKey, UploadId)>>,
}

impl<B: Bucket> Uploads<'_, B> {
    /// Makes sure that the file is in the bucket.
    pub(super) async fn file(&self, file: &PlannedFile, listed: Option<&Listed>) -> Outcome<Confirmed> {
        let small = file.size <= self.engine.settings.multipart_threshold;
        let confirmed = if small && listed.is_none() {
            self.whole(file).await?
        } else {
            self.looked_at(file, small, listed).await?
        };
        self.cx.progress().add_file();
        Ok(confirmed)
    }

    /// The digest that is taken of a file: of a copied one, as it was taken when it was saved.
    pub(super) fn algorithm(&self, file: &PlannedFile) -> Option<DigestAlgorithm> {
        match file.content {
            Content::Local(_) => self.digest,
            Content::Stored(_) => file.known.and_then(|known| known.digest).map(|digest| digest.algorithm),
        }
    }

    /// A file that is opened once and read in several goes: a large one, or one whose key is taken.
    async fn looked_at(&self, file: &PlannedFile, small: bool, listed: Option<&Listed>) -> Outcome<Confirmed> {
        let unchanged = file.unchanged();
        let open = file.content.open(self.engine, unchanged).await?;
        let confirmed = match listed {
            Some(_) => self.existing(file, &open).await?,
            None => None,
        };
        let confirmed = match confirmed {
            Some(confirmed) => confirmed,
            None if small => self.whole(file).await?,
            None => self.in_parts(file, &open).await?,
        };
        if let (Some(unchanged), Opened::Local(open)) = (unchanged, open) {
            self.engine.files.run(move || unchanged.check(&*open)).await?;
        }
        Ok(confirmed)
    }

    pub(super) fn confirmed(&self, file: &PlannedFile, size: u64, hashes: Hashes, etag: ETag, sent: bool) -> Confirmed {
        let record = FileRecord { name: file.name.clone(), size, crc64nvme: hashes.crc, digest: hashes.digest };
        Confirmed { kind: file.kind, record, etag, sent }
    }

    /// Something is at the key already: is it this file? `None`: it has gone meanwhile.
    pub(super) async fn existing(&self, file: &PlannedFile, open: &Opened) -> Outcome<Option<Confirmed>> {
        let Some((meta, crc)) = self.engine.checksum_of(&file.key, self.cx).await? else { return Ok(None) };
        // A segment that grew since the earlier attempt took it: its first bytes are what was saved.
        let shorter = meta.size < file.size && file.may_shorten && self.resume;
        if meta.size != file.size && !shorter {
            return Err(other_bytes(format!("{} bytes", file.size), format!("{} bytes", meta.size)));
        }
        let hashes = match file.known {
            Some(known) if known.crc == crc && !shorter => known,
            _ => open.hash(self.engine, file, meta.size, self.algorithm(file), self.cx).await??,
        };
        if hashes.crc != crc {
            return Err(other_bytes(format!("{:?}", hashes.crc), format!("{crc:?}")));
        }
        self.cx.progress().add_bytes(meta.size);
        Ok(Some(self.confirmed(file, meta.size, hashes, meta.etag, false)))
    }

    /// After a 412, a 409 or a lost reply: the ETag of the object if it is this very content, `None` if nothing is there.
    pub(super) async fn look(&self, file: &PlannedFile, crc: Crc64Nvme) -> Outcome<Option<ETag>> {
        match self.engine.checksum_of(&file.key, self.cx).await? {
            None => Ok(None),
            Some((meta, found)) if meta.size == file.size && found == crc => Ok(Some(meta.etag)),
            Some((meta, found)) => {
                Err(other_bytes(format!("{} bytes, {crc:?}", file.size), format!("{} bytes, {found:?}", meta.size)))
            }
        }
    }

    /// A file in one request.
    async fn whole(&self, file: &PlannedFile) -> Outcome<Confirmed> {
        let ticket = self.engine.budget.ticket(file.size).await?;
        let (body, hashes, _ticket) = self.read_whole(file, ticket).await?;
        let mut tries = self.engine.tries();
        loop {
            self.pay(file.size).await?;
            let put = self.engine.bucket.put(&file.key, body.clone(), hashes.crc, PutMode::Create);
            match under(self.cx, self.engine.slots.run(file.size, put)).await? {
                Ok(etag) => {
                    self.sent(file.size);
                    return Ok(self.confirmed(file, file.size, hashes, etag, true));
                }
                Err(error) => {
                    if let Some(etag) = self.settle(file, hashes.crc, error, &mut tries).await? {
                        self.sent(file.size);
                        return Ok(self.confirmed(file, file.size, hashes, etag, true));
                    }
                }
            }
        }
    }

    /// What a failed create left: `Some`: the content is there; `None`: send again.
    async fn settle(
        &self,
        file: &PlannedFile,
        crc: Crc64Nvme,
        error: BucketError,
        tries: &mut Tries,
    ) -> Outcome<Option<ETag>> {
        if (error.kind == BucketErrorKind::Precondition || error.maybe_applied)
            && let Some(etag) = self.look(file, crc).await?
        {
            return Ok(Some(etag));
        }
        if error.kind == BucketErrorKind::Precondition || error.maybe_applied || error.is_transient() {
            tries.pause(error, self.cx).await?;
            return Ok(None);
        }
        Err(Failure::Save(Error::from(error)))
    }

    pub(super) async fn pay(&self, bytes: u64) -> Result<()> {
        self.cx
            .run(async {
                self.engine.rate.pay(bytes).await;
                Ok(())
            })
            .await
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.bytes_sent.fetch_add(bytes, Ordering::Relaxed);
        self.cx.progress().add_bytes(bytes);
    }

    pub(super) fn note_open(&self, file: &PlannedFile, upload: &UploadId, part_size: u64) {
        self.notes.upload(file, Some((upload, part_size)));
        let mut open = self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !open.iter().any(|(_, known)| known == upload) {
            open.push((file.key.clone(), upload.clone()));
        }
    }

    pub(super) fn note_closed(&self, upload: &UploadId) {
        self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner).retain(|(_, known)| known != upload);
    }

    /// Gives up an upload of a file that is there without it. What fails here, the next delete aborts.
    pub(super) async fn abort(&self, file: &PlannedFile, upload: &UploadId) {
        let aborted = self.engine.ask(self.cx, || self.engine.bucket.abort_upload(&file.key, upload)).await;
        match aborted {
            Ok(Ok(())) => self.note_closed(upload),
            Ok(Err(error)) => tracing::warn!(key = %file.key, %error, "an upload could not be aborted"),
            Err(error) => tracing::warn!(key = %file.key, %error, "an upload could not be aborted"),
        }
    }
}

fn other_bytes(expected: String, actual: String) -> Failure {
    Failure::Differs { expected, actual }
}
