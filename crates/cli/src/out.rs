//! Everything that is printed goes through here: data to stdout, the rest to stderr.
//!
//! A reader that went away (`| head`) is no failure: the first EPIPE closes the writer, later text is dropped quietly, and
//! whoever prints much asks [`Out::is_closed`] to stop early. Rust ignores SIGPIPE, and `println!` would panic.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::ProgressBar;
use milepost::{Error, ErrorKind, Result};

/// Where data goes: stdout, or a test's buffer.
#[derive(Clone)]
pub(crate) struct Out(Arc<Mutex<Inner>>);

struct Inner {
    writer: Box<dyn Write + Send>,
    closed: bool,
}

impl Out {
    pub(crate) fn new(writer: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Inner { writer: Box::new(writer), closed: false })))
    }

    /// Writes text as it is.
    ///
    /// # Errors
    /// Target where stdout cannot be written for another reason than a reader that went away, as on a full disk.
    pub(crate) fn text(&self, text: &str) -> Result<()> {
        self.bytes(text.as_bytes())
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// As [`Out::text`].
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut inner = lock(&self.0);
        if inner.closed {
            return Ok(());
        }
        match inner.writer.write_all(bytes).and_then(|()| inner.writer.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                inner.closed = true;
                Ok(())
            }
            Err(error) => Err(Error::new(ErrorKind::Target, format!("stdout cannot be written: {error}")).with_hint(
                "make room where it goes; the state of a backup that was worked on is what `milepost status` says",
            )),
        }
    }

    /// Writes text and ends the line.
    ///
    /// # Errors
    /// As [`Out::text`].
    pub(crate) fn line(&self, text: &str) -> Result<()> {
        self.text(&format!("{text}\n"))
    }

    /// Did the reader go away?
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.0).closed
    }
}

impl std::fmt::Debug for Out {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Out")
    }
}

/// stderr, beside a progress bar that may be drawn there: log lines push it down instead of tearing it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stderr {
    bar: Arc<Mutex<Option<ProgressBar>>>,
}

impl Stderr {
    /// Writes text; a stderr that cannot be written is nobody's business.
    pub(crate) fn text(&self, text: &str) {
        let write = || {
            let _ = io::stderr().lock().write_all(text.as_bytes());
        };
        let bar = lock(&self.bar).clone();
        match bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Which bar is drawn now.
    pub(crate) fn show(&self, bar: Option<ProgressBar>) {
        *lock(&self.bar) = bar;
    }
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked while printing left nothing that printing more could harm.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes control characters visible: texts of documents may come from anybody, and a terminal obeys escape sequences.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped: Box<dyn Iterator<Item = char>> =
                if c.is_control() { Box::new(c.escape_default()) } else { Box::new(std::iter::once(c)) };
            escaped
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A buffer that a test reads while [`Out`] writes it.
    #[derive(Clone, Default)]
    pub(crate) struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Buffer {
        pub(crate) fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *lock(&self.0))).unwrap()
        }
    }

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let out = Out::new(Failing(io::ErrorKind::BrokenPipe));
        assert!(!out.is_closed());
        out.line("x").unwrap();
        assert!(out.is_closed());
        out.line("y").unwrap();
        let error = Out::new(Failing(io::ErrorKind::StorageFull)).line("x").unwrap_err();
        assert_eq!(error.kind().exit_code(), 1);
    }

    #[test]
    fn control_characters_are_made_visible() {
        assert_eq!(clean("a\u{1b}[31mb\nc é"), "a\\u{1b}[31mb\\nc é");
    }
}
