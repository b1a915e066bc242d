//! What a memory bucket holds, and what one request does to it under the lock.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use milepost_core::{Crc64Nvme, DigestAlgorithm, ObjectKey};
use tokio::time::Instant;

use crate::bucket::{
    BucketError, BucketErrorKind, ETag, ListPage, ListRequest, Listed, ObjectMeta, OpenUpload, PageToken, PartInfo,
    UploadId, UploadQuery,
};

/// The most uploads that one answer names.
const MAX_UPLOADS: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) uploads: BTreeMap<String, Upload>,
    pub(super) capacity: Option<u64>,
    begun: u64,
}

#[derive(Debug)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    pub(super) etag: ETag,
    crc: Crc64Nvme,
    written: Instant,
}

#[derive(Debug)]
pub(super) struct Upload {
    key: ObjectKey,
    begun: Instant,
    pub(super) parts: BTreeMap<u32, Part>,
}

#[derive(Debug)]
pub(super) struct Part {
    bytes: Bytes,
    etag: ETag,
    crc: Crc64Nvme,
}

impl Object {
    pub(super) fn meta(&self) -> ObjectMeta {
        ObjectMeta {
            size: self.bytes.len() as u64,
            etag: self.etag.clone(),
            crc64nvme: Some(self.crc),
            age: Some(age(self.written)),
        }
    }
}

impl Part {
    pub(super) fn info(&self, number: u32) -> PartInfo {
        PartInfo { number, size: self.bytes.len() as u64, etag: self.etag.clone(), crc64nvme: Some(self.crc) }
    }
}

/// tokio's clock, so that a test which pauses time can make an object a day old.
fn age(since: Instant) -> Duration {
    Instant::now().saturating_duration_since(since)
}

/// The content hash: equal for equal bytes, whatever the key and however it was written.
fn etag_of(bytes: &[u8]) -> ETag {
    let mut hasher = milepost_core::DigestHasher::new(DigestAlgorithm::Blake3);
    hasher.update(bytes);
    ETag(hasher.finish().to_string())
}

fn error(kind: BucketErrorKind, message: String) -> BucketError {
    BucketError::new(kind, message)
}

impl State {
    /// The room left; summed anew, since a wrong running total would be a defect that hides others.
    pub(super) fn free(&self) -> Option<u64> {
        let parts = self.uploads.values().flat_map(|upload| upload.parts.values()).map(|part| part.bytes.len() as u64);
        let used: u64 = self.objects.values().map(|object| object.bytes.len() as u64).chain(parts).sum();
        self.capacity.map(|capacity| capacity.saturating_sub(used))
    }

    /// Is there room for `size` bytes once `freed` bytes are given back?
    pub(super) fn room_for(&self, key: &ObjectKey, size: u64, freed: u64) -> Result<(), BucketError> {
        match self.free() {
            Some(free) if size > free.saturating_add(freed) => {
                let message = format!("{key}: {size} bytes do not fit, {free} are left");
                Err(error(BucketErrorKind::NoSpace, message))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn insert(&mut self, key: String, bytes: Bytes, crc: Crc64Nvme) -> ETag {
        let etag = etag_of(&bytes);
        self.objects.insert(key, Object { bytes, etag: etag.clone(), crc, written: Instant::now() });
        etag
    }

    /// One page. A token is the least key that the next page may begin with.
    pub(super) fn page(&self, request: &ListRequest) -> ListPage {
        let prefix = request.prefix.as_str();
        let mut page = ListPage::default();
        let mut from = request.page.as_ref().map_or("", |token| token.0.as_str()).max(prefix).to_owned();
        loop {
            let mut rest = self.objects.range::<str, _>((Bound::Included(from.as_str()), Bound::Unbounded));
            let Some((key, object)) = rest.next().filter(|(key, _)| key.starts_with(prefix)) else {
                return page;
            };
            if page.objects.len() + page.folders.len() == request.limit {
                page.next = Some(PageToken(from));
                return page;
            }
            let slash = key[prefix.len()..].find('/').filter(|_| request.delimiter);
            if let Some(at) = slash {
                let folder = &key[..=prefix.len() + at];
                page.folders.push(folder.to_owned());
                // `0` follows `/` in byte order: the least string behind everything in the folder.
                from = format!("{}0", &folder[..folder.len() - 1]);
            } else {
                let size = object.bytes.len() as u64;
                page.objects.push(Listed { key: key.clone(), size, etag: object.etag.clone() });
                from = format!("{key}\0");
            }
        }
    }

    pub(super) fn begin(&mut self, key: &ObjectKey) -> UploadId {
        self.begun += 1;
        // Padded: uploads of one key are listed in the order in which they were begun.
        let id = format!("upload-{:012}", self.begun);
        self.uploads.insert(id.clone(), Upload { key: key.clone(), begun: Instant::now(), parts: BTreeMap::new() });
        UploadId(id)
    }

    pub(super) fn upload(&self, key: &ObjectKey, id: &UploadId) -> Result<&Upload, BucketError> {
        self.uploads.get(&id.0).filter(|upload| upload.key == *key).ok_or_else(|| {
            error(BucketErrorKind::NoSuchUpload, format!("{key}: upload {} was completed, aborted or never was", id.0))
        })
    }

    pub(super) fn put_part(
        &mut self,
        key: &ObjectKey,
        id: &UploadId,
        number: u32,
        bytes: Bytes,
        crc: Crc64Nvme,
    ) -> Result<PartInfo, BucketError> {
        let freed = self.upload(key, id)?.parts.get(&number).map_or(0, |part| part.bytes.len() as u64);
        self.room_for(key, bytes.len() as u64, freed)?;
        let part = Part { etag: etag_of(&bytes), bytes, crc };
        let info = part.info(number);
        if let Some(upload) = self.uploads.get_mut(&id.0) {
            upload.parts.insert(number, part);
        }
        Ok(info)
    }

    /// All or nothing: every check comes before the one effect. After a failure the upload stays open.
    pub(super) fn complete(
        &mut self,
        key: &ObjectKey,
        id: &UploadId,
        parts: &[PartInfo],
        crc: Crc64Nvme,
        min_part: u64,
    ) -> Result<ETag, BucketError> {
        let upload = self.upload(key, id)?;
        let invalid = |why: String| error(BucketErrorKind::Invalid, format!("{key}: upload {}: {why}", id.0));
        if parts.is_empty() || !parts.is_sorted_by(|a, b| a.number < b.number) {
            return Err(invalid("a completion names its parts, each once, in ascending order".to_owned()));
        }
        let mut whole = BytesMut::new();
        for (at, named) in parts.iter().enumerate() {
            let held = upload.parts.get(&named.number).filter(|part| part.etag == named.etag);
            let held = held.ok_or_else(|| invalid(format!("no part {} with {}", named.number, named.etag)))?;
            if at + 1 < parts.len() && (held.bytes.len() as u64) < min_part {
                let size = held.bytes.len();
                return Err(invalid(format!("part {} is {size} bytes long, less than {min_part}", named.number)));
            }
            whole.extend_from_slice(&held.bytes);
        }
        let whole = whole.freeze();
        let actual = Crc64Nvme::of(&whole);
        if actual != crc {
            let message = format!("{key}: the parts make CRC64NVME {actual}, not {crc} as announced");
            return Err(error(BucketErrorKind::BadDigest, message));
        }
        if let Some(found) = self.objects.get(key.as_str()) {
            let message = format!("{key}: exists already, {}; the upload stays open", found.etag);
            return Err(error(BucketErrorKind::Precondition, message));
        }
        self.uploads.remove(&id.0);
        Ok(self.insert(key.as_str().to_owned(), whole, crc))
    }

    pub(super) fn open_uploads(&self, query: &UploadQuery) -> Vec<OpenUpload> {
        let asked = |upload: &Upload| match query {
            UploadQuery::Prefix(prefix) => upload.key.as_str().starts_with(prefix),
            UploadQuery::Key(key) => upload.key == *key,
        };
        let mut found: Vec<OpenUpload> = self
            .uploads
            .iter()
            .filter(|(_, upload)| asked(upload))
            .map(|(id, upload)| OpenUpload {
                key: upload.key.as_str().to_owned(),
                upload: UploadId(id.clone()),
                age: Some(age(upload.begun)),
            })
            .collect();
        found.sort_by(|a, b| (&a.key, &a.upload.0).cmp(&(&b.key, &b.upload.0)));
        found.truncate(MAX_UPLOADS);
        found
    }
}
