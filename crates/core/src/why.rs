//! Why a checkpoint is in its state, in one line for people.

use std::fmt::Display;

use crate::view::{ClusterState, ClusterView, JudgedOver, PartitionView, Standing};

/// How many partitions a line names.
const NAMED: usize = 3;

impl ClusterView {
    /// Why the checkpoint cannot be restored as a whole; of a COMPLETED one, what that rests on. `None` where there is nothing
    /// to say.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        match self.state {
            ClusterState::Inconsistent => {
                Some(self.inconsistencies.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
            }
            ClusterState::Failed => {
                let failed = |view: &&PartitionView| {
                    matches!(view.best.standing, Standing::Failed | Standing::Corrupt | Standing::LeftFilesOut)
                };
                some(self.partitions.iter().filter(failed).map(|view| {
                    let reason = view.best.reason.as_deref().unwrap_or("failed");
                    format!("partition {}: {reason}", view.partition)
                }))
            }
            ClusterState::Incomplete => {
                // Lazily: a damaged status may claim billions of partitions.
                let named: Vec<String> = self.missing().take(NAMED).map(|partition| partition.to_string()).collect();
                let more = if self.missing().nth(NAMED).is_some() { " and more" } else { "" };
                Some(format!("no copy of partition {}{more}", named.join(", ")))
            }
            ClusterState::InProgress => self.standing("being saved", Standing::InProgress),
            ClusterState::Deleting => self.standing("being deleted", Standing::Deleting),
            ClusterState::Completed => (self.judged_over == JudgedOver::Seen)
                .then(|| "no copy says how many partitions there are: judged over those seen".to_owned()),
            ClusterState::DoesNotExist => None,
        }
    }

    fn standing(&self, what: &str, standing: Standing) -> Option<String> {
        let which = self.partitions.iter().filter(|view| view.best.standing == standing).map(|view| view.partition);
        some(which).map(|which| format!("{what}: partition {}", which.replace("; ", ", ")))
    }
}

/// The first few, and how many more there are.
fn some<T: Display>(items: impl Iterator<Item = T>) -> Option<String> {
    let all: Vec<String> = items.map(|item| item.to_string()).collect();
    let (named, more) = all.split_at(all.len().min(NAMED));
    let text = named.join("; ");
    match (named.len(), more.len()) {
        (0, _) => None,
        (_, 0) => Some(text),
        (_, more) => Some(format!("{text}; and {more} more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::{CopyFacts, CopyState, PartitionCopy};
    use crate::document::StatusCode;
    use crate::ids::{BackupId, CheckpointId, ClusterId};
    use crate::view::ViewRules;

    fn copy(partition: u32, status_code: StatusCode, count: Option<u32>) -> PartitionCopy {
        PartitionCopy {
            id: BackupId::new(partition, 7, 1),
            state: CopyState::Readable(CopyFacts {
                status_code,
                cluster_id: ClusterId::new("c").unwrap(),
                complete: true,
                number_of_partitions: count,
                term: None,
                checkpoint_position: None,
                failure_reason: (status_code == StatusCode::Failed).then(|| "disk died".to_owned()),
            }),
        }
    }

    fn why(copies: Vec<PartitionCopy>) -> Option<String> {
        ClusterView::new(CheckpointId(7), copies, &ViewRules::default()).why()
    }

    #[test]
    fn each_state_says_what_it_rests_on() {
        use StatusCode as S;
        let is = |copies: Vec<PartitionCopy>, text: &str| assert_eq!(why(copies).as_deref(), Some(text));
        is(vec![copy(1, S::Failed, Some(2)), copy(2, S::Completed, Some(2))], "partition 1: disk died");
        is(vec![copy(1, S::Completed, Some(9))], "no copy of partition 2, 3, 4 and more");
        is(vec![copy(1, S::Completed, Some(u32::MAX))], "no copy of partition 2, 3, 4 and more");
        is(vec![copy(1, S::Completed, Some(2))], "no copy of partition 2");
        is((1..=5).map(|p| copy(p, S::InProgress, Some(5))).collect(), "being saved: partition 1, 2, 3, and 2 more");
        is(vec![copy(1, S::Deleting, Some(1))], "being deleted: partition 1");
        is(vec![copy(1, S::Completed, None)], "no copy says how many partitions there are: judged over those seen");
        assert_eq!(why(vec![copy(1, S::Completed, Some(1))]), None);
        assert!(
            why(vec![copy(1, S::Completed, Some(1)), copy(2, S::Completed, Some(2))]).unwrap().contains("disagree")
        );
    }
}
