//! A segment that grows while it is saved, as the broker's newest one does.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::{Context as _, Result, pattern, process};

/// Appended each time, and how often: 12.5 MiB/s.
const BURST: u64 = 64 * 1024;
const EVERY: Duration = Duration::from_millis(5);
/// The most that it grows.
const LIMIT: u64 = 1 << 30;

/// Appends until it is stopped, then cuts the file to its first length.
pub(super) struct Growth {
    path: PathBuf,
    length: u64,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Growth {
    pub(super) fn start(path: &Path) -> Result<Self> {
        let mut file = OpenOptions::new().append(true).open(path).context(path.display())?;
        let length = file.metadata()?.len();
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut at = length;
            while !seen.load(Ordering::Relaxed) && at < length + LIMIT {
                let mut burst = Vec::with_capacity(BURST as usize);
                pattern::write(&mut burst, at, at + BURST)?;
                file.write_all(&burst)?;
                at += BURST;
                process::pause(EVERY);
            }
            Ok(())
        });
        Ok(Self { path: path.to_owned(), length, stop, thread })
    }

    pub(super) fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the thread that lets the segment grow broke off")??;
        let file = OpenOptions::new().write(true).open(&self.path)?;
        file.set_len(self.length)?;
        Ok(file.sync_all()?)
    }
}
