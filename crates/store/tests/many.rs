//! 1,000 checkpoints of 5 partitions on 3 nodes: what operating them costs is counted in checkpoint folders and in backups
//! that are looked at, never in objects stored.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests and their helpers"
)]
#![allow(unreachable_pub, reason = "the helpers are a module of each test binary")]

mod common;

use std::num::NonZeroU32;

use common::*;
use futures::StreamExt as _;
use milepost_core::checksum::sha256_hex;
use milepost_core::retention::RetentionPolicy;
use milepost_core::{CheckpointId, ClusterState, Descriptor, Layout, MetadataDocument, StatusDocument};
use milepost_store::checkpoints::{checkpoint, checkpoints, latest};
use milepost_store::prune::{PruneOptions, execute, plan};
use milepost_store::{BackupStore as _, MemoryBucket};
use milepost_store::{ListQuery, SaveOptions};
use milepost_testkit::faulty::{CallKind, FaultyBucket, Requests};

/// 1,000; `MILEPOST_TEST_CHECKPOINTS=6667` for 100,000 backups.
fn checkpoints_stored() -> u64 {
    std::env::var("MILEPOST_TEST_CHECKPOINTS").ok().map_or(1000, |number| number.parse().unwrap())
}

const PARTITIONS: u32 = 5;
const NODES: u32 = 3;
const COPIES: u64 = 15;
/// Of the newest checkpoints, so many are not complete.
const DAMAGED: u64 = 2;

/// One real save, and its like under every other id.
async fn filled(stored: u64) -> Faulty {
    let bucket = faulty();
    let first = id(1, 1, 1);
    let mut model = tiny(first);
    model.descriptor = Descriptor { number_of_partitions: Some(PARTITIONS), ..model.descriptor };
    store(&bucket, 1).save(model, SaveOptions::default(), &cx()).await.unwrap();
    let layout = Layout::default();
    let raw = |key: &str| bucket.inner().bytes(key).unwrap();
    let status = StatusDocument::parse(&raw("1/1/1/status.json"), first).unwrap();
    let metadata = MetadataDocument::parse(&raw("1/1/1/metadata.json"), first).unwrap();
    let (snapshot, segment) = (raw("1/1/1/snapshots/a.sst"), raw("1/1/1/segments/1.log"));
    for c in 1..=stored {
        for p in 1..=PARTITIONS {
            for n in 1..=NODES {
                let id = id(p, c, n);
                // The newest ones lack a partition.
                if c > stored - DAMAGED && p == PARTITIONS {
                    continue;
                }
                let metadata = MetadataDocument { id, ..metadata.clone() }.encode().unwrap();
                let metadata_sha256 = Some(sha256_hex(&metadata));
                let status = StatusDocument { id, metadata_sha256, ..status.clone() }.encode().unwrap();
                bucket.inner().put_raw(layout.status(id).as_str(), status);
                bucket.inner().put_raw(format!("{id}/metadata.json"), metadata);
                bucket.inner().put_raw(format!("{id}/snapshots/a.sst"), snapshot.clone());
                bucket.inner().put_raw(format!("{id}/segments/1.log"), segment.clone());
            }
        }
    }
    let filled: FaultyBucket<MemoryBucket> = bucket.successor();
    filled
}

/// A line of what the kernel says of this process's memory, in KiB.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Counts from here: requests, and memory beyond that of the bucket, where the kernel lets its peak be forgotten.
fn from_here(bucket: &Faulty) -> u64 {
    bucket.reset();
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    memory("VmRSS")
}

fn told(what: &str, requests: &Requests, before: u64) {
    eprintln!(
        "{what}: {} requests, {} listings, {} gets; at most {} KiB more memory",
        requests.total(),
        requests.of(CallKind::List),
        requests.of(CallKind::Get),
        memory("VmHWM").saturating_sub(before)
    );
}

/// What opening a base costs a store that has not looked at it yet: `cluster.json`, and the folders of the partitions, 1,000
/// checkpoints in each listing.
fn opened(stored: u64) -> u64 {
    1 + 1 + u64::from(PARTITIONS) * stored.div_ceil(1000)
}

#[tokio::test]
async fn a_thousand_checkpoints_are_operated_by_what_is_shown() {
    let stored = checkpoints_stored();
    let bucket = filled(stored).await;
    let before = from_here(&bucket);

    let query = ListQuery { limit: NonZeroU32::new(20), ..ListQuery::default() };
    let page: Vec<_> = checkpoints(&store(&bucket, 2), query, &cx()).map(Result::unwrap).collect().await;
    assert_eq!((page.len(), page[0].id(), page[2].view.state), (20, CheckpointId(stored), ClusterState::Completed));
    let requests = bucket.requests();
    told("first page of 20", &requests, before);
    let copies = 20 * COPIES - DAMAGED * u64::from(NODES);
    let folders = 20 * u64::from(PARTITIONS) - DAMAGED;
    assert_eq!(requests.total(), opened(stored) + folders + copies);

    let before = from_here(&bucket);
    let found = latest(&store(&bucket, 3), &cx()).await.unwrap();
    assert_eq!(found.checkpoint.id(), CheckpointId(stored - DAMAGED));
    assert_eq!(found.passed_over.len() as u64, DAMAGED);
    let requests = bucket.requests();
    told("latest", &requests, before);
    // Those passed over, the one found, and one more to know where that ends.
    let looked = (DAMAGED + 2) * (COPIES + u64::from(PARTITIONS)) - DAMAGED * (u64::from(NODES) + 1);
    assert_eq!(requests.total(), opened(stored) + looked);

    let before = from_here(&bucket);
    let query = ListQuery { limit: NonZeroU32::new(5), ..ListQuery::default() };
    assert_eq!(list(&store(&bucket, 6), query).await.len() as u64, 5 * COPIES - DAMAGED * u64::from(NODES));
    let requests = bucket.requests();
    told("list --limit 5", &requests, before);
    let folders = 5 * u64::from(PARTITIONS) - DAMAGED;
    assert_eq!(requests.total(), opened(stored) + folders + 5 * COPIES - DAMAGED * u64::from(NODES));

    let before = from_here(&bucket);
    let one = checkpoint(&store(&bucket, 4), CheckpointId(500), &cx()).await.unwrap();
    assert_eq!(one.copies().count() as u64, COPIES);
    let requests = bucket.requests();
    told("one checkpoint", &requests, before);
    assert_eq!(requests.total(), 2 + u64::from(PARTITIONS) + COPIES);

    let before = from_here(&bucket);
    let gone = 20;
    let policy = {
        let mut policy = RetentionPolicy::default();
        policy.keep_last = Some(u32::try_from(stored - DAMAGED - gone).unwrap());
        policy
    };
    let store = store(&bucket, 5);
    let dry = plan(&store, &policy, &cx()).await.unwrap();
    let requests = bucket.requests();
    told("prune --dry-run", &requests, before);
    let folders = stored * u64::from(PARTITIONS) - DAMAGED;
    let copies = stored * COPIES - DAMAGED * u64::from(NODES);
    assert_eq!(requests.total(), opened(stored) + folders + copies);
    assert_eq!((requests.writes(), dry.changes().count() as u64), (0, gone * COPIES));

    let before = from_here(&bucket);
    let report = execute(&store, &dry, &PruneOptions::default(), &|_, _| {}, &cx()).await;
    assert_eq!((report.deleted, report.untried, report.failed.len()), (gone * COPIES, 0, 0), "{report:?}");
    let requests = bucket.requests();
    told("prune of 300 backups", &requests, before);
    assert_eq!(requests.of(CallKind::Delete), gone * COPIES, "one batch for each backup");
    assert_eq!(requests.of(CallKind::Put), 2 * gone * COPIES, "DELETING and DELETED");
    // For each partition of the survivor: its status before and within, its metadata, a listing, its two files.
    assert_eq!(requests.of(CallKind::Head), u64::from(PARTITIONS) * 2);
    // The rest, for each backup, does not grow with the store.
    let each = (requests.total() - u64::from(PARTITIONS) * 6 - gone * u64::from(PARTITIONS)) / (gone * COPIES);
    assert!(each <= 12, "{each} requests for each backup that went");
}
