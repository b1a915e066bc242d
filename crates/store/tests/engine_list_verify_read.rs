//! Listings, verification at four depths, and ranges of files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests and their helpers"
)]
#![allow(unreachable_pub, reason = "the helpers are a module of each test binary")]

mod common;

use std::num::NonZeroU32;
use std::ops::Range;

use common::*;
use futures::TryStreamExt as _;
use milepost_core::{CheckpointId, FileName, FileSetKind, Selector, VerifyLevel};
use milepost_store::{
    BackupState as S, BackupStore as _, BucketErrorKind, ErrorKind, FileRef, ListEntry, ListQuery, Order, Problem,
    RestoreOptions, RestoreTarget,
};
use milepost_testkit::faulty::{CallKind, Fault, On};
use milepost_testkit::fixtures::seeded_bytes;

fn ids(entries: &[ListEntry]) -> Vec<String> {
    entries.iter().map(|entry| entry.id().to_string()).collect()
}

#[tokio::test]
async fn numeric_order_cursor_limit_tombstones_and_damaged_entries() {
    let bucket = faulty();
    let store = store(&bucket, 1);
    for (partition, checkpoint, node) in
        [(1, 9, 0), (1, 10, 0), (2, 10, 10), (2, 10, 9), (1, 100, 0), (1, 99, 0), (3, 99, 0)]
    {
        save(&store, tiny(id(partition, checkpoint, node))).await.unwrap();
    }
    delete(&store, id(1, 100, 0)).await.unwrap();
    bucket.inner().put_raw("1/99/0/status.json", "{");
    let newer = String::from_utf8(bucket.inner().bytes("3/99/0/status.json").unwrap().to_vec()).unwrap();
    bucket.inner().put_raw("3/99/0/status.json", newer.replace("\"formatVersion\": 1", "\"formatVersion\": 7"));
    // Lies about its id.
    let lie = bucket.inner().bytes("1/9/0/status.json").unwrap();
    bucket.inner().put_raw("2/9/0/status.json", lie);
    for stray in [
        "readme.txt",
        "01/9/0/status.json",
        "1/9/0/x",
        "1/9/x/status.json",
        "x/9/0/status.json",
        "1/11/0/contents",
        "4/x",
    ] {
        bucket.inner().put_raw(stray, "stray");
    }
    let all = ["1/99/0", "3/99/0", "1/10/0", "2/10/9", "2/10/10", "1/9/0", "2/9/0"];
    let found = list(&store, ListQuery::default()).await;
    assert_eq!(ids(&found), all);
    let kinds: Vec<_> = found
        .iter()
        .map(|entry| match entry {
            ListEntry::Backup(_) => "backup",
            ListEntry::Corrupt { newer: true, .. } => "newer",
            ListEntry::Corrupt { .. } => "corrupt",
        })
        .collect();
    assert_eq!(kinds, ["corrupt", "newer", "backup", "backup", "backup", "backup", "corrupt"]);
    let with = list(&store, ListQuery { tombstones: true, ..ListQuery::default() }).await;
    assert_eq!(ids(&with)[0], "1/100/0");
    let ascending = list(&store, ListQuery { order: Order::Ascending, ..ListQuery::default() }).await;
    assert_eq!(ids(&ascending), ["1/9/0", "2/9/0", "1/10/0", "2/10/9", "2/10/10", "1/99/0", "3/99/0"]);
    // The limit counts checkpoints that show something: neither the tombstone's 100 nor the empty 11.
    let limit = |n| NonZeroU32::new(n);
    let two = list(&store, ListQuery { limit: limit(2), ..ListQuery::default() }).await;
    assert_eq!(ids(&two), all[..5]);
    let rest = ListQuery { limit: limit(2), after: Some(CheckpointId(10)), ..ListQuery::default() };
    assert_eq!(ids(&list(&store, rest).await), all[5..]);
    let up = ListQuery { order: Order::Ascending, after: Some(CheckpointId(10)), ..ListQuery::default() };
    assert_eq!(ids(&list(&store, up).await), ["1/99/0", "3/99/0"]);
    let node = Selector { node: Some(milepost_core::NodeId(9)), ..Selector::default() };
    assert_eq!(ids(&list(&store, ListQuery { selector: node, ..ListQuery::default() }).await), ["2/10/9"]);
}

#[tokio::test]
async fn a_listing_costs_folders_and_statuses_never_contents() {
    let bucket = faulty();
    let store = store(&bucket, 1);
    for node in 0..3 {
        save(&store, tiny(id(1, 7, node))).await.unwrap();
        for n in 0..1500 {
            bucket.inner().put_raw(format!("1/7/{node}/segments/{n}"), "x");
        }
    }
    // A status of 2 MB: its size alone is asked for.
    bucket.inner().put_raw("1/7/1/status.json", vec![b' '; 2 << 20]);
    bucket.inject(On::call(CallKind::Get).key_ending("1/7/1/status.json"), Fault::CutBody(0));
    bucket.reset();
    let found = list(&store, ListQuery::default()).await;
    assert_eq!(found.len(), 3);
    assert!(matches!(&found[1], ListEntry::Corrupt { reason, .. } if reason.contains("2097152")), "{found:?}");
    // Root, partition, checkpoint; three statuses. A body that was read would have broken off and been asked for again.
    let requests = bucket.requests();
    assert_eq!(
        (requests.of(CallKind::List), requests.of(CallKind::Get), requests.total()),
        (3, 3, 6),
        "{}",
        bucket.trace()
    );
}

#[tokio::test]
async fn four_levels_see_what_they_promise() {
    use VerifyLevel::{Checksums, Content, Documents, Objects};
    type Damage = fn(&Faulty);
    let damages: [(&str, Damage, Option<VerifyLevel>); 5] = [
        ("missing", |bucket| drop(bucket.inner().remove_raw("1/100/2/segments/2.log")), Some(Objects)),
        ("short", |bucket| bucket.inner().put_raw("1/100/2/segments/2.log", "short"), Some(Objects)),
        ("flipped", |bucket| bucket.inner().put_raw("1/100/2/segments/2.log", vec![0; 1000]), Some(Checksums)),
        ("surplus", |bucket| bucket.inner().put_raw("1/100/2/segments/3.log", "x"), None),
        ("signature", |bucket| bucket.inner().put_raw("1/100/2/metadata.json.sig", "x"), None),
    ];
    for (name, damage, from) in damages {
        let bucket = made(Begin::Completed).await;
        damage(&bucket);
        for level in [Documents, Objects, Checksums, Content] {
            let report = store(&bucket, 2).verify(ID, level, &cx()).await.unwrap();
            assert_eq!(report.ok(), from.is_none_or(|from| level < from), "{name} {level}: {:?}", report.findings);
            if name == "surplus" && level > Documents {
                assert!(matches!(report.findings[0].problem, Problem::Surplus));
            }
            if name == "signature" {
                assert!(report.findings.is_empty());
            }
        }
        // A restore meets what a verification sees: damage by name, also where the object is gone; and no target.
        let folder = tempfile::tempdir().unwrap();
        let target = RestoreTarget { path: folder.path().join("target") };
        let restored = store(&bucket, 2).restore(ID, target.clone(), RestoreOptions::default(), &cx()).await;
        assert_eq!(target.path.exists(), from.is_none(), "{name}");
        match restored {
            Ok(_) => assert!(from.is_none(), "{name}"),
            Err(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::Integrity { key, .. } if key == "1/100/2/segments/2.log"),
                    "{name} {error:?}"
                );
            }
        }
    }
    // Edited metadata is corrupt at every level, and named.
    let bucket = made(Begin::Completed).await;
    let text = String::from_utf8(bucket.inner().bytes(METADATA).unwrap().to_vec()).unwrap();
    bucket.inner().put_raw(METADATA, text.replace("\"size\": 1000", "\"size\": 1001"));
    for level in [Documents, Content] {
        let error = store(&bucket, 2).verify(ID, level, &cx()).await.unwrap_err();
        assert!(error.kind().name() == "corrupt" && error.message().contains(METADATA), "{error:?}");
    }
    bucket.inner().remove_raw(METADATA);
    assert_eq!(store(&bucket, 2).metadata(ID, &cx()).await.unwrap_err().kind().name(), "corrupt");
    // Under a delete it is no damage but a conflict or a state.
    for (begin, name) in [(Begin::Deleting, "wrong_state"), (Begin::Deleted, "not_found"), (Begin::Absent, "not_found")]
    {
        let bucket = made(begin).await;
        let error = store(&bucket, 2).verify(ID, Documents, &cx()).await.unwrap_err();
        assert_eq!(error.kind().name(), name, "{begin:?} {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delete_under_a_verification_is_a_conflict_and_no_damage() {
    for k in 3..12 {
        let bucket = made(Begin::Completed).await;
        let gate = milepost_testkit::faulty::Gate::new();
        bucket.inject(On::any().nth(k), Fault::Hold(gate.clone()));
        let store = store(&bucket, 2);
        let verifying = tokio::spawn(async move { store.verify(ID, VerifyLevel::Content, &cx()).await });
        tokio::select! {
            () = gate.reached() => {}
            () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
        }
        delete(&next(&bucket, 3), ID).await.unwrap();
        gate.open();
        match verifying.await.unwrap() {
            Ok(report) => assert!(report.ok(), "{k}: {:?}", report.findings),
            Err(error) => assert_eq!(error.kind().name(), "conflict", "{k}: {error:?}"),
        }
    }
}

async fn read(store: &Store, range: Range<u64>) -> milepost_store::Result<Vec<u8>> {
    let file = FileRef { id: ID, kind: FileSetKind::Segments, name: FileName::new("1.log").unwrap() };
    let stream = store.read(file, range, &cx()).await?;
    let len = stream.len();
    let chunks: Vec<_> = stream.try_collect().await?;
    let bytes = chunks.concat();
    assert_eq!(bytes.len() as u64, len);
    Ok(bytes)
}

#[tokio::test(start_paused = true)]
async fn ranges_are_cut_to_the_file_and_broken_bodies_continue() {
    let bucket = made(Begin::Completed).await;
    let store = store(&bucket, 2);
    let size = 3 * PART + 7;
    let whole = seeded_bytes(3, usize::try_from(size).unwrap());
    for range in [0..size, 0..0, 5..5, 0..1, PART - 1..PART + 1, size - 1..size, size..size + 9, size - 3..u64::MAX] {
        let cut = range.start.min(size) as usize..range.end.min(size) as usize;
        assert!(read(&store, range.clone()).await.unwrap() == whole[cut], "{range:?}");
    }
    #[expect(clippy::reversed_empty_ranges, reason = "what is refused")]
    let backwards = 2..1;
    assert_eq!(read(&store, backwards).await.unwrap_err().kind().name(), "invalid_input");
    for (nth, cut) in [(1, 10), (2, 70_000), (3, 0)] {
        bucket.inject(On::call(CallKind::Get).key_ending("1.log").nth(nth), Fault::CutBody(cut));
    }
    bucket.reset();
    assert!(read(&store, 0..size).await.unwrap() == whole);
    assert_eq!(bucket.trace().of(CallKind::Get).filter(|call| call.key.ends_with("1.log")).count(), 4);

    bucket.inner().put_raw("1/100/2/segments/1.log", "short");
    assert_eq!(read(&store, 0..size).await.unwrap_err().kind().name(), "integrity");
    bucket.inner().remove_raw("1/100/2/segments/1.log");
    assert!(read(&store, 0..size).await.is_err());
    let file = FileRef { id: ID, kind: FileSetKind::Segments, name: FileName::new("none").unwrap() };
    assert_eq!(store.read(file, 0..1, &cx()).await.unwrap_err().kind().name(), "not_found");
    assert_eq!(state(&store, ID).await, S::Completed);
    bucket.inject(On::call(CallKind::Get).always(), Fault::Before(BucketErrorKind::Denied));
    assert_eq!(read(&store, 0..1).await.unwrap_err().kind().name(), "denied");
}
