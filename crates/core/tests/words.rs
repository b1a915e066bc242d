//! What people and logs see: the words of the types, and the ways in and out of text.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of the test functions")]

use milepost_core::document::MAX_FILES;
use milepost_core::{
    AttemptId, BackupId, CheckpointId, ClusterId, Crc64Nvme, Crc64NvmeHasher, Descriptor, Digest, DigestAlgorithm,
    DigestHasher, FileName, FileSetKind, HoldId, Layout, MetadataDocument, NodeId, ObjectKey, Owner, PartitionId,
    SkippedFile, StatusCode, Timestamp, VerifyLevel,
};

#[test]
fn words_are_those_of_the_json() {
    use StatusCode::{Completed, Deleted, Deleting, Failed, InProgress};
    for code in [InProgress, Completed, Failed, Deleting, Deleted] {
        assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{code}\""));
    }
    use VerifyLevel::{Checksums, Content, Documents, Objects};
    for level in [Documents, Objects, Checksums, Content] {
        assert_eq!(serde_json::to_string(&level).unwrap(), format!("\"{level}\""));
    }
    assert!(Documents < Objects && Objects < Checksums && Checksums < Content);
    for algorithm in [DigestAlgorithm::Blake3, DigestAlgorithm::Sha256] {
        assert_eq!(serde_json::to_string(&algorithm).unwrap(), format!("\"{}\"", algorithm.name()));
        let mut hasher = DigestHasher::new(algorithm);
        hasher.update(b"abc");
        let digest = hasher.finish();
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
        assert_eq!(format!("{digest:?}"), digest.to_string());
    }
    for kind in FileSetKind::ALL {
        assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
    }
    // Columns of a table are padded.
    assert_eq!(format!("{Failed:>8}|{Objects:<9}|"), "  FAILED|objects  |");
    let owner = Owner { host: "h".into(), pid: 7, started_at: Timestamp::UNIX_EPOCH };
    assert_eq!(owner.to_string(), "process 7 on h since 1970-01-01T00:00:00Z");
}

#[test]
fn ids_in_logs_say_what_they_are() {
    let id = BackupId::new(1, 100, 2);
    assert_eq!(format!("{id:?}"), "backup 1/100/2");
    assert_eq!(
        format!("{:?} {:?} {:?}", PartitionId(1), CheckpointId(100), NodeId(2)),
        "partition 1 checkpoint 100 node 2"
    );
    assert_eq!(format!("{:>4}|{:<4}|", NodeId(2), PartitionId(1)), "   2|1   |");
    let attempt: AttemptId = "a-1".parse().unwrap();
    let cluster: ClusterId = "c.1".parse().unwrap();
    let hold: HoldId = "h_1".parse().unwrap();
    assert_eq!(format!("{attempt:?}, {cluster:?}, {hold:?}"), "attempt id a-1, cluster id c.1, hold id h_1");
    assert_eq!(format!("{attempt} {cluster} {hold}"), "a-1 c.1 h_1");
    // The order of a listing: checkpoint, partition, node.
    let mut ids = [BackupId::new(1, 100, 0), BackupId::new(2, 9, 0), BackupId::new(1, 9, 1), BackupId::new(1, 9, 0)];
    ids.sort();
    assert_eq!(ids.map(|id| id.to_string()), ["1/9/0", "1/9/1", "2/9/0", "1/100/0"]);
}

#[test]
fn checksums_in_logs_are_those_of_the_documents() {
    let mut hasher = Crc64NvmeHasher::default();
    hasher.update(b"123456789");
    assert_eq!(format!("{:?}", hasher.finish()), "crc64nvme rosUhgp5mIg=");
    assert_eq!(format!("{hasher:?}"), "Crc64NvmeHasher");
    // Runs whose length has high bits: combining is associative, carries between the bits of the lengths included.
    let (a, b, c) = (Crc64Nvme::of(b"a"), Crc64Nvme::of(b"b"), Crc64Nvme::of(b"c"));
    let (huge, more) = (3 << 40, 1 << 40);
    assert_eq!(a.combine(b, huge).combine(c, more), a.combine(b.combine(c, more), huge + more));
    assert_eq!(Crc64Nvme::EMPTY.combine(a, 1), a);
    assert_eq!(a.combine(Crc64Nvme::EMPTY, 0), a);
}

#[test]
fn reserved_keys_and_keys_from_listings() {
    let layout = Layout::new("base").unwrap();
    assert_eq!(layout.cluster().to_string(), "base/cluster.json");
    assert_eq!(layout.seal(PartitionId(7)).as_str(), "base/_milepost/seals/7.json");
    let name: FileName = "a/b".parse().unwrap();
    let probe = layout.probe(&name);
    assert!(probe.as_str().starts_with(&layout.probe_prefix()));
    for key in [layout.cluster(), layout.seal(PartitionId(7)), probe] {
        assert_eq!(layout.parse(key.as_str()), None);
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<ObjectKey>(&json).unwrap(), key);
        assert_eq!(format!("{key:?}"), json);
        assert_eq!(key.components().next(), Some("base"));
    }
    let long = "x".repeat(1025);
    for key in ["", "/a", "a/", "a//b", "a/../b", "./a", "a\\b", "a\nb", long.as_str()] {
        assert!(ObjectKey::new(key).is_err(), "{key:?}");
    }
    assert!(Layout::new(&"x".repeat(201)).is_err());
    assert_eq!(format!("{name:?} {name}"), "\"a/b\" a/b");
    assert_eq!(name.components().next_back(), Some("b"));
    // A map by name can be asked with a text.
    assert!(std::collections::BTreeSet::from([name]).contains("a/b"));
}

#[test]
fn more_files_left_out_than_a_backup_may_have_are_refused() {
    let skipped = SkippedFile { name: "segments/1".into(), reason: String::new() };
    let cluster = ClusterId::new("c").unwrap();
    let id = BackupId::new(1, 100, 2);
    let skipped = vec![skipped; MAX_FILES + 1];
    let document = MetadataDocument::new(cluster, id, Descriptor::default(), Vec::new(), Vec::new(), skipped);
    assert!(document.encode().unwrap_err().to_string().contains("leaves more than 300000 files out"));
    assert!(!document.is_complete());
}
