//! Copies between stores: the same bytes, the same metadata, a status of their own, and nothing committed that is not whole.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests and their helpers")]
#![allow(unreachable_pub, reason = "the helpers are a module of each test binary")]

mod common;

use common::*;
use milepost_core::document::CopiedFrom;
use milepost_core::{BackupId, CheckpointId, ClusterState, StatusCode, VerifyLevel};
use milepost_store::copy::{CopyReport, CopyTarget, copy};
use milepost_store::{
    BackupState, BackupStore as _, BucketBackupStore, ErrorKind, ImportOptions, ImportOutcome, ImportReport,
    MemoryBucket, Result, SaveOptions, StoreAdmin as _,
};
use milepost_testkit::faulty::{CallKind, Crash, Fault, FaultyBucket, Gate, On, Point, Rates};
use milepost_testkit::fixtures::test_env;

fn vault() -> Faulty {
    FaultyBucket::new(MemoryBucket::new("vault"))
}

fn options(change: impl FnOnce(&mut ImportOptions)) -> ImportOptions {
    let mut options = ImportOptions::default();
    change(&mut options);
    options
}

fn dry() -> ImportOptions {
    options(|options| options.dry_run = true)
}

fn forced() -> ImportOptions {
    options(|options| options.resume = true)
}

async fn copied_with(from: &Store, to: &Store, id: BackupId, options: ImportOptions) -> Result<ImportReport> {
    let report = copy(from, to, CopyTarget::Backup(id), options, &|_, _| {}, &cx()).await?;
    Ok(report.done.into_iter().next().unwrap())
}

async fn copied(from: &Store, to: &Store, id: BackupId) -> Result<ImportReport> {
    copied_with(from, to, id, ImportOptions::default()).await
}

/// A source with one backup, and an empty destination.
async fn two() -> (Faulty, Store, Faulty, Store) {
    let (source, destination) = (faulty(), vault());
    let (from, to) = (store(&source, 1), store(&destination, 2));
    save(&from, sample(ID)).await.unwrap();
    (source, from, destination, to)
}

#[tokio::test(start_paused = true)]
async fn a_copy_has_the_same_bytes_and_a_status_of_its_own() {
    let (source, from, destination, to) = two().await;
    let report = copied(&from, &to, ID).await.unwrap();
    assert_eq!((report.outcome, report.files, report.files_sent), (ImportOutcome::Copied, 4, 4));
    assert_eq!((report.bytes, report.bytes_sent), (3 * PART + 7 + 1100, 3 * PART + 7 + 1100));
    assert_eq!(source.inner().bytes(METADATA), destination.inner().bytes(METADATA), "byte for byte");
    whole(&to, &destination, &sample(ID)).await;

    let (theirs, ours) = (document(&source, ID).unwrap(), document(&destination, ID).unwrap());
    assert_ne!(theirs.attempt_id, ours.attempt_id);
    assert_eq!(theirs.cluster_id, ours.cluster_id, "the cluster is the same");
    assert_eq!((&theirs.descriptor, theirs.done), (&ours.descriptor, ours.done));
    let expected = CopiedFrom {
        location: "memory:test".to_owned(),
        attempt_id: theirs.attempt_id.clone(),
        metadata_sha256: theirs.metadata_sha256.clone().unwrap(),
        completed_at: theirs.completed_at,
    };
    assert_eq!(ours.copied_from, Some(expected));

    // Again: nothing is written, not even a revision.
    let again = copied_with(&from, &to, ID, forced()).await.unwrap();
    assert_eq!((again.outcome, again.files_sent, again.bytes_sent), (ImportOutcome::AlreadyThere, 0, 0));
    assert_eq!(document(&destination, ID), Some(ours));
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_copy_keeps_when_the_original_was_committed() {
    let (source, from, _, to) = two().await;
    copied(&from, &to, ID).await.unwrap();
    let third = FaultyBucket::new(MemoryBucket::new("third"));
    let last = store(&third, 3);
    copied(&to, &last, ID).await.unwrap();
    let from = document(&third, ID).unwrap().copied_from.unwrap();
    assert_eq!(from.completed_at, document(&source, ID).unwrap().completed_at);
    assert!(from.location.contains("vault"), "{}", from.location);
}

#[tokio::test(start_paused = true)]
async fn only_what_is_completed_is_copied() {
    for begin in [
        Begin::Absent,
        Begin::InProgress,
        Begin::Failed,
        Begin::FailedRecord,
        Begin::FailedWasCompleted,
        Begin::Deleting,
        Begin::Deleted,
        Begin::Corrupt,
        Begin::Newer,
    ] {
        let (source, destination) = (made(begin).await, vault());
        let error = copied(&store(&source, 2), &store(&destination, 3), ID).await.unwrap_err();
        let expected = match begin {
            Begin::Absent | Begin::Deleted => 4,
            Begin::Corrupt => 6,
            Begin::Newer => 7,
            _ => 5,
        };
        assert_eq!(error.kind().exit_code(), expected, "{begin:?}: {error:?}");
        assert!(destination.inner().keys().is_empty(), "{begin:?}: {:?}", destination.inner().keys());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_there_already_is_equal_or_refuses() {
    let (_, from, destination, to) = two().await;
    // Another backup of the same id and cluster.
    copied(&from, &to, ID).await.unwrap();
    let other = vault();
    for key in destination.inner().keys().iter().filter(|key| key.contains("cluster.json")) {
        other.inner().put_raw(key, destination.inner().bytes(key).unwrap());
    }
    let there = store(&other, 4);
    save(&there, tiny(ID)).await.unwrap();
    let before = document(&other, ID);
    let error = copied(&from, &there, ID).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WrongState { found: BackupState::Completed, .. }), "{error:?}");
    assert_eq!((document(&other, ID), error.kind().exit_code()), (before, 5));

    // What was deleted at the destination, or declared failed, does not come back.
    delete(&there, ID).await.unwrap();
    assert_eq!(copied(&from, &there, ID).await.unwrap_err().kind().exit_code(), 5);
    mark_failed(&to, ID).await.unwrap();
    for options in [ImportOptions::default(), forced()] {
        let error = copied_with(&from, &to, ID, options).await.unwrap_err();
        assert!(error.message().contains("before it was marked as failed"), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_destination_of_another_cluster_is_refused_and_left_as_it_is() {
    let (_, from, destination, to) = two().await;
    save(&to, tiny(id(1, 1, 1))).await.unwrap();
    let before = destination.inner().keys();
    for options in [ImportOptions::default(), dry()] {
        let error = copied_with(&from, &to, ID, options).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Refused), "{error:?}");
        assert!(error.message().contains("cluster"), "{error:?}");
    }
    assert_eq!(destination.inner().keys(), before);
    // A destination that nobody has written to, but whose id is configured otherwise.
    let mut settings = settings();
    settings.cluster_id = Some(milepost_core::ClusterId::new("another").unwrap());
    let empty = vault();
    let error = copied(&from, &store_with(&empty, 5, settings), ID).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused) && empty.inner().keys().is_empty(), "{error:?}");
    // The store itself.
    let error = copied(&from, &from, ID).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn an_empty_destination_takes_the_cluster_and_its_first_partition() {
    let (source, destination) = (faulty(), vault());
    let mut zero = settings();
    zero.first_partition = milepost_core::PartitionId(0);
    let (from, to) = (store_with(&source, 1, zero), store(&destination, 2));
    save(&from, tiny(id(0, 7, 1))).await.unwrap();
    copied(&from, &to, id(0, 7, 1)).await.unwrap();
    let cluster = |bucket: &Faulty| {
        let bytes = bucket.inner().bytes("cluster.json").unwrap();
        milepost_core::ClusterDocument::parse(&bytes).unwrap()
    };
    assert_eq!(cluster(&source).cluster_id, cluster(&destination).cluster_id);
    assert_eq!(cluster(&destination).first_partition, milepost_core::PartitionId(0));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_tells_and_writes_nothing() {
    let (_, from, destination, to) = two().await;
    let report = copied_with(&from, &to, ID, dry()).await.unwrap();
    assert_eq!((report.outcome, report.files, report.bytes_sent), (ImportOutcome::WouldCopy, 4, 0));
    assert!(destination.inner().keys().is_empty());
    copied(&from, &to, ID).await.unwrap();
    assert_eq!(copied_with(&from, &to, ID, dry()).await.unwrap().outcome, ImportOutcome::AlreadyThere);
}

#[tokio::test(start_paused = true)]
async fn damage_at_the_source_is_never_committed_and_a_mended_source_continues() {
    for (key, bytes) in [
        // The length is right, a byte is not: of a small file, and of one that goes by parts.
        ("1/100/2/segments/2.log", vec![7; 1000]),
        ("1/100/2/segments/1.log", vec![7; usize::try_from(3 * PART + 7).unwrap()]),
        ("1/100/2/segments/2.log", vec![7; 999]),
    ] {
        let (source, from, destination, to) = two().await;
        let good = source.inner().bytes(key).unwrap();
        source.inner().put_raw(key, bytes);
        let error = copied(&from, &to, ID).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Integrity { .. }), "{key}: {error:?}");
        assert_eq!(error.operation(), Some(milepost_store::Operation::Export));
        assert_eq!(code(&destination, ID), Some(StatusCode::Failed));
        assert!(destination.inner().bytes(METADATA).is_none() && destination.inner().bytes(key).is_none());
        assert!(to.open_uploads(ID, &cx()).await.unwrap().is_empty(), "own uploads are aborted");
        // FAILED is continued without being asked to: no process can be at it.
        source.inner().put_raw(key, good);
        let report = copied(&from, &to, ID).await.unwrap();
        assert_eq!(report.outcome, ImportOutcome::Copied);
        whole(&to, &destination, &sample(ID)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_content_that_is_gone_is_damage_and_a_backup_that_goes_is_a_conflict() {
    let (source, from, destination, to) = two().await;
    source.inner().remove_raw("1/100/2/segments/2.log");
    let error = copied(&from, &to, ID).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Integrity { .. }), "{error:?}");
    assert_eq!(code(&destination, ID), Some(StatusCode::Failed));

    // Deleted, or declared failed, while it is copied: the last look at the source says so.
    for deletes in [true, false] {
        let (source, from, destination, to) = two().await;
        let gate = Gate::new();
        destination.inject(On::call(CallKind::Put).key_ending("metadata.json"), Fault::Hold(gate.clone()));
        let (result, ()) = tokio::join!(copied(&from, &to, ID), async {
            gate.reached().await;
            let other = next(&source, 9);
            if deletes {
                delete(&other, ID).await.unwrap();
            } else {
                mark_failed(&other, ID).await.unwrap();
            }
            gate.open();
        });
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Conflict { .. }), "{error:?}");
        assert_eq!(code(&destination, ID), Some(StatusCode::Failed));
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_copy_is_continued_and_sends_only_what_is_missing() {
    // (the write behind which the process dies, files that are then there)
    for (key, kept) in [("a.sst", 1), ("metadata.json", 4)] {
        let (_, from, destination, to) = two().await;
        let mut serial = settings();
        serial.concurrency = 1;
        let to_one = store_with(&destination, 2, serial);
        drop(to);
        destination.crash_on(On::call(CallKind::Put).key_ending(key), Point::After, Crash::Hang);
        assert!(until_crash(&destination, copied(&from, &to_one, ID)).await);
        assert_eq!(code(&destination, ID), Some(StatusCode::InProgress));
        let later = next(&destination, 3);
        let error = copied(&from, &later, ID).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::WrongState { .. }), "{error:?}");
        assert!(error.hint().unwrap().contains("--resume"), "{error:?}");
        let report = copied_with(&from, &later, ID, forced()).await.unwrap();
        assert_eq!(report.files_sent, 4 - kept, "{key}");
        whole(&later, &destination, &sample(ID)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_a_killed_copy_began_is_continued_from_its_parts() {
    let (_, from, destination, to) = two().await;
    destination.crash_on(On::call(CallKind::UploadPart).nth(2), Point::After, Crash::Hang);
    assert!(until_crash(&destination, copied(&from, &to, ID)).await);
    let later = next(&destination, 3);
    let report = copied_with(&from, &later, ID, forced()).await.unwrap();
    assert!(report.bytes_sent < report.bytes, "{report:?}");
    whole(&later, &destination, &sample(ID)).await;
    assert!(later.open_uploads(ID, &cx()).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_backup_that_is_no_copy_of_this_one_is_left_alone() {
    let (_, from, destination, to) = two().await;
    copied(&from, &to, id(9, 9, 9)).await.unwrap_err();
    // A save of the same id at the destination, of the same cluster, that failed.
    copied(&from, &to, ID).await.unwrap();
    let document_of_cluster = destination.inner().bytes("cluster.json").unwrap();
    let other = vault();
    other.inner().put_raw("cluster.json", document_of_cluster);
    let there = store(&other, 5);
    other.crash_on(On::call(CallKind::Put).key_ending("metadata.json"), Point::Before, Crash::Hang);
    assert!(until_crash(&other, there.save(sample(ID), SaveOptions::default(), &cx())).await);
    let there = next(&other, 6);
    for options in [ImportOptions::default(), forced()] {
        let error = copied_with(&from, &there, ID, options).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::WrongState { .. }), "{error:?}");
        assert!(error.message().contains("no copy of this backup"), "{error:?}");
    }
    assert_eq!(code(&other, ID), Some(StatusCode::InProgress));
}

#[tokio::test(start_paused = true)]
async fn of_two_copies_at_once_one_wins_and_the_other_is_told() {
    let (source, from, destination, to) = two().await;
    let (from_too, to_too) = (next(&source, 7), next(&destination, 8));
    let (first, second) = tokio::join!(copied(&from, &to, ID), copied(&from_too, &to_too, ID));
    let won = [&first, &second].into_iter().filter(|result| result.is_ok()).count();
    assert!(won >= 1, "{first:?} {second:?}");
    for error in [first, second].into_iter().filter_map(Result::err) {
        assert!(matches!(error.kind(), ErrorKind::Conflict { .. } | ErrorKind::WrongState { .. }), "{error:?}");
    }
    whole(&to, &destination, &sample(ID)).await;
}

#[tokio::test(start_paused = true)]
async fn cancelling_a_copy_fails_it_and_the_next_run_continues() {
    let (_, from, destination, to) = two().await;
    let gate = Gate::new();
    destination.inject(On::call(CallKind::Put).key_ending("2.log"), Fault::Hold(gate.clone()));
    let context = cx();
    let work = copy(&from, &to, CopyTarget::Backup(ID), ImportOptions::default(), &|_, _| {}, &context);
    let (result, ()) = tokio::join!(work, async {
        gate.reached().await;
        context.cancel();
    });
    assert!(matches!(result.unwrap_err().kind(), ErrorKind::Cancelled));
    assert_eq!(code(&destination, ID), Some(StatusCode::Failed));
    gate.open();
    copied(&from, &to, ID).await.unwrap();
    whole(&to, &destination, &sample(ID)).await;
}

async fn checkpoint(from: &Store, to: &Store, checkpoint: u64) -> Result<CopyReport> {
    let target = CopyTarget::Checkpoint(CheckpointId(checkpoint));
    copy(from, to, target, ImportOptions::default(), &|_, _| {}, &cx()).await
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_is_copied_copy_by_copy_and_what_cannot_be_is_named() {
    let (source, destination) = (faulty(), vault());
    let (from, to) = (store(&source, 1), store(&destination, 2));
    for (partition, node) in [(1, 1), (1, 2), (2, 1), (3, 1)] {
        save(&from, tiny(id(partition, 5, node))).await.unwrap();
    }
    mark_failed(&from, id(1, 5, 2)).await.unwrap();
    source.inner().put_raw("2/5/1/segments/1.log", vec![0; 200]);
    let report = checkpoint(&from, &to, 5).await.unwrap();
    let done: Vec<BackupId> = report.done.iter().map(|done| done.id).collect();
    assert_eq!(done, [id(1, 5, 1), id(3, 5, 1)]);
    assert_eq!(report.skipped, [(id(1, 5, 2), BackupState::Failed)]);
    assert!(matches!(&report.failed[..], [(failed, error)]
        if *failed == id(2, 5, 1) && error.kind().exit_code() == 6));
    assert_eq!(report.checkpoint, Some(ClusterState::Completed));
    assert!(to.verify(id(3, 5, 1), VerifyLevel::Content, &cx()).await.unwrap().ok());

    let error = checkpoint(&from, &to, 6).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotFound), "{error:?}");
    mark_failed(&from, id(1, 7, 1)).await.unwrap();
    let error = checkpoint(&from, &to, 7).await.unwrap_err();
    assert_eq!(error.kind().exit_code(), 5, "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_ends_the_copy_of_a_checkpoint_and_says_what_was_not_tried() {
    let (source, destination) = (faulty(), vault());
    let mut short = settings();
    short.retry_budget = std::time::Duration::ZERO;
    let (from, to) = (store(&source, 1), store_with(&destination, 2, short));
    for node in 1..=3 {
        save(&from, tiny(id(1, 5, node))).await.unwrap();
    }
    destination.inject(
        On::call(CallKind::Put).key_containing("1/5/2/").always(),
        Fault::Before(milepost_store::bucket::BucketErrorKind::Unavailable),
    );
    let report = checkpoint(&from, &to, 5).await.unwrap();
    assert_eq!((report.done.len(), report.untried), (1, 2));
    assert!(matches!(report.stopped.unwrap().kind(), ErrorKind::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn a_status_says_where_it_comes_from_until_a_save_takes_it_over() {
    let (_, from, destination, to) = two().await;
    destination.crash_on(On::call(CallKind::Put).key_ending("metadata.json"), Point::Before, Crash::Hang);
    assert!(until_crash(&destination, copied(&from, &to, ID)).await);
    assert!(document(&destination, ID).unwrap().copied_from.is_some());
    let saver = BucketBackupStore::new(destination.successor(), Default::default(), settings(), test_env(9)).unwrap();
    saver.save(sample(ID), resume(), &cx()).await.unwrap();
    assert_eq!(document(&destination, ID).unwrap().copied_from, None);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_dies_at_any_request_is_finished_by_the_next_one() {
    let (source, from, _, _) = two().await;
    let mut points = 0;
    'requests: for request in 1.. {
        for point in [Point::Before, Point::After] {
            let destination = vault();
            destination.crash_at(request, point, Crash::Hang);
            if !until_crash(&destination, copied(&from, &store(&destination, 2), ID)).await {
                break 'requests;
            }
            points += 1;
            let later = next(&destination, 3);
            let report = copied_with(&from, &later, ID, forced()).await;
            report.unwrap_or_else(|error| panic!("request {request}, {point:?}: {error:?}"));
            whole(&later, &destination, &sample(ID)).await;
            assert_eq!(source.inner().bytes(METADATA), destination.inner().bytes(METADATA));
            assert!(later.open_uploads(ID, &cx()).await.unwrap().is_empty(), "request {request}, {point:?}");
        }
    }
    assert!(points > 30, "{points}");
}

#[tokio::test(start_paused = true)]
async fn under_faults_of_both_stores_a_copy_is_whole_or_not_committed() {
    let (source, _, _, _) = two().await;
    for seed in 0..40 {
        let (inner, vault) = (source.inner().clone(), MemoryBucket::new("vault"));
        let from = store(&FaultyBucket::from_seed(inner, seed, Rates::default()), seed);
        let destination = FaultyBucket::from_seed(vault, seed + 1000, Rates::default());
        let to = store(&destination, seed + 2000);
        let mut tries = 0;
        while let Err(error) = copied_with(&from, &to, ID, forced()).await {
            tries += 1;
            assert!(tries < 10, "seed {seed}: {error:?}");
        }
        let calm = next(&destination, 9);
        whole(&calm, &destination, &sample(ID)).await;
        assert_eq!(source.inner().bytes(METADATA), destination.inner().bytes(METADATA), "seed {seed}");
    }
}
