//! What lies in a backup and in a store, as JSON.

use milepost::stats::{Stats, Sum};
use milepost::{FileRecord, FileSetKind, Metadata};
use serde_json::{Value, json};

use super::json::head;
use crate::verbs::stats::mean;

/// What `ls` gives, up to where its files begin.
pub(crate) fn files_begin(metadata: &Metadata) -> String {
    let document = &metadata.document;
    let mut value = head(document.id);
    value["metadataSha256"] = metadata.sha256.as_str().into();
    value["totalFiles"] = document.total_files.into();
    value["totalBytes"] = document.total_bytes.into();
    value["skippedFiles"] = document.skipped_files.len().into();
    let text = value.to_string();
    format!("{},\"files\":[", text.strip_suffix('}').unwrap_or(&text))
}

/// One file of `ls`.
pub(crate) fn file(kind: FileSetKind, file: &FileRecord) -> Value {
    json!({
        "file": format!("{kind}/{}", file.name),
        "size": file.size,
        "crc64nvme": file.crc64nvme,
        "digest": file.digest,
    })
}

fn sum(sum: &Sum) -> Value {
    json!({ "backups": sum.backups, "files": sum.files, "bytes": sum.bytes })
}

/// What `stats` gives.
pub(crate) fn stats(stats: &Stats) -> Value {
    let with = |value: &Sum, name: &str, of: Value| {
        let mut value = sum(value);
        value[name] = of;
        value
    };
    let states: Vec<Value> =
        stats.by_state.iter().map(|(state, sum)| with(sum, "state", state.name().into())).collect();
    let partitions: Vec<Value> = stats
        .by_partition
        .iter()
        .map(|partition| {
            let mut value = with(&partition.sum, "partition", json!(partition.partition));
            value["newestCompleted"] = json!(partition.newest_completed);
            value
        })
        .collect();
    let checkpoints: Vec<Value> =
        stats.by_checkpoint.iter().map(|(checkpoint, sum)| with(sum, "checkpoint", json!(checkpoint))).collect();
    let days: Vec<Value> = stats.by_day.iter().map(|day| with(&day.sum, "day", day.day.as_str().into())).collect();
    json!({
        "total": sum(&stats.total),
        "tombstones": stats.tombstones,
        "checkpoints": stats.checkpoints,
        "lowestCheckpoint": stats.range.map(|(low, _)| low),
        "highestCheckpoint": stats.range.map(|(_, high)| high),
        "days": stats.days,
        "byState": states,
        "byPartition": partitions,
        "byCheckpoint": checkpoints,
        "byDay": days,
        "bytesPerCheckpoint": mean(stats.by_checkpoint.iter().map(|(_, sum)| sum)),
        "bytesPerDay": mean(stats.by_day.iter().map(|day| &day.sum)),
    })
}
