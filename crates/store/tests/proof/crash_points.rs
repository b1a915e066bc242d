//! The process dies at every request of every verb; then the operator does the natural next thing.

use std::path::{Path, PathBuf};

use milepost_core::StatusCode;
use milepost_store::{ErrorKind, OpContext};
use milepost_testkit::faulty::{Crash, Fault, Gate, On, Point};
use milepost_testkit::invariants::{RestoredAs, contents_of, ends, judge_target};

use crate::common::ID;
use crate::pruning;
use crate::verbs::{Begin, CASES, Ended, Verb, begun, run};
use crate::world::{LIMIT, World, files};
use milepost_testkit::fixtures::long;

/// How a process comes to its end at a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Power cut: from this request on nothing reaches the bucket.
    Dies(Point),
    /// The network goes away for good; the process sees errors.
    CutOff(Point),
    /// The future is dropped while the request is under way; what else the process has under way goes on.
    Dropped,
    /// The call is cancelled while the request is under way.
    Cancelled,
}

const ENDS: [End; 6] = [
    End::Dies(Point::Before),
    End::Dies(Point::After),
    End::CutOff(Point::Before),
    End::CutOff(Point::After),
    End::Dropped,
    End::Cancelled,
];

/// Runs a verb whose process comes to its end at request `at`. Gives what it reported, and whether it came so far.
async fn ended_at(
    verb: Verb,
    world: &World,
    target: &Path,
    end: End,
    at: u64,
    seed: u64,
    what: &str,
) -> (Option<Ended>, bool) {
    let process = world.process_of(verb, seed);
    let (cx, gate) = (OpContext::new(), Gate::new());
    match end {
        End::Dies(point) => process.bucket.crash_at(at, point, Crash::Hang),
        End::CutOff(point) => process.bucket.crash_at(at, point, Crash::Fail),
        End::Dropped | End::Cancelled => process.bucket.inject(On::any().nth(at), Fault::Hold(gate.clone())),
    }
    let work = ends(LIMIT, what, run(verb, world, &process, target, true, &cx));
    let told = match end {
        End::Dies(_) => tokio::select! {
            biased;
            () = process.bucket.crashed() => None,
            ended = work => Some(ended),
        },
        End::CutOff(_) => Some(work.await),
        End::Dropped => {
            let told = tokio::select! {
                biased;
                () = gate.reached() => None,
                ended = work => Some(ended),
            };
            gate.open();
            told
        }
        End::Cancelled => {
            tokio::pin!(work);
            tokio::select! {
                biased;
                () = gate.reached() => {
                    cx.cancel();
                    gate.open();
                    Some(work.await)
                }
                ended = &mut work => Some(ended),
            }
        }
    };
    // What was still under way comes to its end too.
    tokio::time::sleep(LIMIT).await;
    let reached = match end {
        End::Dies(_) | End::CutOff(_) => process.bucket.is_crashed(),
        End::Dropped | End::Cancelled => process.bucket.trace().calls.len() as u64 >= at,
    };
    let told = told.map(|ended| {
        let ended = ended.and_then(|ended| ended);
        ended.unwrap_or_else(|broken| panic!("{what}:\n{broken}\n{}", process.bucket.trace()))
    });
    (told, reached)
}

/// Runs a verb that must end well.
async fn must(verb: Verb, world: &World, target: &Path, what: &str) {
    let process = world.process_of(verb, 901);
    let ended = ends(LIMIT, what, run(verb, world, &process, target, true, &OpContext::new())).await;
    match ended.and_then(|ended| ended) {
        Ok(Ended::Well) => {}
        Ok(Ended::Badly(error)) => {
            panic!("{what}: then {verb:?}: {error:?}\n{}\n{}", process.bucket.trace(), world.watched.log())
        }
        Err(broken) => panic!("{what}: then {verb:?}:\n{broken}\n{}", process.bucket.trace()),
    }
    world.holds(format_args!("{what}: then {verb:?}")).await;
}

/// The next process does what an operator would; everything comes to a good end.
async fn next_command(verb: Verb, from: Begin, world: &World, target: &Path, what: &str) {
    let contents = contents_of(&files(ID)).unwrap();
    match verb {
        Verb::Save | Verb::Resume => {
            must(Verb::Resume, world, target, what).await;
            must(Verb::Restore, world, target, what).await;
        }
        Verb::MarkFailed => {
            must(verb, world, target, what).await;
            if from != Begin::Completed {
                must(Verb::Resume, world, target, what).await;
            }
        }
        Verb::Hold => {
            must(verb, world, target, what).await;
            must(Verb::Release, world, target, what).await;
        }
        Verb::Release => {
            if world.process(ID, 902).store_holds().await > 0 {
                must(verb, world, target, what).await;
            }
        }
        Verb::DeleteCorrupt if world.watched.code(ID) != Some(StatusCode::Deleted) => {
            must(verb, world, target, what).await;
        }
        Verb::DeleteCorrupt | Verb::Delete | Verb::Forget => must(verb, world, target, what).await,
        Verb::Status => must(verb, world, target, what).await,
        Verb::Prune => {
            must(verb, world, target, what).await;
            pruning::nothing_left_to_prune(world, what).await;
            // The save that it took for dead comes back.
            must(Verb::Resume, world, target, what).await;
        }
        Verb::Restore => {
            judge_target(target, &contents, false).unwrap_or_else(|broken| panic!("{what}: {broken}"));
            must(verb, world, target, what).await;
            assert_eq!(judge_target(target, &contents, true).unwrap(), RestoredAs::Complete, "{what}");
        }
    }
    must(Verb::Delete, world, target, what).await;
    // The id is used up, unless nothing was ever there.
    if world.watched.code(ID).is_some() || verb == Verb::Forget {
        let ended = run(Verb::Save, world, &world.process(ID, 903), target, true, &OpContext::new()).await.unwrap();
        let refused = matches!(&ended, Ended::Badly(error)
            if matches!(error.kind(), ErrorKind::WrongState { .. } | ErrorKind::Refused));
        assert!(refused, "{what}: the id must be used up: {ended:?}");
    }
}

impl crate::world::Process {
    /// How many holds the backup has.
    async fn store_holds(&self) -> usize {
        use milepost_store::BackupStore as _;
        self.store.status(ID, &OpContext::new()).await.unwrap().document.map_or(0, |document| document.holds.len())
    }
}

fn target_in(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("target")
}

async fn every_point(verb: Verb, from: Begin) -> u64 {
    let mut points = 0;
    for end in ENDS {
        for at in 1.. {
            let what = format!("{verb:?} from {from:?}, {end:?} at request {at}");
            let folder = tempfile::tempdir().unwrap();
            let target = target_in(&folder);
            let world = begun(from).await;
            let (told, reached) = ended_at(verb, &world, &target, end, at, 800, &what).await;
            world.holds(&what).await;
            if !reached {
                assert!(matches!(told, Some(Ended::Well)), "{what}: nothing failed, but {told:?}");
                break;
            }
            points += 1;
            next_command(verb, from, &world, &target, &what).await;
        }
    }
    eprintln!("{verb:?} from {from:?}: {points} crash points");
    points
}

fn on_paused_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

/// The cases of a half of the verbs, so that two processors share them.
fn points_of(mine: impl Fn(Verb) -> bool) {
    let points: u64 = CASES
        .into_iter()
        .filter(|(verb, _)| mine(*verb))
        .map(|(verb, from)| on_paused_time(every_point(verb, from)))
        .sum();
    eprintln!("{points} crash points in all");
    assert!(points > 100, "{points}");
}

#[test]
fn a_process_that_dies_at_any_request_of_a_save_or_resume() {
    points_of(|verb| matches!(verb, Verb::Save | Verb::Resume));
}

#[test]
fn a_process_that_dies_at_any_request_of_a_prune() {
    points_of(|verb| verb == Verb::Prune);
}

#[test]
fn a_process_that_dies_at_any_request_of_another_verb() {
    points_of(|verb| !matches!(verb, Verb::Save | Verb::Resume | Verb::Prune));
}

/// The next command dies too, at each of its requests.
async fn every_pair(first: Verb, from: Begin, second: Verb, one_in: u64) -> u64 {
    pairs(first, from, second, one_in, 1).await
}

/// The same where the first one has so many requests that of these, too, only one in so many is tried.
async fn pairs(first: Verb, from: Begin, second: Verb, one_in: u64, first_one_in: usize) -> u64 {
    let (mut ran, mut number) = (0, 0);
    let ends = [End::Dies(Point::Before), End::Dies(Point::After)];
    for (one, other) in ends.into_iter().flat_map(|one| ends.map(|other| (one, other))) {
        let mut longest = 1;
        'first: for at in (1..).step_by(first_one_in) {
            for then in 1.. {
                number += 1;
                // The first pair of each row is always run: it tells where the row of rows ends.
                if then > 1 && number % one_in != 0 && then < longest {
                    continue;
                }
                let what = format!("{first:?} {one:?} at request {at}, then {second:?} {other:?} at request {then}");
                let folder = tempfile::tempdir().unwrap();
                let target = target_in(&folder);
                let world = begun(from).await;
                let (_, reached) = ended_at(first, &world, &target, one, at, 800, &what).await;
                if !reached {
                    break 'first;
                }
                let (_, reached) = ended_at(second, &world, &target, other, then, 801, &what).await;
                world.holds(&what).await;
                if !reached {
                    longest = longest.max(then);
                    break;
                }
                ran += 1;
                next_command(second, from, &world, &target, &what).await;
            }
        }
    }
    eprintln!("{first:?} then {second:?}: {ran} pairs of crash points, one in {one_in}");
    ran
}

#[test]
fn a_save_dies_and_so_does_its_resume() {
    let one_in = if long() { 1 } else { 23 };
    let ran = on_paused_time(every_pair(Verb::Save, Begin::Absent, Verb::Resume, one_in));
    assert!(ran >= 50, "{ran}");
}

#[test]
fn a_delete_dies_and_so_does_the_next() {
    let one_in = if long() { 1 } else { 7 };
    let ran = on_paused_time(every_pair(Verb::Delete, Begin::Completed, Verb::Delete, one_in));
    assert!(ran >= 20, "{ran}");
}

#[test]
fn a_prune_dies_and_so_does_the_next() {
    let (one_in, first_one_in) = if long() { (1, 1) } else { (97, 9) };
    let ran = on_paused_time(pairs(Verb::Prune, Begin::Prunable, Verb::Prune, one_in, first_one_in));
    assert!(ran >= 50, "{ran}");
}
