//! Operating many checkpoints on a real server: requests, memory of the client, time.
//!
//! With `--long` 1,000 checkpoints of 5 partitions on 3 nodes; `MILEPOST_TEST_CHECKPOINTS=6667` for 100,000 backups.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::num::NonZeroU32;
use std::time::Instant;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use milepost_core::checksum::sha256_hex;
use milepost_core::retention::RetentionPolicy;
use milepost_core::{
    BackupId, CheckpointId, Crc64Nvme, Descriptor, FileName, MetadataDocument, ObjectKey, StatusDocument,
};
use milepost_integration_tests::long;
use milepost_integration_tests::minio::Minio;
use milepost_s3::{S3Bucket, S3Settings};
use milepost_store::bucket::{Bucket as _, ListRequest, PutMode};
use milepost_store::checkpoints::{checkpoints, latest};
use milepost_store::prune::{PruneOptions, execute, plan};
use milepost_store::{
    Backup, BackupStore as _, BucketBackupStore, FileEntry, ListQuery, OpContext, SaveOptions, StoreSettings,
};
use milepost_testkit::faulty::{CallKind, FaultyBucket};
use milepost_testkit::fixtures::{MemorySource, seeded_bytes, test_env};

const PARTITIONS: u32 = 5;
const NODES: u32 = 3;
const COPIES: u64 = 15;
/// Of the newest checkpoints, so many lack a partition.
const DAMAGED: u64 = 2;
/// So many of the oldest are pruned.
const GONE: u64 = 20;
const PAGE: u64 = 20;
const BASE: &str = "many";

type Counting = FaultyBucket<S3Bucket>;

async fn get(bucket: &S3Bucket, key: &str) -> Bytes {
    let reply = bucket.get(&ObjectKey::new(format!("{BASE}/{key}")).unwrap(), None).await.unwrap();
    reply.body.try_collect::<Vec<Bytes>>().await.unwrap().concat().into()
}

fn opened(bucket: &Counting, settings: &S3Settings, seed: u64) -> BucketBackupStore<Counting> {
    BucketBackupStore::new(bucket.clone(), settings.layout().unwrap(), StoreSettings::default(), test_env(seed))
        .unwrap()
}

/// One real save, and its like under every other id. Contents only where they are asked for: at the checkpoints that are pruned and
/// at the newest ones.
async fn fill(bucket: &Counting, settings: &S3Settings, checkpoints: u64) -> usize {
    let first = BackupId::new(1, 1, 1);
    let entry = |name: &str, len| FileEntry {
        name: FileName::new(name).unwrap(),
        source: std::sync::Arc::new(MemorySource::new(seeded_bytes(1, len))),
        len: None,
    };
    let descriptor =
        Descriptor { checkpoint_position: Some(4711), number_of_partitions: Some(PARTITIONS), ..Descriptor::default() };
    let (snapshots, segments) = (vec![entry("a.sst", 100)], vec![entry("1.log", 200)]);
    let backup = Backup { id: first, descriptor, snapshots, segments, reservation: None };
    opened(bucket, settings, 1).save(backup, SaveOptions::default(), &OpContext::new()).await.unwrap();
    let raw = bucket.inner();
    let status = StatusDocument::parse(&get(raw, "1/1/1/status.json").await, first).unwrap();
    let metadata = MetadataDocument::parse(&get(raw, "1/1/1/metadata.json").await, first).unwrap();
    let contents = [get(raw, "1/1/1/snapshots/a.sst").await, get(raw, "1/1/1/segments/1.log").await];
    let ids = (1..=checkpoints).flat_map(|c| {
        let partitions = if c > checkpoints - DAMAGED { PARTITIONS - 1 } else { PARTITIONS };
        (1..=partitions).flat_map(move |p| (1..=NODES).map(move |n| BackupId::new(p, c, n)))
    });
    let mut puts = Vec::new();
    for id in ids.filter(|id| *id != first) {
        let metadata = MetadataDocument { id, ..metadata.clone() }.encode().unwrap();
        let metadata_sha256 = Some(sha256_hex(&metadata));
        let status = StatusDocument { id, metadata_sha256, ..status.clone() }.encode().unwrap();
        puts.push((format!("{id}/status.json"), Bytes::from(status)));
        if id.checkpoint.0 <= GONE || id.checkpoint.0 + DAMAGED + 1 > checkpoints {
            puts.push((format!("{id}/metadata.json"), Bytes::from(metadata)));
            puts.push((format!("{id}/snapshots/a.sst"), contents[0].clone()));
            puts.push((format!("{id}/segments/1.log"), contents[1].clone()));
        }
    }
    let number = puts.len();
    let put = async |(key, bytes): (String, Bytes)| {
        let key = ObjectKey::new(format!("{BASE}/{key}")).unwrap();
        let crc = Crc64Nvme::of(&bytes);
        raw.put(&key, bytes, crc, PutMode::Create).await.unwrap();
    };
    futures::stream::iter(puts).map(put).buffer_unordered(32).collect::<Vec<()>>().await;
    number
}

/// In batches: one by one, as a dropped server does it, takes many minutes.
async fn clear(bucket: &S3Bucket) {
    loop {
        let page = bucket.list(ListRequest::all(format!("{BASE}/"))).await.unwrap();
        let keys: Vec<String> = page.objects.into_iter().map(|object| object.key).collect();
        if keys.is_empty() {
            return;
        }
        for outcome in bucket.delete(keys).await.unwrap() {
            outcome.result.unwrap();
        }
    }
}

/// Forgets the peak of this process's memory, where the kernel lets it.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn told(what: &str, bucket: &Counting, begun: Instant) {
    let peak = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = peak.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown").to_owned();
    let requests = bucket.requests();
    println!(
        "{what}: {} requests ({} listings, {} gets), {:.2?}; {}",
        requests.total(),
        requests.of(CallKind::List),
        requests.of(CallKind::Get),
        begun.elapsed(),
        peak.split_whitespace().collect::<Vec<_>>().join(" ")
    );
}

#[test]
#[allow(clippy::disallowed_methods, reason = "what a real server takes is told")]
fn many_checkpoints_are_operated_by_what_is_shown() {
    let Some(server) = Minio::start("many_checkpoints_are_operated_by_what_is_shown", false) else { return };
    let given = std::env::var("MILEPOST_TEST_CHECKPOINTS").ok().map(|number| number.parse::<u64>().unwrap());
    let number = given.unwrap_or(if long() { 1000 } else { 60 });
    let settings = server.settings(BASE);
    server.block(async {
        let bucket = FaultyBucket::new(S3Bucket::new(&settings).await.unwrap());
        let begun = Instant::now();
        let objects = fill(&bucket, &settings, number).await;
        println!("{} backups, {objects} objects put in {:.1?}", number * COPIES, begun.elapsed());
        operate(&bucket, &settings, number).await;
        clear(bucket.inner()).await;
    });
}

#[allow(clippy::disallowed_methods, reason = "what a real server takes is told")]
async fn operate(bucket: &Counting, settings: &S3Settings, number: u64) {
    let cx = OpContext::new();
    // `cluster.json`, the folders of the partitions, and of each the folders of its checkpoints: a request for each 1,000; one more
    // where a server does not know that a full page is the last.
    let pages = number / 1000 + 1;
    let opened_by = 2 + u64::from(PARTITIONS) * pages;
    let exactly = |what: &str, more: u64| {
        let total = bucket.requests().total();
        let least = 2 + u64::from(PARTITIONS) * number.div_ceil(1000) + more;
        assert!((least..=opened_by + more).contains(&total), "{what}: {total}, not {least}");
    };

    bucket.reset();
    forget_peak();
    let begun = Instant::now();
    let query = ListQuery { limit: NonZeroU32::new(PAGE as u32), ..ListQuery::default() };
    let page: Vec<_> = checkpoints(&opened(bucket, settings, 2), query, &cx).map(Result::unwrap).collect().await;
    assert_eq!((page.len() as u64, page[0].id()), (PAGE, CheckpointId(number)));
    told("cluster, first page of 20", bucket, begun);
    exactly("page", PAGE * (COPIES + u64::from(PARTITIONS)) - DAMAGED * u64::from(NODES + 1));

    bucket.reset();
    forget_peak();
    let begun = Instant::now();
    let found = latest(&opened(bucket, settings, 3), &cx).await.unwrap();
    assert_eq!((found.checkpoint.id(), found.passed_over.len() as u64), (CheckpointId(number - DAMAGED), DAMAGED));
    told("latest", bucket, begun);
    // Those passed over, the one found, and one more to know where that ends.
    exactly("latest", (DAMAGED + 2) * (COPIES + u64::from(PARTITIONS)) - DAMAGED * u64::from(NODES + 1));

    bucket.reset();
    forget_peak();
    let begun = Instant::now();
    let query = ListQuery { limit: NonZeroU32::new(5), ..ListQuery::default() };
    let listed: Vec<_> = opened(bucket, settings, 4).list(query, cx.clone()).map(Result::unwrap).collect().await;
    assert_eq!(listed.len() as u64, 5 * COPIES - DAMAGED * u64::from(NODES));
    told("list --limit 5", bucket, begun);
    exactly("list", 5 * (COPIES + u64::from(PARTITIONS)) - DAMAGED * u64::from(NODES + 1));

    bucket.reset();
    forget_peak();
    let begun = Instant::now();
    let mut policy = RetentionPolicy::default();
    policy.keep_last = Some(u32::try_from(number - DAMAGED - GONE).unwrap());
    let store = opened(bucket, settings, 5);
    let dry = plan(&store, &policy, &cx).await.unwrap();
    told("prune --dry-run", bucket, begun);
    exactly("plan", number * (COPIES + u64::from(PARTITIONS)) - DAMAGED * u64::from(NODES + 1));
    assert_eq!((bucket.requests().writes(), dry.changes().count() as u64), (0, GONE * COPIES));

    bucket.reset();
    forget_peak();
    let begun = Instant::now();
    let report = execute(&store, &dry, &PruneOptions::default(), &|_, _| {}, &cx).await;
    assert_eq!((report.deleted, report.untried, report.failed.len()), (GONE * COPIES, 0, 0), "{report:?}");
    told(&format!("prune of {} backups", GONE * COPIES), bucket, begun);
    let requests = bucket.requests();
    assert_eq!(requests.of(CallKind::Delete), GONE * COPIES, "one batch for each backup");
    // For each backup that goes, and for the survivor, whatever the store holds; this server is asked for uploads by each key.
    let each = requests.total().saturating_sub(u64::from(PARTITIONS) * 20 + 100) / (GONE * COPIES);
    println!("{each} requests for each backup that went");
    assert!(each <= 24, "{each} requests for each backup that went");
}
