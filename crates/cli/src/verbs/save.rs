//! `save`: a partition's files become one backup.

use milepost::{Backup, Descriptor, Error, FileSet, FileSetKind, Result, SaveOptions, SaveOutcome, SaveReport};

use super::exit;
use super::remove_source::Source;
use crate::app::App;
use crate::args_save::Save;
use crate::collect::collect;
use crate::render::{json, progress};
use crate::units::{count, pace, size};

/// Files named in words that stay; JSON names all.
const NAMED: usize = 20;

pub(super) async fn run(app: &App, args: Save) -> Result<u8> {
    let descriptor = descriptor(&args)?;
    // Both folders are looked at before the store is: bad input has no effect anywhere.
    let snapshots = collect(FileSetKind::Snapshots, args.snapshots.as_deref())?;
    let segments = collect(FileSetKind::Segments, args.segments.as_deref())?;
    if args.snapshots.is_none() && args.segments.is_none() {
        tracing::warn!("neither --snapshots nor --segments is given: the backup holds no files");
    }
    let mut source = Source::default();
    if args.remove_source {
        source.add(FileSetKind::Snapshots, args.snapshots.as_deref(), &snapshots);
        source.add(FileSetKind::Segments, args.segments.as_deref(), &segments);
        if !args.yes {
            // Asked before the work: nobody waits an hour for a question.
            let what = format!("{}, {}", count(source.len(), "file"), size(source.bytes()));
            app.confirm(&format!("Remove the staged files ({what}) once they are saved?")).await?;
        }
    }
    let store = app.store()?;
    let mut options = SaveOptions::default();
    options.digest = app.config.digest;
    options.resume = args.resume;
    options.ignore_journal = args.ignore_journal;
    let backup = |descriptor: &Descriptor, snapshots: &FileSet, segments: &FileSet| Backup {
        id: args.id,
        descriptor: descriptor.clone(),
        snapshots: snapshots.clone(),
        segments: segments.clone(),
        reservation: None,
    };
    let work = store.save(backup(&descriptor, &snapshots, &segments), options.clone(), &app.cx);
    let report = progress::watched(app, "save", work).await?;
    for warning in &report.warnings {
        tracing::warn!("{warning}");
    }
    let mut value = json::saved(&report);
    let mut code = exit::OK;
    let mut told = words(&report);
    if args.remove_source {
        // What an earlier attempt left in the store may have been taken as it was, without a look at the local file.
        let all_read = report.outcome == SaveOutcome::AlreadyComplete || report.files.iter().all(|file| file.sent);
        if !all_read {
            options.resume = true;
            let compare = store.save(backup(&descriptor, &snapshots, &segments), options, &app.cx);
            progress::watched(app, "save", compare)
                .await
                .map_err(|error| error.with_hint("the backup is saved, but nothing was removed"))?;
        }
        let removed = source.remove(&report);
        value["removed"] = removed.json();
        told.push_str(&format!("; removed {}", count(removed.files, "staged file")));
        for file in removed.kept.iter().take(NAMED) {
            tracing::warn!("not removed: {file}");
        }
        for file in removed.failed.iter().take(NAMED) {
            tracing::error!("could not be removed: {file}");
        }
        if !removed.failed.is_empty() {
            code = exit::PARTIAL;
        }
    }
    if app.json {
        app.out.line(&value.to_string())?;
    } else if !app.quiet {
        app.out.line(&told)?;
    }
    Ok(code)
}

fn descriptor(args: &Save) -> Result<Descriptor> {
    let mut descriptor = Descriptor {
        checkpoint_position: args.position,
        number_of_partitions: args.partitions,
        broker_version: args.broker_version.clone(),
        snapshot_id: args.snapshot_id.clone(),
        term: args.term,
        log_range: args.log_range,
        kind: args.kind.into(),
        fingerprint: args.fingerprint.clone(),
        name: args.name.clone(),
        ..Descriptor::default()
    };
    for (key, value) in &args.properties {
        if descriptor.properties.insert(key.clone(), value.clone()).is_some() {
            return Err(Error::invalid_input(format!("--property {key} is given twice")));
        }
    }
    descriptor.check().map_err(|error| Error::invalid_input(error.to_string()))?;
    Ok(descriptor)
}

fn words(report: &SaveReport) -> String {
    let files = count(report.files.len() as u64, "file");
    let total = size(report.bytes);
    match report.outcome {
        SaveOutcome::AlreadyComplete => {
            format!("{} was complete already: {files}, {total}; nothing was written", report.id)
        }
        SaveOutcome::Saved => {
            let sent = report.files.iter().filter(|file| file.sent).count();
            let there = report.files.len() - sent;
            let there = if there == 0 { String::new() } else { format!(" ({there} of them were there already)") };
            let pace = pace(report.bytes_sent, report.duration);
            format!("saved {}: {files}{there}, {total} in {pace}", report.id)
        }
    }
}
