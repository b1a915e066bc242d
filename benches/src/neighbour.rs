//! What a save does to others on the machine: to pages that somebody had hot, and to somebody who writes and syncs.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::run::Client;
use crate::sample::{Op, Spec, Store};
use crate::sink::SinkProcess;
use crate::{Context as _, Result, pattern, process, workload};

/// What both checks are told.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Bytes to save, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    pub size: u64,
    /// Who saves, as NAME or NAME:SETTING=VALUE,…
    #[arg(long, default_value = "milepost")]
    pub client: Client,
    /// The folder to work in, on a real disk
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Where the bytes go: a null sink, or a folder beside the files
    #[arg(long)]
    pub to_dir: bool,
}

struct Scene {
    scratch: tempfile::TempDir,
    sink: SinkProcess,
    spec: Spec,
}

impl Scene {
    fn set(options: &Options) -> Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("milepost-bench.");
        let scratch = match &options.dir {
            Some(parent) => builder.tempdir_in(parent).context(parent.display())?,
            None => builder.tempdir()?,
        };
        let segments = scratch.path().join("files/segments");
        fs::create_dir_all(&segments)?;
        let segment = 512.min(options.size.max(1));
        for number in 0..options.size.div_ceil(segment) {
            let mut file = File::create(segments.join(format!("{number:06}.log")))?;
            pattern::write(&mut file, 0, segment << 20)?;
            file.sync_all()?;
        }
        let sink = SinkProcess::start(&std::env::current_exe()?)?;
        let store = if options.to_dir {
            Store::Dir(scratch.path().join("store"))
        } else {
            Store::S3 {
                endpoint: sink.endpoint(),
                region: "us-east-1".to_owned(),
                bucket: "bench".to_owned(),
                prefix: "neighbour".to_owned(),
                sink: true,
            }
        };
        let spec = Spec {
            subject: options.client.name.clone(),
            settings: options.client.settings.clone(),
            op: Op::Prepare,
            store,
            files: scratch.path().join("files"),
            target: scratch.path().join("restored"),
        };
        Ok(Self { scratch, sink, spec })
    }

    /// Another backup of the same files, which are cold, as old segments are.
    fn begin(&mut self, round: u32) -> Result<()> {
        self.sink.forget()?;
        self.spec.settings.insert("checkpoint".to_owned(), (100 + round).to_string());
        finish(self.start(Op::Prepare)?)?;
        for file in workload::files(&self.spec.files)? {
            rustix::fs::fadvise(&File::open(&file.path)?, 0, None, rustix::fs::Advice::DontNeed)?;
        }
        Ok(())
    }

    fn start(&self, op: Op) -> Result<Child> {
        let spec = serde_json::to_string(&Spec { op, ..self.spec.clone() })?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["sample", "--spec", &spec]).stdin(Stdio::null()).stdout(Stdio::null());
        command.spawn().context("the client")
    }
}

fn finish(child: Child) -> Result<f64> {
    let begun = process::now();
    let ended = process::wait(child, Duration::from_secs(600))?;
    if ended.status.success() { Ok(process::now() - begun) } else { Err("the client failed, see above".into()) }
}

/// Resident bytes of a file, by `fincore` of util-linux.
fn resident(path: &Path) -> Result<u64> {
    let told = Command::new("fincore").args(["--bytes", "--noheadings", "--output", "RES"]).arg(path).output();
    let told = told.context("fincore (Debian: util-linux-extra or util-linux)")?;
    String::from_utf8_lossy(&told.stdout).trim().parse().context(format!("fincore {}", path.display()))
}

/// A file that was read twice, which makes its pages active, and that nobody touches any more.
struct Hot {
    path: PathBuf,
    resident: u64,
}

impl Hot {
    const SIZE: u64 = 256 << 20;

    fn make(path: PathBuf) -> Result<Self> {
        let mut file = File::create(&path)?;
        pattern::write(&mut file, 0, Self::SIZE)?;
        file.sync_all()?;
        for _ in 0..2 {
            std::io::copy(&mut File::open(&path)?, &mut std::io::sink())?;
        }
        Ok(Self { resident: resident(&path)?, path })
    }

    /// How much of it is no longer in memory, in percent.
    fn lost(&self) -> Result<f64> {
        Ok(100.0 * self.resident.saturating_sub(resident(&self.path)?) as f64 / self.resident.max(1) as f64)
    }
}

/// How much of a hot file that nobody touches is evicted by a save, how much the machine evicts by itself in as long a time, and
/// how much of the cache the save's own files take.
///
/// # Errors
/// Where `fincore` is missing or the client fails.
pub fn cache(options: &Options, rounds: u32) -> Result<()> {
    let mut scene = Scene::set(options)?;
    let saved = workload::files(&scene.spec.files)?;
    let files = || saved.iter().map(|file| resident(&file.path)).sum::<Result<u64>>();
    for round in 0..rounds {
        scene.begin(round)?;
        let hot = Hot::make(scene.scratch.path().join("hot"))?;
        let own = files()?;
        let took = finish(scene.start(Op::Save)?)?;
        let (lost, after) = (hot.lost()?, files()?);
        // Kernels that reclaim what is not touched for a while do so beside a save, too.
        let quiet = Hot::make(scene.scratch.path().join("hot"))?;
        process::pause(Duration::from_secs_f64(took));
        println!(
            "round {}: {} saved {} MiB in {took:.1} s: of a hot file of {} MiB {lost:.3} % were evicted, in as long a time \
             without a save {:.3} %; the saved files took {} MiB of the page cache before and {} MiB after",
            round + 1,
            options.client,
            options.size,
            hot.resident >> 20,
            quiet.lost()?,
            own >> 20,
            after >> 20
        );
    }
    Ok(())
}

/// How long a write of 4 KiB with fdatasync takes, alone and during a save: many of them, one after the other with pauses.
fn writer(path: &Path, stop: &AtomicBool, limit: Duration) -> Result<Vec<f64>> {
    let mut file = File::create(path).context(path.display())?;
    let block = &pattern::block()[..4096];
    let until = process::now() + limit.as_secs_f64();
    let mut spans = Vec::new();
    while !stop.load(Ordering::Relaxed) && process::now() < until {
        let begun = process::now();
        file.write_all(block)?;
        file.sync_data()?;
        spans.push(process::now() - begun);
        process::pause(Duration::from_millis(5));
    }
    Ok(spans)
}

fn quantile(spans: &mut [f64], share: f64) -> f64 {
    spans.sort_by(f64::total_cmp);
    let at = ((spans.len() as f64 * share).ceil() as usize).clamp(1, spans.len().max(1)) - 1;
    spans.get(at).copied().unwrap_or(f64::NAN)
}

/// What a save does to somebody who writes and syncs. Give the client a `rate` (MiB/s).
///
/// # Errors
/// Where the client fails.
pub fn neighbour(options: &Options, rounds: u32) -> Result<()> {
    let mut scene = Scene::set(options)?;
    let path = scene.scratch.path().join("journal");
    let mut ratios = Vec::new();
    for round in 0..rounds {
        scene.begin(round)?;
        let never = AtomicBool::new(false);
        let mut alone = writer(&path, &never, Duration::from_secs(10))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, place) = (Arc::clone(&stop), path.clone());
        let beside = std::thread::spawn(move || writer(&place, &seen, Duration::from_secs(600)));
        let took = finish(scene.start(Op::Save)?)?;
        stop.store(true, Ordering::Relaxed);
        let mut during = beside.join().map_err(|_| "the writer broke off")??;
        let (quiet, busy) = (quantile(&mut alone, 0.99), quantile(&mut during, 0.99));
        println!(
            "round {}: {} saved {} MiB in {took:.1} s; a neighbour's write and fdatasync: p50 {:.2} ms alone, {:.2} ms beside; \
             p99 {:.2} ms alone ({} writes), {:.2} ms beside ({} writes): {:.2} times",
            round + 1,
            options.client,
            options.size,
            quantile(&mut alone, 0.5) * 1e3,
            quantile(&mut during, 0.5) * 1e3,
            quiet * 1e3,
            alone.len(),
            busy * 1e3,
            during.len(),
            busy / quiet
        );
        ratios.push(busy / quiet);
    }
    println!("p99 beside by p99 alone, median of {rounds} rounds: {:.2}", quantile(&mut ratios, 0.5));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_sorted_values() {
        let mut spans: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut spans, 0.99), 99.0);
        assert_eq!(quantile(&mut spans, 0.5), 50.0);
        assert!(quantile(&mut [], 0.5).is_nan());
    }
}
