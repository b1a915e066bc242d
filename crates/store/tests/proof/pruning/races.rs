//! Somebody else does a whole thing between two requests of a prune, and a prune does all of its work between two requests of
//! somebody else: every such place, one after the other.

use std::path::Path;

use milepost_core::StatusCode as C;
use milepost_core::retention::Action;
use milepost_store::{BackupStore as _, ErrorKind, Expect, OpContext, SaveOptions};
use milepost_testkit::faulty::{Fault, FaultyBucket, Gate, On};
use milepost_testkit::invariants::{Broken, contents_of, ends, judge_target};
use tokio::sync::Notify;

use super::{Pruned, nothing_left_to_prune, prune, survivor};
use crate::common::{ID, id, tiny};
use crate::verbs::{Begin, Ended, Verb, begun, run};
use crate::world::{LIMIT, Process, World, files, whole_cluster};

/// What goes on beside the prune.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Other {
    /// Of a backup that is to go.
    Restore,
    Hold,
    Delete,
    MarkFailed,
    /// Of the save that the prune takes for dead.
    Resume,
    /// Of the next checkpoint.
    Save,
    Prune,
    /// What the prune keeps is declared failed.
    FailSurvivor,
}

const OTHERS: [(Other, Begin); 9] = [
    (Other::Restore, Begin::Outlived),
    (Other::Hold, Begin::Outlived),
    (Other::Delete, Begin::Outlived),
    (Other::MarkFailed, Begin::Outlived),
    (Other::Resume, Begin::Prunable),
    (Other::Save, Begin::Outlived),
    (Other::Prune, Begin::Outlived),
    (Other::Prune, Begin::Prunable),
    (Other::FailSurvivor, Begin::Outlived),
];

/// What the other one was told.
struct Ran {
    ended: Ended,
    /// Of another prune.
    pruned: Option<Pruned>,
    /// How many of the old backups could be restored when it began.
    stood: usize,
}

/// The two who race, and what each was told.
struct Told {
    pruned: Pruned,
    other: Ran,
}

fn standing(world: &World) -> usize {
    [ID, id(1, 50, 1)].into_iter().filter(|id| world.watched.code(*id) == Some(C::Completed)).count()
}

impl Other {
    fn process(self, world: &World, seed: u64) -> Process {
        match self {
            Self::Prune => world.process_of(Verb::Prune, seed),
            Self::Save => world.process_on(FaultyBucket::new(world.watched.scoped(next_id())), seed),
            Self::FailSurvivor => world.process_on(FaultyBucket::new(world.watched.scoped(survivor())), seed),
            _ => world.process(ID, seed),
        }
    }

    async fn run(self, world: &World, process: &Process, target: &Path) -> Result<Ran, Broken> {
        let (cx, began, stood) = (OpContext::new(), world.watched.moment(), standing(world));
        let alone = |ended| Ran { ended, pruned: None, stood };
        let verb = match self {
            Self::Restore => Verb::Restore,
            Self::Hold => Verb::Hold,
            Self::Delete => Verb::Delete,
            Self::MarkFailed => Verb::MarkFailed,
            Self::Resume => Verb::Resume,
            Self::Prune => {
                let pruned = Some(prune(world, process, false, &cx).await?);
                return Ok(Ran { ended: Ended::Well, pruned, stood });
            }
            Self::Save => {
                let backup = whole_cluster(tiny(next_id()));
                world.watched.offers(next_id(), contents_of(&backup).unwrap());
                return match process.store.save(backup, SaveOptions::default(), &cx).await {
                    Ok(report) => world.watched.told_saved(began, &report).map(|()| alone(Ended::Well)),
                    Err(error) => Ok(alone(Ended::Badly(error))),
                };
            }
            Self::FailSurvivor => {
                return match process.store.mark_failed(survivor(), "rotten", Expect::Any, &cx).await {
                    Ok(status) => world.watched.told_failed(began, &status).map(|()| alone(Ended::Well)),
                    Err(error) => Ok(alone(Ended::Badly(error))),
                };
            }
        };
        Ok(alone(run(verb, world, process, target, false, &cx).await?))
    }
}

fn next_id() -> milepost_core::BackupId {
    id(1, 300, 1)
}

/// Runs `held`, whose `at`-th request waits until `meanwhile` is over. `None` for `meanwhile`: there was no such request.
async fn between<A, B>(
    process: &Process,
    at: u64,
    held: impl Future<Output = A>,
    meanwhile: impl Future<Output = B>,
) -> (A, Option<B>) {
    let (gate, over) = (Gate::new(), Notify::new());
    process.bucket.inject(On::any().nth(at), Fault::Hold(gate.clone()));
    let held = async {
        let told = held.await;
        over.notify_one();
        told
    };
    // Both are polled: what the held one has under way beside that request goes on.
    let meanwhile = async {
        tokio::select! {
            biased;
            () = gate.reached() => {}
            () = over.notified() => return None,
        }
        let told = meanwhile.await;
        gate.open();
        Some(told)
    };
    tokio::join!(held, meanwhile)
}

/// Each race at the `at`-th request of the prune, or of the other one. False: it has fewer requests.
async fn race(other: Other, from: Begin, prune_waits: bool, at: u64) -> bool {
    let what =
        format!("{other:?} from {from:?}, {} waits at request {at}", if prune_waits { "the prune" } else { "it" });
    let (world, folder) = (begun(from).await, tempfile::tempdir().unwrap());
    let target = folder.path().join("target");
    let (one, two) = (world.process_of(Verb::Prune, 801), other.process(&world, 802));
    let cx = OpContext::new();
    let (prunes, others) = (prune(&world, &one, false, &cx), other.run(&world, &two, &target));
    let race = async {
        if prune_waits {
            let (pruned, other) = between(&one, at, prunes, others).await;
            (Some(pruned), other)
        } else {
            let (other, pruned) = between(&two, at, others, prunes).await;
            (pruned, Some(other))
        }
    };
    let both = ends(LIMIT, &what, race).await;
    let traces = || format!("\nthe prune:\n{}\nthe other:\n{}", one.bucket.trace(), two.bucket.trace());
    let (Some(pruned), Some(other_told)) = both.unwrap_or_else(|broken| panic!("{broken}{}", traces())) else {
        return false;
    };
    let broken = |broken: Broken| -> ! { panic!("{what}:\n{broken}{}", traces()) };
    let pruned = pruned.unwrap_or_else(|b| broken(b));
    let told = Told { pruned, other: other_told.unwrap_or_else(|b| broken(b)) };
    world.holds(&what).await;
    let judged =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge(other, prune_waits, &world, &target, &told)));
    if let Err(panic) = judged {
        eprintln!("{what}: {:?}{}", told.other.ended, traces());
        std::panic::resume_unwind(panic);
    }
    // Whatever was left is done by the next prune, but for what needs its grace now.
    if matches!(other, Other::Restore | Other::Delete | Other::Prune | Other::Hold) {
        let next = prune(&world, &world.process_of(Verb::Prune, 803), true, &cx).await.unwrap_or_else(|b| broken(b));
        assert!(next.report.failed.is_empty() && next.report.stopped.is_none(), "{what}: {next:?}");
        nothing_left_to_prune(&world, &what).await;
        world.holds(&what).await;
    }
    true
}

/// Nobody is told what did not happen, and each loser who won.
fn judge(other: Other, prune_waits: bool, world: &World, target: &Path, told: &Told) {
    let (code, report) = (|id| world.watched.code(id), &told.pruned.report);
    // The newest complete checkpoint, survivor or saved just now, is among them.
    let plan = told.pruned.plan.as_ref().unwrap();
    let planned = |action: Action| plan.changes().any(|step| step.id == ID && step.action == action);
    let kept = plan.steps().filter(|step| step.action == Action::Keep && step.restorable);
    let kept: Vec<_> = kept.map(|step| step.id).filter(|id| *id != ID).collect();
    if other != Other::FailSurvivor {
        assert!(!kept.is_empty(), "{plan:?}");
        for id in kept {
            assert_eq!(code(id), Some(C::Completed), "{id}, which the policy keeps, went");
        }
        assert!(report.stopped.is_none(), "{report:?}");
    }
    // At most the backup that is raced for fails.
    let may_fail = |id| id == ID || (other == Other::Prune && id != survivor());
    for failure in &report.failed {
        assert!(may_fail(failure.id), "{report:?}");
        let named = matches!(failure.error.kind(), ErrorKind::Conflict { .. } | ErrorKind::Held { .. });
        assert!(named, "{report:?}");
    }
    match (other, &told.other.ended) {
        (Other::Restore, Ended::Badly(error)) => {
            assert!(is_deleted(error), "a restore that meets a delete says so: {error:?}");
            let under_way = matches!(error.kind(), ErrorKind::Conflict { .. });
            assert!(!under_way || error.message().starts_with("the backup was deleted while it was re"), "{error:?}");
            judge_target(target, &contents_of(&files(ID)).unwrap(), false).unwrap();
        }
        // The marker and every byte were looked at.
        (Other::Restore, Ended::Well) => assert!(report.failed.is_empty(), "{report:?}"),
        (Other::Hold, Ended::Well) => {
            assert_eq!(code(ID), Some(C::Completed), "held, and gone all the same");
            // Either it was planned as held, or the prune was told who won.
            assert_eq!(planned(Action::Delete), report.failed.len() == 1, "{report:?}");
            for failure in &report.failed {
                assert!(matches!(failure.error.kind(), ErrorKind::Held { .. }), "{failure:?}");
                assert_eq!(failure.error.kind().exit_code(), 7);
                assert!(failure.error.message().contains("by ops (audit)"), "{failure:?}");
            }
        }
        (Other::Hold, Ended::Badly(error)) => {
            assert!(matches!(code(ID), Some(C::Deleted | C::Deleting)), "{error:?}, but {:?}", code(ID));
            assert!(is_deleted(error), "{error:?}");
            assert!(report.failed.is_empty(), "{report:?}");
        }
        (Other::Delete, Ended::Well) => assert_eq!(code(ID), Some(C::Deleted), "{report:?}"),
        (Other::Delete, Ended::Badly(error)) => panic!("two deletes do the same work: {error:?}"),
        (Other::MarkFailed, Ended::Well) => {
            let expected = if report.failed.is_empty() { C::Deleted } else { C::Failed };
            // Planned for what had failed by then, it is left for its grace.
            let expected = if planned(Action::Delete) { expected } else { C::Failed };
            assert_eq!(code(ID), Some(expected), "{report:?}");
        }
        (Other::MarkFailed, Ended::Badly(error)) => {
            assert!(is_deleted(error), "{error:?}");
            assert!(matches!(code(ID), Some(C::Deleted | C::Deleting)), "{error:?}");
        }
        (Other::Resume, Ended::Well) => {
            // Committed before the prune looked, it is one more checkpoint that a newer one outlives.
            let expected = if planned(Action::Delete) { C::Deleted } else { C::Completed };
            assert_eq!(code(ID), Some(expected), "{report:?}");
        }
        (Other::Resume, Ended::Badly(error)) => {
            assert!(matches!(error.kind(), ErrorKind::Conflict { .. }), "{error:?}");
            assert_eq!((code(ID), report.fenced), (Some(C::Failed), 1), "{error:?} {report:?}");
        }
        (Other::Save, Ended::Well) => assert_eq!(code(next_id()), Some(C::Completed)),
        (Other::Save, Ended::Badly(error)) => panic!("a prune is in nobody's way: {error:?}"),
        (Other::Prune, _) => {
            let other = &told.other.pruned.as_ref().unwrap().report;
            assert!(other.stopped.is_none(), "{other:?}");
            for failure in &other.failed {
                assert!(matches!(failure.error.kind(), ErrorKind::Conflict { .. }), "{other:?}");
            }
        }
        (Other::FailSurvivor, Ended::Well) => {
            // The one checkpoint for which the survivor was looked at already may go, and nothing more.
            let as_told = !prune_waits || standing(world) + 1 >= told.other.stood;
            assert!(as_told, "{} stood: {report:?}", told.other.stood);
            let stopped = report.stopped.as_ref().map(|error| error.kind().name());
            assert!(matches!(stopped, None | Some("conflict")), "{report:?}");
            assert_eq!(code(survivor()), Some(C::Failed));
        }
        (Other::FailSurvivor, Ended::Badly(error)) => panic!("{error:?}"),
    }
}

/// Does the error say that the backup is deleted, or being deleted?
fn is_deleted(error: &milepost_store::Error) -> bool {
    let kind = matches!(
        error.kind(),
        ErrorKind::Conflict { .. } | ErrorKind::WrongState { .. } | ErrorKind::NotFound | ErrorKind::Refused
    );
    let text = error.message();
    kind && ["deleted", "DELET", "no such backup"].iter().any(|word| text.contains(word))
}

fn everywhere(prune_waits: bool) {
    let mut all = 0;
    for (other, from) in OTHERS {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let places = runtime.block_on(async {
            let mut places = 0;
            while race(other, from, prune_waits, places + 1).await {
                places += 1;
            }
            places
        });
        eprintln!("{other:?} from {from:?}: {places} places");
        assert!(places >= 3, "{other:?} from {from:?}: {places}");
        all += places;
    }
    eprintln!("{all} places in all");
}

#[test]
fn whatever_somebody_does_between_two_requests_of_a_prune() {
    everywhere(true);
}

#[test]
fn a_prune_between_two_requests_of_whatever_somebody_does() {
    everywhere(false);
}
