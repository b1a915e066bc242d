//! A client: verbs on a few ids, drawn from a seed.

use std::time::Duration;

use milepost_core::{BackupId, Descriptor, Hold, HoldId, Layout};
use milepost_store::env::{Clock as _, SeededRandom};
use milepost_store::{
    Annotation, Backup, BackupStatus, BackupStore as _, Bucket, BucketBackupStore, DeleteOptions, Error, ErrorKind,
    Expect, InitOptions, OpContext, Result, SaveOptions, StoreAdmin as _, StoreSettings,
};

use super::recorded::{Log, Recorded, version};
use crate::fixtures::{MemorySource, TickingClock, entry, seeded_bytes, test_env};

/// What one client does.
#[derive(Debug, Clone)]
pub struct Client {
    /// Tells it from the others.
    pub number: u64,
    /// From which it draws everything.
    pub seed: u64,
    /// How many verbs.
    pub acts: u64,
    /// A call that takes longer is dropped in its middle, as a killed process would: up to this long, by the seed.
    pub patience: Option<Duration>,
}

/// Few enough that everybody meets everybody; and new ones as time goes on, because a deleted id is used up.
fn ids(act: u64) -> [BackupId; 3] {
    let checkpoint = 100 + act / 2;
    [BackupId::new(1, checkpoint, 2), BackupId::new(1, checkpoint + 1, 2), BackupId::new(2, checkpoint, 1)]
}

/// Two small files: few requests.
fn tiny(id: BackupId) -> Result<Backup> {
    let file = |name, seed, len| {
        entry(name, MemorySource::new(seeded_bytes(seed, len))).map_err(|error| Error::invalid_input(error.to_string()))
    };
    Ok(Backup {
        id,
        descriptor: Descriptor::default(),
        snapshots: vec![file("a.sst", 1, 100)?],
        segments: vec![file("1.log", 2, 200)?],
        reservation: None,
    })
}

/// Makes the base, before anybody asks.
///
/// # Errors
/// The store cannot be used.
pub async fn init(bucket: impl Bucket, seed: u64) -> Result<()> {
    let store = BucketBackupStore::new(bucket, Layout::default(), StoreSettings::default(), test_env(seed))?;
    store.init(InitOptions::default(), &OpContext::new()).await.map(drop)
}

impl Client {
    /// Runs its verbs at `bucket`, and writes down what went on and what it was told.
    ///
    /// # Errors
    /// An outcome that no fault excuses: a defect, by name.
    pub async fn run<B: Bucket + Clone>(&self, bucket: B, log: Log, mut settings: StoreSettings) -> Result<()> {
        settings.retry_delay = Duration::from_millis(1);
        let recorded = Recorded::new(bucket, log.clone());
        let store = BucketBackupStore::new(recorded, Layout::default(), settings, test_env(self.seed))?;
        let random = SeededRandom::new(self.seed);
        for act in 0..self.acts {
            let id = ids(act)[usize::try_from(random.next() % 3).unwrap_or_default()];
            let verb = random.next() % 10;
            let call = self.call(&store, &log, act, verb, id);
            let told = match self.patience {
                None => call.await,
                Some(most) => {
                    let wait = most * u32::try_from(random.next() % 1000).unwrap_or_default() / 1000;
                    match tokio::time::timeout(wait, call).await {
                        Ok(told) => told,
                        Err(_) => continue,
                    }
                }
            };
            if let Err(error) = told
                && matches!(error.kind(), ErrorKind::Corrupt { .. } | ErrorKind::Internal)
            {
                return Err(error);
            }
        }
        Ok(())
    }

    async fn call<B: Bucket>(
        &self,
        store: &BucketBackupStore<B>,
        log: &Log,
        act: u64,
        verb: u64,
        id: BackupId,
    ) -> Result<()> {
        let cx = OpContext::new().with_timeout(Duration::from_secs(60));
        let began = log.begins(format!("{verb} {id}"));
        let status: BackupStatus = match verb {
            0..=2 => store.status(id, &cx).await?,
            3..=5 => {
                let mut options = SaveOptions::default();
                options.resume = verb > 3;
                let report = store.save(tiny(id)?, options, &cx).await?;
                // A save tells no status: that it ended well is written down by itself.
                log.ends(began, "S", id, &format!("0 {}", report.metadata_sha256));
                return Ok(());
            }
            6 => store.mark_failed(id, &format!("given up by {} in {act}", self.number), Expect::Any, &cx).await?,
            7 => {
                let hold = Hold {
                    id: HoldId::new(format!("hold-{}-{act}", self.number))
                        .map_err(|error| Error::invalid_input(error.to_string()))?,
                    reason: "audit".to_owned(),
                    owner: "ops".to_owned(),
                    created_at: TickingClock::new().now(),
                };
                store.annotate(id, Annotation::Hold(hold), Expect::Any, &cx).await?
            }
            _ => return store.delete(id, DeleteOptions::default(), &cx).await.map(drop),
        };
        log.ends(began, "R", id, &version(status.document.as_ref()));
        Ok(())
    }
}
