//! One file of a restore, on its way into staging.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::plan::slot;
use super::staging::Inner;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::Dir;
use crate::fs::crash::point;
use crate::fs::uncached::Uncached;

/// A file as [`super::Staging::file`] finds it.
#[derive(Debug)]
pub(crate) enum StagedFile {
    /// Verified and synced by this run or an earlier one.
    Done,
    /// To be written.
    Fresh(FileWriter),
}

/// Writes one file under a name of its own; [`FileWriter::finish`] gives it the final one. Dropped without that, the bytes
/// are removed; what a kill leaves, the next run removes.
#[derive(Debug)]
pub(crate) struct FileWriter {
    inner: Arc<Inner>,
    at: usize,
    file: File,
    /// The name below `parts/`; `None` once it was moved.
    part: Option<String>,
    folder: Dir,
    written: AtomicU64,
    uncached: Uncached,
}

impl FileWriter {
    pub(super) fn begin(inner: &Arc<Inner>, at: usize) -> io::Result<Self> {
        let planned = &inner.plan.files()[at];
        let mut folder = inner.sets[slot(planned.kind)].clone();
        let components: Vec<&str> = planned.name.components().collect();
        for component in components.iter().take(components.len() - 1) {
            folder = match folder.open_dir(component) {
                Ok(next) => next,
                // Not synced here: every folder is, once, at the end.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    point()?;
                    folder.make_dir(component)?.0
                }
                Err(error) => return Err(error),
            };
        }
        // A name per try: a writer that is still being dropped on another thread must not meet its successor.
        let part = format!("{at}-{}", inner.tries.fetch_add(1, Ordering::Relaxed));
        point()?;
        let file = inner.parts.create_new(&part)?;
        if planned.size >= RESERVED {
            reserve(&file, planned.size).inspect_err(|_| drop(inner.parts.remove_file(&part)))?;
        }
        let (written, uncached) = (AtomicU64::new(0), Uncached::new(planned.size >= UNCACHED));
        Ok(Self { inner: inner.clone(), at, file, part: Some(part), folder, written, uncached })
    }

    /// The file's length in bytes, as planned.
    pub(crate) fn size(&self) -> u64 {
        self.inner.plan.files()[self.at].size
    }

    /// Writes bytes at an offset; several threads may write different ranges, each byte once.
    ///
    /// # Errors
    /// Internal for bytes beyond the planned length; Target.
    #[cfg(test)]
    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.write_chunks(&[bytes], offset)
    }

    /// Writes chunks one behind the other, from an offset, without copying them together.
    ///
    /// # Errors
    /// As [`Self::write_at`].
    pub(crate) fn write_chunks(&self, chunks: &[impl AsRef<[u8]>], offset: u64) -> Result<()> {
        let len: u64 = chunks.iter().map(|chunk| chunk.as_ref().len() as u64).sum();
        if offset.checked_add(len).is_none_or(|end| end > self.size()) {
            let message = format!("{len} bytes at {offset} are beyond the {} of the file", self.size());
            return Err(Error::new(ErrorKind::Internal, message));
        }
        point().and_then(|()| self.write_all(chunks, offset)).map_err(|error| self.failed(error))?;
        self.written.fetch_add(len, Ordering::Relaxed);
        Ok(())
    }

    /// Syncs the bytes, which the caller has verified, and gives the file its final name.
    ///
    /// # Errors
    /// Internal where bytes are missing; Conflict where another process took the part; Target. The file is then not staged.
    pub(crate) fn finish(mut self) -> Result<()> {
        let written = self.written.load(Ordering::Relaxed);
        if written != self.size() {
            let message = format!("{written} bytes were written of a file of {}", self.size());
            return Err(Error::new(ErrorKind::Internal, message));
        }
        let Some(part) = self.part.clone() else { return Ok(()) };
        self.place(&part).map_err(|error| self.failed(error)).and_then(|placed| {
            if placed {
                return Ok(());
            }
            let message = format!("another process is restoring into {}", self.inner.path.display());
            Err(Error::new(ErrorKind::Conflict { owner: None }, message)
                .with_hint("wait until it ends, then run again"))
        })?;
        self.part = None;
        self.inner.done[self.at].store(true, Ordering::Release);
        Ok(())
    }

    /// False: the part is not the file that was written.
    fn place(&self, part: &str) -> io::Result<bool> {
        point()?;
        // Before the rename: presence under the final name is what the next run takes for "verified and synced".
        self.file.sync_all()?;
        let own = self.file.metadata()?;
        let found = match self.inner.parts.stat(part) {
            Ok(stat) => (stat.st_dev, stat.st_ino),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        // Where folders cannot be locked, another process may have swept the parts and made its own of this name.
        if (own.dev(), own.ino()) != found || own.len() != self.size() {
            return Ok(false);
        }
        point()?;
        let name = self.inner.plan.files()[self.at].name.components().next_back().unwrap_or_default();
        match self.inner.parts.rename_new(part, &self.folder, name) {
            // Two tries of one file ended well at the same time; both were verified.
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists && self.inner.done[self.at].load(Ordering::Acquire) =>
            {
                self.inner.parts.remove_file(part)?;
                Ok(true)
            }
            result => result.map(|()| true),
        }
    }

    fn write_all(&self, chunks: &[impl AsRef<[u8]>], mut offset: u64) -> io::Result<()> {
        for chunks in chunks.chunks(MOST_CHUNKS) {
            let mut slices: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk.as_ref())).collect();
            self.uncached.write_all(&self.file, &mut slices, offset)?;
            offset += chunks.iter().map(|chunk| chunk.as_ref().len() as u64).sum::<u64>();
        }
        Ok(())
    }

    fn failed(&self, error: io::Error) -> Error {
        let planned = &self.inner.plan.files()[self.at];
        self.inner.failed_at(planned.kind, planned.name.as_str(), error)
    }
}

/// Room for files from this length on is reserved when they are begun: it then lies in one piece, and a disk that is too full
/// is found out before the bytes are fetched. Smaller files are written in one go anyway.
const RESERVED: u64 = 4 * 1024 * 1024;
/// Files from this length on do not stay in the page cache: a restore of many gigabytes would drive out what others have there, for
/// bytes of which a broker reads the end at most. It is also cheaper: few pages are used again and again. Shorter ones, a snapshot's
/// above all, are what a broker reads first.
const UNCACHED: u64 = 64 * 1024 * 1024;
/// What the kernel takes at once (IOV_MAX).
const MOST_CHUNKS: usize = 1024;

fn reserve(file: &File, size: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, size) {
        // Some file systems cannot; then the room is found while writing.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        result => Ok(result?),
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if let Some(part) = self.part.take() {
            // A second try must not need the room twice. What cannot be removed, the next run removes.
            let _ = point().and_then(|()| self.inner.parts.remove_file(&part));
        }
    }
}
