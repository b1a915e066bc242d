//! Folders held open by a handle: a path is walked once, component by component, and no link is ever followed.
//!
//! The directory bucket and a restore's target both live below one root folder whose insides somebody else may be changing
//! at the same time. Every call here starts at an open folder and opens the next component with `O_NOFOLLOW`, so that a
//! planted link is an error and nothing outside the root is ever touched.
//!
//! All calls block: they belong on a blocking thread ([`blocking`]).

pub(crate) mod crash;
mod lockable;
mod scan;
pub(crate) mod uncached;
mod whole;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

pub(crate) use lockable::Lockable;
pub(crate) use whole::Locked;

/// Files are made for their owner and the group to read, less the umask.
const FILE_MODE: u32 = 0o644;
/// Folders likewise.
const DIR_MODE: u32 = 0o755;

/// An open folder. Cloning shares the handle.
#[derive(Debug, Clone)]
pub(crate) struct Dir(Arc<Lockable<OwnedFd>>);

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DirEntry {
    /// Its name; may be anything but empty, `.`, `..`.
    pub name: OsString,
    /// What it is; links are links.
    pub kind: FileType,
}

fn dir_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

impl Dir {
    /// Opens a root folder by path. Links on the way are followed: the operator named the path.
    pub(crate) fn open_root(path: &Path) -> io::Result<Self> {
        Ok(Self(Arc::new(Lockable::new(rustix::fs::open(path, dir_flags(), Mode::empty())?))))
    }

    /// Opens a folder directly inside.
    pub(crate) fn open_dir(&self, name: &str) -> io::Result<Self> {
        let fd = rustix::fs::openat(&*self.0, name, dir_flags() | OFlags::NOFOLLOW, Mode::empty())?;
        Ok(Self(Arc::new(Lockable::new(fd))))
    }

    /// Makes a folder directly inside where there is none, and opens it. True: it was made now, and `sync` makes it last.
    pub(crate) fn make_dir(&self, name: &str) -> io::Result<(Self, bool)> {
        let made = match rustix::fs::mkdirat(&*self.0, name, Mode::from_raw_mode(DIR_MODE)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(error.into()),
        };
        Ok((self.open_dir(name)?, made))
    }

    /// Walks `components` down from here.
    pub(crate) fn walk<'a>(&self, components: impl IntoIterator<Item = &'a str>) -> io::Result<Self> {
        components.into_iter().try_fold(self.clone(), |dir, name| dir.open_dir(name))
    }

    /// Walks `components` down from here, makes what is missing and syncs the folder of each that was made.
    pub(crate) fn walk_or_make<'a>(&self, components: impl IntoIterator<Item = &'a str>) -> io::Result<Self> {
        components.into_iter().try_fold(self.clone(), |dir, name| {
            let (next, made) = dir.make_dir(name)?;
            if made {
                dir.sync()?;
            }
            Ok(next)
        })
    }

    /// Opens a regular file directly inside for reading. Links, folders, pipes and devices are refused.
    pub(crate) fn open_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        self.regular(rustix::fs::openat(&*self.0, name, flags, Mode::empty())?)
    }

    /// Opens an existing regular file directly inside for reading and writing.
    pub(crate) fn open_file_rw(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        self.regular(rustix::fs::openat(&*self.0, name, flags, Mode::empty())?)
    }

    fn regular(&self, fd: OwnedFd) -> io::Result<File> {
        match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
            FileType::RegularFile => Ok(File::from(fd)),
            FileType::Directory => Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder")),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file")),
        }
    }

    /// Makes a file directly inside, for reading and writing; fails where anything of that name is.
    pub(crate) fn create_new(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&*self.0, name, flags, Mode::from_raw_mode(FILE_MODE))?))
    }

    /// Opens a file directly inside for reading and writing, and makes it where there is none: for lock files.
    pub(crate) fn open_or_create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        self.regular(rustix::fs::openat(&*self.0, name, flags, Mode::from_raw_mode(FILE_MODE))?)
    }

    /// What is known of an entry; a link is not followed.
    pub(crate) fn stat(&self, name: &str) -> io::Result<Stat> {
        Ok(rustix::fs::statat(&*self.0, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// What is known of this folder itself.
    pub(crate) fn stat_self(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&*self.0)?)
    }

    /// The entries, in no order, without `.` and `..`.
    pub(crate) fn entries(&self) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::read_from(&*self.0)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems do not say in the listing.
                FileType::Unknown => match rustix::fs::statat(&*self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(Errno::NOENT) => continue,
                    Err(error) => return Err(error.into()),
                },
                kind => kind,
            };
            entries.push(DirEntry { name: OsString::from_vec(name.to_bytes().to_vec()), kind });
        }
        Ok(entries)
    }

    /// Gives the file `from` a second name `to` in another folder of the same file system; fails where `to` exists.
    pub(crate) fn link(&self, from: &str, to_dir: &Self, to: &str) -> io::Result<()> {
        Ok(rustix::fs::linkat(&*self.0, from, &*to_dir.0, to, AtFlags::empty())?)
    }

    /// Renames, and replaces what `to` was.
    pub(crate) fn rename(&self, from: &str, to_dir: &Self, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&*self.0, from, &*to_dir.0, to)?)
    }

    /// Renames; fails with `AlreadyExists` where anything of the name `to` is.
    pub(crate) fn rename_new(&self, from: &str, to_dir: &Self, to: &str) -> io::Result<()> {
        match rustix::fs::renameat_with(&*self.0, from, &*to_dir.0, to, RenameFlags::NOREPLACE) {
            // Some file systems lack the flag; an empty folder could then be replaced in between, which loses nothing.
            Err(Errno::INVAL | Errno::NOSYS) => {
                if to_dir.stat(to).is_ok() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                self.rename(from, to_dir, to)
            }
            result => Ok(result?),
        }
    }

    /// Removes a file or a link.
    pub(crate) fn remove_file(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&*self.0, name, AtFlags::empty())?)
    }

    /// Removes an empty folder.
    pub(crate) fn remove_dir(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&*self.0, name, AtFlags::REMOVEDIR)?)
    }

    /// Removes an entry and everything below it; links are removed, never followed. Absent: fine.
    pub(crate) fn remove_all(&self, name: &str) -> io::Result<()> {
        match self.remove_file(name) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error)
                if error.kind() == io::ErrorKind::IsADirectory || error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
        let dir = self.open_dir(name)?;
        for entry in dir.entries()? {
            let entry_name = entry.name.to_str().ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "holds a name that is not UTF-8; remove it by hand")
            })?;
            dir.remove_all(entry_name)?;
        }
        self.remove_dir(name)
    }

    /// Makes entries that were made, renamed or removed in this folder last.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match rustix::fs::fsync(&*self.0) {
            // Some file systems cannot sync a folder; there is nothing else to do.
            Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
            result => Ok(result?),
        }
    }

    /// Bytes that an ordinary user can still write here.
    pub(crate) fn free_space(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(&*self.0)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// The handle itself.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.0
    }
}

/// Runs file system calls on a thread that may block. Dropping the future lets them finish unseen.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(io::Error::other(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_never_followed() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("folder")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), root.path().join("file")).unwrap();
        let dir = Dir::open_root(root.path()).unwrap();
        assert!(dir.open_dir("folder").is_err());
        assert!(dir.make_dir("folder").is_err());
        assert!(dir.walk(["folder"]).is_err());
        assert!(dir.open_file("file").is_err());
        assert!(dir.open_file_rw("file").is_err());
        assert!(dir.open_or_create("file").is_err());
        assert!(dir.create_new("file").is_err());
        dir.remove_all("folder").unwrap();
        dir.remove_all("file").unwrap();
        assert!(outside.path().join("secret").exists());
    }

    #[test]
    fn a_rename_to_an_existing_name_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(root.path()).unwrap();
        dir.make_dir("a").unwrap();
        dir.make_dir("b").unwrap();
        assert_eq!(dir.rename_new("a", &dir, "b").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        dir.rename_new("a", &dir, "c").unwrap();
        dir.create_new("f").unwrap();
        dir.link("f", &dir, "g").unwrap();
        assert_eq!(dir.link("f", &dir, "g").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(dir.free_space().unwrap() > 0);
    }

    #[test]
    fn trees_are_removed_whole() {
        let root = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(root.path()).unwrap();
        let deep = dir.walk_or_make(["a", "b", "c"]).unwrap();
        deep.create_new("f").unwrap();
        dir.walk(["a"]).unwrap().create_new("g").unwrap();
        dir.remove_all("a").unwrap();
        assert!(dir.entries().unwrap().is_empty());
        dir.remove_all("a").unwrap();
    }
}
