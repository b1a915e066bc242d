//! Listing backups: a walk by delimiter over partitions, checkpoints and nodes, statuses fetched concurrently, in order.
//!
//! The cost is folders listed and statuses read, never objects stored.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use milepost_core::{BackupId, CheckpointId, NodeId, PartitionId};

use super::Engine;
use super::register::StatusRead;
use crate::api::{BackupStatus, ListEntry, ListQuery, Order};
use crate::bucket::Bucket;
use crate::context::OpContext;
use crate::error::{Error, Operation, Result};

/// Entries that one checkpoint may have before the listing is called unusable: partitions times nodes.
const MAX_PER_CHECKPOINT: usize = 1_000_000;

struct Walk<B: Bucket> {
    engine: Arc<Engine<B>>,
    query: ListQuery,
    cx: OpContext,
    /// Checkpoints still to be visited, each with the partitions that have its folder.
    ahead: VecDeque<(CheckpointId, Vec<PartitionId>)>,
    started: bool,
    shown: u32,
    ready: VecDeque<ListEntry>,
}

impl<B: Bucket> Walk<B> {
    async fn next(&mut self) -> Result<Option<ListEntry>> {
        if !self.started {
            self.started = true;
            if !self.engine.check_cluster(&self.cx).await? {
                return Ok(None);
            }
            self.ahead = self.checkpoints().await?;
        }
        while self.ready.is_empty() {
            if self.query.limit.is_some_and(|limit| self.shown >= limit.get()) {
                return Ok(None);
            }
            let Some((checkpoint, partitions)) = self.ahead.pop_front() else { return Ok(None) };
            self.ready = self.entries(checkpoint, partitions).await?;
            self.shown += u32::from(!self.ready.is_empty());
        }
        Ok(self.ready.pop_front())
    }

    async fn checkpoints(&self) -> Result<VecDeque<(CheckpointId, Vec<PartitionId>)>> {
        let selector = self.query.selector;
        let partitions = match selector.partition {
            Some(partition) => vec![partition],
            None => self.engine.numeric_folders(self.engine.layout.root(), &self.cx).await?,
        };
        let mut by_checkpoint: BTreeMap<CheckpointId, Vec<PartitionId>> = BTreeMap::new();
        for partition in partitions {
            let prefix = self.engine.layout.partition_prefix(partition);
            let found = match selector.checkpoint {
                Some(checkpoint) => vec![checkpoint],
                None => self.engine.numeric_folders(&prefix, &self.cx).await?,
            };
            for checkpoint in found {
                by_checkpoint.entry(checkpoint).or_default().push(partition);
            }
        }
        let after = self.query.after;
        let wanted = by_checkpoint.into_iter().filter(|(checkpoint, _)| match self.query.order {
            Order::Ascending => after.is_none_or(|after| *checkpoint > after),
            Order::Descending => after.is_none_or(|after| *checkpoint < after),
        });
        Ok(match self.query.order {
            Order::Ascending => wanted.collect(),
            Order::Descending => wanted.rev().collect(),
        })
    }

    async fn copies(&self, partition: PartitionId, checkpoint: CheckpointId) -> Result<Vec<BackupId>> {
        if let Some(node) = self.query.selector.node {
            return Ok(vec![BackupId { partition, checkpoint, node }]);
        }
        let prefix = self.engine.layout.checkpoint_prefix(partition, checkpoint);
        let nodes: Vec<NodeId> = self.engine.numeric_folders(&prefix, &self.cx).await?;
        Ok(nodes.into_iter().map(|node| BackupId { partition, checkpoint, node }).collect())
    }

    async fn entries(&self, checkpoint: CheckpointId, partitions: Vec<PartitionId>) -> Result<VecDeque<ListEntry>> {
        let mut ids = Vec::new();
        // Side by side: a request for each partition adds up over hundreds of checkpoints.
        let mut folders = futures::stream::iter(partitions)
            .map(|partition| self.copies(partition, checkpoint))
            .buffered(self.engine.settings.status_concurrency);
        while let Some(copies) = folders.next().await {
            ids.extend(copies?);
            if ids.len() > MAX_PER_CHECKPOINT {
                return Err(Error::refused(format!(
                    "checkpoint {checkpoint} has more than {MAX_PER_CHECKPOINT} copies"
                )));
            }
        }
        let mut reads = futures::stream::iter(ids)
            .map(|id| async move { (id, self.engine.read_status(id, &self.cx).await) })
            .buffered(self.engine.settings.status_concurrency);
        let mut entries = VecDeque::new();
        while let Some((id, read)) = reads.next().await {
            match read.map_err(|error| error.of(id))? {
                StatusRead::Absent => {}
                StatusRead::Present { held, age } => {
                    if self.query.asks_for(&held.document) {
                        let status = BackupStatus { id, document: Some(*held.document), etag: Some(held.etag), age };
                        entries.push_back(ListEntry::Backup(status));
                    }
                }
                StatusRead::Corrupt { error, .. } => {
                    entries.push_back(ListEntry::Corrupt { id, newer: error.is_newer(), reason: error.to_string() });
                }
            }
        }
        Ok(entries)
    }
}

/// The ordered stream of backups; it ends after its first error.
pub(super) fn list<B: Bucket>(
    engine: Arc<Engine<B>>,
    query: ListQuery,
    cx: OpContext,
) -> BoxStream<'static, Result<ListEntry>> {
    let walk = Walk { engine, query, cx, ahead: VecDeque::new(), started: false, shown: 0, ready: VecDeque::new() };
    futures::stream::unfold(Some(walk), |state| async {
        let mut walk = state?;
        match walk.next().await {
            Ok(Some(entry)) => Some((Ok(entry), Some(walk))),
            Ok(None) => None,
            Err(error) => Some((Err(error.during(Operation::List)), None)),
        }
    })
    .boxed()
}
