//! Reads and writes that leave no pages behind in the page cache: `RWF_DONTCACHE` (Linux 6.14; ext4, XFS and others).
//!
//! What a read had to fetch from the disk is dropped behind it; what a write put there is written back at once, then dropped. Pages
//! that were in the cache before stay, dirty or not: others' hot pages are their own. No advice (`fadvise`) does that: it drops
//! hot pages too. Nor does `O_DIRECT`: it first writes back the dirty pages of what it reads, in the owner's time, and wants
//! everything aligned.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a file is read or written so. The first call finds out whether kernel and file system can; one that cannot is asked no
/// more, and the caller does it plainly.
#[derive(Debug)]
pub(crate) struct Uncached(AtomicBool);

impl Uncached {
    /// `wanted`: false for a file whose pages should stay.
    pub(crate) fn new(wanted: bool) -> Self {
        Self(AtomicBool::new(wanted && cfg!(target_os = "linux")))
    }

    /// Reads into a buffer from an offset; `None` where it is to be done plainly.
    ///
    /// # Errors
    /// Those of the read.
    pub(crate) fn read(&self, file: &File, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        self.tried(|| call::read(file, buf, offset))
    }

    /// Writes all of the slices, one behind the other, to an offset; plainly where it cannot be done so. A page of which only a part
    /// was written is read back from the disk by the next write to it: both ends should lie on a border of pages.
    ///
    /// # Errors
    /// Those of the write; what it wrote before one is there.
    pub(crate) fn write_all(&self, file: &File, mut slices: &mut [io::IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        // Empty ones at the front would make a finished write look like one that writes nothing.
        io::IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let written = match self.write(file, slices, offset) {
                Ok(None) => rustix::io::pwritev(file, slices, offset).map_err(io::Error::from),
                done => done.map(Option::unwrap_or_default),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    io::IoSlice::advance_slices(&mut slices, written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write(&self, file: &File, slices: &[io::IoSlice<'_>], offset: u64) -> io::Result<Option<usize>> {
        self.tried(|| call::write(file, slices, offset))
    }

    fn tried(&self, call: impl FnOnce() -> io::Result<Option<usize>>) -> io::Result<Option<usize>> {
        if !self.0.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let done = call()?;
        if done.is_none() {
            self.0.store(false, Ordering::Relaxed);
        }
        Ok(done)
    }
}

#[cfg(target_os = "linux")]
mod call {
    use std::fs::File;
    use std::io::{self, IoSlice, IoSliceMut};

    use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2};

    /// `RWF_DONTCACHE` (linux/fs.h); rustix does not name it yet.
    const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

    pub(super) fn read(file: &File, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        known(preadv2(file, &mut [IoSliceMut::new(buf)], offset, DONTCACHE))
    }

    pub(super) fn write(file: &File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<Option<usize>> {
        known(pwritev2(file, slices, offset, DONTCACHE))
    }

    fn known(result: rustix::io::Result<usize>) -> io::Result<Option<usize>> {
        match result {
            Ok(count) => Ok(Some(count)),
            // The file system lacks it, the kernel lacks the flag, or the call; a sandbox may also forbid the call.
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::PERM) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod call {
    use std::fs::File;
    use std::io::{self, IoSlice};

    pub(super) fn read(_: &File, _: &mut [u8], _: u64) -> io::Result<Option<usize>> {
        Ok(None)
    }

    pub(super) fn write(_: &File, _: &[IoSlice<'_>], _: u64) -> io::Result<Option<usize>> {
        Ok(None)
    }
}

#[cfg(test)]
#[path = "uncached_tests.rs"]
mod tests;
