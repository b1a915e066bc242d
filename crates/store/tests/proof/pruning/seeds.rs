//! Prunes and whatever else an operator or a node does, several at a time, on a bucket with drawn faults; some die. Then a quiet
//! prune puts everything right.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use milepost_core::{BackupId, StatusCode};
use milepost_store::env::SeededRandom;
use milepost_store::{Backup, BackupStore as _, ErrorKind, Expect, OpContext, RestoreOptions, RestoreTarget};
use milepost_testkit::faulty::{FaultyBucket, Rates};
use milepost_testkit::fixtures::long;
use milepost_testkit::invariants::{Broken, contents_of, judge_target};

use super::{policy, prune, survivor};
use crate::common::{ID, delete_options, id, resume, tiny};
use crate::verbs::{Begin, Verb, begun, hold, release};
use crate::world::{LIMIT, World, files, whole_cluster};

/// Checkpoints that are saved while prunes run; each outlives what was complete before.
const NEW: [u64; 3] = [300, 301, 302];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Prune,
    Save(BackupId),
    Restore(BackupId),
    Hold(BackupId),
    Release(BackupId),
    Delete(BackupId),
    MarkFailed(BackupId),
}

/// What a seed came to, as far as callers were told.
#[derive(Debug, Default)]
struct Told {
    saved: BTreeSet<BackupId>,
    held: BTreeSet<BackupId>,
    /// Ids that some release was asked for, whether it ended well or not.
    released: BTreeSet<BackupId>,
    ended: BTreeMap<&'static str, (u64, u64)>,
}

fn draw(random: &SeededRandom) -> Act {
    let pick = |from: &[BackupId]| from[usize::try_from(random.next() % from.len() as u64).unwrap()];
    let old = [id(1, 110, 1), survivor()];
    match random.next() % 14 {
        0..=4 => Act::Prune,
        5..=7 => Act::Save(pick(&[ID, id(1, NEW[0], 1), id(1, NEW[1], 1), id(1, NEW[2], 1)])),
        8 | 9 => Act::Restore(pick(&old)),
        10 => Act::Hold(pick(&[old[0], old[1], id(1, NEW[0], 1)])),
        11 => Act::Release(pick(&[old[0], old[1], id(1, NEW[0], 1)])),
        12 => Act::Delete(old[0]),
        _ => Act::MarkFailed(pick(&[old[0], ID])),
    }
}

impl Act {
    fn id(self) -> Option<BackupId> {
        match self {
            Self::Prune => None,
            Self::Save(id)
            | Self::Restore(id)
            | Self::Hold(id)
            | Self::Release(id)
            | Self::Delete(id)
            | Self::MarkFailed(id) => Some(id),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Prune => "prune",
            Self::Save(_) => "save",
            Self::Restore(_) => "restore",
            Self::Hold(_) => "hold",
            Self::Release(_) => "release",
            Self::Delete(_) => "delete",
            Self::MarkFailed(_) => "mark-failed",
        }
    }
}

fn backup(id: BackupId) -> Backup {
    if id == ID { files(id) } else { whole_cluster(tiny(id)) }
}

/// Runs one act as a process of its own. Gives its error, if it is one that faults and races excuse.
async fn run(act: Act, world: &World, drawn: u64, rates: &Rates, folder: &Path) -> Result<Option<String>, Broken> {
    let watched = act.id().map_or(world.watched.clone(), |id| world.watched.scoped(id));
    let process = world.process_on(FaultyBucket::from_seed(watched, drawn, rates.clone()), drawn);
    let (store, watched, cx) = (&process.store, &world.watched, OpContext::new());
    let began = watched.moment();
    let ended = match act {
        Act::Prune => prune(world, &process, false, &cx).await?.ended()?,
        Act::Save(id) => match store.save(backup(id), resume(), &cx).await {
            Ok(report) => Ok(watched.told_saved(began, &report)?),
            Err(error) => Err(error),
        },
        Act::Restore(id) => {
            let path = folder.join(format!("{drawn:x}"));
            let contents = contents_of(&backup(id)).unwrap();
            let to = RestoreTarget { path: path.clone() };
            let ended = store.restore(id, to, RestoreOptions::default(), &cx).await;
            judge_target(&path, &contents, ended.is_ok())?;
            ended.map(|_| ())
        }
        Act::Hold(id) | Act::Release(id) => {
            let change = if matches!(act, Act::Hold(_)) { hold() } else { release() };
            match store.annotate(id, change.clone(), Expect::Any, &cx).await {
                Ok(status) => Ok(watched.told_annotated(began, &status, &change)?),
                Err(error) => Err(error),
            }
        }
        Act::Delete(id) => match store.delete(id, delete_options(|_| ()), &cx).await {
            Ok(report) => Ok(watched.told_deleted(began, &report)?),
            Err(error) => Err(error),
        },
        Act::MarkFailed(id) => match store.mark_failed(id, "given up", Expect::Any, &cx).await {
            Ok(status) => Ok(watched.told_failed(began, &status)?),
            Err(error) => Err(error),
        },
    };
    let Err(error) = ended else { return Ok(None) };
    // Damage is none of these: nothing was damaged, however much was deleted.
    let fair = !matches!(
        error.kind(),
        ErrorKind::Corrupt { .. } | ErrorKind::Integrity { .. } | ErrorKind::Internal | ErrorKind::InvalidInput
    );
    assert!(fair, "{act:?}: {error:?}\n{}", process.bucket.trace());
    Ok(Some(format!("{error:?}")))
}

async fn seeded(seed: u64) -> Told {
    let random = SeededRandom::new(seed);
    let rates = match seed % 3 {
        0 => Rates { delay: 300, ..Rates::none() },
        1 => Rates::default(),
        _ => Rates { before: 100, after: 150, late: 60, repeat: 60, again: 60, ..Rates::default() },
    };
    let (world, folder) = (begun(Begin::Prunable).await, tempfile::tempdir().unwrap());
    for checkpoint in NEW {
        let id = id(1, checkpoint, 1);
        world.watched.offers(id, contents_of(&backup(id)).unwrap());
    }
    let (mut told, mut happened) = (Told::default(), String::new());
    for step in 0..1 + random.next() % 3 {
        let acts: Vec<(Act, Duration)> =
            (0..2 + random.next() % 4).map(|_| (draw(&random), Duration::from_millis(random.next() % 400))).collect();
        happened += &format!("{acts:?}\n");
        told.released.extend(acts.iter().filter_map(|(act, _)| match act {
            Act::Release(id) => Some(*id),
            _ => None,
        }));
        let work = acts.iter().enumerate().map(|(at, (act, delay))| {
            let (world, rates, folder) = (&world, &rates, folder.path());
            let drawn = seed ^ (step << 40) ^ ((at as u64) << 50);
            async move {
                tokio::time::sleep(*delay).await;
                run(*act, world, drawn, rates, folder).await
            }
        });
        // Now and then all of them die.
        let cut = Duration::from_millis(random.next() % 1500);
        let cut = if random.next().is_multiple_of(4) { cut } else { LIMIT };
        let ended = tokio::time::timeout(cut, futures::future::join_all(work)).await.unwrap_or_else(|_| {
            assert!(cut < LIMIT, "did not end:\n{happened}");
            Vec::new()
        });
        for ((act, _), ended) in acts.iter().zip(ended) {
            let error = ended.unwrap_or_else(|broken| panic!("{act:?}: {broken}\n{happened}"));
            let count = told.ended.entry(act.name()).or_default();
            *(if error.is_none() { &mut count.0 } else { &mut count.1 }) += 1;
            match act {
                Act::Save(id) if error.is_none() => drop(told.saved.insert(*id)),
                Act::Hold(id) if error.is_none() => drop(told.held.insert(*id)),
                _ => {}
            }
        }
        // Late effects land.
        tokio::time::sleep(Duration::from_secs(30)).await;
        world.holds(format_args!("step {step}\n{happened}")).await;
        kept(&world, &told, &happened);
    }
    // A day later one prune alone ends well, and the next has nothing to do.
    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    for _ in 0..2 {
        let quiet = world.process_of(Verb::Prune, 7);
        let pruned = prune(&world, &quiet, true, &OpContext::new()).await;
        let pruned = pruned.unwrap_or_else(|broken| panic!("the quiet prune: {broken}\n{happened}"));
        let ended = pruned.ended().unwrap_or_else(|broken| panic!("the quiet prune: {broken}\n{happened}"));
        ended.unwrap_or_else(|error| panic!("the quiet prune: {error:?}\n{happened}"));
        world.holds(&happened).await;
        kept(&world, &told, &happened);
        // What it has fenced or deleted needs its grace again.
        tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    }
    told
}

/// What every policy that was applied keeps is there.
fn kept(world: &World, told: &Told, happened: &str) {
    assert_eq!(policy().keep_last, Some(1));
    let stands = |id: BackupId| world.watched.code(id) == Some(StatusCode::Completed);
    // The newest complete checkpoint: a save may have committed without hearing of it, so one at least as new.
    let newest = NEW.iter().rev().map(|checkpoint| id(1, *checkpoint, 1)).find(|id| told.saved.contains(id));
    let newest = newest.unwrap_or(survivor());
    let there = NEW.iter().map(|checkpoint| id(1, *checkpoint, 1)).chain([survivor()]);
    assert!(there.clone().any(|id| id >= newest && stands(id)), "{newest} was complete, and went\n{happened}");
    for id in told.held.difference(&told.released) {
        assert!(stands(*id), "{id} was held, and went\n{happened}");
    }
}

#[test]
fn prunes_among_saves_restores_holds_and_deletes() {
    let seeds = match std::env::var("MILEPOST_TEST_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=if long() { 5000 } else { 120 }).collect::<Vec<u64>>(),
    };
    let mut counts: BTreeMap<&'static str, (u64, u64)> = BTreeMap::new();
    for seed in &seeds {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(seeded(*seed))));
        let told = run.unwrap_or_else(|panic| {
            eprintln!("seed {seed} failed; replay with MILEPOST_TEST_SEED={seed}");
            std::panic::resume_unwind(panic);
        });
        for (act, (well, badly)) in told.ended {
            let count = counts.entry(act).or_default();
            *count = (count.0 + well, count.1 + badly);
        }
    }
    eprintln!("{} seeds", seeds.len());
    for (act, (well, badly)) in &counts {
        eprintln!("{act}: {well} ended well, {badly} badly");
        assert!(*well > 0 || seeds.len() < 100, "{act} never ended well");
    }
}
