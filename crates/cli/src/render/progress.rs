//! What is shown while work goes on: a bar on a terminal, JSON lines for programs, nothing otherwise.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use milepost::{ProgressSample, Result};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::app::App;
use crate::units;

const BAR_EVERY: Duration = Duration::from_millis(100);
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Runs `work`, which counts in the context of `app`, and shows how far it is.
///
/// # Errors
/// Those of `work`; Target where stdout cannot be written, which ends `work` as a dropped future.
pub(crate) async fn watched<T>(app: &App, verb: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let bar = (!app.json && !app.quiet && app.interactive.stderr).then(new_bar);
    app.err.show(bar.clone());
    let result = watch(app, verb, bar.as_ref(), work).await;
    app.err.show(None);
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    result
}

/// Runs `work` and says what is waited for, on a terminal, once it takes longer than a moment.
///
/// # Errors
/// Those of `work`.
pub(crate) async fn waiting<T>(app: &App, what: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
    if app.json || app.quiet || !app.interactive.stderr {
        return work.await;
    }
    tokio::pin!(work);
    if let Ok(result) = tokio::time::timeout(LINE_EVERY, &mut work).await {
        return result;
    }
    let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_message(what);
    app.err.show(Some(spinner.clone()));
    spinner.enable_steady_tick(BAR_EVERY);
    let result = work.await;
    app.err.show(None);
    spinner.finish_and_clear();
    result
}

/// A bar over so many things, on a terminal.
pub(crate) fn steps(app: &App, number: u64, things: &'static str) -> Option<ProgressBar> {
    if app.json || app.quiet || !app.interactive.stderr || number == 0 {
        return None;
    }
    let bar = ProgressBar::with_draw_target(Some(number), ProgressDrawTarget::stderr()).with_message(things);
    let template = if columns() < 40 { "{pos}/{len} ETA {eta}" } else { "[{bar:20}] {pos}/{len} {msg} ETA {eta}" };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    app.err.show(Some(bar.clone()));
    Some(bar)
}

async fn watch<T>(
    app: &App,
    verb: &str,
    bar: Option<&ProgressBar>,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let begun = Instant::now();
    let mut ticks = interval(if bar.is_some() { BAR_EVERY } else { LINE_EVERY });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, when nothing is known yet.
    ticks.tick().await;
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            result = &mut work => return result,
            _ = ticks.tick() => {
                let sample = app.cx.progress().sample();
                if let Some(bar) = bar {
                    draw(bar, sample);
                } else if app.json && !app.quiet {
                    app.out.line(&line(verb, sample, begun.elapsed()).to_string())?;
                }
            }
        }
    }
}

fn new_bar() -> ProgressBar {
    ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr())
}

/// From how many columns on a template fits, and the template; the widest first. A bar that wraps leaves its lines behind.
const TEMPLATES: [(u16, &str); 4] = [
    (100, "[{wide_bar}] {percent:>3}% {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} ETA {eta} {msg}"),
    (66, "[{bar:10}] {percent:>3}% {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} ETA {eta} {wide_msg}"),
    (30, "{percent:>3}% {binary_bytes_per_sec} ETA {eta}"),
    (0, "{percent:>3}% ETA {eta}"),
];

/// The template for a terminal of so many columns.
fn template(columns: u16) -> &'static str {
    TEMPLATES.iter().find(|(least, _)| columns >= *least).map_or(TEMPLATES[0].1, |(_, template)| template)
}

/// The columns of the terminal that stderr is; some pseudo-terminals say that they have none.
fn columns() -> u16 {
    rustix::termios::tcgetwinsize(std::io::stderr()).map(|size| size.ws_col).ok().filter(|wide| *wide > 0).unwrap_or(80)
}

fn draw(bar: &ProgressBar, sample: ProgressSample) {
    // Asked each time: people make windows narrower while they wait. A template that does not parse would be a typo above,
    // which the test finds.
    if let Ok(style) = ProgressStyle::with_template(template(columns())) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_length(sample.bytes_total.max(sample.bytes_done));
    bar.set_position(sample.bytes_done);
    let retries = if sample.retries == 0 { String::new() } else { format!(", {} retries", sample.retries) };
    bar.set_message(format!("{}/{} files{retries}", sample.files_done, sample.files_total));
}

/// `{"messageType":"progress", …}`.
fn line(verb: &str, sample: ProgressSample, elapsed: Duration) -> Value {
    let rate = units::bytes_per_second(sample.bytes_done, elapsed);
    let left = sample.bytes_total.saturating_sub(sample.bytes_done);
    let remaining = (rate > 0 && sample.bytes_total > 0).then(|| left / rate);
    json!({
        "messageType": "progress",
        "verb": verb,
        "secondsElapsed": elapsed.as_secs(),
        "secondsRemaining": remaining,
        "filesDone": sample.files_done,
        "filesTotal": sample.files_total,
        "bytesDone": sample.bytes_done,
        "bytesTotal": sample.bytes_total,
        "bytesPerSecond": rate,
        "retries": sample.retries,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_sound() {
        for (_, template) in TEMPLATES {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
        assert!(
            template(20).len() < template(40).len()
                && template(79) == TEMPLATES[1].1
                && template(200) == TEMPLATES[0].1
        );
    }

    #[test]
    fn lines_tell_rate_and_rest() {
        let sample = ProgressSample { files_total: 4, bytes_total: 1000, files_done: 1, bytes_done: 250, retries: 2 };
        let value = line("save", sample, Duration::from_secs(5));
        assert_eq!(value["bytesPerSecond"], 50);
        assert_eq!(value["secondsRemaining"], 15);
        assert_eq!(value["filesTotal"], 4);
        let value = line("save", ProgressSample::default(), Duration::ZERO);
        assert!(value["secondsRemaining"].is_null());
    }
}
