//! `status`: the state of one backup.

use milepost::{BackupState, BackupStatus, Counts, Result};

use super::exit;
use crate::app::App;
use crate::render::{json, table};
use crate::resolve::{self, Choice};
use crate::units::{ago, count, size};

pub(super) async fn run(app: &App, choice: Choice) -> Result<u8> {
    let store = app.existing_store()?;
    let id = resolve::one(store.as_ref(), choice, app.cluster(), &app.cx).await?;
    let status = store.status(id, &app.cx).await?;
    if app.json {
        app.out.line(&format!("{:#}", json::status(&status)))?;
    } else {
        app.out.text(&words(app, &status))?;
    }
    Ok(if status.state() == BackupState::DoesNotExist { exit::NOT_FOUND } else { exit::OK })
}

pub(super) fn counts(counts: Counts) -> String {
    format!("{}, {}", count(counts.files, "file"), size(counts.bytes))
}

/// A moment for people: to the second. JSON has all of it.
pub(super) fn time(at: milepost::core::Timestamp) -> String {
    format!("{at:.0}")
}

fn owner(owner: &milepost::Owner) -> String {
    format!("process {} on {} since {}", owner.pid, owner.host, time(owner.started_at))
}

fn origin(from: &milepost::CopiedFrom) -> String {
    match from.completed_at {
        Some(at) => format!("{}, first committed {}", from.location, time(at)),
        None => from.location.clone(),
    }
}

/// A status in lines.
pub(super) fn words(app: &App, status: &BackupStatus) -> String {
    let document = status.document.as_ref();
    let descriptor = document.and_then(|document| document.descriptor.as_ref());
    let state = if status.is_tombstone() {
        "DOES_NOT_EXIST (deleted; the id is used up)".to_owned()
    } else {
        status.state().to_string()
    };
    let stale = status.state() == BackupState::InProgress
        && status.age.is_some_and(|age| age >= app.config.settings.stale_after);
    let text = |value: Option<&str>| value.map(str::to_owned);
    let fields = [
        ("backup", Some(status.id.to_string())),
        ("state", Some(state)),
        ("name", descriptor.and_then(|descriptor| text(descriptor.name.as_deref()))),
        ("cluster", document.map(|document| document.cluster_id.to_string())),
        ("created", document.map(|document| time(document.created_at))),
        ("completed", document.and_then(|document| Some(time(document.completed_at?)))),
        (
            "last change",
            document.map(|document| match status.age {
                Some(age) => format!("{} ({})", ago(age), time(document.last_modified)),
                None => time(document.last_modified),
            }),
        ),
        ("stale", stale.then(|| "no sign of life for long; its process may be gone".to_owned())),
        ("owner", document.and_then(|document| Some(owner(document.owner.as_ref()?)))),
        ("planned", document.and_then(|document| Some(counts(document.planned?)))),
        ("done", document.and_then(|document| Some(counts(document.done?)))),
        ("complete", document.filter(|document| !document.complete).map(|_| "no: files were skipped".to_owned())),
        ("position", descriptor.and_then(|descriptor| Some(descriptor.checkpoint_position?.to_string()))),
        ("partitions", descriptor.and_then(|descriptor| Some(descriptor.number_of_partitions?.to_string()))),
        ("term", descriptor.and_then(|descriptor| Some(descriptor.term?.to_string()))),
        ("copied from", document.and_then(|document| Some(origin(document.copied_from.as_ref()?)))),
        ("failure", document.and_then(|document| text(document.failure_reason.as_deref()))),
        (
            "verified",
            document.and_then(|document| {
                let verified = document.verified?;
                Some(format!(
                    "{} {} at {}",
                    verified.level,
                    if verified.ok { "ok" } else { "FAILED" },
                    time(verified.at)
                ))
            }),
        ),
        (
            "holds",
            document.filter(|document| !document.holds.is_empty()).map(|document| {
                let holds: Vec<String> = document
                    .holds
                    .iter()
                    .map(|hold| format!("{} by {}: {}", hold.id, hold.owner, hold.reason))
                    .collect();
                holds.join("; ")
            }),
        ),
    ];
    table::fields(&fields, app.style)
}
