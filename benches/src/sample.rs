//! One measurement: a client does one thing, in a process of its own.
//!
//! The parent hands over a [`Spec`] as JSON on the command line and reads a [`Measured`] as one line of JSON from standard
//! output. Credentials go by the environment. A client of another program (as those in `benches/peers`) keeps to the same.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Context as _, Result, process};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// What a store must have before the first save; never measured.
    Prepare,
    /// Open the store and ask it one thing: what a process costs before it moves anything.
    Idle,
    /// The workload's files go into the store.
    Save,
    /// They come back, verified and synced where the client can.
    Restore,
    /// All of them are deleted.
    Delete,
    /// Everything that the store holds of this client is removed; never measured.
    Clean,
}

impl Op {
    /// As the tables name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Idle => "idle",
            Self::Save => "save",
            Self::Restore => "restore",
            Self::Delete => "delete",
            Self::Clean => "clean",
        }
    }
}

/// Where the bytes go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// A bucket of an S3 server.
    S3 {
        /// As in `http://127.0.0.1:9000`.
        endpoint: String,
        /// The region.
        region: String,
        /// The bucket, which is there.
        bucket: String,
        /// Everything is below this prefix.
        prefix: String,
        /// Does the server throw bodies away and take unsigned requests?
        sink: bool,
    },
    /// A folder.
    Dir(PathBuf),
}

/// What one measurement is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// The client, as in `milepost`.
    pub subject: String,
    /// Its settings, as in `part` = `16`.
    pub settings: BTreeMap<String, String>,
    /// What it does.
    pub op: Op,
    /// Where.
    pub store: Store,
    /// The folder of the workload.
    pub files: PathBuf,
    /// The folder to restore to; absent.
    pub target: PathBuf,
}

impl Spec {
    /// A setting, parsed; `default` where it is not given.
    ///
    /// # Errors
    /// Where it does not parse.
    pub fn setting<T: std::str::FromStr>(&self, name: &str, default: T) -> Result<T>
    where
        T::Err: std::fmt::Display,
    {
        match self.settings.get(name) {
            None => Ok(default),
            Some(text) => text.parse().context(format!("{}: {name}={text}", self.subject)),
        }
    }

    /// Refuses settings that the client does not have: a mistyped one would measure something else.
    ///
    /// # Errors
    /// Names the setting.
    pub fn known(&self, names: &[&str]) -> Result<()> {
        match self.settings.keys().find(|name| !names.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(format!("{} has no setting {name}; it has: {}", self.subject, names.join(", ")).into()),
        }
    }
}

/// What a client did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One measurement's numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Seconds of wall time of the operation.
    pub wall: f64,
    /// CPU seconds of the process from its start to the operation's end.
    pub cpu: f64,
    /// Most memory ever held, in bytes.
    pub peak_rss: u64,
    /// What was moved.
    #[serde(flatten)]
    pub moved: Moved,
}

/// Runs `work` and measures this process.
///
/// # Errors
/// Those of `work`.
pub fn measure(work: impl FnOnce() -> Result<Moved>) -> Result<Measured> {
    let begun = process::now();
    let moved = work()?;
    Ok(Measured {
        wall: process::now() - begun,
        cpu: process::own_cpu(),
        peak_rss: process::peak_rss("self").unwrap_or(0),
        moved,
    })
}

/// Credentials of the S3 server: what `scripts/minio up` prints, or any pair for the sink.
#[must_use]
pub fn credentials() -> (String, String) {
    let var = |name: &str| std::env::var(name).unwrap_or_else(|_| "milepost-bench".to_owned());
    (var("MILEPOST_TEST_S3_ACCESS_KEY"), var("MILEPOST_TEST_S3_SECRET_KEY"))
}
