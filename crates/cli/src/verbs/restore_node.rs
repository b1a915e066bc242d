//! `restore-node`: a node's whole data folder, partition by partition, from one checkpoint.

use std::path::{Path, PathBuf};

use milepost::node::{NodeRestore, NodeRestoreOptions, PartitionRestore, restore_node};
use milepost::{Error, ErrorKind, RestoreOptions, RestoreOutcome, Result};

use super::exit;
use crate::app::App;
use crate::args_ops::{CheckpointChoice, RestoreNode};
use crate::out::clean;
use crate::render::node_json as json;
use crate::render::progress;
use crate::render::table::{left, right, table};
use crate::units::{count, pace, size};

pub(super) async fn run(app: &App, args: RestoreNode) -> Result<u8> {
    let store = app.existing_store()?;
    let mut restore = RestoreOptions::default();
    restore.check = args.check.into();
    restore.skip_if_restored = args.skip_if_restored;
    let options = NodeRestoreOptions {
        node: args.node,
        partitions: args.partitions,
        checkpoint: match args.checkpoint {
            CheckpointChoice::Latest => None,
            CheckpointChoice::Id(id) => Some(id),
        },
        min_checkpoint: args.min_checkpoint,
        number_of_partitions: args.partition_count,
        cluster_id: app.cluster().cloned(),
        parallel: args.parallel,
        restore,
    };
    let target = if args.drill { scratch(app, &args.target)? } else { args.target };
    let work = restore_node(store.as_ref(), &target, &options, &app.cx);
    let result = progress::watched(app, "restore-node", work).await;
    if args.drill {
        // The drill leaves nothing, however it ended.
        let folder = target.clone();
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
        if let Ok(Err(error)) = removed
            && error.kind() != std::io::ErrorKind::NotFound
        {
            app.err.text(&format!("{} could not be removed: {error}\n", target.display()));
        }
    }
    tell(app, &target, result?, args.drill)
}

/// A folder of its own for a drill, below the target.
fn scratch(app: &App, target: &Path) -> Result<PathBuf> {
    if !target.is_dir() {
        let message = format!("{} is not a folder: a drill works in a new one below it", target.display());
        return Err(Error::invalid_input(message).with_hint("name a folder on a disk with room for all partitions"));
    }
    Ok(target.join(format!("milepost-drill-{}", app.env.attempt())))
}

fn tell(app: &App, target: &Path, done: NodeRestore, drill: bool) -> Result<u8> {
    if app.json {
        for partition in &done.partitions {
            app.out.line(&json::partition(partition).to_string())?;
        }
        app.out.line(&json::summary(&done, target, drill).to_string())?;
    } else {
        words(app, target, &done, drill)?;
    }
    let failed = done.partitions.len() - done.whole();
    // The worst speaks for all: a signal, then what the first one that failed met.
    let mut errors: Vec<Error> = done.partitions.into_iter().filter_map(|partition| partition.result.err()).collect();
    let at = errors.iter().position(|error| matches!(error.kind(), ErrorKind::Cancelled)).unwrap_or(0);
    if errors.is_empty() {
        return Ok(exit::OK);
    }
    if failed > 1 && !app.json {
        app.err.text(&format!("{failed} partitions failed; one of them:\n"));
    }
    Err(errors.swap_remove(at))
}

fn words(app: &App, target: &Path, done: &NodeRestore, drill: bool) -> Result<()> {
    for passed in done.passed_over.iter().take(5).filter(|_| !app.quiet) {
        app.err.text(&clean(&format!("passed over: {passed}")));
        app.err.text("\n");
    }
    if app.quiet {
        return Ok(());
    }
    let columns = [left("PARTITION"), left("OUTCOME"), left("COPY"), right("FILES"), right("SIZE"), left("NOTE")];
    let rows: Vec<Vec<String>> = done.partitions.iter().map(row).collect();
    app.out.text(&table(&columns, &rows, app.style))?;
    let (mut files, mut bytes, mut fetched) = (0, 0, 0);
    for report in done.partitions.iter().filter_map(|partition| partition.result.as_ref().ok()) {
        files += report.files;
        bytes += report.bytes;
        fetched += report.bytes_fetched;
    }
    let what = match done.checkpoint {
        Some(checkpoint) => format!("of checkpoint {checkpoint}"),
        None => "restored before".to_owned(),
    };
    let whole = count(done.whole() as u64, "partition");
    let total = format!("{}, {} in {}", count(files, "file"), size(bytes), pace(fetched, done.duration));
    let line = if drill {
        format!("drill: {whole} {what} can be restored: {total}; nothing was left behind")
    } else {
        format!("{whole} {what} in {}: {total}", target.display())
    };
    app.out.line(&clean(&line))
}

fn row(done: &PartitionRestore) -> Vec<String> {
    let mut notes: Vec<String> = done.passed_over.iter().map(|(id, why)| format!("{id} is unusable: {why}")).collect();
    let (outcome, copy, files, bytes) = match &done.result {
        Ok(report) => {
            let outcome = match report.outcome {
                RestoreOutcome::Restored => "RESTORED",
                RestoreOutcome::AlreadyRestored => "ALREADY_RESTORED",
            };
            // A skipped one was not looked at.
            let known = report.files > 0 || report.outcome == RestoreOutcome::Restored;
            let files = if known { report.files.to_string() } else { String::new() };
            (outcome, report.id.to_string(), files, if known { size(report.bytes) } else { String::new() })
        }
        Err(error) => {
            if done.passed_over.is_empty() {
                notes.push(error.message().to_owned());
            }
            ("FAILED", String::new(), String::new(), String::new())
        }
    };
    vec![done.partition.to_string(), outcome.to_owned(), copy, files, bytes, notes.join("; ")]
}
