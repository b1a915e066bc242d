//! A node's restore as JSON.

use std::path::Path;

use milepost::RestoreOutcome;
use milepost::node::{NodeRestore, PartitionRestore};
use serde_json::{Value, json};

use super::json::{failure, millis};
use crate::units::bytes_per_second;

/// `{"messageType":"partition", …}`.
pub(crate) fn partition(done: &PartitionRestore) -> Value {
    let passed: Vec<Value> =
        done.passed_over.iter().map(|(id, reason)| json!({ "id": id.to_string(), "reason": reason })).collect();
    let report = done.result.as_ref().ok();
    json!({
        "messageType": "partition",
        "verb": "restore-node",
        "partition": done.partition,
        "outcome": match report.map(|report| report.outcome) {
            Some(RestoreOutcome::Restored) => "RESTORED",
            Some(RestoreOutcome::AlreadyRestored) => "ALREADY_RESTORED",
            None => "FAILED",
        },
        "backup": report.map(|report| report.id.to_string()),
        "files": report.map(|report| report.files),
        "bytes": report.map(|report| report.bytes),
        "bytesFetched": report.map(|report| report.bytes_fetched),
        "passedOver": passed,
        "error": done.result.as_ref().err().map(failure),
    })
}

/// The last line.
pub(crate) fn summary(done: &NodeRestore, target: &Path, drill: bool) -> Value {
    let reports = || done.partitions.iter().filter_map(|partition| partition.result.as_ref().ok());
    let fetched: u64 = reports().map(|report| report.bytes_fetched).sum();
    let passed: Vec<Value> = done
        .passed_over
        .iter()
        .map(|passed| json!({ "checkpoint": passed.checkpoint, "state": passed.state, "why": passed.why }))
        .collect();
    json!({
        "messageType": "summary",
        "verb": "restore-node",
        "checkpoint": done.checkpoint,
        "drill": drill,
        "target": target.display().to_string(),
        "partitions": done.partitions.len(),
        "whole": done.whole(),
        "fetched": done.fetched(),
        "passedOver": passed,
        "files": reports().map(|report| report.files).sum::<u64>(),
        "bytes": reports().map(|report| report.bytes).sum::<u64>(),
        "bytesFetched": fetched,
        "durationMillis": millis(done.duration),
        "bytesPerSecond": bytes_per_second(fetched, done.duration),
        "retries": reports().map(|report| report.retries).sum::<u64>(),
    })
}
