//! `probe`: does a store keep the promises that backups need?

use milepost::{ProbeReport, Result};

use super::exit;
use crate::app::App;
use crate::render::json;
use crate::render::table::{left, table};

pub(super) async fn run(app: &App) -> Result<u8> {
    let report = app.store()?.probe(&app.cx).await?;
    tracing::info!(store = %report.location, fit = report.fit(), "probed");
    if app.json {
        app.out.line(&format!("{:#}", json::probed(&report)))?;
    } else {
        words(app, &report)?;
    }
    Ok(if report.fit() { exit::OK } else { exit::REFUSED })
}

fn words(app: &App, report: &ProbeReport) -> Result<()> {
    let rows: Vec<Vec<String>> = report
        .checks
        .iter()
        .map(|check| {
            let outcome = match (&check.failure, check.required) {
                (None, _) => "ok",
                (Some(_), true) => "FAILED",
                (Some(_), false) => "warning",
            };
            vec![check.name.to_owned(), outcome.to_owned(), check.failure.clone().unwrap_or_default()]
        })
        .collect();
    app.out.text(&table(&[left("CHECK"), left("OUTCOME"), left("NOTE")], &rows, app.style))?;
    let verdict = if report.fit() {
        "keeps the promises that backups need"
    } else {
        "is NOT fit for backups; --single-writer goes on at your own risk, with one process that writes"
    };
    app.out.line(&crate::out::clean(&format!("{} {verdict}", report.location)))
}
