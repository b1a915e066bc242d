//! `metadata.json`: what a backup consists of.

use serde::{Deserialize, Serialize};

use super::{
    Descriptor, DocumentError, FORMAT_VERSION, MAX_METADATA_BYTES, MAX_NUMBER, MAX_TEXT_BYTES, json_len, strict,
};
use crate::checksum::{Crc64Nvme, Digest};
use crate::ids::{BackupId, ClusterId, shown};
use crate::name::{FileName, FileSetKind, check_set};

/// The most files that a backup may have, and the most that one may leave out.
pub const MAX_FILES: usize = 300_000;
/// The largest file, in bytes: 10,000 parts of 5 GiB (Amazon S3 user guide, "Multipart upload limits").
pub const MAX_FILE_BYTES: u64 = 10_000 * 5 * 1024 * 1024 * 1024;

/// One saved file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its name below the set's folder.
    pub name: FileName,
    /// Its length in bytes.
    pub size: u64,
    /// The CRC64NVME of its bytes.
    pub crc64nvme: Crc64Nvme,
    /// Their digest; absent where the save was told to take none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// A file that an operator chose to leave out. A backup with one is not complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedFile {
    /// Its name, with the set's folder: 1 to 1024 bytes as the document holds it. Not a [`FileName`]: an unsafe name may be
    /// why the file was left out.
    pub name: String,
    /// Why it was left out, at most 1024 bytes as the document holds it.
    pub reason: String,
}

/// `metadata.json`: written once, before the commit; the status carries its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetadataDocument {
    /// Always 1.
    pub format_version: u64,
    /// Words that a reader must know; this version knows none.
    #[serde(default)]
    pub requires: Vec<String>,
    /// The cluster that owns the base.
    pub cluster_id: ClusterId,
    /// The backup; must agree with the key.
    pub id: BackupId,
    /// What the broker says.
    pub descriptor: Descriptor,
    /// The number of entries in both file sets.
    pub total_files: u64,
    /// The sum of their sizes.
    pub total_bytes: u64,
    /// Immutable files, sorted by name.
    #[serde(deserialize_with = "strict::at_most::<MAX_FILES, _, _>")]
    pub snapshot_files: Vec<FileRecord>,
    /// Log files, sorted by name.
    #[serde(deserialize_with = "strict::at_most::<MAX_FILES, _, _>")]
    pub segment_files: Vec<FileRecord>,
    /// Files left out on purpose.
    #[serde(default, deserialize_with = "strict::at_most::<MAX_FILES, _, _>")]
    pub skipped_files: Vec<SkippedFile>,
}

impl MetadataDocument {
    /// A document of the current format version, sorted and counted.
    #[must_use]
    pub fn new(
        cluster_id: ClusterId,
        id: BackupId,
        descriptor: Descriptor,
        mut snapshot_files: Vec<FileRecord>,
        mut segment_files: Vec<FileRecord>,
        skipped_files: Vec<SkippedFile>,
    ) -> Self {
        snapshot_files.sort_by(|a, b| a.name.cmp(&b.name));
        segment_files.sort_by(|a, b| a.name.cmp(&b.name));
        let all = || snapshot_files.iter().chain(&segment_files);
        Self {
            format_version: FORMAT_VERSION,
            requires: Vec::new(),
            cluster_id,
            id,
            descriptor,
            total_files: all().count() as u64,
            total_bytes: all().map(|file| file.size).fold(0, u64::saturating_add),
            snapshot_files,
            segment_files,
            skipped_files,
        }
    }

    /// The files of one set.
    #[must_use]
    pub fn files(&self, kind: FileSetKind) -> &[FileRecord] {
        match kind {
            FileSetKind::Snapshots => &self.snapshot_files,
            FileSetKind::Segments => &self.segment_files,
        }
    }

    /// All files with their set, snapshots first.
    pub fn all_files(&self) -> impl Iterator<Item = (FileSetKind, &FileRecord)> {
        FileSetKind::ALL.into_iter().flat_map(|kind| self.files(kind).iter().map(move |file| (kind, file)))
    }

    /// Is nothing left out?
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.skipped_files.is_empty()
    }

    /// Reads the metadata of `id`, at most 64 MiB and 300,000 files.
    ///
    /// # Errors
    /// Any [`DocumentError`]; [`DocumentError::Invalid`] for a body that lies about its id, unsafe or colliding names, and
    /// totals that are not those of the entries.
    pub fn parse(bytes: &[u8], id: BackupId) -> Result<Self, DocumentError> {
        let document: Self = strict::parse(bytes, MAX_METADATA_BYTES)?;
        if document.id != id {
            return Err(DocumentError::invalid(format!("says that it is backup {}", document.id)));
        }
        document.check()?;
        Ok(document)
    }

    /// Writes the document.
    ///
    /// # Errors
    /// [`DocumentError::TooLarge`] or [`DocumentError::Invalid`] where `parse` would refuse the result.
    pub fn encode(&self) -> Result<Vec<u8>, DocumentError> {
        self.check()?;
        strict::encode(self, MAX_METADATA_BYTES)
    }

    fn check(&self) -> Result<(), DocumentError> {
        if self.format_version != FORMAT_VERSION {
            return Err(DocumentError::invalid("formatVersion is not 1"));
        }
        if let Some(word) = self.requires.first() {
            return Err(DocumentError::UnknownRequirement(shown(word)));
        }
        self.descriptor.check()?;
        let count = self.snapshot_files.len() + self.segment_files.len();
        if count > MAX_FILES {
            return Err(DocumentError::invalid(format!("names {count} files, more than {MAX_FILES}")));
        }
        let mut bytes = 0u64;
        for (kind, file) in self.all_files() {
            if file.size > MAX_FILE_BYTES {
                return Err(DocumentError::invalid(format!(
                    "{kind}/{} is larger than {MAX_FILE_BYTES} bytes",
                    file.name
                )));
            }
            bytes = bytes.saturating_add(file.size);
        }
        if bytes >= MAX_NUMBER {
            return Err(DocumentError::invalid("the sizes add up to 2^53 or more"));
        }
        if (self.total_files, self.total_bytes) != (count as u64, bytes) {
            return Err(DocumentError::invalid(format!(
                "says {} files of {} bytes, but its entries are {count} files of {bytes} bytes",
                self.total_files, self.total_bytes
            )));
        }
        for kind in FileSetKind::ALL {
            check_set(self.files(kind).iter().map(|file| &file.name))
                .map_err(|error| DocumentError::invalid(format!("{kind}: {error}")))?;
        }
        if self.skipped_files.len() > MAX_FILES {
            return Err(DocumentError::invalid(format!("leaves more than {MAX_FILES} files out")));
        }
        for skipped in &self.skipped_files {
            if !(1..=MAX_TEXT_BYTES).contains(&json_len(&skipped.name)) || json_len(&skipped.reason) > MAX_TEXT_BYTES {
                return Err(DocumentError::invalid(format!(
                    "skippedFiles: the name or reason of `{}` is empty or longer than {MAX_TEXT_BYTES} bytes",
                    shown(&skipped.name)
                )));
            }
        }
        Ok(())
    }
}
