//! Every byte is covered: a flipped bit anywhere in a stored file is caught, whatever way the file went; and what a growing
//! segment is recorded as is what was stored of it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod common;

use common::*;
use milepost_core::{DigestAlgorithm, FileName, FileSetKind, Hashes, VerifyLevel};
use milepost_store::{BackupStore as _, ErrorKind, Problem, RestoreOptions, RestoreTarget, SaveOptions, StoreSettings};
use milepost_testkit::fixtures::{GrowthTrial, long, seeded_bytes};

const THRESHOLD: u64 = 2 * PART;

/// A length of a stored file, and the places where a bit of it is flipped.
fn lengths() -> Vec<u64> {
    vec![
        0,
        1,
        PART - 1,
        PART,
        PART + 1,
        THRESHOLD - 1,
        THRESHOLD,
        THRESHOLD + 1,
        3 * PART,
        3 * PART + 1,
        5 * PART - 1,
        5 * PART + 777,
    ]
}

fn places(len: u64) -> Vec<u64> {
    let mut places = vec![0, len / 2, len.saturating_sub(1)];
    for border in (PART..len).step_by(usize::try_from(PART).unwrap()) {
        places.extend([border - 1, border]);
    }
    places.retain(|at| *at < len);
    places.sort_unstable();
    places.dedup();
    places
}

/// Saved in parts and whole, with every digest: each flipped bit is found by verify and by restore, and named.
#[tokio::test(start_paused = true)]
async fn a_flipped_bit_is_caught_wherever_it_is() {
    let target = tempfile::tempdir().unwrap();
    let mut flips = 0;
    for digest in [Some(DigestAlgorithm::Blake3), Some(DigestAlgorithm::Sha256), None] {
        for len in lengths() {
            let bucket = faulty();
            let store = store(&bucket, 1);
            let bytes = seeded_bytes(len + 9, usize::try_from(len).unwrap());
            let mut options = SaveOptions::default();
            options.digest = digest;
            let planned = backup(ID, vec![seeded("a.sst", len + 9, len)], vec![]);
            let report = store.save(planned, options, &cx()).await.unwrap();
            let record = &report.files[0].record;
            assert_eq!((record.size, record.crc64nvme), (len, Hashes::of(&bytes, digest).crc));
            assert_eq!(record.digest, Hashes::of(&bytes, digest).digest, "{len} {digest:?}");
            let key = format!("{ID}/snapshots/a.sst");
            let found = |report: milepost_store::VerifyReport| report.findings;
            assert!(found(store.verify(ID, VerifyLevel::Content, &cx()).await.unwrap()).is_empty());
            let restore = async |name: String| {
                let path = target.path().join(name);
                let to = RestoreTarget { path: path.clone() };
                (store.restore(ID, to, RestoreOptions::default(), &cx()).await, path)
            };
            let name = digest.map_or("none", |digest| digest.name());
            let (restored, path) = restore(format!("{name}-{len}")).await;
            restored.unwrap();
            assert!(std::fs::read(path.join("snapshots/a.sst")).unwrap() == bytes);
            for at in places(len) {
                let mut damaged = bytes.to_vec();
                damaged[usize::try_from(at).unwrap()] ^= 1 << (at % 8);
                bucket.inner().put_raw(&key, damaged);
                let findings = found(store.verify(ID, VerifyLevel::Content, &cx()).await.unwrap());
                assert!(
                    matches!(&findings[..], [one] if one.key == key && matches!(one.problem, Problem::Checksum { .. })),
                    "byte {at} of {len}: {findings:?}"
                );
                let (refused, path) = restore(format!("{name}-{len}-{at}")).await;
                let error = refused.unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::Integrity { key: named, .. } if *named == key), "{error:?}");
                assert!(!path.exists(), "a damaged file became visible");
                flips += 1;
            }
        }
    }
    assert!(flips > 100, "{flips}");
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_grows_is_recorded_as_it_was_stored() {
    let trials = if long() { 10_000 } else { 500 };
    let seeds: Vec<u64> = match std::env::var("MILEPOST_TEST_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..trials).collect(),
    };
    for seed in seeds {
        let trial = GrowthTrial::new(seed, PART, THRESHOLD);
        let name = FileName::new("1.log").unwrap();
        let entry = trial.entry(name.clone());
        let bucket = faulty();
        let mut settings: StoreSettings = settings();
        settings.concurrency = 1 + usize::try_from(seed % 4).unwrap();
        let store = store_with(&bucket, seed, settings);
        let mut options = SaveOptions::default();
        options.digest = trial.digest;
        let report = store.save(backup(ID, vec![], vec![entry]), options, &cx()).await;
        let report = report.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        let metadata = store.metadata(ID, &cx()).await.unwrap().document;
        let record = &metadata.files(FileSetKind::Segments)[0];
        let stored = bucket.inner().bytes(&format!("{ID}/segments/{name}")).unwrap();
        assert!(stored == trial.content(record.size), "seed {seed}: other bytes are stored");
        let hashes = Hashes::of(&stored, trial.digest);
        assert_eq!(
            (record.size, record.crc64nvme, record.digest),
            (trial.len, hashes.crc, hashes.digest),
            "seed {seed}: {report:?}"
        );
    }
    println!("{trials} growing segments");
}
