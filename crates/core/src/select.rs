//! Which backups a listing is asked for.

use crate::ids::{BackupId, CheckpointId, NodeId, PartitionId};
use crate::layout::Layout;

/// A pattern over backup ids; `None` matches every value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Selector {
    /// Only this partition.
    pub partition: Option<PartitionId>,
    /// Only this checkpoint.
    pub checkpoint: Option<CheckpointId>,
    /// Only this node.
    pub node: Option<NodeId>,
}

impl Selector {
    /// Matches every backup.
    pub const ALL: Self = Self { partition: None, checkpoint: None, node: None };

    /// Matches one backup.
    #[must_use]
    pub const fn one(id: BackupId) -> Self {
        Self { partition: Some(id.partition), checkpoint: Some(id.checkpoint), node: Some(id.node) }
    }

    /// Does the pattern match?
    #[must_use]
    pub fn matches(&self, id: BackupId) -> bool {
        self.partition.is_none_or(|partition| partition == id.partition)
            && self.checkpoint.is_none_or(|checkpoint| checkpoint == id.checkpoint)
            && self.node.is_none_or(|node| node == id.node)
    }

    /// The longest prefix under which every match lies. Keys begin with the partition, so a checkpoint or a node alone
    /// narrows nothing.
    #[must_use]
    pub fn prefix(&self, layout: &Layout) -> String {
        match (self.partition, self.checkpoint, self.node) {
            (Some(partition), Some(checkpoint), Some(node)) => {
                layout.backup_prefix(BackupId { partition, checkpoint, node })
            }
            (Some(partition), Some(checkpoint), None) => layout.checkpoint_prefix(partition, checkpoint),
            (Some(partition), None, _) => layout.partition_prefix(partition),
            (None, ..) => layout.root().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_match_lies_under_the_prefix(p in 0u32..3, c in 0u64..30, n in 0u32..3, mask in 0u8..8) {
            let layout = Layout::new("base").unwrap();
            let selector = Selector {
                partition: (mask & 1 != 0).then_some(PartitionId(1)),
                checkpoint: (mask & 2 != 0).then_some(CheckpointId(10)),
                node: (mask & 4 != 0).then_some(NodeId(2)),
            };
            let id = BackupId::new(p, c, n);
            let prefix = selector.prefix(&layout);
            prop_assert!(prefix.ends_with('/'));
            if selector.matches(id) {
                prop_assert!(layout.status(id).as_str().starts_with(&prefix));
            }
            prop_assert_eq!(Selector::one(id).prefix(&layout), layout.backup_prefix(id));
            prop_assert!(Selector::ALL.matches(id));
        }
    }
}
