//! What an examination of a base finds, and what may be cleared up after it.

use std::collections::BTreeMap;
use std::time::Duration;

use milepost_core::{BackupId, Timestamp};

use crate::error::{Error, Result};

/// How to examine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ExamineOptions {
    /// List every object below the base: a request for each 1,000 of them.
    pub objects: bool,
}

/// What a base holds, whether a backup owns it or not, and what this role may do there.
#[derive(Debug)]
#[non_exhaustive]
pub struct Examination {
    /// The store, without secrets.
    pub location: String,
    /// Its clock beside ours; `None` where it does not tell.
    pub clock: Result<Option<ClockReading>>,
    /// What this role may do.
    pub permissions: Vec<Permission>,
    /// Reserved documents that cannot be used: key, and what is wrong.
    pub documents: Vec<(String, String)>,
    /// What lies below the base; `None` where that was not asked for.
    pub survey: Option<Survey>,
    /// Open multipart uploads below the base, as far as the store tells.
    pub uploads: Result<Vec<FoundUpload>>,
    /// Does the store tell of all of them?
    pub lists_all_uploads: bool,
}

/// The store's clock between two looks at ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// Ours before the request.
    pub before: Timestamp,
    /// The store's, in its answer.
    pub store: Timestamp,
    /// Ours behind the request.
    pub after: Timestamp,
}

impl ClockReading {
    /// By how much the two certainly differ, the time of the request and a second of rounding left out.
    #[must_use]
    pub fn skew(&self) -> Duration {
        let ahead = Duration::try_from(self.store.duration_since(self.after)).unwrap_or_default();
        let behind = Duration::try_from(self.before.duration_since(self.store)).unwrap_or_default();
        ahead.max(behind).saturating_sub(Duration::from_secs(1))
    }
}

/// One kind of request.
#[derive(Debug)]
pub struct Permission {
    /// Its name, stable: `list`, `read`, `write`, `delete`, `multipart`, `list-uploads`.
    pub action: &'static str,
    /// Why it failed; `None` where it did not.
    pub refusal: Option<Error>,
}

/// Every object below a base, added up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// By the backup below whose prefix they lie, whether or not that exists.
    pub backups: BTreeMap<BackupId, Below>,
    /// What is nobody's: neither below a backup's prefix nor below the reserved one.
    pub strays: Heap,
    /// What probes and examinations left, with ages by the store's clock where it told; the first 1,000.
    pub leftovers: Vec<Leftover>,
}

/// What lies below one backup's prefix.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Below {
    /// Is there a status?
    pub status: bool,
    /// Is there metadata?
    pub metadata: bool,
    /// Objects that are named as contents are.
    pub contents: Heap,
    /// Objects that no backup can have.
    pub strangers: Heap,
}

/// A number of objects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heap {
    /// How many.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The key of the first.
    pub first: Option<String>,
}

impl Heap {
    pub(crate) fn add(&mut self, key: &str, size: u64) {
        self.objects += 1;
        self.bytes = self.bytes.saturating_add(size);
        self.first.get_or_insert_with(|| key.to_owned());
    }
}

/// An object that Milepost itself left below its reserved prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its key.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// How long ago it was written, by the store's clock.
    pub age: Option<Duration>,
}

/// An open multipart upload, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundUpload {
    /// The key that it is for.
    pub key: String,
    /// Its id.
    pub upload: String,
    /// How long ago it was begun, by the store's clock.
    pub age: Option<Duration>,
    /// The bytes of its parts; `None` where nobody asked: of the first 1,000 alone.
    pub bytes: Option<u64>,
    /// Whose it is.
    pub of: UploadOf,
}

/// Whose an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadOf {
    /// A backup's, by its key.
    Backup(BackupId),
    /// A probe's.
    Probe,
    /// Nobody's that Milepost knows.
    Stranger,
}

/// What may be cleared up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mend {
    /// A multipart upload of a backup that no save owns, or of a probe, begun longer ago than this.
    Upload {
        /// The upload, as an examination found it.
        upload: FoundUpload,
        /// The least age.
        older_than: Duration,
    },
    /// An object below the probe's prefix, written longer ago than this.
    Leftover {
        /// Its key.
        key: String,
        /// The least age.
        older_than: Duration,
    },
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mended {
    /// It is gone.
    Done,
    /// It was kept, and why.
    Kept(String),
}
