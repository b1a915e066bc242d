//! What was found, how bad it is, and what mends it.

use std::path::PathBuf;
use std::time::Duration;

use milepost_core::BackupId;
use milepost_core::retention::RetentionPlan;

use crate::api::FoundUpload;

/// Findings that are kept by name; of the others only the number.
pub(super) const MAX_NAMED: usize = 1000;

/// `1 object`, `2 objects`.
pub(super) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Check {
    /// The promises of the store.
    Probe,
    /// What this role may do.
    Permissions,
    /// The store's clock and this machine's.
    Clock,
    /// Documents besides statuses.
    Documents,
    /// Every status.
    Statuses,
    /// Every object.
    Objects,
    /// Open multipart uploads.
    Uploads,
    /// This machine's resume journals.
    Journals,
    /// What probes left.
    Leftovers,
}

impl Check {
    /// The word in output and JSON, stable.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Permissions => "permissions",
            Self::Clock => "clock",
            Self::Documents => "documents",
            Self::Statuses => "statuses",
            Self::Objects => "objects",
            Self::Uploads => "uploads",
            Self::Journals => "journals",
            Self::Leftovers => "leftovers",
        }
    }
}

/// How bad it is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Something is broken: backups are damaged, or cannot be made.
    Error,
    /// Somebody should look at it.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    /// The word in output and JSON, stable.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
            Self::Note => "NOTE",
        }
    }
}

/// How far a check came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was left out.
    Skipped,
    /// It could not be done.
    Failed,
}

impl Outcome {
    /// The word in output and JSON, stable.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "DONE",
            Self::Skipped => "SKIPPED",
            Self::Failed => "FAILED",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckOutcome {
    /// Which.
    pub check: Check,
    /// How far it came.
    pub outcome: Outcome,
    /// What it found out, or why it did not.
    pub note: String,
}

/// What a repair does about a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// Abort an upload.
    Upload(FoundUpload),
    /// Forget the tombstones of a plan that does nothing else.
    Forget(Box<RetentionPlan>),
    /// Remove objects below the probe's prefix.
    Leftovers(Vec<String>),
    /// Remove files of the journals' folder, unless a save writes them.
    Journals {
        /// The folder.
        dir: PathBuf,
        /// The files in it.
        names: Vec<String>,
    },
}

/// What became of a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repaired {
    /// All of it was done.
    Done,
    /// Some or all was kept, and why.
    Kept(String),
    /// Some or all failed, and why.
    Failed(String),
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// By which check.
    pub check: Check,
    /// How bad it is.
    pub severity: Severity,
    /// What it is, for people.
    pub what: String,
    /// The backup; of several the first.
    pub backup: Option<BackupId>,
    /// The key, or the file; of several the first.
    pub key: Option<String>,
    /// How many objects, tombstones or files.
    pub objects: Option<u64>,
    /// Their bytes.
    pub bytes: Option<u64>,
    /// The age, by the store's clock; of several the youngest.
    pub age: Option<Duration>,
    /// The command that mends it.
    pub command: Option<String>,
    /// What a repair does about it, if it may.
    pub repair: Option<Repair>,
    /// What became of that.
    pub repaired: Option<Repaired>,
}

impl Finding {
    pub(super) fn new(check: Check, severity: Severity, what: impl Into<String>) -> Self {
        Self {
            check,
            severity,
            what: what.into(),
            backup: None,
            key: None,
            objects: None,
            bytes: None,
            age: None,
            command: None,
            repair: None,
            repaired: None,
        }
    }

    pub(super) fn of(mut self, backup: BackupId) -> Self {
        self.backup = Some(backup);
        self
    }

    pub(super) fn at(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    pub(super) fn heap(mut self, objects: u64, bytes: Option<u64>) -> Self {
        (self.objects, self.bytes) = (Some(objects), bytes);
        self
    }

    pub(super) fn aged(mut self, age: Option<Duration>) -> Self {
        self.age = age;
        self
    }

    pub(super) fn by(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    pub(super) fn mended_by(mut self, repair: Repair) -> Self {
        self.repair = Some(repair);
        self.by("milepost doctor --repair")
    }
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The store, without secrets.
    pub location: String,
    /// The checks, in their order.
    pub checks: Vec<CheckOutcome>,
    /// The findings, in the order of the checks: the first 1,000.
    pub findings: Vec<Finding>,
    /// Errors, warnings and notes beyond those.
    pub unnamed: [u64; 3],
    /// Does the store break a promise that backups need?
    pub unfit: bool,
}

impl Diagnosis {
    pub(super) fn check(&mut self, check: Check, outcome: Outcome, note: impl Into<String>) {
        self.checks.push(CheckOutcome { check, outcome, note: note.into() });
    }

    pub(super) fn find(&mut self, finding: Finding) {
        if self.findings.len() < MAX_NAMED {
            self.findings.push(finding);
        } else {
            self.unnamed[finding.severity as usize] += 1;
        }
    }

    /// How many findings of a severity there are, those that were mended left out.
    #[must_use]
    pub fn count(&self, severity: Severity) -> u64 {
        let open = |one: &&Finding| one.severity == severity && one.repaired != Some(Repaired::Done);
        self.findings.iter().filter(open).count() as u64 + self.unnamed[severity as usize]
    }

    /// Findings that a repair may mend and has not.
    #[must_use]
    pub fn repairable(&self) -> u64 {
        let open = |one: &&Finding| one.repair.is_some() && one.repaired != Some(Repaired::Done);
        self.findings.iter().filter(open).count() as u64
    }

    /// The exit code of the command line: 7 for an unfit store, 6 for other errors, 3 for warnings, 0 where there are at most
    /// notes.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.unfit {
            7
        } else if self.count(Severity::Error) > 0 {
            6
        } else if self.count(Severity::Warning) > 0 {
            3
        } else {
            0
        }
    }
}
