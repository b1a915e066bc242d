//! The verbs of an operator, and the states from which they begin.

use std::path::Path;
use std::time::Duration;

use milepost_core::{BackupId, Hold, HoldId, StatusCode};
use milepost_store::env::Clock as _;
use milepost_store::{
    Annotation, BackupStore as _, Error, Expect, OpContext, RestoreOptions, RestoreTarget, Result, SaveOptions,
};
use milepost_testkit::faulty::{CallKind, Crash, On, Point};
use milepost_testkit::fixtures::TickingClock;
use milepost_testkit::invariants::{Broken, contents_of, judge_target};

use crate::common::{ID, delete_options, id, resume, tiny};
use crate::pruning;
use crate::world::{Process, World, files, whole_cluster};

/// What is done while the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Save,
    Resume,
    MarkFailed,
    Hold,
    Release,
    Delete,
    DeleteCorrupt,
    Forget,
    Restore,
    Status,
    Prune,
}

/// The state that a verb begins from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Nothing at all, not even `cluster.json`.
    Nothing,
    /// A base in use.
    Absent,
    /// Contents below an absent status.
    Leftovers,
    /// An upload with all of its parts is open.
    Uploading,
    /// The metadata is there, the commit is not.
    Uncommitted,
    /// A save was refused a file by the store.
    Failed,
    /// A save died with an open upload and was marked as failed.
    Abandoned,
    Completed,
    Held,
    /// A delete died behind its first batch.
    Deleting,
    /// A later checkpoint is there: a tombstone can be forgotten.
    Old,
    Corrupt,
    /// One of each that a prune has work with, a day old: a tombstone, a delete that died, a save that died with an open upload,
    /// a complete checkpoint that a newer one outlives.
    Prunable,
    /// It is complete, and so are an older and a newer checkpoint.
    Outlived,
}

/// Each verb from each state that it is made for.
pub(crate) const CASES: [(Verb, Begin); 19] = [
    (Verb::Save, Begin::Nothing),
    (Verb::Save, Begin::Absent),
    (Verb::Resume, Begin::Uploading),
    (Verb::Resume, Begin::Uncommitted),
    (Verb::Resume, Begin::Failed),
    (Verb::MarkFailed, Begin::Absent),
    (Verb::MarkFailed, Begin::Uploading),
    (Verb::MarkFailed, Begin::Completed),
    (Verb::Hold, Begin::Completed),
    (Verb::Release, Begin::Held),
    (Verb::Delete, Begin::Leftovers),
    (Verb::Delete, Begin::Failed),
    (Verb::Delete, Begin::Abandoned),
    (Verb::Delete, Begin::Completed),
    (Verb::Delete, Begin::Deleting),
    (Verb::DeleteCorrupt, Begin::Corrupt),
    (Verb::Forget, Begin::Old),
    (Verb::Restore, Begin::Completed),
    (Verb::Prune, Begin::Prunable),
];

pub(crate) fn hold() -> Annotation {
    Annotation::Hold(Hold {
        id: HoldId::new("audit").unwrap(),
        reason: "audit".to_owned(),
        owner: "ops".to_owned(),
        created_at: TickingClock::new().now(),
    })
}

pub(crate) fn release() -> Annotation {
    Annotation::Release(HoldId::new("audit").unwrap())
}

/// How a verb ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It reported success, and the witness saw it.
    Well,
    /// It reported an error.
    Badly(Error),
}

/// Runs a verb and holds a reported success against what was seen. `alone`: nobody else works on the backup, and nothing is
/// late.
pub(crate) async fn run(
    verb: Verb,
    world: &World,
    process: &Process,
    target: &Path,
    alone: bool,
    cx: &OpContext,
) -> std::result::Result<Ended, Broken> {
    let (store, watched) = (&process.store, &world.watched);
    let began = watched.moment();
    let ended: Result<()> = match verb {
        Verb::Save | Verb::Resume => {
            let options = if verb == Verb::Save { SaveOptions::default() } else { resume() };
            match store.save(files(ID), options, cx).await {
                Ok(report) => Ok(watched.told_saved(began, &report)?),
                Err(error) => Err(error),
            }
        }
        Verb::MarkFailed => match store.mark_failed(ID, "given up", Expect::Any, cx).await {
            Ok(status) => Ok(watched.told_failed(began, &status)?),
            Err(error) => Err(error),
        },
        Verb::Hold | Verb::Release => {
            let change = if verb == Verb::Hold { hold() } else { release() };
            match store.annotate(ID, change.clone(), Expect::Any, cx).await {
                Ok(status) => Ok(watched.told_annotated(began, &status, &change)?),
                Err(error) => Err(error),
            }
        }
        Verb::Delete | Verb::DeleteCorrupt | Verb::Forget => {
            let options = delete_options(|options| {
                options.corrupt = verb == Verb::DeleteCorrupt;
                options.forget = (verb == Verb::Forget).then_some(Duration::ZERO);
            });
            match store.delete(ID, options, cx).await {
                Ok(report) if alone => Ok(watched.told_deleted_alone(began, &report).await?),
                Ok(report) => Ok(watched.told_deleted(began, &report)?),
                Err(error) => Err(error),
            }
        }
        Verb::Status => match store.status(ID, cx).await {
            Ok(status) => Ok(watched.told_status(began, &status)?),
            Err(error) => Err(error),
        },
        Verb::Restore => {
            let to = RestoreTarget { path: target.to_owned() };
            match store.restore(ID, to, RestoreOptions::default(), cx).await {
                Ok(_) => judge_target(target, &contents_of(&files(ID)).unwrap(), true).map(|_| Ok(()))?,
                Err(error) => Err(error),
            }
        }
        Verb::Prune => pruning::prune(world, process, alone, cx).await?.ended()?,
    };
    Ok(ended.map_or_else(Ended::Badly, |()| Ended::Well))
}

async fn died(world: &World, verb: Verb, on: On, point: Point) {
    let process = world.process(ID, 2);
    process.bucket.crash_on(on, point, Crash::Hang);
    let cx = OpContext::new();
    let work = run(verb, world, &process, Path::new("unused"), true, &cx);
    assert!(until_crash_of(&process, work).await, "{verb:?} never came to the point where it dies");
}

async fn until_crash_of(process: &Process, work: impl Future) -> bool {
    tokio::select! {
        biased;
        () = process.bucket.crashed() => true,
        _ = work => false,
    }
}

async fn well(world: &World, verb: Verb) {
    let ended = run(verb, world, &world.process(ID, 3), Path::new("unused"), true, &OpContext::new()).await.unwrap();
    assert!(matches!(ended, Ended::Well), "{verb:?}: {ended:?}");
}

async fn save_tiny(world: &World, id: BackupId) {
    world.watched.offers(id, contents_of(&tiny(id)).unwrap());
    world.process(id, 4).store.save(tiny(id), SaveOptions::default(), &OpContext::new()).await.unwrap();
}

/// Checkpoints that are complete with their one backup.
async fn save_checkpoints(world: &World, checkpoints: impl IntoIterator<Item = u64>) {
    for checkpoint in checkpoints {
        let id = id(1, checkpoint, 1);
        let backup = || whole_cluster(tiny(id));
        world.watched.offers(id, contents_of(&backup()).unwrap());
        world.process(id, 4).store.save(backup(), SaveOptions::default(), &OpContext::new()).await.unwrap();
    }
}

async fn prunable(world: &World) {
    let cx = OpContext::new();
    save_checkpoints(world, [90, 95, 110, 200]).await;
    let (deleted, dies) = (id(1, 90, 1), id(1, 95, 1));
    world.process(deleted, 5).store.delete(deleted, delete_options(|_| ()), &cx).await.unwrap();
    let process = world.process(dies, 6);
    process.bucket.crash_on(On::call(CallKind::Delete), Point::After, Crash::Hang);
    assert!(until_crash_of(&process, process.store.delete(dies, delete_options(|_| ()), &cx)).await);
    died(world, Verb::Save, On::call(CallKind::CompleteUpload), Point::Before).await;
    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
}

/// A base in that state, as real calls leave it.
pub(crate) async fn begun(from: Begin) -> World {
    let world = World::new();
    match from {
        Begin::Nothing => {}
        Begin::Absent => save_tiny(&world, id(2, 1, 0)).await,
        Begin::Leftovers => {
            save_tiny(&world, id(2, 1, 0)).await;
            let key = format!("{ID}/snapshots/a.sst");
            world.watched.inner().put_raw(&*key, "left by somebody");
            world.watched.plant(&key, Some("left by somebody".into()));
        }
        Begin::Uploading => died(&world, Verb::Save, On::call(CallKind::CompleteUpload), Point::Before).await,
        Begin::Uncommitted => {
            died(&world, Verb::Save, On::call(CallKind::Put).key_ending("metadata.json"), Point::After).await;
        }
        Begin::Failed => {
            let process = world.process(ID, 2);
            let on = On::call(CallKind::Put).key_ending("a.sst");
            process.bucket.inject(on, milepost_testkit::faulty::Fault::Before(milepost_store::BucketErrorKind::Denied));
            process.store.save(files(ID), SaveOptions::default(), &OpContext::new()).await.unwrap_err();
            assert_eq!(world.watched.code(ID), Some(StatusCode::Failed));
        }
        Begin::Abandoned => {
            died(&world, Verb::Save, On::call(CallKind::CompleteUpload), Point::Before).await;
            well(&world, Verb::MarkFailed).await;
        }
        Begin::Completed => well(&world, Verb::Save).await,
        Begin::Held => {
            well(&world, Verb::Save).await;
            well(&world, Verb::Hold).await;
        }
        Begin::Deleting => {
            well(&world, Verb::Save).await;
            died(&world, Verb::Delete, On::call(CallKind::Delete), Point::After).await;
        }
        Begin::Old => {
            well(&world, Verb::Save).await;
            save_tiny(&world, id(1, 200, 0)).await;
        }
        Begin::Corrupt => {
            well(&world, Verb::Save).await;
            let key = format!("{ID}/status.json");
            world.watched.inner().put_raw(&*key, "{ not json");
            world.watched.plant(&key, Some("{ not json".into()));
        }
        Begin::Prunable => prunable(&world).await,
        Begin::Outlived => {
            well(&world, Verb::Save).await;
            save_checkpoints(&world, [50, 200]).await;
        }
    }
    world
}
