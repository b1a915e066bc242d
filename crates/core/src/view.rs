//! The state of a checkpoint over all partitions: what one status cannot tell.
//!
//! A checkpoint can be restored when every partition has at least one copy that is committed and complete. The view says
//! whether that is so, which copy speaks for each partition, and what is wrong with the others. Statuses alone are judged;
//! tombstones count as absent.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

pub use crate::copy::{CopyFacts, CopyState, PartitionCopy};
use crate::document::StatusCode;
use crate::ids::{BackupId, CheckpointId, ClusterId, PartitionId};

/// The state of a checkpoint over all partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClusterState {
    /// The copies cannot belong to one cluster: partition counts or cluster ids disagree, or an id is out of range.
    Inconsistent,
    /// The best copy of some partition failed, is corrupt or left files out.
    Failed,
    /// Some partition has no copy while others have one, or are getting one.
    Incomplete,
    /// Some partition has nothing left but a copy that is being deleted.
    Deleting,
    /// No partition failed or is missing, but some are still being saved.
    InProgress,
    /// Every partition has a committed, complete copy.
    Completed,
    /// Nothing but tombstones, or nothing at all.
    DoesNotExist,
}

impl ClusterState {
    /// The word in output and JSON, as in `DOES_NOT_EXIST`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inconsistent => "INCONSISTENT",
            Self::Failed => "FAILED",
            Self::Incomplete => "INCOMPLETE",
            Self::Deleting => "DELETING",
            Self::InProgress => "IN_PROGRESS",
            Self::Completed => "COMPLETED",
            Self::DoesNotExist => "DOES_NOT_EXIST",
        }
    }
}

impl fmt::Display for ClusterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What one copy is worth for its partition, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Being deleted.
    Deleting,
    /// Its status cannot be used; counts as failed.
    Corrupt,
    /// Given up.
    Failed,
    /// Committed, but files were left out on purpose; counts as failed unless the operator allows it.
    LeftFilesOut,
    /// Still being saved.
    InProgress,
    /// Committed and complete.
    Completed,
}

impl Standing {
    const fn counts_as_failed(self) -> bool {
        matches!(self, Self::Failed | Self::Corrupt | Self::LeftFilesOut)
    }
}

/// One copy, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedCopy {
    /// The copy.
    pub copy: PartitionCopy,
    /// What it is worth.
    pub standing: Standing,
    /// For people: why the copy is not COMPLETED, or why another one is preferred. `None` for a best copy that is fine.
    pub reason: Option<String>,
}

/// All copies of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionView {
    /// The partition.
    pub partition: PartitionId,
    /// The copy that counts.
    pub best: JudgedCopy,
    /// The others, best first, each with the reason why it does not count.
    pub others: Vec<JudgedCopy>,
}

/// Why the copies of a checkpoint cannot belong to one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Inconsistency {
    /// The copies say different numbers of partitions; which of them says which.
    PartitionCounts(BTreeMap<u32, Vec<BackupId>>),
    /// The copies belong to different clusters; which to which.
    ClusterIds(BTreeMap<ClusterId, Vec<BackupId>>),
    /// Copies of partitions that the cluster does not have.
    OutOfRange {
        /// The lowest partition of the cluster.
        first: PartitionId,
        /// The partition behind the last one, where the number of partitions is known.
        end: Option<u64>,
        /// The copies.
        copies: Vec<BackupId>,
    },
}

impl fmt::Display for Inconsistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A cluster has hundreds of copies; a few are enough to find the odd one.
        let few = |ids: &[BackupId]| {
            let named = ids.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join(", ");
            if ids.len() > 5 { format!("{named} and {} more", ids.len() - 5) } else { named }
        };
        let groups = |f: &mut fmt::Formatter<'_>, mut groups: Vec<String>| {
            groups.truncate(5);
            f.write_str(&groups.join("; "))
        };
        match self {
            Self::PartitionCounts(counts) => {
                f.write_str("the numbers of partitions disagree: ")?;
                groups(f, counts.iter().map(|(count, ids)| format!("{count} say {}", few(ids))).collect())
            }
            Self::ClusterIds(clusters) => {
                f.write_str("the cluster ids disagree: ")?;
                groups(f, clusters.iter().map(|(cluster, ids)| format!("{cluster} say {}", few(ids))).collect())
            }
            Self::OutOfRange { first, end: Some(end), copies } => {
                write!(f, "not of partitions {first} to {}: {}", end.saturating_sub(1), few(copies))
            }
            Self::OutOfRange { first, end: None, copies } => {
                write!(f, "below the first partition {first}: {}", few(copies))
            }
        }
    }
}

/// Over which partitions a checkpoint was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JudgedOver {
    /// Over this many, as all copies say that know it.
    Known(u32),
    /// No copy says how many there are (or they disagree): over those that have a copy, so a missing one goes unnoticed.
    Seen,
}

/// What the view is told besides the copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewRules {
    /// The cluster's lowest partition, as `cluster.json` says.
    pub first_partition: PartitionId,
    /// Count copies that left files out as complete: only when the operator says so.
    pub allow_incomplete: bool,
}

impl ViewRules {
    /// The rules for a reader that was not told what `cluster.json` says of the first partition: a copy of partition 0 says
    /// it too. Without one, a cluster that begins at 0 has a partition missing just the same when it is judged from 1.
    #[must_use]
    pub fn for_copies(ids: impl IntoIterator<Item = BackupId>) -> Self {
        let first = u32::from(ids.into_iter().all(|id| id.partition.0 != 0));
        Self { first_partition: PartitionId(first), ..Self::default() }
    }
}

impl Default for ViewRules {
    fn default() -> Self {
        Self { first_partition: PartitionId(1), allow_incomplete: false }
    }
}

/// All copies of one checkpoint together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterView {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// The state that follows.
    pub state: ClusterState,
    /// The partitions that have a copy, in order, also those that the cluster should not have.
    pub partitions: Vec<PartitionView>,
    /// Why the state is INCONSISTENT; empty otherwise.
    pub inconsistencies: Vec<Inconsistency>,
    /// Over which partitions the checkpoint was judged.
    pub judged_over: JudgedOver,
    /// The cluster's lowest partition, as given.
    pub first_partition: PartitionId,
}

impl ClusterView {
    /// Judges the copies of `checkpoint`. Copies of other checkpoints and tombstones are ignored.
    #[must_use]
    pub fn new(checkpoint: CheckpointId, copies: impl IntoIterator<Item = PartitionCopy>, rules: &ViewRules) -> Self {
        let mut counts: BTreeMap<u32, Vec<BackupId>> = BTreeMap::new();
        let mut clusters: BTreeMap<ClusterId, Vec<BackupId>> = BTreeMap::new();
        let mut by_partition: BTreeMap<PartitionId, Vec<JudgedCopy>> = BTreeMap::new();
        for copy in copies {
            let standing = standing(&copy, rules.allow_incomplete);
            let Some(standing) = standing.filter(|_| copy.id.checkpoint == checkpoint) else { continue };
            if let Some(facts) = copy.facts() {
                clusters.entry(facts.cluster_id.clone()).or_default().push(copy.id);
                if let Some(count) = facts.number_of_partitions {
                    counts.entry(count).or_default().push(copy.id);
                }
            }
            let reason = what_is_wrong(&copy);
            by_partition.entry(copy.id.partition).or_default().push(JudgedCopy { copy, standing, reason });
        }

        let judged_over = match counts.first_key_value() {
            Some((count, _)) if counts.len() == 1 => JudgedOver::Known(*count),
            _ => JudgedOver::Seen,
        };
        let partitions: Vec<PartitionView> =
            by_partition.into_iter().filter_map(|(partition, copies)| partition_view(partition, copies)).collect();
        let mut view = Self {
            checkpoint,
            state: ClusterState::Inconsistent,
            partitions,
            inconsistencies: Vec::new(),
            judged_over,
            first_partition: rules.first_partition,
        };
        view.inconsistencies = view.contradictions(counts, clusters);
        if view.inconsistencies.is_empty() {
            view.state = view.judge();
        }
        view
    }

    /// One view for each checkpoint that any of the copies belongs to, newest first.
    #[must_use]
    pub fn all(copies: impl IntoIterator<Item = PartitionCopy>, rules: &ViewRules) -> Vec<Self> {
        let mut by_checkpoint: BTreeMap<CheckpointId, Vec<PartitionCopy>> = BTreeMap::new();
        for copy in copies {
            by_checkpoint.entry(copy.id.checkpoint).or_default().push(copy);
        }
        by_checkpoint.into_iter().rev().map(|(checkpoint, copies)| Self::new(checkpoint, copies, rules)).collect()
    }

    /// The partitions that should have a copy and have none, in order; lazily, for a damaged status may claim billions.
    /// None where the number of partitions is not known.
    pub fn missing(&self) -> impl Iterator<Item = PartitionId> {
        let first = u64::from(self.first_partition.0);
        (first..self.end().unwrap_or(first))
            .filter_map(|partition| u32::try_from(partition).ok().map(PartitionId))
            .filter(|partition| self.partition(*partition).is_none())
    }

    /// The copies of one partition; `None` where it has none.
    #[must_use]
    pub fn partition(&self, partition: PartitionId) -> Option<&PartitionView> {
        let at = self.partitions.binary_search_by_key(&partition, |view| view.partition).ok()?;
        self.partitions.get(at)
    }

    /// The committed copies that left files out: counted as FAILED unless the operator allowed them.
    pub fn left_files_out(&self) -> impl Iterator<Item = &PartitionCopy> {
        self.partitions
            .iter()
            .flat_map(|partition| std::iter::once(&partition.best).chain(&partition.others))
            .map(|judged| &judged.copy)
            .filter(|copy| {
                copy.facts().is_some_and(|facts| facts.status_code == StatusCode::Completed && !facts.complete)
            })
    }

    /// The partition behind the last one, where the number is known.
    fn end(&self) -> Option<u64> {
        match self.judged_over {
            JudgedOver::Known(count) => Some(u64::from(self.first_partition.0) + u64::from(count)),
            JudgedOver::Seen => None,
        }
    }

    fn contradictions(
        &self,
        counts: BTreeMap<u32, Vec<BackupId>>,
        clusters: BTreeMap<ClusterId, Vec<BackupId>>,
    ) -> Vec<Inconsistency> {
        let mut found = Vec::new();
        if clusters.len() > 1 {
            found.push(Inconsistency::ClusterIds(clusters));
        }
        if counts.len() > 1 {
            found.push(Inconsistency::PartitionCounts(counts));
        }
        let (first, end) = (self.first_partition, self.end());
        // A corrupt copy's id is known from its key, so it can be out of range as well.
        let copies: Vec<BackupId> = self
            .partitions
            .iter()
            .filter(|view| view.partition < first || end.is_some_and(|end| u64::from(view.partition.0) >= end))
            .flat_map(|view| std::iter::once(&view.best).chain(&view.others))
            .map(|judged| judged.copy.id)
            .collect();
        if !copies.is_empty() {
            found.push(Inconsistency::OutOfRange { first, end, copies });
        }
        found
    }

    /// The state of consistent copies.
    fn judge(&self) -> ClusterState {
        let any = |test: fn(Standing) -> bool| self.partitions.iter().any(|view| test(view.best.standing));
        let alive = any(|standing| matches!(standing, Standing::InProgress | Standing::Completed));
        if any(Standing::counts_as_failed) {
            ClusterState::Failed
        } else if alive && self.missing().next().is_some() {
            ClusterState::Incomplete
        } else if any(|standing| standing == Standing::Deleting) {
            ClusterState::Deleting
        } else if any(|standing| standing == Standing::InProgress) {
            ClusterState::InProgress
        } else if alive {
            ClusterState::Completed
        } else {
            ClusterState::DoesNotExist
        }
    }
}

/// The highest checkpoint that is COMPLETED for the whole cluster: what `latest` means. `None` where none is.
pub fn latest<'a>(views: impl IntoIterator<Item = &'a ClusterView>) -> Option<CheckpointId> {
    views.into_iter().filter(|view| view.state == ClusterState::Completed).map(|view| view.checkpoint).max()
}

/// `None` for a tombstone.
fn standing(copy: &PartitionCopy, allow_incomplete: bool) -> Option<Standing> {
    let Some(facts) = copy.facts() else { return Some(Standing::Corrupt) };
    Some(match facts.status_code {
        StatusCode::Completed if facts.complete || allow_incomplete => Standing::Completed,
        StatusCode::Completed => Standing::LeftFilesOut,
        StatusCode::InProgress => Standing::InProgress,
        StatusCode::Failed => Standing::Failed,
        StatusCode::Deleting => Standing::Deleting,
        StatusCode::Deleted => return None,
    })
}

fn what_is_wrong(copy: &PartitionCopy) -> Option<String> {
    match &copy.state {
        CopyState::Corrupt { reason } => Some(format!("the status is corrupt: {reason}")),
        CopyState::Readable(facts) => match (facts.status_code, &facts.failure_reason) {
            (StatusCode::Completed, _) if facts.complete => None,
            (StatusCode::Completed, _) => Some("files were left out on purpose".to_owned()),
            (StatusCode::Failed, Some(reason)) => Some(reason.clone()),
            (code, _) => Some(format!("is {code}")),
        },
    }
}

/// `None` for no copies.
fn partition_view(partition: PartitionId, mut copies: Vec<JudgedCopy>) -> Option<PartitionView> {
    copies.sort_by_key(|judged| Reverse((judged.standing, judged.copy.preference(None))));
    let mut copies = copies.into_iter();
    let best = copies.next()?;
    let node = best.copy.id.node;
    let others = copies
        .map(|mut judged| {
            // Whoever has no fault of its own lost by preference.
            judged.reason.get_or_insert_with(|| {
                let (_, term, position, ..) = best.copy.preference(None);
                let (_, own_term, own_position, ..) = judged.copy.preference(None);
                if term != own_term {
                    format!("the copy of node {node} is of a higher term")
                } else if position != own_position {
                    format!("the copy of node {node} is at a higher position")
                } else {
                    format!("the copy of node {node} is as good")
                }
            });
            judged
        })
        .collect();
    Some(PartitionView { partition, best, others })
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
