//! The bucket against a real server: the conformance suite, and what only a real server shows.
//!
//! `MILEPOST_TEST_S3_ENDPOINT`, `MILEPOST_TEST_S3_ACCESS_KEY` and `MILEPOST_TEST_S3_SECRET_KEY` name it; without them the tests
//! say that they did not run. Each test makes a bucket of its own, and empties and removes it where it passes.

#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy.toml covers the tests alone")]
#![allow(clippy::print_stdout, reason = "counts")]

use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use bytes::Bytes;
use futures::TryStreamExt as _;
use milepost_s3::{S3BackupStore, S3Bucket, S3Settings, WireChecksum};
use milepost_store::bucket::{Bucket, ListRequest, UploadQuery};
use milepost_store::core::{
    BackupId, Crc64Nvme, Descriptor, FileName, FileSetKind, Hashes, Layout, ObjectKey, VerifyLevel,
};
use milepost_store::{
    Backup, BackupStore as _, DeleteOptions, ErrorKind, InitOptions, OpContext, RestoreOptions, RestoreTarget,
    SaveOptions, StoreAdmin as _, StoreSettings,
};
use milepost_testkit::bucket_suite::{SuiteOptions, conforms};
use milepost_testkit::fixtures::{BrokerFiles, GrowthTrial, Shape, long, same_tree, test_env};

/// Said past the test's capture, so that nobody takes silence for success.
fn not_run(why: &str) {
    let _ = writeln!(std::io::stderr(), "NOT RUN: {why}");
}

/// A server to test on, and a bucket of its own.
struct Server {
    endpoint: String,
    id: String,
    secret: String,
    bucket: String,
    client: Client,
}

impl Server {
    /// Makes a bucket for a test; `None`, and says so, where there is no server.
    async fn new(test: &str) -> Option<Self> {
        let var = |name: &str| std::env::var(format!("MILEPOST_TEST_S3_{name}")).ok();
        let Some(endpoint) = var("ENDPOINT") else {
            not_run(&format!("{test}: MILEPOST_TEST_S3_ENDPOINT is not set"));
            return None;
        };
        let (id, secret) = (var("ACCESS_KEY").unwrap(), var("SECRET_KEY").unwrap());
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&endpoint)
            .force_path_style(true)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new(&id, &secret, None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        let client = Client::from_conf(config);
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let bucket = format!("mp-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        client.create_bucket().bucket(&bucket).send().await.unwrap();
        let _ = writeln!(std::io::stderr(), "RAN AGAINST MINIO: {test}");
        Some(Self { endpoint, id, secret, bucket, client })
    }

    fn settings(&self) -> S3Settings {
        let mut settings = S3Settings::default();
        settings.bucket = self.bucket.clone();
        settings.endpoint = Some(self.endpoint.clone());
        settings.region = Some("us-east-1".to_owned());
        settings.access_key_id = Some(self.id.as_str().into());
        settings.secret_access_key = Some(self.secret.as_str().into());
        settings
    }

    async fn bucket(&self) -> S3Bucket {
        S3Bucket::new(&self.settings()).await.unwrap()
    }

    async fn bucket_with(&self, change: impl FnOnce(&mut S3Settings)) -> S3Bucket {
        let mut settings = self.settings();
        change(&mut settings);
        S3Bucket::new(&settings).await.unwrap()
    }

    /// Empties and removes the bucket.
    async fn done(self) {
        let bucket = self.bucket().await;
        loop {
            let page = bucket.list(ListRequest::all("")).await.unwrap();
            let keys: Vec<String> = page.objects.into_iter().map(|object| object.key).collect();
            if keys.is_empty() {
                break;
            }
            bucket.delete(keys).await.unwrap();
        }
        self.client.delete_bucket().bucket(&self.bucket).send().await.unwrap();
    }
}

fn suite() -> SuiteOptions {
    // MinIO lists uploads by exact key only.
    SuiteOptions { uploads_listed_by_prefix: false, ..SuiteOptions::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_bucket_conforms() {
    let Some(server) = Server::new("the_bucket_conforms").await else { return };
    let bucket = server.bucket().await;
    conforms(async || bucket.clone(), &suite()).await.unwrap();
    server.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_bucket_conforms_with_the_other_checksums() {
    let Some(server) = Server::new("the_bucket_conforms_with_the_other_checksums").await else { return };
    for wire in [WireChecksum::Crc32c, WireChecksum::Off] {
        let bucket = server
            .bucket_with(|settings| {
                settings.wire_checksum = wire;
                settings.content_md5 = true;
                settings.payload_signing = wire == WireChecksum::Off;
            })
            .await;
        // The checksum that the suite gets wrong on purpose is not the one that is sent.
        let options =
            SuiteOptions { put_checksums: false, upload_checksums: false, rounds: 1, many_keys: 1_001, ..suite() };
        conforms(async || bucket.clone(), &options).await.unwrap_or_else(|error| panic!("{wire:?}: {error}"));
        // Each run wants it empty.
        loop {
            let page = bucket.list(ListRequest::all("")).await.unwrap();
            if page.objects.is_empty() {
                break;
            }
            bucket.delete(page.objects.into_iter().map(|object| object.key).collect()).await.unwrap();
        }
    }
    server.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_probe_finds_the_server_fit() {
    let Some(server) = Server::new("the_probe_finds_the_server_fit").await else { return };
    let store = S3BackupStore::connect(&server.settings(), StoreSettings::default(), test_env(1)).await.unwrap();
    let report = store.probe(&OpContext::new()).await.unwrap();
    assert!(report.checks.iter().all(|check| check.failure.is_none()), "{report:?}");
    server.done().await;
}

#[tokio::test]
async fn what_is_wrong_at_the_start_is_told() {
    let Some(server) = Server::new("what_is_wrong_at_the_start_is_told").await else { return };
    let refused = async |change: fn(&mut S3Settings)| {
        let mut settings = server.settings();
        change(&mut settings);
        let start = tokio::time::Instant::now();
        let error = S3BackupStore::connect(&settings, StoreSettings::default(), test_env(1)).await.unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(30), "{error:?}");
        assert!(!format!("{error:?}").contains(&server.secret), "{error:?}");
        error
    };
    let error = refused(|settings| settings.bucket = "mp-no-such-bucket".into()).await;
    assert!(matches!(error.kind(), ErrorKind::InvalidInput) && error.hint().unwrap().contains("never creates it"));
    let error = refused(|settings| settings.secret_access_key = Some("wrong-secret".into())).await;
    assert!(matches!(error.kind(), ErrorKind::Denied) && error.hint().unwrap().contains("secret_access_key is wrong"));
    let error = refused(|settings| settings.access_key_id = Some("nobody".into())).await;
    assert!(matches!(error.kind(), ErrorKind::Denied) && error.hint().unwrap().contains("does not know access_key_id"));
    let error = refused(|settings| settings.endpoint = Some("http://127.0.0.1:1".into())).await;
    assert!(matches!(error.kind(), ErrorKind::Unavailable), "{error:?}");
    server.done().await;
}

#[tokio::test]
async fn the_server_keeps_and_checks_the_whole_checksum() {
    let Some(server) = Server::new("the_server_keeps_and_checks_the_whole_checksum").await else { return };
    let bucket = server.bucket().await;
    let key = ObjectKey::new("1/1/1/segments/a").unwrap();
    let body = Bytes::from(vec![7u8; 5 << 20]);
    let crc = Crc64Nvme::of(&body);
    let upload = bucket.create_upload(&key, 5 << 20).await.unwrap();
    let one = bucket.upload_part(&key, &upload, 1, body.clone(), crc).await.unwrap();
    let two = bucket.upload_part(&key, &upload, 2, body.clone(), crc).await.unwrap();
    let listed = bucket.list_parts(&key, &upload).await.unwrap();
    // Parts keep their checksums: a resume needs to send none of them again.
    assert!(listed.iter().all(|part| part.crc64nvme == Some(crc)), "{listed:?}");
    let whole = crc.combine(crc, body.len() as u64);
    let open = bucket.list_uploads(UploadQuery::Key(key.clone())).await.unwrap();
    assert_eq!(open.iter().map(|open| &open.upload).collect::<Vec<_>>(), [&upload]);
    assert!(open[0].age.unwrap() < Duration::from_secs(60));
    bucket.complete_upload(&key, &upload, &[one, two], whole).await.unwrap();
    let meta = bucket.head(&key).await.unwrap();
    assert_eq!((meta.size, meta.crc64nvme), (10 << 20, Some(whole)));
    assert!(meta.age.unwrap() < Duration::from_secs(60));
    server.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_goes_round() {
    let Some(server) = Server::new("a_backup_goes_round").await else { return };
    let mut settings = server.settings();
    settings.base_path = "prod/one".to_owned();
    let mut store = StoreSettings::default();
    // Odd names, empty files, and one that goes by five parts.
    (store.part_size, store.multipart_threshold) = (5 << 20, 6 << 20);
    let store = S3BackupStore::connect(&settings, store, test_env(2)).await.unwrap();
    let (dir, cx) = (tempfile::tempdir().unwrap(), OpContext::new());
    let shape = Shape { snapshots: 9, segments: 9, part_size: 5 << 20 };
    let files = BrokerFiles::generate(dir.path().join("broker"), 2, shape).unwrap();
    let id = "1/100/2".parse().unwrap();
    store.init(InitOptions::default(), &cx).await.unwrap();
    let backup = files.backup(id, Descriptor::default()).unwrap();
    let saved = store.save(backup, SaveOptions::default(), &cx).await.unwrap();
    assert_eq!(saved.files.len(), 18, "{saved:?}");
    for level in [VerifyLevel::Documents, VerifyLevel::Objects, VerifyLevel::Checksums, VerifyLevel::Content] {
        let report = store.verify(id, level, &cx).await.unwrap();
        assert!(report.findings.is_empty(), "{report:?}");
    }
    let target = dir.path().join("restored");
    store.restore(id, RestoreTarget { path: target.clone() }, RestoreOptions::default(), &cx).await.unwrap();
    same_tree(files.dir(), &target, &[".milepost.json"]).unwrap();
    store.delete(id, DeleteOptions::default(), &cx).await.unwrap();
    let left = server.bucket().await.list(ListRequest::all("prod/one/1/")).await.unwrap();
    let left: Vec<String> = left.objects.into_iter().map(|object| object.key).collect();
    assert_eq!(left, ["prod/one/1/100/2/status.json"]);
    server.done().await;
}

/// What the server has of a segment that grows while it is saved is what the metadata says, to the byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_segment_that_grows_is_recorded_as_it_was_stored() {
    let Some(server) = Server::new("a_segment_that_grows_is_recorded_as_it_was_stored").await else { return };
    let trials = if long() { 100 } else { 8 };
    let (part, threshold) = (5 << 20, 10 << 20);
    let mut settings = StoreSettings::default();
    (settings.part_size, settings.multipart_threshold) = (part, threshold);
    let store = S3BackupStore::connect(&server.settings(), settings, test_env(3)).await.unwrap();
    let (bucket, cx) = (server.bucket().await, OpContext::new());
    store.init(InitOptions::default(), &cx).await.unwrap();
    let mut stored_bytes = 0;
    for seed in 0..trials {
        let trial = GrowthTrial::new(seed, part, threshold);
        let name = FileName::new("1.log").unwrap();
        let id: BackupId = format!("1/{}/1", seed + 1).parse().unwrap();
        let mut options = SaveOptions::default();
        options.digest = trial.digest;
        let (segments, descriptor) = (vec![trial.entry(name.clone())], Descriptor::default());
        let backup = Backup { id, descriptor, snapshots: Vec::new(), segments, reservation: None };
        store.save(backup, options, &cx).await.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        let metadata = store.metadata(id, &cx).await.unwrap().document;
        let record = &metadata.files(FileSetKind::Segments)[0];
        let key = Layout::new("").unwrap().file(id, FileSetKind::Segments, &name);
        let stored = match record.size {
            0 => Vec::new(),
            size => {
                let body = bucket.get(&key, Some(0..size)).await.unwrap().body;
                body.try_collect::<Vec<Bytes>>().await.unwrap().concat()
            }
        };
        assert!(stored == trial.content(record.size), "seed {seed}: other bytes are stored");
        let hashes = Hashes::of(&stored, trial.digest);
        let recorded = (record.size, record.crc64nvme, record.digest);
        assert_eq!(recorded, (trial.len, hashes.crc, hashes.digest), "seed {seed}");
        assert_eq!(bucket.head(&key).await.unwrap().size, trial.len, "seed {seed}");
        stored_bytes += trial.len;
        store.delete(id, DeleteOptions::default(), &cx).await.unwrap();
    }
    println!("{trials} growing segments of {stored_bytes} bytes");
    server.done().await;
}
