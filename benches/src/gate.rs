//! Instructions of one small PUT and of one part, counted by callgrind: what a change adds to every request shows here, however
//! busy the machine is.
//!
//! Counted is the S3 bucket alone: the request, its signature, the client. Hashing of bodies is left out (the checksum is given):
//! valgrind knows no AVX-512, so it would count other code than runs. Start-up falls out as the difference of two counts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use milepost::Crc64Nvme;
use milepost::core::ObjectKey;
use milepost::store::bucket::{Bucket as _, PutMode};
use milepost_s3::{S3Bucket, S3Settings};
use serde::{Deserialize, Serialize};

use crate::sink::SinkProcess;
use crate::{Context as _, Result};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Counted {
    /// A PUT of 4 KiB.
    Put,
    /// A part of 8 MiB.
    Part,
}

impl Counted {
    const ALL: [Self; 2] = [Self::Put, Self::Part];

    const fn bytes(self) -> usize {
        match self {
            Self::Put => 4 * 1024,
            Self::Part => 8 * 1024 * 1024,
        }
    }

    /// The two numbers of requests whose difference is taken.
    const fn few_and_many(self) -> (u32, u32) {
        match self {
            Self::Put => (20, 120),
            Self::Part => (4, 20),
        }
    }
}

/// Counts that were judged right, and the compiler that they belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Baseline {
    /// As `rustc --version` says.
    compiler: String,
    /// Instructions of one request.
    instructions: BTreeMap<Counted, u64>,
}

/// How far a count may be from its baseline.
const TOLERANCE: f64 = 0.03;

/// Sends `count` requests to a server, one after the other, on one thread: what valgrind looks at.
///
/// # Errors
/// Where the server does not take them.
pub fn send(what: Counted, endpoint: &str, count: u32) -> Result<()> {
    let mut settings = S3Settings::default();
    settings.bucket = "bench".to_owned();
    settings.endpoint = Some(endpoint.to_owned());
    settings.region = Some("us-east-1".to_owned());
    settings.access_key_id = Some("milepost-bench".into());
    settings.secret_access_key = Some("milepost-bench".into());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Zeros, and no checksum of them: the sink does not look.
    let body = Bytes::from(vec![0; what.bytes()]);
    runtime.block_on(async {
        let bucket = S3Bucket::new(&settings).await?;
        let key = ObjectKey::new("1/100/1/segments/000000.log")?;
        match what {
            Counted::Put => {
                for _ in 0..count {
                    bucket.put(&key, body.clone(), Crc64Nvme(0), PutMode::Overwrite).await?;
                }
            }
            Counted::Part => {
                let upload = bucket.create_upload(&key, body.len() as u64).await?;
                for number in 1..=count {
                    bucket.upload_part(&key, &upload, number, body.clone(), Crc64Nvme(0)).await?;
                }
            }
        }
        Ok(())
    })
}

/// Instructions of the whole of `send`.
fn count(what: Counted, endpoint: &str, requests: u32) -> Result<u64> {
    let name = format!("{what:?}").to_lowercase();
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        // The C library picks its copies by the processor; these are the ones that all have.
        .env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-ERMS,-FSRM,-AVX_Fast_Unaligned_Load")
        .arg(std::env::current_exe()?)
        .args(["send", &name, "--endpoint", endpoint, "--count", &requests.to_string()])
        .stdin(Stdio::null());
    let done = valgrind.output().context("valgrind")?;
    let words = String::from_utf8_lossy(&done.stderr).into_owned();
    if !done.status.success() {
        return Err(format!("valgrind: {}", words.trim()).into());
    }
    let collected = words.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    collected.ok_or_else(|| format!("valgrind names no count: {}", words.trim()).into())
}

/// Instructions of one request.
fn each(what: Counted, endpoint: &str) -> Result<u64> {
    let (few, many) = what.few_and_many();
    let difference = count(what, endpoint, many)?.saturating_sub(count(what, endpoint, few)?);
    Ok(difference / u64::from(many - few))
}

/// Counts, and compares with the baseline, or writes it. Without valgrind, and with another compiler than the baseline's, it
/// says that it did not run.
///
/// # Errors
/// Where a count is further than 3 % from its baseline.
pub fn gate(baseline: &Path, compiler: &str, write: bool) -> Result<()> {
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("NOT RUN: instruction counts: valgrind is missing (Debian: apt-get install valgrind)");
        return Ok(());
    }
    let known: Option<Baseline> = match fs::read(baseline) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).context(baseline.display())?),
        Err(_) if write => None,
        Err(error) => return Err(format!("{}: {error}", baseline.display()).into()),
    };
    if let Some(known) = known.as_ref().filter(|known| !write && known.compiler != compiler) {
        println!("NOT RUN: instruction counts: the baseline is of {}, this is {compiler}", known.compiler);
        return Ok(());
    }
    let sink = SinkProcess::start(&std::env::current_exe()?)?;
    let mut instructions = BTreeMap::new();
    let mut wrong = Vec::new();
    for what in Counted::ALL {
        let found = each(what, &sink.endpoint())?;
        instructions.insert(what, found);
        match known.as_ref().and_then(|known| known.instructions.get(&what)) {
            Some(before) => {
                let change = found as f64 / *before as f64 - 1.0;
                println!("{what:?}: {found} instructions, {:+.2} % of the baseline", change * 100.0);
                if change.abs() > TOLERANCE {
                    wrong.push(format!("{what:?} {:+.1} %", change * 100.0));
                }
            }
            None => println!("{what:?}: {found} instructions"),
        }
    }
    if write {
        let text = serde_json::to_string_pretty(&Baseline { compiler: compiler.to_owned(), instructions })?;
        return fs::write(baseline, text + "\n").context(baseline.display());
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{}: more than 3 % from the baseline; if it is meant so, `scripts/bench-instructions --write` and say why",
        wrong.join(", ")
    )
    .into())
}
