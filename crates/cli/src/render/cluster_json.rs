//! Checkpoints as JSON.

use milepost::CheckpointId;
use milepost::checkpoints::{Checkpoint, PassedOver};
use milepost::core::view::{JudgedCopy, PartitionView};
use serde_json::{Value, json};

use super::json::{head, millis};
use crate::verbs::cluster::{Row, age, held, known, proven, whole};

/// Missing partitions that are named; a damaged status may claim billions.
const MISSING: usize = 1000;

fn summary(checkpoint: &Checkpoint) -> Value {
    let view = &checkpoint.view;
    let (verified, proven) = proven(checkpoint);
    let inconsistencies: Vec<String> = view.inconsistencies.iter().map(ToString::to_string).collect();
    json!({
        "checkpoint": checkpoint.id(),
        "state": view.state,
        "why": view.why(),
        "inconsistencies": inconsistencies,
        "numberOfPartitions": known(checkpoint),
        "partitionsSeen": view.partitions.len(),
        "partitionsWhole": whole(checkpoint),
        "partitionsVerified": verified,
        "verified": proven,
        "copies": checkpoint.copies().count(),
        "corrupt": checkpoint.corrupt,
        "held": held(checkpoint),
        "bytes": checkpoint.bytes(),
        "ageMillis": age(checkpoint).map(millis),
    })
}

/// What `cluster` gives. `known`: whether the latest one, or that there is none, is certain from this page.
pub(crate) fn page(rows: &[Row], latest: Option<CheckpointId>, known: bool, next: Option<CheckpointId>) -> Value {
    let checkpoints: Vec<Value> = rows
        .iter()
        .map(|row| {
            let mut value = summary(&row.checkpoint);
            value["backwards"] = json!(row.backwards);
            value
        })
        .collect();
    json!({ "checkpoints": checkpoints, "latest": latest, "latestKnown": known, "next": next })
}

/// What `cluster CHECKPOINT` gives.
pub(crate) fn one(checkpoint: &Checkpoint, passed: Option<&[PassedOver]>) -> Value {
    let mut value = summary(checkpoint);
    let view = &checkpoint.view;
    value["latest"] = json!(passed.map(|_| true));
    value["passedOver"] = passed
        .unwrap_or_default()
        .iter()
        .map(|passed| json!({ "checkpoint": passed.checkpoint, "state": passed.state, "why": passed.why }))
        .collect();
    value["missing"] = json!(view.missing().take(MISSING).collect::<Vec<_>>());
    value["partitions"] = view.partitions.iter().map(|view| partition(checkpoint, view)).collect();
    value
}

fn partition(checkpoint: &Checkpoint, view: &PartitionView) -> Value {
    let copies: Vec<Value> =
        std::iter::once(&view.best).chain(&view.others).map(|judged| copy(checkpoint, judged)).collect();
    json!({ "partition": view.partition, "best": view.best.copy.id.to_string(), "copies": copies })
}

fn copy(checkpoint: &Checkpoint, judged: &JudgedCopy) -> Value {
    let mut value = head(judged.copy.id);
    let status = checkpoint.statuses.get(&judged.copy.id);
    let document = status.and_then(|status| status.document.as_ref());
    let facts = judged.copy.facts();
    let counts = document.and_then(|document| document.done.or(document.planned));
    value["state"] = status.map_or("CORRUPT", |status| status.state().name()).into();
    value["complete"] = json!(facts.map(|facts| facts.complete));
    value["reason"] = json!(judged.reason);
    // Strings, as in documents: jq rounds large numbers.
    value["position"] = json!(facts.and_then(|facts| facts.checkpoint_position).map(|position| position.to_string()));
    value["term"] = json!(facts.and_then(|facts| facts.term).map(|term| term.to_string()));
    value["files"] = json!(counts.map(|counts| counts.files));
    value["bytes"] = json!(counts.map(|counts| counts.bytes));
    value["ageMillis"] = json!(status.and_then(|status| status.age).map(millis));
    value["verified"] = json!(document.and_then(|document| document.verified));
    value["holds"] = json!(document.map(|document| &document.holds));
    value
}
