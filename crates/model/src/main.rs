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
//! | `state`, `saver`, `deleter`, `restorer` | the bucket and the actors: one step is at most one request |
//! | `scenarios`, `holes` | who runs with which plans, faults and checks |
//! | `check`, `explore`, `trace` | what may happen and must hold; every state; a path as people read it |
//! | `binding` (tests) | the model's documents and decisions are those of the code |
//!
//! Two files of bytes v1, v2 (same size), v3 (longer); the ETag is the content, equal for equal bytes. A fault is a lost reply
//! (applied) or a delayed request (lands any time later, or never); a retry after a delay is the duplicate. A crash is an actor
//! that is never scheduled again, so every prefix is a crash point.
//!
//! Left out so far: parts of an upload, and `init --adopt`.
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

use std::process::ExitCode;

use holes::holes;
use scenarios::{Scenario, fixed_runs};

/// Runs of a hole that hold: the rule that they leave out is not needed for what they check.
const HOLES_THAT_HOLD: [&str; 5] =
    ["h01d-no-etags", "h01e-etags-only", "h12-orphan-poison", "h14b-staging-tombstone", "h15b-abort-first"];

/// Runs one scenario and prints what came of it. Was it as expected?
fn run(scenario: &Scenario, limit: usize) -> bool {
    let hole = scenario.name.starts_with('h');
    let explored = explore::explore(scenario, limit, hole);
    println!(
        "\n== {}: {}\n   {} states, depth {}{}",
        scenario.name,
        scenario.about,
        explored.states,
        explored.depth,
        if explored.complete { ", all" } else { "" }
    );
    for (name, path) in &explored.violated {
        println!("   VIOLATED   {name} ({} steps)", path.len() - 1);
        trace::trace(scenario, path);
    }
    let never = if explored.complete && !hole { &explored.never[..] } else { &[] };
    for name in never {
        println!("   NEVER SEEN {name}");
    }
    let holds = explored.violated.is_empty() && never.is_empty();
    let expected = !hole || HOLES_THAT_HOLD.contains(&scenario.name);
    if holds {
        println!("   holds");
    }
    if holds != expected {
        println!("   NOT AS EXPECTED");
    }
    holds == expected
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let which = arguments.next().unwrap_or_else(|| "holes".to_owned());
    let Ok(limit) = arguments.next().map_or(Ok(usize::MAX), |count| count.parse()) else {
        println!("the second argument is a number of states");
        return ExitCode::from(2);
    };
    let (holes, fixed) = (holes(), fixed_runs());
    let chosen: Vec<Scenario> = match which.as_str() {
        "holes" => holes,
        "fixed" => fixed,
        name => holes.into_iter().chain(fixed).filter(|scenario| scenario.name.starts_with(name)).collect(),
    };
    let mut odd: Vec<&str> =
        chosen.iter().filter(|scenario| !run(scenario, limit)).map(|scenario| scenario.name).collect();
    let with_cluster = matches!(which.as_str(), "fixed" | "cluster");
    if with_cluster && cluster::cluster().map(|(_, split, refused)| (split, refused)) != [(false, true), (false, false)]
    {
        odd.push("cluster");
    }
    if chosen.is_empty() && !with_cluster {
        println!("no scenario begins with {which:?}: holes, fixed, cluster, or the start of a name");
        return ExitCode::from(2);
    }
    println!("\n{} scenarios, not as expected: {odd:?}", chosen.len());
    if odd.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
