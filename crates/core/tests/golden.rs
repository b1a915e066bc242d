//! Format version 1, as files: what is in somebody's bucket today must be read, and written the same, for ever.
//!
//! A golden file is never edited; a new version gets a new folder.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, outside of the test functions")]

use std::fs;
use std::path::PathBuf;

use milepost_core::document::{FORMAT_VERSION, MAX_METADATA_BYTES, MAX_SMALL_DOCUMENT_BYTES};
use milepost_core::{
    BackupId, ClusterDocument, DocumentError, Kind, MetadataDocument, PartitionId, ProbeDocument, ProbedCheck,
    SealDocument, StatusCode, StatusDocument,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const ID: BackupId = BackupId::new(1, 100, 2);

/// Every golden file with its name.
fn golden() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn golden_file(name: &str) -> Vec<u8> {
    golden().into_iter().find(|(found, _)| found == name).unwrap().1
}

fn golden_value(name: &str) -> Value {
    serde_json::from_slice(&golden_file(name)).unwrap()
}

/// Reads a document of the kind that its name says, and writes it again.
fn rewrite(name: &str, bytes: &[u8]) -> Result<Vec<u8>, DocumentError> {
    match name.split(['-', '.']).next().unwrap() {
        "status" => StatusDocument::parse(bytes, ID)?.encode(),
        "metadata" => MetadataDocument::parse(bytes, ID)?.encode(),
        "cluster" => ClusterDocument::parse(bytes)?.encode(),
        "probe" => ProbeDocument::parse(bytes)?.encode(),
        "seal" => SealDocument::parse(bytes, PartitionId(1))?.encode(),
        other => unreachable!("a golden file of no document: {other}"),
    }
}

fn rewrite_value(name: &str, value: &Value) -> Result<Vec<u8>, DocumentError> {
    rewrite(name, &serde_json::to_vec(value).unwrap())
}

#[test]
fn golden_files_are_written_as_they_were_read() {
    let files = golden();
    assert_eq!(files.len(), 17);
    for (name, bytes) in files {
        let written = rewrite(&name, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(String::from_utf8(written).unwrap(), String::from_utf8(bytes).unwrap(), "{name}");
    }
}

#[test]
fn every_status_code_has_a_golden_file() {
    let codes: Vec<StatusCode> = golden()
        .iter()
        .filter(|(name, _)| name.starts_with("status"))
        .map(|(_, bytes)| StatusDocument::parse(bytes, ID).unwrap().status_code)
        .collect();
    for code in
        [StatusCode::InProgress, StatusCode::Completed, StatusCode::Failed, StatusCode::Deleting, StatusCode::Deleted]
    {
        assert!(codes.contains(&code), "{code}");
    }
}

#[test]
fn missing_optional_fields_are_read_as_their_default() {
    let mut status = golden_value("status-failed.json");
    let fields = status.as_object_mut().unwrap();
    for optional in [
        "owner",
        "completedAt",
        "descriptor",
        "planned",
        "done",
        "complete",
        "failureReason",
        "metadataSha256",
        "holds",
        "verified",
    ] {
        fields.remove(optional).unwrap();
    }
    let read = StatusDocument::parse(&serde_json::to_vec(&status).unwrap(), ID).unwrap();
    assert!(read.complete && read.holds.is_empty() && read.descriptor.is_none() && read.verified.is_none());

    let mut copied = golden_value("status-completed-copied.json");
    let of = StatusDocument::parse(&serde_json::to_vec(&copied).unwrap(), ID).unwrap().first_completed_at();
    assert_eq!(of, Some("2026-11-21T10:00:31.5Z".parse().unwrap()), "when the original was committed");
    copied["copiedFrom"].as_object_mut().unwrap().remove("completedAt").unwrap();
    let read = StatusDocument::parse(&serde_json::to_vec(&copied).unwrap(), ID).unwrap();
    assert_eq!(read.first_completed_at(), read.completed_at);
    copied["copiedFrom"]["metadataSha256"] = json!("no hash");
    StatusDocument::parse(&serde_json::to_vec(&copied).unwrap(), ID).unwrap_err();

    let mut metadata = golden_value("metadata-empty.json");
    metadata["descriptor"] = json!({});
    metadata.as_object_mut().unwrap().retain(|field, _| field != "requires" && field != "skippedFiles");
    let read = MetadataDocument::parse(&serde_json::to_vec(&metadata).unwrap(), ID).unwrap();
    assert!(read.is_complete() && read.descriptor.kind == Kind::Manual && read.descriptor.properties.is_empty());

    let mut cluster = golden_value("cluster.json");
    cluster.as_object_mut().unwrap().remove("firstPartition").unwrap();
    let read = ClusterDocument::parse(&serde_json::to_vec(&cluster).unwrap()).unwrap();
    assert_eq!(read.first_partition, PartitionId(1));
}

/// Puts an unknown field into every object of a document but the properties, where every field is known.
fn strew(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (_, field) in fields.iter_mut().filter(|(name, _)| *name != "properties") {
                strew(field);
            }
            fields.insert(
                "fromTheFuture".to_owned(),
                json!({ "a": [1, -1.5e3, null, { "b": "c" }], "formatVersion": 9 }),
            );
        }
        Value::Array(items) => items.iter_mut().for_each(strew),
        _ => {}
    }
}

#[test]
fn unknown_fields_are_tolerated_anywhere() {
    for (name, bytes) in golden() {
        let mut value: Value = serde_json::from_slice(&bytes).unwrap();
        strew(&mut value);
        assert_eq!(rewrite_value(&name, &value).unwrap(), bytes, "{name}");
    }
}

#[test]
fn what_a_newer_version_needs_is_refused_by_name() {
    for (name, bytes) in golden() {
        let mut value: Value = serde_json::from_slice(&bytes).unwrap();
        value["requires"] = json!(["encryption", "bundles"]);
        let error = rewrite_value(&name, &value).unwrap_err();
        assert_eq!(error, DocumentError::UnknownRequirement("encryption".to_owned()), "{name}");
        assert!(error.is_newer() && error.to_string().contains("`encryption`"));
        value["requires"] = json!([]);
        assert_eq!(rewrite_value(&name, &value).unwrap(), bytes, "{name}");
        // Words that are no words cannot be refused by name.
        for shape in [json!("encryption"), json!([1]), json!([["a"]]), json!({})] {
            value["requires"] = shape;
            assert!(matches!(rewrite_value(&name, &value), Err(DocumentError::Syntax(_))), "{name} {value}");
        }
    }
}

#[test]
fn a_newer_version_is_refused_whatever_its_shape() {
    let newer = DocumentError::NewerVersion { found: 2 };
    assert!(newer.is_newer() && newer.to_string().contains("format version 2"));
    for (name, bytes) in golden() {
        let mut value: Value = serde_json::from_slice(&bytes).unwrap();
        value["formatVersion"] = json!(2);
        for field in ["id", "descriptor", "requires", "clusterId", "holds"] {
            value[field] = json!({ "of": ["another", "shape"] });
            assert_eq!(rewrite_value(&name, &value), Err(newer.clone()), "{name} {field}");
        }
        value["requires"] = json!(["encryption"]);
        assert_eq!(rewrite_value(&name, &value), Err(newer.clone()), "{name}");
        assert_eq!(rewrite_value(&name, &json!({ "formatVersion": 2 })), Err(newer.clone()));
        let huge = json!({ "formatVersion": u64::MAX });
        assert_eq!(rewrite_value(&name, &huge), Err(DocumentError::NewerVersion { found: u64::MAX }));
        value["formatVersion"] = json!(0);
        assert!(matches!(rewrite_value(&name, &value), Err(DocumentError::Invalid(_) | DocumentError::Syntax(_))));
        for shape in [json!(null), json!("1"), json!(1.5), json!(-1), json!([1])] {
            value["formatVersion"] = shape;
            assert!(matches!(rewrite_value(&name, &value), Err(DocumentError::Syntax(_))), "{name} {value}");
        }
    }
}

#[test]
fn encode_refuses_what_parse_would() {
    let mut status = StatusDocument::parse(&golden_file("status-completed.json"), ID).unwrap();
    status.format_version = 2;
    assert!(status.encode().is_err());
    status.format_version = FORMAT_VERSION;
    status.revision = 1 << 53;
    assert!(status.encode().is_err());

    let metadata = MetadataDocument::parse(&golden_file("metadata-blake3.json"), ID).unwrap();
    for change in [
        (|document| document.format_version = 2) as fn(&mut MetadataDocument),
        |document| document.requires.push("encryption".to_owned()),
        |document| document.total_bytes += 1,
        |document| document.snapshot_files.push(document.snapshot_files[0].clone()),
        |document| document.skipped_files[0].name = "x".repeat(2000),
    ] {
        let mut changed = metadata.clone();
        changed.skipped_files = vec![milepost_core::SkippedFile { name: "segments/9".into(), reason: String::new() }];
        assert!(changed.encode().is_ok());
        change(&mut changed);
        assert!(changed.encode().is_err());
    }

    let mut cluster = ClusterDocument::parse(&golden_file("cluster.json")).unwrap();
    cluster.format_version = 3;
    assert!(cluster.encode().is_err());
    let mut seal = SealDocument::parse(&golden_file("seal.json"), PartitionId(1)).unwrap();
    seal.format_version = 0;
    assert!(seal.encode().is_err());
    seal.format_version = FORMAT_VERSION;
    seal.revision = 0;
    assert!(seal.encode().is_err());
    let probe = ProbeDocument::parse(&golden_file("probe.json")).unwrap();
    for change in [
        (|document| document.format_version = 2) as fn(&mut ProbeDocument),
        |document| document.location = "x".repeat(4097),
        |document| document.milepost_version = "\u{1}".repeat(11),
        |document| document.checks[0].name = "x".repeat(65),
        |document| document.checks[0].failure = Some("x".repeat(1025)),
        |document| document.checks = vec![document.checks[0].clone(); 33],
    ] {
        let mut changed = probe.clone();
        change(&mut changed);
        assert!(changed.encode().is_err());
        assert!(ProbeDocument::parse(&serde_json::to_vec(&changed).unwrap()).is_err());
    }
}

/// The constructor cuts what `encode` would refuse, and a cut location is still known again.
#[test]
fn a_result_of_a_probe_vouches_for_one_store_and_for_the_checks_that_held() {
    let long = "é\u{1}\"".repeat(5000);
    let check = |name: &str, failure: Option<&str>| ProbedCheck {
        name: name.to_owned(),
        required: true,
        failure: failure.map(str::to_owned),
    };
    let checks =
        vec![check("a", None), check("b", Some(&long)), check(&long, None), check("c", None), check("c", Some("no"))];
    let made = ProbeDocument::new(&long, &long, "2026-11-21T10:00:00Z".parse().unwrap(), checks);
    let read = ProbeDocument::parse(&made.encode().unwrap()).unwrap();
    assert_eq!(read, made);
    assert!(read.is_of(&long) && !read.is_of("elsewhere"));
    assert!(read.held(&["a"]) && read.held(&[]));
    for names in [&["b"][..], &["a", "b"], &["unknown to the version that probed"], &["c"]] {
        assert!(!read.held(names), "{names:?}");
    }
}

#[test]
fn caps_are_checked_before_anything_is_parsed() {
    let blank = |bytes: u64| vec![b' '; usize::try_from(bytes).unwrap()];
    for name in ["status-completed.json", "cluster.json", "seal.json", "probe.json"] {
        let limit = MAX_SMALL_DOCUMENT_BYTES;
        let error = rewrite(name, &blank(limit + 1)).unwrap_err();
        assert_eq!(error, DocumentError::TooLarge { size: limit + 1, limit });
        // White space up to the cap is no reason to refuse.
        let mut bytes = golden_file(name);
        bytes.resize(usize::try_from(limit).unwrap(), b'\n');
        assert!(rewrite(name, &bytes).is_ok());
    }
    let error = rewrite("metadata.json", &blank(MAX_METADATA_BYTES + 1)).unwrap_err();
    assert_eq!(error, DocumentError::TooLarge { size: MAX_METADATA_BYTES + 1, limit: MAX_METADATA_BYTES });
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for name in ["status", "metadata", "cluster", "seal"] {
            prop_assert!(rewrite(name, &bytes).is_err());
        }
    }

    #[test]
    fn mutated_golden_files_never_panic(
        file in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0usize..40, 0u8..5), 1..4),
    ) {
        let files = golden();
        let (name, golden) = file.get(&files);
        let mut bytes = golden.clone();
        for (at, byte, run, how) in changes {
            let at = at.index(bytes.len().max(1)).min(bytes.len());
            let end = (at + run).min(bytes.len());
            match how {
                0 => bytes[at..end].fill(byte),
                1 => drop(bytes.drain(at..end)),
                2 => bytes.insert(at, byte),
                3 => bytes.truncate(at),
                _ => {
                    let again = bytes[at..end].to_vec();
                    bytes.splice(at..at, again);
                }
            }
        }
        // What still reads can be written, and what was written reads as the same.
        if let Ok(written) = rewrite(name, &bytes) {
            prop_assert_eq!(rewrite(name, &written), Ok(written));
        }
    }
}
