//! Restoring a node's whole data folder: all its partitions from one checkpoint, each from the best copy.
//!
//! Partition `P` goes to `TARGET/P`, all or nothing. A copy that turns out damaged is passed over for the next one, and that
//! is told. A run that was interrupted is continued by the same call: partitions that carry the marker of a restore stay as
//! they are, and `latest` then means the checkpoint that they came from, so that partitions of two cuts are never mixed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use milepost_core::choice::ChoiceRules;
use milepost_core::view::JudgedOver;
use milepost_core::{BackupId, CheckpointId, Choice, ClusterId, ClusterState, NodeId, PartitionCopy, PartitionId};
use tokio::time::Instant;

use crate::api::{BackupStore, RestoreOptions, RestoreOutcome, RestoreReport, RestoreTarget};
use crate::checkpoints::{Checkpoint, PassedOver, checkpoint, latest};
use crate::context::OpContext;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::target::{self, TargetState, off_thread};

/// The most partitions of one node.
const MAX_PARTITIONS: usize = 10_000;

/// What is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRestoreOptions {
    /// The node that restores: of equally good copies its own is preferred.
    pub node: NodeId,
    /// Its partitions, each once.
    pub partitions: Vec<PartitionId>,
    /// The checkpoint; `None` is the newest that is complete for the whole cluster.
    pub checkpoint: Option<CheckpointId>,
    /// Refuse an older checkpoint than this: what the broker has already acknowledged must not be rolled back.
    pub min_checkpoint: Option<CheckpointId>,
    /// How many partitions the cluster has, where the caller knows; a checkpoint that says another number is refused.
    pub number_of_partitions: Option<u32>,
    /// The cluster, where the caller knows.
    pub cluster_id: Option<ClusterId>,
    /// Partitions that are restored at the same time: 1 to 64, others are taken for the nearest of these. They share the
    /// store's byte budget.
    pub parallel: usize,
    /// How each is restored. With `skip_if_restored`, and where every partition carries a marker, the store is not asked.
    pub restore: RestoreOptions,
}

/// How one partition ended.
#[derive(Debug)]
pub struct PartitionRestore {
    /// The partition.
    pub partition: PartitionId,
    /// The report of the copy that was restored, or why none could be.
    pub result: Result<RestoreReport>,
    /// Copies that were chosen first and turned out unusable, with what was wrong.
    pub passed_over: Vec<(BackupId, String)>,
}

/// What a restore of a node did.
#[derive(Debug)]
pub struct NodeRestore {
    /// The checkpoint; `None` where nothing needed one.
    pub checkpoint: Option<CheckpointId>,
    /// Newer checkpoints that `latest` passed over.
    pub passed_over: Vec<PassedOver>,
    /// Each partition, in order.
    pub partitions: Vec<PartitionRestore>,
    /// How long it took.
    pub duration: Duration,
}

/// Restores partitions of one checkpoint below `target`, which is made where it is absent (its parent must exist).
///
/// # Errors
/// Before anything is written: InvalidInput for partitions that are named twice or that the cluster does not have;
/// TargetNotEmpty for a partition's folder that holds something else; Refused for a checkpoint below the least one, another
/// number of partitions, or folders that were restored from another checkpoint; NotFound without a checkpoint. What fails
/// later is told for each partition in the result.
pub async fn restore_node(
    store: &dyn BackupStore,
    target: &Path,
    options: &NodeRestoreOptions,
    cx: &OpContext,
) -> Result<NodeRestore> {
    restore_all(store, target, options, cx).await.map_err(|error| error.during(Operation::Restore))
}

async fn restore_all(
    store: &dyn BackupStore,
    target: &Path,
    options: &NodeRestoreOptions,
    cx: &OpContext,
) -> Result<NodeRestore> {
    let begun = Instant::now();
    let partitions: BTreeSet<PartitionId> = options.partitions.iter().copied().collect();
    if partitions.is_empty() || partitions.len() != options.partitions.len() || partitions.len() > MAX_PARTITIONS {
        let message = format!("name 1 to {MAX_PARTITIONS} partitions, each once");
        return Err(Error::invalid_input(message));
    }
    let (root, wanted) = (target.to_owned(), partitions.clone());
    let restored = off_thread(move || restored(&root, &wanted)).await?;
    let origins: BTreeSet<CheckpointId> = restored.iter().map(|id| id.checkpoint).collect();
    let skip_all = options.restore.skip_if_restored && restored.len() == partitions.len();
    let (chosen, passed_over) = if skip_all {
        (None, Vec::new())
    } else {
        let (chosen, passed_over) = choose(store, &origins, options, cx).await?;
        check(&chosen, &partitions, options)?;
        (Some(chosen), passed_over)
    };
    if let Some(chosen) = &chosen
        && let Some(other) = restored.iter().find(|id| id.checkpoint != chosen.id())
    {
        return Err(mixed(target, *other, chosen.id()));
    }
    let root = target.to_owned();
    off_thread(move || match std::fs::create_dir(&root) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Error::new(ErrorKind::Target, format!("{} cannot be made: {error}", root.display())))
        }
        _ => Ok(()),
    })
    .await?;
    let jobs: Vec<(PartitionId, Result<Vec<BackupId>>)> = partitions
        .iter()
        .map(|partition| {
            let marked = restored.iter().find(|id| id.partition == *partition).map(|id| Ok(vec![*id]));
            let copies = || chosen.as_ref().map_or_else(|| Ok(Vec::new()), |at| candidates(at, *partition, options));
            (*partition, marked.unwrap_or_else(copies))
        })
        .collect();
    let work = jobs.into_iter().map(|(partition, copies)| async move {
        let (result, passed_over) = match copies {
            Ok(copies) => one(store, target.join(partition.to_string()), &copies, options, &cx.part()).await,
            Err(error) => (Err(error), Vec::new()),
        };
        PartitionRestore { partition, result, passed_over }
    });
    let mut partitions: Vec<PartitionRestore> =
        stream::iter(work).buffer_unordered(options.parallel.clamp(1, 64)).collect().await;
    partitions.sort_by_key(|done| done.partition);
    Ok(NodeRestore { checkpoint: chosen.map(|chosen| chosen.id()), passed_over, partitions, duration: begun.elapsed() })
}

/// The backups whose markers the partitions' folders carry. Refuses folders that hold something else.
fn restored(root: &Path, partitions: &BTreeSet<PartitionId>) -> Result<Vec<BackupId>> {
    let mut found = Vec::new();
    match std::fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(Error::invalid_input(format!("{} is not a folder", root.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(Error::new(ErrorKind::Target, format!("{}: {error}", root.display()))),
    }
    for partition in partitions {
        match target::inspect(&root.join(partition.to_string()))? {
            TargetState::Restored(marker) if marker.id.partition == *partition => found.push(marker.id),
            TargetState::Restored(marker) => {
                let message =
                    format!("{} holds {}, another partition", root.join(partition.to_string()).display(), marker.id);
                return Err(Error::refused(message).with_hint("nothing was touched; check the target"));
            }
            TargetState::Absent | TargetState::Empty | TargetState::Unfinished(_) => {}
        }
    }
    Ok(found)
}

/// The checkpoint that is meant, and the newer ones that were passed over for it.
async fn choose(
    store: &dyn BackupStore,
    origins: &BTreeSet<CheckpointId>,
    options: &NodeRestoreOptions,
    cx: &OpContext,
) -> Result<(Checkpoint, Vec<PassedOver>)> {
    let begun = origins.first().filter(|_| origins.len() == 1).copied();
    let (chosen, passed_over) = match options.checkpoint.or(begun) {
        Some(id) => (checkpoint(store, id, cx).await?, Vec::new()),
        None => {
            let latest = latest(store, cx).await?;
            (latest.checkpoint, latest.passed_over)
        }
    };
    if chosen.view.state == ClusterState::DoesNotExist {
        return Err(Error::new(ErrorKind::NotFound, format!("there is no backup of checkpoint {}", chosen.id()))
            .with_hint("`milepost cluster` shows what there is"));
    }
    Ok((chosen, passed_over))
}

fn check(chosen: &Checkpoint, partitions: &BTreeSet<PartitionId>, options: &NodeRestoreOptions) -> Result<()> {
    let id = chosen.id();
    if let Some(least) = options.min_checkpoint.filter(|least| id < *least) {
        return Err(Error::refused(format!("checkpoint {id} is below {least}, the least that may be restored"))
            .with_hint("`milepost cluster` says why newer ones are not complete; nothing was touched"));
    }
    let known = match chosen.view.judged_over {
        JudgedOver::Known(number) => Some(number),
        JudgedOver::Seen => None,
    };
    if let (Some(wanted), Some(known)) = (options.number_of_partitions, known)
        && wanted != known
    {
        return Err(Error::refused(format!("checkpoint {id} is of a cluster of {known} partitions, not {wanted}"))
            .with_hint("a cluster of another size cannot take it; nothing was touched"));
    }
    let first = chosen.view.first_partition.0;
    let end = known.or(options.number_of_partitions).map(|number| first.saturating_add(number));
    match partitions.iter().find(|partition| end.is_some_and(|end| partition.0 >= end) || partition.0 < first) {
        Some(odd) => Err(Error::invalid_input(format!(
            "checkpoint {id} is of partitions {first} to {}; {odd} is none of them",
            end.map_or_else(|| "an unknown last one".to_owned(), |end| end.saturating_sub(1).to_string())
        ))),
        None => Ok(()),
    }
}

fn mixed(target: &Path, other: BackupId, wanted: CheckpointId) -> Error {
    let path = target.join(other.partition.to_string());
    let message = format!("{} was restored from checkpoint {}, not {wanted}", path.display(), other.checkpoint);
    Error::refused(message).with_hint(
        "partitions of two checkpoints do not fit together: restore into an empty folder, or name the checkpoint that is there",
    )
}

/// The copies of a partition that may be restored, best first.
fn candidates(chosen: &Checkpoint, partition: PartitionId, options: &NodeRestoreOptions) -> Result<Vec<BackupId>> {
    let copies: Vec<PartitionCopy> = chosen.copies().map(|judged| judged.copy.clone()).collect();
    let clusters: BTreeSet<&ClusterId> =
        copies.iter().filter_map(PartitionCopy::facts).map(|facts| &facts.cluster_id).collect();
    let only = clusters.first().copied().filter(|_| clusters.len() == 1);
    let Some(cluster_id) = options.cluster_id.as_ref().or(only).cloned() else {
        let message = format!("the copies of checkpoint {} do not belong to one cluster", chosen.id());
        return Err(Error::refused(message).with_hint("say which with --cluster-id"));
    };
    let number_of_partitions = match chosen.view.judged_over {
        JudgedOver::Known(number) => Some(number),
        JudgedOver::Seen => options.number_of_partitions,
    };
    let rules = ChoiceRules { cluster_id, number_of_partitions, own_node: Some(options.node), allow_incomplete: false };
    let choice = Choice::new(partition, chosen.id(), copies, &rules);
    if choice.candidates.is_empty() {
        let mut why: Vec<String> =
            choice.refused.iter().take(8).map(|(copy, why)| format!("{} {why}", copy.id)).collect();
        if why.is_empty() {
            why.push("there is none at all".to_owned());
        }
        let message =
            format!("no usable copy of partition {partition} at checkpoint {}: {}", chosen.id(), why.join("; "));
        let hint = format!("`milepost cluster {}` shows every copy; an older checkpoint may be whole", chosen.id());
        return Err(Error::new(ErrorKind::NotFound, message).with_hint(hint));
    }
    Ok(choice.candidates.iter().map(|copy| copy.id).collect())
}

/// Restores the first copy that proves good.
async fn one(
    store: &dyn BackupStore,
    path: PathBuf,
    copies: &[BackupId],
    options: &NodeRestoreOptions,
    cx: &OpContext,
) -> (Result<RestoreReport>, Vec<(BackupId, String)>) {
    let mut passed_over = Vec::new();
    let mut failed = None;
    for id in copies {
        let target = RestoreTarget { path: path.clone() };
        match store.restore(*id, target, options.restore.clone(), cx).await {
            Ok(report) => return (Ok(report), passed_over),
            Err(error) if is_this_copys(&error) => {
                tracing::warn!("{error}; passed over");
                passed_over.push((*id, error.message().to_owned()));
                failed = Some(error);
            }
            Err(error) => return (Err(error), passed_over),
        }
    }
    (Err(failed.unwrap_or_else(|| Error::new(ErrorKind::NotFound, "there is no copy"))), passed_over)
}

/// Is it the copy's own fault? Anything else would meet the next copy as well. A copy that was deleted or failed since it
/// was chosen is passed over too.
fn is_this_copys(error: &Error) -> bool {
    use ErrorKind as K;
    matches!(error.kind(), K::Corrupt { .. } | K::Integrity { .. } | K::NotFound | K::WrongState { .. })
}

impl NodeRestore {
    /// Partitions that are there now, whether this call fetched them or found them.
    #[must_use]
    pub fn whole(&self) -> usize {
        self.partitions.iter().filter(|done| done.result.is_ok()).count()
    }

    /// Partitions that this call fetched.
    #[must_use]
    pub fn fetched(&self) -> usize {
        let fetched = |done: &&PartitionRestore| {
            done.result.as_ref().is_ok_and(|report| report.outcome == RestoreOutcome::Restored)
        };
        self.partitions.iter().filter(fetched).count()
    }
}
