//! `flock` on an open file or folder, freed by whoever took it.
//!
//! The kernel frees a lock when the last copy of its handle is closed, and a process that some other thread starts holds a copy of
//! every handle from its fork to its exec. A lock that is merely closed may so outlive its owner for a moment, and whoever tries for
//! it then is told of another process that is not there. So it is freed first, and closed afterwards. A process that dies has no
//! such moment: it starts nothing any more.

use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

/// A handle that may be locked, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Lockable<F: AsFd> {
    handle: F,
    held: AtomicBool,
}

impl<F: AsFd> Lockable<F> {
    /// Not locked yet.
    pub(crate) fn new(handle: F) -> Self {
        Self { handle, held: AtomicBool::new(false) }
    }

    /// Takes the lock without waiting, alone or shared with others who share it.
    ///
    /// # Errors
    /// `WOULDBLOCK`: somebody else holds it; else what the file system says of locks.
    pub(crate) fn try_lock(&self, shared: bool) -> Result<(), Errno> {
        let operation =
            if shared { FlockOperation::NonBlockingLockShared } else { FlockOperation::NonBlockingLockExclusive };
        rustix::fs::flock(&self.handle, operation)?;
        self.held.store(true, Ordering::Release);
        Ok(())
    }
}

impl<F: AsFd> Drop for Lockable<F> {
    fn drop(&mut self) {
        if *self.held.get_mut() {
            // What fails here, the close that follows does.
            let _ = rustix::fs::flock(&self.handle, FlockOperation::Unlock);
        }
    }
}

impl<F: AsFd> Deref for Lockable<F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.handle
    }
}

impl<F: AsFd> AsFd for Lockable<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}
