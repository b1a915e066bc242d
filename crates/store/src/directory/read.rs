//! Reading objects.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use milepost_core::{Crc64Nvme, Crc64NvmeHasher};

use super::fault::{fault, invalid, not_found, says_absent};
use super::place::Place;
use super::{DirectoryBucket, Inner, etag, run};
use crate::bucket::{BucketError, BucketErrorKind, GetReply, ObjectMeta};

/// Bytes of one chunk of a body.
const CHUNK: u64 = 1024 * 1024;
/// Bytes that are hashed between two moments at which a dropped request ends.
const HASHED: u64 = 4 * 1024 * 1024;

struct Opened {
    file: File,
    meta: ObjectMeta,
    /// Its bytes, where the ETag is their hash.
    bytes: Option<Bytes>,
}

fn open(inner: &Inner, place: &Place) -> Result<Opened, BucketError> {
    let opened = place.folder(&inner.root).and_then(|folder| folder.open_file(&place.name)).and_then(|file| {
        let stat = rustix::fs::fstat(&file)?;
        let (etag, bytes) = etag::of_file(&file, &place.name, &stat)?;
        Ok((file, stat, etag, bytes))
    });
    let path = inner.file_path(place);
    match opened {
        Ok((file, stat, etag, bytes)) => {
            let age = inner.age(etag::written_at(&stat));
            let meta = ObjectMeta { size: etag::size(&stat), etag, crc64nvme: None, age };
            Ok(Opened { file, meta, bytes: bytes.map(Bytes::from) })
        }
        Err(error) if says_absent(&error) => Err(not_found(&place.key)),
        Err(error) if rustix::io::Errno::from_io_error(&error) == Some(rustix::io::Errno::LOOP) => {
            Err(invalid(format!("{} is a link; none is followed", path.display())))
        }
        Err(error) => Err(fault(error, "cannot read", &path)),
    }
}

pub(super) async fn get(
    bucket: &DirectoryBucket,
    place: Place,
    range: Option<Range<u64>>,
) -> Result<GetReply, BucketError> {
    let inner = Arc::clone(&bucket.inner);
    let (opened, place) = run(move || Ok((open(&inner, &place)?, place))).await?;
    let Opened { file, meta, bytes } = opened;
    let range = range.unwrap_or(0..meta.size);
    let range = range.start.min(meta.size)..range.end.min(meta.size);
    let body = if range.is_empty() {
        stream::empty().boxed()
    } else if let Some(bytes) = bytes {
        // The very bytes that the ETag names. They fit into a usize: they are in memory.
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = bytes.slice(at(range.start)..at(range.end));
        stream::once(async { Ok(bytes) }).boxed()
    } else {
        chunks(Arc::new(file), Arc::new(place), range)
    };
    Ok(GetReply { meta, body })
}

/// Reads `range` in chunks. A file that shrinks meanwhile, by a stranger's hand, ends the stream with an error.
fn chunks(file: Arc<File>, place: Arc<Place>, range: Range<u64>) -> BoxStream<'static, Result<Bytes, BucketError>> {
    stream::try_unfold(range.start, move |at| {
        let (file, place) = (Arc::clone(&file), Arc::clone(&place));
        let end = range.end;
        async move {
            if at >= end {
                return Ok(None);
            }
            let len = (end - at).min(CHUNK);
            let chunk = run(move || read(&file, &place, at, len)).await?;
            Ok(Some((Bytes::from(chunk), at + len)))
        }
    })
    .boxed()
}

fn read(file: &File, place: &Place, at: u64, len: u64) -> Result<Vec<u8>, BucketError> {
    let mut chunk = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    match file.read_exact_at(&mut chunk, at) {
        Ok(()) => Ok(chunk),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(BucketError::new(
            BucketErrorKind::Other,
            format!("{} was cut short while it was read: less than {} bytes are left", place.key, at + len),
        )
        .with_hint("something else than Milepost writes into the directory")),
        Err(error) => Err(fault(error, "cannot read", std::path::Path::new(place.key.as_str()))),
    }
}

pub(super) async fn head(bucket: &DirectoryBucket, place: Place) -> Result<ObjectMeta, BucketError> {
    let inner = Arc::clone(&bucket.inner);
    let (opened, place) = run(move || Ok((open(&inner, &place)?, place))).await?;
    let Opened { file, mut meta, bytes } = opened;
    meta.crc64nvme = Some(match bytes {
        Some(bytes) => Crc64Nvme::of(&bytes),
        None => hash(Arc::new(file), Arc::new(place), meta.size).await?,
    });
    Ok(meta)
}

/// The checksum of a whole file. Hashes in steps, so that a dropped request does not read on for minutes.
async fn hash(file: Arc<File>, place: Arc<Place>, size: u64) -> Result<Crc64Nvme, BucketError> {
    let (mut hasher, mut at) = (Crc64NvmeHasher::new(), 0);
    while at < size {
        let (file, place) = (Arc::clone(&file), Arc::clone(&place));
        let end = size.min(at + HASHED);
        hasher = run(move || {
            while at < end {
                let len = (end - at).min(CHUNK);
                hasher.update(&read(&file, &place, at, len)?);
                at += len;
            }
            Ok(hasher)
        })
        .await?;
        at = end;
    }
    Ok(hasher.finish())
}

/// The checksum of a part of a file; `None` where the file ends before it.
pub(super) fn checksum(file: &File, range: Range<u64>) -> io::Result<Option<Crc64Nvme>> {
    let mut hasher = Crc64NvmeHasher::new();
    let mut chunk = vec![0; usize::try_from(CHUNK.min(range.end - range.start)).map_err(io::Error::other)?];
    let mut at = range.start;
    while at < range.end {
        let len = usize::try_from((range.end - at).min(CHUNK)).map_err(io::Error::other)?;
        match file.read_exact_at(&mut chunk[..len], at) {
            Ok(()) => hasher.update(&chunk[..len]),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        at += len as u64;
    }
    Ok(Some(hasher.finish()))
}
