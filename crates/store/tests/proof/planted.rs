//! Bugs planted on purpose: a store that breaks one of its promises, a caller that is told a lie. Each must be seen by an
//! invariant, or the tests around would prove nothing.

use std::path::Path;
use std::time::Duration;

use milepost_core::{BackupId, Layout, StatusCode};
use milepost_store::{
    Backup, BackupStore as _, BucketBackupStore, DeleteOptions, Expect, MemoryBucket, OpContext, RestoreOptions,
    RestoreTarget, SaveOptions,
};
use milepost_testkit::faulty::{CallKind, Crash, Fault, FaultyBucket, Gate, On, Point};
use milepost_testkit::fixtures::{MemorySource, seeded_bytes, test_env};
use milepost_testkit::invariants::{Broken, Invariant, Witness, at_rest, contents_of, ends, judge_target};

use crate::common::{ID, PART, backup, file, resume, settings, tiny};
use crate::flawed::{Flaw, Flawed};
use crate::verbs::{hold, release};
use crate::world::{LIMIT, whole_cluster};

type Bucket = FaultyBucket<Flawed>;

/// Its prefix begins with the digits of ID's.
const NEIGHBOUR: BackupId = BackupId { node: milepost_core::NodeId(20), ..ID };

struct Planted {
    watched: Witness<MemoryBucket>,
    flaw: Flaw,
    folder: tempfile::TempDir,
}

/// The same names as the first attempt would save, with other bytes.
fn others(id: BackupId) -> Backup {
    let entry = |name, len: u64| file(name, MemorySource::new(vec![7; usize::try_from(len).unwrap()]));
    whole_cluster(backup(id, vec![entry("a.sst", 100)], vec![entry("1.log", 2 * PART + 7)]))
}

/// The same snapshot, and another log that is no multipart upload.
fn shorter(id: BackupId) -> Backup {
    let entry = |name, bytes| file(name, MemorySource::new(bytes));
    whole_cluster(backup(id, vec![entry("a.sst", seeded_bytes(1, 100))], vec![entry("1.log", vec![9; 50].into())]))
}

impl Planted {
    fn new(flaw: Flaw) -> Self {
        let watched = Witness::new(MemoryBucket::new("planted"), Layout::default());
        for id in [ID, NEIGHBOUR] {
            for backup in [crate::world::files(id), others(id), shorter(id), tiny(id)] {
                watched.offers(id, contents_of(&backup).unwrap());
            }
        }
        Self { watched, flaw, folder: tempfile::tempdir().unwrap() }
    }

    fn process(&self, id: BackupId, seed: u64) -> (Bucket, BucketBackupStore<Bucket>) {
        let bucket = FaultyBucket::new(Flawed::new(self.watched.scoped(id), self.flaw));
        let store = BucketBackupStore::new(bucket.clone(), Layout::default(), settings(), test_env(seed)).unwrap();
        (bucket, store)
    }

    async fn rest(&self) -> Result<(), Broken> {
        tokio::time::sleep(Duration::from_secs(600)).await;
        at_rest(&self.process(ID, 900).1, &self.watched).await
    }

    async fn save(
        &self,
        backup: Backup,
        options: SaveOptions,
        bucket: Option<Bucket>,
        seed: u64,
    ) -> Result<(), Broken> {
        let (_, store) = match bucket {
            None => self.process(backup.id, seed),
            Some(bucket) => {
                let store = BucketBackupStore::new(bucket.clone(), Layout::default(), settings(), test_env(seed));
                (bucket, store.unwrap())
            }
        };
        let (cx, began) = (OpContext::new(), self.watched.moment());
        match ends(LIMIT, "save", store.save(backup, options, &cx)).await? {
            Ok(report) => self.watched.told_saved(began, &report),
            Err(_) => self.watched.verdict(),
        }
    }

    async fn delete(&self, seed: u64) -> Result<(), Broken> {
        let (_, store) = self.process(ID, seed);
        let (cx, began) = (OpContext::new(), self.watched.moment());
        match ends(LIMIT, "delete", store.delete(ID, DeleteOptions::default(), &cx)).await? {
            Ok(report) => self.watched.told_deleted_alone(began, &report).await,
            Err(_) => self.watched.verdict(),
        }
    }

    /// One attempt is held at a request; another takes over and commits; the first goes on.
    async fn fenced_at(&self, on: On, with: Backup) -> Result<(), Broken> {
        let (bucket, gate) = (self.process(ID, 1).0, Gate::new());
        bucket.inject(on, Fault::Hold(gate.clone()));
        let first = self.save(crate::world::files(ID), SaveOptions::default(), Some(bucket), 1);
        let second = async {
            tokio::select! {
                () = gate.reached() => {}
                () = tokio::time::sleep(LIMIT) => {}
            }
            let ended = self.save(with, resume(), None, 2).await;
            gate.open();
            ended
        };
        let (first, second) = tokio::join!(first, second);
        first.and(second)?;
        self.rest().await
    }

    /// The completion of a fenced attempt comes when its successor has put the same key and not yet committed.
    async fn late_completion(&self) -> Result<(), Broken> {
        let (first, second) = (self.process(ID, 1).0, self.process(ID, 2).0);
        let (completes, commits) = (Gate::new(), Gate::new());
        first.inject(On::call(CallKind::CompleteUpload), Fault::Hold(completes.clone()));
        second.inject(On::call(CallKind::Put).key_ending("metadata.json"), Fault::Hold(commits.clone()));
        let one = self.save(crate::world::files(ID), SaveOptions::default(), Some(first), 1);
        let two = async {
            completes.reached().await;
            self.save(shorter(ID), resume(), Some(second), 2).await
        };
        let order = async {
            commits.reached().await;
            completes.open();
            tokio::time::sleep(Duration::from_secs(60)).await;
            commits.open();
        };
        // A story that never comes to one of its gates is a failure, no test that hangs.
        let story = async { tokio::join!(one, two, order) };
        let (one, two, ()) = ends(2 * LIMIT, "the story of a late completion", story).await?;
        one.and(two)?;
        assert!(
            self.flaw != Flaw::None || self.watched.code(ID) == Some(StatusCode::Completed),
            "the story has changed"
        );
        self.rest().await
    }

    async fn restore(&self) -> Result<(), Broken> {
        let target = self.folder.path().join("target");
        let (_, store) = self.process(ID, 30);
        let (to, cx) = (RestoreTarget { path: target.clone() }, OpContext::new());
        let ended = ends(LIMIT, "restore", store.restore(ID, to, RestoreOptions::default(), &cx)).await?;
        if self.watched.code(ID) == Some(StatusCode::Completed) {
            judge_target(&target, &contents_of(&crate::world::files(ID)).unwrap(), ended.is_ok())?;
        }
        Ok(())
    }
}

/// What happens to a backup and its neighbour in their lives, each story on a base of its own.
async fn campaign(flaw: Flaw) -> Result<(), Broken> {
    // A whole life.
    let world = Planted::new(flaw);
    world.save(tiny(NEIGHBOUR), SaveOptions::default(), None, 10).await?;
    world.save(crate::world::files(ID), SaveOptions::default(), None, 11).await?;
    world.rest().await?;
    world.restore().await?;
    world.delete(12).await?;
    world.rest().await?;
    world.delete(13).await?;
    world.rest().await?;
    // A save dies with an open upload and is resumed.
    let world = Planted::new(flaw);
    let (bucket, store) = world.process(ID, 20);
    bucket.crash_on(On::call(CallKind::CompleteUpload), Point::Before, Crash::Hang);
    let cx = OpContext::new();
    tokio::select! {
        () = bucket.crashed() => {}
        _ = store.save(crate::world::files(ID), SaveOptions::default(), &cx) => {}
        () = tokio::time::sleep(LIMIT) => {}
    }
    world.save(crate::world::files(ID), resume(), None, 21).await?;
    world.rest().await?;
    world.delete(22).await?;
    // Attempts that are overtaken at their weakest moments.
    for ending in ["status.json", "a.sst", "metadata.json"] {
        for nth in 1..=2 {
            let on = On::call(CallKind::Put).key_ending(ending).nth(nth);
            Planted::new(flaw).fenced_at(on, others(ID)).await?;
        }
    }
    if !matches!(flaw, Flaw::Hangs | Flaw::HidesAKey | Flaw::DeletesTheStatusToo) {
        Planted::new(flaw).late_completion().await?;
    }
    Planted::new(flaw).fenced_at(On::call(CallKind::CompleteUpload), others(ID)).await?;
    Planted::new(flaw)
        .fenced_at(On::call(CallKind::Put).key_ending("status.json").nth(2), crate::world::files(ID))
        .await
}

fn on_paused_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

#[test]
fn a_store_that_keeps_its_promises_passes() {
    on_paused_time(campaign(Flaw::None)).unwrap();
}

macro_rules! caught {
    ($($test:ident: $flaw:ident => $invariant:ident;)+) => {
        $(
            #[test]
            fn $test() {
                let broken = on_paused_time(campaign(Flaw::$flaw)).expect_err("nobody saw it");
                assert!(broken.breaks(Invariant::$invariant), "not {:?}, but: {broken}", Invariant::$invariant);
            }
        )+
    };
}

caught! {
    a_replace_without_its_condition: IgnoresIfMatch => Fenced;
    a_create_that_overwrites: CreatesOverContents => Durable;
    a_claim_that_overwrites: CreatesOverStatuses => Fenced;
    a_completion_that_overwrites: CompletesOverContents => Durable;
    a_write_that_is_acknowledged_and_lost: LosesMetadata => Durable;
    a_byte_that_flips_on_its_way: FlipsBytes => Durable;
    a_byte_that_rots: Rots => Durable;
    a_listing_that_hides_a_key: HidesAKey => Deleted;
    a_delete_that_is_acknowledged_and_hidden: DeletesNothing => Deleted;
    a_delete_that_takes_the_neighbour: DeletesByPrefix => Bounds;
    a_delete_that_takes_the_tombstone: DeletesTheStatusToo => Deleted;
    a_late_write_without_its_condition: RepeatsWithoutCondition => Fenced;
    a_status_that_is_read_stale: ReadsStatusesStale => Honest;
    a_folder_that_is_not_listed: HidesAFolder => Listing;
    a_request_that_never_ends: Hangs => Ends;
    an_acknowledged_status_that_is_lost: LosesCommits => Honest;
}

/// A caller that was told something: the judges of reports can fail.
#[test]
fn every_lie_to_a_caller_is_seen() {
    on_paused_time(async {
        let world = Planted::new(Flaw::None);
        let (_, store) = world.process(ID, 1);
        let (cx, began) = (OpContext::new(), world.watched.moment());
        let saved = store.save(crate::world::files(ID), SaveOptions::default(), &cx).await.unwrap();
        world.watched.told_saved(began, &saved).unwrap();
        let seen = |told: Result<(), Broken>, invariant| assert!(told.unwrap_err().breaks(invariant));
        let status = store.status(ID, &cx).await.unwrap();
        world.watched.told_status(began, &status).unwrap();
        // What was true an hour ago is a lie now.
        store.annotate(ID, hold(), Expect::Any, &cx).await.unwrap();
        store.annotate(ID, release(), Expect::Any, &cx).await.unwrap();
        let later = world.watched.moment();
        seen(world.watched.told_status(later, &status), Invariant::Honest);
        let world = Planted::new(Flaw::None);
        let (_, store) = world.process(ID, 1);
        let saved = store.save(crate::world::files(ID), SaveOptions::default(), &cx).await.unwrap();
        world.watched.told_saved(began, &saved).unwrap();

        let planted = || {
            let world = Planted::new(Flaw::None);
            (world.watched.clone(), world)
        };
        let (watched, _world) = planted();
        seen(watched.told_saved(began, &saved), Invariant::Honest);
        let (watched, _world) = planted();
        seen(watched.told_failed(began, &status), Invariant::Honest);
        let (watched, _world) = planted();
        seen(watched.told_annotated(began, &status, &hold()), Invariant::Honest);
        let deleted = store.delete(ID, DeleteOptions::default(), &cx).await.unwrap();
        world.watched.told_deleted_alone(began, &deleted).await.unwrap();
        let (watched, _world) = planted();
        seen(watched.told_deleted(began, &deleted), Invariant::Honest);

        // Something that was written behind the tombstone: no lie, but this delete did not sweep it.
        world.watched.inner().put_raw(format!("{ID}/segments/late"), "late");
        world.watched.plant(&format!("{ID}/segments/late"), Some("late".into()));
        seen(world.watched.told_deleted_alone(began, &deleted).await, Invariant::Deleted);
    });
}

#[test]
fn half_a_restore_with_a_marker_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let contents = contents_of(&tiny(ID)).unwrap();
    let judge = |told| judge_target(folder.path(), &contents, told);
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    assert!(judge(false).is_ok());
    assert!(judge(true).unwrap_err().breaks(Invariant::Target), "nothing is there");
    put("snapshots/a.sst", &contents["snapshots/a.sst"]);
    assert!(judge(false).unwrap_err().breaks(Invariant::Target), "files without marker and staging");
    put(".milepost.json", b"{}");
    assert!(judge(false).unwrap_err().breaks(Invariant::Target), "a file is missing");
    put("segments/1.log", &contents["segments/1.log"]);
    judge(true).unwrap();
    put("segments/1.log", b"other");
    assert!(judge(false).unwrap_err().breaks(Invariant::Target), "other bytes");
}

/// A hold that is told of and lost, a listing that ends at damage: what at_rest compares.
#[tokio::test(start_paused = true)]
async fn at_rest_sees_what_is_only_wrong_for_readers() {
    let world = Planted::new(Flaw::None);
    let (_, store) = world.process(ID, 1);
    let (cx, began) = (OpContext::new(), world.watched.moment());
    store.save(crate::world::files(ID), SaveOptions::default(), &cx).await.unwrap();
    world.rest().await.unwrap();
    let annotated = store.annotate(ID, hold(), Expect::Any, &cx).await.unwrap();
    world.watched.told_annotated(began, &annotated, &hold()).unwrap();
    // Somebody rots a content with the store's own tools: the witness did not see it, a reader does.
    world.watched.inner().put_raw(format!("{ID}/snapshots/a.sst"), vec![0; 100]);
    let broken = world.rest().await.unwrap_err();
    assert!(broken.breaks(Invariant::Durable), "{broken}");
    // A status that only the store has lost.
    world.watched.inner().remove_raw(&format!("{ID}/status.json"));
    let broken = world.rest().await.unwrap_err();
    assert!(broken.breaks(Invariant::Honest) && broken.breaks(Invariant::Listing), "{broken}");
}
