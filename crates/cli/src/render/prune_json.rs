//! Plans and reports of prune as JSON.

use milepost::Result;
use milepost::core::retention::{Action, RetentionPlan, Step};
use milepost::prune::{Effect, PruneReport};
use serde_json::{Value, json};

use super::json::{failure, head, millis};
use crate::units::bytes_per_second;

/// What `prune --dry-run` gives.
pub(crate) fn plan(plan: &RetentionPlan) -> Value {
    let checkpoints: Vec<Value> = plan
        .checkpoints
        .iter()
        .map(|planned| {
            let backups: Vec<Value> = planned.steps.iter().map(planned_step).collect();
            json!({
                "checkpoint": planned.checkpoint,
                "state": planned.state,
                "staysComplete": planned.proof.is_some(),
                "ageMillis": millis(planned.age),
                "backups": backups,
            })
        })
        .collect();
    let number = |wanted: &[Action]| plan.steps().filter(|step| wanted.contains(&step.action)).count();
    json!({
        "dryRun": true,
        "checkpoints": checkpoints,
        "keeps": number(&[Action::Keep]),
        "fences": number(&[Action::Fence]),
        "deletes": number(&[Action::Delete, Action::Finish]),
        "forgets": number(&[Action::Forget]),
        "bytesStaying": plan.bytes_staying(),
        "bytesDeleted": plan.bytes_deleted(),
        "bytesOverCeiling": plan.over_ceiling,
    })
}

fn planned_step(step: &Step) -> Value {
    let mut value = head(step.id);
    value["action"] = step.action.name().into();
    value["reason"] = step.reason.as_str().into();
    value["bytes"] = step.bytes.into();
    value
}

/// `{"messageType":"step", …}`: one backup, done.
pub(crate) fn step(step: &Step, result: &Result<Effect>) -> Value {
    let mut value = planned_step(step);
    value["messageType"] = "step".into();
    value["verb"] = "prune".into();
    let (outcome, objects, bytes, kept, error) = match result {
        Ok(effect) => {
            let outcome = match effect {
                Effect { elsewhere: true, .. } => "ELSEWHERE",
                Effect { kept: Some(_), .. } => "KEPT",
                _ => "DONE",
            };
            (outcome, effect.objects, effect.bytes, effect.kept.clone(), None)
        }
        Err(error) => ("FAILED", 0, 0, None, Some(failure(error))),
    };
    value["outcome"] = outcome.into();
    value["objects"] = objects.into();
    value["bytes"] = bytes.into();
    value["kept"] = json!(kept);
    value["error"] = json!(error);
    value
}

/// The last line of `prune`.
pub(crate) fn summary(plan: &RetentionPlan, report: &PruneReport) -> Value {
    let damaged: Vec<Value> =
        report.damaged.iter().map(|(id, reason)| json!({ "id": id.to_string(), "reason": reason })).collect();
    let failed: Vec<Value> = report
        .failed
        .iter()
        .map(|one| {
            let mut value = head(one.id);
            value["action"] = one.action.name().into();
            value["error"] = failure(&one.error);
            value
        })
        .collect();
    json!({
        "messageType": "summary",
        "verb": "prune",
        "fenced": report.fenced,
        "deleted": report.deleted,
        "forgotten": report.forgotten,
        "objects": report.objects,
        "bytes": report.bytes,
        "uploads": report.uploads,
        "proven": report.proven,
        "damaged": damaged,
        "failed": failed,
        "untried": report.untried,
        "bytesStaying": plan.bytes_staying(),
        "bytesOverCeiling": plan.over_ceiling,
        "durationMillis": millis(report.duration),
        "bytesPerSecond": bytes_per_second(report.bytes, report.duration),
    })
}
