//! Documents that somebody edited, cut or made up: each is refused, with a short reason, and none costs much memory.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests, outside of the test functions")]

use std::fmt::Write as _;

use milepost_core::document::MAX_FILES;
use milepost_core::{
    BackupId, ClusterDocument, ClusterId, Crc64Nvme, Descriptor, DocumentError, FileName, FileRecord, MetadataDocument,
    PartitionId, ProbeDocument, SealDocument, StatusDocument,
};

const ID: BackupId = BackupId::new(1, 100, 2);

const STATUS: &str = include_str!("golden/v1/status-completed.json");
const METADATA: &str = include_str!("golden/v1/metadata-blake3.json");
const LEFT_OUT: &str = include_str!("golden/v1/metadata-files-left-out.json");
const CLUSTER: &str = include_str!("golden/v1/cluster.json");
const SEAL: &str = include_str!("golden/v1/seal.json");
const PROBE: &str = include_str!("golden/v1/probe.json");

type Parse = fn(&[u8]) -> Result<(), DocumentError>;

fn status(bytes: &[u8]) -> Result<(), DocumentError> {
    StatusDocument::parse(bytes, ID).map(drop)
}
fn metadata(bytes: &[u8]) -> Result<(), DocumentError> {
    MetadataDocument::parse(bytes, ID).map(drop)
}
fn cluster(bytes: &[u8]) -> Result<(), DocumentError> {
    ClusterDocument::parse(bytes).map(drop)
}
fn seal(bytes: &[u8]) -> Result<(), DocumentError> {
    SealDocument::parse(bytes, PartitionId(1)).map(drop)
}
fn probe(bytes: &[u8]) -> Result<(), DocumentError> {
    ProbeDocument::parse(bytes).map(drop)
}
const KINDS: [(Parse, &str); 5] =
    [(status, STATUS), (metadata, METADATA), (cluster, CLUSTER), (seal, SEAL), (probe, PROBE)];

/// Why the document is refused once `from`, which must be there, is `to`.
#[track_caller]
fn refused(parse: Parse, document: &str, from: &str, to: &str) -> String {
    assert!(document.contains(from), "{from}");
    let error = parse(document.replacen(from, to, 1).as_bytes()).expect_err(to);
    assert!(!error.is_newer(), "{error}");
    let text = error.to_string();
    assert!(text.len() < 600 && !text.chars().any(char::is_control), "{text}");
    text
}

#[test]
fn duplicate_keys() {
    for (parse, document) in KINDS {
        let twice = refused(parse, document, "\"formatVersion\": 1,", "\"formatVersion\": 1, \"formatVersion\": 1,");
        assert!(twice.contains("duplicate key `formatVersion`"), "{twice}");
        for unknown in [r#""x": 1, "x": 1,"#, r#""x": {"y": [{"z": 1, "z": 2}]},"#, r#""x": 1, "\u0078": 1,"#] {
            assert!(refused(parse, document, "{", &format!("{{{unknown}")).contains("duplicate key"));
        }
    }
    let nested = [
        ("\"partition\": 1,", "\"partition\": 1, \"partition\": 1,"),
        ("\"region\":", "\"region\": \"\", \"region\":"),
    ];
    for (from, to) in nested {
        assert!(refused(status, STATUS, from, to).contains("duplicate key"));
        assert!(refused(metadata, METADATA, from, to).contains("duplicate key"));
    }
    assert!(refused(metadata, METADATA, "\"size\": 0,", "\"size\": 0, \"size\": 0,").contains("duplicate key `size`"));
}

#[test]
fn what_is_no_document() {
    for (parse, document) in KINDS {
        for (bytes, what) in [
            (b"".to_vec(), "empty"),
            (b" \n".to_vec(), "blank"),
            (vec![0; 100], "zeroes"),
            (vec![0xff; 100], "binary"),
            (b"null".to_vec(), "null"),
            (b"[]".to_vec(), "a list"),
            (b"{}".to_vec(), "nothing in it"),
            (b"1".to_vec(), "a number"),
            ([b"\xef\xbb\xbf", document.as_bytes()].concat(), "a byte order mark"),
            ([document.as_bytes(), b"{}"].concat(), "trailing garbage"),
            ([document.as_bytes(), b"\0"].concat(), "a trailing zero"),
            (document.replace("default", "def\u{0}ault").replace("\"id\"", "\"i\u{1}d\"").into_bytes(), "raw controls"),
            ([&document.as_bytes()[..40], b"\xc3\x28", &document.as_bytes()[40..]].concat(), "no UTF-8"),
            (document.replacen('{', "{\"x\": 1e999,", 1).into_bytes(), "an endless number"),
            (document.replacen('{', "{\"x\": NaN,", 1).into_bytes(), "no number"),
            (document.replacen('{', "{\"x\": \"\\ud800\",", 1).into_bytes(), "half a character"),
            (document.replacen('{', "{/**/", 1).into_bytes(), "a comment"),
            (document.replacen("\n}\n", ",\n}\n", 1).into_bytes(), "a trailing comma"),
        ] {
            if bytes == document.as_bytes() {
                continue;
            }
            assert!(matches!(parse(&bytes), Err(DocumentError::Syntax(_))), "{what}: {:?}", parse(&bytes));
        }
        for end in 0..document.len() - 2 {
            assert!(parse(&document.as_bytes()[..end]).is_err(), "cut at {end}");
        }
    }
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    for (parse, document) in KINDS {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            for depth in [1000, 9000] {
                let deep = format!("{{\"x\": {}1{},", open.repeat(depth), close.repeat(depth));
                assert!(refused(parse, document, "{", &deep).contains("recursion limit"));
                assert!(parse(open.repeat(depth).as_bytes()).is_err());
            }
        }
    }
    let million = "[".repeat(1_000_000);
    assert!(metadata(million.as_bytes()).is_err());
}

#[test]
fn a_body_that_is_not_what_its_key_says() {
    for (parse, document) in [(status as Parse, STATUS), (metadata, METADATA)] {
        for (from, to) in [
            ("\"partition\": 1", "\"partition\": 2"),
            ("\"checkpoint\": \"100\"", "\"checkpoint\": \"10\""),
            ("\"node\": 2", "\"node\": 3"),
        ] {
            assert!(refused(parse, document, from, to).contains("says that it is backup"));
        }
    }
    assert!(refused(seal, SEAL, "\"partition\": 1", "\"partition\": 2").contains("seal of partition 2"));
}

#[test]
fn numbers_and_spellings() {
    for (parse, document) in [(status as Parse, STATUS), (metadata, METADATA)] {
        for to in ["-1", "4294967296", "1.0", "1e0", "\"1\"", "null", "99999999999999999999999", "[1]"] {
            refused(parse, document, "\"partition\": 1", &format!("\"partition\": {to}"));
        }
        for to in ["100", "\"0100\"", "\"+100\"", "\" 100\"", "\"-1\"", "\"18446744073709551616\"", "null"] {
            refused(parse, document, "\"checkpoint\": \"100\"", &format!("\"checkpoint\": {to}"));
        }
        for to in ["4711", "\"04711\"", "\"4711 \"", "\"\"", "\"-4711\"", "\"18446744073709551616\""] {
            refused(parse, document, "\"4711\"", to);
        }
        refused(parse, document, "\"last\": \"4800\"", "\"last\": \"0\"");
        refused(parse, document, "\"numberOfPartitions\": 3", "\"numberOfPartitions\": 0");
        refused(parse, document, "\"SCHEDULED\"", "\"Scheduled\"");
        refused(parse, document, "\"0b9f", "\"0/b9f");
    }
    for (from, to) in [
        ("\"revision\": 9", "\"revision\": 0"),
        ("\"revision\": 9", "\"revision\": 9007199254740992"),
        ("\"bytes\": 1073741824", "\"bytes\": 9007199254740992"),
        ("\"files\": 12", "\"files\": -12"),
        ("\"9f86d081884c", "\"9F86d081884c"),
        ("\"9f86d081884c", "\"9f86"),
        ("\"COMPLETED\"", "\"completed\""),
        ("\"COMPLETED\"", "\"DOES_NOT_EXIST\""),
        ("\"content\"", "\"deep\""),
        ("\"2026-11-21T10:00:00Z\"", "\"yesterday\""),
        ("\"2026-11-21T10:00:00Z\"", "1795255200"),
        ("\"holds\": [", "\"holds\": [1, "),
        ("\"id\": \"audit-2026\"", "\"id\": \"\""),
        ("\"id\": \"b\"", "\"id\": \"audit-2026\""),
    ] {
        refused(status, STATUS, from, to);
    }
    let long = format!("\"{}\u{1b}", "X".repeat(40_000)).replace('\u{1b}', "\\u001b\\n\"");
    refused(status, STATUS, "\"COMPLETED\"", &long);
    refused(metadata, METADATA, "\"SCHEDULED\"", &long);
    let hash = "  \"metadataSha256\": \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"";
    assert!(refused(status, STATUS, hash, "  \"metadataSha256\": null").contains("names no metadataSha256"));
    let bare = include_str!("golden/v1/status-deleted.json").replace("DELETED", "COMPLETED");
    let bare = bare.replace("\"metadataSha256\": null", hash.trim());
    assert!(status(bare.as_bytes()).unwrap_err().to_string().contains("no descriptor"));
    for (from, to) in [
        ("\"firstPartition\": 1", "\"firstPartition\": 2"),
        ("\"firstPartition\": 1", "\"firstPartition\": -1"),
        ("\"default\"", "\"\""),
        ("\"default\"", "\"a\\nb\""),
    ] {
        refused(cluster, CLUSTER, from, to);
    }
    refused(seal, SEAL, "\"revision\": \"3\"", "\"revision\": 3");
    refused(seal, SEAL, "\"revision\": \"3\"", "\"revision\": \"0\"");
    refused(seal, SEAL, "\"18446744073709551615\"", "18446744073709551615");
}

#[test]
fn files_that_cannot_be() {
    for (from, to) in [
        ("\"000001.sst\"", "\"../000001.sst\""),
        ("\"000001.sst\"", "\"/etc/passwd\""),
        ("\"000001.sst\"", "\"a\\\\b\""),
        ("\"000001.sst\"", "\"a\\u0000\""),
        ("\"000001.sst\"", "\"\""),
        ("\"000001.sst\"", "\"current\""),
        ("\"000001.sst\"", "\"CURRENT\""),
        ("\"000001.sst\"", "\"sub\""),
        ("\"000001.sst\"", "\"CURRENT/x\""),
        ("\"000001.sst\"", "\"SUB/e\\u0301 1.sst\""),
        ("\"size\": 7", "\"size\": 8"),
        ("\"size\": 7", "\"size\": -7"),
        ("\"size\": 7", "\"size\": 7.0"),
        ("\"size\": 7", "\"size\": 18446744073709551615"),
        ("\"size\": 53687091200000", "\"size\": 53687091200001"),
        ("\"totalFiles\": 4", "\"totalFiles\": 5"),
        ("\"totalBytes\": 53687092248583", "\"totalBytes\": 53687092248584"),
        ("\"jYEL4RPB2n8=\"", "\"jYEL4RPB2n8\""),
        ("\"jYEL4RPB2n8=\"", "\"jYEL4RPB2n9=\""),
        ("\"jYEL4RPB2n8=\"", "null"),
        ("\"blake3:af13", "\"blake3:AF13"),
        ("\"blake3:af13", "\"md5:af13"),
        ("\"blake3:af13", "\"blake3:af"),
        ("\"snapshotFiles\": [", "\"snapshotFiles\": [null, "),
        ("\"segmentFiles\": [", "\"SegmentFiles\": ["),
    ] {
        refused(metadata, METADATA, from, to);
    }
    for (from, to) in [
        ("\"segments/2.log\"".to_owned(), "\"\"".to_owned()),
        ("\"segments/2.log\"".to_owned(), format!("\"{}\"", "x".repeat(1025))),
        ("\"unreadable sector\"".to_owned(), format!("\"{}\"", "x".repeat(1025))),
        ("\"unreadable sector\"".to_owned(), format!("\"{}\"", "\\n".repeat(513))),
    ] {
        refused(metadata, LEFT_OUT, &from, &to);
    }
}

/// A metadata document with this many files in the first set.
fn many_files(count: usize) -> String {
    let mut files = String::new();
    for n in 0..count {
        let comma = if n == 0 { "" } else { "," };
        write!(files, r#"{comma}{{"name":"{n}","size":0,"crc64nvme":"AAAAAAAAAAA="}}"#).unwrap();
    }
    include_str!("golden/v1/metadata-empty.json")
        .replace("\"snapshotFiles\": []", &format!("\"snapshotFiles\": [{files}]"))
        .replace("\"totalFiles\": 0", &format!("\"totalFiles\": {count}"))
}

#[test]
fn the_most_files_and_one_more() {
    assert_eq!(metadata(many_files(MAX_FILES).as_bytes()), Ok(()));
    let error = metadata(many_files(MAX_FILES + 1).as_bytes()).unwrap_err().to_string();
    assert!(error.contains("more than 300000"), "{error}");
    // One more over both sets together is as many.
    let record = |n: usize| FileRecord {
        name: FileName::new(n.to_string()).unwrap(),
        size: 0,
        crc64nvme: Crc64Nvme::EMPTY,
        digest: None,
    };
    let cluster = ClusterId::new("c").unwrap();
    let (most, one) = ((0..MAX_FILES).map(record).collect(), vec![record(0)]);
    let both = MetadataDocument::new(cluster, ID, Descriptor::default(), most, one, Vec::new());
    let error = both.encode().unwrap_err().to_string();
    assert!(error.contains("300001 files, more than 300000"), "{error}");
}

/// What hostile bytes make the reader hold is bounded by limits that are checked while reading. (The full 64 MiB are
/// refused the same way, with less than 70 MiB besides the bytes themselves; these take a test without optimisation 2 s.)
#[test]
fn documents_of_millions_of_items_are_refused_while_reading() {
    let limit = 8 * 1024 * 1024;
    let fill = |head: &str, item: &str, tail: &str| {
        let count = (limit - head.len() - tail.len()) / item.len() - 1;
        format!("{head}{}{tail}", item.repeat(count))
    };
    // Many words, millions of entries left out: each would be a string of its own.
    let words = fill("{\"formatVersion\":1,\"requires\":[\"\"", ",\"\"", "]}");
    assert!(matches!(metadata(words.as_bytes()), Err(DocumentError::UnknownRequirement(_))));
    let left_out = fill(
        &METADATA.trim_end().replace("\"skippedFiles\": []\n}", "\"skippedFiles\": [{\"name\":\"a\",\"reason\":\"\"}"),
        ",{\"name\":\"a\",\"reason\":\"\"}",
        "]}",
    );
    let error = metadata(left_out.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("more than 300000"), "{error}");
    // Millions of keys, which the search for duplicates must remember.
    let mut keys = String::from("{\"formatVersion\":1,\"x\":{\"\":0");
    for n in 0..600_000 {
        write!(keys, ",\"{n:x}\":0").unwrap();
    }
    keys.push_str("}}");
    let error = metadata(keys.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("too many keys"), "{error}");
}

#[test]
fn names_of_many_folders_are_compared_in_a_moment() {
    // 64 MiB hold 90,000 names of 340 folders: looking each folder up by its whole path would hash 11 GB.
    let folders = "a/".repeat(340);
    let mut files = String::new();
    for n in 0..5_000 {
        let comma = if n == 0 { "" } else { "," };
        write!(files, r#"{comma}{{"name":"{n:05}/{folders}b","size":0,"crc64nvme":"AAAAAAAAAAA="}}"#).unwrap();
    }
    let document = include_str!("golden/v1/metadata-empty.json")
        .replace("\"snapshotFiles\": []", &format!("\"snapshotFiles\": [{files}]"))
        .replace("\"totalFiles\": 0", "\"totalFiles\": 5000");
    assert_eq!(metadata(document.as_bytes()), Ok(()));
}
