//! A hold and a delete of the same backup cannot both win.
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
use milepost_core::{CheckpointId, Hold, HoldId, StatusCode, Timestamp};
use milepost_store::hold::{HoldTarget, Release, hold, release};
use milepost_testkit::faulty::{CallKind, Fault, Gate, On};

fn audit() -> Hold {
    Hold {
        id: HoldId::from_random([7; 16]),
        reason: "audit".to_owned(),
        owner: "ops".to_owned(),
        created_at: Timestamp::UNIX_EPOCH,
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_races_a_delete_wins_or_says_that_the_delete_was_first() {
    // (who is let through first, does the hold win)
    for hold_first in [true, false] {
        let bucket = made(Begin::Completed).await;
        let other = bucket.successor();
        let gate = Gate::new();
        let slow = if hold_first { &bucket } else { &other };
        slow.inject(On::call(CallKind::Put).key_ending("status.json"), Fault::Hold(gate.clone()));
        let (deleter, holder, context) = (store(&bucket, 2), store(&other, 3), cx());
        let (hold_it, delete_it) = (audit(), delete(&deleter, ID));
        let held = hold(&holder, HoldTarget::Backup(ID), &hold_it, &context);
        let (deleted, held) = if hold_first {
            tokio::join!(delete_it, async {
                gate.reached().await;
                let held = held.await;
                gate.open();
                held
            })
        } else {
            let (held, deleted) = tokio::join!(held, async {
                gate.reached().await;
                let deleted = delete_it.await;
                gate.open();
                deleted
            });
            (deleted, held)
        };
        let document = document(&bucket, ID).unwrap();
        if hold_first {
            held.unwrap();
            assert_eq!(deleted.unwrap_err().kind().exit_code(), 5);
            assert_eq!((document.status_code, document.holds.len()), (StatusCode::Completed, 1));
            // Asked again, the delete meets the hold by name.
            let error = delete(&deleter, ID).await.unwrap_err();
            assert!(error.kind().exit_code() == 7 && error.message().contains("by ops (audit)"), "{error:?}");
        } else {
            deleted.unwrap();
            let error = held.unwrap_err();
            assert!(error.message().contains("DELETED"), "{error:?}");
            assert_eq!((document.status_code, document.holds.len()), (StatusCode::Deleted, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_goes_at_the_same_moment_is_told_and_the_others_are_held() {
    let bucket = faulty();
    let store = store(&bucket, 1);
    for node in 1..=3 {
        save(&store, tiny(id(1, 5, node))).await.unwrap();
    }
    let gate = Gate::new();
    bucket.inject(On::call(CallKind::Put).key_containing("1/5/2/status"), Fault::Hold(gate.clone()));
    let (context, audit) = (cx(), audit());
    let (report, ()) = tokio::join!(hold(&store, HoldTarget::Checkpoint(CheckpointId(5)), &audit, &context), async {
        gate.reached().await;
        delete(&next(&bucket, 2), id(1, 5, 2)).await.unwrap();
        gate.open();
    });
    let report = report.unwrap();
    assert_eq!(report.done.iter().map(|(id, _)| id.node.0).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(report.failed.len(), 1, "{report:?}");
    assert_eq!(report.failed[0].0, id(1, 5, 2));
    let released = release(&store, HoldTarget::Checkpoint(CheckpointId(5)), &Release::One(audit.id), &context).await;
    assert_eq!(released.unwrap().done.len(), 2);
}
