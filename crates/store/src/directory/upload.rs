//! Multipart uploads: beginning one, sending parts, and telling which are there.
//!
//! An upload is a folder with `upload.json` (what it is for), `data` (the parts at their places, so completing copies
//! nothing), `parts` (see `slots`) and locks: one per part number modulo 16, so that two writers of one number never mix,
//! and one on `data`, shared by who writes a part, exclusive for who completes. A part that arrives after the completion
//! therefore finds the upload gone, and never writes into the published object.

use std::fs::File;
use std::io;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use milepost_core::{Crc64Nvme, ObjectKey, Timestamp};
use serde::{Deserialize, Serialize};

use super::fault::{bad_digest, fault, invalid, no_such_upload, says_absent};
use super::lock::{Attempt, persist, try_flock, try_lock};
use super::own::draw;
use super::place::{OWN, Place};
use super::slots::{self, Slot};
use super::{DirectoryBucket, Inner, etag, read, run};
use crate::bucket::{BucketError, PartInfo, UploadId};
use crate::fs::Dir;
use crate::fs::uncached::Uncached;

pub(super) const MAX_PART: u64 = 5 * 1024 * 1024 * 1024;
pub(super) const MAX_PARTS: u32 = 10_000;
/// A record is a key and two numbers.
const MAX_RECORD: u64 = 64 * 1024;
const FORMAT: u32 = 1;
const PART_LOCKS: u32 = 16;

/// `upload.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    format_version: u32,
    pub(super) key: ObjectKey,
    pub(super) part_size: u64,
    /// For people; ages are by the file's own time.
    created_at: Timestamp,
}

/// An upload's folder, opened.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) id: UploadId,
    pub(super) dir: Dir,
    pub(super) record: Record,
    /// Written at, by the store's clock.
    pub(super) begun: std::time::Duration,
}

/// What became of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    /// Its data has the key, but whoever completed it died before removing the folder.
    Completed,
    Gone,
}

impl Upload {
    /// Opens an upload; `None` where there is none of that id. The id is text from outside: it never leaves the folder.
    pub(super) fn find(uploads: &Dir, id: &UploadId) -> io::Result<Option<Self>> {
        if id.0.len() != 32 || !id.0.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(None);
        }
        let opened = uploads.open_dir(&id.0).and_then(|dir| Ok((dir.open_file("upload.json")?, dir)));
        let (file, dir) = match opened {
            Ok(opened) => opened,
            Err(error) if says_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let begun = etag::written_at(&rustix::fs::fstat(&file)?);
        let mut text = Vec::new();
        file.take(MAX_RECORD).read_to_end(&mut text)?;
        let unreadable = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let record: Record = serde_json::from_slice(&text).map_err(unreadable)?;
        if record.format_version != FORMAT || record.part_size == 0 || record.part_size > MAX_PART {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "upload.json is of another format"));
        }
        Ok(Some(Self { id: id.clone(), dir, record, begun }))
    }

    /// Opens the upload of a key.
    pub(super) fn open(inner: &Inner, place: &Place, id: &UploadId) -> Result<Self, BucketError> {
        let own = inner.own()?;
        match Self::find(&own.uploads, id) {
            Ok(Some(upload)) if upload.record.key == place.key => Ok(upload),
            Ok(_) => Err(no_such_upload(id)),
            Err(error) => Err(fault(error, "cannot read", &path(inner, id))),
        }
    }

    /// Asked with `data` open, and locked where the answer must last.
    pub(super) fn fate(&self, inner: &Inner, data: &File) -> io::Result<Fate> {
        let held = rustix::fs::fstat(data)?;
        match self.dir.stat("data") {
            Ok(stat) if stat.st_ino == held.st_ino => {}
            Ok(_) => return Ok(Fate::Gone),
            Err(error) if says_absent(&error) => return Ok(Fate::Gone),
            Err(error) => return Err(error),
        }
        let place = Place::of(&self.record.key).map_err(io::Error::other)?;
        match place.folder(&inner.root).and_then(|folder| folder.stat(&place.name)) {
            Ok(stat) if (stat.st_dev, stat.st_ino) == (held.st_dev, held.st_ino) => Ok(Fate::Completed),
            Ok(_) => Ok(Fate::Open),
            Err(error) if says_absent(&error) => Ok(Fate::Open),
            Err(error) => Err(error),
        }
    }

    /// Opens a file of the upload; `None` where the upload is gone.
    pub(super) fn file(&self, name: &str) -> io::Result<Option<File>> {
        match self.dir.open_file_rw(name) {
            Ok(file) => Ok(Some(file)),
            Err(error) if says_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

pub(super) fn path(inner: &Inner, id: &UploadId) -> PathBuf {
    inner.path.join(OWN).join("uploads").join(&id.0)
}

pub(super) fn create(inner: &Inner, place: &Place, part_size: u64) -> Result<UploadId, BucketError> {
    if part_size == 0 || part_size > MAX_PART {
        return Err(invalid(format!("a part is 1 to {MAX_PART} bytes, not {part_size}")));
    }
    let own = inner.own()?;
    let begin = || {
        // Made whole among the temp files, then moved: nobody ever finds half an upload.
        let (temp, dir) = own.temp_folder(&inner.env)?;
        let record =
            Record { format_version: FORMAT, key: place.key.clone(), part_size, created_at: inner.env.clock.now() };
        let fill = || {
            let mut file = dir.create_new("upload.json")?;
            file.write_all(&serde_json::to_vec_pretty(&record)?)?;
            file.sync_all()?;
            dir.create_new("data")?.sync_all()?;
            dir.create_new("parts")?.sync_all()?;
            dir.sync()?;
            let (id, ()) = draw(&inner.env, |id| own.tmp.rename_new(&temp, &own.uploads, id))?;
            own.uploads.sync()?;
            Ok(UploadId(id))
        };
        fill().inspect_err(|_: &io::Error| {
            // What remains is swept.
            let _ = own.tmp.remove_all(&temp);
        })
    };
    begin().map_err(|error| fault(error, "cannot begin an upload for", &inner.file_path(place)).maybe_applied())
}

pub(super) async fn part(
    bucket: &DirectoryBucket,
    place: Place,
    id: UploadId,
    number: u32,
    body: Bytes,
    crc: Crc64Nvme,
) -> Result<PartInfo, BucketError> {
    if number == 0 || number > MAX_PARTS {
        return Err(invalid(format!("a part's number is 1 to {MAX_PARTS}, not {number}")));
    }
    let inner = Arc::clone(&bucket.inner);
    persist(bucket.lock_wait, move || {
        let upload = Upload::open(&inner, &place, &id)?;
        let size = body.len() as u64;
        if size > upload.record.part_size {
            let message = format!("a part of this upload has at most {} bytes, not {size}", upload.record.part_size);
            return Err(invalid(message));
        }
        let path = path(&inner, &id);
        let failed = |error| fault(error, "cannot write a part into", &path);
        let gone = || no_such_upload(&id);
        let lock = format!("lock-{:02}", number % PART_LOCKS);
        let _number = match try_lock(&upload.dir, &lock) {
            Ok(Some(lock)) => lock,
            Ok(None) => return Ok(Attempt::Busy(path.join(lock))),
            Err(error) if says_absent(&error) => return Err(gone()),
            Err(error) => return Err(failed(error)),
        };
        let data = upload.file("data").map_err(failed)?.ok_or_else(gone)?;
        let Some(_shared) = try_flock(&data, true).map_err(failed)? else {
            return Ok(Attempt::Busy(path.join("data")));
        };
        if upload.fate(&inner, &data).map_err(failed)? != Fate::Open {
            return Err(gone());
        }
        if Crc64Nvme::of(&body) != crc {
            return Err(bad_digest(&format!("part {number} of {}", place.key)));
        }
        let records = upload.file("parts").map_err(failed)?.ok_or_else(gone)?;
        let slot = Slot { number, size, crc };
        store(&inner.uncached, &data, &records, slot, &body, upload.record.part_size).map_err(failed)?;
        Ok(Attempt::Done(slot.info()))
    })
    .await
}

fn store(uncached: &Uncached, data: &File, records: &File, slot: Slot, body: &[u8], part_size: u64) -> io::Result<()> {
    // The record of other bytes goes before they do. The same part sent again leaves the same bytes at every moment.
    if slots::read(records, slot.number)?.is_some_and(|old| old != slot) {
        slots::clear(records, slot.number)?;
    }
    // Nobody reads it soon, and what it drove out of the page cache somebody would.
    uncached.write_all(data, &mut [io::IoSlice::new(body)], u64::from(slot.number - 1) * part_size)?;
    // A record promises that the bytes outlast a power loss. That the record itself does is not needed: without it the part
    // is sent again.
    data.sync_data()?;
    slots::write(records, slot)
}

/// The recorded parts whose bytes are there.
pub(super) async fn list_parts(
    bucket: &DirectoryBucket,
    place: Place,
    id: UploadId,
) -> Result<Vec<PartInfo>, BucketError> {
    let inner = Arc::clone(&bucket.inner);
    let path = path(&inner, &id);
    let (data, recorded, part_size) = run({
        let path = path.clone();
        move || {
            let upload = Upload::open(&inner, &place, &id)?;
            let failed = |error| fault(error, "cannot read the parts of", &path);
            let gone = || no_such_upload(&id);
            let data = upload.file("data").map_err(failed)?.ok_or_else(gone)?;
            if upload.fate(&inner, &data).map_err(failed)? != Fate::Open {
                return Err(gone());
            }
            let records = upload.file("parts").map_err(failed)?.ok_or_else(gone)?;
            let recorded = slots::read_all(&records, MAX_PARTS).map_err(failed)?;
            Ok((Arc::new(data), recorded, upload.record.part_size))
        }
    })
    .await?;
    let mut parts = Vec::with_capacity(recorded.len());
    // A hop per part: a dropped request reads no more than the one that it is at.
    for slot in recorded {
        let (data, path) = (Arc::clone(&data), path.clone());
        let start = u64::from(slot.number - 1) * part_size;
        let found = run(move || {
            if slot.size > part_size {
                return Ok(None);
            }
            read::checksum(&data, start..start + slot.size)
                .map_err(|error| fault(error, "cannot read the parts of", &path))
        })
        .await?;
        if found == Some(slot.crc) {
            parts.push(slot.info());
        }
    }
    Ok(parts)
}
