use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use milepost_core::{Crc64Nvme, ObjectKey};
use milepost_store::bucket::{ListPage, ListRequest, PutMode};
use milepost_store::env::{FixedClock, SeededRandom};
use milepost_store::{Bucket as _, BucketError, DirectoryBucket, ETag, Env};
use tempfile::TempDir;

pub(crate) fn env() -> Env {
    Env {
        clock: Arc::new(FixedClock::new("2026-11-21T10:00:00Z".parse().unwrap())),
        // Every bucket of a test draws the same names: collisions must not matter.
        random: Arc::new(SeededRandom::new(7)),
        host: "host".to_owned(),
        pid: 1,
        threads: milepost_store::env::Threads::Runtime,
    }
}

pub(crate) fn open(root: &Path) -> DirectoryBucket {
    DirectoryBucket::open(root, env()).unwrap()
}

pub(crate) fn bucket() -> (TempDir, DirectoryBucket) {
    let root = tempfile::tempdir().unwrap();
    let bucket = open(root.path());
    (root, bucket)
}

pub(crate) fn key(key: &str) -> ObjectKey {
    ObjectKey::new(key).unwrap()
}

pub(crate) async fn put(
    bucket: &DirectoryBucket,
    name: &str,
    body: impl Into<Bytes>,
    mode: PutMode,
) -> Result<ETag, BucketError> {
    let body = body.into();
    let crc = Crc64Nvme::of(&body);
    bucket.put(&key(name), body, crc, mode).await
}

pub(crate) async fn create(bucket: &DirectoryBucket, name: &str, body: impl Into<Bytes>) -> ETag {
    put(bucket, name, body, PutMode::Create).await.unwrap()
}

pub(crate) async fn read(
    bucket: &DirectoryBucket,
    name: &str,
    range: Option<std::ops::Range<u64>>,
) -> Result<Vec<u8>, BucketError> {
    let chunks: Vec<Bytes> = bucket.get(&key(name), range).await?.body.try_collect().await?;
    assert!(chunks.iter().all(|chunk| chunk.len() <= 1024 * 1024));
    Ok(chunks.concat())
}

pub(crate) async fn page(bucket: &DirectoryBucket, request: ListRequest) -> ListPage {
    bucket.list(request).await.unwrap()
}

/// All keys and folders, in the order of the pages, with pages of `limit`.
pub(crate) async fn names(bucket: &DirectoryBucket, prefix: &str, delimiter: bool, limit: usize) -> Vec<String> {
    let mut request = ListRequest { delimiter, limit, ..ListRequest::all(prefix) };
    let mut all = Vec::new();
    loop {
        let page = page(bucket, request.clone()).await;
        let mut names: Vec<String> = page.objects.iter().map(|object| object.key.clone()).collect();
        assert!(names.is_sorted() && page.folders.is_sorted());
        names.extend(page.folders);
        names.sort();
        assert!(names.len() <= limit);
        assert!(page.next.is_none() || names.len() == limit);
        all.extend(names);
        match page.next {
            Some(next) => request.page = Some(next),
            None => break,
        }
    }
    assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
    all
}

/// What `.milepost/tmp` holds, the empty temp folders of living handles left out.
pub(crate) fn temp_files(root: &Path) -> Vec<std::ffi::OsString> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root.join(".milepost/tmp")).unwrap() {
        let entry = entry.unwrap();
        match std::fs::read_dir(entry.path()) {
            Ok(inside) => found.extend(inside.map(|inside| inside.unwrap().file_name())),
            Err(_) => found.push(entry.file_name()),
        }
    }
    found
}

/// Says on the real stderr, which no test harness hides, that a test could not run.
pub(crate) fn not_run(why: &str) {
    use std::io::Write as _;
    std::io::stderr().write_all(format!("\nNOT RUN: {why}\n").as_bytes()).unwrap();
}

/// A tmpfs of `size`, unmounted when dropped; `None`, loudly, where mounting is not allowed.
pub(crate) struct Tmpfs(pub(crate) TempDir);

impl Tmpfs {
    pub(crate) fn mount(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "milepost-test"])
            .arg(dir.path())
            .output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            not_run("mounting a small tmpfs is not allowed here");
            return None;
        }
        Some(Self(dir))
    }

    /// Tries again where a file is still open for writing: by a program that another test is starting, which has a copy of every
    /// handle from its fork to its exec.
    #[allow(clippy::disallowed_methods, reason = "another process takes real time")]
    pub(crate) fn remount(&self, options: &str) {
        let mount = || {
            let options = format!("remount,{options}");
            std::process::Command::new("mount").args(["-o", &options]).arg(self.0.path()).output().unwrap()
        };
        let mut done = mount();
        for _ in 0..100 {
            if done.status.success() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
            done = mount();
        }
        assert!(done.status.success(), "cannot remount: {done:?}");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
