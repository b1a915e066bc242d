//! ETags of files.
//!
//! A document is small and its ETag is the hash of its bytes: whoever replaces it has seen these very bytes. A content may
//! be a hundred gigabytes, and a listing must not read it: its ETag is inode, size and time of change. Which of the two
//! holds is decided by name and size alone, so put, head, get and list always agree.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use milepost_core::{DigestAlgorithm, DigestHasher};
use rustix::fs::{Stat, Timespec, Timestamps, UTIME_OMIT};

use crate::bucket::ETag;

/// Files ending in `.json` up to this size are known by the hash of their bytes.
pub(super) const HASHED_MAX: u64 = 1024 * 1024;

/// Is a file of this name and size known by the hash of its bytes?
pub(super) fn is_hashed(name: &str, size: u64) -> bool {
    size <= HASHED_MAX && name.ends_with(".json")
}

pub(super) fn of_bytes(bytes: &[u8]) -> ETag {
    let mut hasher = DigestHasher::new(DigestAlgorithm::Blake3);
    hasher.update(bytes);
    ETag(hasher.finish().to_string())
}

/// The size as the trait counts it. No regular file has a negative one.
pub(super) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}

/// When the file was last written, by the clock of its file system. Times before 1970 count as 1970.
pub(super) fn written_at(stat: &Stat) -> Duration {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or_default();
    Duration::new(seconds, u32::try_from(stat.st_mtime_nsec).unwrap_or_default().min(999_999_999))
}

pub(super) fn of_stat(stat: &Stat) -> ETag {
    ETag(format!("{:x}-{:x}-{:x}", stat.st_ino, size(stat), written_at(stat).as_nanos()))
}

/// The ETag of an open file, and its bytes where they had to be read for it.
pub(super) fn of_file(file: &File, name: &str, stat: &Stat) -> io::Result<(ETag, Option<Vec<u8>>)> {
    let size = size(stat);
    if !is_hashed(name, size) {
        return Ok((of_stat(stat), None));
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok((of_bytes(&bytes), Some(bytes)))
}

/// Gives a file that is not yet published a time of change that no other file of the same inode number has had.
///
/// The kernel stamps files with a clock that ticks every few milliseconds, and a freed inode number is given out again at
/// once: without this, a file replaced twice within a tick could carry the ETag of the first. The time moves back by less
/// than a second, never into the future. Where the file system refuses, or keeps whole seconds, nothing is lost but this.
pub(super) fn stamp(file: &File, random: u64) -> io::Result<()> {
    let stat = rustix::fs::fstat(file)?;
    let nanoseconds = u64::from(written_at(&stat).subsec_nanos());
    let last_modification =
        Timespec { tv_sec: stat.st_mtime, tv_nsec: i64::try_from(random % (nanoseconds + 1)).unwrap_or_default() };
    let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let _ = rustix::fs::futimens(file, &Timestamps { last_access, last_modification });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_size_alone_decide_the_form() {
        assert!(is_hashed("status.json", 0) && is_hashed("x.json", HASHED_MAX));
        assert!(!is_hashed("x.json", HASHED_MAX + 1) && !is_hashed("x.json.sig", 1) && !is_hashed("json", 1));
    }

    #[test]
    fn stamps_never_lie_in_the_future_and_differ() {
        let file = tempfile::tempfile().unwrap();
        let before = written_at(&rustix::fs::fstat(&file).unwrap());
        stamp(&file, 12_345_678_901).unwrap();
        let after = written_at(&rustix::fs::fstat(&file).unwrap());
        assert!(after <= before && before - after < Duration::from_secs(1));
        let first = of_stat(&rustix::fs::fstat(&file).unwrap());
        stamp(&file, 0).unwrap();
        assert!(after.subsec_nanos() == 0 || first != of_stat(&rustix::fs::fstat(&file).unwrap()));
    }
}
