//! The journals of unfinished saves, for people: what they say, and the few things that may be changed between two attempts.
//!
//! A journal is a file on the node that saves, not in the store, so nothing here asks a store. It is a cache; what is edited here
//! takes effect with the next `save --resume`. All calls block.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use milepost_core::{BackupId, Timestamp};

use crate::error::{Error, ErrorKind, Operation, Result};
use crate::fs::{Dir, Lockable};
use crate::journal::{self, JournalDocument, JournalSkip};

pub use crate::journal::JournalEdit;

/// The most journals that are listed.
const MAX_JOURNALS: usize = 10_000;
/// Only the broker's user reads a journal.
const FILE_MODE: u32 = 0o600;

/// A folder of journals.
#[derive(Debug, Clone)]
pub struct Journals {
    dir: PathBuf,
}

/// What one journal says, its files left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalInfo {
    /// The journal's file.
    pub path: PathBuf,
    /// The backup.
    pub id: BackupId,
    /// The store, without secrets.
    pub destination: String,
    /// Where the files come from; may be empty.
    pub source: String,
    /// When the attempt began.
    pub started_at: Timestamp,
    /// When the journal was last written.
    pub updated_at: Timestamp,
    /// Files of the plan.
    pub total_files: u64,
    /// Their bytes.
    pub total_bytes: u64,
    /// Files that are in the store.
    pub done_files: u64,
    /// Their bytes.
    pub done_bytes: u64,
    /// Files that failed.
    pub failed_files: u64,
    /// Files that the next attempt leaves out.
    pub skipped_files: u64,
    /// Why the attempt failed; `None` while it runs, and after a kill.
    pub error: Option<String>,
    /// Does a process write it now?
    pub running: bool,
}

/// How far one file came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileProgress {
    /// Not yet in the store.
    Pending,
    /// In the store.
    Done,
    /// It failed; the next attempt tries it again.
    Failed,
    /// The next attempt leaves it out.
    Skipped,
}

/// One file of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalFileInfo {
    /// The file, with its set's folder, as in `segments/1.log`.
    pub file: String,
    /// How far it came.
    pub progress: FileProgress,
    /// The length that was fixed for it; `None` where it could not be looked at.
    pub size: Option<u64>,
    /// Is a multipart upload of it open?
    pub upload: bool,
    /// Why it failed, or is skipped.
    pub note: Option<String>,
}

/// One file of the folder.
#[derive(Debug)]
pub enum JournalEntry {
    /// A journal.
    Journal(JournalInfo),
    /// A file that should be a journal and cannot be used: the next save of its backup takes its plan anew.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// One journal with its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// What it says.
    pub info: JournalInfo,
    /// Its files, by name.
    pub files: Vec<JournalFileInfo>,
}

struct Opened {
    dir: Dir,
    name: String,
    document: JournalDocument,
    running: bool,
    /// Locked unless somebody writes the journal.
    _file: Lockable<std::fs::File>,
}

impl Journals {
    /// The journals in a folder, which need not exist.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All journals, by backup and store; damaged ones last. A folder that is not there holds none.
    ///
    /// # Errors
    /// Target where the folder cannot be read, Unsupported where it holds more than 10,000 journals.
    pub fn list(&self) -> Result<Vec<JournalEntry>> {
        let Some(dir) = self.open()? else { return Ok(Vec::new()) };
        let entries = dir.entries().map_err(|error| self.failed("cannot be read", &error))?;
        let mut names: Vec<String> = entries.into_iter().filter_map(|entry| entry.name.into_string().ok()).collect();
        names.retain(|name| name.ends_with(".json"));
        if names.len() > MAX_JOURNALS {
            let message = format!("{} holds more than {MAX_JOURNALS} journals", self.dir.display());
            return Err(Error::new(ErrorKind::Unsupported, message).during(Operation::Journal));
        }
        names.sort();
        let mut found = Vec::new();
        for name in names {
            let path = self.dir.join(&name);
            match read(&dir, &name) {
                Ok(Some(opened)) => found.push(JournalEntry::Journal(self.info(&opened))),
                // Gone since it was listed: its save succeeded.
                Ok(None) => {}
                Err(reason) => found.push(JournalEntry::Damaged { path, reason }),
            }
        }
        found.sort_by_key(|entry| match entry {
            JournalEntry::Journal(info) => (false, Some(info.id), info.destination.clone()),
            JournalEntry::Damaged { path, .. } => (true, None, path.display().to_string()),
        });
        Ok(found)
    }

    /// The journal of a backup; `destination` tells apart those of several stores.
    ///
    /// # Errors
    /// NotFound; InvalidInput where several stores have one and none is named; Corrupt for one that cannot be used.
    pub fn show(&self, id: BackupId, destination: Option<&str>) -> Result<Journal> {
        let opened = self.find(id, destination)?;
        Ok(Journal { info: self.info(&opened), files: files(&opened.document) })
    }

    /// Changes the journal of a backup, for its next attempt. False: it said so already. With `dry_run` nothing is written.
    ///
    /// # Errors
    /// As [`Journals::show`]; NotFound for a file that it does not know, InvalidInput for one that cannot be skipped, Conflict
    /// where a save writes the journal now, Target where it cannot be written.
    pub fn edit(
        &self,
        id: BackupId,
        destination: Option<&str>,
        edit: &JournalEdit,
        dry_run: bool,
        random: [u8; 16],
    ) -> Result<bool> {
        let mut opened = self.find(id, destination)?;
        self.not_running(&opened)?;
        let changed =
            opened.document.edit(edit).map_err(|error| error.during(Operation::Journal).of(opened.document.id))?;
        if changed && !dry_run {
            let mut bytes = serde_json::to_vec(&opened.document)
                .map_err(|error| self.failed("cannot be written", &io::Error::other(error)))?;
            bytes.push(b'\n');
            let temporary = journal::temporary_name(&opened.name, random);
            let written = opened.dir.replace_file(&opened.name, &temporary, FILE_MODE, &bytes);
            written.and_then(|()| opened.dir.sync()).map_err(|error| self.failed("cannot be written", &error))?;
        }
        Ok(changed)
    }

    /// Removes the journal of a backup: its next attempt takes the plan anew, hashes all files again, and skips none. Gives
    /// what it said. With `dry_run` nothing is removed.
    ///
    /// # Errors
    /// As [`Journals::edit`].
    pub fn remove(&self, id: BackupId, destination: Option<&str>, dry_run: bool) -> Result<JournalInfo> {
        let opened = self.find(id, destination)?;
        self.not_running(&opened)?;
        if !dry_run {
            let removed = opened.dir.remove_if_there(&opened.name).and_then(|()| opened.dir.sync());
            removed.map_err(|error| self.failed("cannot be removed", &error))?;
        }
        Ok(self.info(&opened))
    }

    /// What killed writers left beside the journals: names, and when they were written by this machine's clock.
    pub(crate) fn temporaries(&self) -> Result<Vec<(String, Option<Timestamp>)>> {
        let Some(dir) = self.open()? else { return Ok(Vec::new()) };
        let entries = dir.entries().map_err(|error| self.failed("cannot be read", &error))?;
        let names = entries.into_iter().filter_map(|entry| entry.name.into_string().ok());
        let written = |name: &str| {
            let stat = dir.stat(name).ok()?;
            Timestamp::from_second(stat.st_mtime).ok()
        };
        Ok(names
            .filter(|name| journal::is_temporary_name(name))
            .take(MAX_JOURNALS)
            .map(|name| (name.clone(), written(&name)))
            .collect())
    }

    /// Removes files of the folder that nobody needs: temporary ones, and journals, unless a save writes them now. Gives how many
    /// were kept for that.
    pub(crate) fn clear(&self, names: &[String]) -> Result<u64> {
        let Some(dir) = self.open()? else { return Ok(0) };
        let mut kept = 0;
        for name in names {
            // Locked until it is gone; what cannot be read is nobody's any more, as it was when it was found.
            let journal = if journal::is_temporary_name(name) { Ok(None) } else { read(&dir, name) };
            if matches!(&journal, Ok(Some(opened)) if opened.running) {
                kept += 1;
                continue;
            }
            dir.remove_if_there(name).map_err(|error| self.failed("cannot be removed", &error))?;
        }
        dir.sync().map_err(|error| self.failed("cannot be removed", &error))?;
        Ok(kept)
    }

    fn open(&self) -> Result<Option<Dir>> {
        match Dir::open_root(&self.dir) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("cannot be read", &error)),
        }
    }

    fn failed(&self, what: &str, error: &io::Error) -> Error {
        let message = format!("a journal in {} {what}: {error}", self.dir.display());
        Error::new(ErrorKind::Target, message).during(Operation::Journal)
    }

    fn find(&self, id: BackupId, destination: Option<&str>) -> Result<Opened> {
        let about = |error: Error| error.during(Operation::Journal).of(id);
        let none = || {
            let dir = self.dir.display();
            about(
                Error::new(ErrorKind::NotFound, format!("there is no journal of it in {dir}"))
                    .with_hint("`milepost journal list` shows those that are there; a save that succeeded leaves none"),
            )
        };
        let Some(dir) = self.open()? else { return Err(none()) };
        let entries = dir.entries().map_err(|error| self.failed("cannot be read", &error))?;
        // The name tells the backup, so that the others, which may be large, are not read.
        let tail = format!("-{}-{}-{}-", id.partition, id.checkpoint, id.node);
        let (mut found, mut damaged): (Vec<Opened>, Vec<String>) = (Vec::new(), Vec::new());
        for name in entries.into_iter().filter_map(|entry| entry.name.into_string().ok()) {
            if !name.ends_with(".json") || !name.contains(&tail) {
                continue;
            }
            match read(&dir, &name) {
                Ok(Some(opened)) if opened.document.id == id => found.push(opened),
                Ok(_) => {}
                Err(reason) => damaged.push(format!("{name} {reason}")),
            }
        }
        if let Some(wanted) = destination {
            found.retain(|opened| opened.document.destination == wanted);
        }
        match (found.len(), damaged.first()) {
            (0, None) => Err(none()),
            (0, Some(reason)) => {
                let key = self.dir.display().to_string();
                Err(about(
                    Error::corrupt(key, format!("holds a journal that cannot be used: {reason}"))
                        .with_hint("remove the file; the next `save --resume` takes its plan anew"),
                ))
            }
            (1, _) => Ok(found.swap_remove(0)),
            _ => {
                let stores: Vec<&str> = found.iter().map(|opened| opened.document.destination.as_str()).collect();
                Err(about(
                    Error::invalid_input(format!("several stores have a journal of it: {}", stores.join(", ")))
                        .with_hint("say which with --destination"),
                ))
            }
        }
    }

    fn not_running(&self, opened: &Opened) -> Result<()> {
        if !opened.running {
            return Ok(());
        }
        let message = "a save writes this journal now, and would overwrite the change";
        Err(Error::new(ErrorKind::Conflict { owner: None }, message)
            .with_hint("stop that process first, or wait for its end")
            .during(Operation::Journal)
            .of(opened.document.id))
    }

    fn info(&self, opened: &Opened) -> JournalInfo {
        let document = &opened.document;
        let failed = document.files.iter().filter(|file| file.error.is_some()).count() + document.unreadable.len();
        JournalInfo {
            path: self.dir.join(&opened.name),
            id: document.id,
            destination: document.destination.clone(),
            source: document.source.clone(),
            started_at: document.started_at,
            updated_at: document.updated_at,
            total_files: document.total_files,
            total_bytes: document.total_bytes,
            done_files: document.done_files,
            done_bytes: document.done_bytes,
            failed_files: failed as u64,
            skipped_files: document.skipped.len() as u64,
            error: document.error.clone(),
            running: opened.running,
        }
    }
}

fn files(document: &JournalDocument) -> Vec<JournalFileInfo> {
    let by_name: HashMap<&str, &JournalSkip> = document.skipped.iter().map(|skip| (skip.file.as_str(), skip)).collect();
    let skipped = |file: &str| by_name.get(file);
    let mut all: Vec<JournalFileInfo> = document
        .files
        .iter()
        .map(|known| {
            let file = format!("{}/{}", known.kind, known.name);
            let (progress, note) = match (skipped(&file), &known.error) {
                (Some(skip), _) => (FileProgress::Skipped, Some(skip.reason.clone())),
                (None, _) if known.done => (FileProgress::Done, None),
                (None, Some(error)) => (FileProgress::Failed, Some(error.clone())),
                (None, None) => (FileProgress::Pending, None),
            };
            JournalFileInfo { file, progress, size: Some(known.size), upload: known.upload.is_some(), note }
        })
        .collect();
    for unreadable in &document.unreadable {
        let (progress, note) = match skipped(&unreadable.file) {
            Some(skip) => (FileProgress::Skipped, &skip.reason),
            None => (FileProgress::Failed, &unreadable.error),
        };
        let note = Some(note.clone());
        all.push(JournalFileInfo { file: unreadable.file.clone(), progress, size: None, upload: false, note });
    }
    let known: HashSet<String> = all.iter().map(|known| known.file.clone()).collect();
    for skip in &document.skipped {
        if !known.contains(&skip.file) {
            let (file, note) = (skip.file.clone(), Some(skip.reason.clone()));
            all.push(JournalFileInfo { file, progress: FileProgress::Skipped, size: None, upload: false, note });
        }
    }
    all.sort_by(|a, b| a.file.cmp(&b.file));
    all
}

/// Reads a journal, locked unless its save runs. `None`: there is none. The error says why it cannot be used.
fn read(dir: &Dir, name: &str) -> Result<Option<Opened>, String> {
    let file = match dir.open_file(name) {
        Ok(file) => Lockable::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let running = matches!(file.try_lock(false), Err(rustix::io::Errno::WOULDBLOCK));
    let bytes = journal::read_capped(&file).map_err(|error| error.to_string())?;
    let document = JournalDocument::read(&bytes)?;
    if journal::file_name(&document.destination, document.id) != name {
        return Err("is of another backup or store than its name says".to_owned());
    }
    Ok(Some(Opened { dir: dir.clone(), name: name.to_owned(), document, running, _file: file }))
}
