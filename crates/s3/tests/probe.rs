//! When a store is tried out, and when a kept result is believed instead (PROBE-3, PROBE-4), counted in requests.

#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy.toml covers the tests alone")]

use std::time::Duration;

use milepost_s3::{S3BackupStore, S3Settings};
use milepost_store::core::{BackupId, Descriptor, ProbeDocument};
use milepost_store::{
    Backup, BackupStore as _, ErrorKind, InitOptions, OpContext, Result, SaveOptions, StoreAdmin as _, StoreSettings,
};
use milepost_testkit::fake_s3::{FakeS3, Fault, On, Operation, Quirks};
use milepost_testkit::fixtures::test_env;

/// A store of a process that has just started.
async fn store_with(fake: &FakeS3, change: impl FnOnce(&mut S3Settings, &mut StoreSettings)) -> S3BackupStore {
    let (mut s3, mut store) = (S3Settings::default(), StoreSettings::default());
    s3.bucket = fake.bucket_name().to_owned();
    (s3.endpoint, s3.region) = (Some(fake.endpoint()), Some("us-east-1".to_owned()));
    s3.access_key_id = Some(fake.access_key().into());
    s3.secret_access_key = Some(fake.secret_key().into());
    (store.retry_delay, store.retry_budget) = (Duration::from_millis(1), Duration::from_secs(5));
    change(&mut s3, &mut store);
    S3BackupStore::connect(&s3, store, test_env(7)).await.unwrap()
}

async fn store(fake: &FakeS3) -> S3BackupStore {
    store_with(fake, |_, _| {}).await
}

/// A backup without files: whatever else is written is the probe's.
async fn save(store: &S3BackupStore, id: &str) -> Result<()> {
    let id: BackupId = id.parse().unwrap();
    let backup =
        Backup { id, descriptor: Descriptor::default(), snapshots: vec![], segments: vec![], reservation: None };
    store.save(backup, SaveOptions::default(), &OpContext::new()).await.map(drop)
}

/// How many probes the fake has seen since the last look: each races 32 creates of one key.
fn probes(fake: &FakeS3) -> usize {
    let log = fake.log();
    let creates = log.of(Operation::PutObject).filter(|request| request.key.ends_with("/create")).count();
    assert_eq!(creates % 32, 0, "{log}");
    fake.reset();
    creates / 32
}

fn results(fake: &FakeS3) -> Vec<String> {
    fake.bucket().keys().into_iter().filter(|key| key.starts_with("_milepost/probe/")).collect()
}

fn result(fake: &FakeS3) -> ProbeDocument {
    let keys = results(fake);
    assert!(keys.len() == 1 && keys[0].starts_with("_milepost/probe/result-"), "{keys:?}");
    ProbeDocument::parse(&fake.bucket().bytes(&keys[0]).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn init_and_probe_keep_their_result_and_the_first_write_believes_it() {
    let fake = FakeS3::start().unwrap();
    let report = store(&fake).await.probe(&OpContext::new()).await.unwrap();
    assert_eq!(probes(&fake), 1);
    let kept = result(&fake);
    assert_eq!(kept.location, report.location);
    assert!(kept.location.contains(&fake.endpoint()) && kept.location.contains(fake.bucket_name()), "{kept:?}");
    assert_eq!(kept.milepost_version, env!("CARGO_PKG_VERSION"));
    assert_eq!(kept.probed_at, test_env(7).clock.now());
    let names: Vec<&str> = kept.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, report.checks.iter().map(|check| check.name).collect::<Vec<_>>());
    // A new base, then one that stands, each by a process of its own.
    save(&store(&fake).await, "1/1/1").await.unwrap();
    save(&store(&fake).await, "1/2/1").await.unwrap();
    store(&fake).await.init(InitOptions::default(), &OpContext::new()).await.unwrap();
    assert_eq!(probes(&fake), 0);
    // People who ask are always answered by a look.
    store(&fake).await.probe(&OpContext::new()).await.unwrap();
    assert_eq!(probes(&fake), 1);
    // Another base is init's to try out.
    let other = store_with(&fake, |s3, _| s3.base_path = "other".to_owned()).await;
    other.init(InitOptions::default(), &OpContext::new()).await.unwrap();
    save(&other, "1/1/1").await.unwrap();
    assert_eq!(probes(&fake), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_write_probes_where_nothing_is_kept_and_then_keeps_it() {
    let fake = FakeS3::start().unwrap();
    let first = store(&fake).await;
    // Of concurrent first writes one probes.
    let saves = (1..5).map(|n| {
        let (first, id) = (first.clone(), format!("1/{n}/1"));
        async move { save(&first, &id).await }
    });
    assert!(futures::future::join_all(saves).await.iter().all(Result::is_ok));
    assert_eq!(probes(&fake), 1);
    // One more GET for each process that writes: that of the result.
    let next = store(&fake).await;
    fake.reset();
    save(&next, "1/7/1").await.unwrap();
    let asked = fake.log().of(Operation::GetObject).filter(|request| request.key.contains("/probe/")).count();
    assert_eq!((asked, probes(&fake)), (1, 0));
    save(&next, "1/8/1").await.unwrap();
    assert!(!fake.log().of(Operation::GetObject).any(|request| request.key.contains("/probe/")), "{}", fake.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_of_another_endpoint_vouches_for_nothing() {
    let fake = FakeS3::start().unwrap();
    store(&fake).await.init(InitOptions::default(), &OpContext::new()).await.unwrap();
    // The same objects, copied to a server that ignores conditions.
    let copy = FakeS3::serve(fake.bucket().clone()).unwrap();
    copy.set_quirks(Quirks::ignoring_conditions());
    let error = save(&store(&copy).await, "1/1/1").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused) && error.message().contains("racing-creates"), "{error:?}");
    assert_eq!(probes(&copy), 1);
    assert!(!copy.bucket().keys().iter().any(|key| key.starts_with("1/")), "nothing was written");
    // The same under the result's own name, as one who copies by hand might make it.
    let keys = results(&fake);
    let of = |fake: &FakeS3| {
        let text = |key: &&String| String::from_utf8(fake.bucket().bytes(key).unwrap().to_vec()).unwrap();
        keys.iter().find(|key| text(key).contains(&fake.endpoint())).unwrap()
    };
    copy.bucket().put_raw(of(&copy).clone(), fake.bucket().bytes(of(&fake)).unwrap());
    assert!(matches!(save(&store(&copy).await, "1/1/1").await.unwrap_err().kind(), ErrorKind::Refused));
    assert_eq!(probes(&copy), 1);
    // Both endpoints' results stand side by side: nodes may reach one store by several.
    assert_eq!(results(&fake).len(), 2);
    fake.reset();
    save(&store(&fake).await, "1/1/1").await.unwrap();
    assert_eq!(probes(&fake), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unfit_result_is_not_believed_for_ever() {
    let fake = FakeS3::start().unwrap();
    fake.set_quirks(Quirks::ignoring_conditions());
    for _ in 0..2 {
        let error = save(&store(&fake).await, "1/1/1").await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Refused), "{error:?}");
        assert_eq!(probes(&fake), 1);
    }
    assert!(result(&fake).checks.iter().any(|check| check.required && check.failure.is_some()));
    // Who goes on all the same is spared a probe with each process.
    let alone = store_with(&fake, |_, store| store.single_writer = true).await;
    save(&alone, "1/1/1").await.unwrap();
    assert_eq!(probes(&fake), 0);
    // The server was mended.
    fake.set_quirks(Quirks::default());
    let mended = store(&fake).await;
    save(&mended, "1/2/1").await.unwrap();
    assert_eq!(probes(&fake), 1);
    assert!(result(&fake).checks.iter().all(|check| check.failure.is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_is_no_result_is_replaced() {
    let fake = FakeS3::start().unwrap();
    store(&fake).await.init(InitOptions::default(), &OpContext::new()).await.unwrap();
    let (key, good) = (results(&fake).remove(0), result(&fake));
    let whole = String::from_utf8(good.encode().unwrap()).unwrap();
    fake.reset();
    for garbage in [
        String::new(),
        "{".to_owned(),
        "\u{0}".repeat(100),
        " ".repeat(70_000),
        whole.replace("\"formatVersion\": 1", "\"formatVersion\": 2"),
        // An older version knew fewer checks.
        whole.replace("etag-form", "etag-shape"),
        whole.replacen("\"failure\": null", "\"failure\": \"x\"", 1),
    ] {
        assert_ne!(garbage, whole);
        fake.bucket().put_raw(key.clone(), garbage.clone());
        save(&store(&fake).await, &format!("1/{}/1", garbage.len() + 1)).await.unwrap();
        assert_eq!(probes(&fake), 1, "{garbage:.80}");
        assert_eq!(result(&fake).checks, good.checks);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_may_not_be_written_is_a_warning() {
    let fake = FakeS3::start().unwrap();
    let denied = || Fault::answer(403, "AccessDenied");
    fake.inject(On::operation(Operation::PutObject).key_containing("/probe/result-").always(), denied());
    assert!(store(&fake).await.probe(&OpContext::new()).await.unwrap().fit());
    store(&fake).await.init(InitOptions::default(), &OpContext::new()).await.unwrap();
    assert_eq!((probes(&fake), results(&fake).len()), (2, 0));
    save(&store(&fake).await, "1/1/1").await.unwrap();
    assert_eq!(probes(&fake), 1);
    // A role that may write nothing of the probe's relies on who made the base, but makes none.
    fake.inject(On::operation(Operation::PutObject).key_containing("/probe/").always(), denied());
    save(&store(&fake).await, "1/2/1").await.unwrap();
    let other = store_with(&fake, |s3, _| s3.base_path = "other".to_owned()).await;
    let error = save(&other, "1/1/1").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Denied), "{error:?}");
    assert!(!fake.bucket().keys().iter().any(|key| key.starts_with("other/")));
}
