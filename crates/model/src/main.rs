//! A model of the protocol (docs/design.md, section 3), checked exhaustively: one backup, its savers, a mark_failed, two
//! deleters, a restorer; requests that are lost, late or repeated; a crash at every step.
//!
//! ```text
//! cargo run --release -p milepost-model -- holes          each rule left out: the shortest trace to what breaks
//! cargo run --release -p milepost-model -- fixed [COUNT]  the protocol as it is, all scenarios; at most COUNT states each
//! cargo run --release -p milepost-model -- NAME           the scenarios whose name begins so, as in f06, h18, cluster
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `words`, `rules` | documents and requests; the rules, each of which can be left out |
//! | `state`, `saver`, `parts`, `deleter`, `restorer` | the bucket and the actors: one step is at most one request |
//! | `cluster` | `cluster.json`: two that make it, one that adopts, savers |
//! | `scenarios`, `holes` | who runs with which plans, faults and checks |
//! | `check`, `explore`, `trace` | what may happen and must hold; every state; a path as people read it |
//! | `binding` (tests) | the model's documents and decisions are those of the code |
//!
//! Two files of bytes v1, v2 (same size), v3 (longer); the ETag is the content, equal for equal bytes. A fault is a lost reply
//! (applied) or a delayed request (lands any time later, or never); a retry after a delay is the duplicate. A crash is an actor
//! that is never scheduled again, so every prefix is a crash point.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a tool for people; where the model contradicts itself, the run must stop"
)]

mod check;
mod cluster;
mod deleter;
mod explore;
mod holes;
mod parts;
mod restorer;
mod rules;
mod saver;
mod scenarios;
mod state;
mod trace;
mod words;

#[cfg(test)]
mod binding;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod replay;

use std::process::ExitCode;

use cluster::{Cluster, clusters};
use explore::{Machine, Path};
use holes::holes;
use scenarios::{Scenario, fixed_runs};

/// Runs of a hole that hold: the rule that they leave out is not needed for what they check.
const HOLES_THAT_HOLD: [&str; 7] = [
    "h01d-no-etags",
    "h01e-etags-only",
    "h12-orphan-poison",
    "h14b-staging-tombstone",
    "h15b-abort-first",
    "h29b-parts-no-etags",
    "h29c-parts-no-checksum",
];

/// A run, and whether it must hold.
struct Run<'a, M> {
    name: &'static str,
    about: &'static str,
    hole: bool,
    holds: bool,
    machine: &'a M,
}

/// Runs one scenario and prints what came of it. Was it as expected?
fn run<M: Machine>(run: &Run<'_, M>, limit: usize, show: impl Fn(&M, &Path<M>)) -> bool {
    let Run { name, about, hole, holds: expected, machine } = *run;
    let explored = explore::explore(machine, limit, hole);
    println!(
        "\n== {name}: {about}\n   {} states, depth {}{}",
        explored.states,
        explored.depth,
        if explored.complete { ", all" } else { "" }
    );
    for (name, path) in &explored.violated {
        println!("   VIOLATED   {name} ({} steps)", path.len() - 1);
        show(machine, path);
    }
    let never = if explored.complete && !hole { &explored.never[..] } else { &[] };
    for name in never {
        println!("   NEVER SEEN {name}");
    }
    let holds = explored.violated.is_empty() && never.is_empty();
    if holds {
        println!("   holds");
    }
    if holds != expected {
        println!("   NOT AS EXPECTED");
    }
    holds == expected
}

fn protocol(scenario: &Scenario, limit: usize) -> bool {
    let Scenario { name, about, .. } = *scenario;
    let hole = name.starts_with('h');
    let holds = !hole || HOLES_THAT_HOLD.contains(&name);
    run(&Run { name, about, hole, holds, machine: scenario }, limit, |scenario, path| trace::trace(scenario, path))
}

fn base(cluster: &Cluster, limit: usize) -> bool {
    let Cluster { name, about, .. } = *cluster;
    let holds = cluster.holds();
    run(&Run { name, about, hole: !holds, holds, machine: cluster }, limit, |_, path| trace::base_trace(path))
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let which = arguments.next().unwrap_or_else(|| "holes".to_owned());
    let Ok(limit) = arguments.next().map_or(Ok(usize::MAX), |count| count.parse()) else {
        println!("the second argument is a number of states");
        return ExitCode::from(2);
    };
    let fits = |name: &str, holds: bool| match which.as_str() {
        "holes" => !holds,
        "fixed" => holds,
        "cluster" => name.starts_with('c'),
        start => name.starts_with(start),
    };
    let bases: Vec<Cluster> = clusters().into_iter().filter(|base| fits(base.name, base.holds())).collect();
    let (holes, fixed) = (holes().into_iter(), fixed_runs().into_iter());
    let runs: Vec<Scenario> = holes
        .filter(|scenario| fits(scenario.name, false))
        .chain(fixed.filter(|scenario| fits(scenario.name, true)))
        .collect();
    let odd_bases = bases.iter().filter(|cluster| !base(cluster, limit)).map(|cluster| cluster.name);
    let odd_runs = runs.iter().filter(|scenario| !protocol(scenario, limit)).map(|scenario| scenario.name);
    let odd: Vec<&str> = odd_bases.chain(odd_runs).collect();
    let count = bases.len() + runs.len();
    if count == 0 {
        println!("no scenario begins with {which:?}: holes, fixed, cluster, or the start of a name");
        return ExitCode::from(2);
    }
    println!("\n{count} scenarios, not as expected: {odd:?}");
    if odd.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
