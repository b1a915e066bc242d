//! A network that is cut, reset, swallows everything, crawls or lags between the S3 bucket and its server: every operation ends
//! by its deadline, what it said is true, and the next command goes on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests; clippy.toml covers the tests alone")]
#![allow(clippy::print_stderr, reason = "the counts are for people")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use milepost_s3::{S3BackupStore, S3Settings};
use milepost_store::core::{BackupId, Descriptor, StatusCode, VerifyLevel};
use milepost_store::{
    BackupStore as _, DeleteOptions, ErrorKind, ListQuery, OpContext, RestoreOptions, RestoreTarget, SaveOptions,
    StoreSettings,
};
use milepost_testkit::fake_s3::FakeS3;
use milepost_testkit::fixtures::{BrokerFiles, Shape, long, same_tree, test_env};
use milepost_testkit::proxy::{Network, Proxy};

const DEADLINE: Duration = Duration::from_secs(3);
/// A save that is out of time still says so in the status: its last words take a budget of their own.
const LAST_WORDS: Duration = Duration::from_secs(6);
/// What a machine that is busy with other tests may be late by.
const BUSY: Duration = Duration::from_secs(40);

const ID: BackupId = BackupId::new(1, 100, 2);
const VERBS: [&str; 7] = ["save", "resume", "status", "list", "restore", "verify", "delete"];

fn networks() -> Vec<Network> {
    vec![
        Network::Cut(0),
        Network::Cut(120),
        Network::Cut(70_000),
        Network::Reset,
        Network::BlackHole,
        Network::Crawl(Duration::from_secs(1)),
        Network::Lag(Duration::from_millis(40)),
    ]
}

/// Without a look at the server: that would be one request more which a busy machine may be too slow for.
async fn open(fake: &FakeS3, endpoint: String, patient: bool) -> S3BackupStore {
    let mut s3 = S3Settings::default();
    s3.bucket = fake.bucket_name().to_owned();
    s3.endpoint = Some(endpoint);
    s3.region = Some("us-east-1".to_owned());
    s3.access_key_id = Some(fake.access_key().into());
    s3.secret_access_key = Some(fake.secret_key().into());
    let mut settings = StoreSettings::default();
    if !patient {
        (s3.connect_timeout, s3.attempt_timeout) = (Duration::from_millis(500), Duration::from_millis(800));
        s3.operation_timeout = Duration::from_secs(1);
        (settings.retry_delay, settings.retry_budget) = (Duration::from_millis(5), Duration::from_secs(2));
    }
    (settings.part_size, settings.multipart_threshold, settings.memory_budget) = (64 << 10, 128 << 10, 32 << 20);
    settings.journal_dir = None;
    settings.single_writer = true;
    S3BackupStore::open(&s3, settings, test_env(1 + u64::from(patient))).await.unwrap()
}

/// A store, a proxy before it, and what is saved.
struct Bench {
    dir: tempfile::TempDir,
    files: BrokerFiles,
    proxy: Proxy,
    near: S3BackupStore,
    far: S3BackupStore,
    _fake: FakeS3,
}

impl Bench {
    async fn new() -> Self {
        let fake = FakeS3::start().unwrap();
        let proxy = Proxy::start(fake.address()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let shape = Shape { snapshots: 3, segments: 2, ..Shape::default() };
        let files = BrokerFiles::generate(dir.path().join("broker"), 11, shape).unwrap();
        let near = open(&fake, fake.endpoint(), true).await;
        let far = open(&fake, proxy.endpoint(), false).await;
        Self { dir, files, proxy, near, far, _fake: fake }
    }

    async fn save(&self, store: &S3BackupStore, resume: bool, cx: &OpContext) -> milepost_store::Result<()> {
        let backup = self.files.backup(ID, Descriptor::default()).unwrap();
        let mut options = SaveOptions::default();
        options.resume = resume;
        store.save(backup, options, cx).await.map(drop)
    }

    async fn restore(&self, store: &S3BackupStore, cx: &OpContext) -> milepost_store::Result<()> {
        let target = RestoreTarget { path: self.dir.path().join("restored") };
        store.restore(ID, target, RestoreOptions::default(), cx).await.map(drop)
    }

    async fn call(&self, verb: &str, store: &S3BackupStore, cx: &OpContext) -> milepost_store::Result<()> {
        match verb {
            "save" => self.save(store, false, cx).await,
            "resume" => self.save(store, true, cx).await,
            "status" => store.status(ID, cx).await.map(drop),
            "list" => store.list(ListQuery::default(), cx.clone()).try_collect::<Vec<_>>().await.map(drop),
            "restore" => self.restore(store, cx).await,
            "verify" => store.verify(ID, VerifyLevel::Content, cx).await.map(drop),
            _ => store.delete(ID, DeleteOptions::default(), cx).await.map(drop),
        }
    }

    async fn code(&self) -> Option<StatusCode> {
        self.near.status(ID, &OpContext::new()).await.unwrap().document.map(|document| document.status_code)
    }
}

/// The network turns bad `after` the verb began.
async fn bad_day(verb: &str, network: Network, after: Duration, seen: &Seen) {
    let what = format!("{verb}, {network:?} after {after:?}");
    let bench = Bench::new().await;
    let quiet = OpContext::new();
    if !matches!(verb, "save" | "resume") {
        bench.save(&bench.near, false, &quiet).await.unwrap();
    }
    if verb == "resume" {
        // Something to go on with.
        drop(tokio::time::timeout(Duration::from_millis(15), bench.save(&bench.near, false, &quiet)).await);
    }
    let cx = OpContext::new().with_timeout(DEADLINE);
    let begun = tokio::time::Instant::now();
    let turn = async {
        tokio::time::sleep(after).await;
        bench.proxy.set(network);
        std::future::pending::<()>().await;
    };
    let told = tokio::select! {
        told = bench.call(verb, &bench.far, &cx) => told,
        () = turn => return,
    };
    let took = begun.elapsed();
    let most = DEADLINE + BUSY + if matches!(verb, "save" | "resume") { LAST_WORDS } else { Duration::ZERO };
    assert!(took < most, "{what} took {took:?}");
    seen.calls.fetch_add(1, Ordering::Relaxed);
    // A call that failed met the bad network, too: where it gave up first, the proxy may not have come to do any harm.
    seen.harmed.fetch_add(u64::from(bench.proxy.harmed() > 0 || told.is_err()), Ordering::Relaxed);
    seen.well.fetch_add(u64::from(told.is_ok()), Ordering::Relaxed);
    seen.longest.fetch_max(took.as_millis() as u64, Ordering::Relaxed);
    bench.proxy.set(Network::Good);
    match &told {
        Ok(()) => {}
        Err(error) => {
            let defect = matches!(
                error.kind(),
                ErrorKind::Corrupt { .. } | ErrorKind::Internal | ErrorKind::InvalidInput | ErrorKind::Integrity { .. }
            );
            assert!(!defect, "{what}: {error:?}");
        }
    }
    // What it said is true, and whatever it left, the next command on a good network ends well.
    let code = bench.code().await;
    match verb {
        "save" | "resume" => {
            assert!(told.is_err() || code == Some(StatusCode::Completed), "{what}: {code:?}");
            bench.save(&bench.near, true, &quiet).await.unwrap_or_else(|error| panic!("{what}, resumed: {error:?}"));
        }
        "delete" => {
            assert!(told.is_err() || code == Some(StatusCode::Deleted), "{what}: {code:?}");
            bench.call("delete", &bench.near, &quiet).await.unwrap_or_else(|error| panic!("{what}, again: {error:?}"));
            assert_eq!(bench.code().await, Some(StatusCode::Deleted), "{what}");
            return;
        }
        _ => assert_eq!(code, Some(StatusCode::Completed), "{what}"),
    }
    let report = bench.near.verify(ID, VerifyLevel::Content, &quiet).await.unwrap();
    assert!(report.ok(), "{what}: {report:?}");
    bench.restore(&bench.near, &quiet).await.unwrap_or_else(|error| panic!("{what}, restored: {error:?}"));
    same_tree(bench.files.dir(), bench.dir.path().join("restored"), &[".milepost.json"]).unwrap();
}

#[derive(Debug, Default)]
struct Seen {
    calls: AtomicU64,
    harmed: AtomicU64,
    well: AtomicU64,
    longest: AtomicU64,
}

/// Many at once, since they wait more than they work.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_every_bad_day_every_operation_ends_and_the_next_goes_on() {
    let seen = Seen::default();
    let moments: &[u64] = if long() { &[0, 3, 10, 30, 100] } else { &[10] };
    for after in moments {
        let days = VERBS.iter().flat_map(|verb| networks().into_iter().map(move |network| (*verb, network)));
        let days = days.map(|(verb, network)| bad_day(verb, network, Duration::from_millis(*after), &seen));
        // Not all at once: they would be in each other's way on a small machine.
        futures::stream::iter(days).buffer_unordered(16).collect::<Vec<()>>().await;
    }
    eprintln!("{seen:?}, the longest in milliseconds");
    let harmed = seen.harmed.load(Ordering::Relaxed);
    assert!(harmed * 2 > seen.calls.load(Ordering::Relaxed), "the network was bad too late: {seen:?}");
}
