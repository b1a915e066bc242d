//! What a verification finds.

use std::fmt;
use std::time::Duration;

use milepost_core::{BackupId, VerifyLevel};

/// What a verification found at one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The object is not there.
    Missing,
    /// It has another size.
    Size {
        /// Bytes by the metadata.
        expected: u64,
        /// Bytes of the object.
        actual: u64,
    },
    /// It has another checksum or digest.
    Checksum {
        /// By the metadata.
        expected: String,
        /// Of the object.
        actual: String,
    },
    /// The server holds no checksum to compare: a warning.
    NoChecksum,
    /// No file owns the object: a warning.
    Surplus,
    /// It could not be read.
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// One finding of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The key.
    pub key: String,
    /// What is wrong with it.
    pub problem: Problem,
}

impl Finding {
    /// Is it harmless?
    #[must_use]
    pub const fn is_warning(&self) -> bool {
        matches!(self.problem, Problem::Surplus | Problem::NoChecksum)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.problem {
            Problem::Missing => write!(f, "{key}: expected an object, found none"),
            Problem::Size { expected, actual } => write!(f, "{key}: expected {expected} bytes, found {actual}"),
            Problem::Checksum { expected, actual } => write!(f, "{key}: expected {expected}, found {actual}"),
            Problem::NoChecksum => write!(f, "{key}: the store holds no checksum; use level content"),
            Problem::Surplus => write!(f, "{key}: belongs to no file of the backup"),
            Problem::Unreadable { reason } => write!(f, "{key}: cannot be read: {reason}"),
        }
    }
}

/// What a verification looked at and found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// The backup.
    pub id: BackupId,
    /// How deep it looked.
    pub level: VerifyLevel,
    /// Files looked at.
    pub files: u64,
    /// Their bytes by the metadata; read at level content only.
    pub bytes: u64,
    /// What is wrong, by key.
    pub findings: Vec<Finding>,
    /// How long the call took.
    pub duration: Duration,
    /// Requests that had to be sent again.
    pub retries: u64,
}

impl VerifyReport {
    /// Is nothing wrong, but for warnings?
    #[must_use]
    pub fn ok(&self) -> bool {
        self.findings.iter().all(Finding::is_warning)
    }
}
