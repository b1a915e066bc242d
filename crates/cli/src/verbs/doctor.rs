//! `doctor`: what is wrong with a store, with the command that mends it; and clearing up.

use milepost::Result;
use milepost::doctor::{self, Diagnosis, DoctorOptions, Finding, Repaired, Severity};

use crate::app::App;
use crate::args_look::Doctor;
use crate::render::doctor_json as json;
use crate::render::progress::waiting;
use crate::render::table::{left, right, table};
use crate::units::{ago, count, size};

/// # Errors
/// Those of a store that cannot be looked at; Refused where a repair is not confirmed.
pub(super) async fn run(app: &App, args: &Doctor) -> Result<u8> {
    let store = app.existing_store()?;
    let mut options = DoctorOptions::new(app.env.clock.now());
    options.stale_after = app.config.settings.stale_after;
    options.tombstone_grace = args.tombstone_grace;
    options.quick = args.quick;
    options.journal_dir.clone_from(&app.config.settings.journal_dir);
    let look = doctor::examine(store.as_ref(), &options, &app.cx);
    let mut diagnosis = waiting(app, "examining the store", look).await?;
    let mut outcome = Ok(());
    if args.repair && diagnosis.repairable() > 0 {
        if !args.yes {
            if !app.json {
                words(app, &diagnosis)?;
            }
            let findings = count(diagnosis.repairable(), "finding");
            app.confirm(&format!("Shall I clear up {findings} that {}?", MENDED_BY)).await?;
        }
        let repair = doctor::repair(store.as_ref(), &mut diagnosis, &options, &app.cx);
        outcome = waiting(app, "clearing up", repair).await;
    }
    let code = diagnosis.exit_code();
    if app.json {
        app.out.line(&format!("{:#}", json::diagnosis(&diagnosis)))?;
    } else {
        words(app, &diagnosis)?;
    }
    // What was done before it broke off has been told.
    outcome.map(|()| code)
}

const MENDED_BY: &str = "`doctor --repair` mends";

fn words(app: &App, diagnosis: &Diagnosis) -> Result<()> {
    let checks: Vec<Vec<String>> = diagnosis
        .checks
        .iter()
        .map(|one| {
            let outcome = one.outcome.name().to_ascii_lowercase();
            vec![one.check.name().to_owned(), outcome, one.note.clone()]
        })
        .collect();
    if !app.quiet {
        app.out.text(&table(&[left("CHECK"), left("OUTCOME"), left("NOTE")], &checks, app.style))?;
        app.out.text("\n")?;
    }
    let mut found: Vec<&Finding> = diagnosis.findings.iter().collect();
    found.sort_by_key(|one| one.severity);
    let columns = [left("SEVERITY"), left("CHECK"), right("AGE"), right("SIZE"), left("FINDING"), left("MENDED BY")];
    let rows: Vec<Vec<String>> = found.into_iter().map(row).collect();
    app.out.text(&table(&columns, &rows, app.style))?;
    let unnamed: u64 = diagnosis.unnamed.iter().sum();
    if unnamed > 0 {
        app.out.line(&format!("and {unnamed} more"))?;
    }
    let numbers = [
        count(diagnosis.count(Severity::Error), "error"),
        count(diagnosis.count(Severity::Warning), "warning"),
        count(diagnosis.count(Severity::Note), "note"),
    ];
    let healthy = if diagnosis.exit_code() == 0 { ": healthy" } else { "" };
    app.out.line(&crate::out::clean(&format!("{}{healthy}: {}", diagnosis.location, numbers.join(", "))))
}

fn row(finding: &Finding) -> Vec<String> {
    let mended = match (&finding.repaired, &finding.command) {
        (Some(Repaired::Done), _) => "mended".to_owned(),
        (Some(Repaired::Kept(why)), _) => format!("kept: {why}"),
        (Some(Repaired::Failed(why)), _) => format!("FAILED: {why}"),
        (None, command) => command.clone().unwrap_or_default(),
    };
    vec![
        finding.severity.name().to_owned(),
        finding.check.name().to_owned(),
        finding.age.map_or_else(String::new, ago),
        finding.bytes.map_or_else(String::new, size),
        finding.what.clone(),
        mended,
    ]
}
