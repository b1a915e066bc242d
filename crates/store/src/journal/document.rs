//! What a journal says.

use std::collections::{BTreeMap, HashMap, HashSet};

use milepost_core::checksum::Crc64Nvme;
use milepost_core::document::{FORMAT_VERSION, MAX_FILE_BYTES, MAX_FILES};
use milepost_core::{BackupId, Digest, FileName, FileSetKind, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::SaveOptions;
use crate::settings::StoreSettings;
use crate::source::FileVersion;

/// The largest journal that is written or read, in bytes. Twice what metadata may have: an entry says all that one of the
/// metadata says, and which file on disk was hashed; 300,000 of them with digests are some 80 MB.
pub(crate) const MAX_JOURNAL_BYTES: u64 = 128 * 1024 * 1024;

/// A journal. Checkpoint ids and numbers that may exceed 2^53 are decimal strings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JournalDocument {
    /// Always 1.
    pub format_version: u64,
    /// The backup.
    pub id: BackupId,
    /// Where the files come from, for people.
    pub source: String,
    /// The store's location, without secrets.
    pub destination: String,
    /// When this attempt began.
    pub started_at: Timestamp,
    /// When the journal was last written.
    pub updated_at: Timestamp,
    /// The number of planned files.
    pub total_files: u64,
    /// The sum of their planned lengths.
    pub total_bytes: u64,
    /// How many of them are in the store.
    pub done_files: u64,
    /// The sum of their lengths.
    pub done_bytes: u64,
    /// Why the attempt failed; absent while it runs, and after a kill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The settings and options that the attempt ran with.
    #[serde(default)]
    pub configuration: BTreeMap<String, Value>,
    /// The plan, and what became of each file.
    pub files: Vec<JournalFile>,
    /// Files that could not be looked at for the plan: they have no length yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<JournalUnreadable>,
    /// Files that the next attempt leaves out, because somebody said so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<JournalSkip>,
}

/// The most files that somebody may leave out of one backup by hand.
pub(crate) const MAX_SKIPPED: usize = 1000;

/// A file that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JournalUnreadable {
    /// The file, with its set's folder.
    pub file: String,
    /// Why.
    pub error: String,
}

/// A file to be left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JournalSkip {
    /// The file, with its set's folder.
    pub file: String,
    /// Why, as the backup's metadata will say.
    pub reason: String,
}

/// One planned file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JournalFile {
    /// Its set.
    pub kind: FileSetKind,
    /// Its name in the backup.
    pub name: FileName,
    /// The length that was fixed for it, in bytes.
    pub size: u64,
    /// Is it in the store, as far as this attempt knows?
    #[serde(default)]
    pub done: bool,
    /// The checksum of its first `size` bytes, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc64nvme: Option<Crc64Nvme>,
    /// Their digest, once known and where one is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Which file on disk was hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceVersion>,
    /// The multipart upload that was begun for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<JournalUpload>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl JournalFile {
    /// A file that nothing was done for yet.
    pub(crate) const fn planned(kind: FileSetKind, name: FileName, size: u64) -> Self {
        Self { kind, name, size, done: false, crc64nvme: None, digest: None, source: None, upload: None, error: None }
    }

    /// Are checksum and digest those of the local file's first `size` bytes still? Only where the source can tell one
    /// content from another, and this one has not changed since it was hashed.
    pub(crate) fn spares_hashing(&self, size: u64, version: Option<FileVersion>) -> bool {
        self.crc64nvme.is_some()
            && self.size == size
            && version.is_some_and(|version| self.source == Some(SourceVersion::from(version)))
    }
}

/// A multipart upload that was begun and, as far as the journal knows, neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JournalUpload {
    /// The store's id of it.
    pub id: String,
    /// The length of its parts but the last, in bytes.
    pub part_size: u64,
}

/// [`FileVersion`] in JSON. Decimal strings: inodes and nanoseconds are larger than what readers of JSON keep exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SourceVersion {
    #[serde(with = "text")]
    device: u64,
    #[serde(with = "text")]
    inode: u64,
    #[serde(with = "text")]
    modified_ns: i128,
}

impl From<FileVersion> for SourceVersion {
    fn from(version: FileVersion) -> Self {
        let (device, inode) = version.identity;
        Self { device, inode, modified_ns: version.modified_ns }
    }
}

mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }
    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// What a journal begins with.
#[derive(Debug, Clone)]
pub(crate) struct JournalPlan {
    /// The store's location ([`crate::Bucket::location`]), which also finds the journal again. No secrets.
    pub location: String,
    /// The backup.
    pub id: BackupId,
    /// Where the files come from, for people.
    pub source: String,
    /// When the attempt began.
    pub started_at: Timestamp,
    /// See [`configuration`].
    pub configuration: BTreeMap<String, Value>,
    /// The files. [`super::JournalWriter`] names them by their place in here.
    pub files: Vec<JournalFile>,
    /// Files that could not be looked at.
    pub unreadable: Vec<JournalUnreadable>,
    /// Files that are left out.
    pub skipped: Vec<JournalSkip>,
}

impl JournalDocument {
    pub(super) fn new(plan: JournalPlan) -> Self {
        let JournalPlan { location, id, source, started_at, configuration, files, unreadable, skipped } = plan;
        let mut document = Self {
            format_version: FORMAT_VERSION,
            id,
            source,
            destination: location,
            started_at,
            updated_at: started_at,
            total_files: 0,
            total_bytes: 0,
            done_files: 0,
            done_bytes: 0,
            error: None,
            configuration,
            files,
            unreadable,
            skipped,
        };
        document.count();
        document
    }

    /// Counts the files anew.
    pub(super) fn count(&mut self) {
        let done = || self.files.iter().filter(|file| file.done);
        let sum = |bytes: u64, file: &JournalFile| bytes.saturating_add(file.size);
        let (total, sent) = (self.files.iter().fold(0, sum), done().fold(0, sum));
        (self.done_files, self.total_files) = (done().count() as u64, self.files.len() as u64);
        (self.done_bytes, self.total_bytes) = (sent, total);
    }

    /// The files by set and name.
    pub(crate) fn by_name(&self) -> HashMap<(FileSetKind, &str), &JournalFile> {
        self.files.iter().map(|file| ((file.kind, file.name.as_str()), file)).collect()
    }

    /// Reads the journal of a backup in a store; the error says why it cannot be used.
    pub(super) fn parse(bytes: &[u8], location: &str, id: BackupId) -> Result<Self, String> {
        let document = Self::read(bytes)?;
        if document.id != id || document.destination != location {
            return Err("is of another backup or store".to_owned());
        }
        Ok(document)
    }

    /// Reads any journal; the error says why it cannot be used.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Envelope {
            format_version: u64,
        }
        if bytes.len() as u64 > MAX_JOURNAL_BYTES {
            return Err(format!("is longer than {MAX_JOURNAL_BYTES} bytes"));
        }
        // serde quotes what it does not know; a damaged journal must not fill the log.
        let syntax =
            |error: serde_json::Error| milepost_core::document::cut(&error.to_string().escape_debug().to_string(), 200);
        let Envelope { format_version } = serde_json::from_slice(bytes).map_err(syntax)?;
        if format_version != FORMAT_VERSION {
            return Err(format!("has format version {format_version}, not {FORMAT_VERSION}"));
        }
        let document: Self = serde_json::from_slice(bytes).map_err(syntax)?;
        if document.files.len() + document.unreadable.len() > MAX_FILES || document.skipped.len() > MAX_SKIPPED {
            return Err(format!("names more than {MAX_FILES} files, or skips more than {MAX_SKIPPED}"));
        }
        let mut names = HashSet::new();
        for file in &document.files {
            let sane = file.size <= MAX_FILE_BYTES
                && file.upload.as_ref().is_none_or(|upload| upload.part_size > 0 && !upload.id.is_empty())
                && (!file.done || file.crc64nvme.is_some())
                && names.insert((file.kind, file.name.as_str()));
            if !sane {
                return Err(format!("says what cannot be of {}/{}", file.kind, file.name));
            }
        }
        Ok(document)
    }
}

/// The settings and options that decide how a save runs, by their names on the command line and in JSON.
pub(crate) fn configuration(settings: &StoreSettings, options: &SaveOptions) -> BTreeMap<String, Value> {
    let seconds = |duration: std::time::Duration| Value::from(duration.as_secs_f64());
    [
        ("cluster", Value::from(settings.cluster.as_str())),
        ("singleWriter", settings.single_writer.into()),
        ("partSize", settings.part_size.into()),
        ("multipartThreshold", settings.multipart_threshold.into()),
        ("concurrency", settings.concurrency.into()),
        ("memoryBudget", settings.memory_budget.into()),
        ("rateLimit", settings.rate_limit.map(std::num::NonZeroU64::get).into()),
        ("retryBudgetSeconds", seconds(settings.retry_budget)),
        ("retryDelaySeconds", seconds(settings.retry_delay)),
        ("signOfLifeSeconds", seconds(settings.sign_of_life)),
        ("journalEveryFiles", settings.journal_every_files.into()),
        ("journalEverySeconds", seconds(settings.journal_every)),
        ("digest", options.digest.map(milepost_core::DigestAlgorithm::name).into()),
        ("resume", options.resume.into()),
        ("ignoreJournal", options.ignore_journal.into()),
        ("skippedFiles", options.skipped.len().into()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
