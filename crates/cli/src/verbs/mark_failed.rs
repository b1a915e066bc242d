//! `mark-failed`: a backup is given up by hand.

use milepost::{Expect, Result};

use super::{exit, status};
use crate::app::App;
use crate::args::MarkFailed;
use crate::render::json;

pub(super) async fn run(app: &App, args: MarkFailed) -> Result<u8> {
    let store = app.store()?;
    let expect = if args.yes {
        Expect::Any
    } else {
        let seen = store.status(args.id, &app.cx).await?;
        app.confirm(&format!("Declare backup {} ({}) failed? It is never restored again.", args.id, seen.state()))
            .await?;
        // What was shown is what is changed: anything else that happened meanwhile is a conflict.
        seen.expect()
    };
    let status = store.mark_failed(args.id, &args.reason, expect, &app.cx).await?;
    tracing::info!(backup = %args.id, "marked as failed");
    if app.json {
        app.out.line(&format!("{:#}", json::status(&status)))?;
    } else if !app.quiet {
        app.out.text(&status::words(app, &status))?;
    }
    Ok(exit::OK)
}
