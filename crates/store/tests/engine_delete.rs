//! Deleting, sweeping and forgetting.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests and their helpers"
)]
#![allow(unreachable_pub, reason = "the helpers are a module of each test binary")]

mod common;

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use common::*;
use milepost_core::{Crc64Nvme, Layout, ObjectKey, StatusCode};
use milepost_store::bucket::{
    DeleteOutcome, GetReply, ListPage, ListRequest, ObjectMeta, OpenUpload, PartInfo, PartLimits, PutMode, UploadId,
    UploadQuery,
};
use milepost_store::{
    BackupState as S, BackupStore as _, Bucket, BucketBackupStore, BucketError, BucketErrorKind, DeleteOptions, ETag,
    ErrorKind, Expect, MemoryBucket,
};
use milepost_testkit::faulty::{CallKind, Crash, Fault, FaultyBucket, Gate, On, Point};
use milepost_testkit::fixtures::test_env;

fn left(bucket: &Faulty) -> Vec<String> {
    bucket.inner().keys().into_iter().filter(|key| key.starts_with("1/100/2/")).collect()
}

/// A deleting backup of 2,500 objects, with a neighbour whose id begins with the same digits.
async fn large() -> Faulty {
    let bucket = made(Begin::Completed).await;
    for n in 0..2500 {
        bucket.inner().put_raw(format!("1/100/2/segments/x{n:04}"), "stray");
    }
    save(&store(&bucket, 5), tiny(id(1, 100, 20))).await.unwrap();
    save(&store(&bucket, 6), tiny(id(1, 10, 2))).await.unwrap();
    save(&store(&bucket, 7), tiny(id(1, 1000, 2))).await.unwrap();
    bucket.successor()
}

#[tokio::test]
async fn everything_below_the_prefix_goes_in_batches_and_nothing_else() {
    let bucket = large().await;
    let store = store(&bucket, 2);
    let report = delete(&store, ID).await.unwrap();
    assert_eq!((report.objects, report.tombstone), (2505, true));
    assert_eq!(left(&bucket), [STATUS]);
    assert_eq!(bucket.requests().of(CallKind::Delete), 3);
    assert!(bucket.trace().of(CallKind::Delete).all(|call| call.key.starts_with("1/100/2/")));
    for neighbour in [id(1, 100, 20), id(1, 10, 2), id(1, 1000, 2)] {
        whole(&store, &bucket, &tiny(neighbour)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_delete_still_has_its_budget_at_the_end() {
    let bucket = large().await;
    bucket.inject(On::call(CallKind::Delete).times(3), Fault::Delay(Duration::from_secs(20)));
    // A late write turns up behind the page that was swept: one more pass is needed, a minute after the delete began.
    let late = bucket.inner().clone();
    let store = store(&bucket, 2);
    let (deleting, ()) = tokio::join!(delete(&store, ID), async {
        tokio::time::sleep(Duration::from_secs(50)).await;
        late.put_raw("1/100/2/segments/0", "late");
    });
    deleting.unwrap_or_else(|error| panic!("{error:?}\n{}", bucket.trace()));
    assert_eq!(left(&bucket), [STATUS]);
}

#[tokio::test(start_paused = true)]
async fn failures_of_keys_are_retried_or_reported_and_the_next_delete_continues() {
    // Passing ones.
    let bucket = large().await;
    let keep = |kind| Fault::KeepKeys("x00".to_owned(), kind);
    bucket.inject(On::call(CallKind::Delete).times(4), keep(BucketErrorKind::Unavailable));
    delete(&store(&bucket, 2), ID).await.unwrap();

    // Lasting ones.
    for (kind, waits) in [(BucketErrorKind::Denied, false), (BucketErrorKind::Unavailable, true)] {
        let bucket = large().await;
        bucket.inject(On::call(CallKind::Delete).always(), keep(kind));
        let began = tokio::time::Instant::now();
        let error = delete(&store(&bucket, 2), ID).await.unwrap_err();
        let ErrorKind::Partial { report } = error.kind() else { panic!("{error:?}") };
        assert_eq!((report.failed.len(), report.untried, report.tombstone), (100, 0, false));
        assert_eq!(report.objects, 2405, "each object is counted once");
        assert!(report.failed[0].0.contains("x00"));
        assert_eq!(code(&bucket, ID), Some(StatusCode::Deleting));
        assert_eq!(began.elapsed() > Duration::from_secs(10), waits, "{:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(60));
        assert_eq!(left(&bucket).len(), 101);
        delete(&next(&bucket, 3), ID).await.unwrap();
        assert_eq!(left(&bucket), [STATUS]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_says_deleted_but_keeps_objects_is_an_error_and_no_endless_loop() {
    let bucket = made(Begin::Completed).await;
    // What is deleted comes back before the next listing.
    let memory = bucket.inner().clone();
    let haunting = tokio::spawn(async move {
        loop {
            memory.put_raw("1/100/2/segments/ghost", "x");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    bucket.inject(On::call(CallKind::List).always(), Fault::Delay(Duration::from_millis(5)));
    let error = delete(&store(&bucket, 2), ID).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Partial { .. }), "{error:?}");
    assert!(error.message().contains("still listed"), "{error:?}");
    haunting.abort();
}

#[tokio::test(start_paused = true)]
async fn lost_replies_and_late_effects_of_every_write() {
    for kind in [CallKind::Put, CallKind::Delete] {
        for nth in 1..=2 {
            for fault in [
                Fault::After(BucketErrorKind::Timeout),
                Fault::Before(BucketErrorKind::Unavailable),
                Fault::Late(Duration::from_millis(30)),
                Fault::Late(Duration::from_secs(20)),
                Fault::Repeat,
            ] {
                for begin in [Begin::Completed, Begin::Corrupt] {
                    let bucket = made(begin).await;
                    bucket.inject(On::call(kind).nth(nth), fault.clone());
                    let options = delete_options(|options| options.corrupt = true);
                    let report = store(&bucket, 2).delete(ID, options, &cx()).await;
                    report.unwrap_or_else(|error| {
                        panic!("{begin:?} {kind:?} {nth} {fault:?}: {error:?}\n{}", bucket.trace())
                    });
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    assert_eq!(
                        (left(&bucket), code(&bucket, ID)),
                        (vec![STATUS.to_owned()], Some(StatusCode::Deleted))
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn two_deleters_help_each_other() {
    for k in 1..20 {
        let bucket = made(Begin::Completed).await;
        let gate = Gate::new();
        bucket.inject(On::any().nth(k), Fault::Hold(gate.clone()));
        let one = store(&bucket, 2);
        let first = tokio::spawn(async move { delete(&one, ID).await });
        tokio::select! {
            () = gate.reached() => {}
            () = async { while !first.is_finished() { tokio::task::yield_now().await; } } => {}
        }
        delete(&next(&bucket, 3), ID).await.unwrap();
        gate.open();
        first.await.unwrap().unwrap_or_else(|error| panic!("{k}: {error:?}"));
        assert_eq!((left(&bucket), code(&bucket, ID)), (vec![STATUS.to_owned()], Some(StatusCode::Deleted)), "{k}");
    }
}

#[tokio::test]
async fn what_a_fenced_saver_writes_late_is_never_committed_and_the_next_delete_sweeps_it() {
    let bucket = faulty();
    let gate = Gate::new();
    bucket.inject(On::call(CallKind::Put).key_ending("2.log"), Fault::Hold(gate.clone()));
    let saver = store(&bucket, 1);
    let saving = tokio::spawn(async move { save(&saver, sample(ID)).await });
    gate.reached().await;
    let other = next(&bucket, 2);
    mark_failed(&other, ID).await.unwrap();
    delete(&other, ID).await.unwrap();
    gate.open();
    let error = saving.await.unwrap().unwrap_err();
    assert_eq!(code(&bucket, ID), Some(StatusCode::Deleted), "{error:?}");
    assert_eq!(state(&other, ID).await, S::DoesNotExist);
    assert!(left(&bucket).len() > 1, "the late write must have left garbage for this test to mean anything");
    delete(&other, ID).await.unwrap();
    assert_eq!(left(&bucket), [STATUS]);
}

/// A bucket that, as some servers, lists uploads only by their exact key.
#[derive(Debug, Clone)]
struct ExactOnly(MemoryBucket);

impl Bucket for ExactOnly {
    fn location(&self) -> String {
        self.0.location()
    }
    fn part_limits(&self) -> PartLimits {
        self.0.part_limits()
    }
    fn lists_uploads_by_prefix(&self) -> bool {
        false
    }
    fn needs_probe(&self) -> bool {
        false
    }
    async fn free_space(&self) -> Result<Option<u64>, BucketError> {
        self.0.free_space().await
    }
    async fn put(&self, key: &ObjectKey, body: Bytes, crc: Crc64Nvme, mode: PutMode) -> Result<ETag, BucketError> {
        self.0.put(key, body, crc, mode).await
    }
    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<GetReply, BucketError> {
        self.0.get(key, range).await
    }
    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BucketError> {
        self.0.head(key).await
    }
    async fn list(&self, request: ListRequest) -> Result<ListPage, BucketError> {
        self.0.list(request).await
    }
    async fn delete(&self, keys: Vec<String>) -> Result<Vec<DeleteOutcome>, BucketError> {
        self.0.delete(keys).await
    }
    async fn create_upload(&self, key: &ObjectKey, part_size: u64) -> Result<UploadId, BucketError> {
        self.0.create_upload(key, part_size).await
    }
    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: Bytes,
        crc: Crc64Nvme,
    ) -> Result<PartInfo, BucketError> {
        self.0.upload_part(key, upload, number, body, crc).await
    }
    async fn list_parts(&self, key: &ObjectKey, upload: &UploadId) -> Result<Vec<PartInfo>, BucketError> {
        self.0.list_parts(key, upload).await
    }
    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartInfo],
        crc: Crc64Nvme,
    ) -> Result<ETag, BucketError> {
        self.0.complete_upload(key, upload, parts, crc).await
    }
    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), BucketError> {
        self.0.abort_upload(key, upload).await
    }
    async fn list_uploads(&self, query: UploadQuery) -> Result<Vec<OpenUpload>, BucketError> {
        match query {
            UploadQuery::Prefix(_) => Ok(Vec::new()),
            exact => self.0.list_uploads(exact).await,
        }
    }
}

#[tokio::test]
async fn uploads_are_aborted_also_where_only_exact_keys_find_them() {
    for exact_only in [false, true] {
        let bucket = made(Begin::Completed).await;
        let key = ObjectKey::new("1/100/2/segments/1.log").unwrap();
        bucket.inner().create_upload(&key, PART).await.unwrap();
        let other = ObjectKey::new("1/100/20/segments/1.log").unwrap();
        bucket.inner().create_upload(&other, PART).await.unwrap();
        let report = if exact_only {
            let wrapped = FaultyBucket::new(ExactOnly(bucket.inner().clone()));
            let store = BucketBackupStore::new(wrapped, Layout::default(), settings(), test_env(2)).unwrap();
            let dry = store.delete(ID, delete_options(|options| options.dry_run = true), &cx()).await.unwrap();
            assert_eq!(dry.uploads, 1);
            store.delete(ID, DeleteOptions::default(), &cx()).await.unwrap()
        } else {
            delete(&store(&bucket, 2), ID).await.unwrap()
        };
        assert_eq!(report.uploads, 1, "exact only: {exact_only}");
        assert_eq!(bucket.inner().open_upload_count(), 1, "the neighbour's stays");
    }
    // An open upload alone is something to delete.
    let bucket = made(Begin::Absent).await;
    let key = ObjectKey::new("1/100/2/segments/1.log").unwrap();
    bucket.inner().create_upload(&key, PART).await.unwrap();
    assert_eq!(delete(&store(&bucket, 2), ID).await.unwrap().uploads, 1);
    assert_eq!(code(&bucket, ID), Some(StatusCode::Deleted));
}

#[tokio::test]
async fn an_expectation_that_is_not_met_is_a_conflict_and_a_dry_run_writes_nothing() {
    let bucket = made(Begin::Completed).await;
    let store = store(&bucket, 2);
    let seen = store.status(ID, &cx()).await.unwrap();
    let held = seen.document.clone().unwrap();
    let wrong = [
        Expect::ETag(ETag("other".to_owned())),
        Expect::Revision { attempt: held.attempt_id.clone(), revision: held.revision + 1 },
    ];
    for expect in wrong {
        let error = store.delete(ID, delete_options(|options| options.expect = expect), &cx()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Conflict { .. }), "{error:?}");
    }
    let absent = delete_options(|options| options.expect = seen.expect());
    assert_eq!(store.delete(id(2, 1, 1), absent, &cx()).await.unwrap_err().kind().name(), "conflict");
    let dry = store.delete(ID, delete_options(|options| options.dry_run = true), &cx()).await.unwrap();
    assert_eq!((dry.objects, dry.tombstone), (5, false));
    assert_eq!(bucket.requests().writes(), 0);
    // An annotation in between is another document.
    let gate = Gate::new();
    bucket.inject(On::call(CallKind::Put).key_ending("status.json"), Fault::Hold(gate.clone()));
    let deleting = tokio::spawn({
        let store = store.clone();
        async move { delete(&store, ID).await }
    });
    gate.reached().await;
    let verified = milepost_core::document::Verification {
        level: milepost_core::VerifyLevel::Objects,
        at: milepost_core::Timestamp::UNIX_EPOCH,
        ok: true,
    };
    let other = next(&bucket, 3);
    other.annotate(ID, milepost_store::Annotation::Verified(verified), Expect::Any, &cx()).await.unwrap();
    gate.open();
    assert_eq!(deleting.await.unwrap().unwrap_err().kind().name(), "conflict");
    assert_eq!(state(&other, ID).await, S::Completed);
    let exactly = delete_options(|options| {
        options.expect = Expect::Revision { attempt: held.attempt_id, revision: held.revision + 1 };
    });
    store.delete(ID, exactly, &cx()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_tombstone_is_forgotten_only_when_old_below_a_completed_one_and_sealed_first() {
    let bucket = made(Begin::Deleted).await;
    let store = store(&bucket, 2);
    let forget = |grace: u64| delete_options(|options| options.forget = Some(Duration::from_secs(grace)));
    let report = store.delete(ID, forget(0), &cx()).await.unwrap();
    assert!(report.kept.unwrap().contains("no COMPLETED backup above"));
    save(&store, tiny(id(1, 99, 1))).await.unwrap();
    mark_failed(&store, id(1, 300, 1)).await.unwrap();
    assert!(!store.delete(ID, forget(0), &cx()).await.unwrap().forgotten);
    save(&store, tiny(id(1, 101, 1))).await.unwrap();
    tokio::time::sleep(Duration::from_secs(50)).await;
    let report = store.delete(ID, forget(86_400), &cx()).await.unwrap();
    assert!(report.tombstone && report.kept.unwrap().contains("kept for 24 h"));
    // Swept again, sealed, removed: in this order; the crash between leaves the tombstone and the seal.
    bucket.inner().put_raw("1/100/2/segments/late", "late");
    bucket.reset();
    bucket.inject(
        On::call(CallKind::Delete).key_ending("status.json"),
        Fault::KeepKeys("status".to_owned(), BucketErrorKind::Unavailable),
    );
    let report = store.delete(ID, forget(50), &cx()).await.unwrap();
    assert!(report.forgotten && !report.tombstone);
    let writes: Vec<_> =
        bucket.trace().calls.into_iter().filter(|call| call.kind.is_write()).map(|call| call.key).collect();
    assert_eq!(writes, ["1/100/2/segments/late", "_milepost/seals/1.json", STATUS, STATUS]);
    assert!(left(&bucket).is_empty());

    let bucket = made(Begin::Deleted).await;
    save(&common::store(&bucket, 2), tiny(id(1, 101, 1))).await.unwrap();
    let bucket = bucket.successor();
    bucket.crash_on(On::call(CallKind::Delete), Point::Before, Crash::Hang);
    assert!(until_crash(&bucket, common::store(&bucket, 3).delete(ID, forget(0), &cx())).await);
    assert_eq!(code(&bucket, ID), Some(StatusCode::Deleted));
    assert!(bucket.inner().bytes("_milepost/seals/1.json").is_some());
    assert!(next(&bucket, 4).delete(ID, forget(0), &cx()).await.unwrap().forgotten);
}
