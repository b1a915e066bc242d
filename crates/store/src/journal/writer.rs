//! Keeping a journal while a save runs.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use milepost_core::checksum::Crc64Nvme;
use milepost_core::document::cut;
use milepost_core::{Digest, Timestamp};
use tokio::time::Instant;

use super::document::{JournalDocument, JournalPlan, JournalUpload, MAX_JOURNAL_BYTES, SourceVersion};
use super::{Pace, file_name};
use crate::fs::{Dir, Lockable};
use crate::settings::StoreSettings;
use crate::source::FileVersion;

/// Only the broker's user reads it: file names say more of a system than others need.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;
/// The longest error of one file or of the attempt, in bytes: 300,000 of them must not outgrow the journal at once.
const MAX_ERROR_BYTES: usize = 1024;
/// Between a journal's name and the random part of a temporary one.
const TEMPORARY: &str = ".tmp-";

/// What is known of a file once it is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileDone {
    /// The checksum of the saved bytes.
    pub crc64nvme: Crc64Nvme,
    /// Their digest, where one is taken.
    pub digest: Option<Digest>,
    /// Which file on disk was hashed, where the source can tell.
    pub source: Option<FileVersion>,
}

/// Keeps the journal of one attempt. Its notes take a lock for a moment; [`JournalWriter::create`], [`JournalWriter::write`]
/// and both ends block. Dropped, the journal stays as it was last written.
pub(crate) struct JournalWriter {
    path: PathBuf,
    dir: Dir,
    name: String,
    temporary: String,
    state: Mutex<State>,
    /// One write at a time; notes go on meanwhile.
    writing: Mutex<()>,
    /// The journal as it was last written, locked for as long as the attempt runs: whoever edits journals sees so.
    locked: Mutex<Option<Lockable<File>>>,
}

struct State {
    document: JournalDocument,
    pace: Pace,
    /// Outgrew the cap, so that nobody would read it, or was removed after success: it is not written again.
    ended: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done by a panic under these locks that a whole rewrite of the journal would not mend.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// Not derived: 300,000 files in one line of a log help nobody.
impl fmt::Debug for JournalWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

impl JournalWriter {
    /// Makes the folder where it is missing (for its owner alone), removes temporary files that killed writers of this journal
    /// left, and writes the plan, which replaces any earlier journal of the backup. `random` makes this writer's temporary
    /// file its own.
    ///
    /// # Errors
    /// Whatever the file system says; `InvalidData` for a plan that outgrows 128 MiB. The save goes on without a journal.
    pub(crate) fn create(
        dir: &Path,
        plan: JournalPlan,
        settings: &StoreSettings,
        random: [u8; 16],
    ) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)?;
        let name = file_name(&plan.location, plan.id);
        let temporary = temporary_name(&name, random);
        let path = dir.join(&name);
        let dir = Dir::open_root(dir)?;
        for entry in dir.entries()? {
            if let Some(old) = entry.name.to_str().filter(|old| old.strip_prefix(&name).is_some_and(is_temporary)) {
                // A living writer that loses its file so writes it again.
                dir.remove_if_there(old)?;
            }
        }
        let started = plan.started_at;
        let document = JournalDocument::new(plan);
        let pace = Pace::new(settings.journal_every_files, settings.journal_every, Instant::now());
        let state = Mutex::new(State { document, pace, ended: false });
        let writer = Self { path, dir, name, temporary, state, writing: Mutex::new(()), locked: Mutex::default() };
        writer.write(started)?;
        Ok(writer)
    }

    /// Where the journal is, for people.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn note(&self, at: usize, change: impl FnOnce(&mut super::JournalFile)) {
        let state = &mut *locked(&self.state);
        let Some(file) = state.document.files.get_mut(at) else { return };
        let before = file.done;
        change(file);
        let size = file.size;
        match (before, file.done) {
            (false, true) => {
                state.document.done_files += 1;
                state.document.done_bytes = state.document.done_bytes.saturating_add(size);
            }
            (true, false) => {
                state.document.done_files = state.document.done_files.saturating_sub(1);
                state.document.done_bytes = state.document.done_bytes.saturating_sub(size);
            }
            _ => {}
        }
        state.pace.changed();
    }

    /// The `at`-th file of the plan is in the store. A place outside the plan is ignored, here and below.
    pub(crate) fn file_done(&self, at: usize, done: FileDone) {
        self.note(at, |file| {
            file.done = true;
            file.crc64nvme = Some(done.crc64nvme);
            file.digest = done.digest;
            file.source = done.source.map(SourceVersion::from);
            (file.upload, file.error) = (None, None);
        });
    }

    /// The file could not be saved. Errors beyond 1 KiB are cut.
    pub(crate) fn file_failed(&self, at: usize, error: &str) {
        self.note(at, |file| {
            file.done = false;
            file.error = Some(cut(error, MAX_ERROR_BYTES));
        });
    }

    /// A multipart upload was begun for the file, or (`None`) is no more.
    pub(crate) fn upload(&self, at: usize, upload: Option<JournalUpload>) {
        self.note(at, |file| file.upload = upload);
    }

    /// Should [`JournalWriter::write`] be called now? See [`Pace`].
    pub(crate) fn due(&self, now: Instant) -> bool {
        let state = locked(&self.state);
        !state.ended && state.pace.due(now)
    }

    /// Replaces the journal by what is known now. While another thread writes, does nothing. Killed, the journal is the old
    /// or the new one.
    ///
    /// # Errors
    /// Whatever the file system says; `InvalidData`, once, where the journal outgrows 128 MiB: it is removed then and not
    /// written again.
    pub(crate) fn write(&self, now: Timestamp) -> io::Result<()> {
        match self.writing.try_lock() {
            Ok(guard) => self.write_alone(now, &guard),
            Err(std::sync::TryLockError::Poisoned(guard)) => self.write_alone(now, &guard.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => Ok(()),
        }
    }

    fn write_alone(&self, now: Timestamp, _alone: &MutexGuard<'_, ()>) -> io::Result<()> {
        let begun = Instant::now();
        let encoded = {
            let state = &mut *locked(&self.state);
            if state.ended {
                return Ok(());
            }
            state.pace.begin();
            // A clock that stepped back must not make the journal look older than it is.
            state.document.updated_at = state.document.updated_at.max(now);
            let mut bytes = Capped(Vec::new());
            let encoded = serde_json::to_writer(&mut bytes, &state.document).map(|()| bytes.0);
            state.ended = encoded.is_err();
            encoded
        };
        let result = match encoded {
            Ok(mut bytes) => {
                bytes.push(b'\n');
                let replace = || self.dir.replace_file_open(&self.name, &self.temporary, FILE_MODE, &bytes);
                match replace() {
                    // Another writer of this journal began, and swept.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => replace(),
                    result => result,
                }
                .and_then(|file| {
                    // Where another attempt has it, or nothing can be locked, only people who edit are told less.
                    let file = Lockable::new(file);
                    let _ = file.try_lock(false);
                    *locked(&self.locked) = Some(file);
                    self.dir.sync()
                })
            }
            // An old journal beside a newer plan would only mislead people.
            Err(error) => {
                self.dir.remove_if_there(&self.name).and(Err(io::Error::new(io::ErrorKind::InvalidData, error)))
            }
        };
        let end = Instant::now();
        locked(&self.state).pace.end(end, end.saturating_duration_since(begun));
        result
    }

    /// The save failed: writes the journal a last time, with the error, cut to 1 KiB. It stays for the next attempt.
    ///
    /// # Errors
    /// As [`JournalWriter::write`].
    pub(crate) fn finish_failure(&self, error: &str, now: Timestamp) -> io::Result<()> {
        let alone = locked(&self.writing);
        locked(&self.state).document.error = Some(cut(error, MAX_ERROR_BYTES));
        let written = self.write_alone(now, &alone);
        *locked(&self.locked) = None;
        written
    }

    /// The save succeeded: removes the journal.
    ///
    /// # Errors
    /// Whatever the file system says; a journal that stays is harmless.
    pub(crate) fn finish_success(&self) -> io::Result<()> {
        // A write that was begun on another thread must not bring the journal back.
        let _alone = locked(&self.writing);
        locked(&self.state).ended = true;
        *locked(&self.locked) = None;
        self.dir.remove_if_there(&self.temporary)?;
        self.dir.remove_if_there(&self.name)?;
        self.dir.sync()
    }

    /// What is known now.
    #[cfg(test)]
    pub(super) fn state(&self) -> JournalDocument {
        locked(&self.state).document.clone()
    }
}

/// The name under which a journal is written before it takes its place.
pub(crate) fn temporary_name(name: &str, random: [u8; 16]) -> String {
    format!("{name}{TEMPORARY}{:032x}", u128::from_be_bytes(random))
}

fn is_temporary(rest: &str) -> bool {
    rest.strip_prefix(TEMPORARY)
        .is_some_and(|random| random.len() == 32 && random.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Is this the name of a temporary file that a writer of some journal made?
pub(crate) fn is_temporary_name(name: &str) -> bool {
    name.rfind(TEMPORARY).is_some_and(|at| name[..at].ends_with(".json") && is_temporary(&name[at..]))
}

/// Bytes up to the cap of a journal, its final newline included.
struct Capped(Vec<u8>);

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.0.len() + bytes.len()) as u64 >= MAX_JOURNAL_BYTES {
            return Err(io::Error::other("the journal outgrows 128 MiB; a resume will hash its files again"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
