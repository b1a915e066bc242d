//! The broker's files, as the engine reads them.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use milepost_core::FileName;

use crate::fs::uncached::Uncached;

/// One file to be saved.
#[derive(Clone)]
pub struct FileEntry {
    /// Its name in the backup.
    pub name: FileName,
    /// Where its bytes are.
    pub source: Arc<dyn FileSource>,
    /// How many of them to save: a broker's durable length of a log. `None`: the length when the save begins.
    pub len: Option<u64>,
}

impl FileEntry {
    /// A file on disk, saved at its length when the save begins.
    #[must_use]
    pub fn from_path(name: FileName, path: impl Into<PathBuf>) -> Self {
        Self { name, source: Arc::new(PathSource::new(path)), len: None }
    }
}

impl fmt::Debug for FileEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileEntry").field("name", &self.name).field("len", &self.len).finish_non_exhaustive()
    }
}

/// The files of one set, in any order. May be empty.
pub type FileSet = Vec<FileEntry>;

/// A file that can be opened when its turn comes: never are thousands open at once.
///
/// Both calls run on a thread that may block.
pub trait FileSource: Send + Sync {
    /// Opens the file for reading.
    ///
    /// # Errors
    /// Whatever the operating system says; the save names the file and goes on with the others, then fails.
    fn open(&self) -> io::Result<Box<dyn ReadAt>>;
}

/// An open file.
#[expect(clippy::len_without_is_empty, reason = "a length that can fail; emptiness is of no interest")]
pub trait ReadAt: Send + Sync {
    /// Its length now, in bytes.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn len(&self) -> io::Result<u64>;

    /// Reads up to `buf.len()` bytes at `offset`; 0 at the end of the file.
    ///
    /// # Errors
    /// Whatever the operating system says. `Interrupted` is tried again.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// What tells one content of the file from another, where the source knows: a snapshot file whose version differs
    /// between the plan and the end of reading fails the save.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn version(&self) -> io::Result<Option<FileVersion>> {
        Ok(None)
    }
}

/// A fingerprint of a file's identity and last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileVersion {
    /// Device and inode, or what stands for them.
    pub identity: (u64, u64),
    /// The last change, in nanoseconds since the epoch.
    pub modified_ns: i128,
}

/// A regular file, by path. A link as the last component is not followed; a folder, pipe or device is refused.
#[derive(Debug, Clone)]
pub struct PathSource {
    path: PathBuf,
}

impl PathSource {
    /// The file at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl FileSource for PathSource {
    fn open(&self) -> io::Result<Box<dyn ReadAt>> {
        // Without NONBLOCK, opening a pipe that somebody planted would wait for ever.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
        let file = File::options().read(true).custom_flags(flags.bits() as i32).open(&self.path).map_err(|error| {
            if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
                io::Error::new(io::ErrorKind::InvalidInput, "is a symbolic link, not a regular file")
            } else {
                error
            }
        })?;
        let kind = file.metadata()?.file_type();
        if kind.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder, not a regular file"));
        }
        if !kind.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file"));
        }
        Ok(Box::new(PathFile { file, uncached: Uncached::new(true) }))
    }
}

/// A file of a [`PathSource`], whose pages a save does not leave in the page cache.
///
/// What a read had to fetch from the disk is dropped behind it, and what was in the cache before stays, dirty or not: a broker's
/// hot pages are its own. Where that cannot be had, it is read plainly.
#[derive(Debug)]
struct PathFile {
    file: File,
    uncached: Uncached,
}

impl ReadAt for PathFile {
    fn len(&self) -> io::Result<u64> {
        ReadAt::len(&self.file)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.uncached.read(&self.file, buf, offset)? {
            Some(count) => Ok(count),
            None => ReadAt::read_at(&self.file, buf, offset),
        }
    }

    fn version(&self) -> io::Result<Option<FileVersion>> {
        ReadAt::version(&self.file)
    }
}

impl ReadAt for File {
    fn len(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buf, offset)
    }

    fn version(&self) -> io::Result<Option<FileVersion>> {
        let metadata = self.metadata()?;
        Ok(Some(FileVersion {
            identity: (metadata.dev(), metadata.ino()),
            modified_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        }))
    }
}
