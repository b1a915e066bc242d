#![allow(clippy::print_stdout, reason = "what cannot run says so")]

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::source::{FileSource as _, PathSource, ReadAt};

const MIB: usize = 1024 * 1024;
/// Of 8 MiB.
const PAGES: u64 = 2048;
/// How often it is looked whether the cache is as it should be.
const LOOKS: usize = 20;

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

/// What the code does to the cache it does every time, and the kernel what it likes at any time: it takes pages away that nobody used
/// for a moment, and leaves one that somebody else has locked. So one look that is as it should be is enough.
fn seen(look: impl Fn() -> Result<(), String>) {
    let odd: Vec<String> = (0..LOOKS).map_while(|_| look().err()).collect();
    assert!(odd.len() < LOOKS, "{odd:#?}");
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

/// Writes eight MiB so that they do not stay in the cache. The error says how many pages do.
fn write_uncached(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let file = File::create(path).unwrap();
    file.write_all_at(&[1], 0).unwrap();
    let uncached = Uncached::new(true);
    // The second half first, in two slices; a range of a restore comes in any order.
    for at in [4 * MIB, 0] {
        let slices = [io::IoSlice::new(&bytes[at..at + MIB]), io::IoSlice::new(&bytes[at + MIB..at + 4 * MIB])];
        assert_eq!(uncached.write(&file, &slices, at as u64).unwrap(), Some(4 * MIB));
    }
    file.sync_all().unwrap();
    match cached_pages(path) {
        Some(left) if left >= PAGES / 20 => Err(format!("{left} of {PAGES} pages are left in the cache")),
        _ => Ok(()),
    }
}

#[test]
fn what_was_written_uncached_is_there_and_not_in_the_cache() {
    let dir = on_disk();
    let path = dir.path().join("f");
    let bytes = bytes(8 * MIB);
    written(&path, b"x");
    if !knows_uncached(&path) {
        return;
    }
    seen(|| write_uncached(&path, &bytes));
    let file = File::open(&path).unwrap();
    assert!(read_whole(&file, MIB) == bytes);
    assert_eq!(Uncached::new(false).write(&file, &[io::IoSlice::new(b"x")], 0).unwrap(), None, "nobody wanted it");
}

/// Reads a file that is not cached and one that is, dirty at its end, beside a third that nobody reads. The error says what is
/// cached then.
fn read_two_of_three(dir: &Path) -> Result<(), String> {
    let [saved, hot, neighbour] = ["saved", "hot", "neighbour"].map(|name| dir.join(name));
    for path in [&saved, &hot, &neighbour] {
        written(path, &bytes(8 * MIB));
    }
    cool(&saved);
    // What is dirty and hot stays, too.
    let mut appended = File::options().append(true).open(&hot).unwrap();
    appended.write_all(&[7; 4096]).unwrap();
    for path in [&saved, &hot] {
        read_whole(&*PathSource::new(path).open().unwrap(), 4 * MIB);
    }
    let left = [&saved, &hot, &neighbour].map(|path| cached_pages(path).unwrap());
    if left[0] < PAGES / 20 && left[1] == PAGES + 1 && left[2] == PAGES {
        return Ok(());
    }
    Err(format!(
        "{} pages that were read, {} of {} hot ones, {} of {PAGES} of a neighbour",
        left[0],
        left[1],
        PAGES + 1,
        left[2]
    ))
}

#[test]
fn a_read_leaves_the_cache_as_it_was() {
    let dir = on_disk();
    let path = dir.path().join("neighbour");
    let keeps = || {
        written(&path, &bytes(8 * MIB));
        cached_pages(&path)
    };
    let Some(kept) = (0..LOOKS).map(|_| keeps()).find(|kept| kept.is_none_or(|kept| kept == PAGES)) else {
        println!("NOT RUN: this machine is too short of memory to keep 8 MiB cached");
        return;
    };
    if kept.is_some() && knows_uncached(&path) {
        seen(|| read_two_of_three(dir.path()));
    }
}
