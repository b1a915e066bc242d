//! The tables that are printed, as Markdown: what a terminal shows is what the documentation holds.

use std::fmt::Write as _;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{ContentArrangement, Table};

use super::numbers::{Samples, floor_of};
use crate::run::{Record, Run};
use crate::sample::Op;
use crate::workload::Workload;

const GIB: f64 = (1u64 << 30) as f64;
const MIB: f64 = (1u64 << 20) as f64;

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled).set_header(header.to_vec());
    table
}

/// Values in the order of their first record.
fn distinct<T: PartialEq>(run: &Run, value: impl Fn(&Record) -> T) -> Vec<T> {
    let mut found = Vec::new();
    for record in &run.records {
        let value = value(record);
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
}

/// All tables of a run.
#[must_use]
pub fn tables(run: &Run) -> String {
    let mut text = format!("{} · Milepost {} · {}\n", run.at, run.version, run.machine.describe());
    let _ = writeln!(text, "`milepost-bench {}`", run.arguments.join(" "));
    for workload in distinct(run, |record| record.workload) {
        let here = |record: &&Record| record.workload == workload;
        let against = run.records.iter().find(here).map(|record| record.against);
        for op in distinct(run, |record| record.op) {
            if op == Op::Idle || !run.records.iter().any(|record| record.workload == workload && record.op == op) {
                continue;
            }
            let where_ = against.map(|against| format!("{against:?}").to_lowercase()).unwrap_or_default();
            let _ = write!(text, "\n### {workload:?}, {}, {where_}\n\n{}\n", op.name(), costs(run, workload, op));
            if let Some(ratios) = ratios(run, workload, op) {
                let _ = write!(text, "\n{ratios}\n");
            }
            if let Some(requests) = requests(run, workload, op) {
                let _ = write!(text, "\n{requests}\n");
            }
        }
    }
    text
}

fn text(value: Option<impl std::fmt::Display>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
}

fn costs(run: &Run, workload: Workload, op: Op) -> Table {
    let mut out = table(&[
        "client",
        "CPU-s",
        "CPU-s/GiB",
        "µs/file",
        "wall s",
        "server CPU-s",
        "peak RSS MiB",
        "above idle MiB",
        "× raw",
    ]);
    for client in distinct(run, |record| record.client.clone()) {
        let samples = Samples::of(run, workload, op, &client);
        if samples.0.is_empty() {
            continue;
        }
        let Some(cpu) = samples.each(|_, measured| Some(measured.cpu)) else {
            let why = samples.failed().unwrap_or("?").chars().take(80).collect::<String>();
            out.add_row(vec![client, format!("failed: {why}")]);
            continue;
        };
        let idle = Samples::of(run, workload, Op::Idle, &client);
        let idle = idle.each(|_, measured| Some(measured.peak_rss as f64 / MIB)).map_or(0.0, |idle| idle.median);
        let floor = Samples::of(run, workload, op, floor_of(&client));
        let ratio = samples.ratio(&floor, |measured| measured.cpu);
        let rss = samples.each(|_, measured| Some(measured.peak_rss as f64 / MIB));
        let per = |of: f64, by: u64| if by == 0 { None } else { Some(of / by as f64) };
        out.add_row(vec![
            client.clone(),
            format!("{cpu:.3}"),
            text(samples.each(|_, m| per(m.cpu * GIB, m.moved.bytes)).map(|spread| format!("{spread:.3}"))),
            text(samples.each(|_, m| per(m.cpu * 1e6, m.moved.files)).map(|spread| format!("{:.0}", spread.median))),
            text(samples.each(|_, m| Some(m.wall)).map(|spread| format!("{spread:.2}"))),
            text(samples.each(|record, _| record.server_cpu).map(|spread| format!("{:.2}", spread.median))),
            text(rss.map(|rss| format!("{:.1}", rss.high))),
            text(rss.map(|rss| format!("{:.1}", rss.high - idle))),
            if client.starts_with("raw") { "1".to_owned() } else { text(ratio) },
        ]);
    }
    out
}

/// Milepost by each of the others.
fn ratios(run: &Run, workload: Workload, op: Op) -> Option<Table> {
    let clients = distinct(run, |record| record.client.clone());
    let (own, others): (Vec<_>, Vec<_>) = clients.into_iter().partition(|client| client.starts_with("milepost"));
    let mut out = table(&["ratio within a round", "to", "CPU", "wall"]);
    let mut rows = 0;
    for client in &own {
        let samples = Samples::of(run, workload, op, client);
        for other in others.iter().filter(|other| !other.starts_with("raw")) {
            let its = Samples::of(run, workload, op, other);
            let Some(cpu) = samples.ratio(&its, |measured| measured.cpu) else { continue };
            let wall = samples.ratio(&its, |measured| measured.wall);
            out.add_row(vec![client.clone(), other.clone(), format!("{cpu:.3}"), text(wall)]);
            rows += 1;
        }
    }
    (rows > 0).then_some(out)
}

/// What the null sink saw in the last round.
fn requests(run: &Run, workload: Workload, op: Op) -> Option<Table> {
    let mut out = table(&["client", "requests", "of which", "bytes by logical byte"]);
    let mut rows = 0;
    for client in distinct(run, |record| record.client.clone()) {
        let samples = Samples::of(run, workload, op, &client);
        let last = samples.0.iter().rev().find_map(|record| Some((record.counts.as_ref()?, record.measured.as_ref()?)));
        let Some((counts, measured)) = last else { continue };
        let kinds: Vec<String> = counts.requests.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let bytes = if op == Op::Restore { counts.body_out } else { counts.body_in + counts.head_in };
        let by = if measured.moved.bytes == 0 {
            "–".to_owned()
        } else {
            format!("{:.5}", bytes as f64 / measured.moved.bytes as f64)
        };
        out.add_row(vec![client, counts.all().to_string(), kinds.join(", "), by]);
        rows += 1;
    }
    (rows > 0).then_some(out)
}
