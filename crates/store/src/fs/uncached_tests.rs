#![allow(clippy::print_stdout, reason = "what cannot run says so")]

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::source::{FileSource as _, PathSource, ReadAt};

const MIB: usize = 1024 * 1024;

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 4096) as u8).collect()
}

fn read_whole(file: &dyn ReadAt, step: usize) -> Vec<u8> {
    let mut out = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    let mut at = 0;
    while at < out.len() {
        let end = out.len().min(at + step);
        let count = file.read_at(&mut out[at..end], at as u64).unwrap();
        assert!(count > 0);
        at += count;
    }
    assert_eq!(file.read_at(&mut [0; 10], out.len() as u64).unwrap(), 0);
    out
}

/// Pages of a file in the page cache. None, with a word: nobody here can tell.
fn cached_pages(path: &Path) -> Option<u64> {
    let asked = Command::new("fincore").args(["--noheadings", "--raw", "--output", "PAGES"]).arg(path).output();
    let pages = asked
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8_lossy(&output.stdout).trim().parse().ok());
    if pages.is_none() {
        println!("NOT RUN: fincore (of util-linux) does not tell which pages of {} are cached", path.display());
    }
    pages
}

fn knows_uncached(path: &Path) -> bool {
    let known = Uncached::new(true).read(&File::open(path).unwrap(), &mut [0; 1], 0).unwrap().is_some();
    if !known {
        println!("NOT RUN: the kernel or the file system of {} has no uncached reads and writes", path.display());
    }
    known
}

/// Beside the build, on a disk: temporary folders are often in memory.
fn on_disk() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap()
}

fn written(path: &Path, bytes: &[u8]) {
    let mut file = File::create(path).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
}

/// Drops the clean pages of a file, which only its own test has.
fn cool(path: &Path) {
    rustix::fs::fadvise(File::open(path).unwrap(), 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

#[test]
fn every_way_of_reading_gives_the_same_bytes() {
    let dir = on_disk();
    let path = dir.path().join("f");
    let bytes = bytes(3 * MIB + 77);
    written(&path, &bytes);
    let uncached = PathSource::new(&path).open().unwrap();
    let plain = File::open(&path).unwrap();
    for step in [4096, 100_001, 4 * MIB] {
        assert!(read_whole(&*uncached, step) == bytes);
        assert!(read_whole(&plain, step) == bytes);
    }
    assert_eq!(uncached.version().unwrap(), ReadAt::version(&plain).unwrap());
}

/// procfs refuses the flag, as tmpfs does: the same file is read plainly from then on.
#[test]
#[cfg(target_os = "linux")]
fn a_file_system_that_cannot_is_asked_once() {
    let (file, uncached) = (File::open("/proc/self/stat").unwrap(), Uncached::new(true));
    assert_eq!(uncached.read(&file, &mut [0; 64], 0).unwrap(), None);
    assert!(!uncached.0.load(Ordering::Relaxed));
    let read = PathSource::new("/proc/self/stat").open().unwrap().read_at(&mut [0; 64], 0).unwrap();
    assert!(read > 0);
}

#[test]
fn what_was_written_uncached_is_there_and_not_in_the_cache() {
    let dir = on_disk();
    let path = dir.path().join("f");
    let (bytes, file) = (bytes(8 * MIB), File::create(&path).unwrap());
    file.write_all_at(&[1], 0).unwrap();
    if !knows_uncached(&path) {
        return;
    }
    let uncached = Uncached::new(true);
    // The second half first, in two slices; a range of a restore comes in any order.
    for at in [4 * MIB, 0] {
        let slices = [io::IoSlice::new(&bytes[at..at + MIB]), io::IoSlice::new(&bytes[at + MIB..at + 4 * MIB])];
        assert_eq!(uncached.write(&file, &slices, at as u64).unwrap(), Some(4 * MIB));
    }
    file.sync_all().unwrap();
    if let Some(left) = cached_pages(&path) {
        assert!(left < 100, "{left} of 2048 pages are left in the cache");
    }
    assert!(read_whole(&File::open(&path).unwrap(), MIB) == bytes);
    assert_eq!(Uncached::new(false).write(&file, &[io::IoSlice::new(b"x")], 0).unwrap(), None, "nobody wanted it");
}

#[test]
fn a_read_leaves_the_cache_as_it_was() {
    let dir = on_disk();
    let [saved, hot, neighbour] = ["saved", "hot", "neighbour"].map(|name| dir.path().join(name));
    for path in [&saved, &hot, &neighbour] {
        written(path, &bytes(8 * MIB));
    }
    let pages = (8 * MIB / 4096) as u64;
    if !knows_uncached(&saved) {
        return;
    }
    let Some(before) = cached_pages(&neighbour) else { return };
    if before < pages {
        println!("NOT RUN: this machine is too short of memory to keep 8 MiB cached");
        return;
    }
    cool(&saved);
    // What is dirty and hot stays, too.
    let mut appended = File::options().append(true).open(&hot).unwrap();
    appended.write_all(&[7; 4096]).unwrap();
    for path in [&saved, &hot] {
        read_whole(&*PathSource::new(path).open().unwrap(), 4 * MIB);
    }
    let left = cached_pages(&saved).unwrap();
    assert!(left < pages / 20, "{left} of {pages} pages of the saved file are left in the cache");
    let hot_pages = cached_pages(&hot).unwrap();
    assert!(hot_pages > pages, "{hot_pages} of {} hot pages are left", pages + 1);
    assert_eq!(cached_pages(&neighbour).unwrap(), before, "pages of a file that nobody read");
}
