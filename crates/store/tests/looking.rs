//! One file verified while it streams, listings by time, and what a store adds up to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests and their helpers"
)]
#![allow(unreachable_pub, reason = "the helpers are a module of each test binary")]

mod common;

use common::*;
use milepost_core::{CheckpointId, FileSetKind, StatusCode};
use milepost_store::stats::{Sum, stats};
use milepost_store::{BackupState, BackupStore as _, ListQuery, Result, contents};
use milepost_testkit::faulty::{CallKind, Fault, Gate, On};

/// What came of a file, and how it ended.
async fn cat(store: &Store, name: &str) -> (Vec<u8>, Result<()>) {
    let cx = cx();
    let metadata = store.metadata(ID, &cx).await.unwrap();
    let (kind, record) = contents::find(&metadata, name).unwrap();
    let mut file = match contents::open(store, &metadata, kind, record, &cx).await {
        Ok(file) => file,
        Err(error) => return (Vec::new(), Err(error)),
    };
    let mut bytes = Vec::new();
    loop {
        match file.next().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (bytes, Ok(())),
            Err(error) => {
                assert!(file.next().await.unwrap().is_none(), "nothing comes after an error");
                return (bytes, Err(error));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_verified_while_it_streams() {
    let bucket = made(Begin::Completed).await;
    let store = store(&bucket, 1);
    let whole = bucket.inner().bytes("1/100/2/segments/1.log").unwrap();
    // A body that breaks off is continued, and hashed once.
    bucket.inject(On::call(CallKind::Get).key_ending("1.log"), Fault::CutBody(1000));
    let (bytes, end) = cat(&store, "segments/1.log").await;
    end.unwrap();
    assert!(bytes == whole, "{} bytes", bytes.len());
    let (bytes, end) = cat(&store, "b/c.sst").await;
    assert!(bytes.is_empty() && end.is_ok());

    let mut wrong = whole.to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    bucket.inner().put_raw("1/100/2/segments/1.log", wrong);
    let (bytes, end) = cat(&store, "1.log").await;
    let error = end.unwrap_err();
    assert_eq!((bytes.len(), error.kind().name(), error.kind().exit_code()), (whole.len(), "integrity", 6), "{error}");
    bucket.inner().remove_raw("1/100/2/segments/1.log").unwrap();
    let error = cat(&store, "1.log").await.1.unwrap_err();
    assert_eq!(error.kind().exit_code(), 6, "a content that is gone from a committed backup is damage: {error}");
}

#[tokio::test(start_paused = true)]
async fn a_delete_under_our_eyes_is_no_damage() {
    let bucket = made(Begin::Completed).await;
    let (reader, deleter) = (store(&bucket, 1), store(&bucket, 2));
    let gate = Gate::new();
    bucket.inject(On::call(CallKind::Get).key_ending("1.log"), Fault::Hold(gate.clone()));
    let reads = tokio::spawn(async move { cat(&reader, "1.log").await.1 });
    gate.reached().await;
    delete(&deleter, ID).await.unwrap();
    gate.open();
    let error = reads.await.unwrap().unwrap_err();
    assert_eq!(error.kind().name(), "conflict", "{error}");
    assert!(error.to_string().contains("1/100/2: the backup was deleted while it was read"), "{error}");
}

#[tokio::test]
async fn names_are_found_in_either_set() {
    let bucket = faulty();
    let store = store(&bucket, 1);
    let sets = |names: &[&str], seed| names.iter().map(|name| seeded(name, seed, 10)).collect();
    save(&store, backup(ID, sets(&["a", "b"], 1), sets(&["b", "snapshots/a", "c"], 2))).await.unwrap();
    let metadata = store.metadata(ID, &cx()).await.unwrap();
    let found = |name: &str| contents::find(&metadata, name).map(|(kind, record)| (kind, record.name.to_string()));
    let is = |name: &str, kind, file: &str| assert_eq!(found(name).unwrap(), (kind, file.to_owned()), "{name}");
    is("a", FileSetKind::Snapshots, "a");
    is("c", FileSetKind::Segments, "c");
    is("segments/b", FileSetKind::Segments, "b");
    is("snapshots/a", FileSetKind::Snapshots, "a");
    is("segments/snapshots/a", FileSetKind::Segments, "snapshots/a");
    assert_eq!(found("b").unwrap_err().kind().exit_code(), 2);
    for absent in ["d", "snapshots/c", "", "segments/", "../a"] {
        assert_eq!(found(absent).unwrap_err().kind().exit_code(), 4, "{absent}");
    }
}

#[tokio::test]
async fn a_listing_between_two_times_counts_checkpoints_that_show_something() {
    let bucket = faulty();
    let store = store(&bucket, 1);
    for checkpoint in 1..=4 {
        save(&store, tiny(id(1, checkpoint, 1))).await.unwrap();
    }
    bucket.inner().put_raw("2/4/1/status.json", "{");
    let begun = |checkpoint| document(&bucket, id(1, checkpoint, 1)).unwrap().created_at;
    let shown = async |query: ListQuery| -> Vec<u64> {
        list(&store, query).await.iter().map(|entry| entry.id().checkpoint.0).collect()
    };
    let since = ListQuery { since: Some(begun(2)), ..ListQuery::default() };
    assert_eq!(shown(since).await, [4, 4, 3, 2], "the moment itself belongs to it");
    assert_eq!(shown(ListQuery { until: Some(begun(3)), ..since }).await, [4, 2], "and the end does not");
    let one = std::num::NonZeroU32::new(2);
    assert_eq!(shown(ListQuery { until: Some(begun(3)), limit: one, ..ListQuery::default() }).await, [4, 2]);
}

#[tokio::test]
async fn a_store_adds_up_by_state_partition_checkpoint_and_day() {
    let bucket = faulty();
    let store = store(&bucket, 1);
    assert_eq!(stats(&store, ListQuery::default(), 7, &cx()).await.unwrap().total, Sum::default());
    for (partition, checkpoint) in [(1, 1), (2, 1), (1, 2), (1, 3)] {
        save(&store, tiny(id(partition, checkpoint, 1))).await.unwrap();
    }
    mark_failed(&store, id(1, 3, 1)).await.unwrap();
    delete(&store, id(1, 1, 1)).await.unwrap();
    bucket.inner().put_raw("3/2/1/status.json", "{");
    let text = String::from_utf8(bucket.inner().bytes("2/1/1/status.json").unwrap().to_vec()).unwrap();
    bucket
        .inner()
        .put_raw("2/1/1/status.json", text.replacen("\"createdAt\": \"2026-11-21", "\"createdAt\": \"2026-11-19", 1));
    let all = stats(&store, ListQuery::default(), 2, &cx()).await.unwrap();
    let sum = |backups: u64, whole: u64| Sum { backups, files: 2 * whole, bytes: 300 * whole };
    assert_eq!((all.total, all.tombstones, all.checkpoints, all.days), (sum(4, 3), 1, 3, 2), "{all:?}");
    assert_eq!(all.range, Some((CheckpointId(1), CheckpointId(3))));
    let states =
        [(BackupState::Completed, sum(2, 2)), (BackupState::Failed, sum(1, 1)), (BackupState::Corrupt, sum(1, 0))];
    assert_eq!(all.by_state, states);
    let partitions: Vec<_> =
        all.by_partition.iter().map(|p| (p.partition.0, p.sum.backups, p.newest_completed)).collect();
    assert_eq!(partitions, [(1, 2, Some(CheckpointId(2))), (2, 1, Some(CheckpointId(1))), (3, 1, None)]);
    assert_eq!(all.by_checkpoint, [(CheckpointId(3), sum(1, 1)), (CheckpointId(2), sum(2, 1))], "the newest two");
    let days: Vec<_> = all.by_day.iter().map(|day| (day.day.as_str(), day.sum)).collect();
    assert_eq!(days, [("2026-11-21", sum(2, 2)), ("2026-11-19", sum(1, 1))]);
    assert_eq!(code(&bucket, id(1, 1, 1)), Some(StatusCode::Deleted));
}
