//! Verifying many backups: which, in what order, what is recorded, and what is said where it cannot be.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests and their helpers")]
#![allow(unreachable_pub, reason = "the helpers are a module of each test binary")]

mod common;

use common::*;
use milepost_core::lifecycle::Annotation;
use milepost_core::{BackupId, CheckpointId, Selector, Timestamp, Verification, VerifyLevel};
use milepost_store::bucket::BucketErrorKind;
use milepost_store::env::FixedClock;
use milepost_store::verifying::{Selected, Selection, Verdict, VerifyOptions, VerifyingReport, select, verify};
use milepost_store::{BackupStore as _, ErrorKind, Expect};
use milepost_testkit::faulty::{CallKind, Fault, On};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn selection(change: impl FnOnce(&mut Selection)) -> Selection {
    let mut selection = Selection::default();
    change(&mut selection);
    selection
}

async fn selected(store: &Store, change: impl FnOnce(&mut Selection)) -> Selected {
    select(store, &selection(change), &cx()).await.unwrap()
}

fn ids(selected: &Selected) -> Vec<BackupId> {
    selected.chosen.iter().map(|chosen| chosen.id).collect()
}

async fn verified(store: &Store, chosen: &Selected, record: Option<&FixedClock>) -> VerifyingReport {
    let clock = record.map(|clock| clock as &dyn milepost_store::Clock);
    verify(store, &chosen.chosen, &VerifyOptions::default(), clock, &|_| {}, &cx()).await
}

/// Three checkpoints of two partitions.
async fn six() -> (Faulty, Store) {
    let bucket = faulty();
    let store = store(&bucket, 1);
    for checkpoint in 1..=3 {
        for partition in 1..=2 {
            save(&store, tiny(id(partition, checkpoint, 1))).await.unwrap();
        }
    }
    (bucket, store)
}

async fn proven(store: &Store, id: BackupId, second: i64) {
    let verified = Verification { level: VerifyLevel::Objects, at: at(second), ok: true };
    store.annotate(id, Annotation::Verified(verified), Expect::Any, &cx()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_proven_longest_ago_comes_first_and_what_never_was_before_all() {
    let (_, store) = six().await;
    assert_eq!(ids(&selected(&store, |_| {}).await)[..2], [id(1, 3, 1), id(2, 3, 1)], "the newest without an order");
    proven(&store, id(1, 3, 1), 200).await;
    proven(&store, id(2, 3, 1), 100).await;
    proven(&store, id(1, 1, 1), 300).await;
    let order = ids(&selected(&store, |s| s.oldest_first = true).await);
    assert_eq!(order, [id(1, 2, 1), id(2, 2, 1), id(2, 1, 1), id(2, 3, 1), id(1, 3, 1), id(1, 1, 1)]);

    // Two at a time, each round takes the next ones, until all had their turn.
    let clock = FixedClock::new(at(1000));
    let mut seen = Vec::new();
    for round in 0..3 {
        clock.set(at(1000 + round));
        let chosen = selected(&store, |s| (s.oldest_first, s.limit) = (true, Some(2))).await;
        let report = verified(&store, &chosen, Some(&clock)).await;
        assert_eq!((report.number(Verdict::Whole), report.recorded()), (2, 2));
        seen.extend(ids(&chosen));
    }
    assert_eq!(seen, order);
}

#[tokio::test(start_paused = true)]
async fn a_selection_narrows_samples_and_says_what_it_left() {
    let (bucket, store) = six().await;
    mark_failed(&store, id(9, 9, 9)).await.unwrap();
    let found = selected(&store, |s| s.selector.checkpoint = Some(CheckpointId(2))).await;
    assert_eq!((ids(&found), found.completed), (vec![id(1, 2, 1), id(2, 2, 1)], 2));
    let found = selected(&store, |s| s.selector = Selector::one(id(9, 9, 9))).await;
    assert_eq!((found.chosen.len(), found.unfinished, found.is_empty()), (0, 1, false));
    assert!(selected(&store, |s| s.selector.checkpoint = Some(CheckpointId(7))).await.is_empty());

    let half = |seed: u64| selected(&store, move |s| (s.sample, s.seed) = (Some("50".parse().unwrap()), seed));
    let (first, again) = (half(1).await, half(1).await);
    assert_eq!((first.chosen.len(), first.completed, ids(&first)), (3, 6, ids(&again)));
    let mut others = 0;
    for seed in 2..20 {
        others += usize::from(ids(&half(seed).await) != ids(&first));
    }
    assert!(others > 10, "{others}");

    bucket.inner().put_raw("2/3/1/status.json", "{ not json");
    let found = selected(&store, |s| s.limit = Some(1)).await;
    assert_eq!((found.chosen.len(), found.unreadable.len()), (1, 1), "damage is never sampled away");
    assert!(found.unreadable[0].id == id(2, 3, 1) && !found.unreadable[0].newer);
}

#[tokio::test(start_paused = true)]
async fn damage_is_found_recorded_and_does_not_stop_the_others() {
    let (bucket, store) = six().await;
    bucket.inner().remove_raw("1/3/1/segments/1.log");
    bucket.inner().put_raw("2/2/1/metadata.json", "{}");
    let clock = FixedClock::new(at(50));
    let report = verified(&store, &selected(&store, |_| {}).await, Some(&clock)).await;
    assert_eq!((report.number(Verdict::Whole), report.number(Verdict::Damaged), report.recorded()), (4, 2, 6));
    assert!(report.stopped.is_none() && report.unrecorded.is_none() && report.untried == 0);
    for (partition, checkpoint, ok) in [(1, 3, false), (2, 2, false), (1, 1, true)] {
        let said = document(&bucket, id(partition, checkpoint, 1)).unwrap().verified;
        assert_eq!(said, Some(Verification { level: VerifyLevel::Checksums, at: at(50), ok }));
    }
    let lost = report.backups.iter().find(|one| one.id == id(1, 3, 1)).unwrap();
    assert!(lost.damage().any(|finding| finding.key == "1/3/1/segments/1.log"));
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_write_it_goes_on_and_asks_once() {
    let (bucket, store) = six().await;
    bucket.inject(On::call(CallKind::Put).always(), Fault::Before(BucketErrorKind::Denied));
    bucket.reset();
    let clock = FixedClock::new(at(50));
    let report = verified(&store, &selected(&store, |_| {}).await, Some(&clock)).await;
    assert_eq!((report.number(Verdict::Whole), report.recorded()), (6, 0));
    assert!(report.unrecorded.is_some() && report.stopped.is_none());
    assert_eq!(bucket.requests().of(CallKind::Put), 1, "one refusal is enough");
    assert_eq!(document(&bucket, id(1, 1, 1)).unwrap().verified, None);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_goes_away_ends_it_and_what_was_not_looked_at_is_counted() {
    let (bucket, _) = six().await;
    let mut short = settings();
    short.retry_budget = std::time::Duration::ZERO;
    let store = store_with(&bucket, 2, short);
    let chosen = selected(&store, |_| {}).await;
    bucket
        .inject(On::call(CallKind::Get).key_containing("1/2/1/").always(), Fault::Before(BucketErrorKind::Unavailable));
    let report = verified(&store, &chosen, None).await;
    assert_eq!((report.backups.len(), report.untried), (2, 4));
    assert!(matches!(report.stopped.unwrap().kind(), ErrorKind::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_meanwhile_is_no_damage() {
    let (_, store) = six().await;
    let chosen = selected(&store, |_| {}).await;
    delete(&store, id(1, 2, 1)).await.unwrap();
    mark_failed(&store, id(2, 2, 1)).await.unwrap();
    let clock = FixedClock::new(at(50));
    let report = verified(&store, &chosen, Some(&clock)).await;
    assert_eq!((report.number(Verdict::Whole), report.number(Verdict::Gone)), (4, 2));
    assert_eq!((report.number(Verdict::Damaged), report.recorded()), (0, 4));
}
