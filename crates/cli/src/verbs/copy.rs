//! `copy`: a backup, or a whole checkpoint, into another store.

use std::sync::{Arc, Mutex, PoisonError};

use milepost::copy::{self, CopyReport, CopyTarget};
use milepost::core::ClusterState;
use milepost::{
    BackupId, Error, ImportOptions, ImportOutcome, ImportReport, Result, Settings, StoreAdmin, StoreUrl, checkpoints,
};
use tokio::time::Instant;

use super::exit;
use crate::app::App;
use crate::args_copy::{CopyArgs, CopyWhat};
use crate::args_ops::CheckpointChoice;
use crate::config::{Layers, read_file};
use crate::out::clean;
use crate::render::table::{left, right, table};
use crate::render::{copy_json as json, progress};
use crate::units::{count, pace, size};

/// Backups told in words where they failed or were skipped; JSON tells all.
const NAMED: usize = 20;

/// The destination, and how the user calls it.
struct Destination {
    store: Arc<dyn StoreAdmin>,
    url: String,
}

pub(super) async fn run(app: &App, args: CopyArgs) -> Result<u8> {
    let from = app.existing_store()?;
    let to = destination(app, &args)?;
    let target = match args.what {
        CopyWhat::Backup(id) => CopyTarget::Backup(id),
        CopyWhat::Checkpoint(CheckpointChoice::Id(id)) => CopyTarget::Checkpoint(id),
        CopyWhat::Checkpoint(CheckpointChoice::Latest) => {
            let latest = checkpoints::latest(from.as_ref(), &app.cx).await?;
            for passed in latest.passed_over.iter().take(5) {
                tracing::warn!("latest is {}: {passed}", latest.checkpoint.id());
            }
            CopyTarget::Checkpoint(latest.checkpoint.id())
        }
    };
    let mut options = ImportOptions::default();
    options.resume = args.resume;
    options.dry_run = args.dry_run;
    let begun = Instant::now();
    let unwritten: Mutex<Option<Error>> = Mutex::new(None);
    let watch = |id: BackupId, result: &Result<ImportReport>| {
        if app.json
            && !app.quiet
            && let Err(error) = app.out.line(&json::backup(id, result).to_string())
        {
            // A full disk below stdout must not stop half of a copy; it is told at the end.
            unwritten.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    };
    let work = copy::copy(from.as_ref(), to.store.as_ref(), target, options, &watch, &app.cx);
    let report = progress::watched(app, "copy", work).await?;
    if let Some(error) = unwritten.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    for done in &report.done {
        for warning in &done.warnings {
            tracing::warn!("{}: {warning}", done.id);
        }
    }
    if app.json {
        let took = begun.elapsed();
        app.out.line(&json::summary(&report, target, &to.url, args.dry_run, took).to_string())?;
    } else {
        words(app, &report, target, &to.url, begun)?;
    }
    outcome(report)
}

/// Opens the store to copy to. A dry run makes none where none is.
fn destination(app: &App, args: &CopyArgs) -> Result<Destination> {
    let config = match &args.to_config {
        Some(path) => {
            Layers { file: read_file(path)?, file_path: Some(path.clone()), ..Layers::default() }.resolve(None)?
        }
        None => app.config.clone(),
    };
    let own = args.to_config.as_ref().and_then(|_| config.store.as_ref().map(|(url, _)| url.clone()));
    let Some(url) = args.to.clone().or(own) else {
        return Err(Error::invalid_input("no destination is given")
            .with_hint("give --to URL, or `store` in the file of --to-config"));
    };
    let mut parsed = config.store_url(&url)?;
    if args.dry_run
        && let StoreUrl::Directory(root) = &parsed
        && matches!(std::fs::symlink_metadata(root), Err(error) if error.kind() == std::io::ErrorKind::NotFound)
    {
        parsed = "memory:".parse()?;
    }
    let mut settings = Settings::from(config.settings.clone());
    settings.s3 = config.s3;
    Ok(Destination { store: milepost::open_with(&parsed, settings, app.env.clone())?, url })
}

fn words(app: &App, report: &CopyReport, target: CopyTarget, url: &str, begun: Instant) -> Result<()> {
    if let (CopyTarget::Checkpoint(_), false) = (target, app.quiet) {
        let columns = [left("BACKUP"), left("OUTCOME"), right("FILES"), right("SIZE"), left("NOTE")];
        let rows: Vec<Vec<String>> = report.done.iter().map(row).collect();
        app.out.text(&table(&columns, &rows, app.style))?;
    }
    for (id, state) in report.skipped.iter().take(NAMED).filter(|_| !app.quiet) {
        app.err.text(&format!("{id} is {state}: only a COMPLETED backup is copied\n"));
    }
    for (id, error) in report.failed.iter().take(NAMED) {
        app.err.text(&clean(&format!("{id} was not copied: {}", error.message())));
        app.err.text("\n");
    }
    if app.quiet {
        return Ok(());
    }
    if let (CopyTarget::Checkpoint(checkpoint), Some(state)) = (target, report.checkpoint)
        && state != ClusterState::Completed
    {
        app.err.text(&format!("checkpoint {checkpoint} is {state} at the source, and no more than that in the copy\n"));
    }
    let (mut files, mut bytes, mut sent) = (0, 0, 0);
    for done in &report.done {
        files += done.files;
        bytes += done.bytes;
        sent += done.bytes_sent;
    }
    let what = match target {
        CopyTarget::Backup(id) => id.to_string(),
        CopyTarget::Checkpoint(checkpoint) => {
            format!("{} of checkpoint {checkpoint}", count(report.done.len() as u64, "backup"))
        }
    };
    let total = format!("{}, {}", count(files, "file"), size(bytes));
    let any = |outcome| report.done.iter().any(|done| done.outcome == outcome);
    let line = if any(ImportOutcome::WouldCopy) {
        format!("would copy {what} to {url}: {total}")
    } else if any(ImportOutcome::Copied) {
        let there = bytes - sent.min(bytes);
        let there = if there == 0 { String::new() } else { format!(" ({} were there already)", size(there)) };
        format!("copied {what} to {url}: {total}{there} in {}", pace(sent, begun.elapsed()))
    } else if report.done.is_empty() {
        return Ok(());
    } else {
        let verb = if report.done.len() == 1 { "is" } else { "are" };
        format!("{what} {verb} at {url} already: {total}; nothing was written")
    };
    app.out.line(&clean(&line))
}

fn row(done: &ImportReport) -> Vec<String> {
    let mut notes = Vec::new();
    if !done.complete {
        notes.push("not complete: files were left out when it was saved".to_owned());
    }
    let there = done.files - done.files_sent.min(done.files);
    if done.outcome == ImportOutcome::Copied && there > 0 {
        notes.push(format!("{} there already", count(there, "file")));
    }
    vec![
        done.id.to_string(),
        json::outcome(done.outcome).to_owned(),
        done.files.to_string(),
        size(done.bytes),
        notes.join("; "),
    ]
}

/// What ended it speaks first; then, of several backups, those that failed or are not there to copy make it partial.
fn outcome(report: CopyReport) -> Result<u8> {
    if let Some(error) = report.stopped {
        return Err(error);
    }
    match report.failed.into_iter().next() {
        Some((_, error)) if report.done.is_empty() => Err(error),
        Some(_) => Ok(exit::PARTIAL),
        None if report.checkpoint.is_some_and(|state| state != ClusterState::Completed) => Ok(exit::PARTIAL),
        None => Ok(exit::OK),
    }
}
