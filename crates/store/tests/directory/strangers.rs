//! Links, pipes and odd names that somebody else planted below the root.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use milepost_store::bucket::{ListRequest, PutMode};
use milepost_store::{Bucket as _, BucketErrorKind as K, DirectoryBucket, ErrorKind};

use crate::common::*;

#[tokio::test]
async fn no_link_is_followed_and_nothing_outside_is_touched() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::create_dir(outside.path().join("d")).unwrap();
    std::fs::write(outside.path().join("d/secret.json"), "secret").unwrap();
    let (root, bucket) = bucket();
    create(&bucket, "real", "x").await;
    symlink(outside.path().join("d"), root.path().join("folder")).unwrap();
    symlink(outside.path().join("d/secret.json"), root.path().join("file.json")).unwrap();
    symlink(outside.path().join("nowhere"), root.path().join("dangling")).unwrap();
    symlink(root.path(), root.path().join("loop")).unwrap();

    for delimiter in [false, true] {
        assert_eq!(names(&bucket, "", delimiter, 1).await, ["real"]);
        for prefix in ["folder/", "file.json/", "loop/"] {
            assert!(names(&bucket, prefix, delimiter, 10).await.is_empty());
        }
    }
    for name in ["folder/secret.json", "loop/real"] {
        assert_eq!(bucket.head(&key(name)).await.unwrap_err().kind, K::NotFound);
        for mode in [PutMode::Create, PutMode::Overwrite] {
            assert_eq!(put(&bucket, name, "y", mode).await.unwrap_err().kind, K::Unsupported);
        }
    }
    for name in ["file.json", "dangling"] {
        let error = bucket.get(&key(name), None).await.unwrap_err();
        assert_eq!(error.kind, K::Invalid);
        assert!(error.message.contains("is a link"));
        assert_eq!(put(&bucket, name, "y", PutMode::Create).await.unwrap_err().kind, K::Invalid);
    }
    let keys = ["folder/secret.json", "loop/real", "file.json"].map(str::to_owned).to_vec();
    bucket.delete(keys).await.unwrap();
    assert_eq!(std::fs::read(outside.path().join("d/secret.json")).unwrap(), b"secret");
    assert_eq!(std::fs::read_dir(outside.path().join("d")).unwrap().count(), 1);
    assert!(!outside.path().join("nowhere").exists());
    assert_eq!(read(&bucket, "real", None).await.unwrap(), b"x");
    assert!(root.path().join("folder").is_symlink() && root.path().join("loop").is_symlink());
}

#[tokio::test]
async fn the_own_folder_is_no_place_for_objects_and_may_be_no_link() {
    let (root, bucket) = bucket();
    for name in [".milepost", ".milepost/tmp/x", ".milepost/x"] {
        for error in [
            put(&bucket, name, "x", PutMode::Create).await.unwrap_err(),
            put(&bucket, name, "x", PutMode::Overwrite).await.unwrap_err(),
            bucket.get(&key(name), None).await.unwrap_err(),
            bucket.head(&key(name)).await.unwrap_err(),
            bucket.create_upload(&key(name), 1).await.unwrap_err(),
            bucket.delete(vec![name.to_owned()]).await.unwrap().remove(0).result.unwrap_err(),
        ] {
            assert_eq!(error.kind, K::Invalid, "{name}");
        }
    }
    assert!(page(&bucket, ListRequest::folders("")).await.folders.is_empty());
    let outside = tempfile::tempdir().unwrap();
    for planted in [".milepost", ".milepost/tmp"] {
        let path = root.path().join(planted);
        std::fs::remove_dir_all(root.path().join(".milepost")).unwrap();
        if planted != ".milepost" {
            std::fs::create_dir(root.path().join(".milepost")).unwrap();
        }
        symlink(outside.path(), &path).unwrap();
        let error = DirectoryBucket::open(root.path(), env()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput) && error.message().contains(".milepost"), "{error:?}");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir_all(root.path().join(".milepost")).unwrap();
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn links_inside_the_own_folder_are_not_followed() {
    let (root, bucket) = bucket();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("upload.json"), "{}").unwrap();
    let id = milepost_store::bucket::UploadId("ab".repeat(16));
    symlink(outside.path(), root.path().join(".milepost/uploads").join(&id.0)).unwrap();
    assert_eq!(bucket.list_parts(&key("k"), &id).await.unwrap_err().kind, K::NoSuchUpload);
    bucket.abort_upload(&key("k"), &id).await.unwrap();
    for n in 0..256 {
        symlink(outside.path().join("lock"), root.path().join(format!(".milepost/locks/{n:02x}"))).unwrap();
    }
    assert!(put(&bucket, "k", "x", PutMode::Overwrite).await.is_err());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn what_is_no_regular_file_is_not_shown_and_blocks_nobody() {
    let (root, bucket) = bucket();
    create(&bucket, "d/real", "x").await;
    let made = std::process::Command::new("mkfifo").arg(root.path().join("pipe")).status();
    assert!(made.unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
    std::fs::write(root.path().join(std::ffi::OsStr::from_bytes(b"not-\xff-utf8")), "x").unwrap();
    std::fs::create_dir(root.path().join(std::ffi::OsStr::from_bytes(b"dir-\xff"))).unwrap();
    std::fs::create_dir(root.path().join("only")).unwrap();
    std::fs::write(root.path().join("only").join(std::ffi::OsStr::from_bytes(b"\xff")), "x").unwrap();
    assert_eq!(names(&bucket, "", false, 1).await, ["d/real"]);
    assert_eq!(names(&bucket, "", true, 1).await, ["d/"]);
    assert_eq!(bucket.get(&key("pipe"), None).await.unwrap_err().kind, K::Invalid);
    assert_eq!(put(&bucket, "pipe", "x", PutMode::Create).await.unwrap_err().kind, K::Invalid);
    // Names that no Milepost key has are shown as they are, and refused one by one.
    std::fs::write(root.path().join("d/tab\there"), "x").unwrap();
    assert_eq!(names(&bucket, "d/", false, 10).await, ["d/real", "d/tab\there"]);
    let outcomes = bucket.delete(vec!["d/tab\there".to_owned(), "d/real".to_owned()]).await.unwrap();
    assert_eq!(outcomes[0].result.as_ref().unwrap_err().kind, K::Invalid);
    assert!(outcomes[1].result.is_ok() && root.path().join("d/tab\there").exists());
}
