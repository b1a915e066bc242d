//! This machine's resume journals: those whose backup needs none any more, and what killed writers left beside them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use milepost_core::{BackupId, StatusCode, Timestamp};

use super::finding::{Check, Finding, Outcome, Repair, Severity, count};
use super::{Look, Seen};
use crate::error::{Error, ErrorKind, Result};
use crate::journals::{JournalEntry, Journals};

impl Look<'_> {
    pub(super) async fn journals(&mut self, location: &str) -> Result<()> {
        let Some(dir) = self.options.journal_dir.clone() else {
            self.diagnosis.check(Check::Journals, Outcome::Skipped, "no folder of journals is set");
            return Ok(());
        };
        let folder = Journals::new(&dir);
        let listed = tokio::task::spawn_blocking(move || Ok((folder.list()?, folder.temporaries()?))).await;
        let listed = listed.map_err(|error| Error::new(ErrorKind::Internal, error.to_string()));
        let (journals, temporaries) = match listed.and_then(|listed| listed) {
            Ok(found) => found,
            Err(error) => {
                self.diagnosis.check(Check::Journals, Outcome::Failed, error.message());
                return Ok(());
            }
        };
        let files = count((journals.len() + temporaries.len()) as u64, "file");
        self.diagnosis.check(Check::Journals, Outcome::Done, format!("{files} in {}", dir.display()));
        let (now, stale_after) = (self.options.now, self.options.stale_after);
        let old = |written: Option<Timestamp>| {
            let age = written.and_then(|written| Duration::try_from(now.duration_since(written)).ok());
            age.is_some_and(|age| age >= stale_after)
        };
        let mut left: Vec<PathBuf> = Vec::new();
        for entry in journals {
            match entry {
                JournalEntry::Journal(info) => {
                    let settled = info.destination == location && self.is_settled(info.id);
                    if settled && !info.running && old(Some(info.updated_at)) {
                        left.push(info.path);
                    }
                }
                JournalEntry::Damaged { path, reason } => {
                    let path = path.display().to_string();
                    let what =
                        format!("the journal {path} cannot be used, so a resume would hash its files again: {reason}");
                    self.diagnosis.find(Finding::new(Check::Journals, Severity::Note, what).at(path));
                }
            }
        }
        left.extend(temporaries.into_iter().filter(|(_, written)| old(*written)).map(|(name, _)| dir.join(name)));
        left.sort();
        if let Some(first) = left.first().map(|path| path.display().to_string()) {
            let number = left.len() as u64;
            let what =
                format!("of no use, since their saves have ended: {}; the first is {first}", count(number, "journal"));
            let found = Finding::new(Check::Journals, Severity::Note, what).at(first).heap(number, None);
            let names = left.iter().filter_map(|path| name(path)).collect();
            self.diagnosis.find(found.mended_by(Repair::Journals { dir, names }));
        }
        Ok(())
    }

    /// Can nobody resume this backup any more?
    fn is_settled(&self, id: BackupId) -> bool {
        matches!(self.seen.get(&id), Some(Seen::Status(known))
            if matches!(known.code, StatusCode::Completed | StatusCode::Deleting | StatusCode::Deleted))
    }
}

fn name(path: &Path) -> Option<String> {
    path.file_name()?.to_str().map(str::to_owned)
}
