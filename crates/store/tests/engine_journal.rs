//! The resume journal as the engine keeps it: a cache that spares work and never decides.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use milepost_store::{
    BackupState, BackupStore as _, BucketErrorKind, FileEntry, FileSource as _, PathSource, StoreSettings,
};
use milepost_testkit::faulty::{CallKind, Fault, On};
use milepost_testkit::fixtures::{CountingSource, seeded_bytes};

fn with_journal(dir: &Path) -> StoreSettings {
    let mut settings = settings();
    settings.journal_dir = Some(dir.to_owned());
    settings.journal_every_files = 1;
    settings.journal_every = Duration::from_millis(10);
    settings.retry_budget = Duration::from_millis(200);
    settings
}

/// Three files on disk and the count of what is read of them.
fn broker(folder: &Path) -> (Vec<FileEntry>, CountingSource) {
    let mut counted: Option<CountingSource> = None;
    let mut entries = Vec::new();
    for (name, len) in [("1.log", 1000), ("2.log", 5 * PART + 3), ("3.log", 0)] {
        let path = folder.join(name);
        std::fs::write(&path, seeded_bytes(len, usize::try_from(len).unwrap())).unwrap();
        let source = Arc::new(PathSource::new(path));
        let counting =
            counted.as_ref().map_or_else(|| CountingSource::new(source.clone()), |c| c.beside(source.clone()));
        counted.get_or_insert_with(|| counting.clone());
        entries.push(FileEntry { name: name.parse().unwrap(), source: Arc::new(counting), len: None });
    }
    (entries, counted.unwrap())
}

fn journals(dir: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(dir).map(|dir| dir.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default()
}

fn read(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn a_failed_save_keeps_its_journal_and_a_resume_uses_and_removes_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journals");
    let (files, counted) = broker(folder.path());
    let bytes = 1000 + 5 * PART + 3;
    let bucket = faulty();
    // Everything is sent, but the metadata cannot be written.
    bucket.inject(On::call(CallKind::Put).key_ending("metadata.json").always(), Fault::Before(BucketErrorKind::Denied));
    let first = store_with(&bucket, 1, with_journal(&journal));
    let mut options = milepost_store::SaveOptions::default();
    options.source = Some("the test's folder".to_owned());
    let error = first.save(backup(ID, vec![], files.clone()), options, &cx()).await.unwrap_err();
    assert_eq!(error.kind().name(), "denied");
    assert_eq!(counted.bytes_read(), bytes);

    let kept = journals(&journal);
    assert_eq!(kept.len(), 1, "{kept:?}");
    let document = read(&kept[0]);
    assert_eq!((&document["totalFiles"], &document["doneFiles"]), (&3.into(), &3.into()), "{document:#}");
    assert_eq!(document["source"], "the test's folder");
    assert_eq!(document["id"]["checkpoint"], "100");
    assert!(document["error"].is_string(), "{document:#}");
    assert!(document["files"].as_array().unwrap().iter().all(|file| file["done"] == true));
    assert!(document["configuration"]["partSize"].is_number());

    let second = store_with(&bucket.successor(), 2, with_journal(&journal));
    let report = second.save(backup(ID, vec![], files), resume(), &cx()).await.unwrap();
    assert_eq!((report.bytes, report.bytes_sent), (bytes, 0));
    assert_eq!(counted.bytes_read(), bytes, "nothing was hashed again");
    assert!(journals(&journal).is_empty());
    assert_eq!(state(&second, ID).await, BackupState::Completed);
}

#[tokio::test]
async fn the_journal_keeps_the_length_of_a_log_that_grew() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journals");
    let (files, counted) = broker(folder.path());
    let bucket = faulty();
    // The large file is never begun: the store does not take it.
    bucket.inject(On::call(CallKind::CreateUpload).always(), Fault::Before(BucketErrorKind::Denied));
    // One file after the other: the small one before it is done and noted by then.
    let mut one_by_one = with_journal(&journal);
    one_by_one.concurrency = 1;
    let first = store_with(&bucket, 1, one_by_one);
    first.save(backup(ID, vec![], files.clone()), milepost_store::SaveOptions::default(), &cx()).await.unwrap_err();
    let before = counted.bytes_read();
    // The broker goes on.
    use std::io::Write as _;
    let mut log = std::fs::File::options().append(true).open(folder.path().join("2.log")).unwrap();
    log.write_all(&[b'+'; 100_000]).unwrap();
    drop(log);

    let second = store_with(&bucket.successor(), 2, with_journal(&journal));
    let report = second.save(backup(ID, vec![], files), resume(), &cx()).await.unwrap();
    assert_eq!(report.bytes, 1000 + 5 * PART + 3, "the length that the first attempt fixed");
    assert_eq!(counted.bytes_read() - before, 5 * PART + 3, "the small ones were not hashed again");
}

#[tokio::test]
async fn an_ignored_or_damaged_journal_costs_work_and_changes_nothing() {
    for damaged in [None, Some("{"), Some("{\"formatVersion\": 2}"), Some("\0\0\0")] {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journals");
        let (files, counted) = broker(folder.path());
        let bucket = faulty();
        let deny = Fault::Before(BucketErrorKind::Denied);
        bucket.inject(On::call(CallKind::Put).key_ending("metadata.json").always(), deny);
        let first = store_with(&bucket, 1, with_journal(&journal));
        first.save(backup(ID, vec![], files.clone()), milepost_store::SaveOptions::default(), &cx()).await.unwrap_err();
        let before = counted.bytes_read();
        let mut options = resume();
        match damaged {
            Some(text) => std::fs::write(&journals(&journal)[0], text).unwrap(),
            None => options.ignore_journal = true,
        }
        let second = store_with(&bucket.successor(), 2, with_journal(&journal));
        let report = second.save(backup(ID, vec![], files), options, &cx()).await.unwrap();
        assert_eq!(report.bytes_sent, 0, "{damaged:?}");
        assert_eq!(counted.bytes_read(), 2 * before, "{damaged:?}: all was hashed again");
        assert!(journals(&journal).is_empty());
    }
}

#[tokio::test]
async fn a_changed_file_is_hashed_again_and_its_other_bytes_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journals");
    let (files, _) = broker(folder.path());
    let bucket = faulty();
    bucket.inject(On::call(CallKind::Put).key_ending("metadata.json").always(), Fault::Before(BucketErrorKind::Denied));
    let first = store_with(&bucket, 1, with_journal(&journal));
    first.save(backup(ID, vec![], files.clone()), milepost_store::SaveOptions::default(), &cx()).await.unwrap_err();
    // Same length, other bytes: the journal's hashes are not those of this file.
    std::fs::write(folder.path().join("1.log"), vec![b'x'; 1000]).unwrap();
    let second = store_with(&bucket.successor(), 2, with_journal(&journal));
    let error = second.save(backup(ID, vec![], files), resume(), &cx()).await.unwrap_err();
    assert_eq!(error.kind().name(), "integrity", "{error:?}");
    assert!(error.to_string().contains("segments/1.log"), "{error}");
    let document = read(&journals(&journal)[0]);
    let failed = document["files"].as_array().unwrap().iter().find(|file| file["name"] == "1.log").unwrap();
    assert!(failed["error"].as_str().unwrap().contains("other bytes"), "{document:#}");
}

#[tokio::test]
async fn a_journal_folder_that_cannot_be_used_stops_no_save() {
    let folder = tempfile::tempdir().unwrap();
    let (files, _) = broker(folder.path());
    let not_a_folder = folder.path().join("1.log");
    let bucket = faulty();
    let store = store_with(&bucket, 1, with_journal(&not_a_folder));
    save(&store, backup(ID, vec![], files)).await.unwrap();
    assert!(PathSource::new(not_a_folder).open().is_ok());
}
