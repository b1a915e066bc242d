//! What people may change in a journal between two attempts.
//!
//! Pure changes of the document. None of them makes a journal more than a cache: what is reset or retried costs work, and what is
//! skipped is left out of the backup, which says so itself.

use std::fmt;

use milepost_core::document::{MAX_TEXT_BYTES, json_len};
use milepost_core::{FileName, FileSetKind};

use super::document::{JournalDocument, JournalSkip, MAX_SKIPPED};
use crate::error::{Error, ErrorKind, Result};

/// A change of a journal. Files are named with their set's folder, as in `segments/1.log`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalEdit {
    /// The next attempt tries this file again: forgets its error, and that it was to be skipped.
    Retry {
        /// The file.
        file: String,
    },
    /// The next attempt leaves this file out: the backup is then not complete, and names it with the reason.
    Skip {
        /// The file.
        file: String,
        /// Why, for whoever restores the backup.
        reason: String,
    },
    /// The next attempt plans this file anew, with the length that it has then, and hashes it again.
    Reset {
        /// The file.
        file: String,
    },
    /// Forgets all errors, of files and of the attempt.
    ClearErrors,
}

impl fmt::Display for JournalEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry { file } => write!(f, "retry {file}"),
            Self::Skip { file, .. } => write!(f, "skip {file}"),
            Self::Reset { file } => write!(f, "reset {file}"),
            Self::ClearErrors => f.write_str("clear-errors"),
        }
    }
}

impl JournalDocument {
    /// Makes a change. False: the journal said so already.
    ///
    /// # Errors
    /// NotFound for a file that the journal does not know; InvalidInput for one that cannot be skipped.
    pub(crate) fn edit(&mut self, edit: &JournalEdit) -> Result<bool> {
        let before = self.clone();
        match edit {
            JournalEdit::Retry { file } => {
                self.must_know(file)?;
                self.forget_error(file);
                self.skipped.retain(|skipped| skipped.file != *file);
            }
            JournalEdit::Skip { file, reason } => self.skip(file, reason)?,
            JournalEdit::Reset { file } => {
                self.must_know(file)?;
                self.forget_error(file);
                self.skipped.retain(|skipped| skipped.file != *file);
                if let Some(at) = self.position(file) {
                    self.files.remove(at);
                    self.count();
                }
            }
            JournalEdit::ClearErrors => {
                self.error = None;
                self.unreadable.clear();
                self.files.iter_mut().for_each(|file| file.error = None);
            }
        }
        Ok(*self != before)
    }

    fn position(&self, file: &str) -> Option<usize> {
        let (kind, name) = parse(file).ok()?;
        self.files.iter().position(|known| known.kind == kind && known.name == name)
    }

    fn must_know(&self, file: &str) -> Result<()> {
        parse(file)?;
        let known = self.position(file).is_some()
            || self.unreadable.iter().any(|unreadable| unreadable.file == file)
            || self.skipped.iter().any(|skipped| skipped.file == file);
        if known {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotFound, format!("the journal knows no file {file}"))
            .with_hint("`milepost journal show` lists the files"))
    }

    fn forget_error(&mut self, file: &str) {
        self.unreadable.retain(|unreadable| unreadable.file != file);
        if let Some(known) = self.position(file).and_then(|at| self.files.get_mut(at)) {
            known.error = None;
        }
    }

    fn skip(&mut self, file: &str, reason: &str) -> Result<()> {
        self.must_know(file)?;
        if reason.trim().is_empty() {
            return Err(Error::invalid_input("say why: the reason is empty"));
        }
        if json_len(reason) > MAX_TEXT_BYTES || json_len(file) > MAX_TEXT_BYTES {
            return Err(Error::invalid_input(format!("name and reason take at most {MAX_TEXT_BYTES} bytes each")));
        }
        if self.position(file).and_then(|at| self.files.get(at)).is_some_and(|known| known.done) {
            return Err(Error::invalid_input(format!("{file} is in the store already: there is nothing to skip"))
                .with_hint("`journal reset` has it looked at again"));
        }
        let skip = JournalSkip { file: file.to_owned(), reason: reason.to_owned() };
        if let Some(known) = self.skipped.iter_mut().find(|skipped| skipped.file == file) {
            *known = skip;
            return Ok(());
        }
        if self.skipped.len() >= MAX_SKIPPED {
            return Err(Error::invalid_input(format!("{MAX_SKIPPED} files are skipped already"))
                .with_hint("a backup without so many files is none: take a later checkpoint"));
        }
        self.skipped.push(skip);
        self.skipped.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(())
    }
}

/// The set and the name of a file as people write it.
fn parse(file: &str) -> Result<(FileSetKind, FileName)> {
    let wrong = |why: String| {
        Error::invalid_input(format!("{why}; a file is named with its set, as in segments/1.log"))
            .with_hint("`milepost journal show` lists the files")
    };
    let named = file.split_once('/').and_then(|(set, name)| {
        let kind = FileSetKind::ALL.into_iter().find(|kind| kind.to_string() == set)?;
        Some((kind, name))
    });
    let Some((kind, name)) = named else {
        let shown = milepost_core::document::cut(&file.escape_debug().to_string(), 200);
        return Err(wrong(format!("`{shown}` names no set")));
    };
    FileName::new(name).map(|name| (kind, name)).map_err(|error| wrong(error.to_string()))
}
