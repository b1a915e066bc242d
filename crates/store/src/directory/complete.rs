//! Ending multipart uploads: completing, aborting, and finding the open ones.

use std::io;
use std::sync::Arc;

use milepost_core::Crc64Nvme;

use super::fault::{bad_digest, fault, invalid, no_such_upload};
use super::lock::{Attempt, persist, try_flock};
use super::own::Own;
use super::place::Place;
use super::slots;
use super::upload::{Fate, MAX_PARTS, Upload, path};
use super::write::{publish, refuse_occupied};
use super::{DirectoryBucket, Inner, etag};
use crate::bucket::{BucketError, BucketErrorKind, ETag, OpenUpload, PartInfo, UploadId, UploadQuery};

/// At most so many open uploads are told.
const MAX_UPLOADS: usize = 10_000;

pub(super) async fn complete(
    bucket: &DirectoryBucket,
    place: Place,
    id: UploadId,
    parts: Vec<PartInfo>,
    crc: Crc64Nvme,
) -> Result<ETag, BucketError> {
    let inner = Arc::clone(&bucket.inner);
    persist(bucket.lock_wait, move || {
        let upload = Upload::open(&inner, &place, &id)?;
        let path = path(&inner, &id);
        let failed = |error| fault(error, "cannot complete", &path);
        let gone = || no_such_upload(&id);
        let data = upload.file("data").map_err(failed)?.ok_or_else(gone)?;
        // Exclusive until the data has its key and the upload is gone: no part is written meanwhile, or ever after.
        let Some(_alone) = try_flock(&data, false).map_err(failed)? else {
            return Ok(Attempt::Busy(path.join("data")));
        };
        match upload.fate(&inner, &data).map_err(failed)? {
            Fate::Open => {}
            Fate::Completed => {
                finish(&inner, &place, &upload).map_err(failed)?;
                return Err(gone());
            }
            Fate::Gone => return Err(gone()),
        }
        let records = upload.file("parts").map_err(failed)?.ok_or_else(gone)?;
        let recorded = slots::read_all(&records, MAX_PARTS).map_err(failed)?;
        let (size, found) = check(&parts, &recorded, upload.record.part_size)?;
        if found != crc {
            return Err(bad_digest(place.key.as_str()));
        }
        // Before anything is cut off: the upload stays as it is.
        if let Ok(folder) = place.folder(&inner.root) {
            refuse_occupied(&inner, &place, &folder)?;
        }
        let seal = || {
            data.set_len(size)?;
            etag::stamp(&data, inner.env.seed())?;
            data.sync_all()?;
            let (etag, _) = etag::of_file(&data, &place.name, &rustix::fs::fstat(&data)?)?;
            Ok(etag)
        };
        let etag = seal().map_err(failed)?;
        match publish(&inner, &place, |folder| upload.dir.link("data", folder, &place.name)) {
            // Aborted meanwhile: there is nothing to give the key to.
            Err(error) if error.kind == BucketErrorKind::Unavailable && upload.dir.stat("data").is_err() => {
                return Err(gone());
            }
            published => published?,
        }
        // The object is there whatever becomes of the folder: `list_uploads` removes what a crash leaves here.
        if let Err(error) = inner.own().and_then(|own| own.discard_upload(&inner.env, &id.0).map_err(failed)) {
            tracing::warn!(key = %place.key, %error, "completed, but the upload's folder is still there");
        }
        Ok(Attempt::Done(etag))
    })
    .await
}

/// The size and the checksum of the object that the parts make.
fn check(parts: &[PartInfo], recorded: &[slots::Slot], part_size: u64) -> Result<(u64, Crc64Nvme), BucketError> {
    if parts.is_empty() {
        return Err(invalid("an upload is completed with at least one part"));
    }
    let (mut size, mut crc) = (0, Crc64Nvme::EMPTY);
    for (number, part) in (1..).zip(parts) {
        if part.number != number {
            return Err(invalid(format!("parts are 1, 2, 3…: part {} in place of {number}", part.number)));
        }
        let slot =
            recorded.get(recorded.partition_point(|slot| slot.number < number)).filter(|slot| slot.number == number);
        let Some(slot) = slot.filter(|slot| slot.size == part.size && slot.etag() == part.etag) else {
            return Err(invalid(format!("part {number} is not what was sent under this number")));
        };
        if slot.size != part_size && parts.len() as u64 != u64::from(number) {
            let message = format!("part {number} has {} bytes: only the last may differ from {part_size}", slot.size);
            return Err(invalid(message));
        }
        size += slot.size;
        crc = crc.combine(slot.crc, slot.size);
    }
    Ok((size, crc))
}

/// Ends what somebody began who died between giving the data its key and removing the upload's folder.
fn finish(inner: &Inner, place: &Place, upload: &Upload) -> io::Result<()> {
    place.folder(&inner.root)?.sync()?;
    inner.try_own()?.discard_upload(&inner.env, &upload.id.0)?;
    Ok(())
}

pub(super) fn abort(inner: &Inner, place: &Place, id: &UploadId) -> Result<(), BucketError> {
    let own = inner.own()?;
    let give_up = || {
        let Some(upload) = Upload::find(&own.uploads, id)? else { return Ok(()) };
        // Another key's upload is none of this one's.
        if upload.record.key != place.key {
            return Ok(());
        }
        match upload.file("data")? {
            Some(data) if upload.fate(inner, &data)? == Fate::Completed => finish(inner, place, &upload),
            // Nobody waits for a writer: what it still writes goes with the folder.
            _ => own.discard_upload(&inner.env, &id.0).map(drop),
        }?;
        own.uploads.sync()
    };
    give_up().map_err(|error| fault(error, "cannot abort", &path(inner, id)).maybe_applied())
}

/// The open uploads that the query means, by key and id.
pub(super) fn list_uploads(inner: &Inner, query: &UploadQuery) -> Result<Vec<OpenUpload>, BucketError> {
    let own = match inner.try_own() {
        Ok(own) => own,
        // Nothing was ever written here.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => return Ok(Vec::new()),
        Err(error) => return Err(fault(error, "cannot list the uploads of", &inner.path)),
    };
    let list = || {
        let mut open = Vec::new();
        for entry in own.uploads.entries()? {
            let Ok(id) = entry.name.into_string() else { continue };
            if let Some(upload) = look(inner, &own, UploadId(id), query)? {
                open.push(upload);
            }
        }
        Ok(open)
    };
    let mut open = list().map_err(|error| fault(error, "cannot list the uploads of", &inner.path))?;
    open.sort_by(|a, b| (&a.key, &a.upload.0).cmp(&(&b.key, &b.upload.0)));
    open.truncate(MAX_UPLOADS);
    Ok(open)
}

fn look(inner: &Inner, own: &Own, id: UploadId, query: &UploadQuery) -> io::Result<Option<OpenUpload>> {
    let upload = match Upload::find(&own.uploads, &id) {
        Ok(Some(upload)) => upload,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            tracing::warn!(upload = id.0, %error, "an upload.json cannot be read; remove its folder by hand");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let meant = match query {
        UploadQuery::Prefix(prefix) => upload.record.key.as_str().starts_with(prefix.as_str()),
        UploadQuery::Key(key) => upload.record.key == *key,
    };
    let Some(data) = upload.file("data")?.filter(|_| meant) else { return Ok(None) };
    match upload.fate(inner, &data)? {
        Fate::Gone => return Ok(None),
        Fate::Completed => {
            // Whoever completes it holds the lock, and is at work.
            if let Some(_alone) = try_flock(&data, false)? {
                let place = Place::of(&upload.record.key).map_err(io::Error::other)?;
                finish(inner, &place, &upload)?;
            }
            return Ok(None);
        }
        Fate::Open => {}
    }
    let age = inner.age(upload.begun);
    Ok(Some(OpenUpload { key: upload.record.key.as_str().to_owned(), upload: id, age }))
}
