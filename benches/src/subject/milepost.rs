//! Milepost, by the library that a broker embeds.

use milepost::{
    Backup, BackupId, DeleteOptions, Descriptor, DigestAlgorithm, FileEntry, FileName, InitOptions, OpContext,
    RestoreCheck, RestoreOptions, RestoreTarget, SaveOptions, Settings, StoreAdmin,
};

use crate::sample::{Moved, Op, Spec, Store, credentials};
use crate::workload::files;
use crate::{Context as _, Result};

const MIB: u64 = 1024 * 1024;
const SETTINGS: [&str; 11] = [
    "digest",
    "part",
    "threshold",
    "concurrency",
    "budget",
    "rate",
    "threads",
    "checkpoint",
    "wire",
    "runtime",
    "priority",
];

/// One backup; other checkpoints are other backups.
fn id(spec: &Spec) -> Result<BackupId> {
    Ok(BackupId::new(1, spec.setting("checkpoint", 100)?, 1))
}

pub(super) fn run(spec: &Spec) -> Result<Moved> {
    spec.known(&SETTINGS)?;
    let place = spec.settings.get("runtime").map_or("single", String::as_str);
    // As the command does it, on one thread; on worker threads, called from outside of them or from one of them.
    let mut runtime = match place {
        "main" | "worker" => tokio::runtime::Builder::new_multi_thread(),
        "single" => tokio::runtime::Builder::new_current_thread(),
        other => return Err(format!("runtime={other}: main, worker or single").into()),
    };
    if let Some(threads) = spec.settings.get("threads") {
        runtime.worker_threads(threads.parse().context("threads")?);
    }
    let runtime = runtime.enable_all().build()?;
    let moved = if place == "worker" {
        let spec = spec.clone();
        runtime.block_on(async move { tokio::spawn(async move { work(&spec).await }).await? })
    } else {
        runtime.block_on(work(spec))
    };
    runtime.shutdown_background();
    moved
}

fn open(spec: &Spec) -> Result<std::sync::Arc<dyn StoreAdmin>> {
    let mut settings = Settings::default();
    let store = &mut settings.store;
    store.part_size = spec.setting("part", store.part_size / MIB)? * MIB;
    store.multipart_threshold = spec.setting("threshold", store.multipart_threshold / MIB)? * MIB;
    store.concurrency = spec.setting("concurrency", store.concurrency)?;
    store.memory_budget = spec.setting("budget", store.memory_budget / MIB)? * MIB;
    if let Some(priority) = spec.settings.get("priority") {
        store.file_priority = priority.parse()?;
    }
    if let Some(rate) = spec.settings.get("rate") {
        store.rate_limit = std::num::NonZeroU64::new(rate.parse::<u64>().context("rate")? * MIB);
    }
    let url = match &spec.store {
        Store::S3 { endpoint, region, bucket, prefix, .. } => {
            let (key, secret) = credentials();
            settings.s3.access_key_id = Some(key.into());
            settings.s3.secret_access_key = Some(secret.into());
            settings.s3.wire_checksum = match spec.settings.get("wire").map(String::as_str) {
                None | Some("crc64nvme") => milepost::WireChecksum::Crc64nvme,
                Some("crc32c") => milepost::WireChecksum::Crc32c,
                Some("off") => milepost::WireChecksum::Off,
                Some(other) => return Err(format!("wire={other}: crc64nvme, crc32c or off").into()),
            };
            format!("s3://{bucket}/{prefix}?endpoint={endpoint}&region={region}&path_style=true")
        }
        Store::Dir(folder) => folder.to_str().ok_or("the folder's name is not UTF-8")?.to_owned(),
    };
    Ok(milepost::open_admin(&url, settings)?)
}

/// `blake3`, the default, `sha256`, or `none`: CRC64NVME alone.
fn digest(spec: &Spec) -> Result<Option<DigestAlgorithm>> {
    match spec.settings.get("digest").map(String::as_str) {
        None | Some("blake3") => Ok(Some(DigestAlgorithm::Blake3)),
        Some("sha256") => Ok(Some(DigestAlgorithm::Sha256)),
        Some("none") => Ok(None),
        Some(other) => Err(format!("digest={other}: blake3, sha256 or none").into()),
    }
}

async fn work(spec: &Spec) -> Result<Moved> {
    let store = open(spec)?;
    let cx = OpContext::new();
    let id = id(spec)?;
    match spec.op {
        Op::Prepare => {
            store.init(InitOptions::default(), &cx).await?;
            Ok(Moved::default())
        }
        Op::Idle => {
            store.status(id, &cx).await?;
            Ok(Moved::default())
        }
        Op::Save => {
            let mut options = SaveOptions::default();
            options.digest = digest(spec)?;
            let report = store.save(backup(spec, id)?, options, &cx).await?;
            Ok(Moved { files: report.files.len() as u64, bytes: report.bytes })
        }
        Op::Restore => {
            let mut options = RestoreOptions::default();
            if digest(spec)?.is_none() {
                options.check = RestoreCheck::Size;
            }
            let target = RestoreTarget { path: spec.target.clone() };
            let report = store.restore(id, target, options, &cx).await?;
            Ok(Moved { files: report.files, bytes: report.bytes })
        }
        Op::Delete | Op::Clean => {
            store.delete(id, DeleteOptions::default(), &cx).await?;
            Ok(Moved::default())
        }
    }
}

fn backup(spec: &Spec, id: BackupId) -> Result<Backup> {
    let (mut snapshots, mut segments) = (Vec::new(), Vec::new());
    for file in files(&spec.files)? {
        let (set, name) = match file.name.split_once('/') {
            Some(("snapshots", name)) => (&mut snapshots, name),
            Some((_, name)) => (&mut segments, name),
            None => continue,
        };
        set.push(FileEntry::from_path(FileName::new(name)?, file.path));
    }
    Ok(Backup { id, descriptor: Descriptor::default(), snapshots, segments, reservation: None })
}
