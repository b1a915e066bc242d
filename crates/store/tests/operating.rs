//! Bad luck of whoever operates a store: damage among much that is whole, clocks that are wrong by a day.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests and their helpers")]
#![allow(unreachable_pub, reason = "the helpers are a module of each test binary")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use milepost_core::retention::{Action, RetentionPolicy};
use milepost_core::{BackupId, CheckpointId, Layout, Timestamp};
use milepost_store::checkpoints::latest;
use milepost_store::env::{Clock, Env};
use milepost_store::prune::{PruneOptions, execute, plan};
use milepost_store::{BackupState, BucketBackupStore, ListEntry};
use milepost_testkit::faulty::{CallKind, Crash, On, Point};
use milepost_testkit::fixtures::test_env;
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

fn policy(change: impl FnOnce(&mut RetentionPolicy)) -> RetentionPolicy {
    let mut policy = RetentionPolicy::default();
    change(&mut policy);
    policy
}

#[tokio::test(start_paused = true)]
async fn five_damaged_backups_among_a_thousand_are_named_and_hide_nothing() {
    const CHECKPOINTS: u64 = 334;
    let bucket = faulty();
    let store = store(&bucket, 1);
    for checkpoint in 1..=CHECKPOINTS {
        for partition in 1..=3 {
            save(&store, tiny(id(partition, checkpoint, 1))).await.unwrap();
        }
    }
    let mut damaged: Vec<BackupId> = [1, 100, 200, 300, CHECKPOINTS].map(|checkpoint| id(2, checkpoint, 1)).to_vec();
    for id in &damaged {
        bucket.inner().put_raw(format!("{id}/status.json"), "{");
    }
    let listed = list(&store, Default::default()).await;
    let mut corrupt: Vec<BackupId> =
        listed.iter().filter(|entry| matches!(entry, ListEntry::Corrupt { .. })).map(ListEntry::id).collect();
    corrupt.sort();
    damaged.sort();
    assert_eq!((listed.len(), &corrupt), (1002, &damaged));

    let found = latest(&store, &cx()).await.unwrap();
    assert_eq!((found.checkpoint.id(), found.passed_over.len()), (CheckpointId(CHECKPOINTS - 1), 1));

    // What cannot be read is nobody's to delete; all else goes.
    tokio::time::sleep(25 * HOUR).await;
    let plan = plan(&store, &policy(|policy| policy.keep_last = Some(2)), &cx()).await.unwrap();
    assert!(plan.changes().all(|step| !damaged.contains(&step.id)));
    let report = execute(&store, &plan, &PruneOptions::default(), &|_, _| {}, &cx()).await;
    assert_eq!((report.deleted, report.untried, report.failed.len()), (1002 - 6 - 2 - 5, 0, 0), "{report:?}");
    let left = list(&store, Default::default()).await;
    assert_eq!(left.len(), 6 + 2 + 5);
}

/// The wall clock of a machine that is wrong by so many hours.
struct Wrong {
    begun: Instant,
    hours: i64,
}

impl Clock for Wrong {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.begun.elapsed().as_secs()).unwrap();
        Timestamp::from_second(1_795_255_200 + elapsed + self.hours * 3600).unwrap()
    }
}

/// Ages are the store's: whoever writes or prunes with a clock that is wrong by a day changes nothing.
#[tokio::test(start_paused = true)]
async fn clocks_that_disagree_by_a_day_neither_fence_nor_keep_nor_delete() {
    let begun = Instant::now();
    for (writer, pruner) in [(-25, 0), (25, 0), (0, 25), (0, -25), (-25, 25), (25, -25)] {
        let bucket = faulty();
        let wrong = |bucket: &Faulty, seed, hours| {
            let env = Env { clock: Arc::new(Wrong { begun, hours }), ..test_env(seed) };
            BucketBackupStore::new(bucket.clone(), Layout::default(), settings(), env).unwrap()
        };
        let saver = wrong(&bucket, 1, writer);
        for checkpoint in 1..=2 {
            for partition in 1..=3 {
                save(&saver, tiny(id(partition, checkpoint, 1))).await.unwrap();
            }
            tokio::time::sleep(2 * HOUR).await;
        }
        bucket.crash_on(On::call(CallKind::Put).key_ending("metadata.json"), Point::Before, Crash::Hang);
        assert!(until_crash(&bucket, save(&saver, sample(id(1, 3, 1)))).await);

        let bucket = bucket.successor();
        let store = wrong(&bucket, 2, pruner);
        // The save may live; both checkpoints are hours old, not days.
        let within = |hours| policy(move |policy| policy.keep_within = Some(hours * HOUR));
        let nothing = plan(&store, &within(5), &cx()).await.unwrap();
        assert_eq!(nothing.changes().count(), 0, "writer {writer} h, pruner {pruner} h: {nothing:?}");
        // The first is more than three hours old.
        let first = plan(&store, &within(3), &cx()).await.unwrap();
        assert!(first.changes().all(|step| step.action == Action::Delete && step.id.checkpoint.0 == 1), "{first:?}");
        assert_eq!(first.changes().count(), 3, "writer {writer} h, pruner {pruner} h: {first:?}");
        let report = execute(&store, &first, &PruneOptions::default(), &|_, _| {}, &cx()).await;
        assert_eq!((report.deleted, report.fenced, report.failed.len()), (3, 0, 0), "{report:?}");
        assert_eq!(state(&store, id(1, 3, 1)).await, BackupState::InProgress);
    }
}
