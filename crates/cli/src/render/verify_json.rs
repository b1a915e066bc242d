//! Verifications of many backups as JSON.

use milepost::verifying::{Selected, Selection, Unreadable, Verdict, Verified, VerifyingReport};
use milepost::{Timestamp, VerifyLevel};
use serde_json::{Value, json};

use super::json::{failure, findings, head, millis};
use crate::units::bytes_per_second;

/// The word for a verdict.
pub(crate) const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Whole => "WHOLE",
        Verdict::Damaged => "DAMAGED",
        Verdict::Gone => "GONE",
        Verdict::Unknown => "UNKNOWN",
    }
}

/// The word for a backup whose status cannot be used.
pub(crate) const fn unreadable(unreadable: &Unreadable) -> &'static str {
    if unreadable.newer { "UNKNOWN" } else { "DAMAGED" }
}

fn backup(verified: &Verified) -> Value {
    let report = verified.result.as_ref().ok();
    let mut value = head(verified.id);
    value["outcome"] = verdict(verified.verdict()).into();
    value["files"] = json!(report.map(|report| report.files));
    value["bytes"] = json!(report.map(|report| report.bytes));
    value["findings"] = report.map_or_else(|| json!([]), |report| findings(&report.findings));
    value["findingsLeftOut"] = verified.left_out.into();
    value["durationMillis"] = json!(report.map(|report| millis(report.duration)));
    value["verifiedBefore"] = json!(verified.before);
    value["recorded"] = verified.recorded.into();
    value["error"] = json!(verified.result.as_ref().err().map(failure));
    value
}

/// `{"messageType":"backup", …}`: one backup, as it ended.
pub(crate) fn line(verified: &Verified) -> Value {
    let mut value = backup(verified);
    value["messageType"] = "backup".into();
    value["verb"] = "verify".into();
    value
}

/// The last line.
pub(crate) fn summary(
    selection: &Selection,
    selected: &Selected,
    report: &VerifyingReport,
    level: VerifyLevel,
    record: bool,
) -> Value {
    let reports = || report.backups.iter().filter_map(|verified| verified.result.as_ref().ok());
    let bytes: u64 = reports().map(|report| report.bytes).sum();
    let corrupt: Vec<Value> = selected
        .unreadable
        .iter()
        .map(|one| {
            let mut value = head(one.id);
            value["outcome"] = unreadable(one).into();
            value["reason"] = one.reason.as_str().into();
            value["newerFormat"] = one.newer.into();
            value
        })
        .collect();
    json!({
        "messageType": "summary",
        "verb": "verify",
        "level": level.name(),
        "ok": report.stopped.is_none()
            && corrupt.is_empty()
            && report.number(Verdict::Damaged) + report.number(Verdict::Unknown) == 0,
        "verified": report.backups.len(),
        "whole": report.number(Verdict::Whole),
        "damaged": report.number(Verdict::Damaged),
        "gone": report.number(Verdict::Gone),
        "unknown": report.number(Verdict::Unknown),
        "unreadable": corrupt,
        "completed": selected.completed,
        "notCompleted": selected.unfinished,
        "untried": report.untried,
        "seed": selection.sample.map(|_| selection.seed.to_string()),
        "samplePercent": selection.sample.map(|share| share.to_string()),
        "recorded": if record { report.recorded().into() } else { Value::Null },
        "notRecorded": report.unrecorded,
        "stopped": report.stopped.as_ref().map(failure),
        "files": reports().map(|report| report.files).sum::<u64>(),
        "bytes": bytes,
        "durationMillis": millis(report.duration),
        "bytesPerSecond": bytes_per_second(bytes, report.duration),
        "retries": reports().map(|report| report.retries).sum::<u64>(),
    })
}

/// The file of `--report`: the summary, when it was made, and every backup.
pub(crate) fn report(summary: &Value, report: &VerifyingReport, now: Timestamp) -> Value {
    let mut value = summary.clone();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("messageType");
    }
    value["at"] = json!(now);
    value["backups"] = report.backups.iter().map(backup).collect();
    value
}
