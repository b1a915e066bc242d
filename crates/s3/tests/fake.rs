//! The engine over the SDK over HTTP, against a server that does on demand what real ones do on bad days.

#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy.toml covers the tests alone")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use milepost_s3::{S3BackupStore, S3Bucket, S3Settings};
use milepost_store::core::{BackupId, Descriptor, StatusCode, VerifyLevel};
use milepost_store::{
    BackupStore, BucketBackupStore, DeleteOptions, ErrorKind, InitOptions, ListQuery, OpContext, RestoreOptions,
    RestoreTarget, SaveOptions, StoreAdmin as _, StoreSettings,
};
use milepost_testkit::bucket_suite::{self, SuiteOptions};
use milepost_testkit::fake_s3::{FakeS3, Fault, On, Operation, Quirks, Wait};
use milepost_testkit::faulty::Gate;
use milepost_testkit::fixtures::{BrokerFiles, Shape, long, same_tree, test_env};
use milepost_testkit::races::one_winner_in_each_round;
use milepost_testkit::store_suite::{self, StoreSuiteOptions};

fn settings(fake: &FakeS3) -> S3Settings {
    let mut settings = S3Settings::default();
    settings.bucket = fake.bucket_name().to_owned();
    settings.endpoint = Some(fake.endpoint());
    settings.region = Some("us-east-1".to_owned());
    settings.access_key_id = Some(fake.access_key().into());
    settings.secret_access_key = Some(fake.secret_key().into());
    settings
}

fn engine_settings() -> StoreSettings {
    let mut settings = StoreSettings::default();
    (settings.retry_delay, settings.retry_budget) = (Duration::from_millis(1), Duration::from_secs(5));
    settings
}

async fn store_with(fake: &FakeS3, change: impl FnOnce(&mut S3Settings, &mut StoreSettings)) -> S3BackupStore {
    let (mut s3, mut store) = (settings(fake), engine_settings());
    change(&mut s3, &mut store);
    S3BackupStore::connect(&s3, store, test_env(7)).await.unwrap()
}

async fn store(fake: &FakeS3) -> S3BackupStore {
    store_with(fake, |_, _| {}).await
}

/// A broker's files, its folder, and a first id.
struct Broker {
    dir: tempfile::TempDir,
    files: BrokerFiles,
    id: BackupId,
    cx: OpContext,
}

impl Broker {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = BrokerFiles::generate(dir.path().join("broker"), 11, Shape::default()).unwrap();
        Self { dir, files, id: BackupId::new(1, 100, 2), cx: OpContext::new() }
    }

    async fn save(&self, store: &dyn BackupStore) -> milepost_store::Result<milepost_store::SaveReport> {
        let backup = self.files.backup(self.id, Descriptor::default()).unwrap();
        store.save(backup, SaveOptions::default(), &self.cx).await
    }

    /// Restores and compares every byte.
    async fn restores(&self, store: &dyn BackupStore) {
        let target = self.dir.path().join("restored");
        let into = RestoreTarget { path: target.clone() };
        store.restore(self.id, into, RestoreOptions::default(), &self.cx).await.unwrap();
        same_tree(self.files.dir(), &target, &[".milepost.json"]).unwrap();
    }
}

fn code(status: &milepost_store::BackupStatus) -> Option<StatusCode> {
    status.document.as_ref().map(|document| document.status_code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_bucket_conforms() {
    let fake = FakeS3::start().unwrap();
    let bucket = S3Bucket::new(&settings(&fake)).await.unwrap();
    // The fake takes parts of any size: small ones make the suite quick.
    let options = SuiteOptions { min_part: Some(4096), ..SuiteOptions::default() };
    bucket_suite::conforms(async || bucket.clone(), &options).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_32_racing_writes_one_wins_in_every_round() {
    let fake = FakeS3::start().unwrap();
    let bucket = S3Bucket::new(&settings(&fake)).await.unwrap();
    let rounds = if long() { 1000 } else { 20 };
    one_winner_in_each_round(&bucket, rounds).await.unwrap();
    // Such a race can be lost.
    fake.set_quirks(Quirks::ignoring_conditions());
    let error = one_winner_in_each_round(&bucket, 1).await.unwrap_err();
    assert!(error.contains("creates"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_conforms() {
    let fake = FakeS3::start().unwrap();
    let next = AtomicU64::new(0);
    let open = async || {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let mut s3 = settings(&fake);
        s3.base_path = format!("base-{n}");
        let mut store = engine_settings();
        (store.part_size, store.multipart_threshold, store.memory_budget) = (64 << 10, 128 << 10, 32 << 20);
        let store: Arc<dyn BackupStore> = Arc::new(S3BackupStore::connect(&s3, store, test_env(n)).await.unwrap());
        store
    };
    store_suite::conforms(open, &StoreSuiteOptions::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_ignores_a_condition_is_refused_by_the_checks_name() {
    for (quirks, check) in [
        (Quirks { ignore_create: true, ..Quirks::default() }, "racing-creates"),
        (Quirks { ignore_replace: true, ..Quirks::default() }, "racing-replaces"),
        (Quirks { ignore_complete: true, ..Quirks::default() }, "racing-completions"),
    ] {
        let fake = FakeS3::start().unwrap();
        fake.set_quirks(quirks);
        let broker = Broker::new();
        let error = broker.save(&store(&fake).await).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Refused), "{error:?}");
        assert!(error.message().contains(check), "{check}: {error}");
        // Who declares that nobody races may go on.
        let alone = store_with(&fake, |_, store| store.single_writer = true).await;
        broker.save(&alone).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reply_to_a_write_that_won_is_a_success() {
    let fake = FakeS3::start().unwrap();
    let (store, broker) = (store(&fake).await, Broker::new());
    store.init(InitOptions::default(), &broker.cx).await.unwrap();
    // Claim, metadata, one content, commit: each reply is lost once.
    fake.inject(On::operation(Operation::PutObject).key_ending("2/status.json"), Fault::LoseReply);
    fake.inject(On::operation(Operation::PutObject).key_ending("metadata.json"), Fault::LoseReply);
    fake.inject(On::operation(Operation::PutObject).key_containing("segments/"), Fault::LoseReply);
    fake.inject(On::operation(Operation::PutObject).key_ending("2/status.json").nth(2), Fault::LoseReply);
    broker.save(&store).await.unwrap();
    assert_eq!(fake.log().faults().count(), 4, "{}", fake.log());
    assert_eq!(code(&store.status(broker.id, &broker.cx).await.unwrap()), Some(StatusCode::Completed));
    broker.restores(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reply_to_a_write_that_lost_is_a_conflict_that_names_the_owner() {
    let fake = FakeS3::start().unwrap();
    let (first, second, broker) = (store(&fake).await, store_with(&fake, |_, _| {}).await, Broker::new());
    first.init(InitOptions::default(), &broker.cx).await.unwrap();
    broker.save(&first).await.unwrap();
    // The second saver saw nothing there, and the answer to its create is lost: it must not take the other's for its own.
    fake.inject(On::operation(Operation::GetObject).key_ending("2/status.json"), Fault::answer(404, "NoSuchKey"));
    fake.inject(On::operation(Operation::PutObject).key_ending("2/status.json"), Fault::LoseReply);
    let error = broker.save(&second).await.unwrap_err();
    assert_eq!(fake.log().faults().count(), 2, "{}", fake.log());
    assert!(matches!(error.kind(), ErrorKind::Conflict { .. } | ErrorKind::WrongState { .. }), "{error:?}");
    assert_eq!(error.kind().exit_code(), 5);
    assert_eq!(code(&first.status(broker.id, &broker.cx).await.unwrap()), Some(StatusCode::Completed));
    broker.restores(&first).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bursts_of_503_are_waited_out() {
    let fake = FakeS3::start().unwrap();
    let (store, broker) = (store(&fake).await, Broker::new());
    store.init(InitOptions::default(), &broker.cx).await.unwrap();
    for (operation, nth) in
        [(Operation::PutObject, 1), (Operation::PutObject, 9), (Operation::GetObject, 3), (Operation::ListObjectsV2, 1)]
    {
        fake.inject(On::operation(operation).nth(nth).times(4), Fault::answer(503, "SlowDown"));
    }
    broker.save(&store).await.unwrap();
    broker.restores(&store).await;
    assert!(fake.log().faults().count() >= 12, "{}", fake.log());
    assert!(broker.cx.progress().sample().retries >= 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_body_is_resumed_where_it_ended() {
    let fake = FakeS3::start().unwrap();
    let (store, broker) = (store(&fake).await, Broker::new());
    broker.save(&store).await.unwrap();
    fake.reset();
    // Files that are longer than that, by name: they are fetched in any order.
    let cuts = [("/segments/000000000005.log", 2, 100), ("/snapshots/000006.sst", 1, 3)];
    for (key, times, at) in cuts {
        fake.inject(On::operation(Operation::GetObject).key_ending(key).nth(1).times(times), Fault::CutBody(at));
    }
    broker.restores(&store).await;
    let log = fake.log();
    for (key, times, _) in cuts {
        let cut = log.faults().filter(|request| request.key.ends_with(key)).count();
        let asked = log.of(Operation::GetObject).filter(|request| request.key.ends_with(key)).count();
        assert_eq!((cut as u64, asked as u64), (times, times + 1), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_never_reaches_the_target() {
    let fake = FakeS3::start().unwrap();
    let (store, broker) = (store(&fake).await, Broker::new());
    broker.save(&store).await.unwrap();
    fake.inject(On::operation(Operation::GetObject).key_containing("/segments/").always(), Fault::FlipByte(0));
    let target = broker.dir.path().join("restored");
    let into = RestoreTarget { path: target.clone() };
    let error = store.restore(broker.id, into, RestoreOptions::default(), &broker.cx).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Integrity { .. }), "{error:?}");
    assert!(!target.exists());
    fake.clear_faults();
    broker.restores(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_meets_the_attempts_timeout() {
    let fake = FakeS3::start().unwrap();
    // Long enough for what no script holds up, on a machine that is busy with other tests too.
    let impatient = store_with(&fake, |s3, store| {
        (s3.connect_timeout, s3.attempt_timeout) = (Duration::from_secs(1), Duration::from_secs(1));
        s3.operation_timeout = Duration::from_millis(1500);
        store.retry_budget = Duration::from_secs(6);
    });
    let broker = Broker::new();
    broker.save(&store(&fake).await).await.unwrap();
    let store = impatient.await;
    // Once: the next try succeeds.
    let hang = Gate::new();
    fake.inject(
        On::operation(Operation::GetObject).key_ending("2/status.json"),
        Fault::Wait(Wait::Until(hang.clone())),
    );
    assert_eq!(code(&store.status(broker.id, &broker.cx).await.unwrap()), Some(StatusCode::Completed));
    // For good: an error once the budget is spent.
    fake.inject(
        On::operation(Operation::GetObject).key_ending("2/status.json").always(),
        Fault::Wait(Wait::Until(hang.clone())),
    );
    let begun = tokio::time::Instant::now();
    let error = store.status(broker.id, &broker.cx).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unavailable), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    hang.open();
    // A body that stalls is cut by the same limit, and resumed.
    fake.clear_faults();
    fake.inject(
        On::operation(Operation::GetObject).key_ending("/segments/000000000005.log").nth(1),
        Fault::StallBody(10),
    );
    broker.restores(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_duplicate_of_a_content_changes_nothing_after_the_commit() {
    let fake = FakeS3::start().unwrap();
    let (store, broker) = (store(&fake).await, Broker::new());
    let late = Gate::new();
    fake.inject(
        On::operation(Operation::PutObject).key_containing("/segments/").times(3),
        Fault::Repeat(Wait::Until(late.clone())),
    );
    broker.save(&store).await.unwrap();
    late.open();
    fake.settled().await;
    let refused: Vec<_> = fake.log().faults().map(|request| request.late).collect();
    assert_eq!(refused, [Some(412); 3]);
    let report = store.verify(broker.id, VerifyLevel::Content, &broker.cx).await.unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
    broker.restores(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_cannot_be_deleted_are_told_one_by_one_and_the_same_delete_goes_on() {
    let fake = FakeS3::start().unwrap();
    let (store, broker) = (store(&fake).await, Broker::new());
    broker.save(&store).await.unwrap();
    let kept = fake.bucket().keys().into_iter().filter(|key| key.contains("/snapshots/")).count();
    let keep = Fault::KeepKeys { containing: "/snapshots/".to_owned(), code: "AccessDenied".to_owned() };
    fake.inject(On::operation(Operation::DeleteObjects).always(), keep);
    let error = store.delete(broker.id, DeleteOptions::default(), &broker.cx).await.unwrap_err();
    let ErrorKind::Partial { report } = error.kind() else { panic!("{error:?}") };
    assert_eq!(report.failed.len(), kept, "{report:?}");
    assert!(report.failed.iter().all(|(key, why)| key.contains("/snapshots/") && why.contains("AccessDenied")));
    assert_eq!(code(&store.status(broker.id, &broker.cx).await.unwrap()), Some(StatusCode::Deleting));
    fake.clear_faults();
    store.delete(broker.id, DeleteOptions::default(), &broker.cx).await.unwrap();
    let left: Vec<String> = fake.bucket().keys().into_iter().filter(|key| key.starts_with("1/")).collect();
    assert_eq!(left, ["1/100/2/status.json"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abandoned_upload_is_found_by_its_exact_key() {
    let fake = FakeS3::start().unwrap();
    fake.set_quirks(Quirks { uploads_by_exact_key: true, ..Quirks::default() });
    let (store, broker) = (store(&fake).await, Broker::new());
    broker.save(&store).await.unwrap();
    let bucket: &S3Bucket = store.bucket();
    let keys: Vec<String> = fake.bucket().keys().into_iter().filter(|key| key.contains("/segments/")).collect();
    for key in &keys[..3] {
        use milepost_store::Bucket as _;
        bucket.create_upload(&milepost_store::core::ObjectKey::new(key.as_str()).unwrap(), 5 << 20).await.unwrap();
    }
    assert_eq!(store.open_uploads(broker.id, &broker.cx).await.unwrap().len(), 3);
    let report = store.delete(broker.id, DeleteOptions::default(), &broker.cx).await.unwrap();
    assert_eq!(report.uploads, 3, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_vanishes_is_told_as_such_at_any_call() {
    let fake = FakeS3::start().unwrap();
    let mut gone = settings(&fake);
    gone.bucket = "nowhere".to_owned();
    let bucket = S3Bucket::new(&gone).await.unwrap();
    let store = BucketBackupStore::new(bucket, gone.layout().unwrap(), engine_settings(), test_env(1)).unwrap();
    let error = store.status(BackupId::new(1, 1, 1), &OpContext::new()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput), "{error:?}");
    assert!(error.hint().unwrap().contains("never creates it"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_whose_listing_is_denied_is_told_as_such_and_nothing_is_called_whole() {
    let fake = FakeS3::start().unwrap();
    let (store, mut broker) = (store(&fake).await, Broker::new());
    broker.save(&store).await.unwrap();
    fake.inject(On::operation(Operation::ListObjectsV2).always(), Fault::answer(403, "AccessDenied"));
    let told = |error: milepost_store::Error| {
        assert!(matches!(error.kind(), ErrorKind::Denied), "{error:?}");
        assert!(error.hint().unwrap_or_default().contains("s3:ListBucket"), "{error:?}");
    };
    told(S3BackupStore::connect(&settings(&fake), engine_settings(), test_env(1)).await.unwrap_err());
    // What needs no listing still works.
    broker.restores(&store).await;
    let listed: Vec<_> = futures::StreamExt::collect(store.list(ListQuery::default(), broker.cx.clone())).await;
    assert_eq!(listed.len(), 1);
    told(listed.into_iter().next().unwrap().unwrap_err());
    told(store.verify(broker.id, VerifyLevel::Objects, &broker.cx).await.unwrap_err());
    told(store.delete(broker.id, DeleteOptions::default(), &broker.cx).await.unwrap_err());
    broker.id = BackupId::new(1, 200, 2);
    told(broker.save(&store).await.unwrap_err());
    assert_eq!(code(&store.status(broker.id, &broker.cx).await.unwrap()), Some(StatusCode::Failed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_another_cluster_uses_is_refused_and_left_as_it_is() {
    let fake = FakeS3::start().unwrap();
    let broker = Broker::new();
    broker.save(&store(&fake).await).await.unwrap();
    let before = fake.bucket().keys();
    let other = store_with(&fake, |_, store| store.cluster = "staging".to_owned()).await;
    fake.reset();
    for error in [
        broker.save(&other).await.map(drop).unwrap_err(),
        other.status(broker.id, &broker.cx).await.map(drop).unwrap_err(),
        other.delete(broker.id, DeleteOptions::default(), &broker.cx).await.map(drop).unwrap_err(),
        other.init(InitOptions::default(), &broker.cx).await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error.kind(), ErrorKind::Refused), "{error:?}");
        assert!(error.message().contains("staging"), "{error:?}");
    }
    assert_eq!(fake.bucket().keys(), before);
    assert_eq!(fake.counts().keys().collect::<Vec<_>>(), [&Operation::GetObject], "{}", fake.log());
}

/// The formulas of docs/s3.md.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_a_list_and_a_restore_cost_what_the_documentation_says() {
    use futures::StreamExt as _;
    let fake = FakeS3::start().unwrap();
    let (store, broker) = (store(&fake).await, Broker::new());
    store.init(InitOptions::default(), &broker.cx).await.unwrap();
    fake.reset();
    let saved = broker.save(&store).await.unwrap();
    let n = saved.files.len() as u64;
    let counts = fake.counts();
    let count = |operation: Operation| counts.get(&operation).copied().unwrap_or(0);
    // None by multipart, less than one sign of life: n contents, claim, metadata, commit; two listings of one page each.
    assert_eq!(count(Operation::PutObject), n + 3, "{counts:?}");
    assert_eq!(count(Operation::ListObjectsV2), 2, "{counts:?}");
    let reads = count(Operation::GetObject) + count(Operation::HeadObject);
    assert!((4..=5).contains(&reads), "{counts:?}");
    fake.reset();
    let listed: Vec<_> = store.list(ListQuery::default(), broker.cx.clone()).collect().await;
    assert_eq!(listed.len(), 1);
    let counts = fake.counts();
    // The root, one partition, one checkpoint; one status.
    assert_eq!(counts.get(&Operation::ListObjectsV2), Some(&3), "{counts:?}");
    assert_eq!(counts.get(&Operation::GetObject), Some(&1), "{counts:?}");
    fake.reset();
    broker.restores(&store).await;
    let counts = fake.counts();
    let empty = saved.files.iter().filter(|file| file.record.size == 0).count() as u64;
    assert_eq!(counts.get(&Operation::GetObject), Some(&(3 + n - empty)), "{counts:?}");
    assert_eq!(counts.len(), 1, "{counts:?}");
}

#[tokio::test]
async fn doctor_examines_a_server_and_reads_its_clock() {
    use milepost_store::Bucket as _;
    use milepost_store::doctor::{Check, DoctorOptions, Outcome, examine, repair};
    let fake = FakeS3::start().unwrap();
    let (store, broker) = (store(&fake).await, Broker::new());
    broker.save(&store).await.unwrap();
    let time = store.bucket().clock().await.unwrap().expect("every reply carries a Date");
    // The tests' clock stands in November 2026, the server's is real: far apart, and so told.
    assert!(time > milepost_store::core::Timestamp::from_second(1_700_000_000).unwrap(), "{time}");
    let key = milepost_store::core::ObjectKey::new("1/100/2/segments/left").unwrap();
    store.bucket().create_upload(&key, 5 << 20).await.unwrap();
    let mut options = DoctorOptions::new(time);
    options.stale_after = Duration::ZERO;
    let mut found = examine(&store, &options, &broker.cx).await.unwrap();
    let outcome = |check: Check| found.checks.iter().find(|one| one.check == check).unwrap().outcome;
    for check in [Check::Probe, Check::Permissions, Check::Clock, Check::Objects, Check::Uploads] {
        assert_eq!(outcome(check), Outcome::Done, "{check:?}: {:#?}", found.checks);
    }
    assert_eq!(found.repairable(), 1, "{:#?}", found.findings);
    repair(&store, &mut found, &options, &broker.cx).await.unwrap();
    assert_eq!(found.repairable(), 0, "{:#?}", found.findings);
    let id = broker.id;
    assert!(store.open_uploads(id, &broker.cx).await.unwrap().is_empty());
    broker.restores(&store).await;
}
