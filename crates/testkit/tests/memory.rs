//! The reference model keeps every promise of the trait.

use milepost_store::MemoryBucket;
use milepost_store::bucket::PartLimits;
use milepost_testkit::bucket_suite::{SuiteOptions, conforms};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_memory_bucket_conforms() {
    conforms(async || MemoryBucket::new("test"), &SuiteOptions::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_bucket_may_serve_all_checks() {
    let limits = PartLimits { min_part: 4096, max_part: 8192, max_parts: 10 };
    let bucket = MemoryBucket::new("test").with_part_limits(limits);
    conforms(async || bucket.clone(), &SuiteOptions::default()).await.unwrap();
    assert_eq!(bucket.open_upload_count(), 0);
}
