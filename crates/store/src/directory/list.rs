//! Listing keys in their byte order, a page at a time.
//!
//! A folder sorts as its name with a `/`: that is how the keys below it begin, so `a-b`, `a.b` and `a/b` come in this order.
//! The walk goes down depth first and keeps, of each folder on its way, only the next thousand or so names: a page of a
//! folder with a hundred thousand files reads their names once and asks for size and time of the thousand that it shows.

use std::collections::BinaryHeap;
use std::io;
use std::ops::ControlFlow;

use milepost_core::layout::MAX_KEY_BYTES;
use rustix::fs::{FileType, Stat};

use super::fault::{fault, invalid, says_absent};
use super::place::OWN;
use super::{Inner, etag};
use crate::bucket::{BucketError, ListPage, ListRequest, Listed, MAX_PAGE, PageToken};
use crate::fs::Dir;

/// Names of one folder in memory at a time. More than a page, so that a page of files needs one reading.
const BATCH: usize = MAX_PAGE + 24;

/// Gives one page. A prefix that no key can have, such as one with `..` or in the bucket's own folder, holds nothing.
///
/// # Errors
/// Invalid: a limit out of range, a prefix that does not end in `/`, a token of another listing.
pub(super) fn page(inner: &Inner, request: &ListRequest) -> Result<ListPage, BucketError> {
    let ListRequest { prefix, delimiter, page, limit } = request;
    if *limit == 0 || *limit > MAX_PAGE {
        return Err(invalid(format!("a listing's limit is 1 to {MAX_PAGE}, not {limit}")));
    }
    if !prefix.is_empty() && !prefix.ends_with('/') {
        return Err(invalid("a listing's prefix is empty or ends in `/`"));
    }
    let after = page.as_ref().map_or("", |token| token.0.as_str());
    let Some(floor) = (if after.is_empty() { Some("") } else { after.strip_prefix(prefix.as_str()) }) else {
        return Err(invalid("this page token belongs to another listing"));
    };
    let components: Vec<&str> = prefix.split_terminator('/').collect();
    if prefix.len() >= MAX_KEY_BYTES
        || components.first() == Some(&OWN)
        || components.iter().any(|name| matches!(*name, "" | "." | "..") || name.contains('\0'))
    {
        return Ok(ListPage::default());
    }
    let failed = |error| fault(error, "cannot list", &inner.path.join(prefix));
    let dir = match inner.root.walk(components) {
        Ok(dir) => dir,
        Err(error) if says_absent(&error) => return Ok(ListPage::default()),
        Err(error) => return Err(failed(error)),
    };
    let mut walk = Walk { delimiter: *delimiter, frames: vec![Frame::new(dir, prefix.clone(), floor)] };
    let mut listed = ListPage::default();
    let mut last = String::new();
    while let Some(item) = walk.next().map_err(failed)? {
        if listed.objects.len() + listed.folders.len() == *limit {
            listed.next = Some(PageToken(last));
            break;
        }
        match item {
            Item::Folder(folder) => {
                last.clone_from(&folder);
                listed.folders.push(folder);
            }
            Item::File { dir, name, key, stat } => match describe(&dir, &name, &stat) {
                Ok((size, etag)) => {
                    last.clone_from(&key);
                    listed.objects.push(Listed { key, size, etag });
                }
                // Deleted since its name was read.
                Err(error) if says_absent(&error) => {}
                Err(error) => return Err(fault(error, "cannot read", &inner.path.join(key))),
            },
        }
    }
    Ok(listed)
}

fn describe(dir: &Dir, name: &str, stat: &Stat) -> io::Result<(u64, crate::bucket::ETag)> {
    if !etag::is_hashed(name, etag::size(stat)) {
        return Ok((etag::size(stat), etag::of_stat(stat)));
    }
    let file = dir.open_file(name)?;
    // Replaced since: size and ETag must be of the same content.
    let stat = rustix::fs::fstat(&file)?;
    let (etag, _) = etag::of_file(&file, name, &stat)?;
    Ok((etag::size(&stat), etag))
}

enum Item {
    File { dir: Dir, name: String, key: String, stat: Stat },
    Folder(String),
}

struct Walk {
    delimiter: bool,
    /// From the listed folder down to the one being read.
    frames: Vec<Frame>,
}

/// A folder that is being read.
struct Frame {
    dir: Dir,
    /// What its keys begin with.
    prefix: String,
    /// The next names, last one first; folders end in `/`.
    ready: Vec<Vec<u8>>,
    /// Names up to here are done with.
    floor: Vec<u8>,
    /// The rest of a page token, which is the first floor: the folder that it lies in is only partly done with.
    token: String,
    /// The floor is still that.
    resumed: bool,
    /// The folder holds names behind `ready`.
    more: bool,
}

impl Frame {
    fn new(dir: Dir, prefix: String, token: &str) -> Self {
        Self { dir, prefix, ready: Vec::new(), floor: token.into(), token: token.to_owned(), resumed: true, more: true }
    }

    /// Reads the next batch of names.
    fn fill(&mut self, delimiter: bool) -> io::Result<()> {
        let mut batch: BinaryHeap<Vec<u8>> = BinaryHeap::with_capacity(BATCH + 1);
        let mut sort = Vec::new();
        let (prefix, floor, resumed) = (&self.prefix, &self.floor, self.resumed && !delimiter);
        let mut more = false;
        self.dir.scan(|name, kind| {
            let folder = kind == FileType::Directory;
            if visible(prefix, name, kind) {
                sort.clear();
                sort.extend_from_slice(name);
                if folder {
                    sort.push(b'/');
                }
                if sort > *floor || (resumed && folder && floor.starts_with(&sort)) {
                    if batch.len() == BATCH {
                        more = true;
                        if batch.peek().is_some_and(|largest| *largest <= sort) {
                            return ControlFlow::Continue(());
                        }
                        batch.pop();
                    }
                    batch.push(sort.clone());
                }
            }
            ControlFlow::Continue(())
        })?;
        self.ready = batch.into_sorted_vec();
        if let Some(last) = self.ready.last() {
            self.floor.clone_from(last);
        }
        self.resumed = false;
        self.more = more;
        self.ready.reverse();
        Ok(())
    }
}

/// Can this entry be, or hold, an object?
fn visible(prefix: &str, name: &[u8], kind: FileType) -> bool {
    matches!(kind, FileType::RegularFile | FileType::Directory)
        && !(prefix.is_empty() && name == OWN.as_bytes())
        && prefix.len() + name.len() <= MAX_KEY_BYTES
        && std::str::from_utf8(name).is_ok()
}

impl Walk {
    fn next(&mut self) -> io::Result<Option<Item>> {
        while let Some(frame) = self.frames.last_mut() {
            let Some(sort) = frame.ready.pop() else {
                if !frame.more {
                    self.frames.pop();
                } else if let Err(error) = frame.fill(self.delimiter) {
                    // Removed since it was opened: nothing is left in it.
                    if !says_absent(&error) {
                        return Err(error);
                    }
                    self.frames.pop();
                }
                continue;
            };
            // Only UTF-8 gets past `visible`.
            let Ok(name) = String::from_utf8(sort) else { continue };
            let key = format!("{}{name}", frame.prefix);
            let mut next = None;
            let found = match name.strip_suffix('/') {
                None => frame.dir.stat(&name).map(|stat| {
                    let file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
                    file.then(|| Item::File { dir: frame.dir.clone(), name, key, stat })
                }),
                Some(folder) => frame.dir.open_dir(folder).and_then(|dir| {
                    if self.delimiter {
                        return Ok(holds_an_object(&dir, &key)?.then_some(Item::Folder(key)));
                    }
                    next = Some(Frame::new(dir, key, frame.token.strip_prefix(&name).unwrap_or_default()));
                    Ok(None)
                }),
            };
            match found {
                Ok(Some(item)) => return Ok(Some(item)),
                Ok(None) => self.frames.extend(next),
                Err(error) if says_absent(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// An object store has no empty folders: one is shown only where a key begins with it.
fn holds_an_object(dir: &Dir, prefix: &str) -> io::Result<bool> {
    let (mut found, mut folders) = (false, Vec::new());
    dir.scan(|name, kind| {
        if visible(prefix, name, kind) {
            if kind == FileType::RegularFile {
                found = true;
                return ControlFlow::Break(());
            }
            folders.extend(std::str::from_utf8(name).map(str::to_owned));
        }
        ControlFlow::Continue(())
    })?;
    if found {
        return Ok(true);
    }
    for name in folders {
        let below = dir.open_dir(&name).and_then(|dir| holds_an_object(&dir, &format!("{prefix}{name}/")));
        match below {
            Ok(false) => {}
            Err(error) if says_absent(&error) => {}
            found => return found,
        }
    }
    Ok(false)
}
