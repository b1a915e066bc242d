//! Doctor over the memory bucket: what it finds, what it leaves alone, what a repair clears up.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests and their helpers"
)]
#![allow(unreachable_pub, reason = "the helpers are a module of each test binary")]

mod common;

use std::time::Duration;

use common::*;
use milepost_core::{BackupId, ObjectKey, StatusCode, Timestamp};
use milepost_store::doctor::{Check, Diagnosis, DoctorOptions, Finding, Outcome, Repaired, Severity, examine, repair};
use milepost_store::{BackupStore as _, Bucket as _, BucketErrorKind, ClockReading};
use milepost_testkit::faulty::{CallKind, Crash, Fault, FaultyBucket, On, Point};

const HOUR: Duration = Duration::from_secs(3600);

fn options() -> DoctorOptions {
    DoctorOptions::new("2026-11-21T10:00:00Z".parse().unwrap())
}

async fn look(store: &Store) -> Diagnosis {
    examine(store, &options(), &cx()).await.unwrap()
}

fn of(diagnosis: &Diagnosis, check: Check) -> Vec<&Finding> {
    diagnosis.findings.iter().filter(|one| one.check == check).collect()
}

fn only(diagnosis: &Diagnosis, check: Check) -> &Finding {
    match of(diagnosis, check)[..] {
        [one] => one,
        ref several => panic!("{several:#?}"),
    }
}

/// Leaves an upload open for a file of `id`, and the status as it is.
async fn upload(bucket: &Faulty, key: &str) -> String {
    let key = ObjectKey::new(key).unwrap();
    let upload = bucket.inner().create_upload(&key, PART).await.unwrap();
    let bytes = milepost_testkit::fixtures::seeded_bytes(1, 100);
    let crc = milepost_core::Crc64Nvme::of(&bytes);
    bucket.inner().upload_part(&key, &upload, 1, bytes, crc).await.unwrap();
    upload.0
}

#[tokio::test(start_paused = true)]
async fn a_healthy_store_has_no_findings() {
    let bucket = faulty();
    let store = store(&bucket, 1);
    let empty = look(&store).await;
    assert_eq!((empty.findings.len(), empty.exit_code()), (0, 0), "{:#?}", empty.findings);
    for checkpoint in 1..=2 {
        save(&store, sample(id(1, checkpoint, 1))).await.unwrap();
    }
    let found = look(&store).await;
    assert_eq!((found.findings.len(), found.exit_code()), (0, 0), "{:#?}", found.findings);
    let skipped: Vec<Check> =
        found.checks.iter().filter(|one| one.outcome != Outcome::Done).map(|one| one.check).collect();
    assert_eq!(skipped, [Check::Clock, Check::Journals], "a memory bucket tells no time; no folder of journals is set");
    assert_eq!(found.checks.len(), 9);
    let left: Vec<String> =
        bucket.inner().keys().into_iter().filter(|key| key.starts_with("_milepost/probe/")).collect();
    assert!(left.iter().all(|key| key.contains("result-")), "it clears up behind itself: {left:?}");
}

#[tokio::test(start_paused = true)]
async fn what_statuses_tell() {
    let bucket = made(Begin::InProgress).await;
    let store = store(&bucket, 5);
    upload(&bucket, "1/100/2/segments/left").await;
    save(&store, tiny(id(1, 101, 2))).await.unwrap();
    assert_eq!(look(&store).await.findings.len(), 0, "a save that runs is no finding, nor are its uploads");
    save(&store, tiny(id(1, 102, 2))).await.unwrap();
    save(&store, tiny(id(1, 103, 2))).await.unwrap();
    bucket.inner().put_raw("1/102/2/status.json", "{");
    let text = String::from_utf8(bucket.inner().bytes("1/103/2/status.json").unwrap().to_vec()).unwrap();
    bucket.inner().put_raw("1/103/2/status.json", text.replace("\"formatVersion\": 1", "\"formatVersion\": 2"));
    tokio::time::sleep(25 * HOUR).await;
    let found = look(&store).await;
    let told: Vec<(Severity, BackupId)> =
        of(&found, Check::Statuses).iter().map(|one| (one.severity, one.backup.unwrap())).collect();
    let expected = [(Severity::Warning, id(1, 103, 2)), (Severity::Error, id(1, 102, 2)), (Severity::Warning, ID)];
    assert_eq!(told, expected, "{:#?}", found.findings);
    assert_eq!(found.exit_code(), 6);
    let stale = of(&found, Check::Statuses)[2];
    assert!(stale.command.as_deref().unwrap().starts_with("milepost mark-failed 1/100/2"), "{stale:?}");
    assert!(
        stale.repair.is_none() && of(&found, Check::Uploads).is_empty(),
        "its uploads are its own: {:#?}",
        found.findings
    );
    mark_failed(&store, ID).await.unwrap();
    // Now nobody owns the upload that the dead save left.
    let found = look(&store).await;
    assert!(only(&found, Check::Uploads).repair.is_some(), "{:#?}", found.findings);
}

#[tokio::test(start_paused = true)]
async fn what_lies_below_the_base_is_held_against_the_statuses() {
    let bucket = faulty();
    let store = store(&bucket, 1);
    for checkpoint in 1..=6 {
        save(&store, tiny(id(1, checkpoint, 1))).await.unwrap();
    }
    delete(&store, id(1, 1, 1)).await.unwrap();
    bucket.inner().put_raw("1/1/1/segments/late", "a late writer's");
    bucket.inner().put_raw("1/9/9/segments/late", "nobody's");
    bucket.inner().remove_raw("1/2/1/segments/1.log").unwrap();
    bucket.inner().remove_raw("1/3/1/metadata.json").unwrap();
    bucket.inner().put_raw("1/4/1/segments/1.log", "shorter");
    bucket.inner().put_raw("1/5/1/segments/extra", "x");
    bucket.inner().put_raw("1/5/1/other/extra", "x");
    bucket.inner().put_raw("readme.txt", "stray");
    bucket.inner().put_raw("01/2/1/x", "stray");
    let found = look(&store).await;
    let told: Vec<(Severity, Option<BackupId>, Option<u64>)> =
        of(&found, Check::Objects).iter().map(|one| (one.severity, one.backup, one.objects)).collect();
    let expected = [
        (Severity::Warning, Some(id(1, 1, 1)), Some(1)),
        (Severity::Error, Some(id(1, 2, 1)), Some(1)),
        (Severity::Error, Some(id(1, 3, 1)), None),
        (Severity::Error, Some(id(1, 4, 1)), None),
        (Severity::Note, Some(id(1, 5, 1)), Some(2)),
        (Severity::Warning, Some(id(1, 9, 9)), Some(1)),
        (Severity::Note, None, Some(2)),
    ];
    assert_eq!(told, expected, "{:#?}", found.findings);
    assert!(of(&found, Check::Objects).iter().all(|one| one.repair.is_none()), "objects are a delete's business");
    // The command that is named mends it.
    assert_eq!(of(&found, Check::Objects)[5].command.as_deref(), Some("milepost delete 1/9/9"));
    delete(&store, id(1, 9, 9)).await.unwrap();
    delete(&store, id(1, 1, 1)).await.unwrap();
    assert_eq!(of(&look(&store).await, Check::Objects).len(), 5);
    let mut quick = options();
    quick.quick = true;
    let quick = examine(&store, &quick, &cx()).await.unwrap();
    assert_eq!((quick.findings.len(), quick.exit_code()), (0, 0), "{:#?}", quick.findings);
}

#[tokio::test(start_paused = true)]
async fn what_changes_while_it_is_looked_at_is_no_finding() {
    let bucket = faulty();
    let (doctor, other) = (store(&bucket, 1), next(&bucket, 2));
    save(&doctor, tiny(id(1, 1, 1))).await.unwrap();
    // The statuses are listed, then a delete and a save go by, then every object is listed.
    let gate = milepost_testkit::faulty::Gate::new();
    bucket.inject(On::call(CallKind::Put).key_containing("_milepost/probe/doctor-"), Fault::Hold(gate.clone()));
    let looks = tokio::spawn(async move { look(&doctor).await });
    gate.reached().await;
    delete(&other, id(1, 1, 1)).await.unwrap();
    save(&other, tiny(id(1, 2, 1))).await.unwrap();
    gate.open();
    let found = looks.await.unwrap();
    assert_eq!(found.findings.len(), 0, "{:#?}", found.findings);
}

#[tokio::test(start_paused = true)]
async fn a_repair_clears_up_what_nobody_can_miss_and_nothing_else() {
    let bucket = faulty();
    let store = store(&bucket, 1);
    for checkpoint in 1..=4 {
        save(&store, tiny(id(1, checkpoint, 1))).await.unwrap();
    }
    delete(&store, id(1, 1, 1)).await.unwrap();
    mark_failed(&store, id(1, 3, 1)).await.unwrap();
    // A save that a crash left in progress, with an upload.
    let crashing = bucket.successor();
    crashing.crash_on(On::call(CallKind::CompleteUpload), Point::Before, Crash::Hang);
    assert!(until_crash(&crashing, save(&store_with(&crashing, 9, settings()), sample(ID))).await);
    for key in ["1/3/1/segments/big", "1/7/1/segments/big", "_milepost/probe/dead/complete", "strange/big"] {
        upload(&bucket, key).await;
    }
    bucket.inner().put_raw("_milepost/probe/dead/create", "racer 1");
    tokio::time::sleep(25 * HOUR).await;
    // Young ones stay.
    upload(&bucket, "1/4/1/segments/young").await;
    bucket.inner().put_raw("_milepost/probe/alive/create", "racer 1");
    delete(&store, id(1, 2, 1)).await.unwrap();

    let mut found = look(&store).await;
    let before = bucket.inner().keys();
    assert_eq!(found.repairable(), 5, "{:#?}", found.findings);
    repair(&store, &mut found, &options(), &cx()).await.unwrap();
    for one in &found.findings {
        assert_eq!(one.repaired.is_some(), one.repair.is_some(), "{one:?}");
        assert!(one.repaired.as_ref().is_none_or(|done| *done == Repaired::Done), "{one:?}");
    }
    assert_eq!(found.repairable(), 0);
    let gone: Vec<String> = before.into_iter().filter(|key| !bucket.inner().keys().contains(key)).collect();
    assert_eq!(gone, ["1/1/1/status.json", "_milepost/probe/dead/create"]);
    assert_eq!(code(&bucket, id(1, 2, 1)), Some(StatusCode::Deleted), "a young tombstone stays");
    assert_eq!(code(&bucket, ID), Some(StatusCode::InProgress), "a stale save is a person's, or prune's");
    let open = bucket.inner().list_uploads(milepost_store::bucket::UploadQuery::Prefix(String::new())).await.unwrap();
    let keys: Vec<&str> = open.iter().map(|upload| upload.key.as_str()).collect();
    assert_eq!(keys, ["1/100/2/segments/1.log", "1/4/1/segments/young", "strange/big"]);
    // Resumed all the same.
    store.save(sample(ID), resume(), &cx()).await.unwrap();
    whole(&store, &bucket, &sample(ID)).await;
    let again = look(&store).await;
    assert_eq!(again.repairable(), 0, "{:#?}", again.findings);
}

#[tokio::test(start_paused = true)]
async fn a_repair_is_meant_for_what_was_seen() {
    let bucket = made(Begin::Failed).await;
    let store = store(&bucket, 1);
    upload(&bucket, "1/100/2/segments/1.log").await;
    tokio::time::sleep(25 * HOUR).await;
    let mut found = look(&store).await;
    assert_eq!(found.repairable(), 1, "{:#?}", found.findings);
    // Somebody resumes the save before the repair comes to its upload, and is still at it.
    let resuming = bucket.successor();
    resuming.crash_on(On::call(CallKind::Put).key_ending("metadata.json"), Point::Before, Crash::Hang);
    let resumer = store_with(&resuming, 7, settings());
    assert!(until_crash(&resuming, resumer.save(sample(ID), resume(), &cx())).await);
    assert_eq!(code(&bucket, ID), Some(StatusCode::InProgress));
    bucket.reset();
    repair(&store, &mut found, &options(), &cx()).await.unwrap();
    assert_eq!(found.findings[0].repaired, Some(Repaired::Kept("a save owns the backup".to_owned())));
    assert_eq!(bucket.requests().of(CallKind::AbortUpload), 0, "{}", bucket.trace());
}

#[tokio::test(start_paused = true)]
async fn what_the_role_may_not_do_is_told() {
    let bucket = made(Begin::Completed).await;
    let reader = store(&bucket, 1);
    bucket.inject(On::call(CallKind::Put).always(), Fault::Before(BucketErrorKind::Denied));
    bucket.inject(On::call(CallKind::Delete).always(), Fault::Before(BucketErrorKind::Denied));
    bucket.inject(On::call(CallKind::CreateUpload).always(), Fault::Before(BucketErrorKind::Denied));
    let found = look(&reader).await;
    let refused = of(&found, Check::Permissions);
    assert_eq!(refused.len(), 3, "{:#?}", found.findings);
    assert!(refused.iter().all(|one| one.severity == Severity::Note), "a restorer's role is made on purpose");
    let note = |check: Check| found.checks.iter().find(|one| one.check == check).unwrap();
    assert!(note(Check::Permissions).note.contains("a restorer's"), "{:?}", note(Check::Permissions));
    assert_eq!((note(Check::Probe).outcome, found.exit_code()), (Outcome::Failed, 0));
}

#[test]
fn clocks_differ_by_no_more_than_the_request_explains() {
    let at = |second: i64| Timestamp::from_second(second).unwrap();
    let skew =
        |before, store, after| ClockReading { before: at(before), store: at(store), after: at(after) }.skew().as_secs();
    assert_eq!(skew(100, 100, 100), 0);
    assert_eq!(skew(100, 130, 160), 0, "a slow answer is no skew");
    assert_eq!(skew(100, 161, 100), 60);
    assert_eq!(skew(1000, 100, 1010), 899);
}

fn names_in(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn journals_of_ended_saves_are_left_over() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = made(Begin::Completed).await;
    let store = store(&bucket, 1);
    mark_failed(&store, id(1, 101, 2)).await.unwrap();
    // Real ones, of saves that the store refused a file.
    let journals = folder.path();
    let journal = async |of: BackupId, memory: &str| {
        let bucket = FaultyBucket::new(milepost_store::MemoryBucket::new(memory));
        bucket.inject(On::call(CallKind::Put).key_ending("a.sst"), Fault::Before(BucketErrorKind::Denied));
        let mut settings = settings();
        settings.journal_dir = Some(journals.to_owned());
        save(&store_with(&bucket, 3, settings), tiny(of)).await.unwrap_err();
        let mut names: Vec<String> = names_in(journals);
        names.retain(|name| name.contains(memory) && name.contains(&format!("-{}-", of.checkpoint)));
        names.remove(0)
    };
    let (completed, failed) = (journal(ID, "test").await, journal(id(1, 101, 2), "test").await);
    let elsewhere = journal(ID, "other").await;
    let temporary = format!("x.json.tmp-{:032x}", 7);
    for (name, text) in [("broken.json", "{"), (temporary.as_str(), "half"), ("notes.txt", "mine")] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let mut options = DoctorOptions::new(Timestamp::from_second(4_000_000_000).unwrap());
    options.journal_dir = Some(folder.path().to_owned());
    let mut found = examine(&store, &options, &cx()).await.unwrap();
    let told = of(&found, Check::Journals);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].what.contains("broken.json") && told[0].repair.is_none(), "{told:#?}");
    assert_eq!(told[1].objects, Some(2));
    let mut expected = vec!["broken.json".to_owned(), elsewhere, failed, "notes.txt".to_owned()];
    expected.sort();

    // A save that has it open by now keeps its journal.
    let writes = std::fs::File::open(folder.path().join(&completed)).unwrap();
    writes.lock().unwrap();
    repair(&store, &mut found, &options, &cx()).await.unwrap();
    let repaired = of(&found, Check::Journals)[1].repaired.clone();
    assert_eq!(repaired, Some(Repaired::Kept("a save writes 1 journal now".to_owned())));
    assert!(names_in(journals).contains(&completed));
    assert_eq!(names_in(journals).len(), expected.len() + 1, "the temporary one is gone");
    drop(writes);
    let mut found = examine(&store, &options, &cx()).await.unwrap();
    repair(&store, &mut found, &options, &cx()).await.unwrap();
    assert_eq!(names_in(journals), expected);
}
