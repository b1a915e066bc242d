//! What a listing takes and gives.

use std::num::NonZeroU32;

use milepost_core::{BackupId, CheckpointId, Selector, StatusDocument, Timestamp};

use super::BackupStatus;

/// In which order checkpoints are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The highest checkpoint first.
    #[default]
    Descending,
    /// The lowest checkpoint first.
    Ascending,
}

/// Which backups to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListQuery {
    /// Which ids.
    pub selector: Selector,
    /// In which order.
    pub order: Order,
    /// Only checkpoints behind this one, in the order asked for.
    pub after: Option<CheckpointId>,
    /// At most this many checkpoints, those left out that show nothing.
    pub limit: Option<NonZeroU32>,
    /// Show tombstones.
    pub tombstones: bool,
    /// Only backups whose status was created then or later. A status that cannot be used tells no time, and is always shown.
    pub since: Option<Timestamp>,
    /// Only backups whose status was created before then, and statuses that cannot be used.
    pub until: Option<Timestamp>,
}

impl ListQuery {
    /// Does it ask for a backup with this status? Its id is the selector's business.
    #[must_use]
    pub fn asks_for(&self, document: &StatusDocument) -> bool {
        (self.tombstones || document.status_code != milepost_core::StatusCode::Deleted)
            && self.since.is_none_or(|since| document.created_at >= since)
            && self.until.is_none_or(|until| document.created_at < until)
    }
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all entries are of the large variant")]
pub enum ListEntry {
    /// A readable status.
    Backup(BackupStatus),
    /// A status that cannot be used.
    Corrupt {
        /// The backup, by its key.
        id: BackupId,
        /// What is wrong.
        reason: String,
        /// Is it whole, but of a newer format?
        newer: bool,
    },
}

impl ListEntry {
    /// The backup.
    #[must_use]
    pub fn id(&self) -> BackupId {
        match self {
            Self::Backup(status) => status.id,
            Self::Corrupt { id, .. } => *id,
        }
    }
}
