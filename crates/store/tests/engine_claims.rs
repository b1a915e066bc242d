//! Who may claim an id, who may use a base, and what is refused before anything is written.
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
use futures::future::join_all;
use milepost_core::{ClusterId, PartitionId};
use milepost_store::{
    BackupState as S, BackupStore as _, BucketErrorKind, Error, ErrorKind, Expect, InitOptions, SaveOptions,
    SaveOutcome, StoreAdmin as _,
};
use milepost_testkit::faulty::{CallKind, Fault, Gate, On};

/// What a call ends with: the state afterwards, or the kind of error, with nothing changed.
#[derive(Debug, PartialEq, Eq)]
enum Ends {
    Ok(S),
    Err(&'static str),
}

fn ends<T>(result: Result<T, Error>, then: S) -> Ends {
    match result {
        Ok(_) => Ends::Ok(then),
        Err(error) => Ends::Err(error.kind().name()),
    }
}

#[tokio::test]
async fn every_cell_of_the_table() {
    use Begin as F;
    use Ends::{Err as E, Ok as O};
    let refused = || E("wrong_state");
    let newer = || E("refused");
    // from, save, resume, resume with another descriptor, mark_failed, delete, delete --corrupt
    let table = [
        (
            F::Absent,
            O(S::Completed),
            O(S::Completed),
            O(S::Completed),
            O(S::Failed),
            O(S::DoesNotExist),
            O(S::DoesNotExist),
        ),
        (F::InProgress, refused(), O(S::Completed), refused(), O(S::Failed), refused(), refused()),
        (F::Completed, refused(), O(S::Completed), refused(), O(S::Failed), O(S::DoesNotExist), O(S::DoesNotExist)),
        (F::Failed, refused(), O(S::Completed), refused(), O(S::Failed), O(S::DoesNotExist), O(S::DoesNotExist)),
        (
            F::FailedRecord,
            refused(),
            O(S::Completed),
            O(S::Completed),
            O(S::Failed),
            O(S::DoesNotExist),
            O(S::DoesNotExist),
        ),
        (F::FailedWasCompleted, refused(), refused(), refused(), O(S::Failed), O(S::DoesNotExist), O(S::DoesNotExist)),
        (F::Deleting, refused(), refused(), refused(), refused(), O(S::DoesNotExist), O(S::DoesNotExist)),
        (F::Deleted, refused(), refused(), refused(), refused(), O(S::DoesNotExist), O(S::DoesNotExist)),
        (F::Corrupt, refused(), refused(), refused(), refused(), refused(), O(S::DoesNotExist)),
        (F::Newer, newer(), newer(), newer(), newer(), newer(), newer()),
    ];
    for (from, save_ends, resume_ends, other_ends, mark_ends, delete_ends, corrupt_ends) in table {
        for (call, expected) in
            [save_ends, resume_ends, other_ends, mark_ends, delete_ends, corrupt_ends].into_iter().enumerate()
        {
            let bucket = made(from).await;
            let before = bucket.inner().bytes(STATUS);
            let store = store(&bucket, 2);
            let ended = match call {
                0 => ends(save(&store, sample(ID)).await, S::Completed),
                1 => ends(store.save(sample(ID), resume(), &cx()).await, S::Completed),
                2 => {
                    let mut other = sample(ID);
                    other.descriptor.checkpoint_position = Some(1);
                    ends(store.save(other, resume(), &cx()).await, S::Completed)
                }
                3 => ends(mark_failed(&store, ID).await, S::Failed),
                4 => ends(delete(&store, ID).await, S::DoesNotExist),
                _ => {
                    let options = delete_options(|options| options.corrupt = true);
                    ends(store.delete(ID, options, &cx()).await, S::DoesNotExist)
                }
            };
            assert_eq!(ended, expected, "{from:?}, call {call}");
            match ended {
                Ends::Ok(then) => {
                    assert_eq!(state(&store, ID).await, then, "{from:?}, call {call}");
                    if then == S::Completed {
                        whole(&store, &bucket, &sample(ID)).await;
                    }
                    if then == S::DoesNotExist {
                        let left: Vec<_> =
                            bucket.inner().keys().into_iter().filter(|key| key.starts_with("1/100/2/")).collect();
                        assert!(left.is_empty() || left == [STATUS], "{from:?}: {left:?}");
                    }
                }
                Ends::Err(_) => assert_eq!(bucket.inner().bytes(STATUS), before, "{from:?}, call {call}"),
            }
        }
    }
}

#[tokio::test]
async fn resume_of_a_committed_backup_writes_nothing_and_a_failed_one_keeps_its_first_reason() {
    let bucket = made(Begin::Completed).await;
    let report = store(&bucket, 2).save(sample(ID), resume(), &cx()).await.unwrap();
    assert_eq!((report.outcome, report.bytes_sent), (SaveOutcome::AlreadyComplete, 0));
    assert_eq!(bucket.requests().writes(), 0, "{}", bucket.trace());

    let bucket = made(Begin::Failed).await;
    let before = document(&bucket, ID);
    mark_failed(&store(&bucket, 2), ID).await.unwrap();
    assert_eq!(document(&bucket, ID), before);
    assert_eq!(bucket.requests().writes(), 0);
    let kept = made(Begin::FailedWasCompleted).await;
    assert!(document(&kept, ID).unwrap().metadata_sha256.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_reply_is_lost_is_won_at_whichever_try() {
    use BucketErrorKind::{Timeout, Unavailable};
    let late = |seconds| Fault::Late(Duration::from_secs(seconds));
    for faults in [
        vec![Fault::After(Unavailable)],
        vec![Fault::Before(Unavailable)],
        vec![Fault::Before(Timeout), Fault::After(Timeout)],
        // Lands between two tries, or while later work goes on; the second is another attempt each time.
        vec![Fault::Late(Duration::from_millis(1))],
        vec![late(5)],
        vec![late(1), late(1), late(1)],
        vec![Fault::Repeat],
        vec![Fault::Throttle(Some(Duration::from_secs(3)))],
        vec![Fault::Before(BucketErrorKind::Precondition)],
    ] {
        let bucket = faulty();
        for (at, fault) in faults.iter().enumerate() {
            let on = On::call(CallKind::Put).key_ending("status.json").nth(at as u64 + 1);
            bucket.inject(on, fault.clone());
        }
        let store = store(&bucket, 1);
        save(&store, sample(ID)).await.unwrap_or_else(|error| panic!("{faults:?}: {error:?}\n{}", bucket.trace()));
        tokio::time::sleep(Duration::from_secs(60)).await;
        whole(&store, &bucket, &sample(ID)).await;
        assert_eq!(document(&bucket, ID).unwrap().revision, 2, "{faults:?}");
    }
}

#[tokio::test]
async fn each_try_of_a_claim_is_a_new_attempt() {
    let bucket = faulty();
    let put = On::call(CallKind::Put).key_ending("status.json");
    let gate = Gate::new();
    bucket.inject(put.clone(), Fault::Late(Duration::from_secs(3600)));
    bucket.inject(put.nth(2), Fault::Hold(gate.clone()));
    let store = store(&bucket, 1);
    let saving = tokio::spawn(async move { save(&store, tiny(ID)).await });
    gate.reached().await;
    gate.open();
    saving.await.unwrap().unwrap();
    // What the first try carried is gone with the runtime; that the second differs shows in the seeded sequence.
    let attempt = document(&bucket, ID).unwrap().attempt_id;
    let undisturbed = faulty();
    save(&common::store(&undisturbed, 1), tiny(ID)).await.unwrap();
    assert_ne!(document(&undisturbed, ID).unwrap().attempt_id, attempt);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_racing_savers_one_wins_and_the_others_are_told_who() {
    for round in 0..20 {
        let bucket = faulty();
        let stores = [store(&bucket, 10 + round), store(&bucket, 1000 + round)];
        let saves = (0..16).map(|n| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move { save(&store, tiny(ID)).await })
        });
        let results: Vec<_> = join_all(saves).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "round {round}: {results:?}");
        for error in results.into_iter().filter_map(Result::err) {
            let (ErrorKind::Conflict { owner } | ErrorKind::WrongState { owner, .. }) = error.kind() else {
                panic!("round {round}: {error:?}");
            };
            assert_eq!(owner.as_ref().map(|owner| owner.host.as_str()), Some("test-host"), "{error:?}");
        }
        whole(&stores[0], &bucket, &tiny(ID)).await;
    }
}

#[tokio::test]
async fn a_base_that_another_process_makes_during_the_first_look_is_adopted() {
    // The look for cluster.json finds nothing; before the look for backups, another node makes the base and claims.
    let bucket = faulty();
    let (one, two) = (store(&bucket, 1), store(&bucket, 2));
    let gate = Gate::new();
    bucket.inject(On::call(CallKind::List), Fault::Hold(gate.clone()));
    let first = tokio::spawn({
        let one = one.clone();
        async move { save(&one, tiny(id(1, 100, 1))).await }
    });
    gate.reached().await;
    save(&two, tiny(ID)).await.unwrap();
    gate.open();
    first.await.unwrap().unwrap();
    let clusters: Vec<_> = [ID, id(1, 100, 1)].map(|id| document(&bucket, id).unwrap().cluster_id).into();
    assert_eq!(clusters[0], clusters[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losers_of_the_cluster_race_take_the_winners_id() {
    for round in 0..20 {
        let bucket = faulty();
        let saves = (0..8).map(|n| {
            let store = store(&bucket, 100 * round + n);
            tokio::spawn(async move { save(&store, tiny(id(1, 100, n as u32))).await })
        });
        for result in join_all(saves).await {
            result.unwrap().unwrap();
        }
        let ids: std::collections::BTreeSet<_> =
            (0..8).map(|n| document(&bucket, id(1, 100, n)).unwrap().cluster_id.to_string()).collect();
        assert_eq!(ids.len(), 1);
    }
}

#[tokio::test]
async fn a_loser_of_the_cluster_race_checks_what_the_winner_said() {
    let other = ClusterId::new("0".repeat(32)).unwrap();
    for case in 0..4 {
        let bucket = faulty();
        let mut mine = settings();
        match case {
            0 => mine.cluster = "mine".to_owned(),
            1 => mine.cluster_id = Some(other.clone()),
            _ => {}
        }
        if case == 3 {
            mine.first_partition = PartitionId(0);
        }
        let (one, two) = (store_with(&bucket, 1, mine), store(&bucket, 2));
        let gate = Gate::new();
        bucket.inject(On::call(CallKind::Put).key_ending("cluster.json"), Fault::Hold(gate.clone()));
        let (case_id, other) = (id(if case == 3 { 0 } else { 1 }, 100, 2), other.clone());
        let losing = tokio::spawn(async move {
            match case {
                2 => {
                    let mut options = InitOptions::default();
                    options.cluster_id = Some(other);
                    one.init(options, &cx()).await.map(drop)
                }
                _ => save(&one, tiny(case_id)).await.map(drop),
            }
        });
        gate.reached().await;
        two.init(InitOptions::default(), &cx()).await.unwrap();
        gate.open();
        let error = losing.await.unwrap().unwrap_err();
        let expected = if case == 3 { "invalid_input" } else { "refused" };
        assert_eq!(error.kind().name(), expected, "case {case}: {error:?}");
        assert_eq!(bucket.inner().keys(), ["cluster.json"], "case {case}");
    }
}

#[tokio::test]
async fn a_wrong_cluster_is_refused_before_anything_else() {
    let bucket = made(Begin::Completed).await;
    let mut named = settings();
    named.cluster = "another".to_owned();
    let mut identified = settings();
    identified.cluster_id = Some(ClusterId::new("0".repeat(32)).unwrap());
    for wrong in [named, identified] {
        for call in 0..8 {
            let bucket = bucket.successor();
            let store = store_with(&bucket, 2, wrong.clone());
            let failed = match call {
                0 => save(&store, tiny(ID)).await.unwrap_err(),
                1 => store.status(ID, &cx()).await.unwrap_err(),
                2 => store.metadata(ID, &cx()).await.unwrap_err(),
                3 => mark_failed(&store, ID).await.unwrap_err(),
                4 => delete(&store, ID).await.unwrap_err(),
                5 => store.verify(ID, milepost_core::VerifyLevel::Content, &cx()).await.unwrap_err(),
                6 => store.init(InitOptions::default(), &cx()).await.unwrap_err(),
                _ => store.open_uploads(ID, &cx()).await.unwrap_err(),
            };
            assert_eq!(failed.kind().name(), "refused", "call {call}: {failed:?}");
            assert_eq!(bucket.requests().total(), 1, "call {call}: {}", bucket.trace());
            assert_eq!(bucket.trace().calls[0].key, "cluster.json");
        }
    }
}

#[tokio::test]
async fn backups_without_a_cluster_document_are_refused_until_adopted() {
    let bucket = made(Begin::Completed).await;
    let cluster = document(&bucket, ID).unwrap().cluster_id;
    bucket.inner().remove_raw("cluster.json");
    // Strays beside the status must not hide it.
    for n in 0..1100 {
        bucket.inner().put_raw(format!("1/100/2/!{n}"), "stray");
    }
    for call in 0..3 {
        let store = store(&bucket, 3);
        let error = match call {
            0 => save(&store, tiny(id(1, 200, 2))).await.unwrap_err(),
            1 => store.status(ID, &cx()).await.unwrap_err(),
            _ => store.init(InitOptions::default(), &cx()).await.unwrap_err(),
        };
        assert_eq!(error.kind().name(), "refused", "{error:?}");
        assert!(error.hint().unwrap().contains("--adopt"), "{error:?}");
    }
    assert_eq!(bucket.requests().writes(), 0);
    let mut adopt = InitOptions::default();
    adopt.adopt = true;
    let adopting = store(&bucket, 3);
    assert_eq!(adopting.init(adopt, &cx()).await.unwrap().cluster_id, cluster);
    whole(&adopting, &bucket, &sample(ID)).await;
}

#[tokio::test]
async fn adopt_needs_exactly_one_cluster_id_or_a_choice() {
    let (one, two) = ("1".repeat(32), "2".repeat(32));
    let mut adopt = InitOptions::default();
    adopt.adopt = true;
    let mut chosen = adopt.clone();
    chosen.cluster_id = Some(ClusterId::new(two.clone()).unwrap());

    // None that can be read.
    let bucket = faulty();
    bucket.inner().put_raw(STATUS, "{");
    let error = store(&bucket, 1).init(adopt.clone(), &cx()).await.unwrap_err();
    assert!(error.hint().unwrap().contains("--cluster-id"), "{error:?}");
    assert_eq!(store(&bucket, 1).init(chosen.clone(), &cx()).await.unwrap().cluster_id.to_string(), two);

    // Several.
    let bucket = faulty();
    for (checkpoint, cluster) in [(1, &one), (2, &two)] {
        let mut settings = settings();
        settings.cluster_id = Some(ClusterId::new(cluster.clone()).unwrap());
        save(&store_with(&bucket, checkpoint, settings), tiny(id(1, checkpoint, 1))).await.unwrap();
        bucket.inner().remove_raw("cluster.json");
        if checkpoint == 1 {
            let held = bucket.inner().remove_raw("1/1/1/status.json").unwrap();
            bucket.inner().put_raw("held", held);
        }
    }
    let held = bucket.inner().remove_raw("held").unwrap();
    bucket.inner().put_raw("1/1/1/status.json", held);
    let error = store(&bucket, 5).init(adopt, &cx()).await.unwrap_err();
    assert!(error.message().contains(&one) && error.message().contains(&two), "{error:?}");
    assert_eq!(store(&bucket, 5).init(chosen, &cx()).await.unwrap().cluster_id.to_string(), two);
    // The other's backups are refused from now on.
    let store = store(&bucket, 6);
    assert_eq!(store.status(id(1, 1, 1), &cx()).await.unwrap_err().kind().name(), "refused");
    assert_eq!(state(&store, id(1, 2, 1)).await, S::Completed);
}

#[tokio::test]
async fn a_partition_below_the_first_is_refused_and_nothing_is_written() {
    for warm in [false, true] {
        let bucket = faulty();
        let store = store(&bucket, 1);
        if warm {
            store.init(InitOptions::default(), &cx()).await.unwrap();
        }
        bucket.reset();
        let error = save(&store, tiny(id(0, 100, 2))).await.unwrap_err();
        assert_eq!(error.kind().name(), "invalid_input", "{error:?}");
        let error = mark_failed(&store, id(0, 100, 2)).await.unwrap_err();
        assert_eq!(error.kind().name(), "invalid_input", "{error:?}");
        assert_eq!(bucket.requests().writes(), 0, "{}", bucket.trace());
        // Above the number of partitions it contradicts itself: the cluster view says so, a save does not.
        save(&store, tiny(id(4, 100, 2))).await.unwrap();
    }
}

#[tokio::test]
async fn bad_input_is_refused_before_any_request() {
    let names = |names: &[&str]| names.iter().map(|name| seeded(name, 1, 1)).collect::<Vec<_>>();
    let mut bad = vec![
        backup(ID, names(&["a", "A"]), vec![]),
        backup(ID, names(&["é", "e\u{301}"]), vec![]),
        backup(ID, names(&["a", "a/b"]), vec![]),
        backup(ID, vec![], names(&["x/y", "x/y/z"])),
        backup(ID, (0..300_001).map(|n| seeded(&n.to_string(), 1, 0)).collect(), vec![]),
        // The metadata of these would be larger than a reader takes.
        backup(
            ID,
            (0..75_000)
                .map(|n| {
                    seeded(
                        &format!("{}/{}/{}/{}/{n}", "w".repeat(200), "x".repeat(200), "y".repeat(200), "z".repeat(90)),
                        1,
                        0,
                    )
                })
                .collect(),
            vec![],
        ),
    ];
    let mut long = tiny(ID);
    long.segments[0].len = Some(u64::MAX);
    bad.push(long);
    for case in 0..6 {
        let mut backup = tiny(ID);
        let descriptor = &mut backup.descriptor;
        match case {
            0 => descriptor.number_of_partitions = Some(0),
            1 => descriptor.broker_version = Some("8".repeat(1025)),
            2 => descriptor.log_range = Some(milepost_core::document::LogRange { first: 2, last: 1 }),
            3 => drop(descriptor.properties.insert("key".to_owned(), "v".repeat(16 * 1024))),
            // Within the limit of 16 KiB, but as JSON larger than a status may ever become.
            4 => descriptor.properties = (0..3000).map(|n| (format!("{n:05}"), String::new())).collect(),
            _ => drop(descriptor.properties.insert("key".to_owned(), "\u{1}".repeat(16_000))),
        }
        bad.push(backup);
    }
    for (case, backup) in bad.into_iter().enumerate() {
        let bucket = faulty();
        let error = save(&store(&bucket, 1), backup).await.expect_err(&format!("case {case}"));
        assert_eq!(error.kind().name(), "invalid_input", "case {case}: {error:?}");
        assert_eq!(bucket.requests().total(), 0, "case {case}: {}", bucket.trace());
    }
    let bucket = faulty();
    let error = store(&bucket, 1).mark_failed(ID, "  ", Expect::Any, &cx()).await.unwrap_err();
    assert_eq!((error.kind().name(), bucket.requests().total()), ("invalid_input", 0));
}

#[tokio::test]
async fn the_largest_descriptor_still_leaves_room_for_every_state() {
    let bucket = faulty();
    let store = store(&bucket, 1);
    let mut large = tiny(ID);
    for text in [
        &mut large.descriptor.broker_version,
        &mut large.descriptor.snapshot_id,
        &mut large.descriptor.fingerprint,
        &mut large.descriptor.name,
        &mut large.descriptor.lineage_id,
    ] {
        *text = Some("t".repeat(1024));
    }
    large.descriptor.properties.insert("key".to_owned(), "v".repeat(16 * 1024 - 64));
    save(&store, large).await.unwrap();
    for n in 0..16 {
        let hold = milepost_core::Hold {
            id: milepost_core::HoldId::from_random([n; 16]),
            reason: "r".repeat(1000),
            owner: "o".repeat(24),
            created_at: milepost_core::Timestamp::UNIX_EPOCH,
        };
        store.annotate(ID, milepost_store::Annotation::Hold(hold), Expect::Any, &cx()).await.unwrap();
    }
    for n in 0..16 {
        let release = milepost_store::Annotation::Release(milepost_core::HoldId::from_random([n; 16]));
        store.annotate(ID, release, Expect::Any, &cx()).await.unwrap();
    }
    let reason = "\u{1}\"\\".repeat(5000);
    store.mark_failed(ID, &reason, Expect::Any, &cx()).await.unwrap();
    delete(&store, ID).await.unwrap();
}

#[tokio::test]
async fn a_sealed_id_is_refused_before_and_after_the_claim() {
    // 1/100/2 was deleted and forgotten: absent, but sealed.
    let sealed = async || {
        let bucket = faulty();
        let store = store(&bucket, 1);
        save(&store, tiny(ID)).await.unwrap();
        save(&store, tiny(id(1, 101, 2))).await.unwrap();
        let forget = delete_options(|options| options.forget = Some(Duration::ZERO));
        assert!(store.delete(ID, forget, &cx()).await.unwrap().forgotten);
        assert_eq!(document(&bucket, ID), None);
        bucket.successor()
    };
    for at in [100, 99] {
        let bucket = sealed().await;
        let store = store(&bucket, 2);
        for call in 0..3 {
            let error = match call {
                0 => save(&store, tiny(id(1, at, 2))).await.unwrap_err(),
                1 => store.save(tiny(id(1, at, 2)), resume(), &cx()).await.unwrap_err(),
                _ => mark_failed(&store, id(1, at, 2)).await.unwrap_err(),
            };
            assert_eq!(error.kind().name(), "refused", "{error:?}");
        }
        assert_eq!(bucket.requests().writes(), 0);
    }
    // The seal comes between the look and the claim.
    for call in 0..2 {
        let bucket = sealed().await;
        let seal = bucket.inner().remove_raw("_milepost/seals/1.json").unwrap();
        let store = store(&bucket, 2);
        let gate = Gate::new();
        bucket.inject(On::call(CallKind::Put).key_ending("status.json"), Fault::Hold(gate.clone()));
        let writing = tokio::spawn(async move {
            match call {
                0 => store.save(tiny(ID), SaveOptions::default(), &cx()).await.map(drop),
                _ => mark_failed(&store, ID).await.map(drop),
            }
        });
        gate.reached().await;
        bucket.inner().put_raw("_milepost/seals/1.json", seal);
        gate.open();
        let error = writing.await.unwrap().unwrap_err();
        assert_eq!(error.kind().name(), "refused", "call {call}: {error:?}");
        assert_eq!(code(&bucket, ID), Some(milepost_core::StatusCode::Failed), "call {call}");
        assert!(bucket.inner().keys().iter().all(|key| !key.contains("1/100/2/s") || key == STATUS));
    }
}

/// The request that claimed the backup reaches the store once more, long after the backup was deleted and forgotten.
async fn claim_that_came_back() -> Faulty {
    let bucket = faulty();
    bucket.inject(On::call(CallKind::Put).key_ending(STATUS), Fault::Again(Duration::from_secs(3600)));
    let store = store(&bucket, 1);
    save(&store, tiny(ID)).await.unwrap();
    save(&store, tiny(id(1, 101, 2))).await.unwrap();
    let forget = delete_options(|options| options.forget = Some(Duration::ZERO));
    assert!(store.delete(ID, forget, &cx()).await.unwrap().forgotten);
    tokio::time::sleep(Duration::from_secs(7200)).await;
    assert_eq!(code(&bucket, ID), Some(milepost_core::StatusCode::InProgress));
    bucket.successor()
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_comes_back_after_its_backup_was_forgotten_is_never_resumed() {
    let bucket = claim_that_came_back().await;
    let store = store(&bucket, 2);
    let error = store.save(tiny(ID), resume(), &cx()).await.unwrap_err();
    assert_eq!(error.kind().name(), "refused", "{error:?}");
    assert_eq!(bucket.requests().writes(), 0);
    // Given up, it is no better.
    mark_failed(&store, ID).await.unwrap();
    let error = store.save(tiny(ID), resume(), &cx()).await.unwrap_err();
    assert_eq!(error.kind().name(), "refused", "{error:?}");
    // It goes as any other does.
    delete(&store, ID).await.unwrap();
    assert_eq!(code(&bucket, ID), Some(milepost_core::StatusCode::Deleted));
}

#[tokio::test(start_paused = true)]
async fn a_seal_between_the_look_and_the_take_over_is_seen() {
    let bucket = claim_that_came_back().await;
    let seal = bucket.inner().remove_raw("_milepost/seals/1.json").unwrap();
    let store = store(&bucket, 2);
    let gate = Gate::new();
    bucket.inject(On::call(CallKind::Put).key_ending("status.json"), Fault::Hold(gate.clone()));
    let resuming = tokio::spawn(async move { store.save(tiny(ID), resume(), &cx()).await });
    gate.reached().await;
    bucket.inner().put_raw("_milepost/seals/1.json", seal);
    gate.open();
    let error = resuming.await.unwrap().unwrap_err();
    assert_eq!(error.kind().name(), "refused", "{error:?}");
    assert_eq!(code(&bucket, ID), Some(milepost_core::StatusCode::Failed));
}
