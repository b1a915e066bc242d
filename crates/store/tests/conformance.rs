//! The engine keeps the contract of `BackupStore`, on every bucket that is part of the crate.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use milepost_core::Layout;
use milepost_store::{BackupStore, Bucket, BucketBackupStore, DirectoryBucket, MemoryBucket, StoreSettings};
use milepost_testkit::fixtures::test_env;
use milepost_testkit::store_suite::{StoreSuiteOptions, conforms};

fn store<B: Bucket>(bucket: B, seed: u64) -> Arc<dyn BackupStore> {
    let mut settings = StoreSettings::default();
    settings.part_size = 64 * 1024;
    settings.multipart_threshold = 128 * 1024;
    settings.memory_budget = 1024 * 1024;
    Arc::new(BucketBackupStore::new(bucket, Layout::new("base").unwrap(), settings, test_env(seed)).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_memory_bucket() {
    let seed = AtomicU64::new(0);
    conforms(
        async || store(MemoryBucket::new("memory"), seed.fetch_add(1, Ordering::Relaxed)),
        &StoreSuiteOptions::default(),
    )
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_directory_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let seed = AtomicU64::new(0);
    conforms(
        async || {
            let seed = seed.fetch_add(1, Ordering::Relaxed);
            let root = folder.path().join(seed.to_string());
            store(DirectoryBucket::open(root, test_env(seed)).unwrap(), seed)
        },
        &StoreSuiteOptions::default(),
    )
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_bucket_keeps_the_contract_of_a_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let seed = AtomicU64::new(0);
    milepost_testkit::bucket_suite::conforms(
        async || {
            let seed = seed.fetch_add(1, Ordering::Relaxed);
            DirectoryBucket::open(folder.path().join(seed.to_string()), test_env(seed)).unwrap()
        },
        &milepost_testkit::bucket_suite::SuiteOptions::default(),
    )
    .await
    .unwrap();
}
