//! mark_failed and annotate: one document, meant for that document alone.
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
use milepost_core::document::Verification;
use milepost_core::{Hold, HoldId, StatusCode, Timestamp, VerifyLevel};
use milepost_store::env::SeededRandom;
use milepost_store::{Annotation, BackupStore as _, BucketErrorKind, ETag, ErrorKind, Expect};
use milepost_testkit::faulty::{CallKind, Fault, Gate, On};

fn hold(n: u8) -> Annotation {
    Annotation::Hold(Hold {
        id: HoldId::from_random([n; 16]),
        reason: "audit".to_owned(),
        owner: "ops".to_owned(),
        created_at: Timestamp::UNIX_EPOCH,
    })
}

fn release(n: u8) -> Annotation {
    Annotation::Release(HoldId::from_random([n; 16]))
}

fn verified(ok: bool) -> Annotation {
    Annotation::Verified(Verification { level: VerifyLevel::Content, at: Timestamp::UNIX_EPOCH, ok })
}

async fn annotate(store: &Store, change: Annotation) -> milepost_store::Result<milepost_store::BackupStatus> {
    store.annotate(ID, change, Expect::Any, &cx()).await
}

fn status_put() -> On {
    On::call(CallKind::Put).key_ending("status.json")
}

#[tokio::test(start_paused = true)]
async fn lost_replies_are_settled() {
    for fault in [
        Fault::After(BucketErrorKind::Timeout),
        Fault::Before(BucketErrorKind::Unavailable),
        Fault::Before(BucketErrorKind::Precondition),
        Fault::Late(Duration::from_millis(30)),
        Fault::Late(Duration::from_secs(3600)),
        Fault::Repeat,
    ] {
        for begin in [Begin::Absent, Begin::InProgress, Begin::Completed] {
            let bucket = made(begin).await;
            bucket.inject(status_put(), fault.clone());
            mark_failed(&store(&bucket, 2), ID).await.unwrap_or_else(|error| panic!("{begin:?} {fault:?}: {error:?}"));
            let failed = document(&bucket, ID).unwrap();
            tokio::time::sleep(Duration::from_secs(7200)).await;
            assert_eq!(document(&bucket, ID).unwrap(), failed);
            assert_eq!(failed.status_code, StatusCode::Failed);
            assert_eq!(failed.metadata_sha256.is_some(), begin == Begin::Completed);
        }
        let bucket = made(Begin::Completed).await;
        for (n, change) in [hold(1), verified(true), release(1)].into_iter().enumerate() {
            bucket.inject(status_put().nth(1), fault.clone());
            let status = annotate(&store(&bucket, 3 + n as u64), change).await;
            status.unwrap_or_else(|error| panic!("{n} {fault:?}: {error:?}"));
            tokio::time::sleep(Duration::from_secs(7200)).await;
        }
        let after = document(&bucket, ID).unwrap();
        assert!(after.holds.is_empty() && after.verified.unwrap().ok);
        assert_eq!(after.status_code, StatusCode::Completed);
    }
}

#[tokio::test]
async fn another_document_than_the_one_meant_is_a_conflict() {
    for begin in [Begin::Absent, Begin::InProgress, Begin::Completed, Begin::Failed] {
        let bucket = made(begin).await;
        let store = store(&bucket, 2);
        let seen = document(&bucket, ID);
        let mut wrong = vec![Expect::ETag(ETag("other".to_owned()))];
        if let Some(seen) = &seen {
            wrong.push(Expect::Revision { attempt: seen.attempt_id.clone(), revision: seen.revision + 1 });
        }
        for expect in wrong {
            let error = store.mark_failed(ID, "x", expect.clone(), &cx()).await.unwrap_err();
            assert_eq!(error.kind().name(), "conflict", "{begin:?} {error:?}");
            if begin == Begin::Completed {
                let error = store.annotate(ID, hold(1), expect, &cx()).await.unwrap_err();
                assert_eq!(error.kind().name(), "conflict", "{error:?}");
            }
        }
        assert_eq!(bucket.requests().writes(), 0);
        if let Some(seen) = seen {
            let right = Expect::Revision { attempt: seen.attempt_id, revision: seen.revision };
            store.mark_failed(ID, "x", right, &cx()).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_in_between_is_a_conflict() {
    let bucket = faulty();
    let (content, marking) = (Gate::new(), Gate::new());
    bucket.inject(On::call(CallKind::Put).key_ending("2.log"), Fault::Hold(content.clone()));
    let other = bucket.successor();
    other.inject(status_put(), Fault::Hold(marking.clone()));
    let (saver, marker) = (store(&bucket, 1), store(&other, 2));
    let (saved, marked) = tokio::join!(save(&saver, sample(ID)), async {
        content.reached().await;
        let (marked, ()) = tokio::join!(mark_failed(&marker, ID), async {
            marking.reached().await;
            tokio::time::sleep(Duration::from_secs(15)).await;
            marking.open();
        });
        content.open();
        marked
    });
    let error = marked.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Conflict { owner: Some(_) }), "{error:?}");
    saved.unwrap();
    assert_eq!(code(&bucket, ID), Some(StatusCode::Completed));
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_annotation_on_top_or_in_between() {
    // Landed, reply lost, another hold on top: landed.
    for (fault, expect_any) in
        [(Fault::After(BucketErrorKind::Timeout), true), (Fault::After(BucketErrorKind::Timeout), false)]
    {
        let bucket = made(Begin::Completed).await;
        let gate = Gate::new();
        bucket.inject(status_put(), fault);
        bucket.inject(On::call(CallKind::Get).key_ending("status.json").nth(2), Fault::Hold(gate.clone()));
        let (store, context) = (store(&bucket, 2), cx());
        let seen = next(&bucket, 8).status(ID, &cx()).await.unwrap().expect();
        let expect = if expect_any { Expect::Any } else { seen };
        let (ours, ()) = tokio::join!(store.annotate(ID, hold(1), expect, &context), async {
            gate.reached().await;
            annotate(&next(&bucket, 3), hold(2)).await.unwrap();
            gate.open();
        });
        ours.unwrap();
        assert_eq!(document(&bucket, ID).unwrap().holds.len(), 2);
    }
    // Another annotation first: applied again for Any, a Conflict for an expected document.
    for expect_any in [true, false] {
        let bucket = made(Begin::Completed).await;
        let gate = Gate::new();
        bucket.inject(status_put(), Fault::Hold(gate.clone()));
        let (store, context) = (store(&bucket, 2), cx());
        let seen = next(&bucket, 8).status(ID, &cx()).await.unwrap().expect();
        let expect = if expect_any { Expect::Any } else { seen };
        let (ours, ()) = tokio::join!(store.annotate(ID, hold(1), expect, &context), async {
            gate.reached().await;
            annotate(&next(&bucket, 3), hold(2)).await.unwrap();
            gate.open();
        });
        match ours {
            Ok(status) => assert!(expect_any && status.document.unwrap().holds.len() == 2),
            Err(error) => assert!(!expect_any && error.kind().name() == "conflict", "{error:?}"),
        }
    }
}

#[tokio::test]
async fn of_hold_and_delete_exactly_one_wins() {
    let mut held = 0;
    for seed in 0..200 {
        let random = SeededRandom::new(seed);
        let bucket = made(Begin::Completed).await;
        let (one, two) = (bucket.successor(), bucket.successor());
        for side in [&one, &two] {
            for nth in 1..4 {
                if random.next().is_multiple_of(2) {
                    side.inject(On::any().nth(nth), Fault::Delay(Duration::from_micros(random.next() % 300)));
                }
            }
            if random.next().is_multiple_of(4) {
                side.inject(status_put(), Fault::After(BucketErrorKind::Timeout));
            }
        }
        let (holder, deleter) = (store(&one, 2), store(&two, 3));
        let (hold, delete) = tokio::join!(annotate(&holder, hold(1)), delete(&deleter, ID));
        match (&hold, &delete) {
            (Ok(_), Err(error)) => {
                held += 1;
                assert!(
                    matches!(error.kind(), ErrorKind::Held { .. } | ErrorKind::Conflict { .. }),
                    "{seed} {error:?}"
                );
                whole(&next(&bucket, 4), &bucket, &sample(ID)).await;
            }
            (Err(error), Ok(_)) => {
                let fair = matches!(
                    error.kind(),
                    ErrorKind::Conflict { .. } | ErrorKind::NotFound | ErrorKind::WrongState { .. }
                );
                assert!(fair, "{seed} {error:?}");
                assert_eq!(code(&bucket, ID), Some(StatusCode::Deleted), "{seed}");
            }
            both => panic!("seed {seed}: {both:?}"),
        }
    }
    assert!((1..200).contains(&held), "{held} of 200: the interleavings are one-sided");
}

#[tokio::test]
async fn holds_have_limits_and_forbid_delete_and_mark_failed() {
    let bucket = made(Begin::Completed).await;
    let store = store(&bucket, 2);
    assert_eq!(annotate(&store, release(9)).await.unwrap_err().kind().name(), "not_found");
    for n in 0..16 {
        annotate(&store, hold(n)).await.unwrap();
    }
    annotate(&store, hold(3)).await.unwrap();
    assert_eq!(annotate(&store, hold(16)).await.unwrap_err().kind().name(), "invalid_input");
    for error in [delete(&store, ID).await.unwrap_err(), mark_failed(&store, ID).await.unwrap_err()] {
        let ErrorKind::Held { holds } = error.kind() else { panic!("{error:?}") };
        assert_eq!(holds.len(), 16);
    }
    for n in 0..16 {
        annotate(&store, release(n)).await.unwrap();
    }
    let Annotation::Hold(mut long) = hold(1) else { unreachable!() };
    long.reason = "r".repeat(1025);
    assert_eq!(annotate(&store, Annotation::Hold(long)).await.unwrap_err().kind().name(), "invalid_input");
    delete(&store, ID).await.unwrap();
    assert_eq!(annotate(&store, hold(1)).await.unwrap_err().kind().name(), "not_found");
    for begin in [Begin::InProgress, Begin::Failed, Begin::Deleting, Begin::Corrupt] {
        let bucket = made(begin).await;
        let error = annotate(&common::store(&bucket, 2), hold(1)).await.unwrap_err();
        assert_eq!(error.kind().name(), "wrong_state", "{begin:?} {error:?}");
    }
}
