//! Folders locked by a process, and files that are there whole or not at all.

use std::fs::File;
use std::io::{self, Write as _};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Dir, crash};

/// What became of an attempt to lock a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locked {
    /// Ours, until the last clone of the handle is dropped or the process ends.
    Yes,
    /// Somebody else holds it.
    Busy,
    /// The file system cannot lock folders (NFS wants a file that is open for writing).
    Unsupported,
}

impl Dir {
    /// Takes an exclusive lock on the folder itself, without waiting. It goes with the folder when that is renamed.
    pub(crate) fn try_lock(&self) -> io::Result<Locked> {
        match self.0.try_lock(false) {
            Ok(()) => Ok(Locked::Yes),
            Err(Errno::WOULDBLOCK) => Ok(Locked::Busy),
            Err(Errno::BADF | Errno::NOLCK | Errno::NOTSUP | Errno::NOSYS | Errno::INVAL) => Ok(Locked::Unsupported),
            Err(error) => Err(error.into()),
        }
    }

    /// The longest name of an entry that this file system takes, in bytes.
    pub(crate) fn name_max(&self) -> io::Result<usize> {
        Ok(usize::try_from(rustix::fs::fstatvfs(self.fd())?.f_namemax).unwrap_or(usize::MAX))
    }

    /// Is `name` this very folder? False where it is another one, or nothing.
    pub(crate) fn holds(&self, name: &str, folder: &Self) -> io::Result<bool> {
        match self.stat(name) {
            Ok(found) => {
                let own = folder.stat_self()?;
                Ok((found.st_dev, found.st_ino) == (own.st_dev, own.st_ino))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a file as [`Dir::create_new`] does, with `mode` less the umask.
    pub(crate) fn create_new_mode(&self, name: &str, mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(self.fd(), name, flags, Mode::from_raw_mode(mode))?))
    }

    /// Writes the file `name` whole: as `temp` first, synced, then renamed over whatever `name` was. What a kill leaves is
    /// the old file, and perhaps `temp`, which the next call replaces. [`Dir::sync`] makes the rename last.
    pub(crate) fn replace_file(&self, name: &str, temp: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.replace_file_open(name, temp, mode, bytes).map(drop)
    }

    /// The same, and gives the file.
    pub(crate) fn replace_file_open(&self, name: &str, temp: &str, mode: u32, bytes: &[u8]) -> io::Result<File> {
        self.remove_if_there(temp)?;
        crash::point()?;
        let mut file = self.create_new_mode(temp, mode)?;
        crash::point()?;
        // Synced before the rename: the other way round a power cut can leave the new name with no bytes.
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // A full disk must not stay fuller than it was; the first error is the one to tell.
            let _ = self.remove_file(temp);
            return Err(error);
        }
        crash::point()?;
        self.rename(temp, self, name)?;
        Ok(file)
    }

    /// Removes a file or a link; absent is fine.
    pub(crate) fn remove_if_there(&self, name: &str) -> io::Result<()> {
        match self.remove_file(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_lock_excludes_another_handle_and_goes_with_its_own() {
        let root = tempfile::tempdir().unwrap();
        let (first, second) = (Dir::open_root(root.path()).unwrap(), Dir::open_root(root.path()).unwrap());
        assert_eq!(first.try_lock().unwrap(), Locked::Yes);
        assert_eq!(second.try_lock().unwrap(), Locked::Busy);
        drop(first);
        assert_eq!(second.try_lock().unwrap(), Locked::Yes);
    }

    /// A process that another thread starts has a copy of every handle until it is another program: a lock that only ended with its
    /// last copy was then held by nobody, and whoever came next was told of another process.
    #[test]
    fn a_lock_ends_with_its_owner_also_while_another_process_has_a_copy_of_the_handle() {
        let root = tempfile::tempdir().unwrap();
        let (first, second) = (Dir::open_root(root.path()).unwrap(), Dir::open_root(root.path()).unwrap());
        assert_eq!(first.try_lock().unwrap(), Locked::Yes);
        let clone = first.clone();
        let _inherited = first.fd().try_clone().unwrap();
        drop(first);
        assert_eq!(second.try_lock().unwrap(), Locked::Busy, "a clone of the owner's is left");
        drop(clone);
        assert_eq!(second.try_lock().unwrap(), Locked::Yes);
    }

    #[test]
    fn a_replaced_file_is_the_old_or_the_new_one_whenever_the_process_dies() {
        for at in 1.. {
            let root = tempfile::tempdir().unwrap();
            let dir = Dir::open_root(root.path()).unwrap();
            dir.replace_file("f", "f.new", 0o600, b"old").unwrap();
            crash::arm(at);
            let result = dir.replace_file("f", "f.new", 0o600, b"new");
            if !crash::disarm() {
                result.unwrap();
                assert_eq!(std::fs::read(root.path().join("f")).unwrap(), b"new");
                assert!(!root.path().join("f.new").exists());
                assert_eq!(std::fs::metadata(root.path().join("f")).unwrap().permissions().mode() & 0o777, 0o600);
                assert!(at > 3);
                return;
            }
            assert_eq!(std::fs::read(root.path().join("f")).unwrap(), b"old");
            dir.replace_file("f", "f.new", 0o600, b"newer").unwrap();
            assert_eq!(std::fs::read(root.path().join("f")).unwrap(), b"newer");
        }
    }

    #[test]
    fn a_planted_link_in_place_of_the_temporary_file_is_replaced_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("victim"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path().join("victim"), root.path().join("f.new")).unwrap();
        let dir = Dir::open_root(root.path()).unwrap();
        dir.replace_file("f", "f.new", 0o600, b"new").unwrap();
        assert_eq!(std::fs::read(outside.path().join("victim")).unwrap(), b"x");
        assert!(dir.name_max().unwrap() >= 100);
    }
}
