//! `cluster`: checkpoints over all partitions, and one of them with every copy.

use std::num::NonZeroU32;
use std::time::Duration;

use futures::StreamExt as _;
use milepost::checkpoints::{self, Checkpoint, PassedOver};
use milepost::core::view::{JudgedOver, Standing};
use milepost::{BackupStatus, CheckpointId, ListQuery, Result, Timestamp, Verification};

use super::exit;
use crate::app::App;
use crate::args_ops::{CheckpointChoice, Cluster};
use crate::render::cluster_json as json;
use crate::render::progress::waiting;
use crate::render::table::{Column, fields, left, right, table};
use crate::units::{ago, count, size};

/// Rows for missing partitions; a damaged status may claim billions.
const MISSING: usize = 20;

pub(super) async fn run(app: &App, args: &Cluster) -> Result<u8> {
    let store = app.existing_store()?;
    match args.checkpoint {
        None => page(app, store.as_ref(), args).await,
        Some(CheckpointChoice::Id(id)) => {
            let found = waiting(app, "looking at the checkpoint", checkpoints::checkpoint(store.as_ref(), id, &app.cx));
            one(app, &found.await?, None)
        }
        Some(CheckpointChoice::Latest) => {
            let found = waiting(app, "looking for the latest", checkpoints::latest(store.as_ref(), &app.cx)).await?;
            one(app, &found.checkpoint, Some(&found.passed_over))
        }
    }
}

/// One checkpoint of the page, with what its older neighbour told.
pub(crate) struct Row {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) backwards: Vec<String>,
}

async fn page(app: &App, store: &dyn milepost::BackupStore, args: &Cluster) -> Result<u8> {
    let query = ListQuery { after: args.after, limit: NonZeroU32::new(args.limit), ..ListQuery::default() };
    let gather = async {
        let mut found = checkpoints::checkpoints(store, query, &app.cx);
        let mut rows: Vec<Row> = Vec::new();
        while let Some(older) = found.next().await.transpose()? {
            if let Some(newer) = rows.last_mut() {
                newer.backwards = checkpoints::backwards(&newer.checkpoint, &older);
            }
            rows.push(Row { checkpoint: older, backwards: Vec::new() });
        }
        Ok(rows)
    };
    let rows = waiting(app, "looking at the newest checkpoints", gather).await?;
    // From the top the first complete one is the latest; further down nobody looked above.
    let latest = rows
        .iter()
        .find(|row| row.checkpoint.view.state == milepost::core::ClusterState::Completed)
        .map(|row| row.checkpoint.id())
        .filter(|_| args.after.is_none());
    let full = rows.len() as u64 >= u64::from(args.limit);
    let next = rows.last().map(|row| row.checkpoint.id()).filter(|_| full);
    if app.json {
        let known = args.after.is_none() && (latest.is_some() || !full);
        app.out.line(&format!("{:#}", json::page(&rows, latest, known, next)))?;
    } else {
        let columns = [
            left("CHECKPOINT"),
            left("STATE"),
            right("PARTITIONS"),
            right("COPIES"),
            right("SIZE"),
            right("AGE"),
            left("VERIFIED"),
            left("NOTE"),
        ];
        let cells: Vec<Vec<String>> = rows.iter().map(|row| cells(app, row, latest)).collect();
        let (columns, cells) = told(&columns, cells);
        app.out.text(&table(&columns, &cells, app.style))?;
        if !app.quiet {
            app.err.text(&below(&rows, latest, args, next));
        }
    }
    let corrupt = rows.iter().any(|row| row.checkpoint.corrupt > 0);
    Ok(if corrupt { exit::PARTIAL } else { exit::OK })
}

/// What stands below a page, on stderr.
fn below(rows: &[Row], latest: Option<CheckpointId>, args: &Cluster, next: Option<CheckpointId>) -> String {
    if rows.is_empty() {
        return if args.after.is_some() { "no older backups\n" } else { "no backups\n" }.to_owned();
    }
    let mut text = String::new();
    if latest.is_none() && args.after.is_none() {
        text.push_str("none of these is complete for the whole cluster");
        text.push_str(if next.is_some() { "; `milepost cluster latest` looks further\n" } else { "\n" });
    }
    if let Some(next) = next {
        text.push_str(&format!("older ones: milepost cluster --after {next}\n"));
    }
    text
}

/// How many partitions have a whole copy.
pub(crate) fn whole(checkpoint: &Checkpoint) -> usize {
    checkpoint.view.partitions.iter().filter(|view| view.best.standing == Standing::Completed).count()
}

pub(crate) fn known(checkpoint: &Checkpoint) -> Option<u32> {
    match checkpoint.view.judged_over {
        JudgedOver::Known(number) => Some(number),
        JudgedOver::Seen => None,
    }
}

/// How long ago the youngest copy changed.
pub(crate) fn age(checkpoint: &Checkpoint) -> Option<Duration> {
    checkpoint.statuses.values().filter_map(|status| status.age).min()
}

/// The verification that speaks for all partitions: that of the least depth and the longest ago, if each best copy has one
/// that found nothing; else how many have.
pub(crate) fn proven(checkpoint: &Checkpoint) -> (usize, Option<Verification>) {
    let best = checkpoint.view.partitions.iter().map(|view| checkpoint.statuses.get(&view.best.copy.id));
    let verified: Vec<Verification> =
        best.filter_map(|status| status?.document.as_ref()?.verified).filter(|verified| verified.ok).collect();
    let all = verified.len() == checkpoint.view.partitions.len();
    let least = verified.iter().min_by_key(|verified| (verified.level, verified.at)).copied();
    (verified.len(), least.filter(|_| all))
}

fn damaged(checkpoint: &Checkpoint) -> usize {
    let found = |status: &&BackupStatus| {
        status.document.as_ref().and_then(|document| document.verified).is_some_and(|verified| !verified.ok)
    };
    checkpoint.statuses.values().filter(found).count()
}

fn since(app: &App, at: Timestamp) -> String {
    ago(Duration::try_from(app.env.clock.now().duration_since(at)).unwrap_or_default())
}

fn verification(app: &App, verified: Verification) -> String {
    let outcome = if verified.ok { "" } else { "FAILED " };
    format!("{outcome}{} {}", verified.level, since(app, verified.at))
}

fn cells(app: &App, row: &Row, latest: Option<CheckpointId>) -> Vec<String> {
    let checkpoint = &row.checkpoint;
    let mut notes = Vec::new();
    if latest == Some(checkpoint.id()) {
        notes.push("latest".to_owned());
    }
    notes.extend(checkpoint.view.why());
    notes.extend(row.backwards.iter().take(3).cloned());
    let held = held(checkpoint);
    if held > 0 {
        notes.push(format!("{held} held"));
    }
    let verified = match (proven(checkpoint), damaged(checkpoint)) {
        (_, damaged @ 1..) => format!("{damaged} FAILED"),
        ((_, Some(verified)), _) => verification(app, verified),
        ((0, None), _) => String::new(),
        ((some, None), _) => format!("{some}/{}", checkpoint.view.partitions.len()),
    };
    vec![
        checkpoint.id().to_string(),
        checkpoint.view.state.to_string(),
        format!(
            "{}/{}",
            whole(checkpoint),
            known(checkpoint).map_or_else(|| "?".to_owned(), |number| number.to_string())
        ),
        checkpoint.copies().count().to_string(),
        size(checkpoint.bytes()),
        age(checkpoint).map_or_else(String::new, ago),
        verified,
        notes.join("; "),
    ]
}

pub(crate) fn held(checkpoint: &Checkpoint) -> usize {
    let has = |status: &&BackupStatus| status.document.as_ref().is_some_and(|document| !document.holds.is_empty());
    checkpoint.statuses.values().filter(has).count()
}

fn one(app: &App, checkpoint: &Checkpoint, passed: Option<&[PassedOver]>) -> Result<u8> {
    if app.json {
        app.out.line(&format!("{:#}", json::one(checkpoint, passed)))?;
    } else {
        words(app, checkpoint, passed)?;
    }
    Ok(match checkpoint.view.state {
        milepost::core::ClusterState::DoesNotExist => exit::NOT_FOUND,
        _ if checkpoint.corrupt > 0 => exit::PARTIAL,
        _ => exit::OK,
    })
}

fn words(app: &App, checkpoint: &Checkpoint, passed: Option<&[PassedOver]>) -> Result<()> {
    let view = &checkpoint.view;
    let partitions = match known(checkpoint) {
        Some(number) => format!("{} of {number} have a whole copy", whole(checkpoint)),
        None => format!("{} have a whole copy; no copy says how many there are", whole(checkpoint)),
    };
    let latest = passed.map(|passed| match passed {
        [] => "yes, it is the newest".to_owned(),
        passed => {
            let named: Vec<String> = passed.iter().take(5).map(ToString::to_string).collect();
            let more = if passed.len() > 5 { "; and older ones" } else { "" };
            format!("yes; newer: {}{more}", named.join("; "))
        }
    });
    let list = [
        ("checkpoint", Some(checkpoint.id().to_string())),
        ("state", Some(view.state.to_string())),
        ("why", view.why()),
        ("latest", latest),
        ("partitions", Some(partitions)),
        ("copies", Some(format!("{}, {}", count(view_copies(checkpoint), "backup"), size(checkpoint.bytes())))),
    ];
    app.out.text(&fields(&list, app.style))?;
    let columns = [
        left("BACKUP"),
        left("STATE"),
        right("POSITION"),
        right("TERM"),
        right("SIZE"),
        right("AGE"),
        left("VERIFIED"),
        left("NOTE"),
    ];
    let mut rows: Vec<Vec<String>> = view
        .partitions
        .iter()
        .flat_map(|partition| {
            let best = (&partition.best, true);
            std::iter::once(best).chain(partition.others.iter().map(|other| (other, false)))
        })
        .map(|(judged, best)| copy_row(app, checkpoint, judged, best))
        .collect();
    for missing in view.missing().take(MISSING) {
        let mut row = vec![String::new(); columns.len()];
        row[0] = format!("{missing}/{}/-", checkpoint.id());
        row[1] = "MISSING".to_owned();
        rows.push(row);
    }
    if rows.is_empty() {
        return Ok(());
    }
    app.out.text("\n")?;
    let (columns, rows) = told(&columns, rows);
    app.out.text(&table(&columns, &rows, app.style))
}

/// The columns in which some row has something to say: room is for those.
fn told(columns: &[Column], rows: Vec<Vec<String>>) -> (Vec<Column>, Vec<Vec<String>>) {
    let says: Vec<bool> = (0..columns.len()).map(|at| rows.iter().any(|row| !row[at].is_empty())).collect();
    let columns = columns.iter().zip(&says).filter(|(_, says)| **says).map(|(column, _)| *column).collect();
    let kept = |row: Vec<String>| row.into_iter().zip(&says).filter(|(_, says)| **says).map(|(cell, _)| cell).collect();
    (columns, rows.into_iter().map(kept).collect())
}

fn view_copies(checkpoint: &Checkpoint) -> u64 {
    checkpoint.copies().count() as u64
}

fn copy_row(app: &App, checkpoint: &Checkpoint, judged: &milepost::core::view::JudgedCopy, best: bool) -> Vec<String> {
    let id = judged.copy.id;
    let status = checkpoint.statuses.get(&id);
    let document = status.and_then(|status| status.document.as_ref());
    let descriptor = document.and_then(|document| document.descriptor.as_ref());
    let counts = document.and_then(|document| document.done.or(document.planned));
    let number = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    let mut notes: Vec<String> = best.then(|| "best".to_owned()).into_iter().chain(judged.reason.clone()).collect();
    if document.is_some_and(|document| !document.holds.is_empty()) {
        notes.push("held".to_owned());
    }
    vec![
        id.to_string(),
        status.map_or("CORRUPT", |status| status.state().name()).to_owned(),
        number(descriptor.and_then(|descriptor| descriptor.checkpoint_position)),
        number(descriptor.and_then(|descriptor| descriptor.term)),
        counts.map_or_else(String::new, |counts| size(counts.bytes)),
        status.and_then(|status| status.age).map_or_else(String::new, ago),
        document.and_then(|document| document.verified).map_or_else(String::new, |found| verification(app, found)),
        notes.join("; "),
    ]
}
