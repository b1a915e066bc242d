//! A few nodes that act out a script, beside the map that says what should come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use milepost_core::{BackupId, CheckpointId, Layout, SealDocument, StatusCode, StatusDocument, VerifyLevel};
use milepost_store::{
    Backup, BackupState, BackupStore as _, BucketErrorKind, DeleteOptions, ErrorKind, Expect, ListQuery, OpContext,
    RestoreOptions, RestoreTarget, SaveOptions,
};
use milepost_testkit::faulty::{Crash, Fault, FaultyBucket, Gate, On};
use milepost_testkit::fixtures::{MemorySource, seeded_bytes};
use milepost_testkit::invariants::{Broken, contents_of, ends, judge_target};

use super::model::{Entry, State, Variant, Verb};
use super::{Call, Planted, Step, Trouble};
use crate::common::{PART, backup, file, id, resume};
use crate::verbs::{hold, release};
use crate::world::{LIMIT, Process, World};

/// What all scripts are about: two checkpoints of one partition, the earlier of which can be forgotten, and another partition.
pub(super) fn ids() -> [BackupId; 3] {
    [id(1, 100, 2), id(1, 101, 2), id(2, 100, 2)]
}

fn backup_of(id: BackupId, bytes: Variant) -> Backup {
    // Made once: unoptimised, making them would take longer than saving them.
    static BYTES: OnceLock<[Bytes; 4]> = OnceLock::new();
    let made =
        || [seeded_bytes(1, 100), seeded_bytes(3, 300), seeded_bytes(4, 300), seeded_bytes(5, 2 * PART as usize + 9)];
    let [snapshot, first, other, large] = BYTES.get_or_init(made).clone();
    let log = match bytes {
        // By multipart, in three parts.
        Variant::First if id.checkpoint == CheckpointId(101) => large,
        Variant::First => first,
        Variant::Other => other,
    };
    let entry = |name, bytes| file(name, MemorySource::new(bytes));
    backup(id, vec![entry("a.sst", snapshot)], vec![entry("1.log", log)])
}

/// What differs from what should be.
type Differs<T = ()> = Result<T, String>;

pub(super) struct Cluster {
    world: World,
    nodes: Vec<Process>,
    map: BTreeMap<BackupId, Entry>,
    lives: u64,
    folder: tempfile::TempDir,
    planted: Planted,
}

/// How a call ended; `None`: its process died.
type Told = Option<bool>;

impl Cluster {
    pub(super) fn new(planted: Planted) -> Self {
        let world = World::new();
        for id in ids() {
            for bytes in [Variant::First, Variant::Other] {
                world.watched.offers(id, contents_of(&backup_of(id, bytes)).unwrap());
            }
        }
        let map = ids().into_iter().map(|id| (id, Entry::absent())).collect();
        let folder = tempfile::tempdir().unwrap();
        let mut cluster = Self { world, nodes: Vec::new(), map, lives: 0, folder, planted };
        cluster.nodes = (0..3).map(|_| cluster.born(|_| {})).collect();
        cluster
    }

    /// A new process.
    fn born(&mut self, script: impl FnOnce(&crate::world::Faulty)) -> Process {
        self.lives += 1;
        let bucket = FaultyBucket::new(self.world.watched.clone());
        script(&bucket);
        self.world.process_on(bucket, 100 + self.lives)
    }

    /// Acts one step out and holds what came of it against the map.
    pub(super) async fn act(&mut self, step: &Step) -> Differs {
        let calls: Vec<Call> = match step {
            Step::Restart(node) => {
                self.nodes[usize::from(*node)] = self.born(|_| {});
                return Ok(());
            }
            Step::One(call, _) => vec![*call],
            Step::Two(one, other) => vec![*one, *other],
        };
        let (told, exact) = match step {
            Step::One(call, trouble) => {
                let (told, exact) = self.troubled(*call, *trouble).await?;
                (vec![told], exact)
            }
            _ => {
                // Two calls of one process are no different from two of two.
                let (one, other) = (&self.nodes[usize::from(calls[0].node)], &self.nodes[usize::from(calls[1].node)]);
                let cx = OpContext::new();
                let (one, other) = tokio::join!(self.call(one, calls[0], &cx), self.call(other, calls[1], &cx));
                (vec![Some(one?), Some(other?)], false)
            }
        };
        // What is late lands.
        tokio::time::sleep(Duration::from_secs(30)).await;
        let may = self.may_stand(&calls, &told, exact)?;
        for id in ids() {
            let stands = self.stands(id);
            let fitting: Vec<&Entry> = may[&id].iter().filter(|entry| entry.state == stands).collect();
            if fitting.is_empty() {
                return Err(format!("{id} is {stands:?}, not one of {:?}", states(&may[&id])));
            }
            let tried = fitting.iter().flat_map(|entry| entry.tried.iter().copied()).collect();
            self.map.insert(id, Entry { state: stands, tried });
            self.told_as_it_stands(id, stands).await?;
        }
        self.world.watched.verdict().map_err(|broken| broken.to_string())
    }

    /// What may stand behind these calls, where each ended as it was told; an error where it may not have ended so.
    fn may_stand(&self, calls: &[Call], told: &[Told], exact: bool) -> Differs<BTreeMap<BackupId, BTreeSet<Entry>>> {
        let mut may: BTreeMap<BackupId, BTreeSet<Entry>> =
            self.map.iter().map(|(id, entry)| (*id, BTreeSet::from([entry.clone()]))).collect();
        // Twice: either may come first.
        for _ in 0..2 {
            for call in calls {
                let (id, later) = (ids()[call.id], later(&may, ids()[call.id]));
                let more: Vec<Entry> = may[&id].iter().flat_map(|entry| entry.on_the_way(call.verb, &later)).collect();
                may.entry(id).or_default().extend(more);
            }
        }
        for (call, told) in calls.iter().zip(told) {
            let id = ids()[call.id];
            let from = if exact { BTreeSet::from([self.map[&id].clone()]) } else { may[&id].clone() };
            let endings: Vec<_> = from.iter().flat_map(|entry| entry.endings(call.verb, &later(&may, id))).collect();
            // Whoever is disturbed may fail; whoever says that all went well has done what it says.
            let possible = told.is_none_or(|told| (!told && !exact) || endings.iter().any(|(well, _)| *well == told));
            if !possible {
                let ends = if *told == Some(true) { "well" } else { "badly" };
                return Err(format!("{call} ends {ends}, although {id} was {:?}", self.map[&id].state));
            }
            if exact {
                let ends = endings.into_iter().filter(|(well, _)| Some(*well) == *told).map(|(_, entry)| entry);
                may.insert(id, ends.collect());
            }
        }
        Ok(may)
    }

    /// Runs a call in trouble. The second: does it end as if there had been none?
    async fn troubled(&mut self, call: Call, trouble: Trouble) -> Differs<(Told, bool)> {
        let cx = OpContext::new();
        let node = usize::from(call.node);
        let on = |n: u64| On::any().nth(n);
        let unavailable = BucketErrorKind::Unavailable;
        let gate = Gate::new();
        let process = match trouble {
            Trouble::None => return Ok((Some(self.call(&self.nodes[node], call, &cx).await?), true)),
            Trouble::Fails(n) => self.born(|bucket| bucket.inject(on(n), Fault::Before(unavailable))),
            Trouble::Unanswered(n) => self.born(|bucket| bucket.inject(on(n), Fault::After(unavailable))),
            Trouble::Late(n) => self.born(|bucket| bucket.inject(on(n), Fault::Late(Duration::from_secs(3)))),
            Trouble::Twice(n) => self.born(|bucket| bucket.inject(on(n), Fault::Again(Duration::from_secs(20)))),
            Trouble::Dies(n, point) => self.born(|bucket| bucket.crash_at(n, point, Crash::Hang)),
            Trouble::Cancelled(n) => self.born(|bucket| bucket.inject(on(n), Fault::Hold(gate.clone()))),
        };
        let told = {
            let work = self.call(&process, call, &cx);
            let cancel = async {
                gate.reached().await;
                cx.cancel();
                gate.open();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                () = process.bucket.crashed() => None,
                told = work => Some(told?),
                () = cancel => None,
            }
        };
        let met = process.bucket.requests().total() >= trouble.at();
        self.nodes[node] = self.born(|_| {});
        let harmless = matches!(trouble, Trouble::Fails(_) | Trouble::Unanswered(_) | Trouble::Twice(_));
        // A duplicate may come when something else is done; alone it changes nothing.
        Ok((told, !met || harmless))
    }

    /// Runs one call to its end and holds what it is told against what the witness saw.
    async fn call(&self, process: &Process, call: Call, cx: &OpContext) -> Differs<bool> {
        let what = call.to_string();
        let told = ends(LIMIT, &what, self.run(process, call, cx)).await;
        match told.and_then(|told| told).map_err(|broken| broken.to_string())? {
            None => Ok(true),
            Some(error) if matches!(error.kind(), ErrorKind::Corrupt { .. } | ErrorKind::Internal) => {
                Err(format!("{what}: {error:?}"))
            }
            Some(_) => Ok(false),
        }
    }

    async fn run(
        &self,
        process: &Process,
        call: Call,
        cx: &OpContext,
    ) -> Result<Option<milepost_store::Error>, Broken> {
        let (store, watched, id) = (&process.store, &self.world.watched, ids()[call.id]);
        let began = watched.moment();
        let delete = |forget: bool| {
            let mut options = DeleteOptions::default();
            options.forget = forget.then_some(Duration::ZERO);
            options
        };
        macro_rules! told {
            ($call:expr, $report:ident => $held:expr) => {
                match $call.await {
                    Ok($report) => {
                        $held?;
                        None
                    }
                    Err(error) => Some(error),
                }
            };
        }
        Ok(match call.verb {
            Verb::Save(bytes) => {
                told!(store.save(backup_of(id, bytes), SaveOptions::default(), cx), report => watched.told_saved(began, &report))
            }
            Verb::Resume(bytes) => {
                told!(store.save(backup_of(id, bytes), resume(), cx), report => watched.told_saved(began, &report))
            }
            Verb::MarkFailed => {
                told!(store.mark_failed(id, "given up", Expect::Any, cx), status => watched.told_failed(began, &status))
            }
            Verb::Hold | Verb::Release => {
                let change = if call.verb == Verb::Hold { hold() } else { release() };
                told!(store.annotate(id, change.clone(), Expect::Any, cx), status => watched.told_annotated(began, &status, &change))
            }
            Verb::Delete | Verb::Forget => {
                if self.planted == Planted::DeletesWhatIsHeld {
                    drop(store.annotate(id, release(), Expect::Any, cx).await);
                }
                let forget = call.verb == Verb::Forget;
                let error = told!(store.delete(id, delete(forget), cx), report => watched.told_deleted(began, &report));
                if self.planted == Planted::ForgetsTheSeal {
                    let key = Layout::default().seal(id.partition);
                    watched.inner().remove_raw(key.as_str());
                    watched.plant(key.as_str(), None);
                }
                error
            }
            Verb::Restore => {
                let target: PathBuf = self.folder.path().join(format!("target-{}", self.lives));
                let to = RestoreTarget { path: target.clone() };
                let error = told!(store.restore(id, to, RestoreOptions::default(), cx), _report => {
                    let State::Completed { bytes, .. } = self.stands(id) else { return Ok(None) };
                    judge_target(&target, &contents_of(&backup_of(id, bytes)).unwrap(), true)
                });
                drop(std::fs::remove_dir_all(&target));
                error
            }
            Verb::Verify => told!(store.verify(id, VerifyLevel::Content, cx), _report => Ok::<_, Broken>(())),
            Verb::Status => told!(store.status(id, cx), status => watched.told_status(began, &status)),
            Verb::List => {
                told!(store.list(ListQuery::default(), cx.clone()).try_collect::<Vec<_>>(), _all => Ok::<_, Broken>(()))
            }
        })
    }

    /// What stands in the bucket, read past the engine.
    fn stands(&self, id: BackupId) -> State {
        let (layout, bucket) = (Layout::default(), self.world.watched.inner());
        let Some(status) = bucket.bytes(layout.status(id).as_str()) else {
            let seal = bucket.bytes(layout.seal(id.partition).as_str());
            let sealed =
                seal.is_some_and(|seal| SealDocument::parse(&seal, id.partition).unwrap().covers(id.checkpoint));
            return if sealed { State::Sealed } else { State::Absent };
        };
        let document = StatusDocument::parse(&status, id).unwrap();
        match document.status_code {
            StatusCode::InProgress => State::InProgress,
            StatusCode::Failed => State::Failed { was_completed: document.metadata_sha256.is_some() },
            StatusCode::Deleting => State::Deleting,
            StatusCode::Deleted => State::Deleted,
            StatusCode::Completed => {
                let log = bucket.bytes(&format!("{id}/segments/1.log"));
                let is = |bytes| contents_of(&backup_of(id, bytes)).unwrap().get("segments/1.log").cloned() == log;
                let bytes = if is(Variant::First) { Variant::First } else { Variant::Other };
                State::Completed { bytes, held: !document.holds.is_empty() }
            }
        }
    }

    /// A process that begins now is told what stands.
    async fn told_as_it_stands(&mut self, id: BackupId, stands: State) -> Differs {
        let reader = self.born(|_| {});
        let told =
            reader.store.status(id, &OpContext::new()).await.map_err(|error| format!("{id}: {error:?}"))?.state();
        let right = match stands {
            State::Absent | State::Sealed | State::Deleted => BackupState::DoesNotExist,
            State::InProgress => BackupState::InProgress,
            State::Completed { .. } => BackupState::Completed,
            State::Failed { .. } => BackupState::Failed,
            State::Deleting => BackupState::Deleting,
        };
        if told == right { Ok(()) } else { Err(format!("{id} is told to be {told:?}, and is {stands:?}")) }
    }

    /// The end: every COMPLETED down to its bytes, and the listing, as the map has them.
    pub(super) async fn at_rest(&mut self) -> Differs {
        self.world.judge().await.map_err(|broken| broken.to_string())?;
        let reader = self.born(|_| {});
        let listed = reader.store.list(ListQuery::default(), OpContext::new()).try_collect::<Vec<_>>().await;
        let listed: Vec<BackupId> =
            listed.map_err(|error| format!("the listing: {error:?}"))?.iter().map(|entry| entry.id()).collect();
        let shown = |entry: &Entry| !matches!(entry.state, State::Absent | State::Sealed | State::Deleted);
        let mut expected: Vec<BackupId> =
            self.map.iter().filter(|(_, entry)| shown(entry)).map(|(id, _)| *id).collect();
        // The newest checkpoint first, within one by partition.
        expected.sort_by_key(|id| (std::cmp::Reverse(id.checkpoint), id.partition));
        if listed == expected { Ok(()) } else { Err(format!("listed are {listed:?}, not {expected:?}")) }
    }
}

/// May a later checkpoint of this id's partition be COMPLETED?
fn later(may: &BTreeMap<BackupId, BTreeSet<Entry>>, id: BackupId) -> BTreeSet<bool> {
    let above = may.iter().filter(|(other, _)| other.partition == id.partition && other.checkpoint > id.checkpoint);
    let completed = |entry: &Entry| matches!(entry.state, State::Completed { .. });
    let some: BTreeSet<bool> = above.flat_map(|(_, entries)| entries.iter().map(completed)).collect();
    if some.is_empty() { BTreeSet::from([false]) } else { some }
}

fn states(entries: &BTreeSet<Entry>) -> BTreeSet<State> {
    entries.iter().map(|entry| entry.state).collect()
}
