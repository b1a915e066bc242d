//! `ls`: a backup's files, one a line.

use milepost::{Metadata, Result};

use super::exit;
use crate::app::App;
use crate::out::clean;
use crate::render::look_json as json;
use crate::render::progress::waiting;
use crate::render::table::{left, right, table};
use crate::resolve::{self, Choice};
use crate::units::{count, size};

/// Rows that are laid out together: the first are shown before the last are ready, and memory stays bounded.
const PAGE: usize = 1000;

pub(super) async fn run(app: &App, choice: Choice) -> Result<u8> {
    let store = app.existing_store()?;
    let id = resolve::one(store.as_ref(), choice, app.cluster(), &app.cx).await?;
    let metadata = waiting(app, "reading the metadata", store.metadata(id, &app.cx)).await?;
    if app.json {
        as_json(app, &metadata)?
    } else {
        words(app, &metadata)?
    }
    Ok(exit::OK)
}

fn words(app: &App, metadata: &Metadata) -> Result<()> {
    let document = &metadata.document;
    let files: Vec<_> = document.all_files().collect();
    for page in files.chunks(PAGE) {
        if app.out.is_closed() {
            return Ok(());
        }
        let rows: Vec<Vec<String>> =
            page.iter().map(|(kind, file)| vec![format!("{kind}/{}", file.name), size(file.size)]).collect();
        app.out.text(&table(&[left("FILE"), right("SIZE")], &rows, app.style))?;
    }
    if !app.quiet {
        let skipped = match document.skipped_files.len() as u64 {
            0 => String::new(),
            skipped => format!("; {} skipped, `milepost show {}` says why", count(skipped, "file"), document.id),
        };
        let total = format!("{}, {}{skipped}\n", count(document.total_files, "file"), size(document.total_bytes));
        app.err.text(&clean(total.trim_end()));
        app.err.text("\n");
    }
    Ok(())
}

/// One document, a file on each line: a backup may have 300,000.
fn as_json(app: &App, metadata: &Metadata) -> Result<()> {
    let document = &metadata.document;
    app.out.text(&json::files_begin(metadata))?;
    let mut separator = "";
    for (kind, file) in document.all_files() {
        if app.out.is_closed() {
            return Ok(());
        }
        app.out.text(&format!("{separator}\n{}", json::file(kind, file)))?;
        separator = ",";
    }
    app.out.line("\n]}")
}
