//! Points at which a test may let the process "die".
//!
//! Code whose safety rests on the order of its effects calls [`point`] before each of them. In a build without tests that
//! is nothing. A test arms the n-th point of its own thread: that call and every later one then fails, so that whatever
//! would run afterwards in a living process (clean-up on drop above all) does not touch the disk either.

#[cfg(not(test))]
#[inline(always)]
pub(crate) fn point() -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) use armed::{arm, disarm, point};

#[cfg(test)]
mod armed {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// Lets the call of [`point`] after `points` further ones be this thread's last.
    pub(crate) fn arm(points: u32) {
        LEFT.set(Some(points));
    }

    /// Ends the game; true: the point was reached.
    pub(crate) fn disarm() -> bool {
        LEFT.take() == Some(0)
    }

    pub(crate) fn point() -> io::Result<()> {
        match LEFT.get() {
            None => Ok(()),
            Some(0) => Err(io::Error::other("killed by the test")),
            Some(left) => {
                LEFT.set(Some(left - 1));
                if left == 1 { Err(io::Error::other("killed by the test")) } else { Ok(()) }
            }
        }
    }
}
