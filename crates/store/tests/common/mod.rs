//! What the engine's tests share: a store over a faulty memory bucket, small backups, states of a backup, invariants.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may panic")]

use std::sync::Arc;

use futures::StreamExt as _;
use milepost_core::{BackupId, CheckpointId, Descriptor, FileName, Layout, NodeId, PartitionId, StatusCode};
use milepost_core::{StatusDocument, VerifyLevel};
use milepost_store::{
    Backup, BackupState, BackupStore as _, BucketBackupStore, DeleteOptions, Expect, FileEntry, ListEntry, ListQuery,
    MemoryBucket, OpContext, SaveOptions, SaveReport, StoreSettings,
};
use milepost_testkit::faulty::{CallKind, Crash, FaultyBucket, On, Point};
use milepost_testkit::fixtures::{MemorySource, seeded_bytes, test_env};

pub(crate) type Faulty = FaultyBucket<MemoryBucket>;
pub(crate) type Store = BucketBackupStore<Faulty>;

/// The part size of the tests; files above twice as much go by multipart.
pub(crate) const PART: u64 = 64 * 1024;

pub(crate) fn settings() -> StoreSettings {
    let mut settings = StoreSettings::default();
    settings.part_size = PART;
    settings.multipart_threshold = 2 * PART;
    settings.memory_budget = 16 * PART;
    settings
}

pub(crate) fn faulty() -> Faulty {
    FaultyBucket::new(MemoryBucket::new("test"))
}

pub(crate) fn store_with(bucket: &Faulty, seed: u64, settings: StoreSettings) -> Store {
    BucketBackupStore::new(bucket.clone(), Layout::default(), settings, test_env(seed)).unwrap()
}

pub(crate) fn store(bucket: &Faulty, seed: u64) -> Store {
    store_with(bucket, seed, settings())
}

/// A store of the next process: no faults, other ids.
pub(crate) fn next(bucket: &Faulty, seed: u64) -> Store {
    store(&bucket.successor(), seed)
}

pub(crate) fn id(partition: u32, checkpoint: u64, node: u32) -> BackupId {
    BackupId { partition: PartitionId(partition), checkpoint: CheckpointId(checkpoint), node: NodeId(node) }
}

pub(crate) const ID: BackupId = BackupId { partition: PartitionId(1), checkpoint: CheckpointId(100), node: NodeId(2) };
pub(crate) const STATUS: &str = "1/100/2/status.json";
pub(crate) const METADATA: &str = "1/100/2/metadata.json";

pub(crate) fn cx() -> OpContext {
    OpContext::new()
}

pub(crate) fn descriptor() -> Descriptor {
    Descriptor { checkpoint_position: Some(4711), number_of_partitions: Some(3), ..Descriptor::default() }
}

pub(crate) fn file(name: &str, source: MemorySource) -> FileEntry {
    FileEntry { name: FileName::new(name).unwrap(), source: Arc::new(source), len: None }
}

pub(crate) fn seeded(name: &str, seed: u64, len: u64) -> FileEntry {
    file(name, MemorySource::new(seeded_bytes(seed, usize::try_from(len).unwrap())))
}

pub(crate) fn backup(id: BackupId, snapshots: Vec<FileEntry>, segments: Vec<FileEntry>) -> Backup {
    Backup { id, descriptor: descriptor(), snapshots, segments, reservation: None }
}

/// Small, empty, nested and multipart: four files.
pub(crate) fn sample(id: BackupId) -> Backup {
    backup(
        id,
        vec![seeded("a.sst", 1, 100), seeded("b/c.sst", 2, 0)],
        vec![seeded("1.log", 3, 3 * PART + 7), seeded("2.log", 4, 1000)],
    )
}

/// Two small files: few requests.
pub(crate) fn tiny(id: BackupId) -> Backup {
    backup(id, vec![seeded("a.sst", 1, 100)], vec![seeded("1.log", 2, 200)])
}

pub(crate) fn resume() -> SaveOptions {
    let mut options = SaveOptions::default();
    options.resume = true;
    options
}

pub(crate) async fn save(store: &Store, backup: Backup) -> milepost_store::Result<SaveReport> {
    store.save(backup, SaveOptions::default(), &cx()).await
}

pub(crate) async fn state(store: &Store, id: BackupId) -> BackupState {
    match store.status(id, &cx()).await {
        Ok(status) => status.state(),
        Err(error) if matches!(error.kind(), milepost_store::ErrorKind::Corrupt { .. }) => BackupState::Corrupt,
        Err(error) => panic!("{error:?}"),
    }
}

/// The status as it is in the bucket, tombstones too.
pub(crate) fn document(bucket: &Faulty, id: BackupId) -> Option<StatusDocument> {
    let bytes = bucket.inner().bytes(Layout::default().status(id).as_str())?;
    Some(StatusDocument::parse(&bytes, id).unwrap())
}

pub(crate) fn code(bucket: &Faulty, id: BackupId) -> Option<StatusCode> {
    document(bucket, id).map(|document| document.status_code)
}

pub(crate) async fn list(store: &Store, query: ListQuery) -> Vec<ListEntry> {
    store.list(query, cx()).map(|entry| entry.unwrap()).collect().await
}

pub(crate) fn delete_options(change: impl FnOnce(&mut DeleteOptions)) -> DeleteOptions {
    let mut options = DeleteOptions::default();
    change(&mut options);
    options
}

pub(crate) async fn delete(store: &Store, id: BackupId) -> milepost_store::Result<milepost_store::DeleteReport> {
    store.delete(id, DeleteOptions::default(), &cx()).await
}

pub(crate) async fn mark_failed(store: &Store, id: BackupId) -> milepost_store::Result<milepost_store::BackupStatus> {
    store.mark_failed(id, "given up", Expect::Any, &cx()).await
}

/// Runs `work` until the bucket crashes, then drops it: a power cut.
pub(crate) async fn until_crash(bucket: &Faulty, work: impl Future) -> bool {
    tokio::select! {
        biased;
        () = bucket.crashed() => true,
        _ = work => false,
    }
}

/// Leaves a backup in a state, as real calls would. Gives the bucket as the next process sees it.
pub(crate) async fn made(from: Begin) -> Faulty {
    let bucket = faulty();
    let first = store(&bucket, 1);
    match from {
        Begin::Absent => {
            // The base is in use, so that the cluster's document is there.
            save(&first, tiny(id(2, 1, 0))).await.unwrap();
        }
        Begin::InProgress => {
            bucket.crash_on(On::call(CallKind::Put).key_ending("metadata.json"), Point::Before, Crash::Hang);
            assert!(until_crash(&bucket, save(&first, sample(ID))).await);
        }
        Begin::Completed => drop(save(&first, sample(ID)).await.unwrap()),
        Begin::Failed => {
            let mut broken = sample(ID);
            broken.snapshots[0] = file("a.sst", MemorySource::new(seeded_bytes(1, 100)).failing_at(7));
            assert!(save(&first, broken).await.is_err());
        }
        Begin::FailedRecord => drop(mark_failed(&first, ID).await.unwrap()),
        Begin::FailedWasCompleted => {
            save(&first, sample(ID)).await.unwrap();
            mark_failed(&first, ID).await.unwrap();
        }
        Begin::Deleting => {
            save(&first, sample(ID)).await.unwrap();
            bucket.crash_on(On::call(CallKind::Delete), Point::Before, Crash::Hang);
            assert!(until_crash(&bucket, delete(&first, ID)).await);
        }
        Begin::Deleted => {
            save(&first, sample(ID)).await.unwrap();
            delete(&first, ID).await.unwrap();
        }
        Begin::Corrupt => {
            save(&first, sample(ID)).await.unwrap();
            bucket.inner().put_raw(STATUS, "{ not json");
        }
        Begin::Newer => {
            save(&first, sample(ID)).await.unwrap();
            let text = String::from_utf8(bucket.inner().bytes(STATUS).unwrap().to_vec()).unwrap();
            bucket.inner().put_raw(STATUS, text.replace("\"formatVersion\": 1", "\"formatVersion\": 2"));
        }
    }
    bucket.successor()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    Absent,
    InProgress,
    Completed,
    Failed,
    FailedRecord,
    FailedWasCompleted,
    Deleting,
    Deleted,
    Corrupt,
    Newer,
}

/// A COMPLETED must verify down to its bytes, and hold the bytes of `planned`.
pub(crate) async fn whole(store: &Store, bucket: &Faulty, planned: &Backup) {
    let report = store.verify(planned.id, VerifyLevel::Content, &cx()).await.unwrap();
    assert!(report.ok(), "{:?}", report.findings);
    for (folder, set) in [("snapshots", &planned.snapshots), ("segments", &planned.segments)] {
        for entry in set {
            let open = entry.source.open().unwrap();
            let mut expected = vec![0; usize::try_from(open.len().unwrap()).unwrap()];
            assert_eq!(open.read_at(&mut expected, 0).unwrap(), expected.len());
            let key = format!("{}/{folder}/{}", planned.id, entry.name);
            assert!(bucket.inner().bytes(&key).as_deref() == Some(&expected[..]), "{key} holds other bytes");
        }
    }
}
