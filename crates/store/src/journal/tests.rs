//! Journals written, read back, damaged, killed and raced.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::time::Duration;

use milepost_core::checksum::Crc64Nvme;
use milepost_core::{Digest, DigestAlgorithm, FileName, FileSetKind, Timestamp};
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::fs::crash;
use crate::settings::StoreSettings;
use crate::source::FileVersion;

const LOCATION: &str = "s3://bucket/base";
const ID: BackupId = BackupId::new(1, u64::MAX, 2);
const HOUR: Duration = Duration::from_secs(3600);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn planned(name: &str, size: u64) -> JournalFile {
    JournalFile::planned(FileSetKind::Segments, FileName::new(name).unwrap(), size)
}

fn plan(files: Vec<JournalFile>) -> JournalPlan {
    let settings = StoreSettings::default();
    JournalPlan {
        location: LOCATION.to_owned(),
        id: ID,
        source: "/var/broker/1".to_owned(),
        started_at: at(0),
        configuration: configuration(&settings, &crate::api::SaveOptions::default()),
        files,
        unreadable: Vec::new(),
        skipped: Vec::new(),
    }
}

const VERSION: FileVersion = FileVersion { identity: (u64::MAX, 1 << 60), modified_ns: -1_800_000_000_000_000_001 };

fn done(crc: u64) -> FileDone {
    let digest = Digest { algorithm: DigestAlgorithm::Blake3, value: [7; 32] };
    FileDone { crc64nvme: Crc64Nvme(crc), digest: Some(digest), source: Some(VERSION) }
}

struct Fixture {
    _root: tempfile::TempDir,
    dir: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("state/journals");
        Self { _root: root, dir }
    }
    fn create(&self, files: Vec<JournalFile>, random: u8) -> io::Result<JournalWriter> {
        JournalWriter::create(&self.dir, plan(files), &StoreSettings::default(), [random; 16])
    }
    fn load(&self) -> Option<JournalDocument> {
        load(&self.dir, LOCATION, ID)
    }
    fn path(&self) -> PathBuf {
        self.dir.join(file_name(LOCATION, ID))
    }
    fn names(&self) -> Vec<String> {
        fs::read_dir(&self.dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[test]
fn what_is_written_reads_back_and_goes_after_success() {
    let fixture = Fixture::new();
    assert_eq!(fixture.load(), None);
    let writer = fixture.create(vec![planned("a", 10), planned("b/c", 20), planned("d", 30)], 1).unwrap();
    assert_eq!(writer.path(), fixture.path());
    assert_eq!(fixture.load().unwrap().done_files, 0, "the plan is kept from the start");
    writer.file_done(0, done(5));
    writer.file_done(0, done(5));
    writer.upload(1, Some(JournalUpload { id: "u-1".to_owned(), part_size: 8 << 20 }));
    writer.file_failed(2, &"no such file ".repeat(1000));
    writer.file_done(99, done(1));
    writer.write(at(7)).unwrap();
    let journal = fixture.load().unwrap();
    assert_eq!(journal, writer.state());
    assert_eq!((journal.total_files, journal.total_bytes, journal.done_files, journal.done_bytes), (3, 60, 1, 10));
    assert_eq!((journal.started_at, journal.updated_at), (at(0), at(7)));
    let by_name = journal.by_name();
    let file = by_name[&(FileSetKind::Segments, "a")];
    assert!(file.spares_hashing(10, Some(VERSION)));
    assert!(!file.spares_hashing(11, Some(VERSION)) && !file.spares_hashing(10, None));
    assert!(!file.spares_hashing(10, Some(FileVersion { modified_ns: 0, ..VERSION })));
    assert!(!by_name[&(FileSetKind::Segments, "b/c")].spares_hashing(20, Some(VERSION)));
    assert!(by_name[&(FileSetKind::Segments, "d")].error.as_ref().unwrap().len() <= 1024);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&fixture.dir), mode(&fixture.path())), (0o700, 0o600));
    writer.finish_failure("3 files failed", at(1)).unwrap();
    let journal = fixture.load().unwrap();
    assert_eq!((journal.error.as_deref(), journal.updated_at), (Some("3 files failed"), at(7)));
    writer.finish_success().unwrap();
    assert_eq!(fixture.names(), Vec::<String>::new());
}

#[test]
fn a_file_that_was_done_and_then_fails_is_counted_once() {
    let fixture = Fixture::new();
    let mut known = planned("a", 10);
    known.done = true;
    known.crc64nvme = Some(Crc64Nvme(1));
    let writer = fixture.create(vec![known, planned("b", 5)], 1).unwrap();
    assert_eq!((writer.state().done_files, writer.state().done_bytes), (1, 10));
    writer.file_failed(0, "object is gone");
    writer.file_failed(1, "gone");
    assert_eq!((writer.state().done_files, writer.state().done_bytes), (0, 0));
    writer.file_done(0, done(1));
    assert_eq!((writer.state().done_bytes, writer.state().files[0].error.as_deref()), (10, None));
}

#[test]
fn people_read_it_without_losing_digits() {
    let fixture = Fixture::new();
    let writer = fixture.create(vec![planned("a", 10)], 1).unwrap();
    writer.file_done(0, done(0xae8b_1486_0a79_9888));
    writer.write(at(1)).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&fs::read(fixture.path()).unwrap()).unwrap();
    assert_eq!(json["formatVersion"], 1);
    assert_eq!(json["id"]["checkpoint"], "18446744073709551615");
    assert_eq!(json["destination"], LOCATION);
    assert_eq!(json["startedAt"], "2027-01-15T08:00:00Z");
    assert_eq!(json["configuration"]["partSize"], 8 << 20);
    assert_eq!(json["configuration"]["digest"], "blake3");
    assert_eq!(json["files"][0]["source"]["inode"], "1152921504606846976");
    assert_eq!(json["files"][0]["source"]["modifiedNs"], "-1800000000000000001");
    assert_eq!(json["files"][0]["crc64nvme"], "rosUhgp5mIg=");
}

#[test]
fn unusable_journals_are_ignored() {
    let fixture = Fixture::new();
    drop(fixture.create(vec![planned("a", 10), planned("b", 1)], 1).unwrap());
    let good = fs::read_to_string(fixture.path()).unwrap();
    let with = |text: &str| {
        fs::write(fixture.path(), text).unwrap();
        fixture.load()
    };
    assert!(with(&good).is_some());
    assert!(with(&good.replacen('{', "{\"later\":[1],", 1)).is_some(), "unknown fields are for later versions");
    let changed = [
        good[..good.len() / 2].to_owned(),
        String::new(),
        good.replace("\"formatVersion\":1", "\"formatVersion\":2"),
        good.replace("s3://bucket/base", "s3://bucket/other"),
        good.replace("18446744073709551615", "5"),
        good.replace("\"name\":\"b\"", "\"name\":\"a\""),
        good.replace("\"name\":\"b\"", "\"name\":\"../b\""),
        good.replace("\"size\":10", "\"size\":18446744073709551615"),
        good.replacen("\"done\":false", "\"done\":true", 1),
    ];
    for text in changed {
        assert!(text != good && with(&text).is_none(), "{text}");
    }
    fs::remove_file(fixture.path()).unwrap();
    fs::create_dir(fixture.path()).unwrap();
    assert_eq!(fixture.load(), None);
    fs::remove_dir(fixture.path()).unwrap();
    let outside = fixture.dir.join("outside");
    fs::write(&outside, &good).unwrap();
    symlink(&outside, fixture.path()).unwrap();
    assert_eq!(fixture.load(), None);
    // A new journal takes the link's place and leaves alone what it points to.
    drop(fixture.create(vec![planned("a", 10)], 1).unwrap());
    assert_eq!(fs::read_to_string(&outside).unwrap(), good);
    assert!(fixture.load().is_some());
    let huge = fs::File::create(fixture.path()).unwrap();
    huge.set_len(MAX_JOURNAL_BYTES + 1).unwrap();
    assert_eq!(fixture.load(), None);
}

#[test]
fn names_are_safe_short_and_never_shared() {
    let locations = ["s3://bucket/a", "s3://bucket_a", "s3:__bucket_a", "file:///var/../é", "", &"x".repeat(900)];
    let mut seen = std::collections::HashSet::new();
    for location in locations {
        for id in [BackupId::new(1, 11, 1), BackupId::new(11, 1, 1), BackupId::new(u32::MAX, u64::MAX, u32::MAX)] {
            let name = file_name(location, id);
            assert!(name.len() <= MAX_FILE_NAME && !name.starts_with('.'), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)), "{name}");
            assert!(seen.insert(name));
        }
    }
    assert!(file_name("s3://bucket/a", BackupId::new(1, 100, 2)).starts_with("s3___bucket_a-1-100-2-"));
}

#[test]
fn a_kill_at_any_point_leaves_a_whole_journal_and_the_next_writer_sweeps() {
    for point in 1.. {
        let fixture = Fixture::new();
        let writer = fixture.create(vec![planned("a", 10)], 1).unwrap();
        let before = writer.state();
        writer.file_done(0, done(1));
        crash::arm(point);
        let result = writer.write(at(9));
        let killed = crash::disarm();
        let found = fixture.load().unwrap();
        assert!(found == before || found == writer.state());
        drop(writer);
        if !killed {
            result.unwrap();
            assert!(point > 3);
            return;
        }
        fs::write(fixture.dir.join("somebody.else"), "").unwrap();
        drop(fixture.create(vec![planned("a", 10)], 2).unwrap());
        assert_eq!(fixture.names().len(), 2, "{:?}", fixture.names());
    }
}

#[test]
fn two_processes_never_tear_a_journal() {
    let fixture = Fixture::new();
    let files = |count: usize| (0..count).map(|n| planned(&format!("f{n}"), 1)).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        for random in [1, 2] {
            let (fixture, files) = (&fixture, &files);
            scope.spawn(move || {
                for _ in 0..20 {
                    // The sweep of the other one may take this one's temporary file, twice even: that write fails, and no more.
                    if let Ok(writer) = fixture.create(files(100 * usize::from(random)), random) {
                        let _ = writer.write(at(1));
                    }
                }
            });
        }
        for _ in 0..50 {
            if fixture.path().exists() {
                let found = fixture.load().unwrap();
                assert!(matches!(found.files.len(), 100 | 200));
            }
        }
    });
    assert!(fixture.load().is_some());
}

#[test]
fn a_journal_that_outgrows_its_cap_is_given_up() {
    let fixture = Fixture::new();
    drop(fixture.create(vec![planned("a", 1)], 1).unwrap());
    let long = vec!["x".repeat(199); 3].join("/");
    let error = Some("e".repeat(1024));
    let files = (0..80_000).map(|n| JournalFile { error: error.clone(), ..planned(&format!("{long}/{n}"), 1) });
    let error = fixture.create(files.collect(), 1).unwrap_err();
    assert!(error.to_string().contains("outgrows 128 MiB"), "{error}");
    assert_eq!(fixture.names(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn notes_make_it_due_and_a_write_does_not() {
    let fixture = Fixture::new();
    let writer = fixture.create((0..200).map(|n| planned(&n.to_string(), 1)).collect(), 1).unwrap();
    let now = Instant::now();
    assert!(!writer.due(now + HOUR));
    writer.file_failed(0, "x");
    assert!(!writer.due(now + Duration::from_secs(4)) && writer.due(now + Duration::from_secs(5)));
    for n in 0..99 {
        writer.file_done(n, done(1));
    }
    assert!(writer.due(now));
    writer.write(at(1)).unwrap();
    assert!(!writer.due(now + HOUR));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = JournalDocument::parse(&bytes, LOCATION, ID);
    }

    #[test]
    fn a_damaged_journal_is_refused_or_still_sane(cut in 0usize..2000, at_byte in 0usize..2000, byte: u8) {
        let mut document = JournalDocument::new(plan(vec![planned("a", 10), planned("b/c", 20)]));
        document.files[0].source = Some(VERSION.into());
        let mut bytes = serde_json::to_vec(&document).unwrap();
        bytes.truncate(bytes.len().min(cut.max(1)));
        let place = at_byte % bytes.len();
        bytes[place] = byte;
        if let Ok(read) = JournalDocument::parse(&bytes, LOCATION, ID) {
            prop_assert_eq!(read.id, ID);
            prop_assert!(read.files.len() <= 2);
        }
    }
}

#[test]
fn a_journal_of_the_most_files_fits_its_cap() {
    let fixture = Fixture::new();
    let count = milepost_core::document::MAX_FILES;
    let files = (0..count).map(|n| JournalFile {
        done: true,
        crc64nvme: Some(Crc64Nvme(n as u64)),
        digest: done(0).digest,
        source: Some(VERSION.into()),
        ..planned(&format!("column-1/{n:06}.sst"), 1 << 30)
    });
    drop(fixture.create(files.collect(), 1).unwrap());
    assert_eq!(fixture.load().unwrap().done_files, count as u64);
}
