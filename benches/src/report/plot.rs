//! A plot as SVG: CPU per GiB (per file where bytes are few) of each client, medians as bars, all samples as dots.

use std::fmt::Write as _;

use super::numbers::Samples;
use crate::run::Run;
use crate::sample::{Measured, Op};
use crate::workload::Workload;

const GIB: f64 = (1u64 << 30) as f64;
const LEFT: f64 = 190.0;
const WIDTH: f64 = 820.0;
const ROW: f64 = 26.0;

/// One panel for each workload and operation of the runs; logarithmic, since clients lie a hundredfold apart.
#[must_use]
pub fn plot(runs: &[Run]) -> String {
    let mut body = String::new();
    let mut y = 10.0;
    for run in runs {
        let mut seen: Vec<(Workload, Op)> = Vec::new();
        for record in &run.records {
            if record.op != Op::Idle && !seen.contains(&(record.workload, record.op)) {
                seen.push((record.workload, record.op));
                y = panel(&mut body, run, record.workload, record.op, y);
            }
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{y}\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

fn panel(out: &mut String, run: &Run, workload: Workload, op: Op, top: f64) -> f64 {
    let by_file = matches!(workload, Workload::S | Workload::D);
    let value = |measured: &Measured| match (by_file, measured.moved.files, measured.moved.bytes) {
        (true, files @ 1.., _) => Some(measured.cpu * 1e6 / files as f64),
        (false, _, bytes @ 1..) => Some(measured.cpu * GIB / bytes as f64),
        _ => Some(measured.cpu),
    };
    let mut clients: Vec<String> = Vec::new();
    let mut values: Vec<f64> = Vec::new();
    for record in run.records.iter().filter(|record| record.workload == workload && record.op == op) {
        values.extend(record.measured.as_ref().and_then(value));
        if !clients.contains(&record.client) {
            clients.push(record.client.clone());
        }
    }
    let (Some(low), Some(high)) = (values.iter().copied().reduce(f64::min), values.iter().copied().reduce(f64::max))
    else {
        return top;
    };
    // Whole powers of ten around all values.
    let (from, to) = (low.log10().floor(), high.log10().ceil().max(low.log10().floor() + 1.0));
    let x = |value: f64| LEFT + (value.log10() - from) / (to - from) * (WIDTH - LEFT - 60.0);
    let against = run.records.iter().find(|record| record.workload == workload).map(|record| record.against);
    let unit = if by_file { "CPU µs per file" } else { "CPU-s per GiB" };
    let title = format!("{workload:?}, {}, {}: {unit}", op.name(), format!("{:?}", against).to_lowercase());
    let title = title.replace("some(", "").replace("):", ":");
    let _ = writeln!(out, "<text x=\"10\" y=\"{}\" font-weight=\"bold\">{title}</text>", top + 14.0);
    let bottom = top + 24.0 + ROW * clients.len() as f64;
    let mut power = from;
    while power <= to {
        let at = x(10f64.powf(power));
        let _ = writeln!(
            out,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\" stroke=\"#ccc\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{}</text>",
            top + 22.0,
            bottom + 13.0,
            10f64.powf(power)
        );
        power += 1.0;
    }
    for (number, client) in clients.iter().enumerate() {
        let y = top + 24.0 + ROW * number as f64;
        let _ = writeln!(out, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{client}</text>", LEFT - 8.0, y + 16.0);
        let samples = Samples::of(run, workload, op, client);
        let Some(spread) = samples.each(|_, measured| value(measured)) else {
            let _ = writeln!(out, "<text x=\"{}\" y=\"{:.1}\" fill=\"#a00\">failed</text>", LEFT + 4.0, y + 16.0);
            continue;
        };
        let colour = match client.split(':').next() {
            Some("milepost") => "#2a6fb0",
            Some("raw") => "#888",
            _ => "#d08030",
        };
        let end = x(spread.median);
        let _ = writeln!(
            out,
            "<rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{:.3}</text>",
            y + 4.0,
            (end - LEFT).max(1.0),
            ROW - 10.0,
            x(spread.high) + 8.0,
            y + 16.0,
            spread.median
        );
        for value in samples.0.iter().filter_map(|record| value(record.measured.as_ref()?)) {
            let _ = writeln!(out, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\" fill=\"black\"/>", x(value), y + 12.0);
        }
    }
    bottom + 30.0
}
