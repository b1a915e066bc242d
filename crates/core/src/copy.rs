//! One copy of a partition, as far as the view of the cluster and the choice of a copy care.

use std::cmp::Reverse;

use crate::document::{StatusCode, StatusDocument};
use crate::ids::{BackupId, ClusterId, NodeId};

/// What the view and the choice of a copy need to know of one backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionCopy {
    /// The backup, by its key.
    pub id: BackupId,
    /// What its status says.
    pub state: CopyState,
}

/// What a status says, as far as it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyState {
    /// A readable status.
    Readable(CopyFacts),
    /// A status that cannot be used.
    Corrupt {
        /// What is wrong with it.
        reason: String,
    },
}

/// The facts of a readable status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFacts {
    /// The state.
    pub status_code: StatusCode,
    /// The cluster that owns the copy.
    pub cluster_id: ClusterId,
    /// False when files were left out on purpose.
    pub complete: bool,
    /// How many partitions the cluster had; `None` = unknown.
    pub number_of_partitions: Option<u32>,
    /// The replication term of the snapshot; `None` = unknown.
    pub term: Option<u64>,
    /// The log position of the checkpoint; `None` = unknown.
    pub checkpoint_position: Option<u64>,
    /// Why a FAILED failed.
    pub failure_reason: Option<String>,
}

impl PartitionCopy {
    /// A copy whose status cannot be used, and why.
    #[must_use]
    pub fn corrupt(id: BackupId, reason: impl Into<String>) -> Self {
        Self { id, state: CopyState::Corrupt { reason: reason.into() } }
    }

    /// The facts; `None` for a corrupt status.
    #[must_use]
    pub fn facts(&self) -> Option<&CopyFacts> {
        match &self.state {
            CopyState::Readable(facts) => Some(facts),
            CopyState::Corrupt { .. } => None,
        }
    }

    /// Which of two equally good copies is preferred, the greater one: complete, then term, then position (unknown sorts
    /// below known), then the own node, then the lowest node id.
    pub(crate) fn preference(&self, own: Option<NodeId>) -> Preference {
        let facts = self.facts();
        (
            facts.is_some_and(|facts| facts.complete),
            facts.and_then(|facts| facts.term),
            facts.and_then(|facts| facts.checkpoint_position),
            own == Some(self.id.node),
            Reverse(self.id.node),
        )
    }
}

pub(crate) type Preference = (bool, Option<u64>, Option<u64>, bool, Reverse<NodeId>);

impl From<&StatusDocument> for PartitionCopy {
    fn from(document: &StatusDocument) -> Self {
        let descriptor = document.descriptor.as_ref();
        Self {
            id: document.id,
            state: CopyState::Readable(CopyFacts {
                status_code: document.status_code,
                cluster_id: document.cluster_id.clone(),
                complete: document.complete,
                number_of_partitions: descriptor.and_then(|descriptor| descriptor.number_of_partitions),
                term: descriptor.and_then(|descriptor| descriptor.term),
                checkpoint_position: descriptor.and_then(|descriptor| descriptor.checkpoint_position),
                failure_reason: document.failure_reason.clone(),
            }),
        }
    }
}
