//! What lies in a store, and how it grows: by state, by partition, by checkpoint, by day.
//!
//! Counted from one listing, so by what the statuses say: the contents that a save has sent so far, as far as its last sign of
//! life tells. What belongs to no backup is not in it; `doctor` looks for that.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use milepost_core::{CheckpointId, PartitionId, StatusDocument};

use crate::api::{BackupState, BackupStore, ListEntry, ListQuery, Order};
use crate::context::OpContext;
use crate::error::Result;

/// A number of backups, and what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    /// Backups, unreadable ones too.
    pub backups: u64,
    /// Files, status and metadata left out.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Sum {
    fn add(&mut self, document: Option<&StatusDocument>) {
        let counts = document.and_then(|document| document.done.or(document.planned)).unwrap_or_default();
        self.backups += 1;
        self.files = self.files.saturating_add(counts.files);
        self.bytes = self.bytes.saturating_add(counts.bytes);
    }
}

/// One partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionStats {
    /// The partition.
    pub partition: PartitionId,
    /// All its backups.
    pub sum: Sum,
    /// Its newest checkpoint that is COMPLETED on some node.
    pub newest_completed: Option<CheckpointId>,
}

/// What was begun on one day of UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayStats {
    /// The day, as in `2026-11-21`.
    pub day: String,
    /// The backups whose status was created then.
    pub sum: Sum,
}

/// What a listing adds up to. Tombstones are counted apart, and in nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Everything.
    pub total: Sum,
    /// By state; states of which there is none are left out.
    pub by_state: Vec<(BackupState, Sum)>,
    /// By partition.
    pub by_partition: Vec<PartitionStats>,
    /// By checkpoint, the newest first; the first ones only, as many as were asked for.
    pub by_checkpoint: Vec<(CheckpointId, Sum)>,
    /// By the day on which they were begun, the newest first; the first ones only, as many as were asked for.
    pub by_day: Vec<DayStats>,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Days on which something was begun.
    pub days: u64,
    /// The lowest and the highest checkpoint.
    pub range: Option<(CheckpointId, CheckpointId)>,
    /// Tombstones.
    pub tombstones: u64,
}

/// States in the order in which people are told of them.
const STATES: [BackupState; 5] =
    [BackupState::Completed, BackupState::InProgress, BackupState::Failed, BackupState::Deleting, BackupState::Corrupt];

/// Counts what a listing shows, and keeps the newest `most` checkpoints and days. Tombstones and the order of `query` are
/// overridden.
///
/// Costs what the listing costs. Keeps a few numbers for each partition and each day in memory.
///
/// # Errors
/// Those of the listing.
pub async fn stats(store: &dyn BackupStore, query: ListQuery, most: usize, cx: &OpContext) -> Result<Stats> {
    let query = ListQuery { tombstones: true, order: Order::Descending, ..query };
    let mut listing = store.list(query, cx.clone());
    let mut stats = Stats::default();
    let mut states = [Sum::default(); STATES.len()];
    let mut partitions: BTreeMap<PartitionId, PartitionStats> = BTreeMap::new();
    let mut days: BTreeMap<String, Sum> = BTreeMap::new();
    while let Some(entry) = listing.next().await {
        let entry = entry?;
        let id = entry.id();
        let (state, document) = match &entry {
            ListEntry::Backup(status) if status.is_tombstone() => {
                stats.tombstones += 1;
                continue;
            }
            ListEntry::Backup(status) => (status.state(), status.document.as_ref()),
            ListEntry::Corrupt { .. } => (BackupState::Corrupt, None),
        };
        stats.total.add(document);
        if let Some(at) = STATES.iter().position(|known| *known == state) {
            states[at].add(document);
        }
        let first = PartitionStats { partition: id.partition, sum: Sum::default(), newest_completed: None };
        let partition = partitions.entry(id.partition).or_insert(first);
        partition.sum.add(document);
        if state == BackupState::Completed {
            partition.newest_completed.get_or_insert(id.checkpoint);
        }
        let low = id.checkpoint;
        let high = stats.range.map_or(low, |(_, high)| high);
        if stats.range.is_none_or(|(before, _)| before != low) {
            stats.checkpoints += 1;
            if stats.by_checkpoint.len() < most {
                stats.by_checkpoint.push((low, Sum::default()));
            }
        }
        stats.range = Some((low, high));
        if let Some((_, sum)) = stats.by_checkpoint.last_mut().filter(|(checkpoint, _)| *checkpoint == low) {
            sum.add(document);
        }
        if let Some(document) = document {
            let at = document.created_at.to_string();
            let day = at.split('T').next().unwrap_or_default();
            days.entry(day.to_owned()).or_default().add(Some(document));
        }
    }
    stats.by_state = STATES.into_iter().zip(states).filter(|(_, sum)| sum.backups > 0).collect();
    stats.by_partition = partitions.into_values().collect();
    stats.days = days.len() as u64;
    stats.by_day = days.into_iter().rev().take(most).map(|(day, sum)| DayStats { day, sum }).collect();
    Ok(stats)
}
