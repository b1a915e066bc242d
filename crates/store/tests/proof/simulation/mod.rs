//! Hours of several nodes in a moment, the same for the same seed: saves, deletes, holds and their like on a few contested ids,
//! with lost, late and repeated requests, deaths and restarts.

mod nodes;
mod turns;

use std::collections::BTreeMap;
use std::time::Duration;

use milepost_core::{BackupId, Layout, StatusCode};
use milepost_store::MemoryBucket;
use milepost_testkit::faulty::Rates;
use milepost_testkit::invariants::{Broken, Witness, at_rest, contents_of};

use milepost_testkit::fixtures::long;
use nodes::{Act, Node, Variant, backup_of, ids};
use turns::Turns;

/// What one simulation came to.
struct Outcome {
    trace: Vec<String>,
    /// How often each act ended well and badly.
    counts: BTreeMap<Act, (u64, u64)>,
    simulated: Duration,
}

async fn simulate(seed: u64) -> Result<Outcome, (Broken, Vec<String>)> {
    let watched = Witness::new(MemoryBucket::new("simulated"), Layout::default());
    for id in ids() {
        for variant in [Variant::First, Variant::Other] {
            watched.offers(id, contents_of(&backup_of(id, variant)).unwrap());
        }
    }
    let turns = Turns::new(seed);
    let order = tokio::spawn(turns.clone().run());
    let began = tokio::time::Instant::now();
    let stormy = Rates { before: 80, after: 120, late: 50, repeat: 40, again: 50, ..Rates::default() };
    let rates = if seed.is_multiple_of(3) { stormy } else { Rates::default() };
    let mut counts = BTreeMap::new();
    let result = async {
        let nodes = (0..3).map(|number| Node::new(number, seed, &watched, &turns, rates.clone()));
        for told in futures::future::join_all(nodes.map(Node::live)).await {
            for (act, well) in told? {
                let (ended_well, badly) = counts.entry(act).or_insert((0, 0));
                *(if well { ended_well } else { badly }) += 1;
            }
        }
        // Faults stop; what is late still lands.
        tokio::time::sleep(Duration::from_secs(3600)).await;
        watched.verdict()?;
        let mut quiet = Node::new(9, seed, &watched, &turns, Rates::none());
        at_rest(&quiet.reader(), &watched).await?;
        for id in ids() {
            clear(&mut quiet, &watched, id).await?;
        }
        at_rest(&quiet.reader(), &watched).await
    }
    .await;
    order.abort();
    match result {
        Ok(()) => Ok(Outcome { trace: turns.trace(), counts, simulated: began.elapsed() }),
        Err(broken) => Err((broken, turns.trace())),
    }
}

/// An operator brings whatever is there to a good end.
async fn clear(quiet: &mut Node, watched: &Witness<MemoryBucket>, id: BackupId) -> Result<(), Broken> {
    let was = watched.code(id);
    let resumed = quiet.act(Act::Resume(Variant::First), id).await?;
    // An id that nobody else's bytes stand at can be saved, whatever happened to earlier attempts.
    let refused = matches!(was, Some(StatusCode::Deleting | StatusCode::Deleted | StatusCode::Failed)) || was.is_none();
    if !resumed && !refused && watched.code(id) == Some(StatusCode::InProgress) {
        quiet.must(Act::MarkFailed, id).await?;
    }
    quiet.act(Act::Release, id).await?;
    if watched.code(id) == Some(StatusCode::InProgress) {
        quiet.must(Act::MarkFailed, id).await?;
    }
    quiet.must(Act::Delete, id).await?;
    quiet.must(Act::Delete, id).await
}

fn run(seed: u64) -> Result<Outcome, (Broken, Vec<String>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(simulate(seed))
}

#[test]
fn whatever_happens_to_three_nodes() {
    let seeds = match std::env::var("MILEPOST_TEST_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=if long() { 5_000 } else { 400 }).collect::<Vec<u64>>(),
    };
    let (mut counts, mut simulated, mut requests) = (BTreeMap::<Act, (u64, u64)>::new(), Duration::ZERO, 0);
    for seed in &seeds {
        let outcome = run(*seed).unwrap_or_else(|(broken, trace)| {
            let last = trace.len().saturating_sub(250);
            panic!(
                "MILEPOST_TEST_SEED={seed} scripts/test -p milepost-store --test proof simulation\n{broken}\nthe last requests:\n{}",
                trace[last..].join("\n")
            )
        });
        simulated += outcome.simulated;
        requests += outcome.trace.len();
        for (act, (well, badly)) in outcome.counts {
            let count = counts.entry(act).or_default();
            *count = (count.0 + well, count.1 + badly);
        }
    }
    eprintln!("{} seeds, {} hours simulated, {requests} requests", seeds.len(), simulated.as_secs() / 3600);
    for (act, (well, badly)) in &counts {
        eprintln!("{act:?}: {well} ended well, {badly} badly");
        // A simulation in which something never works would show nothing of it.
        assert!(*well > 0 || seeds.len() < 100, "{act:?} never ended well");
    }
}

#[test]
fn a_seed_gives_one_trace() {
    let seeds = if long() { 500 } else { 12 };
    for seed in 1..=seeds {
        let (one, other) =
            (run(seed).unwrap_or_else(|(b, _)| panic!("{b}")), run(seed).unwrap_or_else(|(b, _)| panic!("{b}")));
        let differs = one.trace.iter().zip(&other.trace).position(|(one, other)| one != other);
        let around = differs.map(|at| (one.trace[..=at].last(), other.trace[..=at].last()));
        assert!(one.trace == other.trace, "seed {seed} gives two traces, from line {differs:?} on: {around:?}");
    }
    assert_ne!(run(1).map(|one| one.trace).ok(), run(2).map(|other| other.trace).ok());
}
