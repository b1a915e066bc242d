//! `restore`: a backup becomes a folder again. Of several copies, the next one is tried where one turns out damaged.

use milepost::{Error, ErrorKind, RestoreOptions, RestoreOutcome, RestoreReport, RestoreTarget, Result};

use super::exit;
use crate::app::App;
use crate::args::Restore;
use crate::render::{json, progress};
use crate::resolve;
use crate::units::{count, pace, size};

pub(super) async fn run(app: &App, args: Restore) -> Result<u8> {
    let store = app.existing_store()?;
    let mut options = RestoreOptions::default();
    options.check = args.check.into();
    options.expect_fingerprint = args.expect_fingerprint;
    options.skip_if_restored = args.skip_if_restored;
    let target = RestoreTarget { path: args.target };
    let ids = resolve::candidates(store.as_ref(), args.backup.choice, app.cluster(), &app.cx).await?;
    let mut failed: Option<Error> = None;
    for id in ids {
        if let Some(error) = failed.take() {
            tracing::warn!("{error}; trying {id}");
        }
        let work = store.restore(id, target.clone(), options.clone(), &app.cx);
        match progress::watched(app, "restore", work).await {
            Ok(report) => {
                tell(app, &report, &target)?;
                return Ok(exit::OK);
            }
            // Damage is this copy's own; anything else would meet the next copy as well.
            Err(error) if damaged(&error) => failed = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(failed.unwrap_or_else(|| Error::new(ErrorKind::NotFound, "no such backup")))
}

fn damaged(error: &Error) -> bool {
    use ErrorKind as K;
    // Deleted or failed since the choice was made: the same way out.
    matches!(error.kind(), K::Corrupt { .. } | K::Integrity { .. } | K::NotFound | K::WrongState { .. })
}

fn tell(app: &App, report: &RestoreReport, target: &RestoreTarget) -> Result<()> {
    let path = target.path.display();
    if app.json {
        return app.out.line(&json::restored(report, &path.to_string()).to_string());
    }
    if app.quiet {
        return Ok(());
    }
    let files = count(report.files, "file");
    let total = size(report.bytes);
    app.out.line(&match report.outcome {
        RestoreOutcome::AlreadyRestored => format!("{path} holds {} already: nothing was done", report.id),
        RestoreOutcome::Restored => {
            let staged = report.files.saturating_sub(report.files_fetched);
            let staged = if staged == 0 { String::new() } else { format!(" ({staged} of them were staged before)") };
            let pace = pace(report.bytes_fetched, report.duration);
            format!("restored {} to {path}: {files}{staged}, {total} in {pace}", report.id)
        }
    })
}
