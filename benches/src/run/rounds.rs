//! The rounds themselves.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use milepost::Clock as _;
use rustix::fs::{Advice, fadvise};
use serde::{Deserialize, Serialize};

use super::client::{Client, Programs};
use super::growth::Growth;
use super::server::Server;
use crate::machine::Machine;
use crate::sample::{Measured, Op, Spec, Store};
use crate::sink::{Counts, SinkProcess};
use crate::workload::{self, Workload};
use crate::{Context as _, Result};

/// Where bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Against {
    /// The null sink, a process of this program.
    Null,
    /// The S3 server of `MILEPOST_TEST_S3_ENDPOINT`.
    Minio,
    /// A folder beside the workload.
    Dir,
}

/// What a run measures.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The sets of files
    #[arg(long, value_delimiter = ',', default_value = "R")]
    pub workload: Vec<Workload>,
    /// Where the bytes go
    #[arg(long, default_value = "null")]
    pub against: Against,
    /// A client, as NAME or NAME:SETTING=VALUE,…; may be repeated. Default: all that are there
    #[arg(long = "client", value_name = "CLIENT")]
    pub clients: Vec<Client>,
    /// What they do. Default: save, restore; of D: delete; of G: save
    #[arg(long = "op", value_delimiter = ',', value_name = "OP")]
    pub ops: Vec<Op>,
    /// How often each
    #[arg(long, default_value_t = 3)]
    pub rounds: u32,
    /// More or fewer files (of L and G: longer or shorter ones)
    #[arg(long, default_value_t = 1.0)]
    pub scale: f64,
    /// What the lengths of the files follow from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Have the page cache forget the files before each save
    #[arg(long)]
    pub cold: bool,
    /// The folder to work in; needs twice the workload's bytes, and is best on a real disk
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The most seconds of one sample; what takes longer is killed and counts as failed
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    pub limit: u64,
    /// Where all samples go, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// The program of benches/peers. Default: beside this one, or as docs/performance.md has it built
    #[arg(long, value_name = "PROGRAM")]
    pub peers: Option<PathBuf>,
    /// rclone. Default: the one on PATH
    #[arg(long, value_name = "PROGRAM")]
    pub rclone: Option<PathBuf>,
}

/// One sample and its circumstances.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// From 0.
    pub round: u32,
    /// The files.
    pub workload: Workload,
    /// Where they went.
    pub against: Against,
    /// Who did it.
    pub client: String,
    /// What.
    pub op: Op,
    /// The numbers; `None` where it failed.
    pub measured: Option<Measured>,
    /// Why it failed.
    pub error: Option<String>,
    /// CPU seconds of the server meanwhile, in steps of 10 ms.
    pub server_cpu: Option<f64>,
    /// What the null sink counted.
    pub counts: Option<Counts>,
}

/// All samples of a run, as they are kept.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    /// When it began, RFC 3339.
    pub at: String,
    /// Where.
    pub machine: Machine,
    /// The version of Milepost.
    pub version: String,
    /// The arguments.
    pub arguments: Vec<String>,
    /// The samples, in the order in which they were taken.
    pub records: Vec<Record>,
}

fn default_clients(against: Against) -> &'static [&'static str] {
    match against {
        Against::Null => &[
            "raw:digest=none",
            "milepost:digest=none",
            "raw",
            "milepost",
            "sdk",
            "object-store",
            "object-store:tuned=true",
            "transfer-manager",
            "rclone",
        ],
        Against::Minio => &["milepost", "sdk", "object-store", "object-store:tuned=true", "transfer-manager", "rclone"],
        Against::Dir => &["raw", "milepost"],
    }
}

fn default_ops(workload: Workload) -> &'static [Op] {
    match workload {
        Workload::R | Workload::S | Workload::L => &[Op::Save, Op::Restore],
        Workload::D => &[Op::Delete],
        Workload::G => &[Op::Save],
    }
}

struct Rounds<'a> {
    options: &'a Options,
    programs: Programs,
    server: Server,
    scratch: &'a Path,
    run: Run,
}

/// Runs all rounds; says on standard error what it is at.
///
/// # Errors
/// Where the files cannot be made or the server is not there. A client that fails is a record, not an error.
pub fn run(options: &Options) -> Result<Run> {
    if !(options.scale > 0.0 && options.scale <= 100.0) {
        return Err(format!("--scale must be above 0 and at most 100, not {}", options.scale).into());
    }
    let mut folder = tempfile::Builder::new();
    folder.prefix("milepost-bench.");
    let scratch = match &options.dir {
        Some(parent) => folder.tempdir_in(parent).context(parent.display())?,
        None => folder.tempdir()?,
    };
    let programs = Programs::find(options.peers.as_deref(), options.rclone.as_deref())?;
    let server = match options.against {
        Against::Null => Server::Sink(SinkProcess::start(&programs.bench)?),
        Against::Minio => Server::minio()?,
        Against::Dir => Server::Dir,
    };
    let run = Run {
        at: milepost::system::SystemClock.now().to_string(),
        machine: Machine::here(scratch.path()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        arguments: std::env::args().skip(1).collect(),
        records: Vec::new(),
    };
    let mut rounds = Rounds { options, programs, server, scratch: scratch.path(), run };
    for workload in &options.workload {
        rounds.workload(*workload)?;
    }
    Ok(rounds.run)
}

impl Rounds<'_> {
    /// The clients that can run here; of those that were named, all must.
    fn clients(&self, workload: Workload) -> Result<Vec<Client>> {
        let mut clients = Vec::new();
        for client in &self.options.clients {
            if let Some(lack) = self.programs.lacks(&client.name) {
                return Err(format!("{client}: {lack}").into());
            }
            clients.push(client.clone());
        }
        if !clients.is_empty() {
            return Ok(clients);
        }
        for name in default_clients(self.options.against) {
            let client: Client = name.parse()?;
            // A raw loop has nothing to delete or to grow with; the transfer manager cannot delete.
            let idle = workload == Workload::D
                && (matches!(client.name.as_str(), "raw" | "transfer-manager")
                    || client.settings.contains_key("digest"));
            match self.programs.lacks(&client.name) {
                _ if idle => {}
                Some(lack) => eprintln!("NOT RUN: {client}: {lack}"),
                None => clients.push(client),
            }
        }
        Ok(clients)
    }

    fn workload(&mut self, workload: Workload) -> Result<()> {
        let clients = self.clients(workload)?;
        let ops = if self.options.ops.is_empty() { default_ops(workload).to_vec() } else { self.options.ops.clone() };
        let files = self.scratch.join("files");
        eprintln!("workload {workload:?} at scale {}: {}", self.options.scale, workload.describe());
        workload::make(&files, workload, self.options.scale, self.options.seed)?;
        for client in &clients {
            self.one(0, workload, client, Op::Idle)?;
        }
        for round in 0..self.options.rounds {
            let first = round as usize % clients.len().max(1);
            for client in clients[first..].iter().chain(&clients[..first]) {
                self.turn(round, workload, client, &ops)?;
            }
        }
        fs::remove_dir_all(&files).context(files.display())
    }

    /// All of one client's operations in one round; afterwards the store is as before.
    fn turn(&mut self, round: u32, workload: Workload, client: &Client, ops: &[Op]) -> Result<()> {
        if let Server::Sink(sink) = &self.server {
            sink.forget()?;
        }
        self.quietly(client, Op::Prepare)?;
        if !ops.contains(&Op::Save) {
            self.quietly(client, Op::Save)?;
        }
        for op in ops {
            if !self.one(round, workload, client, *op)? {
                break;
            }
        }
        match self.spec(client, Op::Clean).store {
            Store::Dir(folder) => {
                if folder.exists() {
                    fs::remove_dir_all(&folder).context(folder.display())?;
                }
            }
            // By the SDK whoever wrote it: Milepost's own delete leaves a tombstone.
            Store::S3 { sink: false, .. } => {
                let sweeper = Client { name: "sdk".to_owned(), settings: Default::default() };
                let spec =
                    Spec { subject: sweeper.name.clone(), settings: sweeper.settings, ..self.spec(client, Op::Clean) };
                self.programs.sample(&spec, self.limit())?;
            }
            Store::S3 { .. } => {}
        }
        Ok(())
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(self.options.limit)
    }

    fn spec(&self, client: &Client, op: Op) -> Spec {
        Spec {
            subject: client.name.clone(),
            settings: client.settings.clone(),
            op,
            store: self.server.store(self.scratch, &client.slug()),
            files: self.scratch.join("files"),
            target: self.scratch.join("restored"),
        }
    }

    fn quietly(&self, client: &Client, op: Op) -> Result<()> {
        self.programs.sample(&self.spec(client, op), self.limit()).map(drop).context(client)
    }

    /// One sample; false where it failed, which is recorded.
    fn one(&mut self, round: u32, workload: Workload, client: &Client, op: Op) -> Result<bool> {
        let spec = self.spec(client, op);
        if self.options.cold && op == Op::Save {
            forget(&spec.files)?;
        }
        let growth = match (workload, op) {
            (Workload::G, Op::Save) => {
                Some(Growth::start(&workload::files(&spec.files)?.first().ok_or("no segment")?.path)?)
            }
            _ => None,
        };
        self.server.counts()?;
        let before = self.server.cpu();
        let measured = self.programs.sample(&spec, self.limit());
        let server_cpu = self.server.cpu().zip(before).map(|(after, before)| after - before);
        let counts = self.server.counts()?;
        growth.map(Growth::stop).transpose()?;
        if spec.target.exists() {
            fs::remove_dir_all(&spec.target).context(spec.target.display())?;
        }
        let (measured, error) = match measured {
            Ok(measured) => {
                let (cpu, wall) = (measured.cpu, measured.wall);
                eprintln!("  round {} {client} {}: {cpu:.3} CPU-s, {wall:.3} s", round + 1, op.name());
                (Some(measured), None)
            }
            Err(error) => {
                eprintln!("  round {} {client} {}: FAILED: {error}", round + 1, op.name());
                (None, Some(error.to_string()))
            }
        };
        let ok = error.is_none();
        let (client, against) = (client.to_string(), self.options.against);
        self.run.records.push(Record { round, workload, against, client, op, measured, error, server_cpu, counts });
        Ok(ok)
    }
}

/// Has the page cache drop the workload's own files, which are synced.
fn forget(files: &Path) -> Result<()> {
    for file in workload::files(files)? {
        fadvise(&File::open(&file.path)?, 0, None, Advice::DontNeed).context(file.path.display())?;
    }
    Ok(())
}
