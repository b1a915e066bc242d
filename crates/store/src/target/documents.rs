//! The two small documents of a restore: the marker in a restored target, and the binding of unfinished staging.

use std::io::{self, Read as _};

use milepost_core::checksum::is_sha256_hex;
use milepost_core::document::{FORMAT_VERSION, MAX_SMALL_DOCUMENT_BYTES};
use milepost_core::{BackupId, ClusterId, Timestamp};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::fs::Dir;

/// What a restore is of: staging that says so belongs to that restore and to no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Binding {
    /// Always 1.
    format_version: u64,
    /// The backup.
    pub id: BackupId,
    /// SHA-256 of its `metadata.json`, 64 lower-case hex digits: what names each file and its checksums.
    pub metadata_sha256: String,
}

impl Binding {
    /// Binds to `id` as the metadata of this hash describes it.
    pub(crate) fn new(id: BackupId, metadata_sha256: impl Into<String>) -> Self {
        Self { format_version: FORMAT_VERSION, id, metadata_sha256: metadata_sha256.into() }
    }
}

/// `.milepost.json` in a target: all of the backup is there, verified and synced. A target without it is not restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Marker {
    /// Always 1.
    format_version: u64,
    /// The backup.
    pub id: BackupId,
    /// SHA-256 of its `metadata.json`.
    pub metadata_sha256: String,
    /// The cluster that it belongs to, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<ClusterId>,
    /// When the restore ended.
    pub restored_at: Timestamp,
}

impl Marker {
    /// The marker of a restore that ends `at`.
    pub(crate) fn new(binding: &Binding, cluster_id: Option<ClusterId>, at: Timestamp) -> Self {
        let Binding { format_version, id, metadata_sha256 } = binding.clone();
        Self { format_version, id, metadata_sha256, cluster_id, restored_at: at }
    }

    /// What was restored.
    pub(crate) fn binding(&self) -> Binding {
        Binding::new(self.id, self.metadata_sha256.clone())
    }
}

/// What is found where a document should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found<T> {
    /// Nothing.
    Nothing,
    /// A document that can be used.
    Valid(T),
    /// A whole document of a newer major version.
    Newer(u64),
    /// Anything else: a link, a folder, a torn or foreign file.
    Foreign,
}

pub(super) trait Document: Serialize + DeserializeOwned {
    fn sha256(&self) -> &str;
}
impl Document for Binding {
    fn sha256(&self) -> &str {
        &self.metadata_sha256
    }
}
impl Document for Marker {
    fn sha256(&self) -> &str {
        &self.metadata_sha256
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    format_version: u64,
}

/// Reads a document of at most 64 KiB. Only an error of the file system itself is an error.
pub(super) fn read<T: Document>(dir: &Dir, name: &str) -> io::Result<Found<T>> {
    let file = match dir.open_file(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        // A link, a folder, a pipe or a device: whatever it is, no Milepost wrote it.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::IsADirectory | io::ErrorKind::InvalidInput)
                || matches!(Errno::from_io_error(&error), Some(Errno::LOOP | Errno::NXIO)) =>
        {
            return Ok(Found::Foreign);
        }
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_SMALL_DOCUMENT_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(parse(&bytes))
}

fn parse<T: Document>(bytes: &[u8]) -> Found<T> {
    if bytes.len() as u64 > MAX_SMALL_DOCUMENT_BYTES {
        return Found::Foreign;
    }
    // The version first: a newer body need not fit today's type, and must not be taken for somebody else's file.
    match serde_json::from_slice::<Envelope>(bytes) {
        Ok(Envelope { format_version: FORMAT_VERSION }) => {}
        Ok(Envelope { format_version }) if format_version > FORMAT_VERSION => return Found::Newer(format_version),
        _ => return Found::Foreign,
    }
    match serde_json::from_slice::<T>(bytes) {
        Ok(document) if is_sha256_hex(document.sha256()) => Found::Valid(document),
        _ => Found::Foreign,
    }
}

/// A document's bytes, with a newline at the end.
pub(super) fn encode<T: Document>(document: &T) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(document)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn binding() -> Binding {
        Binding::new(BackupId::new(1, 100, 2), "ab".repeat(32))
    }

    #[test]
    fn documents_read_back_and_look_as_designed() {
        let marker =
            Marker::new(&binding(), Some(ClusterId::new("c1").unwrap()), "2026-11-21T10:00:00Z".parse().unwrap());
        let bytes = encode(&marker).unwrap();
        assert_eq!(parse::<Marker>(&bytes), Found::Valid(marker.clone()));
        assert_eq!(marker.binding(), binding());
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(json["formatVersion"], 1);
        assert_eq!(json["id"]["checkpoint"], "100");
        assert_eq!(json["clusterId"], "c1");
        assert_eq!(json["restoredAt"], "2026-11-21T10:00:00Z");
        assert_eq!(parse::<Binding>(&encode(&binding()).unwrap()), Found::Valid(binding()));
    }

    #[test]
    fn newer_and_foreign_documents_are_told_apart() {
        assert_eq!(parse::<Marker>(br#"{"formatVersion":2,"what":[]}"#), Found::Newer(2));
        for text in ["", "{}", "[]", r#"{"formatVersion":0}"#, r#"{"formatVersion":1}"#] {
            assert_eq!(parse::<Marker>(text.as_bytes()), Found::Foreign, "{text}");
        }
        let lying = String::from_utf8(encode(&binding()).unwrap()).unwrap().replace("abab", "ABAB");
        assert_eq!(parse::<Binding>(lying.as_bytes()), Found::Foreign);
        assert_eq!(parse::<Binding>(&vec![b' '; 70_000]), Found::Foreign);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse::<Marker>(&bytes);
            let _ = parse::<Binding>(&bytes);
        }
    }
}
