//! `list`: backups by checkpoint.

use std::sync::Arc;

use futures::StreamExt as _;
use milepost::{BackupState, ListEntry, ListQuery, Result, Selector, StoreAdmin};

use super::exit;
use crate::app::App;
use crate::args::List;
use crate::render::json;
use crate::render::table::{left, right, table};
use crate::units::{ago, count, size};

/// Rows that are laid out together: a listing of any length needs no more memory than this.
const PAGE: usize = 1000;

pub(super) async fn run(app: &App, args: &List) -> Result<u8> {
    let (since, until) = args.created.span(app.env.clock.now());
    let query = ListQuery {
        selector: Selector { partition: args.partition, checkpoint: args.checkpoint, node: args.node },
        order: args.order.into(),
        after: args.after,
        limit: args.limit,
        tombstones: false,
        since,
        until,
    };
    show(app, &app.existing_store()?, query).await
}

/// Prints a listing.
///
/// # Errors
/// Those of the listing. What came before is printed; a JSON document is closed and names the error.
pub(crate) async fn show(app: &App, store: &Arc<dyn StoreAdmin>, query: ListQuery) -> Result<u8> {
    if app.json { as_json(app, store, query).await } else { as_table(app, store, query).await }
}

async fn as_table(app: &App, store: &Arc<dyn StoreAdmin>, query: ListQuery) -> Result<u8> {
    let mut listing = store.list(query, app.cx.clone()).chunks(PAGE);
    let (mut any, mut corrupt, mut newer) = (false, 0u64, 0u64);
    while let Some(page) = listing.next().await {
        let mut rows = Vec::with_capacity(page.len());
        let mut failure = None;
        for entry in page {
            match entry {
                Ok(entry) => {
                    corrupt += u64::from(matches!(entry, ListEntry::Corrupt { .. }));
                    newer += u64::from(matches!(entry, ListEntry::Corrupt { newer: true, .. }));
                    rows.push(row(app, &entry));
                }
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        any |= !rows.is_empty();
        let columns = [left("BACKUP"), left("STATE"), right("FILES"), right("SIZE"), right("AGE"), left("NOTE")];
        app.out.text(&table(&columns, &rows, app.style))?;
        if let Some(error) = failure {
            return Err(error);
        }
        if app.out.is_closed() {
            return Ok(exit::OK);
        }
    }
    if !any && !app.quiet {
        app.err.text("no backups\n");
    }
    if corrupt > 0 && !app.quiet {
        let mut text = format!("{} cannot be read", count(corrupt, "backup"));
        if corrupt > newer {
            text.push_str("; `milepost delete P/C/N --corrupt` removes a damaged one");
        }
        if newer > 0 {
            text.push_str("; a newer milepost reads the newer format");
        }
        app.err.text(&format!("{text}\n"));
    }
    Ok(if corrupt > 0 { exit::PARTIAL } else { exit::OK })
}

fn row(app: &App, entry: &ListEntry) -> Vec<String> {
    let status = match entry {
        ListEntry::Backup(status) => status,
        ListEntry::Corrupt { id, reason, newer } => {
            let newer = if *newer { "newer format: " } else { "" };
            let note = format!("{newer}{reason}");
            return vec![id.to_string(), "CORRUPT".to_owned(), String::new(), String::new(), String::new(), note];
        }
    };
    let document = status.document.as_ref();
    let counts = document.and_then(|document| document.done.or(document.planned));
    let mut notes = Vec::new();
    if let Some(document) = document {
        notes.extend(document.descriptor.as_ref().and_then(|descriptor| descriptor.name.clone()));
        if !document.complete {
            notes.push("files skipped".to_owned());
        }
        if !document.holds.is_empty() {
            notes.push("held".to_owned());
        }
        if document.verified.is_some_and(|verified| !verified.ok) {
            notes.push("verification failed".to_owned());
        }
        notes.extend(document.failure_reason.clone());
    }
    if status.state() == BackupState::InProgress && status.age.is_some_and(|age| age >= app.config.settings.stale_after)
    {
        notes.push("stale".to_owned());
    }
    vec![
        status.id.to_string(),
        status.state().to_string(),
        counts.map_or_else(String::new, |counts| counts.files.to_string()),
        counts.map_or_else(String::new, |counts| size(counts.bytes)),
        status.age.map_or_else(String::new, ago),
        notes.join("; "),
    ]
}

/// One document, written as the entries come. A listing that fails is closed all the same, so that it parses.
async fn as_json(app: &App, store: &Arc<dyn StoreAdmin>, query: ListQuery) -> Result<u8> {
    let mut listing = store.list(query, app.cx.clone());
    let mut corrupt = 0u64;
    let mut separator = "";
    app.out.text("{\"backups\":[")?;
    while let Some(entry) = listing.next().await {
        match entry {
            Ok(entry) => {
                corrupt += u64::from(matches!(entry, ListEntry::Corrupt { .. }));
                app.out.text(&format!("{separator}\n{}", json::entry(&entry)))?;
                separator = ",";
            }
            Err(error) => {
                let told = serde_json::Value::from(error.to_string());
                app.out.line(&format!("\n],\"corrupt\":{corrupt},\"complete\":false,\"error\":{told}}}"))?;
                return Err(error);
            }
        }
        if app.out.is_closed() {
            return Ok(exit::OK);
        }
    }
    app.out.line(&format!("\n],\"corrupt\":{corrupt},\"complete\":true}}"))?;
    Ok(if corrupt > 0 { exit::PARTIAL } else { exit::OK })
}
