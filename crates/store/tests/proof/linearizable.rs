//! Many clients at one status, on real threads: whatever one is told stood, or was written, between its question and its answer.
//!
//! A status is a register. The witness below sees the one order of all writes, so a history is linearizable exactly if each
//! answer fits into the time of its call: no search for an order is needed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use milepost_store::env::SeededRandom;
use milepost_store::{ErrorKind, OpContext};
use milepost_testkit::faulty::{FaultyBucket, Rates};
use milepost_testkit::invariants::ends;

use crate::common::{ID, settings};
use crate::verbs::{Begin, Ended, Verb, begun, run};
use milepost_testkit::fixtures::long;

const VERBS: [Verb; 10] = [
    Verb::Status,
    Verb::Status,
    Verb::Save,
    Verb::Resume,
    Verb::Resume,
    Verb::Resume,
    Verb::MarkFailed,
    Verb::Hold,
    Verb::Release,
    Verb::Delete,
];

/// How often calls ended well and badly.
#[derive(Debug, Default)]
struct Counts {
    well: AtomicU64,
    badly: AtomicU64,
}

/// One round: clients that each ask a few times for something.
async fn round(clients: u64, seed: u64, rates: Rates, counts: Arc<Counts>) {
    let world = begun(if seed.is_multiple_of(2) { Begin::Completed } else { Begin::Absent }).await;
    let client = |number: u64| {
        let (world, rates, counts) = (world.clone(), rates.clone(), Arc::clone(&counts));
        async move {
            let random = SeededRandom::new(seed ^ (number << 32));
            let mut quick = settings();
            quick.retry_delay = Duration::from_millis(1);
            quick.retry_budget = Duration::from_secs(5);
            for _ in 0..4 {
                let verb = VERBS[usize::try_from(random.next() % VERBS.len() as u64).unwrap()];
                let drawn = random.next();
                let bucket = FaultyBucket::from_seed(world.watched.scoped(ID), drawn, rates.clone());
                let process = world.process_with(bucket, drawn, quick.clone());
                let cx = OpContext::new();
                let work = run(verb, &world, &process, Path::new("unused"), false, &cx);
                let told = ends(Duration::from_secs(120), format!("{verb:?}, seed {seed}"), work).await;
                match told.and_then(|told| told).unwrap_or_else(|broken| panic!("round {seed}: {broken}")) {
                    Ended::Well => counts.well.fetch_add(1, Ordering::Relaxed),
                    Ended::Badly(error) => {
                        let defect = matches!(error.kind(), ErrorKind::Corrupt { .. } | ErrorKind::Internal);
                        assert!(!defect, "round {seed}: {verb:?}: {error:?}\n{}", world.watched.log());
                        counts.badly.fetch_add(1, Ordering::Relaxed)
                    }
                };
            }
        }
    };
    let clients: Vec<_> = (0..clients).map(|number| tokio::spawn(client(number))).collect();
    for client in clients {
        client.await.unwrap();
    }
    // What is late comes within a second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.holds(format_args!("round {seed}")).await;
}

async fn rounds(clients: u64, rounds_of_each: u64, rates: Rates) {
    let counts = Arc::<Counts>::default();
    let all = (1..=rounds_of_each).map(|seed| round(clients, seed, rates.clone(), Arc::clone(&counts)));
    futures::future::join_all(all).await;
    eprintln!("{rounds_of_each} rounds of {clients} clients: {counts:?}");
    assert!(counts.well.load(Ordering::Relaxed) > clients, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_many_clients_are_told_of_one_status_without_faults() {
    rounds(32, if long() { 60 } else { 6 }, Rates::none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_many_clients_are_told_of_one_status_with_faults() {
    let rates = Rates { longest: Duration::from_millis(4), late: 40, again: 40, after: 80, ..Rates::default() };
    rounds(12, if long() { 120 } else { 12 }, rates).await;
}
