//! The pure heart of Milepost: ids, keys, documents, the life cycle of a backup, the view of a cluster.
//!
//! Nothing here does I/O, reads a clock or draws a random number: every function gives the same answer for the same
//! arguments, so the rules can be tested on all small cases. The engine in `milepost-store` drives these rules against an
//! object store.
//!
//! ```
//! use milepost_core::{BackupId, Layout, FileSetKind, FileName};
//!
//! let id: BackupId = "1/100/2".parse()?;
//! let layout = Layout::new("prod/eu")?;
//! assert_eq!(layout.status(id).as_str(), "prod/eu/1/100/2/status.json");
//!
//! let name = FileName::new("000001.sst")?;
//! let key = layout.file(id, FileSetKind::Snapshots, &name);
//! assert_eq!(key.as_str(), "prod/eu/1/100/2/snapshots/000001.sst");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`ids`] | partition, node, checkpoint, backup, attempt and cluster ids |
//! | [`name`] | file names that are safe on every store and file system |
//! | [`layout`] | which key holds what, and back |
//! | [`checksum`] | CRC64NVME with combination, BLAKE3 and SHA-256 digests |
//! | [`hashing`] | hashing a file in parts, in any order |
//! | [`document`] | `status.json`, `metadata.json`, `cluster.json` and the forget seal |
//! | [`lifecycle`] | the legal transitions of a status, as types |
//! | [`sample`] | a share of many backups, drawn by a seed |
//! | [`select`] | which backups a listing is asked for |
//! | [`view`] | the state of a checkpoint over all partitions |
//! | [`choice`] | which copy of a partition to restore |
//! | [`retention`] | which backups may go |
//! | [`parts`] | how a file is cut into multipart parts |
//! | [`pace`] | how many requests at once |

pub mod checksum;
pub mod choice;
mod copy;
pub mod document;
pub mod hashing;
pub mod ids;
pub mod layout;
pub mod lifecycle;
pub mod name;
pub mod pace;
pub mod parts;
pub mod retention;
pub mod sample;
pub mod select;
pub mod view;
mod why;

pub use checksum::{Crc64Nvme, Crc64NvmeHasher, Digest, DigestAlgorithm, DigestHasher};
pub use choice::{Choice, ChoiceRules};
pub use document::{
    ClusterDocument, CopiedFrom, Counts, Descriptor, DocumentError, FileRecord, Hold, Kind, LogRange, MetadataDocument,
    Owner, ProbeDocument, ProbedCheck, SealDocument, SkippedFile, StatusCode, StatusDocument, Verification,
    VerifyLevel,
};
pub use hashing::Hashes;
pub use ids::{AttemptId, BackupId, CheckpointId, ClusterId, HoldId, IdError, NodeId, PartitionId};
pub use jiff::Timestamp;
pub use layout::{BackupObject, Layout, ObjectKey};
pub use name::{FileName, FileSetKind, NameError};
pub use pace::Pace;
pub use parts::PartPlan;
pub use retention::{RetentionPlan, RetentionPolicy};
pub use select::Selector;
pub use view::{ClusterState, ClusterView, PartitionCopy, ViewRules};
