//! Reading the broker's files: positional reads into pooled buffers, hashed where they were read, on the store's own threads.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use milepost_core::hashing::{Hasher, PartHash, PartHasher};
use milepost_core::{DigestAlgorithm, DigestHasher, Hashes, PartPlan};

use super::Engine;
use super::pool::Buffer;
use super::transfer::Ticket;
use crate::bucket::Bucket;
use crate::context::OpContext;
use crate::error::Result;
use crate::source::{FileSource, FileVersion, ReadAt};

/// Bytes of one call of read. Larger ones are no cheaper; smaller ones are when nothing is cached, by half: the kernel then
/// reads ahead in small pieces.
const READ: usize = 4 * 1024 * 1024;

/// Bytes that are read at once under a rate limit: a disk is done with them before a neighbour's sync notices.
const GENTLE: usize = 256 * 1024;

/// A part in memory, hashed.
pub(crate) struct ReadPart {
    /// Its bytes. The buffer goes back to the pool with the last clone.
    pub body: Bytes,
    /// Its share of the file's hashes.
    pub hash: PartHash,
    /// The digest in order, where it was given one to go on with.
    pub digest: Option<DigestHasher>,
    /// The room that the bytes take.
    pub ticket: Ticket,
}

/// What a snapshot file must be from the plan to its last read byte.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unchanged {
    pub size: u64,
    pub version: Option<FileVersion>,
}

impl Unchanged {
    /// # Errors
    /// Where the file is another than it was, and those of asking.
    pub(crate) fn check(&self, file: &dyn ReadAt) -> io::Result<()> {
        if file.len()? == self.size && file.version()? == self.version {
            return Ok(());
        }
        Err(io::Error::other("changed while it was saved; a snapshot file must not"))
    }
}

/// Reads the bytes from `start` into the buffer and shows them, in order, while they are warm; a file that ends earlier
/// shrank below its `planned` length, which the error tells.
fn read_exactly(
    file: &dyn ReadAt,
    start: u64,
    planned: u64,
    buffer: &mut [u8],
    mut see: impl FnMut(&[u8]),
) -> io::Result<()> {
    let len = buffer.len();
    let mut filled = 0;
    while filled < len {
        let offset = start + filled as u64;
        let end = len.min(filled + READ);
        match file.read_at(&mut buffer[filled..end], offset) {
            Ok(0) => {
                // Parts are read ahead: the file may end before the one that noticed it.
                let end = file.len().map_or(offset, |len| len.min(offset));
                let message = format!("shrank while it was read: ended at {end} of {planned} bytes");
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
            }
            Ok(count) => {
                let next = filled + count.min(end - filled);
                see(&buffer[filled..next]);
                filled = next;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl<B: Bucket> Engine<B> {
    /// A buffer for bytes whose ticket is held.
    pub(crate) fn buffer(&self, len: u64) -> io::Result<Buffer> {
        let len = usize::try_from(len)
            .map_err(|_| io::Error::new(io::ErrorKind::FileTooLarge, "is too large for this machine"))?;
        Ok(self.pool.take(len))
    }

    /// Opens, reads, hashes and closes a file of one part: all of it in one go, for most files are small.
    pub(crate) async fn read_whole(
        &self,
        source: Arc<dyn FileSource>,
        size: u64,
        unchanged: Option<Unchanged>,
        algorithm: Option<DigestAlgorithm>,
        ticket: Ticket,
    ) -> io::Result<(Bytes, Hashes, Ticket)> {
        let mut opened: Option<Box<dyn ReadAt>> = None;
        let work = (self.buffer(size)?, Hasher::new(algorithm), ticket);
        let read = self.in_pieces(size, work, move |(buffer, hasher, _), piece| {
            let check = |file: &dyn ReadAt| unchanged.map_or(Ok(()), |unchanged| unchanged.check(file));
            let file = match opened.take() {
                Some(file) => file,
                None => {
                    let file = source.open()?;
                    check(&*file)?;
                    file
                }
            };
            let last = piece.end as u64 == size;
            read_exactly(&*file, piece.start as u64, size, &mut buffer.as_mut()[piece], |bytes| hasher.update(bytes))?;
            if last {
                check(&*file)?;
            } else {
                opened = Some(file);
            }
            Ok(())
        });
        let (buffer, hasher, ticket) = read.await?;
        Ok((buffer.into_bytes(), hasher.finish(), ticket))
    }

    /// Reads and hashes one part; `digest` is given where the digest takes bytes in order, and goes on with this part.
    pub(crate) async fn read_part(
        &self,
        file: Arc<dyn ReadAt>,
        plan: PartPlan,
        number: u32,
        algorithm: Option<DigestAlgorithm>,
        digest: Option<DigestHasher>,
        ticket: Ticket,
    ) -> io::Result<ReadPart> {
        let Range { start, end } = plan.range(number);
        let work = (self.buffer(end - start)?, PartHasher::new(algorithm, &plan, number), digest, ticket);
        let read = self.in_pieces(end - start, work, move |(buffer, hasher, digest, _), piece| {
            let from = start + piece.start as u64;
            read_exactly(&*file, from, plan.len(), &mut buffer.as_mut()[piece], |bytes| {
                hasher.update(bytes);
                if let Some(digest) = digest {
                    digest.update(bytes);
                }
            })
        });
        let (buffer, hasher, digest, ticket) = read.await?;
        Ok(ReadPart { body: buffer.into_bytes(), hash: hasher.finish(), digest, ticket })
    }

    /// Runs `read` on a thread for files over all of `len` bytes: in one go, or piece by piece with pauses where there is a rate
    /// limit. A part that is read at the disk's full speed holds up whoever syncs beside it for as long, and who sets a limit asks
    /// not to be noticed. `work` goes with the thread: the ticket for its buffer is not given back while one still fills that.
    async fn in_pieces<T: Send + 'static>(
        &self,
        len: u64,
        mut work: T,
        mut read: impl FnMut(&mut T, Range<usize>) -> io::Result<()> + Send + 'static,
    ) -> io::Result<T> {
        let too_large = |_| io::Error::new(io::ErrorKind::FileTooLarge, "is too large for this machine");
        let len = usize::try_from(len).map_err(too_large)?;
        let most = if self.rate.is_limited() { GENTLE } else { len };
        let mut from = 0;
        loop {
            let to = len.min(from + most);
            let piece = self.files.run(move || {
                read(&mut work, from..to)?;
                Ok((work, read))
            });
            (work, read) = piece.await?;
            if to == len {
                return Ok(work);
            }
            self.rate.breathe((to - from) as u64).await;
            from = to;
        }
    }

    /// The hashes of the first `len` bytes of a local file, read once.
    pub(crate) async fn hash_local(
        &self,
        file: Arc<dyn ReadAt>,
        len: u64,
        algorithm: Option<DigestAlgorithm>,
        cx: &OpContext,
    ) -> Result<io::Result<Hashes>> {
        const STEP: u64 = READ as u64;
        let mut hasher = Hasher::new(algorithm);
        let mut offset = 0;
        while offset < len {
            cx.check()?;
            let take = STEP.min(len - offset);
            let ticket = self.budget.ticket(take).await?;
            let buffer = match self.buffer(take) {
                Ok(buffer) => buffer,
                Err(error) => return Ok(Err(error)),
            };
            let file = Arc::clone(&file);
            let hashed = self.in_pieces(take, (buffer, hasher, ticket), move |(buffer, hasher, _), piece| {
                let from = offset + piece.start as u64;
                read_exactly(&*file, from, len, &mut buffer.as_mut()[piece], |bytes| hasher.update(bytes))
            });
            hasher = match hashed.await {
                Ok((_, hasher, _)) => hasher,
                Err(error) => return Ok(Err(error)),
            };
            offset += take;
        }
        Ok(Ok(hasher.finish()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_file_is_an_error_that_says_where_it_ended() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10).unwrap();
        let mut seen = 0;
        read_exactly(&file, 2, 10, &mut [0; 8], |bytes| seen += bytes.len()).unwrap();
        assert_eq!(seen, 8);
        let error = read_exactly(&file, 0, 99, &mut [0; 11], |_| {}).unwrap_err();
        assert!(error.to_string().contains("ended at 10 of 99 bytes"), "{error}");
    }
}
