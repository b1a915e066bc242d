//! `_milepost/seals/<partition>.json`: ids that must never be used again.

use serde::{Deserialize, Serialize};

use super::strict::decimal;
use super::{DocumentError, FORMAT_VERSION, MAX_SMALL_DOCUMENT_BYTES, strict};
use crate::ids::{CheckpointId, PartitionId};

/// The seal of a partition: an absent backup at or below `below` may be one whose tombstone was forgotten, and a late
/// DELETE could still hit what is written there. So it is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SealDocument {
    /// Always 1.
    pub format_version: u64,
    /// The partition that is sealed.
    pub partition: PartitionId,
    /// The highest checkpoint whose tombstone was forgotten. It only rises.
    pub below: CheckpointId,
    /// 1 at creation, raised with each replacement, so that a lost reply can be settled by reading back.
    #[serde(with = "decimal")]
    pub revision: u64,
}

impl SealDocument {
    /// A seal of a partition up to and including a checkpoint.
    #[must_use]
    pub fn new(partition: PartitionId, below: CheckpointId) -> Self {
        Self { format_version: FORMAT_VERSION, partition, below, revision: 1 }
    }

    /// The same seal raised to a later checkpoint; unchanged but for the revision where it is there already.
    #[must_use]
    pub fn raised(&self, below: CheckpointId) -> Self {
        Self { below: self.below.max(below), revision: self.revision.saturating_add(1), ..self.clone() }
    }

    /// Does the seal forbid an absent backup at this checkpoint?
    #[must_use]
    pub fn covers(&self, checkpoint: CheckpointId) -> bool {
        checkpoint <= self.below
    }

    /// Reads a seal of at most 64 KiB and checks that it is this partition's.
    ///
    /// # Errors
    /// Any [`DocumentError`]; [`DocumentError::Invalid`] for another partition's seal, or revision 0.
    pub fn parse(bytes: &[u8], partition: PartitionId) -> Result<Self, DocumentError> {
        let document: Self = strict::parse(bytes, MAX_SMALL_DOCUMENT_BYTES)?;
        if document.partition != partition {
            return Err(DocumentError::invalid(format!("is the seal of partition {}", document.partition)));
        }
        document.check()?;
        Ok(document)
    }

    /// Writes the seal.
    ///
    /// # Errors
    /// [`DocumentError::Invalid`] where `parse` would refuse the result: another format version, revision 0.
    pub fn encode(&self) -> Result<Vec<u8>, DocumentError> {
        self.check()?;
        strict::encode(self, MAX_SMALL_DOCUMENT_BYTES)
    }

    fn check(&self) -> Result<(), DocumentError> {
        if self.format_version != FORMAT_VERSION {
            return Err(DocumentError::invalid("formatVersion is not 1"));
        }
        if self.revision == 0 {
            return Err(DocumentError::invalid("revision is 0"));
        }
        Ok(())
    }
}
