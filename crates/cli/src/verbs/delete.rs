//! `delete`: a backup goes; its tombstone stays, unless it is forgotten.

use milepost::{DeleteOptions, DeleteReport, ErrorKind, Expect, Result};
use tokio::time::Instant;

use super::exit;
use crate::app::App;
use crate::args::Delete;
use crate::out::clean;
use crate::render::{json, progress};
use crate::units::{count, size};

pub(super) async fn run(app: &App, args: Delete) -> Result<u8> {
    let store = app.existing_store()?;
    let mut options = DeleteOptions::default();
    options.corrupt = args.corrupt;
    options.forget = args.forget;
    options.dry_run = args.dry_run;
    if !args.yes && !args.dry_run {
        let (state, expect) = match store.status(args.id, &app.cx).await {
            Ok(seen) => (seen.state().to_string(), seen.expect()),
            // The document cannot be named by what was read; the store's own checks remain.
            Err(error) if args.corrupt && matches!(error.kind(), ErrorKind::Corrupt { .. }) => {
                ("CORRUPT".to_owned(), Expect::Any)
            }
            Err(error) => return Err(error),
        };
        app.confirm(&format!("Delete backup {} ({state}) for good?", args.id)).await?;
        // What was shown is what is deleted: anything else that happened meanwhile is a conflict.
        options.expect = expect;
    }
    let begun = Instant::now();
    let report = progress::watched(app, "delete", store.delete(args.id, options, &app.cx)).await?;
    if app.json {
        app.out.line(&json::deleted(&report, args.dry_run, begun.elapsed()).to_string())?;
    } else if !app.quiet {
        app.out.line(&words(&report, args.dry_run))?;
    }
    Ok(exit::OK)
}

fn words(report: &DeleteReport, dry_run: bool) -> String {
    let id = report.id;
    let what = format!("{}, {}", count(report.objects, "object"), size(report.bytes));
    let uploads = match report.uploads {
        0 => String::new(),
        number => format!(", {}", count(number, "open upload")),
    };
    if dry_run {
        return format!("would delete {id}: {what}{uploads}");
    }
    if report.forgotten {
        return format!("deleted {id}: {what}{uploads}; its tombstone is forgotten");
    }
    if let Some(why) = &report.kept {
        return clean(&format!("deleted {id}: {what}{uploads}; its tombstone is kept: {why}"));
    }
    if !report.tombstone && report.objects == 0 && report.uploads == 0 {
        return format!("{id} does not exist: nothing to delete");
    }
    format!("deleted {id}: {what}{uploads}")
}
