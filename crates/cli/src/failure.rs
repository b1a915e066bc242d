//! How a failure is told: in words with a hint, or as a JSON line. Both go to stderr; stdout holds only what succeeded.

use milepost::{Error, ErrorKind, Operation};
use serde_json::{Value, json};

use crate::out::clean;

/// Files and keys named in words; JSON names all.
const NAMED: usize = 20;

/// The exit code: the kind's, but for a cancellation by a signal, which is 128 and the signal's number.
pub(crate) fn exit_code(error: &Error, signal: Option<u8>) -> u8 {
    match (error.kind(), signal) {
        (ErrorKind::Cancelled, Some(signal)) => 128 + signal,
        (kind, _) => kind.exit_code(),
    }
}

/// The causes that the message does not tell already.
fn causes(error: &Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut said = error.to_string();
    let mut next = std::error::Error::source(error);
    // Chains are short; a limit keeps a cyclic one, if somebody builds it, from hanging the report.
    while let (Some(cause), true) = (next, causes.len() < 8) {
        let text = cause.to_string();
        if !said.contains(&text) {
            said.clone_from(&text);
            causes.push(text);
        }
        next = cause.source();
    }
    causes
}

fn hint(error: &Error) -> Option<String> {
    if let Some(hint) = error.hint() {
        return Some(hint.to_owned());
    }
    let id = error.backup().map_or_else(|| "P/C/N".to_owned(), |id| id.to_string());
    match error.kind() {
        ErrorKind::NotFound => Some("`milepost list` shows what is there".to_owned()),
        ErrorKind::WrongState { .. } | ErrorKind::Conflict { .. } => {
            Some(format!("`milepost status {id}` shows its state and owner"))
        }
        // Without its documents there is nothing that a verify could compare.
        ErrorKind::Corrupt { key, .. } if key.ends_with("cluster.json") => Some(
            "bring it back from another copy of the store; or move it away, and `milepost init --adopt` makes it anew"
                .to_owned(),
        ),
        ErrorKind::Corrupt { key, .. } if key.ends_with("/metadata.json") => {
            Some(format!("this copy cannot be restored: take another one; `milepost delete {id}` removes it"))
        }
        ErrorKind::Corrupt { .. } | ErrorKind::Integrity { .. } => {
            Some(format!("`milepost verify {id} --level content` shows the extent; another copy may be whole"))
        }
        ErrorKind::TargetNotEmpty => Some("restore into a folder that is absent or empty".to_owned()),
        ErrorKind::Partial { .. } => Some("the same command again continues".to_owned()),
        // What came before the claim left nothing to resume, and a resume then begins anew: the advice holds either way.
        ErrorKind::Cancelled if error.operation() == Some(Operation::Save) => {
            Some("the same command with --resume keeps the files that are done and sends the rest".to_owned())
        }
        ErrorKind::Cancelled if matches!(error.operation(), Some(Operation::Restore | Operation::Delete)) => {
            Some("the same command again continues".to_owned())
        }
        ErrorKind::Internal => Some("this is a defect of Milepost; please report it".to_owned()),
        _ => None,
    }
}

/// The details that a kind carries, in lines; what the message says already is left out.
fn details(error: &Error) -> Vec<String> {
    let mut lines = all_details(error);
    lines.retain(|line| !error.message().contains(line.trim_start_matches("owned by ")));
    lines
}

fn all_details(error: &Error) -> Vec<String> {
    match error.kind() {
        ErrorKind::Source { files } => files.iter().map(ToString::to_string).collect(),
        ErrorKind::Partial { report } => report.failed.iter().map(|(key, reason)| format!("{key}: {reason}")).collect(),
        ErrorKind::Held { holds } => holds
            .iter()
            .filter(|hold| !error.message().contains(&hold.id.to_string()))
            .map(|hold| format!("hold {} by {}: {}", hold.id, hold.owner, hold.reason))
            .collect(),
        ErrorKind::WrongState { owner: Some(owner), .. } | ErrorKind::Conflict { owner: Some(owner) } => {
            vec![format!("owned by {owner}")]
        }
        _ => Vec::new(),
    }
}

/// The error as one line, under the verb that was typed: the library's `metadata` is `show` here.
fn sentence(error: &Error) -> String {
    match (error.operation(), error.backup()) {
        (Some(Operation::Metadata), Some(id)) => format!("show {id}: {}", error.message()),
        _ => error.to_string(),
    }
}

/// `error: …`, details, causes, `hint: …`.
pub(crate) fn words(error: &Error, colour: bool) -> String {
    let (red, bold, plain) = if colour { ("\u{1b}[1;31m", "\u{1b}[1m", "\u{1b}[0m") } else { ("", "", "") };
    let mut text = format!("{red}error:{plain} {}\n", clean(&sentence(error)));
    let details = details(error);
    for line in details.iter().take(NAMED) {
        text.push_str(&format!("  {}\n", clean(line)));
    }
    if details.len() > NAMED {
        text.push_str(&format!("  and {} more\n", details.len() - NAMED));
    }
    for cause in causes(error) {
        text.push_str(&format!("  because: {}\n", clean(&cause)));
    }
    if let Some(hint) = hint(error) {
        text.push_str(&format!("{bold}hint:{plain} {}\n", clean(&hint)));
    }
    text
}

/// `{"messageType":"error", …}`.
pub(crate) fn json(error: &Error, exit_code: u8) -> Value {
    let mut line = json!({
        "messageType": "error",
        "kind": error.kind().name(),
        "exitCode": exit_code,
        "operation": error.operation().map(|operation| operation.to_string()),
        "backup": error.backup().map(|id| id.to_string()),
        "message": error.message(),
        "hint": hint(error),
        "causes": causes(error),
    });
    match error.kind() {
        ErrorKind::Source { files } => {
            line["files"] = files.iter().map(|file| json!({"file": file.file, "reason": file.reason})).collect();
        }
        ErrorKind::Partial { report } => {
            line["objects"] = report.objects.into();
            line["untried"] = report.untried.into();
            line["failed"] = report.failed.iter().map(|(key, reason)| json!({"key": key, "reason": reason})).collect();
        }
        ErrorKind::WrongState { found, owner } => {
            line["state"] = found.name().into();
            line["owner"] = json!(owner);
        }
        ErrorKind::Conflict { owner } => line["owner"] = json!(owner),
        ErrorKind::Held { holds } => line["holds"] = json!(holds),
        ErrorKind::Corrupt { key, reason } => {
            line["key"] = key.as_str().into();
            line["reason"] = reason.as_str().into();
        }
        ErrorKind::Integrity { key, expected, actual } => {
            line["key"] = key.as_str().into();
            line["expected"] = expected.as_str().into();
            line["actual"] = actual.as_str().into();
        }
        _ => {}
    }
    line
}

#[cfg(test)]
mod tests {
    use milepost::{BackupId, BackupState, FileFailure, Operation};

    use super::*;

    #[test]
    fn a_signal_decides_the_exit_code_of_a_cancellation_alone() {
        let cancelled = Error::new(ErrorKind::Cancelled, "cancelled");
        assert_eq!(exit_code(&cancelled, None), 130);
        assert_eq!(exit_code(&cancelled, Some(2)), 130);
        assert_eq!(exit_code(&cancelled, Some(15)), 143);
        assert_eq!(exit_code(&Error::refused("no"), Some(15)), 7);
    }

    #[test]
    fn words_name_files_causes_and_a_hint() {
        let files =
            (0..30).map(|n| FileFailure { file: format!("segments/{n}"), reason: "gone\u{7}".into() }).collect();
        let error = Error::new(ErrorKind::Source { files }, "30 files failed")
            .during(Operation::Save)
            .of(BackupId::new(1, 2, 3))
            .with_source(std::io::Error::other("disk on fire"))
            .with_hint("buy a disk");
        let text = words(&error, false);
        assert!(text.starts_with("error: save 1/2/3: 30 files failed\n  segments/0: gone\\u{7}\n"), "{text}");
        assert!(text.ends_with("  and 10 more\n  because: disk on fire\nhint: buy a disk\n"), "{text}");
        assert!(!text.contains('\u{1b}') && words(&error, true).contains('\u{1b}'));
        let line = json(&error, 1);
        assert_eq!(line["messageType"], "error");
        assert_eq!(line["files"].as_array().unwrap().len(), 30);
        assert_eq!(line["backup"], "1/2/3");
        assert_eq!(line["causes"][0], "disk on fire");
    }

    #[test]
    fn kinds_without_a_hint_get_one() {
        let error = Error::new(ErrorKind::WrongState { found: BackupState::Failed, owner: None }, "is FAILED")
            .of(BackupId::new(1, 2, 3));
        assert!(words(&error, false).contains("hint: `milepost status 1/2/3`"));
        assert_eq!(json(&error, 5)["state"], "FAILED");
    }

    #[test]
    fn a_hold_that_the_message_names_is_not_named_again() {
        let json = r#"{"id":"00112233445566778899aabbccddeeff","reason":"audit","owner":"ops","createdAt":"2026-11-21T10:00:00Z"}"#;
        let hold: milepost::Hold = serde_json::from_str(json).unwrap();
        let kind = || ErrorKind::Held { holds: vec![hold.clone()] };
        assert_eq!(
            details(&Error::new(kind(), "is held: 00112233445566778899aabbccddeeff by ops (audit)")),
            Vec::<String>::new()
        );
        assert_eq!(details(&Error::new(kind(), "is held")), ["hold 00112233445566778899aabbccddeeff by ops: audit"]);
    }

    #[test]
    fn what_to_do_about_damage_goes_by_what_is_damaged() {
        let told = |key: &str| {
            let kind = ErrorKind::Corrupt { key: key.into(), reason: "does not parse".into() };
            hint(&Error::new(kind, "x").of(BackupId::new(1, 2, 3))).unwrap()
        };
        assert!(told("cluster.json").contains("init --adopt"));
        assert!(told("1/2/3/metadata.json").contains("`milepost delete 1/2/3`"));
        assert!(told("1/2/3/segments/1.log").contains("verify 1/2/3"));
    }
}
