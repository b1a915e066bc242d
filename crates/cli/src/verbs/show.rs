//! `show`: a backup's files, sizes and checksums.

use milepost::{Metadata, Result};

use super::exit;
use crate::app::App;
use crate::render::json;
use crate::render::table::{fields, left, right, table};
use crate::resolve::{self, Choice};
use crate::units::{count, size};

/// Rows that are laid out together: the first are shown before the last are ready, and memory stays bounded.
const PAGE: usize = 1000;

pub(super) async fn run(app: &App, choice: Choice) -> Result<u8> {
    let store = app.existing_store()?;
    let id = resolve::one(store.as_ref(), choice, app.cluster(), &app.cx).await?;
    let metadata = store.metadata(id, &app.cx).await?;
    if app.json {
        app.out.line(&format!("{:#}", json::metadata(&metadata)))?;
    } else {
        words(app, &metadata)?;
    }
    Ok(exit::OK)
}

fn words(app: &App, metadata: &Metadata) -> Result<()> {
    let document = &metadata.document;
    let descriptor = &document.descriptor;
    let properties: Vec<String> = descriptor.properties.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let total = format!(
        "{}, {} ({} bytes)",
        count(document.total_files, "file"),
        size(document.total_bytes),
        document.total_bytes
    );
    app.out.text(&fields(
        &[
            ("backup", Some(document.id.to_string())),
            ("name", descriptor.name.clone()),
            ("kind", Some(format!("{:?}", descriptor.kind).to_uppercase())),
            ("cluster", Some(document.cluster_id.to_string())),
            ("position", descriptor.checkpoint_position.map(|position| position.to_string())),
            ("partitions", descriptor.number_of_partitions.map(|number| number.to_string())),
            ("term", descriptor.term.map(|term| term.to_string())),
            ("log range", descriptor.log_range.map(|range| format!("{}..{}", range.first, range.last))),
            ("snapshot id", descriptor.snapshot_id.clone()),
            ("broker version", descriptor.broker_version.clone()),
            ("fingerprint", descriptor.fingerprint.clone()),
            ("lineage", descriptor.lineage_id.clone()),
            ("properties", (!properties.is_empty()).then(|| properties.join(" "))),
            ("metadata", Some(format!("sha256:{}", metadata.sha256))),
            ("contents", Some(total)),
        ],
        app.style,
    ))?;
    let rows: Vec<Vec<String>> = document
        .all_files()
        .map(|(kind, file)| {
            vec![
                format!("{kind}/{}", file.name),
                size(file.size),
                file.crc64nvme.to_string(),
                file.digest.map_or_else(|| "-".to_owned(), |digest| digest.to_string()),
            ]
        })
        .collect();
    let columns = [left("FILE"), right("SIZE"), left("CRC64NVME"), left("DIGEST")];
    for page in rows.chunks(PAGE) {
        if app.out.is_closed() {
            return Ok(());
        }
        app.out.text(&format!("\n{}", table(&columns, page, app.style)))?;
    }
    for skipped in &document.skipped_files {
        app.out.line(&crate::out::clean(&format!("skipped {}: {}", skipped.name, skipped.reason)))?;
    }
    Ok(())
}
