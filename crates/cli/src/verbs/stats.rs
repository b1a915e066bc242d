//! `stats`: what lies in a store, and how it grows.

use milepost::stats::{self, Stats, Sum};
use milepost::{BackupState, ListQuery, Result, Selector};

use super::exit;
use crate::app::App;
use crate::args_look::Stats as Args;
use crate::render::look_json as json;
use crate::render::progress::waiting;
use crate::render::table::{Column, fields, left, right, table};
use crate::units::{count, size};

pub(super) async fn run(app: &App, args: &Args) -> Result<u8> {
    let store = app.existing_store()?;
    let (since, until) = args.created.span(app.env.clock.now());
    let selector = Selector { partition: args.partition, ..Selector::ALL };
    let query = ListQuery { selector, since, until, ..ListQuery::default() };
    let look = stats::stats(store.as_ref(), query, usize::from(args.last), &app.cx);
    let stats = waiting(app, "looking at every backup", look).await?;
    if app.json {
        app.out.line(&format!("{:#}", json::stats(&stats)))?;
    } else {
        words(app, &stats)?;
    }
    let corrupt = stats.by_state.iter().any(|(state, _)| *state == BackupState::Corrupt);
    Ok(if corrupt { exit::PARTIAL } else { exit::OK })
}

/// The mean of what was begun on the days, or at the checkpoints, that are shown.
pub(crate) fn mean<'a>(sums: impl ExactSizeIterator<Item = &'a Sum>) -> Option<u64> {
    let number = sums.len() as u64;
    let bytes = sums.fold(0u64, |bytes, sum| bytes.saturating_add(sum.bytes));
    bytes.checked_div(number)
}

fn words(app: &App, stats: &Stats) -> Result<()> {
    let states: Vec<String> = stats.by_state.iter().map(|(state, sum)| format!("{} {state}", sum.backups)).collect();
    let states = if states.is_empty() { String::new() } else { format!(": {}", states.join(", ")) };
    let growth = match (mean(stats.by_checkpoint.iter().map(|(_, sum)| sum)), mean(stats.by_day.iter().map(|d| &d.sum)))
    {
        (Some(checkpoint), Some(day)) => {
            let over = [
                count(stats.by_checkpoint.len() as u64, "checkpoint"),
                format!("{} with saves", count(stats.by_day.len() as u64, "day")),
            ];
            Some(format!(
                "{} a checkpoint, {} a day (of the newest {})",
                size(checkpoint),
                size(day),
                over.join(" and ")
            ))
        }
        _ => None,
    };
    let list = [
        ("backups", Some(format!("{}{states}", stats.total.backups))),
        ("tombstones", (stats.tombstones > 0).then(|| stats.tombstones.to_string())),
        ("checkpoints", stats.range.map(|(low, high)| format!("{}, from {low} to {high}", stats.checkpoints))),
        ("contents", Some(format!("{}, {}", count(stats.total.files, "file"), size(stats.total.bytes)))),
        ("growth", growth),
    ];
    app.out.text(&fields(&list, app.style))?;
    let counted =
        |first: String, sum: &Sum| vec![first, sum.backups.to_string(), sum.files.to_string(), size(sum.bytes)];
    let columns = |first: Column| vec![first, right("BACKUPS"), right("FILES"), right("SIZE")];
    let mut with_newest = columns(left("PARTITION"));
    with_newest.push(right("NEWEST COMPLETED"));
    let partitions: Vec<Vec<String>> = stats
        .by_partition
        .iter()
        .map(|partition| {
            let mut row = counted(partition.partition.to_string(), &partition.sum);
            row.push(partition.newest_completed.map_or_else(String::new, |checkpoint| checkpoint.to_string()));
            row
        })
        .collect();
    let checkpoints: Vec<Vec<String>> =
        stats.by_checkpoint.iter().map(|(checkpoint, sum)| counted(checkpoint.to_string(), sum)).collect();
    let days: Vec<Vec<String>> = stats.by_day.iter().map(|day| counted(day.day.clone(), &day.sum)).collect();
    for (columns, rows) in
        [(with_newest, partitions), (columns(left("CHECKPOINT")), checkpoints), (columns(left("BEGUN ON")), days)]
    {
        if !rows.is_empty() {
            app.out.text(&format!("\n{}", table(&columns, &rows, app.style)))?;
        }
    }
    Ok(())
}
