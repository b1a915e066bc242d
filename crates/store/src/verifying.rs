//! Verifying many backups: which, in what order, with what outcome in each one's status.
//!
//! A store is verified as a habit, not in one go: a share of it drawn by a seed, or what was proven longest ago. Only what is
//! COMPLETED is verified; a status that cannot be read is damage all the same. Where the outcome cannot be recorded, as for a
//! role that may only read, the verification goes on and says so.

use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use milepost_core::lifecycle::Annotation;
use milepost_core::sample::{Share, sample};
use milepost_core::{BackupId, Selector, Verification, VerifyLevel};
use tokio::time::Instant;

use crate::api::{BackupState, BackupStore, Expect, Finding, ListEntry, ListQuery, VerifyReport};
use crate::context::OpContext;
use crate::env::Clock;
use crate::error::{Error, ErrorKind, Operation, Result};

/// Findings of one backup that are kept; the others are counted.
const MAX_FINDINGS: usize = 1000;
/// Backups that are verified at the same time, at most.
const MAX_CONCURRENCY: usize = 64;

/// Which backups are verified, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Selection {
    /// Which ids.
    pub selector: Selector,
    /// Only this share of them.
    pub sample: Option<Share>,
    /// What the share is drawn by.
    pub seed: u64,
    /// What was verified longest ago comes first, what never was before all; otherwise the newest checkpoint comes first.
    pub oldest_first: bool,
    /// At most this many, the first ones.
    pub limit: Option<usize>,
}

/// A backup that is to be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// The backup.
    pub id: BackupId,
    /// Its last recorded verification.
    pub before: Option<Verification>,
}

/// A backup whose status cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The backup.
    pub id: BackupId,
    /// What is wrong.
    pub reason: String,
    /// Is it whole, but of a newer format?
    pub newer: bool,
}

/// What a selection found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Selected {
    /// What is to be verified, in this order.
    pub chosen: Vec<Chosen>,
    /// COMPLETED backups that the selection covers, before sample and limit.
    pub completed: u64,
    /// Backups that are not COMPLETED: there is nothing to verify.
    pub unfinished: u64,
    /// Backups whose status cannot be used: neither sampled nor limited.
    pub unreadable: Vec<Unreadable>,
}

impl Selected {
    /// Did the selection cover nothing at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.completed == 0 && self.unfinished == 0 && self.unreadable.is_empty()
    }
}

/// Finds what is to be verified. Costs one listing; keeps the ids alone.
///
/// # Errors
/// Those of the listing.
pub async fn select(store: &dyn BackupStore, selection: &Selection, cx: &OpContext) -> Result<Selected> {
    let mut listing = store.list(ListQuery { selector: selection.selector, ..ListQuery::default() }, cx.clone());
    let mut found = Selected::default();
    while let Some(entry) = listing.next().await {
        match entry.map_err(|error| error.during(Operation::Verify))? {
            ListEntry::Backup(status) if status.state() == BackupState::Completed => {
                let before = status.document.and_then(|document| document.verified);
                found.chosen.push(Chosen { id: status.id, before });
            }
            ListEntry::Backup(_) => found.unfinished += 1,
            ListEntry::Corrupt { id, reason, newer } => found.unreadable.push(Unreadable { id, reason, newer }),
        }
    }
    found.completed = found.chosen.len() as u64;
    if let Some(share) = selection.sample {
        sample(&mut found.chosen, share, selection.seed, |chosen| chosen.id);
    }
    if selection.oldest_first {
        // None sorts first: what never was verified is older than all. The sort is stable: newest checkpoints first.
        found.chosen.sort_by_key(|chosen| chosen.before.map(|before| before.at));
    }
    if let Some(limit) = selection.limit {
        found.chosen.truncate(limit);
    }
    Ok(found)
}

/// How a verification of one backup ended.
#[derive(Debug)]
pub struct Verified {
    /// The backup.
    pub id: BackupId,
    /// What was recorded before.
    pub before: Option<Verification>,
    /// The report, its findings cut to 1,000; or why there is none.
    pub result: Result<VerifyReport>,
    /// Findings that were cut.
    pub left_out: u64,
    /// Does the status say it now?
    pub recorded: bool,
}

/// What a verification of one backup says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong at this level, but for warnings.
    Whole,
    /// Something is missing or other than it was saved.
    Damaged,
    /// It was deleted, or declared failed, meanwhile: nothing is known.
    Gone,
    /// It could not be judged, as one of a newer format.
    Unknown,
}

impl Verified {
    /// What it says of the backup.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match &self.result {
            Ok(report) if report.ok() => Verdict::Whole,
            Ok(_) => Verdict::Damaged,
            Err(error) => match error.kind() {
                ErrorKind::Corrupt { .. } | ErrorKind::Integrity { .. } => Verdict::Damaged,
                ErrorKind::NotFound | ErrorKind::WrongState { .. } | ErrorKind::Conflict { .. } => Verdict::Gone,
                _ => Verdict::Unknown,
            },
        }
    }

    /// What is wrong, warnings left out.
    pub fn damage(&self) -> impl Iterator<Item = &Finding> {
        self.result.iter().flat_map(|report| &report.findings).filter(|finding| !finding.is_warning())
    }
}

/// How many backups are verified, and how deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// How deep.
    pub level: VerifyLevel,
    /// Backups that are verified at the same time: 1 to 64.
    pub concurrency: usize,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { level: VerifyLevel::Checksums, concurrency: 4 }
    }
}

/// What verifying a selection did. It goes on behind damage: a store is worth no less of a look for it.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct VerifyingReport {
    /// Every backup that was looked at, in the order of the selection.
    pub backups: Vec<Verified>,
    /// Why nothing more was recorded: the first refusal ends the attempts; `None` where all was recorded, or nothing was to be.
    pub unrecorded: Option<String>,
    /// Backups that were not looked at, behind the error that ended it.
    pub untried: u64,
    /// What ended it early: no answer, no permission to read, cancelled.
    pub stopped: Option<Error>,
    /// How long it took.
    pub duration: Duration,
}

impl VerifyingReport {
    /// How many ended so.
    #[must_use]
    pub fn number(&self, verdict: Verdict) -> u64 {
        self.backups.iter().filter(|verified| verified.verdict() == verdict).count() as u64
    }

    /// How many have the outcome in their status now.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.backups.iter().filter(|verified| verified.recorded).count() as u64
    }
}

/// Is told of each backup as it ends.
pub type Watch<'a> = &'a (dyn Fn(&Verified) + Sync);

/// Verifies what was chosen, and records each outcome at the time of `record`, if there is one. Errors are in the report.
///
/// Cancelling ends it behind the requests that are under way; what was recorded stays.
pub async fn verify(
    store: &dyn BackupStore,
    chosen: &[Chosen],
    options: &VerifyOptions,
    record: Option<&dyn Clock>,
    watch: Watch<'_>,
    cx: &OpContext,
) -> VerifyingReport {
    let begun = Instant::now();
    let mut report = VerifyingReport::default();
    let level = options.level;
    let work = chosen.iter().map(|chosen| async move {
        let part = cx.part();
        (*chosen, store.verify(chosen.id, level, &part).await)
    });
    let mut results = stream::iter(work).buffered(options.concurrency.clamp(1, MAX_CONCURRENCY));
    while let Some((chosen, result)) = results.next().await {
        let mut verified = Verified { id: chosen.id, before: chosen.before, result, left_out: 0, recorded: false };
        if let Err(error) = &verified.result
            && ends_all(error)
        {
            report.stopped = verified.result.err().map(|error| error.during(Operation::Verify));
            break;
        }
        if let Ok(found) = &mut verified.result {
            // Damage first, for it is what must not be cut.
            found.findings.sort_by_key(Finding::is_warning);
            verified.left_out = found.findings.len().saturating_sub(MAX_FINDINGS) as u64;
            found.findings.truncate(MAX_FINDINGS);
        }
        let ok = verified.verdict() == Verdict::Whole;
        if let (Some(clock), true, None) =
            (record, ok || verified.verdict() == Verdict::Damaged, report.unrecorded.as_ref())
        {
            let change = Annotation::Verified(Verification { level, at: clock.now(), ok });
            match store.annotate(verified.id, change, Expect::Any, cx).await {
                Ok(_) => verified.recorded = true,
                // Deleted between the look and the record; of others there is something to record all the same.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::WrongState { .. }) => {}
                Err(error) if matches!(error.kind(), ErrorKind::Conflict { .. }) => {}
                Err(error) => report.unrecorded = Some(error.message().to_owned()),
            }
        }
        watch(&verified);
        report.backups.push(verified);
    }
    drop(results);
    report.untried = (chosen.len() - report.backups.len()) as u64;
    report.duration = begun.elapsed();
    let (whole, damaged) = (report.number(Verdict::Whole), report.number(Verdict::Damaged));
    tracing::info!(%level, whole, damaged, recorded = report.recorded(), untried = report.untried, "verified");
    report
}

/// Would the next backup meet the same?
fn ends_all(error: &Error) -> bool {
    use ErrorKind as K;
    matches!(error.kind(), K::Unavailable | K::Denied | K::Cancelled | K::Deadline | K::Internal)
}
