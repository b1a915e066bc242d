//! No secret in use is ever logged, not even at trace level, where the SDK logs whole requests.

#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy.toml covers the tests alone")]

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use milepost_s3::{S3BackupStore, S3Settings, Sse};
use milepost_store::bucket::{Bucket, ListRequest, PutMode};
use milepost_store::core::{Crc64Nvme, ObjectKey};
use milepost_store::{BackupStore as _, OpContext, StoreSettings};
use milepost_testkit::fixtures::test_env;
use support::{Canned, error, reply};
use tracing_subscriber::fmt::MakeWriter;

/// All that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    fn all(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// One test for the whole binary: the log is the process's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_at_trace_level_hold_no_secret() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::TRACE);
    subscriber.with_writer(log.clone()).with_ansi(false).init();
    let page = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    let server = Canned::new(vec![
        reply("200 OK", "etag: \"e\"", ""),
        error("403 Forbidden", "AccessDenied"),
        reply("200 OK", "", page),
    ]);
    let server = server.await;
    let bucket = server.bucket_with(|settings| settings.session_token = Some("hunter2token".into())).await;
    let (key, body) = (ObjectKey::new("a").unwrap(), Bytes::from_static(b"hello"));
    bucket.put(&key, body.clone(), Crc64Nvme::of(&body), PutMode::Create).await.unwrap();
    bucket.head(&key).await.unwrap_err();
    bucket.list(ListRequest::all("")).await.unwrap();
    let logged = log.all();
    // Else the test would see nothing because nothing is logged.
    assert!(logged.contains("TRACE") && logged.contains("aws_"), "the SDK logged nothing: {logged}");
    assert!(!logged.contains(support::SECRET), "the secret key is logged");
    let at = logged.find("hunter2token").map(|at| logged[at.saturating_sub(200)..at].to_owned());
    assert_eq!(at, None, "the session token is logged");
    over_tls(&log).await;
}

/// The same with TLS, an own authority and a customer key, on a real server.
async fn over_tls(log: &Log) {
    let var = |name: &str| std::env::var(format!("MILEPOST_TEST_S3_{name}")).ok();
    let (Some(endpoint), Some(ca)) = (var("TLS_ENDPOINT"), var("CA_BUNDLE")) else {
        let _ = writeln!(
            std::io::stderr(),
            "NOT RUN: logs_at_trace_level_hold_no_secret, its part over TLS: MILEPOST_TEST_S3_TLS_ENDPOINT is not set"
        );
        return;
    };
    let _ = writeln!(std::io::stderr(), "RAN AGAINST MINIO: logs_at_trace_level_hold_no_secret");
    let dir = tempfile::tempdir().unwrap();
    let key_file = dir.path().join("key");
    std::fs::write(&key_file, b"hunter2-0123456789-0123456789-01").unwrap();
    let mut settings: S3Settings = support::settings(&endpoint);
    settings.bucket = var("TLS_BUCKET").unwrap();
    settings.base_path = format!("run-{}", std::process::id());
    settings.access_key_id = Some(var("ACCESS_KEY").unwrap().as_str().into());
    settings.secret_access_key = Some(var("SECRET_KEY").unwrap().as_str().into());
    let open =
        async |settings: &S3Settings| S3BackupStore::connect(settings, StoreSettings::default(), test_env(1)).await;
    let error = open(&settings).await.unwrap_err();
    assert!(error.hint().unwrap_or_default().contains("ca_bundle"), "{error:?}");
    settings.ca_bundle = Some(ca.into());
    (settings.sse, settings.sse_customer_key_file) = (Sse::Customer, Some(key_file));
    let store = open(&settings).await.unwrap();
    let bucket = store.bucket();
    let (key, body) = (ObjectKey::new(format!("{}/a", settings.base_path)).unwrap(), Bytes::from_static(b"hello"));
    bucket.put(&key, body.clone(), Crc64Nvme::of(&body), PutMode::Create).await.unwrap();
    assert_eq!(bucket.head(&key).await.unwrap().crc64nvme, Some(Crc64Nvme::of(&body)));
    assert_eq!(bucket.get(&key, None).await.unwrap().meta.size, 5);
    let id = "1/100/2".parse().unwrap();
    assert!(store.status(id, &OpContext::new()).await.unwrap().document.is_none());
    bucket.delete(vec![key.as_str().to_owned()]).await.unwrap();
    let logged = log.all();
    assert!(!logged.contains(&var("SECRET_KEY").unwrap()), "the secret key is logged");
    for (name, shown) in [("raw", "hunter2-0123"), ("base64", "aHVudGVyMi0wMTIz")] {
        let at = logged.find(shown).map(|at| logged[at.saturating_sub(300)..at].to_owned());
        assert_eq!(at, None, "the customer key is logged, {name}");
    }
}
