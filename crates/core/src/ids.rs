//! Ids of partitions, nodes, checkpoints, backups, attempts and clusters.
//!
//! Numeric ids have one spelling: unpadded decimal. `007`, `+7` and `7 ` are refused, so that two spellings can never
//! name the same backup and a key read back from a listing is the key that was written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Why a text is not an id. The message shows the form that is expected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IdError {
    /// The text is not a canonical decimal that fits the type.
    #[error("{what} must be a decimal number from 0 to {max} without leading zeros, not `{found}`")]
    NotCanonical {
        /// Which id was parsed, as in `checkpoint`.
        what: &'static str,
        /// The largest value of the type.
        max: u64,
        /// What was found, cut to 64 characters.
        found: String,
    },
    /// A backup is written as three ids with slashes between.
    #[error("a backup is written PARTITION/CHECKPOINT/NODE, as in 1/100/2, not `{found}`")]
    NotABackup {
        /// What was found, cut to 64 characters.
        found: String,
    },
    /// A token (attempt, cluster or hold id) is empty, too long or holds other characters.
    #[error("{what} must be 1 to 128 characters of A-Z a-z 0-9 . _ -, not `{found}`")]
    NotAToken {
        /// Which id was parsed, as in `cluster id`.
        what: &'static str,
        /// What was found, cut to 64 characters.
        found: String,
    },
}

/// Cuts hostile text to a length that an error message can carry and makes control characters visible.
pub(crate) fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(64).flat_map(char::escape_debug).collect();
    if text.chars().nth(64).is_some() {
        out.push('…');
    }
    out
}

pub(crate) fn canonical_decimal(what: &'static str, text: &str, max: u64) -> Result<u64, IdError> {
    let refused = || IdError::NotCanonical { what, max, found: shown(text) };
    let canonical = !text.is_empty()
        && text.len() <= 20
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    if !canonical {
        return Err(refused());
    }
    text.parse::<u64>().ok().filter(|value| *value <= max).ok_or_else(refused)
}

macro_rules! numeric_id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($what, " {}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let value = canonical_decimal($what, text, <$inner>::MAX.into())?;
                <$inner>::try_from(value).map(Self).map_err(|_| IdError::NotCanonical {
                    what: $what,
                    max: <$inner>::MAX.into(),
                    found: shown(text),
                })
            }
        }
    };
}

numeric_id!(
    /// One of the parts into which the broker cuts its data. In documents it is a JSON number.
    PartitionId(u32), "partition");
numeric_id!(
    /// One broker process that keeps copies of partitions. In documents it is a JSON number.
    NodeId(u32), "node");
numeric_id!(
    /// One cut through all partitions. The broker orders the ids: a higher id is a later checkpoint.
    ///
    /// In documents it is a decimal *string*, because `jq` and JavaScript round numbers above 2^53.
    CheckpointId(u64), "checkpoint");

macro_rules! serde_number {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u32(self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                u32::deserialize(deserializer).map(Self)
            }
        }
    };
}
serde_number!(PartitionId);
serde_number!(NodeId);

impl Serialize for CheckpointId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for CheckpointId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One node's copy of one partition at one checkpoint, written `P/C/N` as in `1/100/2`.
///
/// The order is that of a listing: checkpoint, then partition, then node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BackupId {
    /// The partition that was saved.
    pub partition: PartitionId,
    /// The cut through all partitions to which the copy belongs.
    pub checkpoint: CheckpointId,
    /// The node that saved it.
    pub node: NodeId,
}

impl BackupId {
    /// The id of `node`'s copy of `partition` at `checkpoint`.
    #[must_use]
    pub const fn new(partition: u32, checkpoint: u64, node: u32) -> Self {
        Self { partition: PartitionId(partition), checkpoint: CheckpointId(checkpoint), node: NodeId(node) }
    }
}

impl Ord for BackupId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.checkpoint, self.partition, self.node).cmp(&(other.checkpoint, other.partition, other.node))
    }
}
impl PartialOrd for BackupId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.partition, self.checkpoint, self.node)
    }
}
impl fmt::Debug for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "backup {self}")
    }
}

impl FromStr for BackupId {
    type Err = IdError;
    /// Parses `P/C/N`.
    ///
    /// # Errors
    /// [`IdError::NotABackup`] without exactly three segments, [`IdError::NotCanonical`] for a bad one.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut segments = text.split('/');
        match (segments.next(), segments.next(), segments.next(), segments.next()) {
            (Some(partition), Some(checkpoint), Some(node), None) => {
                Ok(Self { partition: partition.parse()?, checkpoint: checkpoint.parse()?, node: node.parse()? })
            }
            _ => Err(IdError::NotABackup { found: shown(text) }),
        }
    }
}

macro_rules! token_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(String);

        impl $name {
            /// Takes 1 to 128 characters of `A-Z a-z 0-9 . _ -`.
            ///
            /// # Errors
            /// [`IdError::NotAToken`] for anything else.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                let fits = (1..=128).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
                if fits { Ok(Self(text)) } else { Err(IdError::NotAToken { what: $what, found: shown(&text) }) }
            }

            /// Makes an id of 128 random bits, which the caller draws: 32 lower-case hex digits.
            #[must_use]
            pub fn from_random(bits: [u8; 16]) -> Self {
                Self(crate::checksum::hex(&bits))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($what, " {}"), self.0)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

token_id!(
    /// One run of a save: the owner of an in-progress backup. Every try of a claim draws a new one.
    AttemptId, "attempt id");
token_id!(
    /// The cluster to which all backups under one base belong.
    ClusterId, "cluster id");
token_id!(
    /// One hold on a completed backup.
    HoldId, "hold id");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn backup_id_reads_back(partition: u32, checkpoint: u64, node: u32) {
            let id = BackupId::new(partition, checkpoint, node);
            prop_assert_eq!(id.to_string().parse::<BackupId>(), Ok(id));
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(serde_json::from_str::<BackupId>(&json).unwrap(), id);
        }

        #[test]
        fn only_the_canonical_spelling_parses(text in "[0-9+ /-]{0,24}") {
            if let Ok(id) = text.parse::<BackupId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn other_spellings_are_refused_with_the_form() {
        for text in ["007", "", "+1", " 1", "1 ", "-1", "4294967296", "99999999999999999999999", "1e3", "٣"] {
            let error = text.parse::<PartitionId>().unwrap_err().to_string();
            assert!(error.contains("partition must be a decimal number from 0 to 4294967295"), "{error}");
        }
        for text in ["1/1", "1/1/1/1", "", "1"] {
            assert!(text.parse::<BackupId>().unwrap_err().to_string().contains("PARTITION/CHECKPOINT/NODE"), "{text}");
        }
        assert_eq!("18446744073709551615".parse(), Ok(CheckpointId(u64::MAX)));
        assert!("18446744073709551616".parse::<CheckpointId>().is_err());
    }

    #[test]
    fn checkpoints_are_strings_in_json_and_numbers_elsewhere() {
        let json = serde_json::to_string(&BackupId::new(1, u64::MAX, 2)).unwrap();
        assert_eq!(json, r#"{"partition":1,"checkpoint":"18446744073709551615","node":2}"#);
        assert!(serde_json::from_str::<CheckpointId>("100").is_err());
        assert!(serde_json::from_str::<CheckpointId>("\"0100\"").is_err());
    }

    #[test]
    fn tokens_refuse_paths_and_controls() {
        for text in ["", "a/b", "a\n", "é", &"x".repeat(129)] {
            assert!(ClusterId::new(text).is_err(), "{text:?}");
        }
        assert_eq!(AttemptId::from_random([0xab; 16]).as_str(), "ab".repeat(16));
    }
}
