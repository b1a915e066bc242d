//! Traces of the model, replayed against the engine: its processes run on the memory bucket, each of their requests is let
//! through when the model's actor takes the step, and after every step both must agree.
//!
//! What is compared: which request the engine sends next; the status with its code, attempt, revision, metadata and holds;
//! the content and whether metadata is there; who has ended, and how.

mod gate;
mod script;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use milepost_core::{
    AttemptId, BackupId, Descriptor, FileName, Hold, HoldId, Layout, StatusCode, StatusDocument, Timestamp,
};
use milepost_store::env::SeededRandom;
use milepost_store::{
    Annotation, Backup, BackupStore as _, BucketBackupStore, DeleteOptions, ErrorKind, Expect, FileEntry, InitOptions,
    MemoryBucket, OpContext, SaveOptions, StoreAdmin as _, StoreSettings,
};
use milepost_testkit::fixtures::{MemorySource, long, test_env};
use tokio::task::JoinHandle;

use crate::check::Act;
use crate::explore::Machine as _;
use crate::rules::{Rules, Trust};
use crate::scenarios::{Scenario, base};
use crate::state::State;
use crate::words::*;
use gate::{Ask, Desk, Gated, Late};
use script::{asks, will_skip_list};

const ID: &str = "1/100/2";

fn id() -> BackupId {
    ID.parse().unwrap()
}

/// Of one file: the order in which the engine takes several is no matter of the protocol.
fn scenarios(rules: &Rules) -> Vec<Scenario> {
    let plans = vec![[[1, 0], [1, 0], [1, 0]], [[1, 0], [2, 0], [1, 0]], [[1, 0], [2, 0], [2, 0]]];
    let all = |name, actors| base(name, "replayed", rules.clone(), actors, &[]).plans(plans.clone()).faults(3).twice();
    vec![
        all("savers", &[0, 1, 2]).resume([false, true, true]).kills(1).cancels(1),
        all("everyone", &[0, 1, 3, 4]).kills(1).cancels(1),
        all("deleters", &[0, 3, 4, 5]),
        all("holders", &[0, 3, 4, 8, 9]),
    ]
}

/// May this step be replayed? The engine never breaks a commit off (which it has begun where the model lists once more behind
/// metadata that stands), and sends a batch that got no answer again by itself.
fn replayable(state: &State, act: Act) -> bool {
    match act {
        Act::Cancel(w) => {
            let actor = &state.act[w as usize];
            let commits = matches!(actor.pc, Pc::Commit | Pc::RbCommit);
            !(commits || actor.pc == Pc::List && actor.hash.is_some())
        }
        Act::Step { w, fault, .. } => {
            fault == Fault::None || !matches!(state.act[w as usize].pc, Pc::Batch | Pc::Abort | Pc::Reread)
        }
        _ => true,
    }
}

/// How a process ended, as far as the model tells ends apart.
#[derive(Debug)]
enum Told {
    Ok,
    Conflict,
    Refused,
    Other,
}

impl Told {
    fn of<T>(told: milepost_store::Result<T>) -> Self {
        match told {
            Ok(_) => Self::Ok,
            Err(error) => match error.kind() {
                ErrorKind::Conflict { .. } => Self::Conflict,
                ErrorKind::WrongState { .. } | ErrorKind::Held { .. } | ErrorKind::Refused | ErrorKind::NotFound => {
                    Self::Refused
                }
                _ => Self::Other,
            },
        }
    }
}

/// A process of the engine.
struct Process {
    task: JoinHandle<Told>,
    cx: OpContext,
    /// Of a saver: the listing before its commit is left out.
    skips_list: bool,
}

struct World {
    bucket: MemoryBucket,
    desk: Desk,
    processes: HashMap<usize, Process>,
    told: HashMap<usize, Told>,
    net: Vec<(Req, Late)>,
    attempts: BTreeMap<(u8, u8), AttemptId>,
    hashes: BTreeMap<Plan, String>,
    seed: u64,
}

impl Drop for World {
    fn drop(&mut self) {
        self.processes.values().for_each(|process| process.task.abort());
    }
}

impl World {
    async fn new(seed: u64) -> Self {
        let bucket = MemoryBucket::new("replay");
        let store = BucketBackupStore::new(bucket.clone(), Layout::default(), settings(), test_env(seed)).unwrap();
        store.init(InitOptions::default(), &OpContext::new()).await.unwrap();
        Self {
            bucket,
            desk: Desk::default(),
            processes: HashMap::new(),
            told: HashMap::new(),
            net: Vec::new(),
            attempts: BTreeMap::new(),
            hashes: BTreeMap::new(),
            seed,
        }
    }

    fn start(&mut self, w: usize, plan: Plan, resume: bool) {
        let gated = Gated::new(self.bucket.clone(), w, &self.desk);
        let env = test_env(self.seed * 16 + w as u64 + 1);
        let store = BucketBackupStore::new(gated, Layout::default(), settings(), env).unwrap();
        let own = OpContext::new();
        let cx = own.clone();
        let work = async move {
            match w {
                0..=2 => {
                    let mut options = SaveOptions::default();
                    options.resume = resume;
                    Told::of(store.save(backup(plan), options, &own).await)
                }
                3 => Told::of(store.mark_failed(id(), "given up", Expect::Any, &own).await),
                4 | 5 => Told::of(store.delete(id(), DeleteOptions::default(), &own).await),
                _ => Told::of(store.annotate(id(), Annotation::Hold(hold(w)), Expect::Any, &own).await),
            }
        };
        self.processes.insert(w, Process { task: tokio::spawn(work), cx, skips_list: false });
    }

    /// Waits until an actor asks for something that the model knows, or has ended.
    async fn settled(&mut self, w: usize) -> Option<Ask> {
        loop {
            match self.desk.asks(w) {
                Some(Ask::Other) => drop(self.desk.go(w, Fault::None)),
                Some(ask) => return Some(ask),
                None => {
                    let process = self.processes.get_mut(&w)?;
                    let told = tokio::select! {
                        () = self.desk.bell.notified() => continue,
                        told = &mut process.task => told.unwrap(),
                    };
                    self.processes.remove(&w);
                    self.told.insert(w, told);
                    return None;
                }
            }
        }
    }

    async fn step(&mut self, before: &State, after: &State, w: usize, fault: Fault) -> Result<(), String> {
        let actor = &before.act[w];
        if actor.pc == Pc::Init {
            self.start(w, actor.plan, actor.resume);
        }
        let skips = self.processes.get(&w).is_some_and(|process| process.skips_list);
        for ask in asks(before, w, skips) {
            let asked = self.settled(w).await;
            if asked != Some(ask) {
                return Err(format!("the model asks for {ask:?}, the engine for {asked:?} ({:?})", self.told.get(&w)));
            }
            let write = matches!(ask, Ask::PutStatus | Ask::PutMeta | Ask::PutFile);
            let fate = if write { fault } else { Fault::None };
            let late = self.desk.go(w, fate);
            if matches!(fate, Fault::Delayed | Fault::Twice) {
                let req = added(&before.net, &after.net).ok_or("the model holds no request back")?;
                self.net.push((req, late.ok_or("no put")?));
            }
            self.settled(w).await;
        }
        if let Some(process) = self.processes.get_mut(&w) {
            process.skips_list = will_skip_list(before, w, skips);
        }
        // A resume of what is committed compares, and writes nothing; the model calls it refused.
        let compares = actor.pc == Pc::Init && actor.resume;
        if compares && before.status.is_some_and(|doc| doc.code == Code::Completed) {
            while let Some(ask) = self.settled(w).await {
                if matches!(ask, Ask::PutStatus | Ask::PutMeta | Ask::PutFile | Ask::Delete) {
                    return Err(format!("a resume of a COMPLETED asks for {ask:?}"));
                }
                self.desk.go(w, Fault::None);
            }
            self.told.insert(w, Told::Refused);
        }
        Ok(())
    }

    async fn act(&mut self, before: &State, after: &State, act: Act) -> Result<(), String> {
        match act {
            Act::Step { w, fault, .. } => self.step(before, after, w as usize, fault).await?,
            Act::Land(k) | Act::Drop(k) => {
                let req = before.net[k as usize];
                let at = self.net.iter().position(|(held, _)| *held == req).ok_or("nothing is held back")?;
                let (_, late) = self.net.swap_remove(at);
                if matches!(act, Act::Land(_)) {
                    late.lands(&self.bucket).await;
                }
            }
            Act::Kill(w) => {
                let process = self.processes.remove(&(w as usize)).ok_or("it does not run")?;
                process.task.abort();
                drop(process.task.await);
                self.told.insert(w as usize, Told::Other);
            }
            Act::Cancel(w) => {
                self.processes.get(&(w as usize)).ok_or("it does not run")?.cx.cancel();
                // What it waits for is dropped; it gives up.
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
            }
            Act::RestartRestore | Act::Spoil | Act::Mend => return Err(format!("{act:?} is not replayed")),
        }
        Ok(())
    }

    /// Do bucket and processes say what the model says?
    fn agrees(&mut self, state: &State) -> Result<(), String> {
        let found = self.bucket.bytes(Layout::default().status(id()).as_str());
        let found = found.map(|bytes| StatusDocument::parse(&bytes, id()).unwrap());
        let differs = || Err(format!("the model's status is {:?}, the engine's {found:?}", state.status));
        match (&found, state.status) {
            (None, None) => {}
            (Some(document), Some(doc)) => {
                let attempt = self.attempts.entry((doc.att, doc.salt)).or_insert_with(|| document.attempt_id.clone());
                let hash = doc.meta.and_then(|meta| {
                    let known = document.metadata_sha256.clone()?;
                    Some(self.hashes.entry(meta).or_insert(known).clone())
                });
                let same = document.status_code == code(doc.code)
                    && document.revision == u64::from(doc.rev)
                    && document.attempt_id == *attempt
                    && document.metadata_sha256 == hash
                    && hash.is_some() == doc.meta.is_some()
                    && document.holds.len() == doc.holds.count_ones() as usize;
                let strangers: BTreeSet<&AttemptId> = self.attempts.values().collect();
                if !same || strangers.len() != self.attempts.len() {
                    return differs();
                }
            }
            _ => return differs(),
        }
        let content = self.bucket.bytes(&format!("{ID}/snapshots/f0"));
        let expected = Some(state.files[0]).filter(|file| *file != 0).map(bytes_of);
        if content.as_deref() != expected.as_deref() {
            return Err(format!("the model's content is v{}, the engine's {content:?}", state.files[0]));
        }
        if self.bucket.bytes(&format!("{ID}/metadata.json")).is_some() != state.meta.is_some() {
            return Err(format!("the model's metadata is {:?}", state.meta));
        }
        for (w, actor) in state.act.iter().enumerate() {
            let same = match (actor.pc, self.told.get(&w)) {
                (Pc::End(End::Ok), told) => matches!(told, Some(Told::Ok)),
                (Pc::End(End::Fenced | End::Conflict), told) => matches!(told, Some(Told::Conflict)),
                (Pc::End(End::Refused), told) => matches!(told, Some(Told::Refused)),
                (Pc::End(_), told) => matches!(told, Some(Told::Conflict | Told::Other)),
                // It may have ended where the model has one more step, without a request.
                (Pc::Idle | Pc::Init, told) => told.is_none(),
                (_, told) => told.is_none() || asks(state, w, false).is_empty(),
            };
            if !same {
                return Err(format!("{} stands at {:?}, its process at {:?}", name(w), actor.pc, self.told.get(&w)));
            }
        }
        Ok(())
    }
}

fn settings() -> StoreSettings {
    let mut settings = StoreSettings::default();
    (settings.concurrency, settings.retry_delay) = (1, std::time::Duration::from_millis(1));
    // Of time the model knows nothing.
    settings.sign_of_life = std::time::Duration::from_secs(3600);
    settings
}

fn code(code: Code) -> StatusCode {
    match code {
        Code::InProgress => StatusCode::InProgress,
        Code::Completed => StatusCode::Completed,
        Code::Failed => StatusCode::Failed,
        Code::Deleting => StatusCode::Deleting,
        Code::Deleted => StatusCode::Deleted,
        Code::Corrupt => unreachable!("nobody spoils it"),
    }
}

fn bytes_of(version: Bytes) -> Vec<u8> {
    vec![version; 100]
}

fn backup(plan: Plan) -> Backup {
    let source = Arc::new(MemorySource::new(bytes_of(plan[0])));
    let snapshots = vec![FileEntry { name: FileName::new("f0").unwrap(), source, len: None }];
    Backup { id: id(), descriptor: Descriptor::default(), snapshots, segments: Vec::new(), reservation: None }
}

fn hold(w: usize) -> Hold {
    let created_at: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
    let id = HoldId::new(format!("hold-{w}")).unwrap();
    Hold { id, reason: "audit".to_owned(), owner: "ops".to_owned(), created_at }
}

/// The request that came to those under way.
fn added(before: &[Req], after: &[Req]) -> Option<Req> {
    let mut left = before.to_vec();
    after.iter().copied().find(|req| match left.iter().position(|held| held == req) {
        Some(at) => {
            left.remove(at);
            false
        }
        None => true,
    })
}

/// A walk through the model: steps without faults are taken more often than others, and mostly the same actor goes on, so that
/// some come far before others begin.
fn walk(scenario: &Scenario, random: &SeededRandom) -> Vec<(State, Act, State)> {
    let firsts = scenario.init_states();
    let mut state = firsts[random.next() as usize % firsts.len()].clone();
    let mut path = Vec::new();
    let (mut actions, mut last) = (Vec::new(), None);
    loop {
        actions.clear();
        scenario.actions(&state, &mut actions);
        actions.retain(|act| replayable(&state, *act));
        let calm = |act: &Act| matches!(act, Act::Step { fault: Fault::None, .. });
        if !random.next().is_multiple_of(3) && actions.iter().any(calm) {
            actions.retain(calm);
        }
        let goes_on = |act: &Act| matches!(act, Act::Step { w, .. } if Some(*w) == last);
        if !random.next().is_multiple_of(5) && actions.iter().any(goes_on) {
            actions.retain(goes_on);
        }
        if actions.is_empty() {
            return path;
        }
        let act = actions[random.next() as usize % actions.len()];
        let Some(next) = scenario.next_state(&state, act) else { continue };
        if let Act::Step { w, .. } = act {
            last = Some(w);
        }
        path.push((state, act, next.clone()));
        state = next;
    }
}

fn shown(path: &[(State, Act, State)]) -> String {
    let line = |(before, act, after): &(State, Act, State)| {
        let who = if let Act::Step { w, .. } = act { name(*w as usize) } else { "" };
        let pc =
            if let Act::Step { w, .. } = act { format!("{:?}", before.act[*w as usize].pc) } else { String::new() };
        format!("{who} {pc} {act:?} | {:?} {:?} {:?}\n", after.status, after.files, after.meta)
    };
    path.iter().map(line).collect()
}

#[derive(Default)]
struct Counts {
    traces: usize,
    steps: usize,
    /// Who took a step where, and what became of it.
    kinds: BTreeSet<String>,
}

/// Replays one trace; where model and engine do not agree, says why.
async fn replayed(scenario: &Scenario, seed: u64, counts: &mut Counts) -> Result<(), String> {
    let path = walk(scenario, &SeededRandom::new(seed));
    let mut world = World::new(seed).await;
    for (at, (before, act, after)) in path.iter().enumerate() {
        let outcome = match world.act(before, after, *act).await {
            Ok(()) => world.agrees(after),
            odd => odd,
        };
        let why = |why| format!("MILEPOST_TEST_SEED={seed}, {}: {why}, after\n{}", scenario.name, shown(&path[..=at]));
        outcome.map_err(why)?;
        if let Act::Step { w, fault, .. } = *act {
            counts.kinds.insert(format!("{} {:?} {fault:?}", name(w as usize), before.act[w as usize].pc));
        }
    }
    counts.traces += 1;
    counts.steps += path.len();
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn traces_of_the_model_are_traces_of_the_engine() {
    let count = if long() { 20_000 } else { 400 };
    let seed = std::env::var("MILEPOST_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = seed.map_or(1..=count, |seed: u64| seed..=seed);
    let mut counts = Counts::default();
    for scenario in scenarios(&Rules::fixed()) {
        for seed in seeds.clone() {
            if let Err(why) = replayed(&scenario, seed, &mut counts).await {
                panic!("{why}");
            }
        }
    }
    let Counts { traces, steps, kinds } = &counts;
    println!("{traces} traces of the model replayed, {steps} steps of {} kinds", kinds.len());
    for pc in
        ["Commit Lost", "RbCommit None", "MetaRb None", "Fail Delayed", "RbFinish None", "Batch None", "Head(0) None"]
    {
        assert!(seed.is_some() || kinds.iter().any(|kind| kind.ends_with(pc)), "no trace has {pc}: {kinds:?}");
    }
}

/// The replay notices a model that has drifted: one that leaves a rule out.
#[tokio::test(start_paused = true)]
async fn a_model_without_a_rule_is_no_longer_the_engines() {
    let f = Rules::fixed;
    let drifted = [
        ("content_head", Rules { content_head: false, ..f() }),
        ("meta_412", Rules { meta_412: Trust::Refuse, ..f() }),
        ("guard", Rules { guard: false, ..f() }),
        ("hold_binds", Rules { hold_binds: false, ..f() }),
        ("relist", Rules { relist: false, ..f() }),
        ("noted_commit", Rules { noted_commit: false, ..f() }),
        ("readback_code", Rules { readback_code: false, ..f() }),
    ];
    for (rule, rules) in drifted {
        let mut found = None;
        'seeds: for seed in 1..=2_000 {
            for scenario in scenarios(&rules) {
                if let Err(why) = replayed(&scenario, seed, &mut Counts::default()).await {
                    found = Some((seed, why));
                    break 'seeds;
                }
            }
        }
        let (seed, why) = found.unwrap_or_else(|| panic!("nothing tells a model without {rule} from the engine"));
        println!("without {rule}, seed {seed}: {:.150}", why.lines().next().unwrap_or_default());
    }
}
