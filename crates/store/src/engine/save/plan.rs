//! The plan of a save: every file with its length, fixed before the claim.

use std::io;

use milepost_core::document::{MAX_FILE_BYTES, MAX_FILES, MAX_METADATA_BYTES, MAX_NUMBER};
use milepost_core::name::check_set;
use milepost_core::{BackupId, Counts, Descriptor, FileName, FileSetKind, Hashes, ObjectKey, SkippedFile};

use super::content::Content;
use super::import::Given;
use crate::api::{Backup, SaveOptions};
use crate::bucket::{Bucket, UploadId};
use crate::context::OpContext;
use crate::engine::Engine;
use crate::engine::local::Unchanged;
use crate::error::{Error, FileFailure, Result};
use crate::fs::blocking;
use crate::journal::JournalSkip;
use crate::source::{FileEntry, FileSource, FileVersion};

/// One file of the plan.
#[derive(Clone)]
pub(super) struct PlannedFile {
    /// Its place in the plan.
    pub at: usize,
    pub kind: FileSetKind,
    pub name: FileName,
    pub key: ObjectKey,
    pub content: Content,
    /// Bytes to save.
    pub size: u64,
    /// The content's fingerprint when the plan was made.
    pub version: Option<FileVersion>,
    /// May a shorter object that equals the first bytes set the length? Only where no journal fixed it.
    pub may_shorten: bool,
    /// What an earlier attempt's journal knows of the bytes, or what the metadata of the store that they come from says.
    pub known: Option<Hashes>,
    /// A multipart upload that an earlier attempt began, with its part size.
    pub upload: Option<(UploadId, u64)>,
}

impl PlannedFile {
    /// The file as errors name it.
    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    /// What a snapshot file must stay; a segment may grow.
    pub(super) fn unchanged(&self) -> Option<Unchanged> {
        let local = matches!(self.content, Content::Local(_));
        (local && self.kind == FileSetKind::Snapshots).then_some(Unchanged { size: self.size, version: self.version })
    }

    pub(super) fn failed(&self, reason: impl std::fmt::Display) -> FileFailure {
        FileFailure { file: self.label(), reason: reason.to_string() }
    }
}

/// The plan of a save.
pub(super) struct Plan {
    pub files: Vec<PlannedFile>,
    /// Files that cannot be read: the save claims its id to say so, and fails.
    pub failures: Vec<FileFailure>,
    /// Files that somebody left out of this backup by its journal.
    pub skipped: Vec<JournalSkip>,
}

impl Plan {
    pub(super) fn counts(&self) -> Counts {
        Counts { files: self.files.len() as u64, bytes: self.files.iter().map(|file| file.size).sum() }
    }
}

/// Checks everything that can be checked without touching a file or the store.
pub(super) fn check_input(backup: &Backup, options: &SaveOptions) -> Result<()> {
    let invalid = |error: &dyn std::fmt::Display| Error::invalid_input(error.to_string());
    backup.descriptor.check().map_err(|error| invalid(&error))?;
    let count = backup.snapshots.len() + backup.segments.len();
    if count > MAX_FILES {
        return Err(Error::invalid_input(format!(
            "{count} files are more than the {MAX_FILES} that a backup may have"
        )));
    }
    for (kind, set) in [(FileSetKind::Snapshots, &backup.snapshots), (FileSetKind::Segments, &backup.segments)] {
        check_set(set.iter().map(|entry| &entry.name)).map_err(|error| invalid(&format_args!("{kind}: {error}")))?;
        if let Some(entry) = set.iter().find(|entry| entry.len.is_some_and(|len| len > MAX_FILE_BYTES)) {
            return Err(Error::invalid_input(format!("{kind}/{} is longer than {MAX_FILE_BYTES} bytes", entry.name)));
        }
    }
    let described = in_status(backup)?;
    if described > MAX_DESCRIPTOR_IN_STATUS {
        return Err(Error::invalid_input(format!(
            "the descriptor takes {described} bytes as JSON, more than the {MAX_DESCRIPTOR_IN_STATUS} that a status has room for"
        ))
        .with_hint("use fewer or shorter properties"));
    }
    let projected = projected_metadata(backup, &options.skipped)?;
    if projected > MAX_METADATA_BYTES {
        return Err(Error::invalid_input(format!(
            "the metadata of these {count} files would take {projected} bytes, more than {MAX_METADATA_BYTES}"
        ))
        .with_hint("shorten the names, or save fewer files in one backup"));
    }
    Ok(())
}

/// What the descriptor may take of a status's 64 KiB. The rest is for 16 holds, the reason of a failure and the fields of
/// every state: else a backup could be claimed that can neither be committed nor marked as failed.
const MAX_DESCRIPTOR_IN_STATUS: u64 = 32 * 1024;

/// The length of the descriptor in a status, which indents it two columns more than on its own.
fn in_status(backup: &Backup) -> Result<u64> {
    let alone =
        serde_json::to_vec_pretty(&backup.descriptor).map_err(|error| Error::invalid_input(error.to_string()))?;
    let lines = alone.iter().filter(|byte| **byte == b'\n').count();
    Ok((alone.len() + 2 * lines) as u64)
}

/// An upper bound of the metadata's size, before any file is hashed.
fn projected_metadata(backup: &Backup, skipped: &[SkippedFile]) -> Result<u64> {
    /// Punctuation, field names, the longest size, checksum and digest of one pretty-printed entry.
    const ENTRY: usize = 220;
    const HEAD: usize = 4096;
    let entries = backup.snapshots.iter().chain(&backup.segments);
    let names: usize = entries.map(|entry| in_json(entry.name.as_str()) + ENTRY).sum();
    let skipped: usize = skipped.iter().map(|file| in_json(&file.name) + in_json(&file.reason) + ENTRY).sum();
    let descriptor =
        serde_json::to_vec_pretty(&backup.descriptor).map_err(|error| Error::invalid_input(error.to_string()))?.len();
    // Pretty-printing indents the descriptor two columns more than on its own.
    Ok((HEAD + names + skipped + descriptor * 2) as u64)
}

/// The length of a text in JSON, at most.
fn in_json(text: &str) -> usize {
    text.chars().map(|c| if c.is_control() || matches!(c, '"' | '\\') { 6 } else { c.len_utf8() }).sum()
}

/// What one look at a file gave.
struct Looked {
    size: u64,
    version: Option<FileVersion>,
}

fn look(source: &dyn FileSource, wanted: Option<u64>) -> io::Result<Looked> {
    let file = source.open()?;
    let now = file.len()?;
    let size = wanted.unwrap_or(now);
    if size > now {
        let message = format!("is {now} bytes long, shorter than the {size} that the broker announced");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
    }
    if size > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("is longer than {MAX_FILE_BYTES} bytes")));
    }
    Ok(Looked { size, version: file.version()? })
}

impl<B: Bucket> Engine<B> {
    /// Looks at every file once and fixes its length. Files are opened one after the other and closed again.
    pub(super) async fn plan(&self, id: BackupId, sets: Sets, cx: &OpContext) -> Result<Plan> {
        /// Files that one blocking task looks at: enough to make the hop cheap, few enough to be cancelled soon.
        const BATCH: usize = 256;
        let mut plan = Plan { files: Vec::new(), failures: Vec::new(), skipped: Vec::new() };
        for (kind, mut set) in sets {
            set.sort_by(|a, b| a.name.cmp(&b.name));
            let mut set = set.into_iter().peekable();
            while set.peek().is_some() {
                cx.check()?;
                let batch: Vec<FileEntry> = set.by_ref().take(BATCH).collect();
                let looked = blocking(move || {
                    Ok(batch
                        .into_iter()
                        .map(|entry| {
                            let looked = look(&*entry.source, entry.len);
                            (entry, looked)
                        })
                        .collect::<Vec<_>>())
                })
                .await
                .map_err(|error| Error::new(crate::error::ErrorKind::Internal, error.to_string()))?;
                for (entry, looked) in looked {
                    let key = self.layout.file(id, kind, &entry.name);
                    match looked {
                        Ok(Looked { size, version }) => plan.files.push(PlannedFile {
                            at: plan.files.len(),
                            kind,
                            name: entry.name,
                            key,
                            content: Content::Local(entry.source),
                            size,
                            version,
                            may_shorten: kind == FileSetKind::Segments,
                            known: None,
                            upload: None,
                        }),
                        Err(error) => plan
                            .failures
                            .push(FileFailure { file: format!("{kind}/{}", entry.name), reason: error.to_string() }),
                    }
                }
            }
        }
        if plan.counts().bytes >= MAX_NUMBER {
            return Err(Error::invalid_input("the files are 2^53 bytes or more together"));
        }
        Ok(plan)
    }
}

/// Both file sets.
pub(super) type Sets = [(FileSetKind, Vec<FileEntry>); 2];

/// What the broker says, kept apart from its files.
pub(super) struct Described {
    pub id: BackupId,
    pub descriptor: Descriptor,
    pub skipped: Vec<SkippedFile>,
    /// Of a copy: the metadata that is copied, and where it comes from.
    pub given: Option<Given>,
}
