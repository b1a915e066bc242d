//! The one error of the store: what failed, on which backup or key, why, and what to do next.

use std::fmt;

use milepost_core::{BackupId, Hold, Owner};

use crate::api::{BackupState, DeleteReport};

/// A result of the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Which call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the method or verb of that name")]
pub enum Operation {
    Open,
    Save,
    Status,
    Metadata,
    Read,
    List,
    Restore,
    MarkFailed,
    Delete,
    Hold,
    Release,
    Annotate,
    Verify,
    Init,
    Adopt,
    Probe,
    Uploads,
    Prune,
    Copy,
    Examine,
    Export,
    Import,
    Journal,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Save => "save",
            Self::Status => "status",
            Self::Metadata => "metadata",
            Self::Read => "read",
            Self::List => "list",
            Self::Restore => "restore",
            Self::MarkFailed => "mark-failed",
            Self::Delete => "delete",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Annotate => "annotate",
            Self::Verify => "verify",
            Self::Init => "init",
            Self::Adopt => "init --adopt",
            Self::Probe => "probe",
            Self::Uploads => "uploads",
            Self::Prune => "prune",
            Self::Export => "copy from",
            Self::Import => "copy to",
            Self::Copy => "copy",
            Self::Examine => "doctor",
            Self::Journal => "journal",
        })
    }
}

/// One file that could not be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFailure {
    /// The file, with its set's folder, as in `segments/1.log`.
    pub file: String,
    /// What went wrong.
    pub reason: String,
}

impl fmt::Display for FileFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.reason)
    }
}

/// What kind of failure it is; each kind has one exit code.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such backup, file or candidate.
    NotFound,
    /// The backup is in a state from which the call is not allowed. Nothing was changed.
    WrongState {
        /// The state that was found.
        found: BackupState,
        /// The process that owns an in-progress backup.
        owner: Option<Box<Owner>>,
    },
    /// Somebody else changed the backup: fenced, or another document than the one expected.
    Conflict {
        /// The process that owns it now, where the document tells.
        owner: Option<Box<Owner>>,
    },
    /// A document in the bucket cannot be used.
    Corrupt {
        /// Its key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A content is not what the metadata says.
    Integrity {
        /// Its key.
        key: String,
        /// What the metadata says.
        expected: String,
        /// What was found.
        actual: String,
    },
    /// The caller's arguments are unusable; nothing was read or written.
    InvalidInput,
    /// Files of the broker could not be read as planned; all of them are named.
    Source {
        /// Every file that failed, by name.
        files: Vec<FileFailure>,
    },
    /// A rule forbids it: wrong cluster, unfit store, a newer format, no space.
    Refused,
    /// The backup is held.
    Held {
        /// Its holds.
        holds: Vec<Hold>,
    },
    /// Some of it was done, some not; the report says what.
    Partial {
        /// What was done, what failed, what was not tried.
        report: Box<DeleteReport>,
    },
    /// A restore's target holds something else.
    TargetNotEmpty,
    /// A restore's target could not be written.
    Target,
    /// The store did not answer, or not in time, after all retries.
    Unavailable,
    /// The store refused the credentials or the permission.
    Denied,
    /// The caller cancelled.
    Cancelled,
    /// The caller's deadline passed.
    Deadline,
    /// The store cannot do it.
    Unsupported,
    /// A defect of Milepost itself.
    Internal,
}

impl ErrorKind {
    /// The process exit code of the command line, stable: 1 failed, 2 bad input, 3 partial, 4 not found, 5 conflict or
    /// wrong state, 6 corrupt, 7 refused, 8 unavailable, 130 cancelled.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Source { .. } | Self::Unsupported | Self::Target | Self::Internal => 1,
            Self::InvalidInput => 2,
            Self::Partial { .. } => 3,
            Self::NotFound => 4,
            Self::Conflict { .. } | Self::WrongState { .. } | Self::TargetNotEmpty => 5,
            Self::Corrupt { .. } | Self::Integrity { .. } => 6,
            Self::Refused | Self::Held { .. } => 7,
            Self::Unavailable | Self::Denied | Self::Deadline => 8,
            Self::Cancelled => 130,
        }
    }

    /// The kind's name in JSON, stable.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::WrongState { .. } => "wrong_state",
            Self::Conflict { .. } => "conflict",
            Self::Corrupt { .. } => "corrupt",
            Self::Integrity { .. } => "integrity",
            Self::InvalidInput => "invalid_input",
            Self::Source { .. } => "source",
            Self::Refused => "refused",
            Self::Held { .. } => "held",
            Self::Partial { .. } => "partial",
            Self::TargetNotEmpty => "target_not_empty",
            Self::Target => "target",
            Self::Unavailable => "unavailable",
            Self::Denied => "denied",
            Self::Cancelled => "cancelled",
            Self::Deadline => "deadline",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
        }
    }
}

/// Why a call failed. `Display` is one line: operation, backup, what and why. [`Error::hint`] is what to do next.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    operation: Option<Operation>,
    backup: Option<BackupId>,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of a kind; `message` says what failed and why, without the operation and the backup.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, operation: None, backup: None, message: message.into(), hint: None, source: None }))
    }

    /// Unusable arguments.
    #[must_use]
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// A rule forbids it.
    #[must_use]
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }

    /// A document that cannot be used.
    #[must_use]
    pub fn corrupt(key: impl Into<String>, reason: impl Into<String>) -> Self {
        let (key, reason) = (key.into(), reason.into());
        let message = format!("{key} {reason}");
        Self::new(ErrorKind::Corrupt { key, reason }, message)
    }

    /// A content that is not what the metadata says.
    #[must_use]
    pub fn integrity(key: impl Into<String>, expected: impl Into<String>, actual: impl Into<String>) -> Self {
        let (key, expected, actual) = (key.into(), expected.into(), actual.into());
        let message = format!("{key}: expected {expected}, found {actual}");
        Self::new(ErrorKind::Integrity { key, expected, actual }, message)
    }

    /// An error that came of reading a content: where there is none, that is damage of a backup that is there, not an absent
    /// backup. Whether it still is there is for the caller to look at.
    pub(crate) fn of_a_content(self, key: &str, expected: &str) -> Self {
        match self.kind() {
            ErrorKind::NotFound => Self::integrity(key, expected, "no object"),
            _ => self,
        }
    }

    /// Says which call failed, unless an inner one said so already.
    #[must_use]
    pub fn during(mut self, operation: Operation) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Says which backup it was about, unless an inner call said so already.
    #[must_use]
    pub fn of(mut self, backup: BackupId) -> Self {
        self.0.backup.get_or_insert(backup);
        self
    }

    /// Says what to do next, unless an inner call said so already.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind, which decides the exit code.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The call that failed.
    #[must_use]
    pub fn operation(&self) -> Option<Operation> {
        self.0.operation
    }

    /// The backup it was about.
    #[must_use]
    pub fn backup(&self) -> Option<BackupId> {
        self.0.backup
    }

    /// What failed and why, without operation and backup.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.operation, self.0.backup) {
            (Some(operation), Some(backup)) => write!(f, "{operation} {backup}: ")?,
            (Some(operation), None) => write!(f, "{operation}: ")?,
            (None, Some(backup)) => write!(f, "{backup}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} [{}]", self.0.kind.name())?;
        if let Some(hint) = self.hint() {
            write!(f, " (hint: {hint})")?;
        }
        if let Some(source) = &self.0.source {
            write!(f, " (cause: {source:?})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
