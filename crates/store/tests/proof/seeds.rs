//! A few verbs, some at the same time, on a bucket with drawn faults; then a quiet one puts everything right.

use std::time::Duration;

use milepost_core::StatusCode;
use milepost_store::env::SeededRandom;
use milepost_store::{BackupState as S, ErrorKind, OpContext};
use milepost_testkit::faulty::{FaultyBucket, Rates};
use milepost_testkit::invariants::ends;

use crate::common::ID;
use crate::verbs::{Begin, Ended, Verb, begun, run};
use crate::world::LIMIT;
use milepost_testkit::fixtures::long;

const VERBS: [Verb; 8] =
    [Verb::Save, Verb::Resume, Verb::MarkFailed, Verb::Delete, Verb::Resume, Verb::Hold, Verb::Release, Verb::Forget];

/// Errors that faults and races excuse. A defect of Milepost, and damage, they do not.
fn fair(error: &milepost_store::Error) -> bool {
    !matches!(error.kind(), ErrorKind::Corrupt { .. } | ErrorKind::Internal | ErrorKind::InvalidInput)
}

async fn seeded(seed: u64) {
    let what = format!("MILEPOST_TEST_SEED={seed}");
    let random = SeededRandom::new(seed);
    let rates = if seed.is_multiple_of(3) {
        Rates { before: 100, after: 150, late: 60, repeat: 60, again: 60, ..Rates::default() }
    } else {
        Rates::default()
    };
    let world = begun(if seed.is_multiple_of(2) { Begin::Old } else { Begin::Nothing }).await;
    let folder = tempfile::tempdir().unwrap();
    let mut traces = String::new();
    for step in 0..1 + random.next() % 4 {
        let draw = |n: u64| VERBS[usize::try_from(n % VERBS.len() as u64).unwrap()];
        let process = |side: u64| {
            let drawn = seed ^ (step << 32) ^ (side << 60);
            world.process_on(FaultyBucket::from_seed(world.watched.scoped(ID), drawn, rates.clone()), drawn)
        };
        let (one, two) = (process(0), process(1));
        let (verb, other) = (draw(random.next()), draw(random.next()));
        let together = random.next().is_multiple_of(2);
        let delay = Duration::from_millis(random.next() % 400);
        let cx = OpContext::new();
        let work = async {
            let first = run(verb, &world, &one, folder.path(), false, &cx);
            if together {
                let second = async {
                    tokio::time::sleep(delay).await;
                    run(other, &world, &two, folder.path(), false, &cx).await
                };
                let (first, second) = tokio::join!(first, second);
                vec![first, second]
            } else {
                vec![first.await]
            }
        };
        // Now and then both processes die.
        let cut = Duration::from_millis(random.next() % 1500);
        let cut = if random.next().is_multiple_of(4) { cut } else { LIMIT };
        let told = tokio::time::timeout(cut, work).await.unwrap_or_else(|_| {
            assert!(
                cut < LIMIT,
                "{what}: {verb:?} and {other:?} did not end\n{}{}",
                one.bucket.trace(),
                two.bucket.trace()
            );
            Vec::new()
        });
        // Late effects land.
        tokio::time::sleep(Duration::from_secs(30)).await;
        traces += &format!("{verb:?}, {other:?} {together}\n{}{}", one.bucket.trace(), two.bucket.trace());
        for told in told {
            match told {
                Err(broken) => panic!("{what}: {broken}\n{traces}"),
                Ok(Ended::Badly(error)) => assert!(fair(&error), "{what}: {error:?}\n{traces}"),
                Ok(Ended::Well) => {}
            }
        }
        world.holds(format_args!("{what}\n{traces}")).await;
    }
    let quiet = |verb: Verb| {
        let (world, what, traces, folder) = (&world, &what, &traces, folder.path());
        async move {
            let process = world.process(ID, 5);
            let ended = ends(LIMIT, what, run(verb, world, &process, folder, true, &OpContext::new())).await;
            ended.and_then(|ended| ended).unwrap_or_else(|broken| panic!("{what}: {verb:?}: {broken}\n{traces}"))
        }
    };
    if let Ended::Badly(error) = quiet(Verb::Resume).await {
        use ErrorKind as K;
        let fair =
            matches!(error.kind(), K::WrongState { found: S::Failed | S::Deleting | S::DoesNotExist, .. } | K::Refused);
        assert!(fair, "{what}: {error:?}\n{traces}{}", world.watched.log());
    }
    if world.watched.code(ID) == Some(StatusCode::InProgress) {
        quiet(Verb::MarkFailed).await;
    }
    drop(quiet(Verb::Release).await);
    let ended = quiet(Verb::Delete).await;
    assert!(matches!(ended, Ended::Well), "{what}: {ended:?}\n{traces}{}", world.watched.log());
    world.holds(format_args!("{what}\n{traces}")).await;
}

#[test]
fn random_faults_over_random_verbs() {
    let seeds = match std::env::var("MILEPOST_TEST_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=if long() { 5000 } else { 300 }).collect::<Vec<u64>>(),
    };
    for seed in &seeds {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(seeded(*seed))));
        if let Err(panic) = run {
            eprintln!("seed {seed} failed; replay with MILEPOST_TEST_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
    eprintln!("{} seeds", seeds.len());
}
