//! `init`: a store gets its `cluster.json`.

use milepost::{InitOptions, PartitionId, Result};

use super::exit;
use crate::app::App;
use crate::args::Init;
use crate::render::table;

pub(super) async fn run(app: &App, args: Init) -> Result<u8> {
    let store = app.store()?;
    let mut options = InitOptions::default();
    options.adopt = args.adopt;
    options.cluster_id = app.config.settings.cluster_id.clone();
    options.first_partition = args.first_partition.map(PartitionId);
    let document = store.init(options, &app.cx).await?;
    tracing::info!(cluster = %document.name, id = %document.cluster_id, "initialised");
    if app.json {
        app.out.line(&format!("{:#}", serde_json::json!(document)))?;
    } else if !app.quiet {
        let fields = [
            ("cluster", Some(document.name.clone())),
            ("id", Some(document.cluster_id.to_string())),
            ("first partition", Some(document.first_partition.to_string())),
            ("created", Some(super::status::time(document.created_at))),
        ];
        app.out.text(&table::fields(&fields, app.style))?;
    }
    Ok(exit::OK)
}
