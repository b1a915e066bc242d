//! From what a user wrote to the backups that are meant.
//!
//! `latest` is the highest checkpoint that is COMPLETED for the whole cluster. `any` gives every usable copy, the best
//! first, so that a restore can go on with the next one when a copy turns out damaged.

use std::str::FromStr;

use milepost::checkpoints;
use milepost::core::choice::{ChoiceRules, Refusal};
use milepost::core::view::{ClusterView, JudgedOver, PartitionCopy, PartitionView};
use milepost::{
    BackupId, BackupStore, CheckpointId, ClusterId, Error, ErrorKind, NodeId, OpContext, PartitionId, Result,
};

/// How many newer checkpoints that `latest` passed over are named.
const PASSED_OVER: usize = 5;

/// The BACKUP argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// One backup, by its id.
    One(BackupId),
    /// A choice: `None` is `latest` or `any`.
    Of { partition: PartitionId, checkpoint: Option<CheckpointId>, node: Option<NodeId> },
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "a backup is written PARTITION/CHECKPOINT/NODE, as in 1/100/2; where a choice is taken, \
                            also 1/latest/any";
        let segments: Vec<&str> = text.splitn(4, '/').collect();
        let [partition, checkpoint, node] = segments[..] else { return Err(FORM.to_owned()) };
        let explain = |error: milepost::core::IdError| format!("{error}. {FORM}");
        let partition = partition.parse().map_err(explain)?;
        let checkpoint = match checkpoint {
            "latest" => None,
            id => Some(id.parse().map_err(explain)?),
        };
        let node = match node {
            "any" => None,
            id => Some(id.parse().map_err(explain)?),
        };
        Ok(match (checkpoint, node) {
            (Some(checkpoint), Some(node)) => Self::One(BackupId { partition, checkpoint, node }),
            _ => Self::Of { partition, checkpoint, node },
        })
    }
}

/// The backups that are meant, the best first; at least one. Of a backup given by its id, that one, without a look.
///
/// `own` is the cluster that the settings name, if they do.
///
/// # Errors
/// NotFound where nothing can be chosen; the errors of a listing.
pub(crate) async fn candidates(
    store: &dyn BackupStore,
    choice: Choice,
    own: Option<&ClusterId>,
    cx: &OpContext,
) -> Result<Vec<BackupId>> {
    let (partition, checkpoint, node) = match choice {
        Choice::One(id) => return Ok(vec![id]),
        Choice::Of { partition, checkpoint, node } => (partition, checkpoint, node),
    };
    let view = match checkpoint {
        // The whole checkpoint is read: the copies of the other partitions tell whether this one fits the cluster.
        Some(checkpoint) => checkpoints::checkpoint(store, checkpoint, cx).await?.view,
        None => {
            let latest = checkpoints::latest(store, cx).await?;
            for passed in latest.passed_over.iter().take(PASSED_OVER) {
                tracing::warn!("latest is {}: {passed}", latest.checkpoint.id());
            }
            latest.checkpoint.view
        }
    };
    let checkpoint = view.checkpoint;
    if let Some(node) = node {
        // A checkpoint that is complete for the cluster need not have this node's copy: the verb tells.
        return Ok(vec![BackupId { partition, checkpoint, node }]);
    }
    let copies = view.partition(partition).map(copies_of).unwrap_or_default();
    let Some(cluster_id) = own.cloned().or_else(|| only_cluster(&view)) else {
        return Err(no_copy(partition, &view, &[]));
    };
    let number_of_partitions = match view.judged_over {
        JudgedOver::Known(number) => Some(number),
        JudgedOver::Seen => None,
    };
    let rules = ChoiceRules { cluster_id, number_of_partitions, own_node: None, allow_incomplete: false };
    let chosen = milepost::core::Choice::new(partition, checkpoint, copies, &rules);
    if chosen.candidates.is_empty() {
        return Err(no_copy(partition, &view, &chosen.refused));
    }
    Ok(chosen.candidates.iter().map(|copy| copy.id).collect())
}

/// The best of [`candidates`].
///
/// # Errors
/// As [`candidates`].
pub(crate) async fn one(
    store: &dyn BackupStore,
    choice: Choice,
    own: Option<&ClusterId>,
    cx: &OpContext,
) -> Result<BackupId> {
    let ids = candidates(store, choice, own, cx).await?;
    ids.first().copied().ok_or_else(|| Error::new(ErrorKind::NotFound, "no such backup"))
}

fn copies_of(view: &PartitionView) -> Vec<PartitionCopy> {
    std::iter::once(&view.best).chain(&view.others).map(|judged| judged.copy.clone()).collect()
}

/// The cluster to which all readable copies belong, if it is one.
fn only_cluster(view: &ClusterView) -> Option<ClusterId> {
    let copies: Vec<PartitionCopy> = view.partitions.iter().flat_map(copies_of).collect();
    let mut ids = copies.iter().filter_map(PartitionCopy::facts).map(|facts| &facts.cluster_id);
    let first = ids.next()?;
    ids.all(|id| id == first).then(|| first.clone())
}

fn no_copy(partition: PartitionId, view: &ClusterView, refused: &[(PartitionCopy, Refusal)]) -> Error {
    let mut why: Vec<String> = refused.iter().take(8).map(|(copy, why)| format!("{} {why}", copy.id)).collect();
    why.extend(view.inconsistencies.iter().map(ToString::to_string));
    if why.is_empty() {
        why.push("there is none at all".to_owned());
    }
    let checkpoint = view.checkpoint;
    let what = format!("no usable copy of partition {partition} at checkpoint {checkpoint}: {}", why.join("; "));
    Error::new(ErrorKind::NotFound, what).with_hint("`milepost list` shows every backup")
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
