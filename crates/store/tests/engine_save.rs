//! Saving: contents, metadata, commit, failures.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests and their helpers"
)]
#![allow(unreachable_pub, reason = "the helpers are a module of each test binary")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use milepost_core::StatusCode;
use milepost_store::{BackupState as S, BackupStore as _, BucketErrorKind, ErrorKind, FileSource as _, SaveOptions};
use milepost_testkit::faulty::{CallKind, Fault, Gate, On};
use milepost_testkit::fixtures::{BlockedSource, CountingSource, MemorySource, seeded_bytes};

#[tokio::test(start_paused = true)]
async fn lost_late_and_repeated_writes_of_contents_metadata_and_commit() {
    let writes = [
        (CallKind::Put, "2.log", 1),
        (CallKind::CompleteUpload, "1.log", 1),
        (CallKind::UploadPart, "1.log", 2),
        (CallKind::CreateUpload, "1.log", 1),
        (CallKind::Put, "metadata.json", 1),
        (CallKind::Put, "status.json", 2),
    ];
    for (kind, key, nth) in writes {
        for fault in [
            Fault::After(BucketErrorKind::Timeout),
            Fault::Before(BucketErrorKind::Unavailable),
            Fault::Before(BucketErrorKind::Precondition),
            Fault::Before(BucketErrorKind::BadDigest),
            Fault::Late(Duration::from_millis(30)),
            Fault::Late(Duration::from_secs(3600)),
            Fault::Repeat,
            Fault::Throttle(None),
        ] {
            if kind != CallKind::Put
                && matches!(fault, Fault::Before(BucketErrorKind::Precondition))
                && kind != CallKind::CompleteUpload
            {
                continue;
            }
            let what = format!("{kind:?} {key} {fault:?}");
            let bucket = faulty();
            bucket.inject(On::call(kind).key_ending(key).nth(nth), fault);
            let store = store(&bucket, 1);
            save(&store, sample(ID)).await.unwrap_or_else(|error| panic!("{what}: {error:?}\n{}", bucket.trace()));
            tokio::time::sleep(Duration::from_secs(7200)).await;
            whole(&store, &bucket, &sample(ID)).await;
            assert_eq!(document(&bucket, ID).unwrap().revision, 2, "{what}");
        }
    }
}

#[tokio::test]
async fn other_bytes_at_a_key_fail_the_save_by_name_and_are_never_replaced() {
    for key in
        ["1/100/2/segments/2.log", "1/100/2/segments/1.log", "1/100/2/snapshots/a.sst", "1/100/2/snapshots/b/c.sst"]
    {
        for late in [false, true] {
            let bucket = faulty();
            let store = store(&bucket, 1);
            if late {
                // After the look at what is there: only the write's 412 tells.
                let gate = Gate::new();
                let kind = if key.ends_with("1.log") { CallKind::CompleteUpload } else { CallKind::Put };
                bucket.inject(On::call(kind).key_ending(key), Fault::Hold(gate.clone()));
                let memory = bucket.inner().clone();
                tokio::spawn(async move {
                    gate.reached().await;
                    memory.put_raw(key, "other");
                    gate.open();
                });
            } else {
                save(&store, tiny(id(2, 1, 1))).await.unwrap();
                bucket.inner().put_raw(key, "other");
            }
            let error = save(&store, sample(ID)).await.unwrap_err();
            assert!(error.message().contains(key), "{error:?}");
            assert!(matches!(error.kind(), ErrorKind::Integrity { key: named, .. } if named == key), "{error:?}");
            assert_eq!(bucket.inner().bytes(key).as_deref(), Some(&b"other"[..]));
            let failed = document(&bucket, ID).unwrap();
            assert_eq!(failed.status_code, StatusCode::Failed);
            assert!(failed.failure_reason.unwrap().contains(key));
            assert_eq!(bucket.inner().open_upload_count(), 0);
            assert_eq!(bucket.requests().of(CallKind::Delete), 0);
        }
    }
}

#[tokio::test]
async fn a_shorter_leftover_sets_a_segments_length_only_for_a_resume() {
    // Under an absent status, an empty object at the key is a stranger's: taking its length would lose the log.
    let bucket = faulty();
    let fresh = store(&bucket, 1);
    save(&fresh, tiny(id(2, 1, 1))).await.unwrap();
    bucket.inner().put_raw("1/100/2/segments/1.log", "");
    let error = save(&fresh, tiny(ID)).await.unwrap_err();
    assert!(error.message().contains("other bytes"), "{error:?}");

    // After an attempt of the same backup, the log has grown.
    let bucket = made(Begin::InProgress).await;
    let mut grown = sample(ID);
    grown.segments[1] = seeded("2.log", 4, 5000);
    let report = store(&bucket, 2).save(grown, resume(), &cx()).await.unwrap();
    assert_eq!(report.bytes_sent, 0);
    whole(&store(&bucket, 3), &bucket, &sample(ID)).await;
}

#[tokio::test]
async fn the_listing_before_the_commit_catches_what_vanished_or_was_replaced() {
    for (replaced, reason) in [(false, "vanished"), (true, "replaced")] {
        let bucket = faulty();
        let gate = Gate::new();
        bucket.inject(On::call(CallKind::List).key_ending("1/100/2/").nth(2), Fault::Hold(gate.clone()));
        let store = store(&bucket, 1);
        let saving = tokio::spawn(async move { save(&store, sample(ID)).await });
        gate.reached().await;
        let old = bucket.inner().remove_raw("1/100/2/segments/2.log").unwrap();
        if replaced {
            bucket.inner().put_raw("1/100/2/segments/2.log", vec![7; old.len()]);
        }
        gate.open();
        let error = saving.await.unwrap().unwrap_err();
        assert!(error.message().contains("segments/2.log") && error.message().contains(reason), "{error:?}");
        assert_eq!(code(&bucket, ID), Some(StatusCode::Failed));
        assert_eq!(bucket.inner().bytes(METADATA), None);
    }
    let bucket = made(Begin::Absent).await;
    bucket.inner().put_raw("1/100/2/segments/stray", "x");
    let report = save(&store(&bucket, 1), sample(ID)).await.unwrap();
    assert!(report.warnings[0].contains("1/100/2/segments/stray"), "{:?}", report.warnings);
}

#[tokio::test]
async fn metadata_of_another_attempt_is_adopted_or_fails_by_name() {
    let committed = made(Begin::Completed).await;
    let theirs = committed.inner().bytes(METADATA).unwrap();
    let cluster = committed.inner().bytes("cluster.json").unwrap();
    for other_descriptor in [false, true] {
        let bucket = faulty();
        bucket.inner().put_raw("cluster.json", cluster.clone());
        let gate = Gate::new();
        bucket.inject(On::call(CallKind::Put).key_ending("metadata.json"), Fault::Hold(gate.clone()));
        let mut mine = sample(ID);
        mine.segments.push(seeded("3.log", 9, 10));
        if other_descriptor {
            mine.descriptor.checkpoint_position = Some(1);
        }
        let store = store(&bucket, 5);
        let saving = tokio::spawn({
            let store = store.clone();
            async move { save(&store, mine).await }
        });
        gate.reached().await;
        bucket.inner().put_raw(METADATA, theirs.clone());
        gate.open();
        let result = saving.await.unwrap();
        assert_eq!(bucket.inner().bytes(METADATA), Some(theirs.clone()));
        if other_descriptor {
            assert!(result.unwrap_err().message().contains(METADATA));
            assert_eq!(code(&bucket, ID), Some(StatusCode::Failed));
        } else {
            let report = result.unwrap();
            assert_eq!(report.files.len(), 4, "theirs is the plan");
            assert!(report.bytes_sent > 0 && report.files.iter().all(|file| file.sent));
            whole(&store, &bucket, &sample(ID)).await;
        }
    }
}

#[tokio::test]
async fn a_commit_that_is_annotated_before_its_read_back_landed() {
    let bucket = faulty();
    let (gate, status) = (Gate::new(), On::call(CallKind::Get).key_ending("status.json"));
    bucket.inject(On::call(CallKind::Put).key_ending("status.json").nth(2), Fault::After(BucketErrorKind::Timeout));
    bucket.inject(status.nth(1), Fault::Hold(gate.clone()));
    let store = store(&bucket, 1);
    let saving = tokio::spawn(async move { save(&store, tiny(ID)).await });
    gate.reached().await;
    let verified = milepost_core::document::Verification {
        level: milepost_core::VerifyLevel::Objects,
        at: milepost_core::Timestamp::UNIX_EPOCH,
        ok: true,
    };
    let other = next(&bucket, 3);
    other
        .annotate(ID, milepost_store::Annotation::Verified(verified), milepost_store::Expect::Any, &cx())
        .await
        .unwrap();
    gate.open();
    saving.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn own_late_progress_does_not_fence_and_a_fence_stops_everything() {
    // Signs of life whose effects come late, at every distance from the commit.
    for late in [1, 100, 5_000, 9_999, 10_001, 30_000] {
        let bucket = faulty();
        let gate = Gate::new();
        bucket.inject(On::call(CallKind::Put).key_ending("2.log"), Fault::Hold(gate.clone()));
        bucket
            .inject(On::call(CallKind::Put).key_ending("status.json").nth(2), Fault::Late(Duration::from_millis(late)));
        let store = store(&bucket, 1);
        let (result, ()) = tokio::join!(save(&store, sample(ID)), async {
            tokio::time::sleep(Duration::from_millis(10_050)).await;
            gate.open();
        });
        result.unwrap_or_else(|error| panic!("{late}: {error:?}\n{}", bucket.trace()));
        tokio::time::sleep(Duration::from_secs(60)).await;
        whole(&store, &bucket, &sample(ID)).await;
    }
    // Fenced by mark_failed while a part of the files is on its way.
    let bucket = faulty();
    let gate = Gate::new();
    bucket.inject(On::call(CallKind::UploadPart).nth(2).always(), Fault::Hold(gate.clone()));
    let store = store(&bucket, 1);
    let (result, ()) = tokio::join!(save(&store, sample(ID)), async {
        gate.reached().await;
        mark_failed(&next(&bucket, 2), ID).await.unwrap();
    });
    let error = result.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Conflict { .. }), "{error:?}");
    let calls = bucket.trace().calls;
    let fenced = calls.iter().rposition(|call| call.kind == CallKind::Get && call.key == STATUS).unwrap();
    assert!(calls[fenced..].iter().all(|call| !call.kind.is_write()), "{}", bucket.trace());
    assert_eq!(document(&bucket, ID).unwrap().failure_reason.as_deref(), Some("given up"));
    assert_eq!(bucket.inner().open_upload_count(), 1, "may be the next owner's");
}

#[tokio::test]
async fn all_failing_files_are_named_and_the_others_are_there() {
    let bucket = faulty();
    let dir = tempfile::tempdir().unwrap();
    let missing = |name: &str| {
        milepost_store::FileEntry::from_path(milepost_core::FileName::new(name).unwrap(), dir.path().join("none"))
    };
    let folder = milepost_store::FileEntry::from_path(milepost_core::FileName::new("folder").unwrap(), dir.path());
    let bytes = seeded_bytes(1, 1000);
    let mut short = seeded("short", 1, 10);
    short.len = Some(11);
    let bad = backup(
        ID,
        vec![
            missing("missing"),
            folder,
            file("changing", MemorySource::new(bytes.clone()).changing()),
            file("unreadable", MemorySource::new(bytes.clone()).failing_at(500)),
            seeded("good", 5, 100),
        ],
        vec![file("shrinking", MemorySource::new(bytes).shrinking_to(10)), short, seeded("good", 6, 3 * PART)],
    );
    let error = save(&store(&bucket, 1), bad).await.unwrap_err();
    let ErrorKind::Source { files } = error.kind() else { panic!("{error:?}") };
    let named: Vec<_> = files.iter().map(|failure| failure.file.as_str()).collect();
    assert_eq!(
        named,
        [
            "segments/short",
            "segments/shrinking",
            "snapshots/changing",
            "snapshots/folder",
            "snapshots/missing",
            "snapshots/unreadable"
        ]
    );
    let failed = document(&bucket, ID).unwrap();
    assert_eq!(failed.status_code, StatusCode::Failed);
    let reason = failed.failure_reason.unwrap();
    assert!(named.iter().all(|name| reason.contains(name)), "{reason}");
    for good in ["snapshots", "segments"] {
        assert!(bucket.inner().bytes(&format!("1/100/2/{good}/good")).is_some(), "{good}");
    }
}

#[tokio::test]
async fn every_size_around_the_borders_and_growing_logs() {
    let bucket = faulty();
    let store = store(&bucket, 1);
    let sizes = [
        0,
        1,
        PART - 1,
        PART,
        PART + 1,
        2 * PART - 1,
        2 * PART,
        2 * PART + 1,
        3 * PART,
        4 * PART - 1,
        4 * PART,
        9 * PART + 1,
    ];
    let files = || sizes.iter().map(|size| seeded(&format!("{size}"), *size, *size)).collect::<Vec<_>>();
    save(&store, backup(ID, files(), files())).await.unwrap();
    whole(&store, &bucket, &backup(ID, files(), files())).await;
    save(&store, backup(id(1, 101, 2), vec![], vec![])).await.unwrap();
    whole(&store, &bucket, &backup(id(1, 101, 2), vec![], vec![])).await;

    let long = seeded_bytes(3, 300_000);
    let mut announced = file("announced", MemorySource::new(long.clone()));
    announced.len = Some(200_000);
    let growing = file("growing", MemorySource::new(long.clone()).growing(1000));
    save(&store, backup(id(1, 102, 2), vec![], vec![announced, growing])).await.unwrap();
    assert!(bucket.inner().bytes("1/102/2/segments/announced").unwrap() == long[..200_000]);
    assert!(bucket.inner().bytes("1/102/2/segments/growing").unwrap() == long);
    assert!(store.verify(id(1, 102, 2), milepost_core::VerifyLevel::Content, &cx()).await.unwrap().ok());
}

#[tokio::test]
async fn a_cancel_at_every_request_is_tidy() {
    let mut points = 0;
    for at in 1.. {
        let bucket = faulty();
        let gate = Gate::new();
        bucket.inject(On::any().nth(at), Fault::Hold(gate.clone()));
        let (store, context) = (store(&bucket, 1), cx());
        let saving = tokio::spawn({
            let (store, context) = (store.clone(), context.clone());
            async move { store.save(sample(ID), SaveOptions::default(), &context).await }
        });
        let held = tokio::select! {
            () = gate.reached() => true,
            () = async { while !saving.is_finished() { tokio::task::yield_now().await; } } => false,
        };
        if !held {
            saving.await.unwrap().unwrap();
            break;
        }
        points += 1;
        let what = bucket.trace().calls.last().unwrap().to_string();
        context.cancel();
        gate.open();
        match saving.await.unwrap() {
            Ok(_) => assert_eq!(code(&bucket, ID), Some(StatusCode::Completed), "{at} {what}"),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Cancelled), "{at} {what}: {error:?}");
                assert!(matches!(code(&bucket, ID), None | Some(StatusCode::Failed)), "{at} {what}");
                assert_eq!(bucket.inner().open_upload_count(), 0, "{at} {what}");
            }
        }
        assert_eq!(bucket.requests().of(CallKind::Delete), 0);
    }
    assert!(points > 15, "{points}");
    eprintln!("{points} points of cancelling");
}

#[tokio::test(start_paused = true)]
async fn a_cancel_while_the_claim_is_unknown_gives_it_up() {
    let bucket = faulty();
    let (claim, gate) = (On::call(CallKind::Put).key_ending("status.json"), Gate::new());
    bucket.inject(claim, Fault::After(BucketErrorKind::Timeout));
    bucket.inject(On::call(CallKind::Get).key_ending("status.json"), Fault::Hold(gate.clone()));
    let (store, context) = (store(&bucket, 1), cx());
    let (result, ()) = tokio::join!(store.save(tiny(ID), SaveOptions::default(), &context), async {
        gate.reached().await;
        context.cancel();
        gate.open();
    });
    assert!(matches!(result.unwrap_err().kind(), ErrorKind::Cancelled));
    assert_eq!(code(&bucket, ID), Some(StatusCode::Failed));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_gives_the_backup_up_and_the_reservation_goes_after_the_last_read() {
    let bucket = faulty();
    let gate = Gate::new();
    bucket.inject(On::call(CallKind::Put).key_ending("2.log"), Fault::Hold(gate));
    let reservation = Arc::new(());
    let mut reserved = sample(ID);
    reserved.reservation = Some(Box::new(Arc::clone(&reservation)));
    let store = store(&bucket, 1);
    let context = cx().with_timeout(Duration::from_secs(60));
    let (result, ()) = tokio::join!(store.save(reserved, SaveOptions::default(), &context), async {
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert_eq!(Arc::strong_count(&reservation), 2, "the files are still needed");
    });
    assert!(matches!(result.unwrap_err().kind(), ErrorKind::Deadline));
    assert_eq!(Arc::strong_count(&reservation), 1);
    assert_eq!(code(&bucket, ID), Some(StatusCode::Failed));
    assert_eq!(bucket.inner().open_upload_count(), 0);
    // The dropped reservation did not keep the next attempt from finishing.
    let report = next(&bucket, 2).save(sample(ID), resume(), &cx()).await.unwrap();
    assert!(report.bytes_sent < 3 * PART + 1107);
}

#[tokio::test]
async fn a_cancel_does_not_wait_for_a_read_that_hangs() {
    let bucket = faulty();
    let blocked = BlockedSource::new(seeded_bytes(1, 100));
    let mut hanging = tiny(ID);
    hanging.segments[0].source = Arc::new(blocked.clone());
    let (store, context) = (store(&bucket, 1), cx());
    let saving = tokio::spawn({
        let context = context.clone();
        async move { store.save(hanging, SaveOptions::default(), &context).await }
    });
    while code(&bucket, ID).is_none() {
        tokio::task::yield_now().await;
    }
    context.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(20), saving).await;
    blocked.release();
    assert!(matches!(ended.unwrap().unwrap().unwrap_err().kind(), ErrorKind::Cancelled));
    assert_eq!(code(&bucket, ID), Some(StatusCode::Failed));
}

#[tokio::test]
async fn resume_sends_only_what_is_missing_and_keeps_parts() {
    let bucket = faulty();
    bucket.crash_on(
        On::call(CallKind::UploadPart).nth(3),
        milepost_testkit::faulty::Point::Before,
        milepost_testkit::faulty::Crash::Hang,
    );
    assert!(until_crash(&bucket, save(&store(&bucket, 1), sample(ID))).await);
    let held = bucket
        .trace()
        .of(CallKind::UploadPart)
        .filter(|call| call.outcome == milepost_testkit::faulty::Outcome::Ok)
        .count();
    let bucket = bucket.successor();
    let store = store(&bucket, 2);
    let report = store.save(sample(ID), resume(), &cx()).await.unwrap();
    assert!(held > 0 && report.bytes_sent <= 3 * PART + 7 - held as u64 * PART + 1100, "{held} {}", report.bytes_sent);
    assert_eq!(bucket.requests().of(CallKind::CreateUpload), 0, "{}", bucket.trace());
    assert_eq!(bucket.requests().of(CallKind::UploadPart), 4 - held as u64);
    whole(&store, &bucket, &sample(ID)).await;
    // Differing now: refused, and nothing is written.
    let bucket = bucket.successor();
    let mut other = sample(ID);
    other.snapshots[0] = seeded("a.sst", 77, 100);
    let error = common::store(&bucket, 3).save(other, resume(), &cx()).await.unwrap_err();
    assert!(error.message().contains("snapshots/a.sst"), "{error:?}");
    assert_eq!(bucket.requests().writes(), 0);
}

#[tokio::test]
async fn each_byte_is_read_once_few_files_are_open_and_a_tiny_budget_does_not_lock() {
    let bucket = faulty();
    let mut tight = settings();
    tight.memory_budget = tight.multipart_threshold;
    tight.concurrency = 7;
    let store = store_with(&bucket, 1, tight);
    let counting = CountingSource::new(Arc::new(MemorySource::new(seeded_bytes(0, 5 * PART as usize))));
    let mut size = 0;
    let files: Vec<_> = (0..3000u64)
        .map(|n| {
            let len = if n % 100 == 0 { 5 * PART + n } else { n % 50 };
            size += len;
            let bytes = seeded_bytes(n, usize::try_from(len).unwrap());
            let mut entry = seeded(&format!("{n:04}"), 0, 0);
            entry.source = Arc::new(counting.beside(Arc::new(MemorySource::new(bytes))));
            entry
        })
        .collect();
    drop(counting.open());
    save(&store, backup(ID, vec![], files)).await.unwrap();
    assert_eq!(counting.bytes_read(), size);
    assert!(counting.most_open() <= 8, "{}", counting.most_open());
    assert_eq!(state(&store, ID).await, S::Completed);
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_move_contents_at_once_than_the_setting_says() {
    let bucket = faulty();
    let gate = Gate::new();
    for kind in [CallKind::Put, CallKind::UploadPart] {
        bucket.inject(On::call(kind).key_containing("/segments/").always(), Fault::Hold(gate.clone()));
    }
    let store = store(&bucket, 1);
    let files: Vec<_> = (0..8).map(|n| seeded(&format!("{n}"), n, if n % 2 == 0 { 5 * PART } else { 10 })).collect();
    let (result, ()) = tokio::join!(save(&store, backup(ID, vec![], files)), async {
        gate.reached().await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let trace = bucket.trace();
        let moving = trace.of(CallKind::Put).chain(trace.of(CallKind::UploadPart));
        let moving = moving.filter(|call| call.key.contains("/segments/")).count();
        assert_eq!(moving, settings().concurrency, "{trace}");
        gate.open();
    });
    result.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_kept_and_a_failure_behind_a_long_wait_is_retried() {
    let bucket = faulty();
    let mut slow = settings();
    slow.rate_limit = std::num::NonZeroU64::new(10_000);
    slow.sign_of_life = Duration::from_secs(3600);
    let store = store_with(&bucket, 1, slow);
    // The last file waits for more than the retry budget before its first try.
    bucket.inject(On::call(CallKind::Put).key_ending("9.log"), Fault::Before(BucketErrorKind::Unavailable));
    let files: Vec<_> = (0..10).map(|n| seeded(&format!("{n}.log"), n, 100_000)).collect();
    let began = tokio::time::Instant::now();
    save(&store, backup(ID, vec![], files)).await.unwrap();
    let took = began.elapsed().as_secs();
    assert!((90..=121).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn refusals_end_at_once_and_a_dead_store_within_its_budget() {
    for (kind, name) in [(BucketErrorKind::Denied, "denied"), (BucketErrorKind::NoSpace, "refused")] {
        let bucket = faulty();
        bucket.inject(On::call(CallKind::Put).key_ending("2.log").always(), Fault::Before(kind));
        let began = tokio::time::Instant::now();
        let error = save(&store(&bucket, 1), sample(ID)).await.unwrap_err();
        assert_eq!((error.kind().name(), began.elapsed()), (name, Duration::ZERO), "{error:?}");
        assert_eq!(code(&bucket, ID), Some(StatusCode::Failed));
        assert_eq!(bucket.inner().open_upload_count(), 0);
    }
    for call in [On::any(), On::call(CallKind::Put), On::call(CallKind::Put).key_ending("2.log")] {
        let bucket = faulty();
        bucket.inject(call.always(), Fault::Before(BucketErrorKind::Unavailable));
        let began = tokio::time::Instant::now();
        let error = save(&store(&bucket, 1), sample(ID)).await.unwrap_err();
        assert_eq!(error.kind().name(), "unavailable");
        let took = began.elapsed().as_secs();
        assert!((20..=31).contains(&took), "{took}");
    }
    let bucket = faulty();
    bucket.inner().set_capacity(Some(1000));
    let error = save(&store(&bucket, 1), sample(ID)).await.unwrap_err();
    assert_eq!((error.kind().name(), bucket.requests().writes()), ("refused", 0), "{error:?}");
    // What is there already needs no room.
    let bucket = made(Begin::InProgress).await;
    let free = bucket.inner();
    free.set_capacity(Some(free.keys().iter().map(|key| free.bytes(key).unwrap().len() as u64).sum::<u64>() + 4000));
    store(&bucket, 2).save(sample(ID), resume(), &cx()).await.unwrap();
}
