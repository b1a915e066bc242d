//! Where the bytes of a planned file come from: the broker's disk, or another store.
//!
//! Either way a ticket is held before bytes are read, they are hashed from the buffer that is sent, and they are read once. What
//! comes from another store must have the hashes that its metadata recorded, or nothing of it is kept here.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use milepost_core::hashing::{Hasher, PartHasher};
use milepost_core::parts::PartPlan;
use milepost_core::{DigestAlgorithm, DigestHasher, Hashes};

use super::plan::PlannedFile;
use super::upload::{Outcome, Uploads};
use crate::api::Exported;
use crate::bucket::Bucket;
use crate::context::OpContext;
use crate::engine::Engine;
use crate::engine::local::{ReadPart, Unchanged};
use crate::engine::pool::Buffer;
use crate::engine::transfer::Ticket;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::source::{FileSource, ReadAt};

/// Where a planned file's bytes come from.
#[derive(Clone)]
pub(super) enum Content {
    /// A file of the broker.
    Local(Arc<dyn FileSource>),
    /// A file of a committed backup in another store. What its metadata says of the bytes is known.
    Stored(Arc<dyn Exported>),
}

impl Content {
    /// Opens it; a local file must be as it was planned.
    pub(super) async fn open<B: Bucket>(&self, engine: &Engine<B>, unchanged: Option<Unchanged>) -> io::Result<Opened> {
        match self {
            Self::Local(source) => {
                let source = Arc::clone(source);
                let open = engine.files.run(move || {
                    let open: Arc<dyn ReadAt> = source.open()?.into();
                    unchanged.map_or(Ok(()), |unchanged| unchanged.check(&*open))?;
                    Ok(open)
                });
                open.await.map(Opened::Local)
            }
            Self::Stored(from) => Ok(Opened::Stored(Arc::clone(from))),
        }
    }
}

/// The same, opened once for several reads.
pub(super) enum Opened {
    Local(Arc<dyn ReadAt>),
    Stored(Arc<dyn Exported>),
}

impl Opened {
    /// The hashes of the first `len` bytes. Those of another store's file are on record.
    pub(super) async fn hash<B: Bucket>(
        &self,
        engine: &Engine<B>,
        file: &PlannedFile,
        len: u64,
        algorithm: Option<DigestAlgorithm>,
        cx: &OpContext,
    ) -> Result<io::Result<Hashes>> {
        match self {
            Self::Local(open) => engine.hash_local(Arc::clone(open), len, algorithm, cx).await,
            Self::Stored(_) => recorded(file).map(Ok),
        }
    }
}

fn recorded(file: &PlannedFile) -> Result<Hashes> {
    file.known.ok_or_else(|| Error::new(ErrorKind::Internal, format!("{} is copied without its hashes", file.label())))
}

/// Fills a buffer with what a store sends.
struct Filling<'a> {
    buffer: &'a mut [u8],
    filled: usize,
}

impl Filling<'_> {
    /// Takes a chunk and shows what of it fits.
    fn take(&mut self, chunk: &[u8], mut see: impl FnMut(&[u8])) {
        let end = self.buffer.len().min(self.filled + chunk.len());
        let into = &mut self.buffer[self.filled..end];
        let chunk = &chunk[..into.len()];
        into.copy_from_slice(chunk);
        see(chunk);
        self.filled = end;
    }
}

impl<B: Bucket> Uploads<'_, B> {
    /// A file of one request, read and hashed.
    pub(super) async fn read_whole(&self, file: &PlannedFile, ticket: Ticket) -> Outcome<(Bytes, Hashes, Ticket)> {
        let from = match &file.content {
            Content::Local(source) => {
                let source = Arc::clone(source);
                let read = self.engine.read_whole(source, file.size, file.unchanged(), self.digest, ticket);
                return Ok(read.await?);
            }
            Content::Stored(from) => from,
        };
        let mut hasher = Hasher::new(self.algorithm(file));
        let buffer = self.fetched(file, from, 0..file.size, |bytes| hasher.update(bytes)).await?;
        let hashes = hasher.finish();
        self.as_recorded(file, &hashes)?;
        Ok((buffer.into_bytes(), hashes, ticket))
    }

    /// One part of a larger file, read and hashed; `digest` is given where the digest takes bytes in order, and goes on.
    pub(super) async fn read(
        &self,
        file: &PlannedFile,
        open: &Opened,
        plan: PartPlan,
        number: u32,
        mut digest: Option<DigestHasher>,
    ) -> Outcome<ReadPart> {
        let range = plan.range(number);
        let ticket = self.engine.budget.ticket(range.end - range.start).await?;
        let algorithm = self.algorithm(file);
        let from = match open {
            Opened::Local(open) => {
                let read = self.engine.read_part(Arc::clone(open), plan, number, algorithm, digest, ticket);
                return Ok(read.await?);
            }
            Opened::Stored(from) => from,
        };
        let mut hasher = PartHasher::new(algorithm, &plan, number);
        let see = |bytes: &[u8]| {
            hasher.update(bytes);
            if let Some(digest) = &mut digest {
                digest.update(bytes);
            }
        };
        let buffer = self.fetched(file, from, range, see).await?;
        Ok(ReadPart { body: buffer.into_bytes(), hash: hasher.finish(), digest, ticket })
    }

    /// A range of another store's file, shown in order as it comes; the caller has the ticket.
    async fn fetched(
        &self,
        file: &PlannedFile,
        from: &Arc<dyn Exported>,
        range: Range<u64>,
        mut see: impl FnMut(&[u8]) + Send,
    ) -> Outcome<Buffer> {
        let expected = range.end - range.start;
        let mut buffer = self.engine.buffer(expected)?;
        let mut filling = Filling { buffer: buffer.as_mut(), filled: 0 };
        let mut sink = |chunk: &[u8]| filling.take(chunk, &mut see);
        from.read(file.kind, &file.name, range, &mut sink, self.cx).await?;
        if filling.filled as u64 != expected {
            let message = format!("{}: the source gave {} of {expected} bytes", file.label(), filling.filled);
            return Err(Error::new(ErrorKind::Internal, message).into());
        }
        Ok(buffer)
    }

    /// What was read from another store must have the hashes on record there: else it is damaged, there or on its way.
    pub(super) fn as_recorded(&self, file: &PlannedFile, hashes: &Hashes) -> Result<()> {
        let Content::Stored(from) = &file.content else { return Ok(()) };
        let known = recorded(file)?;
        let differ = if known.crc != hashes.crc {
            (format!("{:?}", known.crc), format!("{:?}", hashes.crc))
        } else if known.digest != hashes.digest {
            let shown = |digest: Option<milepost_core::Digest>| digest.map_or("none".to_owned(), |d| d.to_string());
            (shown(known.digest), shown(hashes.digest))
        } else {
            return Ok(());
        };
        let id = from.status().id;
        let key = format!("{id}/{}", file.label());
        Err(Error::integrity(key, differ.0, differ.1)
            .during(Operation::Export)
            .of(id)
            .with_hint("the source is damaged: copy another node's backup; `verify --level content` shows all damage"))
    }
}
