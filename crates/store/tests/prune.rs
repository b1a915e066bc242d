//! Prune over the memory bucket: the plan is what is done, in races and after failures too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests and their helpers"
)]
#![allow(unreachable_pub, reason = "the helpers are a module of each test binary")]

mod common;

use std::sync::Mutex;
use std::time::Duration;

use common::*;
use milepost_core::retention::{Action, RetentionPlan, RetentionPolicy, Step};
use milepost_core::{BackupId, CheckpointId, Hold, HoldId, StatusCode, Timestamp};
use milepost_store::prune::{Effect, PruneOptions, PruneReport, execute, plan};
use milepost_store::{Annotation, BackupState, BackupStore as _, BucketErrorKind, Expect, Result};
use milepost_testkit::faulty::{CallKind, Fault, Gate, On};

const HOUR: Duration = Duration::from_secs(3600);

/// Complete checkpoints of 3 partitions on 2 nodes, an hour apart.
async fn saved(store: &Store, checkpoints: impl IntoIterator<Item = u64>) {
    for checkpoint in checkpoints {
        for partition in 1..=3 {
            for node in 1..=2 {
                save(store, tiny(id(partition, checkpoint, node))).await.unwrap();
            }
        }
        tokio::time::sleep(HOUR).await;
    }
}

fn keep_last(count: u32) -> RetentionPolicy {
    let mut policy = RetentionPolicy::default();
    policy.keep_last = Some(count);
    policy
}

async fn planned(store: &Store, policy: &RetentionPolicy) -> RetentionPlan {
    plan(store, policy, &cx()).await.unwrap()
}

async fn done(store: &Store, plan: &RetentionPlan) -> PruneReport {
    execute(store, plan, &PruneOptions::default(), &|_, _| {}, &cx()).await
}

/// The checkpoints of which the store still shows anything.
async fn shown(store: &Store) -> Vec<u64> {
    let mut shown: Vec<u64> = list(store, Default::default()).await.iter().map(|e| e.id().checkpoint.0).collect();
    shown.dedup();
    shown
}

#[tokio::test(start_paused = true)]
async fn what_is_done_is_what_the_dry_run_said() {
    let bucket = faulty();
    let store = store(&bucket, 1);
    saved(&store, 1..=4).await;
    let policy = keep_last(2);
    let dry = planned(&store, &policy).await;
    assert_eq!(bucket.requests().of(CallKind::Delete), 0, "a plan deletes nothing");
    let did: Mutex<Vec<(BackupId, Action)>> = Mutex::default();
    let watch = |step: &Step, result: &Result<Effect>| {
        assert!(result.is_ok(), "{result:?}");
        did.lock().unwrap().push((step.id, step.action));
    };
    let report = execute(&store, &dry, &PruneOptions::default(), &watch, &cx()).await;
    let mut did = did.into_inner().unwrap();
    assert!(did[..6].iter().all(|(id, _)| id.checkpoint == CheckpointId(1)), "the oldest first: {did:?}");
    did.sort();
    let mut said: Vec<(BackupId, Action)> = dry.changes().map(|step| (step.id, step.action)).collect();
    said.sort();
    assert_eq!(did, said);
    assert_eq!((report.deleted, report.untried, report.failed.len()), (12, 0, 0), "{report:?}");
    assert_eq!((report.objects, report.bytes), (36, report.bytes));
    assert_eq!(report.proven, Some(CheckpointId(4)));
    assert_eq!(shown(&store).await, [4, 3]);
    assert_eq!(planned(&store, &policy).await.changes().count(), 0, "nothing is left to do");

    // A day later the tombstones go; a policy that contradicts itself is refused before a request.
    tokio::time::sleep(25 * HOUR).await;
    let report = done(&store, &planned(&store, &policy).await).await;
    assert_eq!((report.forgotten, report.deleted, report.failed.len()), (12, 0, 0), "{report:?}");
    assert_eq!(code(&bucket, id(1, 1, 1)), None);
    assert_eq!(planned(&store, &policy).await.checkpoints.len(), 2);
    let before = bucket.requests().total();
    let error = plan(&store, &keep_last(0), &cx()).await.unwrap_err();
    assert_eq!((error.kind().exit_code(), bucket.requests().total()), (2, before));
}

#[tokio::test(start_paused = true)]
async fn nothing_older_goes_before_a_survivor_was_seen_whole() {
    let bucket = faulty();
    let store = store(&bucket, 1);
    saved(&store, 1..=3).await;
    // One copy of partition 2 is damaged: the other proves the partition.
    bucket.inner().remove_raw("2/3/1/segments/1.log").unwrap();
    let dry = planned(&store, &keep_last(1)).await;
    let report = done(&next(&bucket, 2), &planned(&store, &keep_last(2)).await).await;
    assert_eq!((report.proven, report.deleted), (Some(CheckpointId(3)), 6), "{report:?}");
    assert_eq!(report.damaged.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id(2, 3, 1)]);

    // No copy of partition 2 is whole: nothing that can be restored goes.
    bucket.inner().remove_raw("2/3/2/segments/1.log").unwrap();
    bucket.reset();
    let report = done(&store, &dry).await;
    assert_eq!((report.proven, report.deleted), (None, 0), "{report:?}");
    assert!(report.untried >= 6 && report.damaged.len() == 2 && report.stopped.is_none(), "{report:?}");
    assert_eq!(bucket.requests().writes(), 0);

    // With another one that stays and is whole, what is older than that goes.
    saved(&store, 4..=4).await;
    bucket.inner().remove_raw("1/4/1/snapshots/a.sst").unwrap();
    bucket.inner().remove_raw("1/4/2/snapshots/a.sst").unwrap();
    saved(&store, [5]).await;
    for node in 1..=2 {
        bucket.inner().remove_raw(&format!("3/5/{node}/metadata.json")).unwrap();
    }
    let report = done(&store, &planned(&store, &keep_last(2)).await).await;
    assert_eq!((report.proven, report.deleted), (None, 0), "both that stay are damaged: {report:?}");
    assert_eq!(shown(&store).await, [5, 4, 3, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_hold_in_between_wins_and_blocks_no_other() {
    let bucket = faulty();
    let store = store(&bucket, 1);
    saved(&store, 1..=2).await;
    let dry = planned(&store, &keep_last(1)).await;
    let hold = Hold {
        id: HoldId::from_random([7; 16]),
        reason: "audit".to_owned(),
        owner: "ops".to_owned(),
        created_at: Timestamp::UNIX_EPOCH,
    };
    store.annotate(id(2, 1, 1), Annotation::Hold(hold), Expect::Any, &cx()).await.unwrap();
    let report = done(&store, &dry).await;
    assert_eq!((report.deleted, report.failed.len(), report.untried), (5, 1, 0), "{report:?}");
    let failure = &report.failed[0];
    assert_eq!((failure.id, failure.error.kind().exit_code()), (id(2, 1, 1), 7));
    assert!(failure.error.message().contains("by ops (audit)"), "{}", failure.error);
    whole(&store, &bucket, &tiny(id(2, 1, 1))).await;
    let again = planned(&store, &keep_last(1)).await;
    assert_eq!(again.changes().count(), 0);
    let reason = &again.steps().find(|step| step.id == id(2, 1, 1)).unwrap().reason;
    assert!(reason.starts_with("held: ") && reason.contains("audit"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_stale_save_is_fenced_at_the_revision_that_was_seen() {
    let bucket = faulty();
    saved(&store(&bucket, 1), 1..=1).await;
    bucket.crash_on(
        On::call(CallKind::Put).key_ending("metadata.json"),
        milepost_testkit::faulty::Point::Before,
        milepost_testkit::faulty::Crash::Hang,
    );
    let saver = store(&bucket, 2);
    assert!(until_crash(&bucket, save(&saver, sample(id(1, 2, 1)))).await);
    let store = next(&bucket, 3);
    let young = planned(&store, &keep_last(1)).await;
    assert_eq!(young.changes().count(), 0, "it may live");
    tokio::time::sleep(25 * HOUR).await;
    let stale = planned(&store, &keep_last(1)).await;
    assert_eq!(stale.changes().map(|step| step.action).collect::<Vec<_>>(), [Action::Fence]);
    // Its owner comes back to life between plan and deed.
    let next_process = next(&bucket, 4);
    next_process.save(sample(id(1, 2, 1)), resume(), &cx()).await.unwrap();
    let report = done(&store, &stale).await;
    assert_eq!((report.fenced, report.failed.len()), (0, 1), "{report:?}");
    assert_eq!(report.failed[0].error.kind().name(), "conflict");
    assert_eq!(state(&store, id(1, 2, 1)).await, BackupState::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_save_that_stopped_is_fenced_then_deleted_after_its_grace() {
    let bucket = faulty();
    let bucket = {
        saved(&store(&bucket, 1), 1..=1).await;
        bucket.crash_on(
            On::call(CallKind::Put).key_ending("metadata.json"),
            milepost_testkit::faulty::Point::Before,
            milepost_testkit::faulty::Crash::Hang,
        );
        assert!(until_crash(&bucket, save(&store(&bucket, 2), sample(id(1, 2, 1)))).await);
        bucket.successor()
    };
    let store = store(&bucket, 3);
    tokio::time::sleep(25 * HOUR).await;
    saved(&store, 3..=3).await;
    let report = done(&store, &planned(&store, &keep_last(2)).await).await;
    assert_eq!((report.fenced, report.deleted), (1, 0), "{report:?}");
    let failed = document(&bucket, id(1, 2, 1)).unwrap();
    assert_eq!(failed.status_code, StatusCode::Failed);
    assert!(failed.failure_reason.unwrap().starts_with("pruned: no sign of life for "));
    tokio::time::sleep(25 * HOUR).await;
    let report = done(&store, &planned(&store, &keep_last(2)).await).await;
    assert_eq!((report.deleted, report.proven), (1, None), "failed copies need no survivor: {report:?}");
    assert_eq!(bucket.inner().open_upload_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn two_prunes_at_once_do_the_same_work_without_a_quarrel() {
    for seed in 0..20 {
        let bucket = faulty();
        let first = store(&bucket, seed);
        saved(&first, 1..=3).await;
        let second = next(&bucket, seed + 100);
        let policy = keep_last(1);
        let (one, two) = (planned(&first, &policy).await, planned(&second, &policy).await);
        let (one, two) = tokio::join!(done(&first, &one), done(&second, &two));
        for report in [one, two] {
            assert!(report.failed.is_empty() && report.stopped.is_none() && report.untried == 0, "{seed}: {report:?}");
        }
        assert_eq!(shown(&first).await, [3]);
        whole(&first, &bucket, &tiny(id(1, 3, 1))).await;
        // Deletes and forgets at once, the tombstones of the same backups.
        tokio::time::sleep(25 * HOUR).await;
        let (one, two) = (planned(&first, &policy).await, planned(&second, &policy).await);
        let (one, two) = tokio::join!(done(&first, &one), done(&second, &two));
        assert!(one.failed.is_empty() && two.failed.is_empty(), "{seed}: {one:?} {two:?}");
        assert_eq!(planned(&first, &policy).await.checkpoints.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_survivor_that_goes_away_ends_the_prune() {
    let bucket = faulty();
    let store = store(&bucket, 1);
    saved(&store, 1..=3).await;
    let dry = planned(&store, &keep_last(1)).await;
    let gate = Gate::new();
    bucket.inject(On::call(CallKind::Delete).nth(1), Fault::Hold(gate.clone()));
    let (report, ()) = tokio::join!(done(&store, &dry), async {
        gate.reached().await;
        mark_failed(&next(&bucket, 9), id(1, 3, 1)).await.unwrap();
        gate.open();
    });
    let stopped = report.stopped.as_ref().unwrap();
    assert_eq!(stopped.kind().name(), "conflict", "{report:?}");
    assert!(stopped.message().contains("1/3/1 is FAILED now"), "{stopped}");
    assert_eq!((report.deleted, report.untried), (6, 6));
    assert_eq!(shown(&store).await, [3, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stops_answering_ends_it_and_the_next_run_continues() {
    let bucket = faulty();
    let first = store(&bucket, 1);
    saved(&first, 1..=3).await;
    let dry = planned(&first, &keep_last(1)).await;
    bucket.inject(On::call(CallKind::Delete).nth(3).times(1000), Fault::Before(BucketErrorKind::Unavailable));
    let report = done(&first, &dry).await;
    let stopped = report.stopped.as_ref();
    assert!(report.untried > 0, "{report:?}");
    assert!(stopped.is_some() || !report.failed.is_empty(), "{report:?}");
    let store = next(&bucket, 2);
    let rest = planned(&store, &keep_last(1)).await;
    assert!(rest.changes().any(|step| step.action == Action::Finish), "a delete was begun");
    let report = done(&store, &rest).await;
    assert_eq!((report.failed.len(), report.untried, report.stopped.is_none()), (0, 0, true), "{report:?}");
    // What lost its checkpoint to the failure may need its grace.
    tokio::time::sleep(25 * HOUR).await;
    done(&store, &planned(&store, &keep_last(1)).await).await;
    assert_eq!(shown(&store).await, [3]);
}

#[tokio::test(start_paused = true)]
async fn cancelling_leaves_what_the_next_run_does() {
    let bucket = faulty();
    let store = store(&bucket, 1);
    saved(&store, 1..=2).await;
    let dry = planned(&store, &keep_last(1)).await;
    let cx = cx();
    cx.cancel();
    let report = execute(&store, &dry, &PruneOptions::default(), &|_, _| {}, &cx).await;
    assert_eq!((report.deleted, report.untried), (0, 6));
    assert_eq!(report.stopped.unwrap().kind().exit_code(), 130);
    assert_eq!(done(&store, &dry).await.deleted, 6);
}
