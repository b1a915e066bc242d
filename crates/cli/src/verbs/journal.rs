//! `journal`: what unfinished saves of this machine noted, and what their next attempt shall do otherwise.

use milepost::journals::{FileProgress, Journal, JournalEdit, JournalEntry, JournalInfo, Journals};
use milepost::{BackupId, Error, Result};

use super::exit;
use crate::app::App;
use crate::args_journal::{How, JournalArgs, JournalVerb, Of};
use crate::out::clean;
use crate::render::journal_json as json;
use crate::render::table::{fields, left, right, table};
use crate::units::{ago, count, size};

pub(super) async fn run(app: &App, args: JournalArgs) -> Result<u8> {
    let journals = journals(app)?;
    match args.verb {
        JournalVerb::List => list(app, &journals),
        JournalVerb::Show { of } => show(app, &journals.show(of.id, of.destination.as_deref())?),
        JournalVerb::Retry { of, file, how } => edit(app, &journals, &of, &JournalEdit::Retry { file }, &how),
        JournalVerb::Skip { of, file, reason, how } => {
            edit(app, &journals, &of, &JournalEdit::Skip { file, reason }, &how)
        }
        JournalVerb::Reset { of, file, how } => edit(app, &journals, &of, &JournalEdit::Reset { file }, &how),
        JournalVerb::ClearErrors { of, how } => edit(app, &journals, &of, &JournalEdit::ClearErrors, &how),
        JournalVerb::Remove { of, how, yes } => remove(app, &journals, &of, &how, yes).await,
    }
}

fn journals(app: &App) -> Result<Journals> {
    app.config.settings.journal_dir.clone().map(Journals::new).ok_or_else(|| {
        Error::invalid_input("no journals are kept: there is no folder for them")
            .with_hint("give --journal-dir DIR, as the save was given it")
    })
}

fn since(app: &App, at: milepost::Timestamp) -> String {
    ago(std::time::Duration::try_from(app.env.clock.now().duration_since(at)).unwrap_or_default())
}

fn list(app: &App, journals: &Journals) -> Result<u8> {
    let entries = journals.list()?;
    let damaged = entries.iter().any(|entry| matches!(entry, JournalEntry::Damaged { .. }));
    let code = if damaged { exit::PARTIAL } else { exit::OK };
    if app.json {
        app.out.line(&format!("{:#}", json::list(journals.dir(), &entries)))?;
        return Ok(code);
    }
    if entries.is_empty() {
        if !app.quiet {
            app.err.text(&clean(&format!("no journals in {}", journals.dir().display())));
            app.err.text("\n");
        }
        return Ok(code);
    }
    let columns = [left("BACKUP"), left("STATE"), right("FILES"), right("SIZE"), right("WRITTEN"), left("NOTE")];
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| match entry {
            JournalEntry::Journal(info) => row(app, info),
            JournalEntry::Damaged { path, reason } => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let blank = String::new;
                vec![name, "DAMAGED".to_owned(), blank(), blank(), blank(), reason.clone()]
            }
        })
        .collect();
    app.out.text(&table(&columns, &rows, app.style))?;
    Ok(code)
}

fn row(app: &App, info: &JournalInfo) -> Vec<String> {
    let mut notes = vec![format!("to {}", info.destination)];
    // The attempt's own words begin with it in most cases.
    let failed = format!("{} failed", count(info.failed_files, "file"));
    if info.failed_files > 0 && !info.error.as_ref().is_some_and(|error| error.contains(&failed)) {
        notes.push(failed);
    }
    if info.skipped_files > 0 {
        notes.push(format!("{} skipped", count(info.skipped_files, "file")));
    }
    notes.extend(info.error.clone());
    vec![
        info.id.to_string(),
        json::state(info).to_owned(),
        format!("{}/{}", info.done_files, info.total_files),
        format!("{}/{}", size(info.done_bytes), size(info.total_bytes)),
        since(app, info.updated_at),
        notes.join("; "),
    ]
}

fn show(app: &App, journal: &Journal) -> Result<u8> {
    if app.json {
        app.out.line(&format!("{:#}", json::one(journal)))?;
        return Ok(exit::OK);
    }
    let info = &journal.info;
    let head = [
        ("backup", Some(info.id.to_string())),
        ("state", Some(json::state(info).to_owned())),
        ("to", Some(info.destination.clone())),
        ("from", Some(info.source.clone()).filter(|source| !source.is_empty())),
        ("begun", Some(since(app, info.started_at))),
        ("written", Some(since(app, info.updated_at))),
        ("done", Some(format!("{} of {}", info.done_files, count(info.total_files, "file")))),
        ("bytes", Some(format!("{} of {}", size(info.done_bytes), size(info.total_bytes)))),
        ("error", info.error.clone()),
        ("journal", Some(info.path.display().to_string())),
    ];
    app.out.text(&fields(&head, app.style))?;
    app.out.text("\n")?;
    let columns = [left("FILE"), left("STATE"), right("SIZE"), left("NOTE")];
    for page in journal.files.chunks(1000) {
        if app.out.is_closed() {
            break;
        }
        let rows: Vec<Vec<String>> = page
            .iter()
            .map(|file| {
                let upload = (file.upload && file.progress != FileProgress::Done).then(|| "upload begun".to_owned());
                let notes: Vec<String> = file.note.iter().cloned().chain(upload).collect();
                let length = file.size.map_or_else(String::new, size);
                vec![file.file.clone(), json::progress(file.progress).to_owned(), length, notes.join("; ")]
            })
            .collect();
        app.out.text(&table(&columns, &rows, app.style))?;
    }
    Ok(exit::OK)
}

fn edit(app: &App, journals: &Journals, of: &Of, edit: &JournalEdit, how: &How) -> Result<u8> {
    let changed = journals.edit(of.id, of.destination.as_deref(), edit, how.dry_run, app.env.random.bits())?;
    if app.json {
        app.out.line(&format!("{:#}", json::edited(of.id, edit, changed, how.dry_run)))?;
    } else if !app.quiet {
        app.out.line(&clean(&words(of.id, edit, changed, how.dry_run)))?;
    }
    Ok(exit::OK)
}

fn words(id: BackupId, edit: &JournalEdit, changed: bool, dry_run: bool) -> String {
    if !changed {
        return format!("the journal of {id} says so already: nothing was changed");
    }
    let what = match edit {
        JournalEdit::Retry { file } => format!("tries {file} again"),
        JournalEdit::Skip { file, .. } => format!("leaves {file} out; the backup is not complete then"),
        JournalEdit::Reset { file } => format!("plans and hashes {file} anew"),
        _ => "starts without the errors of the last one".to_owned(),
    };
    if dry_run {
        format!("would note that the next `save {id} --resume` {what}")
    } else {
        format!("the next `save {id} --resume` {what}")
    }
}

async fn remove(app: &App, journals: &Journals, of: &Of, how: &How, yes: bool) -> Result<u8> {
    let destination = of.destination.as_deref();
    let info = journals.remove(of.id, destination, true)?;
    if !how.dry_run {
        if !yes {
            let skips = match info.skipped_files {
                0 => String::new(),
                some => format!(", with {} to be skipped", count(some, "file")),
            };
            app.confirm(&format!("Remove the journal of {}{skips}?", of.id)).await?;
        }
        journals.remove(of.id, destination, false)?;
    }
    if app.json {
        app.out.line(&format!("{:#}", json::removed(&info, how.dry_run)))?;
    } else if !app.quiet {
        let would = if how.dry_run { "would remove" } else { "removed" };
        app.out.line(&clean(&format!("{would} the journal of {}: {}", of.id, info.path.display())))?;
    }
    Ok(exit::OK)
}
