//! What the tests against a real server share: where it is, and a backup that goes round.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::Write as _;

use milepost_s3::{S3BackupStore, S3Settings};
use milepost_store::bucket::{Bucket as _, ListRequest};
use milepost_store::core::{BackupId, Descriptor, VerifyLevel};
use milepost_store::{
    BackupStore as _, DeleteOptions, InitOptions, OpContext, RestoreOptions, RestoreTarget, Result, SaveOptions,
    StoreAdmin as _, StoreSettings,
};
use milepost_testkit::fixtures::{BrokerFiles, Shape, same_tree, test_env};

/// One of the variables by which `scripts/minio` says what it has started.
pub(crate) fn var(name: &str) -> Option<String> {
    std::env::var(format!("MILEPOST_TEST_S3_{name}")).ok().filter(|value| !value.is_empty())
}

/// All of these variables for the test of this name; `None`, and says so, where one is missing. Past the test's capture, so that
/// nobody takes silence for success.
pub(crate) fn vars<const N: usize>(test: &str, names: [&str; N]) -> Option<[String; N]> {
    let missing: Vec<String> =
        names.iter().filter(|name| var(name).is_none()).map(|name| format!("MILEPOST_TEST_S3_{name}")).collect();
    if missing.is_empty() {
        let _ = writeln!(std::io::stderr(), "RAN AGAINST MINIO: {test}");
        return Some(names.map(|name| var(name).unwrap()));
    }
    let why = if var("ENDPOINT").is_some() && var("KMS_KEY").is_none() {
        "a server that MILEPOST_TEST_S3_ENDPOINT names is left as it is: scripts/minio prepares only its own"
    } else {
        "scripts/minio sets it, for TLS with openssl"
    };
    let _ = writeln!(std::io::stderr(), "NOT RUN: {test}: {} is not set: {why}", missing.join(", "));
    None
}

/// Settings of the bucket `bucket` at `endpoint` with the first user's keys and a base of this process and test.
pub(crate) fn settings(endpoint: &str, bucket: &str, test: &str) -> S3Settings {
    let mut settings = S3Settings::default();
    (settings.bucket, settings.base_path) = (bucket.to_owned(), format!("{test}-{}", std::process::id()));
    (settings.endpoint, settings.region) = (Some(endpoint.to_owned()), Some("us-east-1".to_owned()));
    settings.access_key_id = Some(var("ACCESS_KEY").unwrap().as_str().into());
    settings.secret_access_key = Some(var("SECRET_KEY").unwrap().as_str().into());
    settings
}

/// A store with small parts.
pub(crate) async fn connect(settings: &S3Settings) -> Result<S3BackupStore> {
    let mut store = StoreSettings::default();
    (store.part_size, store.multipart_threshold) = (5 << 20, 6 << 20);
    S3BackupStore::connect(settings, store, test_env(5)).await
}

/// init, save with one file by multipart, verify, restore, delete. `look` sees each key while the backup stands.
pub(crate) async fn goes_round(settings: &S3Settings, look: impl AsyncFn(&S3BackupStore, &str)) {
    let (store, cx) = (connect(settings).await.unwrap(), OpContext::new());
    let dir = tempfile::tempdir().unwrap();
    let shape = Shape { part_size: 5 << 20, ..Shape::default() };
    let files = BrokerFiles::generate(dir.path().join("broker"), 5, shape).unwrap();
    let id = BackupId::new(1, 100, 2);
    store.init(InitOptions::default(), &cx).await.unwrap();
    store.save(files.backup(id, Descriptor::default()).unwrap(), SaveOptions::default(), &cx).await.unwrap();
    for level in [VerifyLevel::Documents, VerifyLevel::Objects, VerifyLevel::Checksums, VerifyLevel::Content] {
        let report = store.verify(id, level, &cx).await.unwrap();
        assert!(report.findings.is_empty(), "{report:?}");
    }
    for key in keys(&store, &format!("{}/1/", settings.base_path)).await {
        look(&store, &key).await;
    }
    let target = dir.path().join("restored");
    store.restore(id, RestoreTarget { path: target.clone() }, RestoreOptions::default(), &cx).await.unwrap();
    same_tree(files.dir(), &target, &[".milepost.json"]).unwrap();
    store.delete(id, DeleteOptions::default(), &cx).await.unwrap();
    let left = keys(&store, &format!("{}/1/", settings.base_path)).await;
    assert_eq!(left, [format!("{}/1/100/2/status.json", settings.base_path)]);
    store.bucket().delete(keys(&store, &format!("{}/", settings.base_path)).await).await.unwrap();
}

/// All keys below a prefix, at most a page.
pub(crate) async fn keys(store: &S3BackupStore, prefix: &str) -> Vec<String> {
    let page = store.bucket().list(ListRequest::all(prefix)).await.unwrap();
    assert!(page.next.is_none());
    page.objects.into_iter().map(|object| object.key).collect()
}
