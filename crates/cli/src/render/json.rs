//! Answers as JSON: camelCase, exact numbers, checkpoints as strings. Fields are only ever added.

use std::time::Duration;

use milepost::{
    BackupId, BackupState, BackupStatus, DeleteReport, Error, Finding, ListEntry, Metadata, ProbeReport, RestoreReport,
    SaveReport, VerifyReport,
};
use milepost::{Problem, RestoreOutcome, SaveOutcome};
use serde_json::{Value, json};

use crate::units;

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn head(id: BackupId) -> Value {
    json!({ "id": id.to_string(), "partition": id.partition, "checkpoint": id.checkpoint, "node": id.node })
}

/// An error inside a document: of one backup among others.
pub(crate) fn failure(error: &Error) -> Value {
    json!({ "kind": error.kind().name(), "exitCode": error.kind().exit_code(), "message": error.message() })
}

/// Backups that were passed over, with the state that each is in.
pub(crate) fn skipped(backups: &[(BackupId, BackupState)]) -> Vec<Value> {
    let one = |(id, state): &(BackupId, BackupState)| {
        let mut value = head(*id);
        value["state"] = state.name().into();
        value
    };
    backups.iter().map(one).collect()
}

/// Backups that failed among others, with the error of each.
pub(crate) fn failed(backups: &[(BackupId, Error)]) -> Vec<Value> {
    let one = |(id, error): &(BackupId, Error)| {
        let mut value = head(*id);
        value["error"] = failure(error);
        value
    };
    backups.iter().map(one).collect()
}

/// One backup, as `status` gives it and `list` repeats it.
pub(crate) fn status(status: &BackupStatus) -> Value {
    let mut value = head(status.id);
    value["state"] = status.state().name().into();
    value["tombstone"] = status.is_tombstone().into();
    value["ageMillis"] = json!(status.age.map(millis));
    value["etag"] = json!(status.etag.as_ref().map(ToString::to_string));
    value["document"] = json!(status.document);
    value
}

/// One entry of a listing.
pub(crate) fn entry(entry: &ListEntry) -> Value {
    match entry {
        ListEntry::Backup(backup) => status(backup),
        ListEntry::Corrupt { id, reason, newer } => {
            let mut value = head(*id);
            value["state"] = "CORRUPT".into();
            value["reason"] = reason.as_str().into();
            value["newerFormat"] = (*newer).into();
            value
        }
    }
}

/// What `show` gives.
pub(crate) fn metadata(metadata: &Metadata) -> Value {
    let mut value = head(metadata.document.id);
    value["metadataSha256"] = metadata.sha256.as_str().into();
    value["metadata"] = json!(metadata.document);
    value
}

fn summary(verb: &str, id: BackupId, bytes: u64, took: Duration, retries: u64) -> Value {
    let mut value = head(id);
    value["messageType"] = "summary".into();
    value["verb"] = verb.into();
    value["bytes"] = bytes.into();
    value["durationMillis"] = millis(took).into();
    value["bytesPerSecond"] = units::bytes_per_second(bytes, took).into();
    value["retries"] = retries.into();
    value
}

pub(crate) fn saved(report: &SaveReport) -> Value {
    let mut value = summary("save", report.id, report.bytes, report.duration, report.retries);
    value["bytesPerSecond"] = units::bytes_per_second(report.bytes_sent, report.duration).into();
    value["outcome"] = match report.outcome {
        SaveOutcome::Saved => "SAVED",
        SaveOutcome::AlreadyComplete => "ALREADY_COMPLETE",
    }
    .into();
    value["files"] = report.files.len().into();
    value["filesSent"] = report.files.iter().filter(|file| file.sent).count().into();
    value["filesKept"] = report.files.iter().filter(|file| !file.sent).count().into();
    value["bytesSent"] = report.bytes_sent.into();
    value["metadataSha256"] = report.metadata_sha256.as_str().into();
    value["warnings"] = json!(report.warnings);
    value
}

pub(crate) fn restored(report: &RestoreReport, target: &str) -> Value {
    let mut value = summary("restore", report.id, report.bytes, report.duration, report.retries);
    value["bytesPerSecond"] = units::bytes_per_second(report.bytes_fetched, report.duration).into();
    value["outcome"] = match report.outcome {
        RestoreOutcome::Restored => "RESTORED",
        RestoreOutcome::AlreadyRestored => "ALREADY_RESTORED",
    }
    .into();
    value["target"] = target.into();
    value["files"] = report.files.into();
    value["filesFetched"] = report.files_fetched.into();
    value["bytesFetched"] = report.bytes_fetched.into();
    value["metadataSha256"] = report.metadata_sha256.as_str().into();
    value
}

pub(crate) fn verified(report: &VerifyReport) -> Value {
    let mut value = summary("verify", report.id, report.bytes, report.duration, report.retries);
    value["level"] = report.level.name().into();
    value["ok"] = report.ok().into();
    value["files"] = report.files.into();
    value["findings"] = findings(&report.findings);
    value
}

/// What a verification found, in a list.
pub(super) fn findings(found: &[Finding]) -> Value {
    let one = |finding: &Finding| {
        let mut found = json!({
            "key": finding.key,
            "problem": problem(&finding.problem),
            "warning": finding.is_warning(),
            "message": finding.to_string(),
        });
        match &finding.problem {
            Problem::Size { expected, actual } => {
                found["expected"] = (*expected).into();
                found["actual"] = (*actual).into();
            }
            Problem::Checksum { expected, actual } => {
                found["expected"] = expected.as_str().into();
                found["actual"] = actual.as_str().into();
            }
            Problem::Unreadable { reason } => found["reason"] = reason.as_str().into(),
            Problem::Missing | Problem::NoChecksum | Problem::Surplus => {}
        }
        found
    };
    found.iter().map(one).collect()
}

/// The word for a problem.
pub(crate) const fn problem(problem: &Problem) -> &'static str {
    match problem {
        Problem::Missing => "MISSING",
        Problem::Size { .. } => "SIZE",
        Problem::Checksum { .. } => "CHECKSUM",
        Problem::NoChecksum => "NO_CHECKSUM",
        Problem::Surplus => "SURPLUS",
        Problem::Unreadable { .. } => "UNREADABLE",
    }
}

pub(crate) fn deleted(report: &DeleteReport, dry_run: bool, took: Duration) -> Value {
    let mut value = summary("delete", report.id, report.bytes, took, 0);
    value["dryRun"] = dry_run.into();
    value["objects"] = report.objects.into();
    value["uploads"] = report.uploads.into();
    value["tombstone"] = report.tombstone.into();
    value["forgotten"] = report.forgotten.into();
    value["kept"] = json!(report.kept);
    value
}

pub(crate) fn probed(report: &ProbeReport) -> Value {
    let checks: Vec<Value> = report
        .checks
        .iter()
        .map(|check| {
            json!({ "name": check.name, "ok": check.failure.is_none(), "required": check.required, "failure": check.failure })
        })
        .collect();
    json!({ "location": report.location, "fit": report.fit(), "checks": checks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_backup_is_a_document_too() {
        let id = BackupId::new(1, u64::MAX, 2);
        let value = status(&BackupStatus { id, document: None, etag: None, age: Some(Duration::from_millis(1500)) });
        assert_eq!(value["state"], "DOES_NOT_EXIST");
        assert_eq!(value["checkpoint"], u64::MAX.to_string());
        assert_eq!(value["partition"], 1);
        assert_eq!(value["ageMillis"], 1500);
        assert!(value["document"].is_null());
    }

    #[test]
    fn a_corrupt_entry_tells_why() {
        let value = entry(&ListEntry::Corrupt { id: BackupId::new(1, 2, 3), reason: "no JSON".into(), newer: true });
        assert_eq!(
            (&value["state"], &value["reason"], &value["newerFormat"]),
            (&"CORRUPT".into(), &"no JSON".into(), &true.into())
        );
    }

    #[test]
    fn a_delete_tells_what_is_left() {
        let report = DeleteReport {
            id: BackupId::new(1, 2, 3),
            objects: 4,
            bytes: 2000,
            uploads: 1,
            tombstone: true,
            forgotten: false,
            kept: None,
            failed: vec![],
            untried: 0,
        };
        let value = deleted(&report, true, Duration::from_secs(2));
        assert_eq!(value["messageType"], "summary");
        assert_eq!(value["bytesPerSecond"], 1000);
        assert_eq!(value["dryRun"], true);
    }
}
