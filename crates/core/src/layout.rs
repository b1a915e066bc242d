//! Which key holds what, and which backup a key belongs to.
//!
//! ```text
//! [base/]cluster.json
//! [base/]<partition>/<checkpoint>/<node>/{status.json,metadata.json,snapshots/<name>,segments/<name>}
//! [base/]_milepost/{probe,index,seals}/…
//! ```
//!
//! Every prefix that is listed ends in `/`: a listing of `1/10/` must never show `1/100/`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::ids::{BackupId, CheckpointId, PartitionId, shown};
use crate::name::{FileName, FileSetKind, NameError};

/// The longest key, in bytes: the limit of S3 (Amazon S3 user guide, "Naming Amazon S3 objects").
pub const MAX_KEY_BYTES: usize = 1024;
/// The longest base, in bytes; with it the longest file name still fits a key.
pub const MAX_BASE_BYTES: usize = 200;

/// The key of one object: a relative path of non-empty components.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// Takes a key as a bucket's listing returns it.
    ///
    /// # Errors
    /// [`NameError::Unsafe`] for a key that no Milepost object can have: longer than [`MAX_KEY_BYTES`], an empty, `.` or
    /// `..` component, a backslash or a control character.
    pub fn new(key: impl Into<String>) -> Result<Self, NameError> {
        let key = key.into();
        let problem = if key.len() > MAX_KEY_BYTES {
            Some("is longer than 1024 bytes")
        } else if key.contains('\\') || key.chars().any(char::is_control) {
            Some("holds a backslash or a control character")
        } else if key.split('/').any(|component| matches!(component, "" | "." | "..")) {
            Some("holds an empty, `.` or `..` component")
        } else {
            None
        };
        match problem {
            Some(problem) => Err(NameError::Unsafe { name: shown(&key), problem }),
            None => Ok(Self(key)),
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components, at least one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
impl<'de> Deserialize<'de> for ObjectKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// What an object below a backup's prefix is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BackupObject {
    /// `status.json`, the only object that is ever overwritten.
    Status,
    /// `metadata.json`, written once before the commit.
    Metadata,
    /// `metadata.json.sig`, reserved for signatures: no surplus.
    MetadataSignature,
    /// A content of one of the two file sets.
    File(FileSetKind, FileName),
}

/// Maps ids to keys and back, below an optional base path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Layout {
    /// Empty, or ends in `/`.
    base: String,
}

impl Layout {
    /// Takes the base path: empty for none, else components with `/` between and, if you like, around.
    ///
    /// # Errors
    /// [`NameError::Unsafe`] where the base is longer than [`MAX_BASE_BYTES`] or has an unsafe component.
    pub fn new(base: &str) -> Result<Self, NameError> {
        let trimmed = base.trim_matches('/');
        if trimmed.is_empty() {
            return Ok(Self::default());
        }
        if trimmed.len() > MAX_BASE_BYTES {
            return Err(NameError::Unsafe { name: shown(trimmed), problem: "as a base path is longer than 200 bytes" });
        }
        let checked = FileName::new(trimmed)?;
        Ok(Self { base: format!("{checked}/") })
    }

    /// The prefix of everything: empty, or ending in `/`.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.base
    }

    fn key(&self, rest: fmt::Arguments<'_>) -> ObjectKey {
        ObjectKey(format!("{}{rest}", self.base))
    }

    /// The key of `cluster.json`.
    #[must_use]
    pub fn cluster(&self) -> ObjectKey {
        self.key(format_args!("cluster.json"))
    }

    /// The prefix of all checkpoints of a partition.
    #[must_use]
    pub fn partition_prefix(&self, partition: PartitionId) -> String {
        format!("{}{partition}/", self.base)
    }

    /// The prefix of all nodes' copies of a partition at a checkpoint.
    #[must_use]
    pub fn checkpoint_prefix(&self, partition: PartitionId, checkpoint: CheckpointId) -> String {
        format!("{}{partition}/{checkpoint}/", self.base)
    }

    /// The prefix of everything that belongs to a backup.
    #[must_use]
    pub fn backup_prefix(&self, id: BackupId) -> String {
        format!("{}{id}/", self.base)
    }

    /// The key of a backup's `status.json`.
    #[must_use]
    pub fn status(&self, id: BackupId) -> ObjectKey {
        self.key(format_args!("{id}/status.json"))
    }

    /// The key of a backup's `metadata.json`.
    #[must_use]
    pub fn metadata(&self, id: BackupId) -> ObjectKey {
        self.key(format_args!("{id}/metadata.json"))
    }

    /// The key of a content.
    #[must_use]
    pub fn file(&self, id: BackupId, kind: FileSetKind, name: &FileName) -> ObjectKey {
        self.key(format_args!("{id}/{kind}/{name}"))
    }

    /// The key of any object of a backup.
    #[must_use]
    pub fn object(&self, id: BackupId, object: &BackupObject) -> ObjectKey {
        match object {
            BackupObject::Status => self.status(id),
            BackupObject::Metadata => self.metadata(id),
            BackupObject::MetadataSignature => self.key(format_args!("{id}/metadata.json.sig")),
            BackupObject::File(kind, name) => self.file(id, *kind, name),
        }
    }

    /// The key of the seal that forbids ids of forgotten tombstones.
    #[must_use]
    pub fn seal(&self, partition: PartitionId) -> ObjectKey {
        self.key(format_args!("_milepost/seals/{partition}.json"))
    }

    /// A key below the folder in which the probe tries the store out. `name` must be a safe name.
    #[must_use]
    pub fn probe(&self, name: &FileName) -> ObjectKey {
        self.key(format_args!("_milepost/probe/{name}"))
    }

    /// The prefix below which the probe works.
    #[must_use]
    pub fn probe_prefix(&self) -> String {
        format!("{}_milepost/probe/", self.base)
    }

    /// Which backup and object a key names; `None` for the cluster document, reserved and stray keys.
    #[must_use]
    pub fn parse(&self, key: &str) -> Option<(BackupId, BackupObject)> {
        let mut parts = key.strip_prefix(self.base.as_str())?.splitn(4, '/');
        let id = BackupId {
            partition: parts.next()?.parse().ok()?,
            checkpoint: parts.next()?.parse().ok()?,
            node: parts.next()?.parse().ok()?,
        };
        let object = match parts.next()? {
            "status.json" => BackupObject::Status,
            "metadata.json" => BackupObject::Metadata,
            "metadata.json.sig" => BackupObject::MetadataSignature,
            rest => {
                let (folder, name) = rest.split_once('/')?;
                let kind = FileSetKind::ALL.into_iter().find(|kind| kind.folder() == folder)?;
                BackupObject::File(kind, FileName::new(name).ok()?)
            }
        };
        Some((id, object))
    }

    /// The last component of a folder that a delimited listing of `prefix` returned: `Some("100")` for `1/` and `1/100/`.
    #[must_use]
    pub fn folder_name<'a>(prefix: &str, folder: &'a str) -> Option<&'a str> {
        folder.strip_prefix(prefix)?.strip_suffix('/').filter(|name| !name.is_empty() && !name.contains('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object() -> impl Strategy<Value = BackupObject> {
        let name = "[a-zA-Z0-9._ é-]{1,12}(/[a-zA-Z0-9._-]{1,12}){0,3}"
            .prop_filter_map("safe", |name| FileName::new(name).ok());
        prop_oneof![
            Just(BackupObject::Status),
            Just(BackupObject::Metadata),
            Just(BackupObject::MetadataSignature),
            (prop_oneof![Just(FileSetKind::Snapshots), Just(FileSetKind::Segments)], name)
                .prop_map(|(kind, name)| BackupObject::File(kind, name)),
        ]
    }

    proptest! {
        #[test]
        fn every_key_parses_back(p: u32, c: u64, n: u32, object in object(), base in "([a-z0-9_]{1,5}/){0,3}") {
            let layout = Layout::new(&base).unwrap();
            let id = BackupId::new(p, c, n);
            let key = layout.object(id, &object);
            prop_assert!(key.as_str().starts_with(&layout.backup_prefix(id)));
            prop_assert_eq!(layout.parse(key.as_str()), Some((id, object)));
            prop_assert_eq!(ObjectKey::new(key.as_str()), Ok(key));
        }

        #[test]
        fn whatever_parses_is_spelled_as_the_layout_spells_it(key in "[0-9]{1,3}/[0-9]{1,3}/[0-9]{1,2}/[a-z./]{0,20}") {
            let layout = Layout::default();
            if let Some((id, object)) = layout.parse(&key) {
                let spelled = layout.object(id, &object);
                prop_assert_eq!(spelled.as_str(), key.as_str());
            }
        }
    }

    #[test]
    fn stray_keys_belong_to_no_backup() {
        let layout = Layout::new("base").unwrap();
        for key in [
            "base/cluster.json",
            "base/_milepost/seals/1.json",
            "base/1/100/2",
            "base/1/100/2/",
            "base/1/100/2/other",
            "base/1/100/2/snapshots/",
            "base/1/100/2/snapshots/../x",
            "base/01/100/2/status.json",
            "1/100/2/status.json",
            "other/1/100/2/status.json",
            "base/1/100/2/logs/a",
            "base/1/100/2/status.json/x",
        ] {
            assert_eq!(layout.parse(key), None, "{key}");
        }
    }

    #[test]
    fn prefixes_end_in_a_slash_and_never_reach_a_neighbour() {
        let layout = Layout::new("/base/").unwrap();
        let id = BackupId::new(1, 10, 2);
        for prefix in [
            layout.root().to_owned(),
            layout.partition_prefix(id.partition),
            layout.checkpoint_prefix(id.partition, id.checkpoint),
            layout.backup_prefix(id),
            layout.probe_prefix(),
        ] {
            assert!(prefix.ends_with('/'), "{prefix}");
            assert!(!layout.status(BackupId::new(1, 100, 2)).as_str().starts_with(&prefix) || prefix.len() <= 7);
        }
        assert_eq!(Layout::folder_name("base/1/", "base/1/100/"), Some("100"));
        assert_eq!(Layout::folder_name("base/1/", "base/1/"), None);
        assert_eq!(Layout::folder_name("base/1/", "base/2/100/"), None);
    }

    #[test]
    fn unsafe_bases_are_refused() {
        for base in ["..", "a/../b", "a//b", "a\\b", &"x/".repeat(150)] {
            assert!(Layout::new(base).is_err(), "{base}");
        }
        assert_eq!(Layout::new("/"), Ok(Layout::default()));
    }

    #[test]
    fn the_longest_name_below_the_longest_base_fits_a_key() {
        let base = vec!["b".repeat(99); 2].join("/");
        let name = FileName::new([&"n".repeat(199); 3].map(|s| s.as_str()).join("/") + "/" + &"n".repeat(100)).unwrap();
        let key = Layout::new(&base).unwrap().file(
            BackupId::new(u32::MAX, u64::MAX, u32::MAX),
            FileSetKind::Snapshots,
            &name,
        );
        assert!(ObjectKey::new(key.as_str()).is_ok(), "{}", key.as_str().len());
    }
}
