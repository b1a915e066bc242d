//! The resume journal: what an attempt to save planned and did, for the attempt after it and for people with `jq`.
//!
//! A cache: the bucket is the truth. With a journal, a resume knows the lengths that were fixed for growing files, need not
//! hash again what it hashed, and finds the open multipart uploads of servers that list them badly. Without one, with an old
//! or a damaged one, it does more work and gets the same result. Hence nothing here may stop a save: [`load`] answers with
//! `None` and a warning, and the errors of [`JournalWriter`] are for a warning as well.
//!
//! One JSON file for each store and backup, replaced whole ([`JournalWriter::write`]): a reader sees one version or the other,
//! and of two writers the last one wins, whole. It is kept after a failure and removed after success. It holds no secrets:
//! locations, file names, checksums and settings.

mod document;
mod edit;
#[cfg(any(test, fuzzing))]
pub(crate) mod hostile;
mod pace;
mod writer;

use std::io::{self, Read as _};
use std::path::Path;

pub(crate) use document::{
    JournalDocument, JournalFile, JournalPlan, JournalSkip, JournalUnreadable, JournalUpload, MAX_JOURNAL_BYTES,
    configuration,
};
pub use edit::JournalEdit;
use milepost_core::{BackupId, checksum};
pub(crate) use pace::Pace;
pub(crate) use writer::{FileDone, JournalWriter, is_temporary_name, temporary_name};

use crate::fs::Dir;

/// The longest file name of a journal, in bytes: with a temporary one's ending it still fits an entry.
const MAX_FILE_NAME: usize = 200;

/// The file name of a backup's journal: readable, made safe, and never that of another store or backup.
pub(crate) fn file_name(location: &str, id: BackupId) -> String {
    // The hash tells apart what making safe and cutting made equal.
    let hash = checksum::sha256_hex(format!("{location}\0{id}").as_bytes());
    let tail = format!("-{}-{}-{}-{}.json", id.partition, id.checkpoint, id.node, &hash[..16]);
    let safe: String = location
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' })
        .take(MAX_FILE_NAME - tail.len())
        .collect();
    safe + &tail
}

/// Reads the journal of a backup, at most 128 MiB. Blocks.
///
/// `None`, with a warning where there is something to warn of: no journal, or one that cannot be read, is damaged, of a newer
/// format, or of another store or backup.
pub(crate) fn load(dir: &Path, location: &str, id: BackupId) -> Option<JournalDocument> {
    let name = file_name(location, id);
    let warn = |reason: &dyn std::fmt::Display| {
        tracing::warn!(journal = %dir.join(&name).display(), %reason, "ignoring the journal; the save takes its plan anew");
    };
    match read(dir, &name) {
        Ok(None) => None,
        Ok(Some(bytes)) => match JournalDocument::parse(&bytes, location, id) {
            Ok(document) => Some(document),
            Err(reason) => {
                warn(&reason);
                None
            }
        },
        Err(error) => {
            warn(&error);
            None
        }
    }
}

fn read(dir: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    let file = match Dir::open_root(dir).and_then(|dir| dir.open_file(name)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    read_capped(&file).map(Some)
}

/// The bytes of a journal, and one more where it is too long.
pub(crate) fn read_capped(file: &std::fs::File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_JOURNAL_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
