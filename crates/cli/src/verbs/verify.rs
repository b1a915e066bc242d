//! `verify`: is a backup whole? Findings are the answer, with an exit code of their own.

use milepost::{Annotation, Expect, Result, Verification, VerifyReport};

use super::exit;
use crate::app::App;
use crate::args_verify::Verify;
use crate::render::table::{left, table};
use crate::render::{json, progress};
use crate::resolve;
use crate::units::{count, pace, size};

pub(super) async fn run(app: &App, args: Verify) -> Result<u8> {
    let Some(choice) = args.backup else {
        return super::verify_many::run(app, args.many, args.level.into()).await;
    };
    let store = app.existing_store()?;
    let id = resolve::one(store.as_ref(), choice, app.cluster(), &app.cx).await?;
    let report = progress::watched(app, "verify", store.verify(id, args.level.into(), &app.cx)).await?;
    if args.record {
        let verified = Verification { level: report.level, at: app.env.clock.now(), ok: report.ok() };
        store.annotate(id, Annotation::Verified(verified), Expect::Any, &app.cx).await?;
    }
    if app.json {
        app.out.line(&json::verified(&report).to_string())?;
    } else {
        words(app, &report)?;
    }
    Ok(if report.ok() { exit::OK } else { exit::CORRUPT })
}

fn words(app: &App, report: &VerifyReport) -> Result<()> {
    let rows: Vec<Vec<String>> = report
        .findings
        .iter()
        .map(|finding| {
            let weight = if finding.is_warning() { "warning" } else { "damage" };
            vec![weight.to_owned(), json::problem(&finding.problem).to_owned(), finding.to_string()]
        })
        .collect();
    app.out.text(&table(&[left("WEIGHT"), left("PROBLEM"), left("OBJECT")], &rows, app.style))?;
    let damage = report.findings.iter().filter(|finding| !finding.is_warning()).count() as u64;
    let files = format!("{}, {}", count(report.files, "file"), size(report.bytes));
    if damage > 0 {
        // Damage is said with --quiet too: it is why somebody asked.
        let line =
            format!("{} is DAMAGED: {} at level {} ({files})", report.id, count(damage, "finding"), report.level);
        return app.out.line(&line);
    }
    if app.quiet {
        return Ok(());
    }
    // The other levels read no contents.
    let read = if report.level == milepost::VerifyLevel::Content { report.bytes } else { 0 };
    let pace = pace(read, report.duration);
    app.out.line(&format!("{} is whole at level {}: {files} in {pace}", report.id, report.level))
}
