//! Fetching files into staging: several at once, a large one in ranges; hashed and written by the store's own threads while
//! the next bytes arrive, verified before they get their names, synced by a few threads as they finish.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use milepost_core::hashing::{Hasher, PartHash, PartHasher, any_order, join};
use milepost_core::{
    BackupId, DigestAlgorithm, FileRecord, FileSetKind, Hashes, MetadataDocument, ObjectKey, PartPlan,
};

use crate::api::RestoreCheck;
use crate::bucket::Bucket;
use crate::context::OpContext;
use crate::engine::Engine;
use crate::engine::lanes::Lanes;
use crate::engine::verify::differing;
use crate::error::{Error, ErrorKind, Result};
use crate::target::{FileWriter, StagedFile, Staging};

const MIB: u64 = 1024 * 1024;
/// Files up to this length are fetched by one request.
const ONE_GET: u64 = 64 * MIB;
/// The ranges of longer ones: long enough that requests cost nothing, short enough that the last ones end together. A power
/// of two: subtrees of BLAKE3.
const RANGE: u64 = 32 * MIB;
/// Bytes that are gathered for one write: chunks of a body may be as small as a network packet.
const WRITE: u64 = MIB;
/// What a request has in memory: bytes that are being written, and those that arrive meanwhile.
const IN_MEMORY: u64 = 2 * WRITE;

/// What helps where a content is damaged.
const OTHER_COPY: &str = "restore another node's copy; `verify --level content` shows all damage of this one";

/// What the files of one restore share.
pub(super) struct Fetching<'a, B: Bucket> {
    engine: &'a Arc<Engine<B>>,
    id: BackupId,
    staging: &'a Staging,
    check: RestoreCheck,
    cx: &'a OpContext,
    files_fetched: AtomicU64,
    bytes_fetched: AtomicU64,
}

/// One file on its way.
struct File {
    kind: FileSetKind,
    record: FileRecord,
    key: ObjectKey,
    plan: PartPlan,
    /// Made by the first range that needs it.
    writer: tokio::sync::Mutex<Option<Arc<FileWriter>>>,
    /// Of the ranges that are written.
    hashes: Mutex<Vec<PartHash>>,
}

/// The ranges of one file.
struct Ranges {
    file: Option<Arc<File>>,
    number: u32,
}

impl Iterator for Ranges {
    type Item = (Arc<File>, u32);

    fn next(&mut self) -> Option<Self::Item> {
        let file = self.file.as_ref().filter(|file| self.number < file.plan.count())?;
        self.number += 1;
        Some((Arc::clone(file), self.number))
    }
}

impl<'a, B: Bucket> Fetching<'a, B> {
    pub(super) fn new(
        engine: &'a Arc<Engine<B>>,
        id: BackupId,
        staging: &'a Staging,
        check: RestoreCheck,
        cx: &'a OpContext,
    ) -> Self {
        let (files_fetched, bytes_fetched) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { engine, id, staging, check, cx, files_fetched, bytes_fetched }
    }

    /// Files and bytes that were fetched by this run.
    pub(super) fn fetched(&self) -> (u64, u64) {
        (self.files_fetched.load(Ordering::Relaxed), self.bytes_fetched.load(Ordering::Relaxed))
    }

    /// Fetches everything that is not staged yet.
    pub(super) async fn all(&self, document: &MetadataDocument) -> Result<()> {
        // Each record is copied when its turn comes: of 300,000 there may be.
        let (snapshots, segments) = (document.files(FileSetKind::Snapshots), document.files(FileSetKind::Segments));
        let ranges = (0..snapshots.len() + segments.len()).flat_map(|at| match snapshots.get(at) {
            Some(record) => self.ranges(FileSetKind::Snapshots, record.clone()),
            None => self.ranges(FileSetKind::Segments, segments[at - snapshots.len()].clone()),
        });
        // More than there are slots: those behind the last byte wait for a disk and not for the network.
        let window = 2 * self.engine.settings.concurrency + 4;
        let mut fetches =
            futures::stream::iter(ranges).map(|(file, number)| self.range(file, number)).buffer_unordered(window);
        while let Some(fetched) = fetches.next().await {
            fetched?;
        }
        Ok(())
    }

    /// The ranges of a file that is not staged yet. Of a file that is, none.
    fn ranges(&self, kind: FileSetKind, record: FileRecord) -> Ranges {
        let file = if self.staging.is_done(kind, record.name.as_str()) {
            self.cx.progress().add_file();
            self.cx.progress().add_bytes(record.size);
            None
        } else {
            let key = self.engine.layout.file(self.id, kind, &record.name);
            let plan = self.plan(&record);
            let (writer, hashes) = (tokio::sync::Mutex::default(), Mutex::default());
            Some(Arc::new(File { kind, record, key, plan, writer, hashes }))
        };
        Ranges { file, number: 0 }
    }

    fn algorithm(&self, record: &FileRecord) -> Option<DigestAlgorithm> {
        match self.check {
            RestoreCheck::Digest => record.digest.map(|digest| digest.algorithm),
            RestoreCheck::Size => None,
        }
    }

    fn plan(&self, record: &FileRecord) -> PartPlan {
        let whole = PartPlan::whole(record.size);
        if record.size <= ONE_GET {
            return whole;
        }
        match PartPlan::new(record.size, RANGE, RANGE, u64::MAX, u32::MAX) {
            Ok(plan) if any_order(self.algorithm(record), &plan) => plan,
            // A digest that takes bytes in order.
            _ => whole,
        }
    }

    async fn range(&self, file: Arc<File>, number: u32) -> Result<()> {
        self.cx.check()?;
        let size = file.record.size;
        let ticket = self.engine.budget.ticket(IN_MEMORY.min(size)).await?;
        if size <= WRITE {
            self.small(&file).await?;
        } else {
            let hash = self.streamed(&file, number).await?;
            drop(ticket);
            let hashes = {
                let mut hashes = file.hashes.lock().unwrap_or_else(PoisonError::into_inner);
                hashes.push(hash);
                if hashes.len() < file.plan.count() as usize {
                    return Ok(());
                }
                std::mem::take(&mut *hashes)
            };
            // The last range to end ends the file.
            self.finish(&file, hashes).await?;
        }
        self.files_fetched.fetch_add(1, Ordering::Relaxed);
        self.bytes_fetched.fetch_add(size, Ordering::Relaxed);
        self.cx.progress().add_file();
        Ok(())
    }

    /// A small file: fetched whole, then hashed, written, synced and named in one go.
    async fn small(&self, file: &File) -> Result<()> {
        let size = file.record.size;
        let slot = self.engine.slots.take().await;
        let mut body = self.engine.fetch(file.key.clone(), 0..size, self.cx);
        let chunks = self.gather(file, &mut body, &mut Bytes::new(), size).await?;
        drop(body);
        slot.moved(size);
        drop(slot);
        let (staging, kind, name) = (self.staging.clone(), file.kind, file.record.name.clone());
        let (algorithm, record) = (self.algorithm(&file.record), file.record.clone());
        let work = move || {
            let mut hasher = Hasher::new(algorithm);
            chunks.iter().for_each(|chunk| hasher.update(chunk));
            let hashes = hasher.finish();
            if differing(&record, &hashes).is_none()
                && let StagedFile::Fresh(writer) = staging.file(kind, name.as_str())?
            {
                writer.write_chunks(&chunks, 0)?;
                writer.finish()?;
            }
            Ok(hashes)
        };
        let hashes = on(&self.engine.syncs, work).await?;
        verified(file, &hashes)?;
        self.cx.progress().add_bytes(size);
        Ok(())
    }

    /// A range, written and hashed while its next bytes arrive.
    async fn streamed(&self, file: &File, number: u32) -> Result<PartHash> {
        let range = file.plan.range(number);
        let writer = self.writer(file).await?;
        let slot = self.engine.slots.take().await;
        let mut hasher = PartHasher::new(self.algorithm(&file.record), &file.plan, number);
        let mut body = self.engine.fetch(file.key.clone(), range.clone(), self.cx);
        let mut rest = Bytes::new();
        let (mut offset, mut chunks) = (range.start, self.gather(file, &mut body, &mut rest, WRITE).await?);
        while !chunks.is_empty() {
            let len: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
            let (writer, at) = (Arc::clone(&writer), offset);
            let written = on(&self.engine.files, move || {
                chunks.iter().for_each(|chunk| hasher.update(chunk));
                writer.write_chunks(&chunks, at)?;
                Ok(hasher)
            });
            (chunks, hasher) =
                futures::future::try_join(self.gather(file, &mut body, &mut rest, WRITE), written).await?;
            offset += len;
            slot.moved(len);
            self.cx.progress().add_bytes(len);
        }
        Ok(hasher.finish())
    }

    /// The next chunks of a body: `enough` bytes of them, less only at its end, none behind it. What came beyond is the `rest`, for
    /// the next call: so writes end on borders of pages, and no page is touched by two.
    async fn gather(
        &self,
        file: &File,
        body: &mut BoxStream<'static, Result<Bytes>>,
        rest: &mut Bytes,
        enough: u64,
    ) -> Result<Vec<Bytes>> {
        let (mut chunks, mut held) = (Vec::new(), 0);
        while held < enough {
            let mut chunk = match std::mem::take(rest) {
                left if !left.is_empty() => left,
                _ => match body.next().await {
                    Some(chunk) => chunk.map_err(|error| {
                        let damaged = matches!(error.kind(), ErrorKind::NotFound);
                        let error = error.of_a_content(file.key.as_str(), &format!("{} bytes", file.record.size));
                        if damaged { error.with_hint(OTHER_COPY) } else { error }
                    })?,
                    None => break,
                },
            };
            let room = usize::try_from(enough - held).unwrap_or(usize::MAX);
            *rest = chunk.split_off(chunk.len().min(room));
            held += chunk.len() as u64;
            chunks.push(chunk);
        }
        Ok(chunks)
    }

    async fn writer(&self, file: &File) -> Result<Arc<FileWriter>> {
        let mut writer = file.writer.lock().await;
        if let Some(writer) = &*writer {
            return Ok(Arc::clone(writer));
        }
        let (staging, kind, name) = (self.staging.clone(), file.kind, file.record.name.clone());
        match on(&self.engine.files, move || staging.file(kind, name.as_str())).await? {
            StagedFile::Fresh(made) => Ok(Arc::clone(writer.insert(Arc::new(made)))),
            StagedFile::Done => Err(Error::new(ErrorKind::Internal, format!("{} was staged twice", file.key))),
        }
    }

    /// Verifies a file of which every range is written, then gives it its name.
    async fn finish(&self, file: &File, hashes: Vec<PartHash>) -> Result<()> {
        let broken = |what: String| Error::new(ErrorKind::Internal, format!("{}: {what}", file.key));
        let hashes = join(&file.plan, hashes, None).map_err(|error| broken(error.to_string()))?;
        verified(file, &hashes)?;
        // Nobody else has it: a range gives its hash when it is done with the writer.
        let writer = file.writer.lock().await.take().and_then(Arc::into_inner);
        let writer = writer.ok_or_else(|| broken("is still being written".to_owned()))?;
        on(&self.engine.syncs, move || writer.finish()).await
    }
}

fn verified(file: &File, hashes: &Hashes) -> Result<()> {
    match differing(&file.record, hashes) {
        None => Ok(()),
        Some((expected, actual)) => Err(Error::integrity(file.key.as_str(), expected, actual).with_hint(OTHER_COPY)),
    }
}

/// Runs calls on local files on threads for them.
async fn on<T: Send + 'static>(lanes: &Lanes, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match lanes.run(move || Ok(work())).await {
        Ok(result) => result,
        Err(error) => Err(Error::new(ErrorKind::Internal, error.to_string())),
    }
}
