//! What many clients saw of a few statuses in a real MinIO fits one order, on a good network and on a bad one.
//!
//! `MILEPOST_TEST_S3_ENDPOINT`, `MILEPOST_TEST_S3_ACCESS_KEY` and `MILEPOST_TEST_S3_SECRET_KEY` name the server; without them the tests
//! say that they did not run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests; clippy.toml covers the tests alone")]
#![allow(clippy::print_stderr, reason = "the counts are for people")]

mod real;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_s3::Client as Sdk;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use milepost_s3::{S3Bucket, S3Settings};
use milepost_store::StoreSettings;
use milepost_store::bucket::{Bucket as _, ListRequest};
use milepost_store::env::SeededRandom;
use milepost_testkit::fixtures::long;
use milepost_testkit::history::{Client, History, Log, init};
use milepost_testkit::proxy::{Network, Proxy};
use tokio::time::Instant;

/// A bucket of its own for a round; its base is the bucket.
async fn new_bucket(endpoint: &str, name: &str) -> (Sdk, S3Settings) {
    let mut settings = real::settings(endpoint, name, "history");
    settings.base_path = String::new();
    let (id, secret) = (real::var("ACCESS_KEY").unwrap(), real::var("SECRET_KEY").unwrap());
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .force_path_style(true)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new(id, secret, None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    let sdk = Sdk::from_conf(config);
    sdk.create_bucket().bucket(name).send().await.unwrap();
    (sdk, settings)
}

/// What goes wrong in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Day {
    Good,
    /// The network is cut, reset, swallows and lags in turn, and calls are dropped in their middle.
    Bad,
}

/// Changes the network every few milliseconds, for ever.
async fn bad_network(proxy: &Proxy, seed: u64) {
    let random = SeededRandom::new(seed);
    loop {
        let next = match random.next() % 6 {
            0 => Network::Cut(usize::try_from(random.next() % 400).unwrap()),
            1 => Network::Reset,
            2 => Network::BlackHole,
            3 => Network::Lag(Duration::from_millis(3)),
            _ => Network::Good,
        };
        proxy.set(next);
        // Mostly good: who cannot get through at all learns nothing.
        let most = if next == Network::Good { 400 } else { 25 };
        tokio::time::sleep(Duration::from_millis(1 + random.next() % most)).await;
    }
}

/// One round of clients at one bucket; gives its history and how many connections were harmed.
async fn round(endpoint: &str, seed: u64, clients: u64, day: Day) -> (History, u64) {
    let name = format!("mp-history-{}-{day:?}-{clients}-{seed}", std::process::id()).to_lowercase();
    let (sdk, near) = new_bucket(endpoint, &name).await;
    init(S3Bucket::new(&near).await.unwrap(), seed).await.unwrap();
    let address = endpoint.rsplit_once('/').unwrap().1.parse().unwrap();
    let proxy = Proxy::start(address).unwrap();
    let mut far = near.clone();
    far.endpoint = Some(proxy.endpoint());
    (far.connect_timeout, far.attempt_timeout) = (Duration::from_millis(500), Duration::from_millis(800));
    far.operation_timeout = Duration::from_secs(1);
    let lines = Arc::<Mutex<String>>::default();
    let begun = Instant::now();
    let client = |number: u64| {
        let (lines, settings) = (Arc::clone(&lines), if day == Day::Bad { far.clone() } else { near.clone() });
        // Every third loses patience, as a process that is killed.
        let patience = (day == Day::Bad && number.is_multiple_of(3)).then_some(Duration::from_secs(3));
        let client = Client { number, seed: seed * 1_000 + number, acts: 10, patience };
        let now = move || u64::try_from(begun.elapsed().as_nanos()).unwrap();
        let log = Log::new(number, now, move |line| lines.lock().unwrap().push_str(&line));
        let mut engine = StoreSettings::default();
        engine.retry_budget = Duration::from_secs(20);
        async move { client.run(S3Bucket::new(&settings).await.unwrap(), log, engine).await }
    };
    let all: Vec<_> = (1..=clients).map(|number| tokio::spawn(client(number))).collect();
    let ended = futures::future::join_all(all);
    let ended = tokio::select! {
        ended = ended => ended,
        () = bad_network(&proxy, seed), if day == Day::Bad => unreachable!(),
    };
    for client in ended {
        client.unwrap().unwrap_or_else(|error| panic!("MILEPOST_TEST_SEED={seed}: {error:?}"));
    }
    let log = lines.lock().unwrap().clone();
    let harmed = proxy.harmed();
    drop(proxy);
    let bucket = S3Bucket::new(&near).await.unwrap();
    let keys = bucket.list(ListRequest::all("")).await.unwrap().objects.into_iter().map(|object| object.key);
    bucket.delete(keys.collect()).await.unwrap();
    sdk.delete_bucket().bucket(&name).send().await.unwrap();
    (History::read([log].into_iter()).unwrap(), harmed)
}

async fn rounds(test: &str, sizes: &[u64], day: Day) {
    let Some([endpoint, ..]) = real::vars(test, ["ENDPOINT", "ACCESS_KEY", "SECRET_KEY"]) else { return };
    let seed = std::env::var("MILEPOST_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let count = if long() { 50 } else { 1 };
    let seeds = seed.map_or(1..=count, |seed: u64| seed..=seed);
    let (mut all, mut harmed, mut count) = (History::default(), 0, 0);
    for seed in seeds {
        for clients in sizes {
            let (history, more) = round(&endpoint, seed, *clients, day).await;
            if let Err(why) = history.is_linearizable() {
                panic!("MILEPOST_TEST_SEED={seed}, {clients} clients: {why}\n{}", history.shown());
            }
            all.count(&history);
            (harmed, count) = (harmed + more, count + 1);
        }
    }
    eprintln!("{count} rounds of {sizes:?} clients, {harmed} connections harmed: {}", all.counts());
    // A slow machine gets less through a bad network.
    let least = if day == Day::Good { 16 } else { 2 };
    assert!(all.writes() > count * least, "{}", all.counts());
    assert!(day == Day::Good || harmed > count * 8, "the network was too good: {harmed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_many_clients_saw_in_minio_fits_one_order() {
    rounds("what_many_clients_saw_in_minio_fits_one_order", &[8, 16, 32], Day::Good).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_clients_on_a_bad_network_saw_in_minio_fits_one_order() {
    rounds("what_clients_on_a_bad_network_saw_in_minio_fits_one_order", &[8, 32], Day::Bad).await;
}
