//! What an operator may tune, each with its default and its limits.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use milepost_core::{ClusterId, PartitionId};

use crate::error::{Error, Result};

/// Mebibyte.
pub const MIB: u64 = 1024 * 1024;

/// The settings of a store. [`StoreSettings::check`] refuses values outside the limits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreSettings {
    /// The cluster's name, which must agree with `cluster.json`. Default: `default`.
    pub cluster: String,
    /// The cluster's id, which must agree with `cluster.json`. Default: whatever that says.
    pub cluster_id: Option<ClusterId>,
    /// The lowest partition id, used when `cluster.json` is made: 0 or 1. Default: 1.
    pub first_partition: PartitionId,
    /// Go on with a store that fails the probe: then only one process may ever write a backup, and none of the promises
    /// about races hold. Default: false.
    pub single_writer: bool,
    /// Bytes of one part of a multipart upload; grows for huge files. 64 KiB to 1 GiB. Default: 8 MiB.
    pub part_size: u64,
    /// Files above this many bytes go by multipart. `part_size` to 1 GiB. Default: 32 MiB.
    pub multipart_threshold: u64,
    /// The most requests that move contents at the same time. The store begins with 4 of them, goes up to this number while
    /// more bytes get through, and down when the server asks to slow down. 1 to 256. Default: 4.
    pub concurrency: usize,
    /// Threads that read, hash and write files, all operations of the store together. 1 to 16. Default: 2.
    pub file_threads: usize,
    /// How these threads stand against the broker's. Default: normal.
    pub file_priority: Priority,
    /// Bytes of contents in memory at the same time, all operations of the store together. At least
    /// `multipart_threshold`, at most 64 GiB. Default: 48 MiB.
    pub memory_budget: u64,
    /// Bytes of contents per second, all operations of the store together. Default: no limit.
    pub rate_limit: Option<NonZeroU64>,
    /// Statuses read at the same time by a listing. 1 to 256. Default: 16.
    pub status_concurrency: usize,
    /// How long a failing request is tried again. 0 to 1 h. Default: 30 s.
    pub retry_budget: Duration,
    /// The first wait between tries; it doubles, with jitter, up to 5 s. 1 ms to 5 s. Default: 100 ms.
    pub retry_delay: Duration,
    /// How often a save shows a sign of life in its status. 100 ms to 1 h. Default: 10 s.
    pub sign_of_life: Duration,
    /// Without a sign of life for this long, a save counts as stale: advice, never a reason to skip a condition.
    /// Default: 24 h.
    pub stale_after: Duration,
    /// Where resume journals are kept. Default: none, no journal.
    pub journal_dir: Option<PathBuf>,
    /// The journal is written after this many files. 1 to 100,000. Default: 100.
    pub journal_every_files: u32,
    /// The journal is written after this long, when something changed. 10 ms to 1 h. Default: 5 s.
    pub journal_every: Duration,
}

/// How the threads that read and write files stand against the other threads of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    /// As everybody.
    #[default]
    Normal,
    /// Behind everybody (nice 19): for the processor, and for disks whose scheduler looks at priorities (BFQ, mq-deadline).
    /// For backups beside a running broker. A backup may starve on a machine that is busy all the time.
    Low,
}

impl std::str::FromStr for Priority {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "normal" => Ok(Self::Normal),
            "low" => Ok(Self::Low),
            _ => Err(Error::invalid_input(format!("a priority is normal or low, not `{text}`"))),
        }
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            cluster: "default".to_owned(),
            cluster_id: None,
            first_partition: PartitionId(1),
            single_writer: false,
            part_size: 8 * MIB,
            multipart_threshold: 32 * MIB,
            concurrency: 4,
            file_threads: 2,
            file_priority: Priority::Normal,
            memory_budget: 48 * MIB,
            rate_limit: None,
            status_concurrency: 16,
            retry_budget: Duration::from_secs(30),
            retry_delay: Duration::from_millis(100),
            sign_of_life: Duration::from_secs(10),
            stale_after: Duration::from_secs(24 * 3600),
            journal_dir: None,
            journal_every_files: 100,
            journal_every: Duration::from_secs(5),
        }
    }
}

impl StoreSettings {
    /// Checks every limit.
    ///
    /// # Errors
    /// InvalidInput names the setting, its limits and the value.
    pub fn check(&self) -> Result<()> {
        fn within<T: PartialOrd + std::fmt::Debug>(name: &str, value: &T, low: &T, high: &T) -> Result<()> {
            if value < low || value > high {
                return Err(Error::invalid_input(format!("{name} must be from {low:?} to {high:?}, not {value:?}")));
            }
            Ok(())
        }
        if self.cluster.is_empty() || self.cluster.len() > 128 || self.cluster.chars().any(char::is_control) {
            return Err(Error::invalid_input("cluster must be 1 to 128 bytes without control characters"));
        }
        within("first_partition", &self.first_partition.0, &0, &1)?;
        within("part_size", &self.part_size, &(64 * 1024), &(1024 * MIB))?;
        within("multipart_threshold", &self.multipart_threshold, &self.part_size, &(1024 * MIB))?;
        within("concurrency", &self.concurrency, &1, &256)?;
        within("file_threads", &self.file_threads, &1, &16)?;
        within("memory_budget", &self.memory_budget, &self.multipart_threshold, &(64 * 1024 * MIB))?;
        within("status_concurrency", &self.status_concurrency, &1, &256)?;
        let hour = Duration::from_secs(3600);
        within("retry_budget", &self.retry_budget, &Duration::ZERO, &hour)?;
        within("retry_delay", &self.retry_delay, &Duration::from_millis(1), &Duration::from_secs(5))?;
        within("sign_of_life", &self.sign_of_life, &Duration::from_millis(100), &hour)?;
        within("journal_every_files", &self.journal_every_files, &1, &100_000)?;
        within("journal_every", &self.journal_every, &Duration::from_millis(10), &hour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_the_limits() {
        StoreSettings::default().check().unwrap();
    }

    #[test]
    fn each_limit_names_its_setting() {
        let refused = |change: fn(&mut StoreSettings)| {
            let mut settings = StoreSettings::default();
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        assert!(refused(|s| s.part_size = 1).contains("part_size must be from 65536"));
        assert!(refused(|s| s.multipart_threshold = s.part_size - 1).contains("multipart_threshold"));
        assert!(refused(|s| s.memory_budget = 1).contains("memory_budget"));
        assert!(refused(|s| s.concurrency = 0).contains("concurrency"));
        assert!(refused(|s| s.cluster.clear()).contains("cluster"));
        assert!(refused(|s| s.first_partition = PartitionId(2)).contains("first_partition"));
    }
}
