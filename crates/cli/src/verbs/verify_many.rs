//! `verify` of a selection: many backups, each recorded, the worst of them the exit code.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use milepost::verifying::{self, Selected, Selection, Verdict, Verified, VerifyOptions, VerifyingReport};
use milepost::{Error, ErrorKind, Result};
use serde_json::Value;

use super::exit;
use crate::app::App;
use crate::args_verify::Many;
use crate::out::clean;
use crate::render::table::{left, right, table};
use crate::render::{progress, verify_json as json};
use crate::units::{count, pace, size};

/// Findings of one backup that are shown in words; JSON and the report have up to 1,000.
const SHOWN: usize = 3;

pub(super) async fn run(app: &App, many: Many, level: milepost::VerifyLevel) -> Result<u8> {
    let store = app.existing_store()?;
    if let Some(path) = &many.report {
        writable(path)?;
    }
    let mut selection = Selection::default();
    selection.selector = many.selector();
    selection.sample = many.sample;
    selection.seed = many.seed.unwrap_or_else(|| app.env.seed());
    selection.oldest_first = many.oldest_first;
    selection.limit = many.limit.map(|limit| limit.get() as usize);
    let look = verifying::select(store.as_ref(), &selection, &app.cx);
    let selected = progress::waiting(app, "looking at every backup", look).await?;
    if selected.is_empty() && !many.all {
        return Err(Error::new(ErrorKind::NotFound, "there is no backup of this selection")
            .with_hint("`milepost cluster` and `milepost list` show what there is"));
    }
    let mut options = VerifyOptions::default();
    options.level = level;
    options.concurrency = app.config.settings.concurrency;
    let bar = progress::steps(app, selected.chosen.len() as u64, "backups");
    let unwritten: Mutex<Option<Error>> = Mutex::new(None);
    let watch = |verified: &Verified| {
        if let Some(bar) = &bar {
            bar.inc(1);
        }
        if app.json
            && !app.quiet
            && let Err(error) = app.out.line(&json::line(verified).to_string())
        {
            // It is told at the end; what is verified is recorded all the same.
            unwritten.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    };
    let record = (!many.no_record).then_some(&*app.env.clock);
    let report = verifying::verify(store.as_ref(), &selected.chosen, &options, record, &watch, &app.cx).await;
    app.err.show(None);
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let summary = json::summary(&selection, &selected, &report, level, !many.no_record);
    if let Some(path) = &many.report {
        write(path, &json::report(&summary, &report, app.env.clock.now()))?;
    }
    if let Some(error) = unwritten.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    if app.json {
        app.out.line(&summary.to_string())?;
    } else {
        words(app, &selected, &report, level, &many)?;
    }
    outcome(&selected, report)
}

/// Where the report goes is looked at before any work: an hour later is no time to hear of a mistyped folder.
fn writable(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.is_dir() || path.file_name().is_none() || !folder.is_dir() {
        return Err(Error::invalid_input(format!("--report: {} is no file in an existing folder", path.display())));
    }
    Ok(())
}

/// Writes the report whole: beside its place first, then renamed.
fn write(path: &Path, report: &Value) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let written = || -> io::Result<()> {
        std::fs::write(&beside, format!("{report:#}\n"))?;
        std::fs::rename(&beside, path)
    };
    written().map_err(|error| {
        let message = format!("the report {} cannot be written: {error}", path.display());
        Error::new(ErrorKind::Target, message).with_hint("what was verified is recorded where that was asked for")
    })
}

fn words(
    app: &App,
    selected: &Selected,
    report: &VerifyingReport,
    level: milepost::VerifyLevel,
    many: &Many,
) -> Result<()> {
    let columns = [left("BACKUP"), left("OUTCOME"), right("FILES"), right("SIZE"), left("NOTE")];
    // Only what is wrong: a thousand lines of good news hide the one that is not.
    let mut rows: Vec<Vec<String>> =
        report.backups.iter().filter(|verified| verified.verdict() != Verdict::Whole).map(row).collect();
    rows.extend(selected.unreadable.iter().map(|unreadable| {
        vec![
            unreadable.id.to_string(),
            json::unreadable(unreadable).to_owned(),
            String::new(),
            String::new(),
            unreadable.reason.clone(),
        ]
    }));
    app.out.text(&table(&columns, &rows, app.style))?;
    if let Some(why) = &report.unrecorded {
        app.err.text(&clean(&match report.recorded() {
            0 => format!("nothing was recorded in the statuses: {why}"),
            some => format!("only {} recorded in a status: {why}", count(some, "outcome")),
        }));
        app.err.text("\n");
    }
    let damaged = report.number(Verdict::Damaged) + selected.unreadable.iter().filter(|one| !one.newer).count() as u64;
    if app.quiet && damaged == 0 {
        return Ok(());
    }
    if report.backups.is_empty() && selected.unreadable.is_empty() {
        return app.out.line("there is no COMPLETED backup to verify");
    }
    let looked = report.backups.len() as u64;
    let of = if selected.completed > looked { format!(" of {}", selected.completed) } else { String::new() };
    let backups = if of.is_empty() { count(looked, "backup") } else { format!("{looked}{of} backups") };
    let mut line = format!("verified {backups} at level {level}: {} whole", report.number(Verdict::Whole));
    for (number, word) in [
        (damaged, "DAMAGED"),
        (report.number(Verdict::Gone), "gone meanwhile"),
        (unknown(selected, report), "not judged"),
    ] {
        if number > 0 {
            line.push_str(&format!(", {number} {word}"));
        }
    }
    if selected.unfinished > 0 {
        line.push_str(&format!("; {} not COMPLETED", selected.unfinished));
    }
    let read: u64 = report.backups.iter().filter_map(|one| one.result.as_ref().ok()).map(|done| done.bytes).sum();
    // The other levels read no contents.
    let moved = if level == milepost::VerifyLevel::Content { read } else { 0 };
    line.push_str(&format!(" ({}) in {}", size(read), pace(moved, report.duration)));
    if many.no_record {
        line.push_str("; nothing was recorded");
    }
    app.out.line(&line)
}

fn unknown(selected: &Selected, report: &VerifyingReport) -> u64 {
    report.number(Verdict::Unknown) + selected.unreadable.iter().filter(|one| one.newer).count() as u64
}

fn row(verified: &Verified) -> Vec<String> {
    let (files, bytes, note) = match &verified.result {
        Ok(report) => {
            let damage: Vec<String> = verified.damage().take(SHOWN).map(ToString::to_string).collect();
            let more = verified.damage().count() - damage.len();
            let more = if more + verified.left_out as usize > 0 { "; and more" } else { "" };
            (report.files.to_string(), size(report.bytes), format!("{}{more}", damage.join("; ")))
        }
        Err(error) => (String::new(), String::new(), error.message().to_owned()),
    };
    vec![verified.id.to_string(), json::verdict(verified.verdict()).to_owned(), files, bytes, note]
}

/// What ended it early speaks first; then damage, then what could not be judged.
fn outcome(selected: &Selected, mut report: VerifyingReport) -> Result<u8> {
    if let Some(error) = report.stopped.take() {
        return Err(error);
    }
    if report.number(Verdict::Damaged) > 0 || selected.unreadable.iter().any(|one| !one.newer) {
        return Ok(exit::CORRUPT);
    }
    let unknown = report.backups.into_iter().filter(|one| one.verdict() == Verdict::Unknown);
    match unknown.filter_map(|one| one.result.err()).next() {
        Some(error) => Err(error),
        None if !selected.unreadable.is_empty() => Ok(exit::REFUSED),
        None => Ok(exit::OK),
    }
}
