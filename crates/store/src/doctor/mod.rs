//! What is wrong with a store, or lies in it for nothing, with the command that mends it.
//!
//! [`examine`] looks: at the promises of the store, at what this role may do, at clocks, at every status, and, unless told
//! otherwise, at every object. [`repair`] clears up what nobody can miss, and nothing else: uploads of backups that no save
//! owns, tombstones past their grace, what probes and journals left.
//!
//! A store lives while it is looked at. Whatever looks wrong by two looks at different times is looked at once more before it
//! is told, and every repair is meant for what was seen.

mod finding;
mod journals;
mod objects;
mod repair;
mod statuses;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt as _;
use milepost_core::retention::{Candidate, RetentionPlan, RetentionPolicy};
use milepost_core::{AttemptId, BackupId, Counts, StatusCode, Timestamp};

pub use finding::{Check, CheckOutcome, Diagnosis, Finding, Outcome, Repair, Repaired, Severity};
pub use repair::repair;

use crate::api::{Examination, ExamineOptions, ListEntry, ListQuery, StoreAdmin};
use crate::context::OpContext;
use crate::error::{Error, ErrorKind, Operation, Result};

/// The clocks may differ by this much before it is told.
const SKEW: Duration = Duration::from_secs(60);
/// From here on S3 refuses signatures.
const SKEW_REFUSED: Duration = Duration::from_secs(15 * 60);

/// How to look.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DoctorOptions {
    /// Without a sign of life for this long a save counts as stale; uploads and leftovers of this age are nobody's. Default:
    /// 24 h.
    pub stale_after: Duration,
    /// How old a tombstone must be to be forgotten. Default: 24 h.
    pub tombstone_grace: Duration,
    /// Look at statuses and uploads only: no probe, no listing of objects.
    pub quick: bool,
    /// Where this machine keeps its resume journals. Default: nowhere.
    pub journal_dir: Option<PathBuf>,
    /// The time on this machine, for the age of its journals.
    pub now: Timestamp,
}

impl DoctorOptions {
    /// The defaults, at a time.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let day = Duration::from_secs(24 * 3600);
        Self { stale_after: day, tombstone_grace: day, quick: false, journal_dir: None, now }
    }
}

/// One status, as the listing showed it: no more than is needed, for there may be very many.
enum Seen {
    Status(Known),
    Corrupt,
}

/// What a readable status says.
struct Known {
    attempt: AttemptId,
    code: StatusCode,
    done: Option<Counts>,
    /// Was the last verification that is recorded a bad one?
    unproven: bool,
    age: Option<Duration>,
}

/// What one examination gathers.
struct Look<'a> {
    store: &'a dyn StoreAdmin,
    options: &'a DoctorOptions,
    cx: &'a OpContext,
    seen: BTreeMap<BackupId, Seen>,
    diagnosis: Diagnosis,
}

/// Looks at everything, and says what is wrong. Changes nothing but what a probe and an examination write below
/// `_milepost/probe/`. Keeps some hundred bytes for each backup in memory.
///
/// # Errors
/// Those of the store where it cannot be looked at at all: no answer, another cluster's, `cluster.json` unreadable. What this
/// role is denied is a finding.
pub async fn examine(store: &dyn StoreAdmin, options: &DoctorOptions, cx: &OpContext) -> Result<Diagnosis> {
    let run = async {
        let mut look = Look { store, options, cx, seen: BTreeMap::new(), diagnosis: Diagnosis::default() };
        // First of all: it refuses another cluster's base before anything is written.
        let plan = look.list().await?;
        look.probe().await?;
        let found = store.examine(ExamineOptions { objects: !options.quick }, cx).await?;
        look.diagnosis.location.clone_from(&found.location);
        look.permissions(&found);
        look.clock(&found);
        look.documents(&found);
        look.statuses(plan);
        look.objects(&found).await?;
        look.uploads(&found);
        look.leftovers(&found);
        look.journals(&found.location).await?;
        Ok(look.diagnosis)
    };
    run.await.map_err(|error: Error| error.during(Operation::Examine))
}

impl Look<'_> {
    /// Every status, and what a prune without rules would do with it.
    async fn list(&mut self) -> Result<RetentionPlan> {
        let mut listing = self.store.list(ListQuery { tombstones: true, ..ListQuery::default() }, self.cx.clone());
        let mut candidates = Vec::new();
        while let Some(entry) = listing.next().await {
            match entry? {
                ListEntry::Backup(status) => {
                    let Some(document) = status.document else { continue };
                    candidates.push(Candidate::new(&document, status.age));
                    let known = Known {
                        attempt: document.attempt_id,
                        code: document.status_code,
                        done: document.done,
                        unproven: document.verified.is_some_and(|verified| !verified.ok),
                        age: status.age,
                    };
                    self.seen.insert(status.id, Seen::Status(known));
                }
                ListEntry::Corrupt { id, reason, newer } => {
                    self.corrupt_status(id, &reason, newer);
                    candidates.push(Candidate::corrupt(id, reason));
                    self.seen.insert(id, Seen::Corrupt);
                }
            }
        }
        let mut policy = RetentionPolicy::default();
        policy.stale_after = self.options.stale_after;
        policy.tombstone_grace = self.options.tombstone_grace;
        RetentionPlan::new(candidates, &policy).map_err(|error| Error::invalid_input(error.to_string()))
    }

    async fn probe(&mut self) -> Result<()> {
        if self.options.quick {
            self.diagnosis.check(Check::Probe, Outcome::Skipped, "asked for a quick look");
            return Ok(());
        }
        let report = match self.store.probe(self.cx).await {
            Ok(report) => report,
            Err(error) if matches!(error.kind(), ErrorKind::Denied) => {
                self.diagnosis.check(Check::Probe, Outcome::Failed, format!("not for this role: {}", error.message()));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.diagnosis.unfit = !report.fit();
        let held = report.checks.iter().filter(|check| check.failure.is_none()).count();
        self.diagnosis.check(Check::Probe, Outcome::Done, format!("{held} of {} promises hold", report.checks.len()));
        for check in report.checks {
            let Some(failure) = check.failure else { continue };
            let severity = if check.required { Severity::Error } else { Severity::Note };
            let what = format!("{}: {failure}", check.name);
            self.diagnosis.find(Finding::new(Check::Probe, severity, what).by("milepost probe"));
        }
        Ok(())
    }

    fn permissions(&mut self, found: &Examination) {
        let refused: Vec<&str> =
            found.permissions.iter().filter(|one| one.refusal.is_some()).map(|one| one.action).collect();
        let may = |action: &str| !refused.contains(&action);
        let role = match (may("list") && may("read"), may("write") && may("multipart"), may("delete")) {
            (true, true, true) => "a pruner's: it may do everything",
            (true, true, false) => "a writer's: it may save, not delete",
            (true, false, _) => "a restorer's: it may read alone",
            (false, ..) => "nobody's: it may not even read",
        };
        self.diagnosis.check(Check::Permissions, Outcome::Done, format!("the role is {role}"));
        for one in &found.permissions {
            let Some(error) = &one.refusal else { continue };
            let severity = match (matches!(error.kind(), ErrorKind::Denied), one.action) {
                (true, "list" | "read") => Severity::Error,
                // Roles are made on purpose.
                (true, _) => Severity::Note,
                (false, _) => Severity::Error,
            };
            let what = format!("`{}` is refused: {}", one.action, error.message());
            self.diagnosis.find(Finding::new(Check::Permissions, severity, what));
        }
    }

    fn clock(&mut self, found: &Examination) {
        let reading = match &found.clock {
            Ok(Some(reading)) => reading,
            Ok(None) => return self.diagnosis.check(Check::Clock, Outcome::Skipped, "the store tells no time"),
            Err(error) => return self.diagnosis.check(Check::Clock, Outcome::Failed, error.message()),
        };
        let skew = reading.skew();
        let seconds = skew.as_secs();
        self.diagnosis.check(
            Check::Clock,
            Outcome::Done,
            format!("the store's and this machine's differ by {seconds} s"),
        );
        if skew >= SKEW {
            let severity = if skew >= SKEW_REFUSED { Severity::Error } else { Severity::Warning };
            let what = format!(
                "this machine's clock and the store's differ by {seconds} s: here it is {:.0}, there {:.0}",
                reading.after, reading.store
            );
            self.diagnosis.find(Finding::new(Check::Clock, severity, what).by("timedatectl set-ntp true"));
        }
    }

    fn documents(&mut self, found: &Examination) {
        let note = match found.documents.len() {
            0 => "all seals can be read".to_owned(),
            wrong => format!("{} cannot be used", finding::count(wrong as u64, "seal")),
        };
        self.diagnosis.check(Check::Documents, Outcome::Done, note);
        for (key, reason) in &found.documents {
            let what = format!("{key}: {reason}. Saves of that partition are refused until it is mended from a copy");
            self.diagnosis.find(Finding::new(Check::Documents, Severity::Error, what).at(key));
        }
    }
}
