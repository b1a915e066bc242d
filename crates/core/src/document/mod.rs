//! The JSON documents that Milepost keeps in a bucket, format version 1.
//!
//! Documents are hostile input: a bucket outlives the code that wrote it, and people edit. Each `parse` checks the size
//! before it parses, refuses duplicate keys, a newer major `formatVersion` and any unknown word in `requires`, tolerates
//! unknown fields and reads missing optional ones as their default. Each `encode` refuses what its own `parse` would.

mod cluster;
mod descriptor;
mod metadata;
mod probe;
mod seal;
mod status;
mod strict;
mod text;

pub use cluster::ClusterDocument;
pub use descriptor::{Descriptor, Kind, LogRange, MAX_PROPERTIES_BYTES, MAX_TEXT_BYTES};
pub use metadata::{FileRecord, MAX_FILE_BYTES, MAX_FILES, MetadataDocument, SkippedFile};
pub use probe::{ProbeDocument, ProbedCheck};
pub use seal::SealDocument;
pub use status::{
    CopiedFrom, Counts, Hold, MAX_FAILURE_REASON_BYTES, MAX_HOLD_BYTES, MAX_HOLDS, MAX_HOST_BYTES, MAX_LOCATION_BYTES,
    Owner, StatusCode, StatusDocument, Verification, VerifyLevel,
};
pub use text::{cut, failure_reason, json_len};

use thiserror::Error;

/// The format version that this code writes and the only major version that it reads.
pub const FORMAT_VERSION: u64 = 1;
/// The largest `status.json`, `cluster.json`, seal or probe's result, in bytes.
pub const MAX_SMALL_DOCUMENT_BYTES: u64 = 64 * 1024;
/// The largest `metadata.json`, in bytes.
pub const MAX_METADATA_BYTES: u64 = 64 * 1024 * 1024;
/// Numbers in documents stay below this (2^53): what a double holds exactly.
pub const MAX_NUMBER: u64 = 1 << 53;

/// Why a document cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// Longer than the cap of its kind; not even parsed.
    #[error("is {size} bytes long, more than the {limit} that this document may have")]
    TooLarge {
        /// Its length in bytes.
        size: u64,
        /// The cap in bytes.
        limit: u64,
    },
    /// Not JSON, a wrong type, a missing or repeated field.
    #[error("does not parse: {0}")]
    Syntax(String),
    /// Written by a newer Milepost. Nothing of it may be touched.
    #[error("has format version {found}; this version of Milepost reads version 1: use a newer one")]
    NewerVersion {
        /// The version found.
        found: u64,
    },
    /// Needs a feature that this code does not know. Nothing of it may be touched.
    #[error("requires `{0}`, which this version of Milepost does not know: use a newer one")]
    UnknownRequirement(String),
    /// Parses, but says something that cannot be true.
    #[error("{0}")]
    Invalid(String),
}

impl DocumentError {
    /// Was the document written by a newer Milepost? Then it is whole, and must not be touched.
    #[must_use]
    pub const fn is_newer(&self) -> bool {
        matches!(self, Self::NewerVersion { .. } | Self::UnknownRequirement(_))
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }
}
