//! A diagnosis as JSON.

use milepost::doctor::{Diagnosis, Finding, Repaired, Severity};
use serde_json::{Value, json};

use super::json::millis;

/// What `doctor` gives.
pub(crate) fn diagnosis(diagnosis: &Diagnosis) -> Value {
    let checks: Vec<Value> = diagnosis
        .checks
        .iter()
        .map(|one| json!({ "check": one.check.name(), "outcome": one.outcome.name(), "note": one.note }))
        .collect();
    let findings: Vec<Value> = diagnosis.findings.iter().map(finding).collect();
    let repaired = diagnosis.findings.iter().filter(|one| one.repaired == Some(Repaired::Done)).count();
    json!({
        "location": diagnosis.location,
        "version": env!("CARGO_PKG_VERSION"),
        "exitCode": diagnosis.exit_code(),
        "checks": checks,
        "findings": findings,
        "errors": diagnosis.count(Severity::Error),
        "warnings": diagnosis.count(Severity::Warning),
        "notes": diagnosis.count(Severity::Note),
        "unnamed": diagnosis.unnamed.iter().sum::<u64>(),
        "repaired": repaired,
    })
}

fn finding(finding: &Finding) -> Value {
    let (repair, note) = match &finding.repaired {
        None => (None, None),
        Some(Repaired::Done) => (Some("DONE"), None),
        Some(Repaired::Kept(why)) => (Some("KEPT"), Some(why)),
        Some(Repaired::Failed(why)) => (Some("FAILED"), Some(why)),
    };
    json!({
        "check": finding.check.name(),
        "severity": finding.severity.name(),
        "what": finding.what,
        "backup": finding.backup.map(|id| id.to_string()),
        "key": finding.key,
        "objects": finding.objects,
        "bytes": finding.bytes,
        "ageMillis": finding.age.map(millis),
        "command": finding.command,
        "repairable": finding.repair.is_some(),
        "repair": repair,
        "repairNote": note,
    })
}
