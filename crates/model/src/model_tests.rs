//! Every hole is still found, and the protocol as it is holds as far as a bounded run looks.

use crate::HOLES_THAT_HOLD;
use crate::cluster::clusters;
use crate::explore::explore;
use crate::holes::holes;
use crate::scenarios::fixed_runs;

fn long() -> bool {
    std::env::var_os("MILEPOST_TEST_LONG").is_some()
}

#[test]
fn every_rule_that_is_left_out_shows_a_trace() {
    let (mut states, mut found) = (0, 0);
    for hole in holes() {
        let explored = explore(&hole, usize::MAX, true);
        let holds = explored.violated.is_empty();
        assert_eq!(holds, HOLES_THAT_HOLD.contains(&hole.name), "{}: {}", hole.name, hole.about);
        // What holds was looked at to its end, and what breaks has a path that can be shown.
        assert!(holds == explored.complete, "{}", hole.name);
        assert!(explored.violated.iter().all(|(_, path)| path.len() > 2), "{}", hole.name);
        states += explored.states;
        found += usize::from(!holds);
    }
    println!("{found} holes found again, {states} states");
    assert!(found >= 20, "{found}");
}

/// Without faults of the store (but for stalls and crashes) to the last state, with them as far as the limit goes: breadth
/// first looks at short paths first. The long run looks at everything.
#[test]
fn the_protocol_as_it_is_holds() {
    let limit = if long() { usize::MAX } else { 30_000 };
    let (mut states, mut complete) = (0, 0);
    let calm = fixed_runs()
        .into_iter()
        .filter(|scenario| scenario.faults > 0)
        .map(|scenario| (scenario.without_faults(), 250_000));
    let runs: Vec<_> = fixed_runs().into_iter().map(|scenario| (scenario, limit)).chain(calm).collect();
    for (scenario, limit) in &runs {
        let explored = explore(scenario, *limit, true);
        let broken: Vec<_> = explored.violated.iter().map(|(name, _)| *name).collect();
        assert!(broken.is_empty(), "{}: {broken:?}; `milepost-model {}` shows the trace", scenario.name, scenario.name);
        assert!(!explored.complete || explored.never.is_empty(), "{}: never seen: {:?}", scenario.name, explored.never);
        println!(
            "{} with {} faults: {} states{}",
            scenario.name,
            scenario.faults,
            explored.states,
            if explored.complete { ", all" } else { "" }
        );
        states += explored.states;
        complete += usize::from(explored.complete);
    }
    println!("{} scenarios, {complete} of them to the end, {states} states", runs.len());
    assert!(complete >= 10, "{complete}");
}

#[test]
fn who_makes_the_clusters_document() {
    let (mut states, mut found) = (0, 0);
    for cluster in clusters() {
        let explored = explore(&cluster, usize::MAX, !cluster.holds());
        let broken: Vec<_> = explored.violated.iter().map(|(name, _)| *name).collect();
        assert_eq!(broken.is_empty(), cluster.holds(), "{}: {broken:?}", cluster.name);
        if cluster.holds() {
            assert!(explored.complete, "{}", cluster.name);
            // An adopter of an untouched base is refused unless another came first; then everybody ends well.
            assert!(explored.never.is_empty() || cluster.found, "{}: {:?}", cluster.name, explored.never);
        }
        states += explored.states;
        found += usize::from(!broken.is_empty());
    }
    println!("cluster.json: {found} holes found again, {states} states");
    assert!(found >= 5, "{found}");
}
