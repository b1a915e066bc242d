//! What the broker says of a backup.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::strict::decimal;
use super::{DocumentError, json_len};

/// The most that all properties may take, in bytes as the document holds them: keys and values with quotes, escapes and
/// the white space around.
pub const MAX_PROPERTIES_BYTES: usize = 16 * 1024;
/// The longest other text of a descriptor (version, snapshot id, fingerprint, name, lineage), in bytes as the document
/// holds it.
pub const MAX_TEXT_BYTES: usize = 1024;

/// Why a backup was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// Somebody asked for it.
    #[default]
    Manual,
    /// A schedule asked for it.
    Scheduled,
}

/// The first and last log position that the segments hold, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LogRange {
    /// The first position.
    #[serde(with = "decimal")]
    pub first: u64,
    /// The last position, not below `first`.
    #[serde(with = "decimal")]
    pub last: u64,
}

/// What the broker says of a backup. Milepost compares descriptors (a resume needs an equal one) and chooses copies by
/// term and position; it never interprets the rest. `None` means unknown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Descriptor {
    /// The log position of the checkpoint.
    #[serde(with = "decimal::option")]
    pub checkpoint_position: Option<u64>,
    /// How many partitions the cluster has; the cluster view needs it to tell whether one is missing.
    pub number_of_partitions: Option<u32>,
    /// The broker's version.
    pub broker_version: Option<String>,
    /// The broker's name of the snapshot.
    pub snapshot_id: Option<String>,
    /// The replication term in which the snapshot was taken: a copy of a higher term is preferred.
    #[serde(with = "decimal::option")]
    pub term: Option<u64>,
    /// What the segments hold.
    pub log_range: Option<LogRange>,
    /// Why the backup was taken.
    pub kind: Kind,
    /// A fingerprint of the broker's configuration, which `restore` can be told to expect.
    pub fingerprint: Option<String>,
    /// A name that people gave the backup.
    pub name: Option<String>,
    /// The lineage of the log, when a broker can tell rewritten histories apart.
    pub lineage_id: Option<String>,
    /// Anything else, at most 16 KiB.
    pub properties: BTreeMap<String, String>,
}

impl Descriptor {
    /// Checks the limits: texts of at most [`MAX_TEXT_BYTES`], properties of at most [`MAX_PROPERTIES_BYTES`], at least one
    /// partition, a log range that does not run backwards.
    ///
    /// # Errors
    /// [`DocumentError::Invalid`] says which limit is broken.
    pub fn check(&self) -> Result<(), DocumentError> {
        let texts = [
            ("brokerVersion", &self.broker_version),
            ("snapshotId", &self.snapshot_id),
            ("fingerprint", &self.fingerprint),
            ("name", &self.name),
            ("lineageId", &self.lineage_id),
        ];
        for (field, text) in texts {
            if text.as_ref().is_some_and(|text| json_len(text) > MAX_TEXT_BYTES) {
                return Err(DocumentError::invalid(format!(
                    "descriptor: {field} is longer than {MAX_TEXT_BYTES} bytes"
                )));
            }
        }
        // A line of its own each: six spaces, two pairs of quotes, a colon, a space, a comma, a line feed.
        let properties: usize = self.properties.iter().map(|(key, value)| json_len(key) + json_len(value) + 14).sum();
        if properties > MAX_PROPERTIES_BYTES {
            return Err(DocumentError::invalid(format!(
                "descriptor: the properties take {properties} bytes, more than {MAX_PROPERTIES_BYTES}"
            )));
        }
        if self.number_of_partitions == Some(0) {
            return Err(DocumentError::invalid("descriptor: numberOfPartitions is 0"));
        }
        if self.log_range.is_some_and(|range| range.first > range.last) {
            return Err(DocumentError::invalid("descriptor: logRange ends before it begins"));
        }
        Ok(())
    }
}
