//! A base that is watched, and processes that work on it.

use std::fmt::Display;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use milepost_core::{BackupId, Descriptor, Layout};
use milepost_store::{Backup, BucketBackupStore, MemoryBucket, StoreSettings};
use milepost_testkit::faulty::FaultyBucket;
use milepost_testkit::fixtures::{MemorySource, seeded_bytes, test_env};
use milepost_testkit::invariants::{Broken, Witness, at_rest, contents_of};

use crate::common::{ID, PART, backup, descriptor, file, settings};
use crate::verbs::Verb;

pub(crate) type Watched = Witness<MemoryBucket>;
pub(crate) type Faulty = FaultyBucket<Watched>;
pub(crate) type Store = BucketBackupStore<Faulty>;

/// No operation of these tests may take longer, in paused time.
pub(crate) const LIMIT: Duration = Duration::from_secs(3600);

/// A base. Clones are the same one.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) watched: Watched,
}

/// One process at work on one backup: its own faults, its own ids.
pub(crate) struct Process {
    pub(crate) bucket: Faulty,
    pub(crate) store: Store,
}

/// One small file and one that goes by multipart in three parts.
pub(crate) fn files(id: BackupId) -> Backup {
    // Made once: unoptimised, the bytes of thousands of worlds would take longer than what is done with them.
    static BYTES: OnceLock<[Bytes; 2]> = OnceLock::new();
    let [small, large] = BYTES.get_or_init(|| [seeded_bytes(1, 100), seeded_bytes(3, 2 * PART as usize + 7)]).clone();
    let entry = |name, bytes| file(name, MemorySource::new(bytes));
    whole_cluster(backup(id, vec![entry("a.sst", small)], vec![entry("1.log", large)]))
}

/// The same as the backup of a cluster with one partition: its checkpoint is complete with it.
pub(crate) fn whole_cluster(backup: Backup) -> Backup {
    Backup { descriptor: Descriptor { number_of_partitions: Some(1), ..descriptor() }, ..backup }
}

impl World {
    pub(crate) fn new() -> Self {
        let watched = Witness::new(MemoryBucket::new("world"), Layout::default());
        watched.offers(ID, contents_of(&files(ID)).unwrap());
        Self { watched }
    }

    /// A process above `bucket`.
    pub(crate) fn process_on(&self, bucket: Faulty, seed: u64) -> Process {
        self.process_with(bucket, seed, settings())
    }

    pub(crate) fn process_with(&self, bucket: Faulty, seed: u64, settings: StoreSettings) -> Process {
        let store = BucketBackupStore::new(bucket.clone(), Layout::default(), settings, test_env(seed)).unwrap();
        Process { bucket, store }
    }

    /// A process whose requests do not fail unless it is told so.
    pub(crate) fn process(&self, id: BackupId, seed: u64) -> Process {
        self.process_on(FaultyBucket::new(self.watched.scoped(id)), seed)
    }

    /// The same for a verb: most of them work on [`ID`] alone, a prune on the whole base.
    pub(crate) fn process_of(&self, verb: Verb, seed: u64) -> Process {
        match verb {
            Verb::Prune => self.process_on(FaultyBucket::new(self.watched.clone()), seed),
            _ => self.process(ID, seed),
        }
    }

    /// Everything that was seen, and what a store says of itself now that nothing runs.
    pub(crate) async fn judge(&self) -> Result<(), Broken> {
        let reader = self.process_on(FaultyBucket::new(self.watched.clone()), 900);
        at_rest(&reader.store, &self.watched).await
    }

    /// The same; a violation ends the test.
    pub(crate) async fn holds(&self, what: impl Display) {
        self.judge().await.unwrap_or_else(|broken| panic!("{what}:\n{broken}"));
    }
}
