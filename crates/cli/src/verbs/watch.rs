//! `watch`: the saves that are running, on whichever nodes, looked at again and again.
//!
//! Nodes tell how far they are by their signs of life, every `sign_of_life`: that is how fresh these numbers can be.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::time::Duration;

use futures::StreamExt as _;
use milepost::{BackupId, BackupState, BackupStatus, BackupStore, Counts, ListEntry, ListQuery, Result, Timestamp};
use tokio::time::Instant;

use super::exit;
use crate::app::App;
use crate::args_look::Watch;
use crate::render::progress::waiting;
use crate::render::table::{left, right, table};
use crate::render::watch_json as json;
use crate::units::{ago, count, size, span};

/// Lines above and below the rows.
const AROUND: usize = 3;

/// # Errors
/// Those of a listing.
pub(super) async fn run(app: &App, args: &Watch) -> Result<u8> {
    let store = app.existing_store()?;
    let query = ListQuery { limit: Some(args.checkpoints), ..ListQuery::default() };
    let screen = !args.once && !app.json && std::io::stdout().is_terminal();
    let mut watched = Watched::default();
    let mut drawn = 0;
    loop {
        let look = watched.look(store.as_ref(), query, app);
        waiting(app, "looking at the newest checkpoints", look).await?;
        if app.json {
            app.out.line(&json::look(app, &watched).to_string())?;
        } else if args.once {
            words(app, &watched)?;
        } else if screen {
            drawn = redraw(app, &watched, drawn)?;
        } else {
            changes(app, &watched)?;
        }
        if args.once || app.out.is_closed() {
            return Ok(exit::OK);
        }
        let wait = async {
            tokio::time::sleep(args.interval).await;
            Ok(())
        };
        // A signal is how a watch ends: nothing was cut off.
        if app.cx.run(wait).await.is_err() {
            return Ok(exit::INTERRUPTED);
        }
    }
}

/// One save.
#[derive(Debug, Clone)]
pub(crate) struct Save {
    pub(crate) status: BackupStatus,
    /// Bytes per second since it was first looked at; `None` where none came yet.
    pub(crate) rate: Option<u64>,
    /// What it had done when it was first looked at, and when.
    first: (u64, Instant),
    /// Did anything change at the last look?
    changed: bool,
}

impl Save {
    pub(crate) fn counts(&self) -> (Option<Counts>, Option<Counts>) {
        let document = self.status.document.as_ref();
        (document.and_then(|document| document.done), document.and_then(|document| document.planned))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.status.state() == BackupState::InProgress
    }

    /// How long it will take still, at the pace that was seen.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        let (done, planned) = self.counts();
        let left = planned?.bytes.saturating_sub(done?.bytes);
        self.is_running().then(|| left.checked_div(self.rate?)).flatten().map(Duration::from_secs)
    }

    pub(crate) fn is_stale(&self, stale_after: Duration) -> bool {
        self.is_running() && self.status.age.is_some_and(|age| age >= stale_after)
    }
}

/// The saves that run, and those that ran at an earlier look.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    pub(crate) at: Option<Timestamp>,
    pub(crate) saves: BTreeMap<BackupId, Save>,
}

impl Watched {
    async fn look(&mut self, store: &dyn BackupStore, query: ListQuery, app: &App) -> Result<()> {
        let mut listing = store.list(query, app.cx.clone());
        let mut seen = Vec::new();
        while let Some(entry) = listing.next().await {
            let ListEntry::Backup(status) = entry? else { continue };
            if status.state() == BackupState::InProgress || self.saves.contains_key(&status.id) {
                seen.push(status);
            }
        }
        let now = Instant::now();
        self.at = Some(app.env.clock.now());
        // What no listing shows any more is forgotten: a watch may go on for weeks.
        let shown: BTreeSet<BackupId> = seen.iter().map(|status| status.id).collect();
        self.saves.retain(|id, _| shown.contains(id));
        for save in self.saves.values_mut() {
            save.changed = false;
        }
        for status in seen {
            let bytes = status.document.as_ref().and_then(|document| document.done).map_or(0, |done| done.bytes);
            let id = status.id;
            let Some(save) = self.saves.get_mut(&id) else {
                self.saves.insert(id, Save { status, rate: None, first: (bytes, now), changed: true });
                continue;
            };
            // A sign of life alone is no news.
            save.changed = told(&save.status) != told(&status);
            let (before, since) = save.first;
            let millis = u64::try_from(now.duration_since(since).as_millis()).unwrap_or(u64::MAX);
            let moved = bytes.saturating_sub(before).saturating_mul(1000);
            save.rate = moved.checked_div(millis).filter(|rate| *rate > 0);
            save.status = status;
        }
        Ok(())
    }

    pub(crate) fn running(&self) -> u64 {
        self.saves.values().filter(|save| save.is_running()).count() as u64
    }
}

/// What a line tells of a save: its state, what is done, what is planned.
fn told(status: &BackupStatus) -> (BackupState, [Option<Counts>; 2]) {
    let document = status.document.as_ref();
    let counts = [document.and_then(|document| document.done), document.and_then(|document| document.planned)];
    (status.state(), counts)
}

fn rows(app: &App, watched: &Watched) -> Vec<Vec<String>> {
    let stale_after = app.config.settings.stale_after;
    watched
        .saves
        .values()
        .rev()
        .map(|save| {
            let (done, planned) = save.counts();
            let pair = |part: &dyn Fn(Counts) -> String| {
                let text = |counts: Option<Counts>| counts.map_or_else(|| "?".to_owned(), part);
                format!("{}/{}", text(done), text(planned))
            };
            let owner = save.status.document.as_ref().and_then(|document| document.owner.as_ref());
            let mut notes: Vec<String> = save.is_stale(stale_after).then(|| "stale".to_owned()).into_iter().collect();
            notes.extend(owner.map(|owner| format!("{} on {}", owner.pid, owner.host)));
            vec![
                save.status.id.to_string(),
                save.status.state().to_string(),
                percent(done, planned),
                pair(&|counts| counts.files.to_string()),
                planned.map_or_else(String::new, |planned| size(planned.bytes)),
                save.rate.filter(|_| save.is_running()).map_or_else(String::new, |rate| format!("{}/s", size(rate))),
                save.remaining().map_or_else(String::new, span),
                save.status.age.map_or_else(String::new, ago),
                notes.join("; "),
            ]
        })
        .collect()
}

fn percent(done: Option<Counts>, planned: Option<Counts>) -> String {
    let (Some(done), Some(planned)) = (done, planned) else { return String::new() };
    let part = u128::from(done.bytes) * 100;
    part.checked_div(u128::from(planned.bytes)).map_or_else(String::new, |percent| format!("{}%", percent.min(100)))
}

fn laid_out(app: &App, watched: &Watched, most: usize) -> String {
    let columns = [
        left("BACKUP"),
        left("STATE"),
        right("DONE"),
        right("FILES"),
        right("SIZE"),
        right("RATE"),
        right("ETA"),
        right("ALIVE"),
        left("PROCESS"),
    ];
    let mut rows = rows(app, watched);
    rows.truncate(most);
    table(&columns, &rows, app.style)
}

fn words(app: &App, watched: &Watched) -> Result<()> {
    app.out.text(&laid_out(app, watched, usize::MAX))?;
    if watched.saves.is_empty() && !app.quiet {
        app.err.text("no save is running\n");
    }
    Ok(())
}

/// Draws over what was drawn before. Gives how many lines it took.
fn redraw(app: &App, watched: &Watched, drawn: usize) -> Result<usize> {
    let height = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(24, |size| usize::from(size.ws_row));
    let time = watched.at.map_or_else(String::new, super::status::time);
    let mut text = format!("{time}  {} running; Ctrl-C ends\n", count(watched.running(), "save"));
    text.push_str(&laid_out(app, watched, height.saturating_sub(AROUND).max(1)));
    // Whatever is higher than the terminal could not be drawn over.
    let lines: Vec<&str> = text.lines().take(height.saturating_sub(1).max(1)).collect();
    let up = if drawn > 0 { format!("\u{1b}[{drawn}A") } else { String::new() };
    app.out.text(&format!("{up}\u{1b}[J{}\n", lines.join("\n")))?;
    Ok(lines.len())
}

/// A line for each save that changed since the last look: for logs and pipes.
fn changes(app: &App, watched: &Watched) -> Result<()> {
    let time = watched.at.map_or_else(String::new, super::status::time);
    for (save, row) in watched.saves.values().rev().zip(rows(app, watched)).filter(|(save, _)| save.changed) {
        let [id, state, percent, files, _, rate, eta, ..] = &row[..] else { continue };
        let done = size(save.counts().0.unwrap_or_default().bytes);
        let rate = if rate.is_empty() { String::new() } else { format!(", {rate}") };
        let eta = if eta.is_empty() { String::new() } else { format!(", {eta} to go") };
        let percent = if percent.is_empty() { String::new() } else { format!(" {percent},") };
        let failure = save.status.document.as_ref().and_then(|document| document.failure_reason.clone());
        let failure = failure.map(|why| format!(": {why}")).unwrap_or_default();
        app.out.line(&crate::out::clean(&format!(
            "{time} {id} {state}{percent} {files} files, {done}{rate}{eta}{failure}"
        )))?;
    }
    Ok(())
}
