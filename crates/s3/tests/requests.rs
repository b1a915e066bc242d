//! How many requests a backup costs: the table "What a backup costs" of docs/s3.md, exactly. Requests are money on S3 and time
//! everywhere, and one more for each file is seen by no other test.

#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy.toml covers the tests alone")]

use std::collections::BTreeMap;
use std::time::Duration;

use milepost_s3::{S3BackupStore, S3Settings};
use milepost_store::core::{BackupId, Descriptor, VerifyLevel};
use milepost_store::{
    Backup, BackupStore, DeleteOptions, FileSet, InitOptions, OpContext, RestoreOptions, RestoreTarget, SaveOptions,
    StoreAdmin as _, StoreSettings,
};
use milepost_testkit::fake_s3::{FakeS3, Operation};
use milepost_testkit::fixtures::{MemorySource, entry, seeded_bytes, test_env};

const KIB: usize = 1024;
/// The least power of two that S3 takes; larger files go by multipart.
const PART: usize = 8 * 1024 * KIB;

/// Files of one backup: *n*, of which *m* go by multipart in *p* parts altogether.
struct Files {
    snapshots: Vec<usize>,
    segments: Vec<usize>,
}

impl Files {
    fn n(&self) -> u64 {
        (self.snapshots.len() + self.segments.len()) as u64
    }

    fn by_parts(&self) -> impl Iterator<Item = u64> {
        self.snapshots.iter().chain(&self.segments).filter(|length| **length > PART).map(|length| *length as u64)
    }

    fn m(&self) -> u64 {
        self.by_parts().count() as u64
    }

    fn p(&self) -> u64 {
        self.by_parts().map(|length| length.div_ceil(PART as u64)).sum()
    }

    /// Pages of a listing.
    fn pages(&self) -> u64 {
        self.n().div_ceil(1000)
    }

    fn backup(&self, id: BackupId) -> Backup {
        let set = |lengths: &[usize], end: &str| -> FileSet {
            let files = lengths.iter().enumerate().map(|(number, length)| {
                entry(&format!("{number:06}.{end}"), MemorySource::new(seeded_bytes(number as u64, *length))).unwrap()
            });
            files.collect()
        };
        Backup {
            id,
            descriptor: Descriptor::default(),
            snapshots: set(&self.snapshots, "sst"),
            segments: set(&self.segments, "log"),
            reservation: None,
        }
    }
}

/// The partition of the measurements (workload R), a 64th: 200 snapshot files and segments in parts.
fn partition() -> Files {
    let snapshots = (0..200usize).map(|number| 4 * KIB + number * 997 % (28 * KIB)).collect();
    Files { snapshots, segments: vec![PART + 1, 2 * PART, 2 * PART - 1, PART] }
}

/// More files than a page of a listing holds, none in parts.
fn small_files() -> Files {
    Files { snapshots: (0..1100).map(|number| 64 + number % 7).collect(), segments: vec![] }
}

async fn connect(fake: &FakeS3) -> S3BackupStore {
    let mut settings = S3Settings::default();
    settings.bucket = fake.bucket_name().to_owned();
    settings.endpoint = Some(fake.endpoint());
    settings.region = Some("us-east-1".to_owned());
    settings.access_key_id = Some(fake.access_key().into());
    settings.secret_access_key = Some(fake.secret_key().into());
    let mut store = StoreSettings::default();
    (store.part_size, store.multipart_threshold) = (PART as u64, PART as u64);
    // However slow the machine: not one of these may be counted.
    store.sign_of_life = Duration::from_secs(3600);
    S3BackupStore::connect(&settings, store, test_env(7)).await.unwrap()
}

/// The requests since the last look, by kind.
fn seen(fake: &FakeS3) -> BTreeMap<Operation, u64> {
    let mut counts = fake.counts();
    counts.retain(|_, count| *count > 0);
    fake.reset();
    counts
}

fn of<const N: usize>(expected: [(Operation, u64); N]) -> BTreeMap<Operation, u64> {
    expected.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// The two classes of the table: what S3 charges dearly, and reads.
fn classes(counts: &BTreeMap<Operation, u64>) -> (u64, u64) {
    use Operation::{DeleteObject, DeleteObjects, GetObject, HeadBucket, HeadObject};
    let sum = |wanted: &dyn Fn(&Operation) -> bool| {
        counts.iter().filter(|(operation, _)| wanted(operation)).map(|(_, count)| *count).sum::<u64>()
    };
    let reads = sum(&|operation| matches!(operation, GetObject | HeadObject | HeadBucket));
    (sum(&|operation| !matches!(operation, GetObject | HeadObject | HeadBucket | DeleteObject | DeleteObjects)), reads)
}

async fn costs_what_the_table_says(files: Files) {
    use Operation::{
        CompleteMultipartUpload, CreateMultipartUpload, DeleteObjects, GetObject, HeadObject, ListObjectsV2, PutObject,
        UploadPart,
    };
    let fake = FakeS3::start().unwrap();
    let cx = OpContext::new();
    let id = BackupId::new(1, 100, 2);
    connect(&fake).await.init(InitOptions::default(), &cx).await.unwrap();
    let (n, m, p, pages) = (files.n(), files.m(), files.p(), files.pages());

    // A process that saves its first backup.
    let store = connect(&fake).await;
    fake.reset();
    store.save(files.backup(id), SaveOptions::default(), &cx).await.unwrap();
    let saved = seen(&fake);
    // Once per process: cluster.json and the probe's result.
    assert_eq!(classes(&saved), ((n - m) + 2 * m + p + 3 + 1 + pages, 4 + 2), "{saved:?}");
    let mut kinds = saved.clone();
    kinds.remove(&GetObject);
    kinds.remove(&HeadObject);
    let expected = of([
        (PutObject, n - m + 3),
        (CreateMultipartUpload, m),
        (UploadPart, p),
        (CompleteMultipartUpload, m),
        // Before, to see that nothing is there, and after, to see that all is.
        (ListObjectsV2, 1 + pages),
    ]);
    assert_eq!(kinds, expected);

    store.status(id, &cx).await.unwrap();
    assert_eq!(seen(&fake), of([(GetObject, 1)]));

    for (level, lists, reads) in [
        (VerifyLevel::Documents, 0, 2),
        (VerifyLevel::Objects, pages, 2),
        (VerifyLevel::Checksums, pages, 2 + n),
        (VerifyLevel::Content, pages, 2 + n),
    ] {
        assert!(store.verify(id, level, &cx).await.unwrap().ok());
        let counts = seen(&fake);
        assert_eq!(classes(&counts), (lists, reads), "{level:?}: {counts:?}");
    }

    let folder = tempfile::tempdir().unwrap();
    let target = RestoreTarget { path: folder.path().join("restored") };
    store.restore(id, target, RestoreOptions::default(), &cx).await.unwrap();
    assert_eq!(seen(&fake), of([(GetObject, 3 + n)]));

    store.delete(id, DeleteOptions::default(), &cx).await.unwrap();
    let deleted = seen(&fake);
    assert_eq!(deleted.get(&DeleteObjects), Some(&pages), "{deleted:?}");
    assert_eq!(classes(&deleted), (3 + pages + 2 * n + 5, 2 + pages), "{deleted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_costs_what_the_table_says() {
    let files = partition();
    assert_eq!((files.n(), files.m(), files.p()), (204, 3, 6));
    costs_what_the_table_says(files).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_files_cost_what_the_table_says() {
    costs_what_the_table_says(small_files()).await;
}
