//! `demo`: the whole life of a backup, on a small made-up broker, in a folder of its own.
//!
//! ```text
//! <dir>/.milepost-demo        says that the folder is a demo's, and may be replaced
//! <dir>/broker/node-N/partition-P/{snapshots,segments}/…
//! <dir>/store/…               the backups, unless --store names another place
//! ```

mod broker;
mod folder;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures::StreamExt as _;
use milepost::{
    Backup, BackupId, Error, ErrorKind, FileSetKind, ListQuery, OpContext, Order, PartitionId, RestoreOptions,
    RestoreTarget, Result, SaveOptions, Selector, StoreAdmin,
};
use serde_json::json;
use tokio::time::Instant;

use self::broker::Broker;
use crate::app::App;
use crate::collect::collect;
use crate::config::Origin;
use crate::out::clean;
use crate::units::{count, size, span};
use crate::verbs::{exit, list};

/// The node whose data is destroyed.
const LOST: u32 = 2;

/// What a copy must be again after its restore: the hash of each file, by set and name.
type Hashes = BTreeMap<(FileSetKind, String), (u64, String)>;

pub(crate) async fn run(app: &App, dir: &Path) -> Result<u8> {
    let begun = Instant::now();
    folder::prepare(dir, app.env.random.as_ref())?;
    let (store, url) = open(app, dir)?;
    let checkpoint = next_checkpoint(store.as_ref(), &app.cx).await?;
    say(
        app,
        "broker",
        &format!(
            "a broker of {} partitions on {} nodes writes below {}",
            broker::PARTITIONS,
            broker::NODES,
            dir.display()
        ),
    )?;
    let broker = Broker::create(&dir.join("broker"), app.env.seed()).map_err(|error| unwritable(dir, &error))?;

    // The logs grow while they are saved, as a broker's do: a backup takes what was there when it began.
    let writer = broker.start_writing();
    let saved = save_all(app, store.as_ref(), &broker, checkpoint).await;
    let appended = writer.stop().await;
    let saved = saved?;
    say(app, "save", &format!("saved checkpoint {checkpoint} while the logs grew by {}", size(appended)))?;

    if !app.json && !app.quiet {
        app.out.line("")?;
        let query = ListQuery { selector: at(checkpoint), order: Order::Descending, ..ListQuery::default() };
        list::show(app, &store, query).await?;
        app.out.line("")?;
    }

    let lost = broker.node(LOST);
    std::fs::remove_dir_all(&lost)
        .and_then(|()| std::fs::create_dir(&lost))
        .map_err(|error| unwritable(&lost, &error))?;
    say(app, "lose", &format!("node {LOST} lost its disk: {} is empty", lost.display()))?;

    let (files, bytes) = restore_all(app, store.as_ref(), &broker, checkpoint, &saved).await?;
    let proof =
        format!("restored node {LOST}: {}, {}; every hash is that of the lost data", count(files, "file"), size(bytes));
    say(app, "restore", &proof)?;
    finish(app, dir, &url, checkpoint, (files, bytes), begun)
}

/// The flag alone can point a demo elsewhere: a variable or a file that names the production store must not.
fn open(app: &App, dir: &Path) -> Result<(Arc<dyn StoreAdmin>, String)> {
    let url = match &app.config.store {
        Some((url, Origin::Flag)) => url.clone(),
        _ => dir.join("store").to_str().map(str::to_owned).ok_or_else(|| Error::invalid_input("--dir is not UTF-8"))?,
    };
    let store = match &app.opened {
        Some(store) => store.clone(),
        None => app.open(&url)?,
    };
    Ok((store, url))
}

/// A checkpoint above all that the store holds, tombstones too: a used id is never free again.
async fn next_checkpoint(store: &dyn StoreAdmin, cx: &OpContext) -> Result<u64> {
    let query = ListQuery { limit: std::num::NonZeroU32::new(1), tombstones: true, ..ListQuery::default() };
    match store.list(query, cx.clone()).next().await.transpose()? {
        None => Ok(100),
        Some(entry) => entry.id().checkpoint.0.checked_add(1).ok_or_else(|| Error::refused("no checkpoint id is left")),
    }
}

fn at(checkpoint: u64) -> Selector {
    Selector { checkpoint: Some(milepost::CheckpointId(checkpoint)), ..Selector::ALL }
}

/// Saves every copy, and gives the hashes of the lost node's files, taken from the broker's own folders.
async fn save_all(
    app: &App,
    store: &dyn StoreAdmin,
    broker: &Broker,
    checkpoint: u64,
) -> Result<BTreeMap<PartitionId, Hashes>> {
    let mut lost = BTreeMap::new();
    for (node, partition) in broker::copies() {
        let id = BackupId::new(partition, checkpoint, node);
        let folder = broker.partition(node, partition);
        let backup = Backup {
            id,
            descriptor: broker.descriptor(partition),
            snapshots: collect(FileSetKind::Snapshots, Some(&folder.join("snapshots")))?,
            segments: collect(FileSetKind::Segments, Some(&folder.join("segments")))?,
            reservation: None,
        };
        let report = store.save(backup, SaveOptions::default(), &app.cx).await?;
        if node == LOST {
            let mut hashes = Hashes::new();
            for file in &report.files {
                let path = folder.join(file.kind.folder()).join(file.record.name.as_str());
                let hash = broker::hash(&path, file.record.size).map_err(|error| unwritable(&path, &error))?;
                hashes.insert((file.kind, file.record.name.to_string()), (file.record.size, hash));
            }
            lost.insert(PartitionId(partition), hashes);
        }
    }
    Ok(lost)
}

/// Restores the lost node's copies and compares each file with what was lost.
async fn restore_all(
    app: &App,
    store: &dyn StoreAdmin,
    broker: &Broker,
    checkpoint: u64,
    saved: &BTreeMap<PartitionId, Hashes>,
) -> Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for (partition, hashes) in saved {
        let id = BackupId::new(partition.0, checkpoint, LOST);
        let folder = broker.partition(LOST, partition.0);
        let target = RestoreTarget { path: folder.clone() };
        store.restore(id, target, RestoreOptions::default(), &app.cx).await?;
        for ((kind, name), (length, expected)) in hashes {
            let path = folder.join(kind.folder()).join(name);
            let own = std::fs::metadata(&path).map_err(|error| unwritable(&path, &error))?.len();
            let actual = broker::hash(&path, *length).map_err(|error| unwritable(&path, &error))?;
            if own != *length || actual != *expected {
                return Err(Error::integrity(path.display().to_string(), expected.as_str(), actual).of(id));
            }
            files += 1;
            bytes += length;
        }
    }
    Ok((files, bytes))
}

fn say(app: &App, step: &str, text: &str) -> Result<()> {
    if app.json {
        app.out.line(&json!({ "messageType": "progress", "verb": "demo", "step": step, "message": text }).to_string())
    } else if app.quiet {
        Ok(())
    } else {
        app.out.line(&clean(text))
    }
}

fn finish(app: &App, dir: &Path, url: &str, checkpoint: u64, moved: (u64, u64), begun: Instant) -> Result<u8> {
    let took = begun.elapsed();
    if app.json {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let (files, bytes) = moved;
        let rate = crate::units::bytes_per_second(bytes, took);
        let summary = json!({
            "messageType": "summary", "verb": "demo", "dir": dir.display().to_string(), "store": url,
            "checkpoint": checkpoint.to_string(), "files": files, "bytes": bytes, "durationMillis": millis,
            "bytesPerSecond": rate,
        });
        app.out.line(&summary.to_string())?;
    } else if !app.quiet {
        let alias = call_by_name().map_or_else(String::new, |path| format!("\n  alias milepost='{path}'"));
        let next = format!(
            "done in {}. What to try next:\n{alias}\
             \n  export MILEPOST_STORE='{url}'\n  milepost list\n  milepost show 1/{checkpoint}/1\n  \
             milepost verify 1/latest/any --level content\n  milepost restore 1/latest/any --target restored\n  \
             milepost delete 3/{checkpoint}/1 --dry-run\n\n{} can be removed at any time.",
            span(took),
            dir.display()
        );
        app.out.line(&next)?;
    }
    Ok(exit::OK)
}

/// The binary's path, where the shell would not find it by its name, as behind `cargo run`.
fn call_by_name() -> Option<String> {
    let called = std::env::args_os().next()?;
    if Path::new(&called).components().count() < 2 {
        return None;
    }
    std::env::current_exe().ok()?.to_str().map(str::to_owned)
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Target, format!("{}: {error}", path.display()))
        .with_hint("the demo needs a folder it may write: give --dir DIR")
}

#[cfg(test)]
#[path = "demo_tests.rs"]
mod tests;
