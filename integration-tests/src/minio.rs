//! A real MinIO for tests: in a container where `MILEPOST_TEST_MINIO_IMAGE` names an image, as a process of our own where
//! `MILEPOST_TEST_MINIO_BIN` names a folder that holds `minio`, else whatever listens at `MILEPOST_TEST_S3_ENDPOINT`.
//! `scripts/test` sets one of them.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use milepost_s3::S3Settings;
use testcontainers::core::{IntoContainerPort as _, WaitFor};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, GenericImage, ImageExt as _};
use tokio::runtime::Runtime;

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(60);

/// What runs it.
enum Runner {
    Container(Option<Box<ContainerAsync<GenericImage>>>),
    Process { child: Child, program: std::path::PathBuf, data: tempfile::TempDir },
    Elsewhere,
}

/// A server and one bucket on it. Dropping it removes what was started.
pub struct Minio {
    runtime: Runtime,
    runner: Runner,
    /// As in `http://127.0.0.1:9000`.
    pub endpoint: String,
    /// The access key.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// An empty bucket of this test.
    pub bucket: String,
    /// A client that is not ours.
    pub client: Client,
}

fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Said past the test's capture, so that nobody takes silence for success.
pub fn not_run(why: &str) {
    let _ = writeln!(std::io::stderr(), "NOT RUN: {why}");
}

/// A port that nobody listens on, below those that systems give out by themselves. A server is away for a while in these tests,
/// and one of those would go to somebody else meanwhile: to another test, or to a client that knocks at the server's own door, for
/// a socket that is given the port that it calls has called itself.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let drawn = std::process::id().wrapping_mul(7919).wrapping_add(step) % 20_000;
        let port = 10_000 + u16::try_from(drawn).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn endpoint_at(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn process(program: &std::path::Path, data: &std::path::Path, port: u16, id: &str, secret: &str) -> Child {
    let mut command = Command::new(program);
    command.arg("server").arg(data.join("data")).args(["--address", &format!("127.0.0.1:{port}")]);
    command.env("MINIO_ROOT_USER", id).env("MINIO_ROOT_PASSWORD", secret).env("MINIO_BROWSER", "off");
    command.env("HOME", data).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

impl Minio {
    /// A server for the test of this name; `None`, and says so, where there is none. `own`: one that may be killed.
    #[must_use]
    pub fn start(test: &str, own: bool) -> Option<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        // Of the length and letters of real ones, so that a search for them in output finds nothing by chance.
        let (mut id, mut secret) =
            ("milepostTestKeyId42".to_owned(), "hunter2/doNotShow+thisInAnyOutput0123".to_owned());
        let (runner, endpoint) = if let Some(image) = var("MILEPOST_TEST_MINIO_IMAGE") {
            let (name, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
            let image = |port| {
                GenericImage::new(name, tag)
                    .with_wait_for(WaitFor::message_on_either_std("API:"))
                    .with_cmd(["server", "/data"])
                    .with_env_var("MINIO_ROOT_USER", &id)
                    .with_env_var("MINIO_ROOT_PASSWORD", &secret)
                    .with_env_var("MINIO_BROWSER", "off")
                    // `scripts/minio` removes those whose run is gone: a killed test process cannot.
                    .with_label("milepost-test", var("MILEPOST_TEST_RUN").unwrap_or_else(|| "unknown".to_owned()))
                    // The same port again after a restart.
                    .with_mapped_port(port, 9000.tcp())
                    .with_startup_timeout(Duration::from_secs(180))
            };
            let mut port = free_port();
            let mut started = runtime.block_on(image(port).start());
            for _ in 0..2 {
                if started.is_err() {
                    // Somebody took the port meanwhile.
                    port = free_port();
                    started = runtime.block_on(image(port).start());
                }
            }
            (Runner::Container(Some(Box::new(started.expect("the container starts")))), endpoint_at(port))
        } else if let Some(folder) = var("MILEPOST_TEST_MINIO_BIN").filter(|_| own) {
            let (program, data) = (std::path::Path::new(&folder).join("minio"), tempfile::tempdir().unwrap());
            let port = free_port();
            let child = process(&program, data.path(), port, &id, &secret);
            (Runner::Process { child, program, data }, endpoint_at(port))
        } else if let Some(endpoint) = var("MILEPOST_TEST_S3_ENDPOINT").filter(|_| !own) {
            (id, secret) = (var("MILEPOST_TEST_S3_ACCESS_KEY")?, var("MILEPOST_TEST_S3_SECRET_KEY")?);
            (Runner::Elsewhere, endpoint)
        } else {
            let what = if own { "or MILEPOST_TEST_MINIO_BIN" } else { "or MILEPOST_TEST_S3_ENDPOINT" };
            not_run(&format!("{test}: no MinIO: set MILEPOST_TEST_MINIO_IMAGE {what}, or use scripts/test"));
            return None;
        };
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&endpoint)
            .force_path_style(true)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new(&id, &secret, None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .timeout_config(TimeoutConfig::builder().operation_timeout(PATIENCE).build())
            .build();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let bucket = format!("it-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let server = Self { runtime, runner, endpoint, id, secret, bucket, client: Client::from_conf(config) };
        server.wait(|client| async move { client.list_buckets().send().await.is_ok() });
        server.block(server.client.create_bucket().bucket(&server.bucket).send()).unwrap();
        let _ = writeln!(std::io::stderr(), "RAN AGAINST MINIO: {test}");
        Some(server)
    }

    #[allow(clippy::disallowed_methods, reason = "a real server takes real time")]
    fn wait<F: Future<Output = bool>>(&self, ready: impl Fn(Client) -> F) {
        let end = Instant::now() + PATIENCE;
        // The engine's proxy takes connections before the server does, and may leave one of them unanswered for ever.
        let answers = || tokio::time::timeout(Duration::from_secs(3), ready(self.client.clone()));
        while !self.block(async { answers().await.unwrap_or(false) }) {
            assert!(Instant::now() < end, "no MinIO at {} after {PATIENCE:?}", self.endpoint);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs to the end on this server's runtime.
    pub fn block<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Ends the server as a crash does.
    pub fn kill(&mut self) {
        match &mut self.runner {
            Runner::Container(Some(container)) => docker(&["kill", "--signal", "KILL", container.id()]),
            Runner::Process { child, .. } => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            _ => panic!("this server is not ours to kill"),
        }
    }

    /// Starts it again on the same port with the same data, and waits until it answers.
    pub fn revive(&mut self) {
        let port = self.endpoint.rsplit_once(':').unwrap().1.parse().unwrap();
        match &mut self.runner {
            Runner::Container(Some(container)) => docker(&["start", container.id()]),
            Runner::Process { child, program, data } => {
                *child = process(program, data.path(), port, &self.id, &self.secret);
            }
            _ => panic!("this server is not ours to start"),
        }
        let bucket = self.bucket.clone();
        self.wait(move |client| {
            let bucket = bucket.clone();
            async move { client.head_bucket().bucket(bucket).send().await.is_ok() }
        });
    }

    /// Settings of the S3 bucket.
    #[must_use]
    pub fn settings(&self, base: &str) -> S3Settings {
        let mut settings = S3Settings::default();
        (settings.bucket, settings.base_path) = (self.bucket.clone(), base.to_owned());
        (settings.endpoint, settings.region) = (Some(self.endpoint.clone()), Some("us-east-1".to_owned()));
        settings.access_key_id = Some(self.id.as_str().into());
        settings.secret_access_key = Some(self.secret.as_str().into());
        settings
    }

    /// The store's URL.
    #[must_use]
    pub fn url(&self, base: &str) -> String {
        format!("s3://{}/{base}?endpoint={}&region=us-east-1&path_style=true", self.bucket, self.endpoint)
    }

    /// A call of the binary on the store at `base`, with the credentials in its environment.
    #[must_use]
    pub fn milepost(&self, home: &std::path::Path, base: &str, args: &[&str]) -> Command {
        let mut command = crate::milepost(home, args);
        command.env("MILEPOST_STORE", self.url(base));
        command.env("MILEPOST_S3_ACCESS_KEY_ID", &self.id).env("MILEPOST_S3_SECRET_ACCESS_KEY", &self.secret);
        command
    }

    /// All keys below a prefix, by a client that is not ours.
    #[must_use]
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let (mut keys, mut token) = (Vec::new(), None);
        loop {
            let request =
                self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).set_continuation_token(token);
            let page = self.block(request.send()).unwrap();
            keys.extend(page.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
            token = page.next_continuation_token().map(str::to_owned);
            if token.is_none() {
                return keys;
            }
        }
    }

    /// How many uploads are open, asked by each exact key.
    #[must_use]
    pub fn open_uploads(&self, keys: &[String]) -> usize {
        use futures::StreamExt as _;
        let ask = |key: String| async move {
            let request = self.client.list_multipart_uploads().bucket(&self.bucket).prefix(key);
            request.send().await.unwrap().uploads().len()
        };
        let asked = futures::stream::iter(keys.iter().cloned().map(ask)).buffer_unordered(16);
        self.block(asked.fold(0, |sum, open| async move { sum + open }))
    }
}

fn docker(args: &[&str]) {
    let limit = PATIENCE.as_secs().to_string();
    let mut command = Command::new("timeout");
    let output = command.args([&limit, "docker"]).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Drop for Minio {
    fn drop(&mut self) {
        match &mut self.runner {
            Runner::Container(container) => {
                if let Some(container) = container.take() {
                    let _ = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, container.rm()).await });
                }
            }
            Runner::Process { child, .. } => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Runner::Elsewhere => {
                let keys = self.keys("");
                self.runtime.block_on(async {
                    for key in keys {
                        let _ = self.client.delete_object().bucket(&self.bucket).key(key).send().await;
                    }
                    let _ = self.client.delete_bucket().bucket(&self.bucket).send().await;
                });
            }
        }
    }
}
