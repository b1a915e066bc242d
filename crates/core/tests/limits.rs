//! "A status never outgrows its cap", whatever its texts hold; and every valid document reads back as it was written.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, outside of the test functions"
)]

use milepost_core::document::{
    FORMAT_VERSION, MAX_FAILURE_REASON_BYTES, MAX_HOLD_BYTES, MAX_HOLDS, MAX_HOST_BYTES, MAX_LOCATION_BYTES,
    MAX_PROPERTIES_BYTES, MAX_SMALL_DOCUMENT_BYTES, MAX_TEXT_BYTES, cut, json_len,
};
use milepost_core::lifecycle::{Annotation, Failed, InProgress, TransitionError};
use milepost_core::{
    AttemptId, BackupId, CheckpointId, ClusterDocument, ClusterId, CopiedFrom, Counts, Crc64Nvme, Descriptor, Digest,
    DigestAlgorithm, FileName, FileRecord, Hold, HoldId, Kind, LogRange, MetadataDocument, Owner, PartitionId,
    SealDocument, SkippedFile, StatusCode, StatusDocument, Timestamp, Verification, VerifyLevel,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

const ID: BackupId = BackupId::new(u32::MAX, u64::MAX, u32::MAX);
const LATE: Timestamp = Timestamp::MAX;

fn token(c: char) -> String {
    c.to_string().repeat(128)
}

/// As much of `c` as fits `limit` bytes of JSON.
fn full(c: char, limit: usize) -> String {
    let text = c.to_string();
    text.repeat(limit / json_len(&text))
}

/// A status in which everything is as large as it may be, with texts of `c`.
fn largest(c: char) -> StatusDocument {
    let text = || Some(full(c, MAX_TEXT_BYTES));
    let huge = Counts { files: (1 << 53) - 1, bytes: (1 << 53) - 1 };
    let descriptor = Descriptor {
        checkpoint_position: Some(u64::MAX),
        number_of_partitions: Some(u32::MAX),
        broker_version: text(),
        snapshot_id: text(),
        term: Some(u64::MAX),
        log_range: Some(LogRange { first: u64::MAX, last: u64::MAX }),
        kind: Kind::Scheduled,
        fingerprint: text(),
        name: text(),
        lineage_id: text(),
        properties: std::iter::once((c.to_string(), full(c, MAX_PROPERTIES_BYTES - 100))).collect(),
    };
    let hold = |n: usize| Hold {
        id: HoldId::new(format!("{n:0>128}")).unwrap(),
        reason: full(c, MAX_HOLD_BYTES / 2),
        owner: full(c, MAX_HOLD_BYTES / 2),
        created_at: LATE,
    };
    StatusDocument {
        format_version: FORMAT_VERSION,
        cluster_id: ClusterId::new(token('c')).unwrap(),
        id: ID,
        status_code: StatusCode::InProgress,
        attempt_id: AttemptId::new(token('a')).unwrap(),
        revision: (1 << 53) - 5,
        owner: Some(Owner { host: full(c, MAX_HOST_BYTES), pid: u32::MAX, started_at: LATE }),
        created_at: LATE,
        last_modified: LATE,
        completed_at: Some(LATE),
        descriptor: Some(descriptor),
        planned: Some(huge),
        done: Some(huge),
        complete: false,
        failure_reason: Some(full(c, MAX_FAILURE_REASON_BYTES)),
        metadata_sha256: Some("f".repeat(64)),
        holds: (0..MAX_HOLDS).map(hold).collect(),
        verified: Some(Verification { level: VerifyLevel::Checksums, at: LATE, ok: false }),
        copied_from: Some(CopiedFrom {
            location: full(c, MAX_LOCATION_BYTES),
            attempt_id: AttemptId::new(token('b')).unwrap(),
            metadata_sha256: "e".repeat(64),
            completed_at: Some(LATE),
        }),
    }
}

const AWKWARD: [char; 8] = ['x', '"', '\\', '\n', '\u{1}', '\u{7f}', 'é', '🦀'];

#[test]
fn the_largest_status_stays_below_its_cap() {
    for c in AWKWARD {
        let status = largest(c);
        let bytes = status.encode().unwrap_or_else(|error| panic!("{c:?}: {error}"));
        assert!(bytes.len() as u64 <= MAX_SMALL_DOCUMENT_BYTES * 9 / 10, "{c:?}: {} bytes", bytes.len());
        assert_eq!(StatusDocument::parse(&bytes, ID), Ok(status));
    }
}

#[test]
fn each_limit_is_kept_on_its_own() {
    for c in AWKWARD {
        for (what, grow) in [
            ("host", (|status, c| status.owner.as_mut().unwrap().host.push(c)) as fn(&mut StatusDocument, char)),
            ("copiedFrom", |status, c| status.copied_from.as_mut().unwrap().location.push(c)),
            ("failureReason", |status, c| status.failure_reason.as_mut().unwrap().push(c)),
            ("hold", |status, c| status.holds[3].reason.extend([c; 2])),
            ("name", |status, c| status.descriptor.as_mut().unwrap().name.as_mut().unwrap().push(c)),
            ("properties", |status, c| {
                status.descriptor.as_mut().unwrap().properties.insert("k".repeat(99), c.to_string());
            }),
            ("holds", |status, _| {
                let mut one_more = status.holds[0].clone();
                one_more.id = HoldId::new("one-more").unwrap();
                status.holds.push(one_more);
            }),
        ] {
            let mut status = largest(c);
            // Whatever `full` left free.
            for _ in 0..6 {
                grow(&mut status, c);
            }
            let error = status.encode().expect_err(what).to_string();
            assert!(error.contains(what), "{what}: {error}");
        }
    }
}

#[test]
fn many_small_properties_are_counted_as_they_are_written() {
    let mut status = largest('x');
    let properties = &mut status.descriptor.as_mut().unwrap().properties;
    *properties = (0..5000).map(|n| (format!("{n:x}"), String::new())).collect();
    assert!(status.encode().unwrap_err().to_string().contains("properties"));
    status.descriptor.as_mut().unwrap().properties.retain(|key, _| key.len() < 3);
    assert!(status.encode().is_ok());
}

#[test]
fn texts_of_the_life_cycle_are_cut_to_fit() {
    for c in AWKWARD {
        let long = c.to_string().repeat(20_000);
        let attempt = AttemptId::new("a").unwrap();
        let failed = Failed::record(ClusterId::new("c").unwrap(), ID, attempt.clone(), &long, LATE);
        assert!(failed.document().encode().is_ok(), "{c:?}");
        let mut descriptor = largest('x').descriptor.unwrap();
        descriptor.properties.clear();
        let owner = Owner { host: cut(&long, MAX_HOST_BYTES), pid: 1, started_at: LATE };
        let claim = milepost_core::lifecycle::Claim {
            attempt,
            owner,
            descriptor,
            planned: Counts::default(),
            copied_from: None,
        };
        let claimed = InProgress::claim(ClusterId::new("c").unwrap(), ID, claim, LATE);
        assert!(claimed.document().encode().is_ok());
        assert!(claimed.clone().fail(&long, LATE).document().encode().is_ok());
        let done = claimed.commit("f".repeat(64), Counts::default(), true, LATE);
        let hold = |reason: String| {
            let hold = Hold { id: HoldId::new("h").unwrap(), reason, owner: String::new(), created_at: LATE };
            Annotation::Hold(hold)
        };
        assert_eq!(done.clone().annotate(&hold(long.clone()), LATE), Err(TransitionError::HoldTooLong));
        let held = done.clone().annotate(&hold(cut(&long, MAX_HOLD_BYTES)), LATE).unwrap();
        assert!(held.document().encode().is_ok(), "{c:?}");
        assert!(done.fail(&long, LATE).unwrap().document().encode().is_ok());
    }
}

fn text(most: usize) -> impl Strategy<Value = String> {
    // Control characters, quotes and four-byte characters as often as letters.
    vec(prop_oneof![any::<char>(), prop::sample::select(AWKWARD.to_vec()), prop::char::range('\0', '\u{1f}')], 0..most)
        .prop_map(|chars| chars.into_iter().collect())
}

fn word() -> impl Strategy<Value = String> {
    "[A-Za-z0-9._-]{1,128}"
}

fn time() -> impl Strategy<Value = Timestamp> {
    // All that there are, to the nanosecond.
    prop_oneof![
        Just(Timestamp::MIN),
        Just(Timestamp::MAX),
        (Timestamp::MIN.as_second()..=Timestamp::MAX.as_second(), 0i32..1_000_000_000)
            .prop_filter_map("a time", |(second, nano)| Timestamp::new(second, nano).ok()),
    ]
}

fn counts() -> impl Strategy<Value = Counts> {
    (0u64..1 << 53, 0u64..1 << 53).prop_map(|(files, bytes)| Counts { files, bytes })
}

fn id() -> impl Strategy<Value = BackupId> {
    any::<(u32, u64, u32)>().prop_map(|(p, c, n)| BackupId::new(p, c, n))
}

prop_compose! {
    fn descriptor()(
        (checkpoint_position, number_of_partitions, term) in any::<(Option<u64>, Option<u32>, Option<u64>)>(),
        range in any::<Option<(u64, u64)>>(),
        scheduled: bool,
        texts in vec(option::of(text(60)), 5..=5),
        properties in btree_map(text(20), text(40), 0..10),
    ) -> Descriptor {
        let mut texts = texts.into_iter();
        let mut text = || texts.next().flatten();
        Descriptor {
            checkpoint_position,
            number_of_partitions: number_of_partitions.map(|count| count.max(1)),
            broker_version: text(),
            snapshot_id: text(),
            term,
            log_range: range.map(|(a, b)| LogRange { first: a.min(b), last: a.max(b) }),
            kind: if scheduled { Kind::Scheduled } else { Kind::Manual },
            fingerprint: text(),
            name: text(),
            lineage_id: text(),
            properties,
        }
    }
}

prop_compose! {
    fn status()(
        id in id(),
        tokens in (word(), word()),
        code in 0usize..5,
        revision in 1u64..(1 << 53) - 4,
        owner in option::of((text(30), any::<u32>(), time())),
        times in (time(), time(), option::of(time())),
        descriptor in option::of(descriptor()),
        counted in (option::of(counts()), option::of(counts())),
        complete: bool,
        failure_reason in option::of(text(400)),
        hash in option::of("[0-9a-f]{64}"),
        holds in btree_map(word(), (text(50), text(50), time()), 0..MAX_HOLDS),
        verified in option::of((time(), any::<bool>())),
        copied in option::of((text(200), word(), "[0-9a-f]{64}", option::of(time()))),
    ) -> StatusDocument {
        use StatusCode::{Completed, Deleted, Deleting, Failed, InProgress};
        let status_code = [InProgress, Completed, Failed, Deleting, Deleted][code];
        let completed = status_code == Completed;
        StatusDocument {
            format_version: FORMAT_VERSION,
            cluster_id: ClusterId::new(tokens.0).unwrap(),
            id,
            status_code,
            attempt_id: AttemptId::new(tokens.1).unwrap(),
            revision,
            owner: owner.map(|(host, pid, started_at)| Owner { host: cut(&host, MAX_HOST_BYTES), pid, started_at }),
            created_at: times.0,
            last_modified: times.1,
            completed_at: times.2,
            descriptor: descriptor.or_else(|| completed.then(Descriptor::default)),
            planned: counted.0,
            done: counted.1,
            complete,
            failure_reason,
            metadata_sha256: hash.or_else(|| completed.then(|| "0".repeat(64))),
            holds: holds.into_iter()
                .map(|(id, (reason, owner, created_at))| Hold { id: HoldId::new(id).unwrap(), reason, owner, created_at })
                .collect(),
            verified: verified.map(|(at, ok)| Verification { level: VerifyLevel::Objects, at, ok }),
            copied_from: copied.map(|(location, attempt, metadata_sha256, completed_at)| CopiedFrom {
                location: cut(&location, MAX_LOCATION_BYTES),
                attempt_id: AttemptId::new(attempt).unwrap(),
                metadata_sha256,
                completed_at,
            }),
        }
    }
}

fn record() -> impl Strategy<Value = FileRecord> {
    ("[a-z]{1,9}( |é|\\.)?[a-z]{0,3}", 0u64..1 << 40, any::<u64>(), any::<Option<([u8; 32], bool)>>()).prop_map(
        |(name, size, crc, digest)| FileRecord {
            name: FileName::new(name).unwrap(),
            size,
            crc64nvme: Crc64Nvme(crc),
            digest: digest.map(|(value, sha)| {
                let algorithm = if sha { DigestAlgorithm::Sha256 } else { DigestAlgorithm::Blake3 };
                Digest { algorithm, value }
            }),
        },
    )
}

fn records() -> impl Strategy<Value = Vec<FileRecord>> {
    vec(record(), 0..12).prop_map(|mut records| {
        records.sort_by(|a, b| a.name.cmp(&b.name));
        records.dedup_by(|a, b| a.name == b.name);
        records
    })
}

proptest! {
    #[test]
    fn every_valid_status_reads_back(status in status()) {
        let bytes = status.encode().unwrap();
        prop_assert_eq!(StatusDocument::parse(&bytes, status.id), Ok(status));
    }

    #[test]
    fn every_valid_metadata_reads_back(
        id in id(), cluster in word(), descriptor in descriptor(), snapshots in records(), segments in records(),
        skipped in vec((word(), text(100)), 0..4),
    ) {
        let skipped = skipped.into_iter().map(|(name, reason)| SkippedFile { name, reason }).collect();
        let cluster = ClusterId::new(cluster).unwrap();
        let document = MetadataDocument::new(cluster, id, descriptor, snapshots, segments, skipped);
        let bytes = document.encode().unwrap();
        prop_assert_eq!(bytes.last(), Some(&b'\n'));
        prop_assert_eq!(document.all_files().count() as u64, document.total_files);
        prop_assert_eq!(MetadataDocument::parse(&bytes, id), Ok(document));
    }

    #[test]
    fn every_cluster_and_seal_reads_back(
        cluster in word(), name in "[^\\p{Cc}]{1,30}", first in 0u32..2, at in time(), partition: u32, below: u64, next: u64,
    ) {
        let document = ClusterDocument::new(ClusterId::new(cluster).unwrap(), &name, PartitionId(first), at);
        prop_assert_eq!(ClusterDocument::parse(&document.encode().unwrap()), Ok(document));
        let partition = PartitionId(partition);
        let seal = SealDocument::new(partition, CheckpointId(below));
        prop_assert_eq!(SealDocument::parse(&seal.encode().unwrap(), partition), Ok(seal.clone()));
        let raised = seal.raised(CheckpointId(next));
        prop_assert_eq!((raised.below.0, raised.revision), (below.max(next), 2));
        prop_assert!(raised.covers(CheckpointId(below)) && raised.covers(CheckpointId(next)));
    }

    #[test]
    fn a_cut_text_fits_and_is_the_beginning(text in text(60), limit in 0usize..200) {
        let short = cut(&text, limit);
        prop_assert!(json_len(&short) <= limit);
        prop_assert_eq!(json_len(&text), serde_json::to_string(&text).unwrap().len() - 2);
        if short != text {
            prop_assert!(json_len(&text) > limit);
            prop_assert!(text.starts_with(short.strip_suffix('…').unwrap_or(&short)));
        }
    }
}

proptest! {
    // A case writes 50 KiB.
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// The promise itself: limits that hold one by one leave no way to outgrow the cap.
    #[test]
    fn whatever_passes_its_limits_fits(c in any::<char>(), status in status()) {
        let mut large = largest(c);
        large.id = status.id;
        large.status_code = status.status_code;
        large.verified = status.verified;
        prop_assert!(large.encode().is_ok());
    }
}
