//! Journals as JSON.

use std::path::Path;

use milepost::BackupId;
use milepost::journals::{FileProgress, Journal, JournalEdit, JournalEntry, JournalInfo};
use serde_json::{Value, json};

use super::json::head;

/// The word for how far a file came.
pub(crate) const fn progress(progress: FileProgress) -> &'static str {
    match progress {
        FileProgress::Pending => "PENDING",
        FileProgress::Done => "DONE",
        FileProgress::Failed => "FAILED",
        FileProgress::Skipped => "SKIPPED",
    }
}

/// The word for what becomes of the attempt: it runs, it failed and said so, or it was killed.
pub(crate) const fn state(info: &JournalInfo) -> &'static str {
    match (info.running, info.error.is_some()) {
        (true, _) => "RUNNING",
        (false, true) => "FAILED",
        (false, false) => "INTERRUPTED",
    }
}

fn info(info: &JournalInfo) -> Value {
    let mut value = head(info.id);
    value["path"] = info.path.display().to_string().into();
    value["state"] = state(info).into();
    value["destination"] = info.destination.as_str().into();
    value["source"] = info.source.as_str().into();
    value["startedAt"] = json!(info.started_at);
    value["updatedAt"] = json!(info.updated_at);
    value["totalFiles"] = info.total_files.into();
    value["totalBytes"] = info.total_bytes.into();
    value["doneFiles"] = info.done_files.into();
    value["doneBytes"] = info.done_bytes.into();
    value["failedFiles"] = info.failed_files.into();
    value["skippedFiles"] = info.skipped_files.into();
    value["error"] = json!(info.error);
    value
}

/// What `journal list` gives.
pub(crate) fn list(dir: &Path, entries: &[JournalEntry]) -> Value {
    let (mut journals, mut damaged) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            JournalEntry::Journal(one) => journals.push(info(one)),
            JournalEntry::Damaged { path, reason } => {
                damaged.push(json!({ "path": path.display().to_string(), "reason": reason }));
            }
        }
    }
    json!({ "dir": dir.display().to_string(), "journals": journals, "damaged": damaged })
}

/// What `journal show` gives.
pub(crate) fn one(journal: &Journal) -> Value {
    let mut value = info(&journal.info);
    value["files"] = journal
        .files
        .iter()
        .map(|file| {
            json!({
                "file": file.file,
                "state": progress(file.progress),
                "size": file.size,
                "uploadBegun": file.upload,
                "note": file.note,
            })
        })
        .collect();
    value
}

/// What `journal retry`, `skip`, `reset` and `clear-errors` give.
pub(crate) fn edited(id: BackupId, edit: &JournalEdit, changed: bool, dry_run: bool) -> Value {
    let (verb, file, reason) = match edit {
        JournalEdit::Retry { file } => ("retry", Some(file), None),
        JournalEdit::Skip { file, reason } => ("skip", Some(file), Some(reason)),
        JournalEdit::Reset { file } => ("reset", Some(file), None),
        _ => ("clear-errors", None, None),
    };
    let mut value = head(id);
    value["change"] = verb.into();
    value["file"] = json!(file);
    value["reason"] = json!(reason);
    value["changed"] = changed.into();
    value["dryRun"] = dry_run.into();
    value
}

/// What `journal remove` gives.
pub(crate) fn removed(journal: &JournalInfo, dry_run: bool) -> Value {
    let mut value = info(journal);
    value["change"] = "remove".into();
    value["changed"] = true.into();
    value["dryRun"] = dry_run.into();
    value
}
