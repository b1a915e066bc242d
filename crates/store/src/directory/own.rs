//! The bucket's own folder `.milepost`: temp files, locks, uploads, and the store's clock.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::FileType;
use tokio::time::Instant;

use super::etag;
use super::place::OWN;
use crate::env::Env;
use crate::fs::{Dir, Locked};

/// Where folders cannot be locked, leftovers are swept when they are older than this; younger ones may be somebody's work.
const SWEEP_AGE: Duration = Duration::from_secs(3600);
/// At most so many leftovers are swept at one opening.
const SWEEP_MAX: usize = 10_000;
/// For so long the store's time is reckoned forward from one probe.
const CLOCK_TRUST: Duration = Duration::from_secs(60);
/// Two buckets may draw the same name only where a test gave them the same seed.
const NAME_TRIES: u32 = 64;

/// Handles of the bucket's own folders.
#[derive(Debug, Clone)]
pub(super) struct Own {
    /// Where all processes have their temp folders.
    temps: Dir,
    /// Files and folders of this handle on their way in or out. Locked as long as the handle lives: the kernel frees the lock
    /// when the process dies, however it dies, and then the next one sweeps the folder.
    pub(super) tmp: Dir,
    /// Lock files.
    pub(super) locks: Dir,
    /// Open multipart uploads.
    pub(super) uploads: Dir,
    /// Removes the temp folder with the last clone.
    _session: Arc<Session>,
}

/// The temp folder of one handle, removed when dropped; what a kill leaves, the next opening sweeps.
#[derive(Debug)]
struct Session {
    temps: Dir,
    name: String,
}

impl Drop for Session {
    fn drop(&mut self) {
        // Not empty: a request's thread is still at work; then it is swept as a dead one's is.
        let _ = self.temps.remove_dir(&self.name);
    }
}

impl Own {
    /// Makes the folders where they are missing, and a temp folder for this handle alone.
    pub(super) fn prepare(root: &Dir, env: &Env) -> io::Result<Self> {
        let folder = |name| root.walk_or_make([OWN, name]);
        let temps = folder("tmp")?;
        let (name, tmp) = own_temps(&temps, env)?;
        let session = Arc::new(Session { temps: temps.clone(), name });
        Ok(Self { temps, tmp, locks: folder("locks")?, uploads: folder("uploads")?, _session: session })
    }

    /// A new temp file, removed when it is dropped.
    pub(super) fn temp(&self, env: &Env) -> io::Result<Temp> {
        let (name, file) = draw(env, |name| self.tmp.create_new(name))?;
        Ok(Temp { tmp: self.tmp.clone(), name, file, moved: false })
    }

    /// A new folder among the temp files. What a crash leaves of it is swept.
    pub(super) fn temp_folder(&self, env: &Env) -> io::Result<(String, Dir)> {
        draw(env, |name| match self.tmp.make_dir(name)? {
            (dir, true) => Ok(dir),
            (_, false) => Err(io::ErrorKind::AlreadyExists.into()),
        })
    }

    /// Takes an upload's folder away whole, then removes it. `false`: there was none.
    pub(super) fn discard_upload(&self, env: &Env, id: &str) -> io::Result<bool> {
        // One rename: nobody ever finds half an upload. A crash behind it leaves a leftover that is swept.
        let moved = draw(env, |name| self.uploads.rename_new(id, &self.tmp, name));
        let name = match moved {
            Ok((name, ())) => name,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        // A part that is being written may make one more lock file while the folder is emptied.
        if (0..3).all(|_| self.tmp.remove_all(&name).is_err()) {
            tracing::warn!(
                folder = name,
                "an upload was given up, but its folder in .milepost/tmp could not be removed"
            );
        }
        Ok(true)
    }

    /// Removes the temp folders of processes that have died, and, where folders cannot be locked, those that are older than
    /// an hour by the store's clock.
    pub(super) fn sweep(&self, now: Duration) -> io::Result<()> {
        let names = self.temps.entries()?.into_iter().filter_map(|entry| entry.name.into_string().ok());
        for name in names.take(SWEEP_MAX) {
            let _locked = match self.abandoned(&name, now) {
                Ok(Some(abandoned)) => abandoned,
                Ok(None) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    tracing::warn!(name, %error, "an entry of .milepost/tmp could not be looked at");
                    continue;
                }
            };
            if let Err(error) = self.temps.remove_all(&name)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(name, %error, "a leftover in .milepost/tmp could not be removed");
            }
        }
        Ok(())
    }

    /// `Some`: nobody works in the entry. Its lock is held until that is dropped, behind the removal: else the owner of a
    /// folder that is not locked yet could lock it in between, find it in its place, and lose it afterwards.
    fn abandoned(&self, name: &str, now: Duration) -> io::Result<Option<Abandoned>> {
        let stat = self.temps.stat(name)?;
        let old = now.saturating_sub(etag::written_at(&stat)) > SWEEP_AGE;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Ok(old.then_some(Abandoned(None)));
        }
        let folder = self.temps.open_dir(name)?;
        Ok(match folder.try_lock()? {
            // A folder that was made this very moment may not be locked yet: its owner finds it gone and draws another.
            Locked::Yes => Some(Abandoned(Some(folder))),
            Locked::Busy => None,
            Locked::Unsupported => old.then_some(Abandoned(None)),
        })
    }
}

/// What a sweep may remove: with the lock, where there is one.
struct Abandoned(#[expect(dead_code, reason = "closing the folder frees its lock")] Option<Dir>);

/// A temp folder that is locked for this handle.
fn own_temps(temps: &Dir, env: &Env) -> io::Result<(String, Dir)> {
    for _ in 0..NAME_TRIES {
        let made = draw(env, |name| match temps.make_dir(name)? {
            (dir, true) => Ok(dir),
            (_, false) => Err(io::ErrorKind::AlreadyExists.into()),
        });
        let (name, folder) = match made {
            Ok(made) => made,
            // A sweeper took it for a dead one's between the call that made it and the one that opened it,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        // or before it was locked.
        let mine = !matches!(folder.try_lock()?, Locked::Busy) && temps.holds(&name, &folder)?;
        if mine {
            return Ok((name, folder));
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "a temp folder was swept again and again while it was made"))
}

/// Draws names until one is free.
pub(super) fn draw<T>(env: &Env, mut make: impl FnMut(&str) -> io::Result<T>) -> io::Result<(String, T)> {
    let mut tries = 0;
    loop {
        let name = env.attempt().to_string();
        match make(&name) {
            Ok(made) => return Ok((name, made)),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty)
                    && tries < NAME_TRIES =>
            {
                tries += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// A file among the temp files, removed when dropped. A crash leaves it for the sweep.
#[derive(Debug)]
pub(super) struct Temp {
    tmp: Dir,
    name: String,
    pub(super) file: File,
    moved: bool,
}

impl Temp {
    /// Gives the file a second name; fails where that is taken.
    pub(super) fn link(&self, folder: &Dir, name: &str) -> io::Result<()> {
        self.tmp.link(&self.name, folder, name)
    }

    /// Moves the file over what is there.
    pub(super) fn rename(&mut self, folder: &Dir, name: &str) -> io::Result<()> {
        self.tmp.rename(&self.name, folder, name)?;
        self.moved = true;
        Ok(())
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.moved {
            // A failure leaves a leftover for the sweep.
            let _ = self.tmp.remove_file(&self.name);
        }
    }
}

/// The time by the file system's own clock: another machine's, where the directory is a network mount.
#[derive(Debug, Default)]
pub(super) struct StoreClock(Mutex<Option<(Instant, Duration)>>);

impl StoreClock {
    /// The time since 1970, from a fresh file's time of change or reckoned forward from one at most a minute ago.
    pub(super) fn now(&self, own: &Own, env: &Env) -> io::Result<Duration> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let here = Instant::now();
        if let Some((at, time)) = *last
            && here.saturating_duration_since(at) < CLOCK_TRUST
        {
            return Ok(time + here.saturating_duration_since(at));
        }
        let time = etag::written_at(&rustix::fs::fstat(&own.temp(env)?.file)?);
        *last = Some((here, time));
        Ok(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{FixedClock, SeededRandom};

    /// Many handles open and sweep at the same time. A sweeper that freed a folder's lock before it removed the folder took
    /// it from an owner who had locked it in between, and all writes of that owner failed.
    #[test]
    fn a_sweep_takes_no_temp_folder_from_a_handle_that_was_just_opened() {
        let temp = tempfile::tempdir().unwrap();
        let root = Dir::open_root(temp.path()).unwrap();
        std::thread::scope(|threads| {
            for thread in 0..8 {
                let root = &root;
                threads.spawn(move || {
                    let env = Env {
                        clock: Arc::new(FixedClock::new("2026-11-21T10:00:00Z".parse().unwrap())),
                        random: Arc::new(SeededRandom::new(thread)),
                        host: "host".to_owned(),
                        pid: 1,
                        threads: crate::env::Threads::Runtime,
                    };
                    for _ in 0..300 {
                        let own = Own::prepare(root, &env).unwrap();
                        own.sweep(Duration::ZERO).unwrap();
                        own.temp(&env).expect("the own temp folder is there");
                    }
                });
            }
        });
    }
}
