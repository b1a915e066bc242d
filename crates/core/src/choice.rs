//! Which copy of a partition to restore.
//!
//! All copies of a partition at a checkpoint are cuts at the same place, yet not equally good: one may have been taken in
//! an older term, or at a lower position. The order here is what "the best copy" means everywhere.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use thiserror::Error;

use crate::document::StatusCode;
use crate::ids::{CheckpointId, ClusterId, NodeId, PartitionId};
use crate::view::{CopyFacts, CopyState, PartitionCopy};

/// What the choice is told besides the copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChoiceRules {
    /// The cluster that restores; copies of another one are refused.
    pub cluster_id: ClusterId,
    /// How many partitions the cluster has, where the caller knows; copies that say another number are refused, copies
    /// that say none are not.
    pub number_of_partitions: Option<u32>,
    /// The node that restores: of equally good copies its own is preferred.
    pub own_node: Option<NodeId>,
    /// Take copies that left files out, after all others: only when the operator says so.
    pub allow_incomplete: bool,
}

/// Why a copy is not restored.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The status cannot be used.
    #[error("the status is corrupt: {0}")]
    Corrupt(String),
    /// Only COMPLETED copies are restored.
    #[error("is {0}")]
    NotCompleted(StatusCode),
    /// Files were left out on purpose, and the operator did not allow that.
    #[error("files were left out on purpose")]
    LeftFilesOut,
    /// The copy is of another cluster.
    #[error("belongs to cluster {0}")]
    OtherCluster(ClusterId),
    /// The copy is of a cluster of another size.
    #[error("is of a cluster of {found} partitions, not {wanted}")]
    OtherPartitionCount {
        /// What the copy says.
        found: u32,
        /// What the caller knows.
        wanted: u32,
    },
    /// The caller does not know the number of partitions, and the copies disagree on it.
    #[error("is of a cluster of {0} partitions, but another copy says another number")]
    PartitionCountsDisagree(u32),
}

/// The copies of a partition, sorted out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choice {
    /// The copies that may be restored, best first: on a checksum failure the caller falls through to the next.
    pub candidates: Vec<PartitionCopy>,
    /// The others, by node id, each with the reason.
    pub refused: Vec<(PartitionCopy, Refusal)>,
}

impl Choice {
    /// Sorts out the copies of `partition` at `checkpoint`; copies of other ones are ignored.
    ///
    /// Candidates are COMPLETED, complete, of the same cluster and of the same number of partitions. First comes the
    /// highest term, then the highest position (unknown sorts below known), then the own node, then the lowest node id.
    /// Copies that left files out, where allowed, come after those that did not. Statuses alone are judged: whether the
    /// metadata is valid shows when the copy is read.
    #[must_use]
    pub fn new(
        partition: PartitionId,
        checkpoint: CheckpointId,
        copies: impl IntoIterator<Item = PartitionCopy>,
        rules: &ChoiceRules,
    ) -> Self {
        let mut choice = Self::default();
        for copy in copies {
            if (copy.id.partition, copy.id.checkpoint) != (partition, checkpoint) {
                continue;
            }
            match refusal(&copy, rules) {
                Some(why) => choice.refused.push((copy, why)),
                None => choice.candidates.push(copy),
            }
        }
        choice.refuse_disagreement();
        choice.candidates.sort_by_key(|copy| Reverse(copy.preference(rules.own_node)));
        choice.refused.sort_by_key(|(copy, _)| copy.id.node);
        choice
    }

    /// Nobody can tell which of two numbers of partitions is right, and restoring the wrong one mixes two clusters. With a
    /// number given by the caller the candidates agree already.
    fn refuse_disagreement(&mut self) {
        let count = |copy: &PartitionCopy| copy.facts().and_then(|facts| facts.number_of_partitions);
        if self.candidates.iter().filter_map(count).collect::<BTreeSet<_>>().len() < 2 {
            return;
        }
        for copy in std::mem::take(&mut self.candidates) {
            match count(&copy) {
                Some(count) => self.refused.push((copy, Refusal::PartitionCountsDisagree(count))),
                None => self.candidates.push(copy),
            }
        }
    }
}

fn refusal(copy: &PartitionCopy, rules: &ChoiceRules) -> Option<Refusal> {
    let facts: &CopyFacts = match &copy.state {
        CopyState::Corrupt { reason } => return Some(Refusal::Corrupt(reason.clone())),
        CopyState::Readable(facts) => facts,
    };
    if facts.status_code != StatusCode::Completed {
        return Some(Refusal::NotCompleted(facts.status_code));
    }
    if facts.cluster_id != rules.cluster_id {
        return Some(Refusal::OtherCluster(facts.cluster_id.clone()));
    }
    if let (Some(found), Some(wanted)) = (facts.number_of_partitions, rules.number_of_partitions)
        && found != wanted
    {
        return Some(Refusal::OtherPartitionCount { found, wanted });
    }
    (!facts.complete && !rules.allow_incomplete).then_some(Refusal::LeftFilesOut)
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
