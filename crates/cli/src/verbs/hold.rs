//! `hold`, `release`: a backup, or a whole checkpoint, that must not be deleted.

use milepost::hold::{self, HoldReport, HoldTarget};
use milepost::{Error, Hold, HoldId, Result};
use serde_json::{Value, json};

use super::exit;
use crate::app::App;
use crate::args_ops::{HoldArgs, Release};
use crate::out::clean;
use crate::render::json::{failed, head, skipped};
use crate::units::count;

/// Copies told in words; JSON tells all.
const NAMED: usize = 20;

pub(super) async fn hold(app: &App, args: HoldArgs) -> Result<u8> {
    let store = app.existing_store()?;
    if args.reason.trim().is_empty() {
        return Err(Error::invalid_input("say why: the reason is empty"));
    }
    let owner = args.owner.unwrap_or_else(|| {
        let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
        user.map_or_else(|| app.env.host.clone(), |user| format!("{user}@{}", app.env.host))
    });
    let wanted = Hold {
        id: args.id.unwrap_or_else(|| HoldId::from_random(app.env.random.bits())),
        reason: args.reason,
        owner,
        created_at: app.env.clock.now(),
    };
    if !wanted.fits() {
        let most = milepost::core::document::MAX_HOLD_BYTES;
        return Err(Error::invalid_input(format!("reason and owner take at most {most} bytes together")));
    }
    let report = hold::hold(store.as_ref(), args.target, &wanted, &app.cx).await?;
    let mut value = document(&report);
    value["hold"] = json!(wanted);
    let words = match args.target {
        HoldTarget::Backup(id) => format!("holds {id}: hold {}", wanted.id),
        HoldTarget::Checkpoint(checkpoint) => {
            let copies = count(report.done.len() as u64, "backup");
            format!("holds checkpoint {checkpoint}, {copies}: hold {}", wanted.id)
        }
    };
    tell(app, &report, &value, &words)
}

pub(super) async fn release(app: &App, args: Release) -> Result<u8> {
    let store = app.existing_store()?;
    let which = args.id.map_or(hold::Release::All, hold::Release::One);
    let report = hold::release(store.as_ref(), args.target, &which, &app.cx).await?;
    let words = match &report.done[..] {
        [(id, hold)] => format!("released {id}: hold {hold} is gone"),
        done => format!("released {}", count(done.len() as u64, "hold")),
    };
    tell(app, &report, &document(&report), &words)
}

fn document(report: &HoldReport) -> Value {
    let done: Vec<Value> = report
        .done
        .iter()
        .map(|(id, hold)| {
            let mut value = head(*id);
            value["holdId"] = json!(hold);
            value
        })
        .collect();
    json!({ "done": done, "skipped": skipped(&report.skipped), "failed": failed(&report.failed) })
}

fn tell(app: &App, report: &HoldReport, value: &Value, words: &str) -> Result<u8> {
    if app.json {
        app.out.line(&format!("{value:#}"))?;
    } else if !app.quiet && !report.done.is_empty() {
        app.out.line(words)?;
    }
    if !app.json {
        for (id, state) in report.skipped.iter().take(NAMED).filter(|_| !app.quiet) {
            app.err.text(&format!("{id} is {state}: only a COMPLETED backup can be held\n"));
        }
        for (id, error) in report.failed.iter().take(NAMED) {
            app.err.text(&clean(&format!("{id} was left as it is: {}", error.message())));
            app.err.text("\n");
        }
    }
    Ok(if report.failed.is_empty() { exit::OK } else { exit::PARTIAL })
}
