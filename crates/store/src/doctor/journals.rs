//! This machine's resume journals: those whose backup needs none any more, and what killed writers left beside them.

use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use milepost_core::{BackupId, StatusCode, Timestamp};
use serde::Deserialize;

use super::finding::{Check, Finding, Outcome, Repair, Severity, count};
use super::{Look, Seen};
use crate::error::Result;
use crate::journal::{MAX_JOURNAL_BYTES, is_temporary_name};

/// Entries of the folder that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// What a journal begins with; the rest is passed over unread.
#[derive(Debug, Deserialize)]
struct Head {
    id: BackupId,
    destination: String,
}

/// One file of the folder.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    age: Option<Duration>,
    /// `None`: what a killed writer left. `Err`: it does not parse.
    head: Option<Result<Head, String>>,
}

impl Look<'_> {
    pub(super) async fn journals(&mut self, location: &str) -> Result<()> {
        let Some(dir) = self.options.journal_dir.clone() else {
            self.diagnosis.check(Check::Journals, Outcome::Skipped, "no folder of journals is set");
            return Ok(());
        };
        let (folder, now) = (dir.clone(), self.options.now);
        let listed = tokio::task::spawn_blocking(move || list(&folder, now)).await;
        let found = match listed.map_err(io::Error::other).and_then(|listed| listed) {
            Ok(found) => found,
            Err(error) => {
                self.diagnosis.check(Check::Journals, Outcome::Failed, format!("{}: {error}", dir.display()));
                return Ok(());
            }
        };
        self.diagnosis.check(
            Check::Journals,
            Outcome::Done,
            format!("{} in {}", count(found.len() as u64, "file"), dir.display()),
        );
        let mut left = Vec::new();
        for one in found {
            let old = one.age.is_some_and(|age| age >= self.options.stale_after);
            match one.head {
                None if old => left.push(one.path),
                Some(Ok(head)) if old && head.destination == location && self.is_settled(head.id) => {
                    left.push(one.path)
                }
                Some(Err(reason)) => {
                    let path = one.path.display().to_string();
                    let what =
                        format!("the journal {path} cannot be used, so a resume would hash its files again: {reason}");
                    self.diagnosis.find(Finding::new(Check::Journals, Severity::Note, what).at(path));
                }
                None | Some(Ok(_)) => {}
            }
        }
        if let Some(first) = left.first().map(|path| path.display().to_string()) {
            let number = left.len() as u64;
            let what =
                format!("of no use, since their saves have ended: {}; the first is {first}", count(number, "journal"));
            let found = Finding::new(Check::Journals, Severity::Note, what).at(first).heap(number, None);
            self.diagnosis.find(found.mended_by(Repair::Journals(left)));
        }
        Ok(())
    }

    /// Can nobody resume this backup any more?
    fn is_settled(&self, id: BackupId) -> bool {
        matches!(self.seen.get(&id), Some(Seen::Status(known))
            if matches!(known.code, StatusCode::Completed | StatusCode::Deleting | StatusCode::Deleted))
    }
}

fn list(dir: &Path, now: Timestamp) -> io::Result<Vec<Found>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries.take(MAX_ENTRIES) {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let temporary = is_temporary_name(name);
        // A link is nobody's journal.
        if !entry.file_type()?.is_file() || !(temporary || name.ends_with(".json")) {
            continue;
        }
        let path = entry.path();
        let written =
            entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| Timestamp::try_from(at).ok());
        let age = written.and_then(|at| Duration::try_from(now.duration_since(at)).ok());
        let head = if temporary { None } else { Some(head(&path)) };
        found.push(Found { path, age, head });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn head(path: &Path) -> Result<Head, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    serde_json::from_reader(BufReader::new(file.take(MAX_JOURNAL_BYTES)))
        .map_err(|error| milepost_core::document::cut(&error.to_string().escape_debug().to_string(), 200))
}

/// Removes files; one that is gone already is no failure.
pub(super) fn remove(paths: &[PathBuf]) -> io::Result<()> {
    for path in paths {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
