//! One client process: verbs on a few ids, and a log of every read and write of a status.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use milepost_store::DirectoryBucket;
use milepost_testkit::fixtures::test_env;
use milepost_testkit::history::{Client, Log, init};

use crate::common::settings;

const PART: &str = "MILEPOST_HISTORY_PART";

/// What one process is to do.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) root: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) number: u64,
    pub(crate) seed: u64,
    /// None: it makes the base.
    pub(crate) acts: u64,
}

impl Part {
    pub(crate) fn tell(&self, command: &mut Command) {
        let Self { root, log, number, seed, acts } = self;
        command.env(PART, format!("{number} {seed} {acts} {} {}", log.display(), root.display()));
    }

    pub(crate) fn of_this_process() -> Option<Self> {
        let text = std::env::var(PART).ok()?;
        let words: Vec<&str> = text.splitn(5, ' ').collect();
        let number = |at: usize| words[at].parse().unwrap();
        Some(Self { number: number(0), seed: number(1), acts: number(2), log: words[3].into(), root: words[4].into() })
    }

    pub(crate) fn act(self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(self.acts());
    }

    async fn acts(self) {
        let bucket = DirectoryBucket::open(&self.root, test_env(self.seed)).unwrap();
        if self.acts == 0 {
            init(bucket, self.seed).await.unwrap();
            return;
        }
        let file = File::options().create(true).append(true).open(&self.log).unwrap();
        // One write of one line: a kill leaves a line whole, or the beginning of a last one.
        let log = Log::new(self.number, now, move |line| (&file).write_all(line.as_bytes()).unwrap());
        let mut settings = settings();
        settings.retry_budget = Duration::from_secs(20);
        let client = Client { number: self.number, seed: self.seed, acts: self.acts, patience: None };
        client.run(bucket, log, settings).await.unwrap();
    }
}

/// The machine's monotonic clock, the same for all processes, in nanoseconds.
fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}
