//! `prune`: what a retention policy no longer keeps goes. The dry run prints the plan that would be done.

use std::collections::BTreeMap;
use std::sync::Mutex;

use milepost::core::retention::{Action, PlannedCheckpoint, RetentionPlan, Step};
use milepost::prune::{self, Effect, PruneOptions, PruneReport};
use milepost::{Error, ErrorKind, Operation, Result};

use super::exit;
use crate::app::App;
use crate::args_ops::Prune;
use crate::out::clean;
use crate::render::progress;
use crate::render::prune_json as json;
use crate::render::table::{left, right, table};
use crate::units::{ago, count, size, span};

/// Failures told in words; JSON tells all.
const NAMED: usize = 20;

pub(super) async fn run(app: &App, args: Prune) -> Result<u8> {
    let policy = args.policy(app.config.settings.stale_after);
    let store = app.existing_store()?;
    let look = prune::plan(store.as_ref(), &policy, &app.cx);
    let plan = progress::waiting(app, "looking at every backup", look).await?;
    if args.dry_run {
        if app.json {
            app.out.line(&format!("{:#}", json::plan(&plan)))?;
        } else {
            show(app, &plan)?;
            app.out.line(&format!("would {}", words(&plan)))?;
            over_ceiling(app, &plan);
        }
        return Ok(exit::OK);
    }
    if !args.yes && plan.changes().next().is_some() {
        if !app.json {
            show(app, &plan)?;
        }
        let question = format!("Shall I {}? What is deleted is gone for good.", words(&plan));
        app.confirm(&question).await?;
    }
    let report = execute(app, store.as_ref(), &plan, args.verify_level.into()).await?;
    tell(app, &plan, report)
}

async fn execute(
    app: &App,
    store: &dyn milepost::BackupStore,
    plan: &RetentionPlan,
    level: milepost::VerifyLevel,
) -> Result<PruneReport> {
    let mut options = PruneOptions::default();
    options.verify = level;
    options.concurrency = app.config.settings.concurrency;
    let bar = progress::steps(app, plan.changes().count() as u64, "backups");
    let unwritten: Mutex<Option<Error>> = Mutex::new(None);
    let watch = |step: &Step, result: &Result<Effect>| {
        if let Some(bar) = &bar {
            bar.inc(1);
        }
        if app.json
            && !app.quiet
            && let Err(error) = app.out.line(&json::step(step, result).to_string())
        {
            // A full disk below stdout must not stop half of a prune; it is told at the end.
            unwritten.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(error);
        }
    };
    let report = prune::execute(store, plan, &options, &watch, &app.cx).await;
    app.err.show(None);
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    match unwritten.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(report),
    }
}

/// The plan as a table: one line for all backups of a checkpoint that share their fate.
fn show(app: &App, plan: &RetentionPlan) -> Result<()> {
    let columns =
        [left("ACTION"), left("WHAT"), left("STATE"), right("BACKUPS"), right("SIZE"), right("AGE"), left("REASON")];
    for page in plan.checkpoints.chunks(1000) {
        if app.out.is_closed() {
            return Ok(());
        }
        let rows: Vec<Vec<String>> = page.iter().flat_map(rows).collect();
        app.out.text(&table(&columns, &rows, app.style))?;
    }
    Ok(())
}

fn rows(planned: &PlannedCheckpoint) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<(Action, &str), Vec<&Step>> = BTreeMap::new();
    for step in &planned.steps {
        groups.entry((step.action, step.reason.as_str())).or_default().push(step);
    }
    let alone = groups.len() == 1;
    let row = |((action, reason), steps): ((Action, &str), Vec<&Step>)| {
        let what = match steps[..] {
            [step] if !alone => step.id.to_string(),
            _ => planned.checkpoint.to_string(),
        };
        let bytes: u64 = steps.iter().fold(0, |sum, step| sum.saturating_add(step.bytes));
        let restorable = steps.iter().any(|step| step.restorable);
        vec![
            action.to_string(),
            what,
            planned.state.to_string(),
            steps.len().to_string(),
            if bytes == 0 { String::new() } else { size(bytes) },
            if restorable { ago(planned.age) } else { String::new() },
            reason.to_owned(),
        ]
    };
    groups.into_iter().map(row).collect()
}

/// `delete 12 backups (3.9 MiB), mark 1 save as failed, forget 2 tombstones; 2 complete checkpoints stay`.
fn words(plan: &RetentionPlan) -> String {
    let number = |wanted: &[Action]| plan.changes().filter(|step| wanted.contains(&step.action)).count() as u64;
    let mut parts = Vec::new();
    let deleted = number(&[Action::Delete, Action::Finish]);
    if deleted > 0 {
        parts.push(format!("delete {} ({})", count(deleted, "backup"), size(plan.bytes_deleted())));
    }
    let fenced = number(&[Action::Fence]);
    if fenced > 0 {
        parts.push(format!("mark {} as failed", count(fenced, "save")));
    }
    let forgotten = number(&[Action::Forget]);
    if forgotten > 0 {
        parts.push(format!("forget {}", count(forgotten, "tombstone")));
    }
    if parts.is_empty() {
        parts.push("change nothing".to_owned());
    }
    let stay = plan.survivors().count() as u64;
    let verb = if stay == 1 { "stays" } else { "stay" };
    format!("{}; {} {verb}", parts.join(", "), count(stay, "complete checkpoint"))
}

fn over_ceiling(app: &App, plan: &RetentionPlan) {
    if let (Some(over), false) = (plan.over_ceiling, app.quiet) {
        let bound = "because floors, holds, the last complete checkpoint or unfinished ones bind";
        app.err.text(&format!("what stays is {} above --max-bytes, {bound}\n", size(over)));
    }
}

fn tell(app: &App, plan: &RetentionPlan, report: PruneReport) -> Result<u8> {
    if app.json {
        app.out.line(&json::summary(plan, &report).to_string())?;
    } else if !app.quiet {
        app.out.line(&done(&report))?;
        over_ceiling(app, plan);
    }
    if !app.json {
        for failure in report.failed.iter().take(NAMED) {
            let what = match failure.action {
                Action::Fence => "not marked as failed",
                Action::Forget => "not forgotten",
                _ => "not deleted",
            };
            app.err.text(&format!("{}\n", clean(&format!("{} was {what}: {}", failure.id, failure.error.message()))));
        }
        if report.failed.len() > NAMED {
            app.err.text(&format!("and {} more\n", report.failed.len() - NAMED));
        }
    }
    let failed = !report.failed.is_empty();
    if let Some(error) = report.stopped {
        return Err(error.with_hint("the same prune again does the rest"));
    }
    if let Some((id, reason)) = report.damaged.first() {
        let kept = match report.proven {
            Some(proven) => format!("nothing newer than checkpoint {proven}, which is whole, was deleted"),
            None => "no checkpoint that stays is whole, so nothing that can be restored was deleted".to_owned(),
        };
        let number = match report.damaged.len() {
            1 => "1 copy that stays is".to_owned(),
            number => format!("{number} copies that stay are"),
        };
        let kind = ErrorKind::Corrupt { key: id.to_string(), reason: reason.clone() };
        return Err(Error::new(kind, format!("{number} damaged, the first is {id}: {reason}; {kept}"))
            .during(Operation::Prune)
            .with_hint(format!("`milepost mark-failed {id} --reason …` takes it out of the count; then prune again")));
    }
    Ok(if failed { exit::PARTIAL } else { exit::OK })
}

fn done(report: &PruneReport) -> String {
    let mut text = format!(
        "deleted {}: {}, {} in {}",
        count(report.deleted, "backup"),
        count(report.objects, "object"),
        size(report.bytes),
        span(report.duration)
    );
    if report.fenced > 0 {
        text.push_str(&format!("; marked {} as failed", count(report.fenced, "save")));
    }
    if report.forgotten > 0 {
        text.push_str(&format!("; forgot {}", count(report.forgotten, "tombstone")));
    }
    if !report.failed.is_empty() {
        text.push_str(&format!("; {} failed", report.failed.len()));
    }
    if report.untried > 0 {
        text.push_str(&format!("; {} not tried", report.untried));
    }
    text
}
