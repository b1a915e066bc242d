//! `cat`: one file of a backup on stdout, hashed as it goes by.
//!
//! The bytes are out before the last of them is judged: damage is told on stderr, and by the exit code.

use std::io::IsTerminal as _;

use futures::StreamExt as _;
use milepost::{Metadata, Result, contents};

use super::exit;
use crate::app::App;
use crate::args_look::Cat;
use crate::render::progress;
use crate::resolve;

pub(super) async fn run(app: &App, args: Cat) -> Result<u8> {
    let store = app.existing_store()?;
    let id = resolve::one(store.as_ref(), args.backup.choice, app.cluster(), &app.cx).await?;
    let metadata = progress::waiting(app, "reading the metadata", store.metadata(id, &app.cx)).await?;
    let print = print(app, store.as_ref(), &metadata, &args);
    // With --json a bar would be lines on stdout, and on a terminal it would be drawn over the contents.
    if app.json || std::io::stdout().is_terminal() {
        print.await?;
    } else {
        progress::watched(app, "cat", print).await?;
    }
    Ok(exit::OK)
}

async fn print(app: &App, store: &dyn milepost::BackupStore, metadata: &Metadata, args: &Cat) -> Result<()> {
    let (kind, record) = contents::find(metadata, &args.file)?;
    let progress = app.cx.progress();
    if let Some(range) = &args.range {
        let file = contents::reference(metadata.document.id, kind, &record.name);
        let mut chunks = store.read(file, range.clone(), &app.cx).await?;
        progress.expect(1, chunks.len());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            progress.add_bytes(chunk.len() as u64);
            app.out.bytes(&chunk)?;
            if app.out.is_closed() {
                return Ok(());
            }
        }
        return Ok(());
    }
    let mut file = contents::open(store, metadata, kind, record, &app.cx).await?;
    progress.expect(1, record.size);
    while let Some(chunk) = file.next().await? {
        progress.add_bytes(chunk.len() as u64);
        app.out.bytes(&chunk)?;
        // Whoever has read enough needs no verdict on the rest.
        if app.out.is_closed() {
            return Ok(());
        }
    }
    Ok(())
}
