//! What people change in a journal between two attempts, and what the next attempt makes of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests and their helpers")]
#![allow(unreachable_pub, reason = "the helpers are a module of each test binary")]

mod common;

use std::path::Path;

use common::*;
use milepost_core::FileName;
use milepost_store::journals::{FileProgress, Journal, JournalEdit, JournalEntry, Journals};
use milepost_store::{
    Backup, BackupState, BackupStore as _, ErrorKind, FileEntry, Result, SaveOptions, SaveOutcome, StoreSettings,
};
use milepost_testkit::faulty::{CallKind, Fault, Gate, On};
use milepost_testkit::fixtures::{MemorySource, seeded_bytes};

fn with_journal(dir: &Path) -> StoreSettings {
    let mut settings = settings();
    settings.journal_dir = Some(dir.to_owned());
    settings.journal_every_files = 1;
    settings.journal_every = std::time::Duration::from_millis(10);
    settings
}

/// Three files of which one breaks off and one is not there.
fn broken(folder: &Path) -> Backup {
    let mut backup = sample(ID);
    backup.segments[1] = file("2.log", MemorySource::new(seeded_bytes(4, 1000)).failing_at(7));
    let absent = folder.join("absent");
    backup.segments.push(FileEntry::from_path(FileName::new("3.log").unwrap(), absent));
    backup
}

fn skip(file: &str) -> JournalEdit {
    JournalEdit::Skip { file: file.to_owned(), reason: "lost with the disk".to_owned() }
}

struct Bench {
    folder: tempfile::TempDir,
    bucket: Faulty,
    journals: Journals,
}

impl Bench {
    /// A save that failed and left its journal.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("journals");
        let bench = Self { bucket: faulty(), journals: Journals::new(&dir), folder };
        let error = bench.save(1, SaveOptions::default()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Source { files } if files.len() == 2), "{error:?}");
        bench
    }

    async fn save(&self, seed: u64, options: SaveOptions) -> Result<milepost_store::SaveReport> {
        let store = store_with(&self.bucket, seed, with_journal(self.journals.dir()));
        store.save(broken(self.folder.path()), options, &cx()).await
    }

    fn show(&self) -> Journal {
        self.journals.show(ID, None).unwrap()
    }

    fn progress(&self, file: &str) -> FileProgress {
        self.show().files.iter().find(|known| known.file == file).unwrap().progress
    }

    fn edit(&self, edit: &JournalEdit) -> Result<bool> {
        self.journals.edit(ID, None, edit, false, [3; 16])
    }

    fn read(&self) -> Vec<u8> {
        std::fs::read(self.show().info.path).unwrap()
    }
}

#[tokio::test]
async fn what_is_skipped_is_left_out_and_the_backup_says_so() {
    let bench = Bench::new().await;
    let info = bench.show().info;
    assert_eq!((info.total_files, info.done_files, info.failed_files, info.running), (4, 3, 2, false));
    assert_eq!(bench.progress("segments/2.log"), FileProgress::Failed);
    assert_eq!(bench.progress("segments/3.log"), FileProgress::Failed);
    assert_eq!(bench.progress("segments/1.log"), FileProgress::Done);

    assert!(bench.edit(&skip("segments/3.log")).unwrap());
    assert!(!bench.edit(&skip("segments/3.log")).unwrap(), "it said so already");
    // One file is left that fails: the skip is remembered for the attempt after that.
    bench.save(2, resume()).await.unwrap_err();
    assert_eq!(bench.progress("segments/3.log"), FileProgress::Skipped);
    assert!(bench.edit(&skip("segments/2.log")).unwrap());
    let report = bench.save(3, resume()).await.unwrap();
    let saved: Vec<String> = report.files.iter().map(|file| format!("{}/{}", file.kind, file.record.name)).collect();
    assert_eq!(saved, ["snapshots/a.sst", "snapshots/b/c.sst", "segments/1.log"]);

    let store = store(&bench.bucket, 4);
    let status = store.status(ID, &cx()).await.unwrap();
    assert!(status.state() == BackupState::Completed && !status.document.unwrap().complete);
    let metadata = store.metadata(ID, &cx()).await.unwrap().document;
    let said: Vec<(&str, &str)> =
        metadata.skipped_files.iter().map(|file| (file.name.as_str(), file.reason.as_str())).collect();
    assert_eq!(said, [("segments/2.log", "lost with the disk"), ("segments/3.log", "lost with the disk")]);
    assert!(matches!(bench.journals.show(ID, None).unwrap_err().kind(), ErrorKind::NotFound));
    assert!(bench.journals.list().unwrap().is_empty());

    // Of the committed one, the files that were left out are no difference.
    let mut again = sample(ID);
    again.segments.push(file("3.log", MemorySource::new(seeded_bytes(5, 10))));
    let report = store.save(again, resume(), &cx()).await.unwrap();
    assert_eq!(report.outcome, SaveOutcome::AlreadyComplete);
    let mut more = sample(ID);
    more.segments.push(file("4.log", MemorySource::new(seeded_bytes(5, 10))));
    let error = store.save(more, resume(), &cx()).await.unwrap_err();
    assert!(error.message().contains("segments/4.log was not saved"), "{error:?}");
}

#[tokio::test]
async fn a_skip_is_taken_back_and_a_resume_without_the_journal_knows_of_none() {
    let bench = Bench::new().await;
    for name in ["segments/2.log", "segments/3.log"] {
        bench.edit(&skip(name)).unwrap();
    }
    assert!(bench.edit(&JournalEdit::Retry { file: "segments/3.log".to_owned() }).unwrap());
    let error = bench.save(2, resume()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Source { files } if files[0].file == "segments/3.log"), "{error:?}");
    let mut anew = resume();
    anew.ignore_journal = true;
    let error = bench.save(3, anew).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Source { files } if files.len() == 2), "{error:?}");
    assert_eq!(bench.show().info.skipped_files, 0);
}

#[tokio::test]
async fn errors_are_cleared_files_forgotten_and_journals_removed() {
    let bench = Bench::new().await;
    let before = bench.read();
    let dry = bench.journals.edit(ID, None, &JournalEdit::ClearErrors, true, [1; 16]).unwrap();
    assert!(dry && bench.read() == before, "a dry run writes nothing");
    assert!(bench.edit(&JournalEdit::ClearErrors).unwrap());
    let journal = bench.show();
    assert_eq!((journal.info.error.as_ref(), journal.info.failed_files), (None, 0));
    assert_eq!(bench.progress("segments/2.log"), FileProgress::Pending);

    assert!(bench.edit(&JournalEdit::Reset { file: "segments/1.log".to_owned() }).unwrap());
    let info = bench.show().info;
    assert_eq!((info.total_files, info.done_files), (3, 2));
    // Forgotten by the journal, found in the store.
    bench.edit(&skip("segments/2.log")).unwrap();
    let mut without = broken(bench.folder.path());
    without.segments.truncate(2);
    let store = store_with(&bench.bucket, 2, with_journal(bench.journals.dir()));
    let report = store.save(without, resume(), &cx()).await.unwrap();
    assert_eq!((report.files.len(), report.bytes_sent), (3, 0));

    let bench = Bench::new().await;
    let removed = bench.journals.remove(ID, None, true).unwrap();
    assert!(removed.path.exists(), "a dry run removes nothing");
    bench.journals.remove(ID, None, false).unwrap();
    assert!(!removed.path.exists());
    assert!(matches!(bench.journals.remove(ID, None, false).unwrap_err().kind(), ErrorKind::NotFound));
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_and_nothing_is_written() {
    let bench = Bench::new().await;
    let before = bench.read();
    let code = |edit: JournalEdit| bench.edit(&edit).unwrap_err().kind().exit_code();
    assert_eq!(code(skip("segments/9.log")), 4);
    assert_eq!(code(skip("9.log")), 2);
    assert_eq!(code(skip("logs/1.log")), 2);
    assert_eq!(code(skip("segments/../1.log")), 2);
    assert_eq!(code(skip("segments/1.log")), 2, "it is in the store");
    let long = JournalEdit::Skip { file: "segments/2.log".to_owned(), reason: "x".repeat(2000) };
    assert_eq!(code(long), 2);
    let silent = JournalEdit::Skip { file: "segments/2.log".to_owned(), reason: " ".to_owned() };
    assert_eq!(code(silent), 2);
    assert_eq!(code(JournalEdit::Reset { file: "segments/9.log".to_owned() }), 4);
    assert_eq!(code(JournalEdit::Retry { file: "segments/9.log".to_owned() }), 4);
    assert_eq!(bench.read(), before);
    let other = bench.journals.show(id(1, 100, 3), None).unwrap_err();
    assert!(matches!(other.kind(), ErrorKind::NotFound), "{other:?}");
    assert!(Journals::new(bench.folder.path().join("nowhere")).list().unwrap().is_empty());
}

#[tokio::test]
async fn several_stores_are_told_apart_and_damage_is_listed() {
    let bench = Bench::new().await;
    let other = milepost_testkit::faulty::FaultyBucket::new(milepost_store::MemoryBucket::new("other"));
    let store = store_with(&other, 5, with_journal(bench.journals.dir()));
    store.save(broken(bench.folder.path()), SaveOptions::default(), &cx()).await.unwrap_err();
    let error = bench.journals.show(ID, None).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput), "{error:?}");
    assert!(error.message().contains("memory:other") && error.message().contains("memory:test"), "{error:?}");
    let path = bench.journals.show(ID, Some("memory:other")).unwrap().info.path;
    std::fs::write(&path, "{ no json").unwrap();
    let entries = bench.journals.list().unwrap();
    assert!(matches!(&entries[..], [JournalEntry::Journal(_), JournalEntry::Damaged { .. }]), "{entries:?}");
    // The other store's is still found; the damaged one's is an error that names it.
    bench.journals.show(ID, Some("memory:test")).unwrap();
    let error = bench.journals.show(ID, Some("memory:other")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn a_journal_that_a_save_writes_is_not_changed_under_it() {
    let bench = Bench::new().await;
    let gate = Gate::new();
    // A file that is sent anew keeps the attempt busy.
    bench.bucket.inner().remove_raw("1/100/2/segments/1.log");
    bench.bucket.inject(On::call(CallKind::CreateUpload), Fault::Hold(gate.clone()));
    let (result, ()) = tokio::join!(bench.save(2, resume()), async {
        gate.reached().await;
        assert!(bench.show().info.running);
        let error = bench.edit(&skip("segments/2.log")).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Conflict { .. }), "{error:?}");
        assert!(matches!(bench.journals.remove(ID, None, false).unwrap_err().kind(), ErrorKind::Conflict { .. }));
        gate.open();
    });
    result.unwrap_err();
    assert!(!bench.show().info.running);
    bench.edit(&skip("segments/2.log")).unwrap();
}
