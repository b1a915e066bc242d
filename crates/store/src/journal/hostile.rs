//! What must hold of a journal that somebody edited. For tests, and for the targets of cargo-fuzz.
#![allow(unreachable_pub, reason = "reached from outside where cargo-fuzz builds it")]

use std::fmt::Write as _;

use milepost_core::BackupId;

use super::JournalDocument;

const LOCATION: &str = "s3://bucket/base";
const ID: BackupId = BackupId::new(1, 100, 2);

/// A journal that is right, to begin with.
#[must_use]
pub fn example() -> String {
    let mut files = String::new();
    for (n, more) in [
        "",
        r#","done":true,"crc64nvme":"jYEL4RPB2n8=","source":{"device":"7","inode":"9","modifiedNs":"-1800000000000000001"}"#,
        r#","upload":{"id":"abc","partSize":8388608},"error":"gone""#,
    ]
    .iter()
    .enumerate()
    {
        let comma = if n == 0 { "" } else { ",\n    " };
        let _ = write!(files, r#"{comma}{{"kind":"segments","name":"{n}.log","size":{n}{more}}}"#);
    }
    format!(
        r#"{{"formatVersion":1,"id":{{"partition":1,"checkpoint":"100","node":2}},"source":"/var/broker",
  "destination":"{LOCATION}","startedAt":"2026-11-21T10:00:00Z","updatedAt":"2026-11-21T10:00:01Z",
  "totalFiles":3,"totalBytes":3,"doneFiles":1,"doneBytes":1,"error":"killed",
  "configuration":{{"partSize":8388608,"digest":"blake3","resume":true,"rateLimit":null}},
  "files":[{files}]}}"#
    )
}

/// Reads it, writes it and reads it back.
///
/// # Errors
/// What must not be.
pub fn journal(bytes: &[u8]) -> Result<String, String> {
    let read = match JournalDocument::parse(bytes, LOCATION, ID) {
        Ok(read) => read,
        Err(why) if why.len() > 1_000 || why.chars().any(char::is_control) => {
            return Err(format!("not fit to be shown: {why:?}"));
        }
        Err(why) => return Ok(why),
    };
    for file in &read.files {
        let joined = std::path::Path::new("root").join(file.name.as_str());
        let plain = joined.components().all(|component| matches!(component, std::path::Component::Normal(_)));
        if !plain {
            return Err(format!("leads to {}", joined.display()));
        }
    }
    if read.by_name().len() != read.files.len() {
        return Err("names a file twice".to_owned());
    }
    let written = serde_json::to_vec(&read).map_err(|error| format!("cannot be written: {error}"))?;
    let again =
        JournalDocument::parse(&written, LOCATION, ID).map_err(|error| format!("cannot be read back: {error}"))?;
    if again != read {
        return Err(format!("reads back as another: {again:?}"));
    }
    Ok(format!("a journal of {} files", read.files.len()))
}

#[cfg(test)]
#[allow(clippy::print_stderr, reason = "the counts are for people")]
mod tests {
    use milepost_testkit::hostile::{Campaign, kind_of};

    #[test]
    fn journals_that_somebody_edited() {
        super::journal(super::example().as_bytes()).unwrap();
        let words = ["\"upload\"", "\"crc64nvme\"", "\"snapshots\"", "\"../x\"", "\"partSize\"", "\"formatVersion\":2"];
        let campaign = Campaign::new("journal", [super::example()]).words(words);
        let report = campaign.run(12_000, |bytes| super::journal(bytes).map(|answer| kind_of(&answer))).unwrap();
        assert!(report.kinds > 25, "{report}");
        eprintln!("{report}");
    }
}
