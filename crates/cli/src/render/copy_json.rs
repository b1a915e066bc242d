//! Copies as JSON.

use std::time::Duration;

use milepost::copy::{CopyReport, CopyTarget};
use milepost::{BackupId, ImportOutcome, ImportReport, Result};
use serde_json::{Value, json};

use super::json::{failed, failure, head, millis, skipped};
use crate::units::bytes_per_second;

/// The word for an outcome.
pub(crate) const fn outcome(outcome: ImportOutcome) -> &'static str {
    match outcome {
        ImportOutcome::Copied => "COPIED",
        ImportOutcome::AlreadyThere => "ALREADY_THERE",
        ImportOutcome::WouldCopy => "WOULD_COPY",
    }
}

/// `{"messageType":"backup", …}`: one backup, as it ended.
pub(crate) fn backup(id: BackupId, result: &Result<ImportReport>) -> Value {
    let report = result.as_ref().ok();
    let mut value = head(id);
    value["messageType"] = "backup".into();
    value["verb"] = "copy".into();
    value["outcome"] = report.map_or("FAILED", |report| outcome(report.outcome)).into();
    value["files"] = json!(report.map(|report| report.files));
    value["filesSent"] = json!(report.map(|report| report.files_sent));
    value["bytes"] = json!(report.map(|report| report.bytes));
    value["bytesSent"] = json!(report.map(|report| report.bytes_sent));
    value["complete"] = json!(report.map(|report| report.complete));
    value["metadataSha256"] = json!(report.map(|report| &report.from.metadata_sha256));
    value["copiedFrom"] = json!(report.map(|report| &report.from));
    value["warnings"] = json!(report.map(|report| &report.warnings));
    value["error"] = json!(result.as_ref().err().map(failure));
    value
}

/// The last line of `copy`.
pub(crate) fn summary(report: &CopyReport, target: CopyTarget, to: &str, dry_run: bool, took: Duration) -> Value {
    let (id, checkpoint) = match target {
        CopyTarget::Backup(id) => (Some(id.to_string()), id.checkpoint),
        CopyTarget::Checkpoint(checkpoint) => (None, checkpoint),
    };
    let number = |wanted| report.done.iter().filter(|done| done.outcome == wanted).count();
    let sum = |of: fn(&ImportReport) -> u64| report.done.iter().map(of).sum::<u64>();
    let sent = sum(|done| done.bytes_sent);
    json!({
        "messageType": "summary",
        "verb": "copy",
        "id": id,
        "checkpoint": checkpoint,
        "to": to,
        "dryRun": dry_run,
        "copied": number(ImportOutcome::Copied),
        "alreadyThere": number(ImportOutcome::AlreadyThere),
        "wouldCopy": number(ImportOutcome::WouldCopy),
        "files": sum(|done| done.files),
        "filesSent": sum(|done| done.files_sent),
        "bytes": sum(|done| done.bytes),
        "bytesSent": sent,
        "skipped": skipped(&report.skipped),
        "failed": failed(&report.failed),
        "untried": report.untried,
        "stopped": report.stopped.as_ref().map(failure),
        "checkpointState": report.checkpoint,
        "durationMillis": millis(took),
        "bytesPerSecond": bytes_per_second(sent, took),
        "retries": sum(|done| done.retries),
    })
}
