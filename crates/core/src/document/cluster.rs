//! `cluster.json`: who may use a base.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DocumentError, FORMAT_VERSION, MAX_SMALL_DOCUMENT_BYTES, strict};
use crate::ids::{ClusterId, PartitionId};

/// `cluster.json`: created once per base, never replaced. Two clusters that share a base by mistake are told apart by it
/// before anything is read or written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterDocument {
    /// Always 1.
    pub format_version: u64,
    /// The cluster's id, drawn at random unless the operator gave one.
    pub cluster_id: ClusterId,
    /// The cluster's name, `default` unless the operator gave one: 1 to 128 bytes without control characters.
    pub name: String,
    /// The lowest partition id of the broker, 0 or 1; 1 by default.
    #[serde(default = "first_partition")]
    pub first_partition: PartitionId,
    /// When it was made.
    pub created_at: Timestamp,
}

fn first_partition() -> PartitionId {
    PartitionId(1)
}

impl ClusterDocument {
    /// A document of the current format version.
    #[must_use]
    pub fn new(cluster_id: ClusterId, name: &str, first_partition: PartitionId, created_at: Timestamp) -> Self {
        Self { format_version: FORMAT_VERSION, cluster_id, name: name.to_owned(), first_partition, created_at }
    }

    /// Reads a document of at most 64 KiB.
    ///
    /// # Errors
    /// Any [`DocumentError`]; [`DocumentError::Invalid`] for a bad name, or a first partition that is neither 0 nor 1.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let document: Self = strict::parse(bytes, MAX_SMALL_DOCUMENT_BYTES)?;
        document.check()?;
        Ok(document)
    }

    /// Writes the document.
    ///
    /// # Errors
    /// [`DocumentError::Invalid`] where `parse` would refuse the result.
    pub fn encode(&self) -> Result<Vec<u8>, DocumentError> {
        self.check()?;
        strict::encode(self, MAX_SMALL_DOCUMENT_BYTES)
    }

    fn check(&self) -> Result<(), DocumentError> {
        if self.format_version != FORMAT_VERSION {
            return Err(DocumentError::invalid("formatVersion is not 1"));
        }
        if self.name.is_empty() || self.name.len() > 128 || self.name.chars().any(char::is_control) {
            return Err(DocumentError::invalid("the cluster's name must be 1 to 128 bytes without control characters"));
        }
        if self.first_partition.0 > 1 {
            return Err(DocumentError::invalid("firstPartition must be 0 or 1"));
        }
        Ok(())
    }
}
