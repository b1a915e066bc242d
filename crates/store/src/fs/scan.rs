//! Reading a folder entry by entry, for callers that must not hold all names of a huge folder in memory.

use std::io;
use std::ops::ControlFlow;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::Dir;

impl Dir {
    /// Shows each entry's name and kind to `see`, in no order and without `.` and `..`, until it breaks. Links are links.
    pub(crate) fn scan(&self, mut see: impl FnMut(&[u8], FileType) -> ControlFlow<()>) -> io::Result<()> {
        for entry in rustix::fs::Dir::read_from(self.fd())? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems do not say in the listing.
                FileType::Unknown => match rustix::fs::statat(self.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(Errno::NOENT) => continue,
                    Err(error) => return Err(error.into()),
                },
                kind => kind,
            };
            if see(name.to_bytes(), kind).is_break() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_shown_until_the_caller_breaks() {
        let root = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(root.path()).unwrap();
        dir.make_dir("folder").unwrap();
        dir.create_new("file").unwrap();
        std::os::unix::fs::symlink("file", root.path().join("link")).unwrap();
        let mut seen = Vec::new();
        dir.scan(|name, kind| {
            seen.push((String::from_utf8(name.to_vec()).unwrap(), kind));
            ControlFlow::Continue(())
        })
        .unwrap();
        seen.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [("file", FileType::RegularFile), ("folder", FileType::Directory), ("link", FileType::Symlink)];
        assert_eq!(seen, expected.map(|(name, kind)| (name.to_owned(), kind)));
        let mut count = 0;
        dir.scan(|_, _| {
            count += 1;
            ControlFlow::Break(())
        })
        .unwrap();
        assert_eq!(count, 1);
    }
}
