//! Nodes that work, die and come back.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use milepost_core::{BackupId, Layout, Timestamp, VerifyLevel};
use milepost_store::env::{Clock, Env, Random, SeededRandom, Threads};
use milepost_store::{
    Backup, BackupStore as _, BucketBackupStore, DeleteOptions, ErrorKind, Expect, OpContext, SaveOptions,
};
use milepost_testkit::faulty::{FaultyBucket, Rates};
use milepost_testkit::fixtures::{MemorySource, seeded_bytes};
use milepost_testkit::invariants::{Broken, ends};
use tokio::time::Instant;

use super::turns::{Timed, Turns, drawn};
use crate::common::{PART, backup, file, id, resume, settings};
use crate::verbs::{hold, release};
use crate::world::{LIMIT, Watched};

type Bucket = FaultyBucket<Timed>;

/// Two ids that all nodes work on; the second lets the first be forgotten.
pub(super) fn ids() -> [BackupId; 2] {
    [id(1, 100, 2), id(1, 101, 2)]
}

/// Two nodes may hold different bytes for one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Variant {
    First,
    Other,
}

pub(super) fn backup_of(id: BackupId, variant: Variant) -> Backup {
    // Made once: unoptimised, making them would take longer than saving them.
    static BYTES: OnceLock<[Bytes; 4]> = OnceLock::new();
    let made =
        || [seeded_bytes(1, 100), seeded_bytes(3, 300), seeded_bytes(4, 300), seeded_bytes(5, 2 * PART as usize + 9)];
    let [snapshot, first, other, large] = BYTES.get_or_init(made).clone();
    let entry = |name, bytes| file(name, MemorySource::new(bytes));
    let log = match variant {
        Variant::First if id.checkpoint.0 == 101 => large,
        Variant::First => first,
        Variant::Other => other,
    };
    backup(id, vec![entry("a.sst", snapshot)], vec![entry("1.log", log)])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Act {
    Save(Variant),
    Resume(Variant),
    MarkFailed,
    Hold,
    Release,
    Delete,
    Forget,
    Status,
    Verify,
}

const ACTS: [Act; 14] = [
    Act::Save(Variant::First),
    Act::Save(Variant::First),
    Act::Save(Variant::Other),
    Act::Resume(Variant::First),
    Act::Resume(Variant::First),
    Act::Resume(Variant::First),
    Act::Resume(Variant::Other),
    Act::MarkFailed,
    Act::Hold,
    Act::Release,
    Act::Delete,
    Act::Forget,
    Act::Status,
    Act::Verify,
];

/// Bits that follow from the seed and the moment, not from who asks first.
struct TimedBits {
    seed: u64,
    turns: Turns,
}

impl Random for TimedBits {
    fn bits(&self) -> [u8; 16] {
        SeededRandom::new(self.seed ^ drawn(self.seed, &self.turns.now().to_string())).bits()
    }
}

/// The wall clock of a node: paused time, and how wrong it is.
struct WrongClock {
    begun: Instant,
    wrong_by_millis: i64,
}

impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(1_795_255_200_000 + elapsed + self.wrong_by_millis).unwrap_or(Timestamp::MAX)
    }
}

pub(super) struct Node {
    number: u64,
    seed: u64,
    lives: u64,
    watched: Watched,
    turns: Turns,
    rates: Rates,
    begun: Instant,
    random: SeededRandom,
}

impl Node {
    pub(super) fn new(number: u64, seed: u64, watched: &Watched, turns: &Turns, rates: Rates) -> Self {
        let random = SeededRandom::new(drawn(seed, &format!("node {number}")));
        let (watched, turns) = (watched.clone(), turns.clone());
        Self { number, seed, lives: 0, watched, turns, rates, begun: Instant::now(), random }
    }

    fn name(&self) -> String {
        format!("node {} life {}", self.number, self.lives)
    }

    fn store(&self, watched: Watched) -> BucketBackupStore<Bucket> {
        let seed = drawn(self.seed, &self.name());
        let timed = Timed::new(watched, &self.turns, self.name());
        let bucket = FaultyBucket::from_seed(timed, seed, self.rates.clone());
        let env = Env {
            clock: Arc::new(WrongClock {
                begun: self.begun,
                // Up to an hour before or after the true time.
                wrong_by_millis: i64::try_from(seed % 7_200_000).unwrap_or(0) - 3_600_000,
            }),
            random: Arc::new(TimedBits { seed, turns: self.turns.clone() }),
            host: format!("node-{}", self.number),
            pid: u32::try_from(self.lives).unwrap_or(0),
            threads: Threads::Runtime,
        };
        BucketBackupStore::new(bucket, Layout::default(), settings(), env).unwrap()
    }

    /// A process that only reads.
    pub(super) fn reader(&mut self) -> BucketBackupStore<Bucket> {
        self.lives += 1;
        self.store(self.watched.clone())
    }

    /// A life of a few acts. Gives each that ended, and whether well.
    pub(super) async fn live(mut self) -> Result<Vec<(Act, bool)>, Broken> {
        let mut told = Vec::new();
        for _ in 0..3 + self.random.next() % 6 {
            tokio::time::sleep(Duration::from_millis(self.random.next() % 4000)).await;
            let act = ACTS[usize::try_from(self.random.next() % ACTS.len() as u64).unwrap_or(0)];
            let id = ids()[usize::from(self.random.next().is_multiple_of(3))];
            let (roll, after) = (self.random.next() % 10, Duration::from_millis(self.random.next() % 3000));
            let cx = match roll {
                0 => OpContext::new().with_timeout(after),
                _ => OpContext::new(),
            };
            let canceller = cx.clone();
            let turns = self.turns.clone();
            turns.write_down(format!("{}: {act:?} of {id}", self.name()));
            let work = self.run(act, id, &cx);
            let ended = match roll {
                // It dies; the next life knows nothing of this one.
                1 | 2 => tokio::time::timeout(after, work).await.ok(),
                3 => {
                    let cancel = async {
                        tokio::time::sleep(after).await;
                        canceller.cancel();
                        std::future::pending().await
                    };
                    tokio::select! {
                        biased;
                        ended = work => Some(ended),
                        () = cancel => None,
                    }
                }
                _ => Some(work.await),
            };
            match ended {
                None => turns.write_down(format!("{}: dies", self.name())),
                Some(ended) => {
                    let well = ended?;
                    turns.write_down(format!("{}: ends {}", self.name(), if well { "well" } else { "badly" }));
                    told.push((act, well));
                }
            }
        }
        Ok(told)
    }

    pub(super) async fn act(&mut self, act: Act, id: BackupId) -> Result<bool, Broken> {
        self.run(act, id, &OpContext::new()).await
    }

    /// An act that must end well.
    pub(super) async fn must(&mut self, act: Act, id: BackupId) -> Result<(), Broken> {
        if self.act(act, id).await? {
            return Ok(());
        }
        use milepost_testkit::invariants::Invariant;
        Err(Broken::one(Invariant::Ends, format!("{act:?} of {id} did not end well although nothing fails any more")))
    }

    /// Runs one act as a process of its own, and holds a reported success against what was seen.
    async fn run(&mut self, act: Act, id: BackupId, cx: &OpContext) -> Result<bool, Broken> {
        self.lives += 1;
        let (store, watched) = (self.store(self.watched.scoped(id)), self.watched.clone());
        let alone = self.number == 9;
        let began = watched.moment();
        let options = |resumes| if resumes { resume() } else { SaveOptions::default() };
        let work = async {
            let error = match act {
                Act::Save(variant) | Act::Resume(variant) => {
                    let options = options(matches!(act, Act::Resume(_)));
                    match store.save(backup_of(id, variant), options, cx).await {
                        Ok(report) => return watched.told_saved(began, &report).map(|()| true),
                        Err(error) => error,
                    }
                }
                Act::MarkFailed => match store.mark_failed(id, "given up", Expect::Any, cx).await {
                    Ok(status) => return watched.told_failed(began, &status).map(|()| true),
                    Err(error) => error,
                },
                Act::Hold | Act::Release => {
                    let change = if act == Act::Hold { hold() } else { release() };
                    match store.annotate(id, change.clone(), Expect::Any, cx).await {
                        Ok(status) => return watched.told_annotated(began, &status, &change).map(|()| true),
                        Err(error) => error,
                    }
                }
                Act::Delete | Act::Forget => {
                    let mut options = DeleteOptions::default();
                    options.forget = (act == Act::Forget).then_some(Duration::ZERO);
                    match store.delete(id, options, cx).await {
                        Ok(report) if alone => return watched.told_deleted_alone(began, &report).await.map(|()| true),
                        Ok(report) => return watched.told_deleted(began, &report).map(|()| true),
                        Err(error) => error,
                    }
                }
                Act::Status => match store.status(id, cx).await {
                    Ok(status) => return watched.told_status(began, &status).map(|()| true),
                    Err(error) => error,
                },
                Act::Verify => match store.verify(id, VerifyLevel::Content, cx).await {
                    Ok(_) => return Ok(true),
                    Err(error) => error,
                },
            };
            let defect = matches!(error.kind(), ErrorKind::Corrupt { .. } | ErrorKind::Internal);
            if defect {
                use milepost_testkit::invariants::Invariant;
                return Err(Broken::one(Invariant::Honest, format!("{act:?} of {id}: {error:?}")));
            }
            Ok(false)
        };
        ends(LIMIT * 4, format_args!("{act:?} of {id}"), work).await?
    }
}
