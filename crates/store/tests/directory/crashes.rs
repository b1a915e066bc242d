//! What a crash leaves, and disks that are full or read-only.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use milepost_core::Crc64Nvme;
use milepost_store::bucket::{ListRequest, PutMode, UploadQuery};
use milepost_store::{Bucket as _, BucketErrorKind as K};
use tokio::time::Instant;

use crate::common::*;

fn age(path: &Path, by: Duration) {
    let file = std::fs::File::open(path).unwrap();
    file.set_modified(file.metadata().unwrap().modified().unwrap() - by).unwrap();
}

#[tokio::test]
async fn leftovers_of_dead_processes_are_swept_at_open_and_those_of_living_ones_kept() {
    let (root, bucket) = bucket();
    let id = bucket.create_upload(&key("k"), 10).await.unwrap();
    let tmp = root.path().join(".milepost/tmp");
    let living: Vec<_> = std::fs::read_dir(&tmp).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(living.len(), 1, "one handle, one temp folder: {living:?}");
    std::fs::write(living[0].join("at-work"), "x").unwrap();
    // What a killed process leaves: its folder, which nobody locks any more.
    std::fs::create_dir_all(tmp.join("dead/upload")).unwrap();
    std::fs::write(tmp.join("dead/upload/data"), "x").unwrap();
    std::fs::write(root.path().join("outside"), "x").unwrap();
    std::os::unix::fs::symlink(root.path().join("outside"), tmp.join("link")).unwrap();
    // Strangers' files are nobody's work once they are old.
    std::fs::write(tmp.join("old"), "x").unwrap();
    std::fs::write(tmp.join("young"), "x").unwrap();
    age(&tmp.join("old"), Duration::from_secs(3700));
    age(&root.path().join(".milepost/uploads").join(&id.0), Duration::from_secs(1_000_000));
    let again = open(root.path());
    let mut left = temp_files(root.path());
    left.sort();
    assert_eq!(left, ["at-work", "link", "young"]);
    assert!(!tmp.join("dead").exists());
    assert!(root.path().join("outside").exists());
    assert_eq!(again.list_uploads(UploadQuery::Prefix(String::new())).await.unwrap().len(), 1);
    drop((bucket, again));
    assert_eq!(temp_files(root.path()).len(), 3);
}

#[tokio::test]
async fn a_temp_file_that_has_its_key_already_is_no_harm() {
    // A crash between link and unlink: the object has two names.
    let (root, bucket) = bucket();
    let etag = create(&bucket, "a", "x").await;
    let temp = root.path().join(".milepost/tmp/left");
    std::fs::hard_link(root.path().join("a"), &temp).unwrap();
    age(&temp, Duration::from_secs(7200));
    let etag_now = bucket.head(&key("a")).await.unwrap().etag;
    assert_ne!(etag_now, etag, "the test changed the time of the shared file");
    let again = open(root.path());
    assert!(temp_files(root.path()).is_empty());
    assert_eq!(again.head(&key("a")).await.unwrap().etag, etag_now);
}

#[tokio::test]
async fn recorded_parts_whose_bytes_are_not_there_are_not_listed() {
    let (root, bucket) = bucket();
    let id = bucket.create_upload(&key("k"), 100).await.unwrap();
    for n in 1..=4 {
        let body = Bytes::from(vec![n as u8; 100]);
        bucket.upload_part(&key("k"), &id, n, body.clone(), Crc64Nvme::of(&body)).await.unwrap();
    }
    let data = root.path().join(".milepost/uploads").join(&id.0).join("data");
    let data = std::fs::File::options().write(true).open(data).unwrap();
    data.write_all_at(b"!", 150).unwrap();
    data.set_len(350).unwrap();
    let numbers: Vec<u32> = bucket.list_parts(&key("k"), &id).await.unwrap().iter().map(|part| part.number).collect();
    assert_eq!(numbers, [1, 3]);
}

#[tokio::test]
async fn a_crash_between_key_and_cleanup_of_a_completion_is_finished_by_whoever_sees_it() {
    for look in 0..4 {
        let (root, bucket) = bucket();
        let id = bucket.create_upload(&key("a/k"), 100).await.unwrap();
        let part =
            bucket.upload_part(&key("a/k"), &id, 1, Bytes::from_static(b"x"), Crc64Nvme::of(b"x")).await.unwrap();
        std::fs::create_dir(root.path().join("a")).unwrap();
        let folder = root.path().join(".milepost/uploads").join(&id.0);
        std::fs::hard_link(folder.join("data"), root.path().join("a/k")).unwrap();
        // A late part must not write into the published object.
        let late = bucket.upload_part(&key("a/k"), &id, 1, Bytes::from_static(b"y"), Crc64Nvme::of(b"y")).await;
        assert_eq!(late.unwrap_err().kind, K::NoSuchUpload);
        match look {
            0 => assert!(bucket.list_uploads(UploadQuery::Prefix(String::new())).await.unwrap().is_empty()),
            1 => bucket.abort_upload(&key("a/k"), &id).await.unwrap(),
            2 => {
                let error = bucket.complete_upload(&key("a/k"), &id, &[part], Crc64Nvme::of(b"x")).await.unwrap_err();
                assert_eq!(error.kind, K::NoSuchUpload);
            }
            _ => {
                assert_eq!(bucket.list_parts(&key("a/k"), &id).await.unwrap_err().kind, K::NoSuchUpload);
                continue;
            }
        }
        assert!(!folder.exists() && temp_files(root.path()).is_empty());
        assert_eq!(read(&bucket, "a/k", None).await.unwrap(), b"x");
    }
}

#[tokio::test]
async fn an_operator_who_removes_the_own_folder_gets_an_error_not_a_loss() {
    let (root, bucket) = bucket();
    let etag = create(&bucket, "a.json", "x").await;
    std::fs::remove_dir_all(root.path().join(".milepost")).unwrap();
    for mode in [PutMode::Replace(etag), PutMode::Overwrite] {
        assert!(put(&bucket, "a.json", "y", mode).await.is_err());
    }
    assert!(put(&bucket, "b.json", "y", PutMode::Create).await.is_err());
    assert_eq!(read(&bucket, "a.json", None).await.unwrap(), b"x");
    create(&open(root.path()), "b.json", "y").await;
}

#[tokio::test]
async fn a_full_disk_is_no_space_and_leaves_nothing_behind() {
    let Some(disk) = Tmpfs::mount("size=1m") else { return };
    let root = disk.0.path();
    let bucket = open(root);
    let etag = create(&bucket, "a/status.json", "old").await;
    let large = vec![1u8; 2 * 1024 * 1024];
    for (name, mode) in [
        ("b/content", PutMode::Create),
        ("a/status.json", PutMode::Replace(etag.clone())),
        ("a/status.json", PutMode::Overwrite),
    ] {
        let error = put(&bucket, name, large.clone(), mode).await.unwrap_err();
        assert_eq!((error.kind, error.maybe_applied), (K::NoSpace, false));
        assert!(error.hint.is_some() && error.message.contains(name), "{error:?}");
    }
    assert!(temp_files(root).is_empty());
    assert_eq!(bucket.head(&key("a/status.json")).await.unwrap().etag, etag);
    wait_for_room(root, 512 * 1024).await;
    let id = bucket.create_upload(&key("m"), 4 << 20).await.unwrap();
    let error = bucket.upload_part(&key("m"), &id, 1, large.clone().into(), Crc64Nvme::of(&large)).await.unwrap_err();
    assert_eq!(error.kind, K::NoSpace);
    assert!(bucket.list_parts(&key("m"), &id).await.unwrap().is_empty());
    assert!(bucket.free_space().await.unwrap().unwrap() < 1 << 20);
    // What was given up makes room again.
    bucket.abort_upload(&key("m"), &id).await.unwrap();
    wait_for_room(root, 768 * 1024).await;
    create(&bucket, "fits", vec![1u8; 512 * 1024]).await;
}

/// A file's room is free when the last copy of its handle is closed, and a program that another test is starting has a copy of
/// every handle from its fork to its exec: for that long the disk is still full of what is already gone.
async fn wait_for_room(root: &Path, bytes: u64) {
    let free = || {
        let stat = rustix::fs::statvfs(root).unwrap();
        stat.f_bavail * stat.f_frsize
    };
    let begun = Instant::now();
    while free() < bytes {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} of {bytes} bytes are free again", free());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_read_only_root_serves_reads_and_denies_writes() {
    let Some(disk) = Tmpfs::mount("size=1m") else { return };
    let root = disk.0.path();
    std::fs::create_dir(root.join("a")).unwrap();
    std::fs::write(root.join("a/status.json"), "old").unwrap();
    disk.remount("ro");
    let bucket = open(root);
    assert_eq!(read(&bucket, "a/status.json", None).await.unwrap(), b"old");
    assert_eq!(bucket.head(&key("a/status.json")).await.unwrap().age, None);
    assert_eq!(page(&bucket, ListRequest::all("")).await.objects.len(), 1);
    assert!(bucket.list_uploads(UploadQuery::Prefix(String::new())).await.unwrap().is_empty());
    for error in [
        put(&bucket, "b", "x", PutMode::Create).await.unwrap_err(),
        put(&bucket, "a/status.json", "x", PutMode::Overwrite).await.unwrap_err(),
        bucket.delete(vec!["a/status.json".to_owned()]).await.unwrap_err(),
        bucket.create_upload(&key("m"), 10).await.unwrap_err(),
    ] {
        assert_eq!((error.kind, error.maybe_applied), (K::Denied, false));
        assert!(error.message.contains(root.to_str().unwrap()) && error.hint.is_some());
    }
    disk.remount("rw");
    create(&bucket, "b", "x").await;
    disk.remount("ro");
    let error = put(&bucket, "c", "x", PutMode::Create).await.unwrap_err();
    assert_eq!((error.kind, error.maybe_applied), (K::Denied, false));
    let outcome = bucket.delete(vec!["b".to_owned()]).await;
    assert!(outcome.is_err_and(|error| error.kind == K::Denied) || bucket.head(&key("b")).await.is_ok());
}
