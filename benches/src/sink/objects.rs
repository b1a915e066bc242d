//! What the sink remembers: lengths, checksums, and the content of documents.

use std::collections::BTreeMap;
use std::ops::Bound;

/// An object.
#[derive(Debug, Clone, Default)]
pub(super) struct Object {
    pub size: u64,
    pub etag: String,
    /// The CRC64NVME that came with it, in base64.
    pub crc: Option<String>,
    /// `x-amz-meta-…` headers, which rclone keeps the time in.
    pub user: Vec<(String, String)>,
    /// The content, of documents only.
    pub body: Option<Vec<u8>>,
}

/// An open multipart upload.
#[derive(Debug, Clone, Default)]
pub(super) struct Upload {
    pub key: String,
    pub user: Vec<(String, String)>,
    /// By number.
    pub parts: BTreeMap<u32, Object>,
}

/// Is the content of this key kept?
pub(super) fn is_document(key: &str) -> bool {
    key.ends_with(".json") || key.contains("_milepost/")
}

/// Why a write is refused: status and S3's code.
pub(super) type Refusal = (u16, &'static str);

/// All objects and uploads.
#[derive(Debug, Default)]
pub(super) struct Objects {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    next: u64,
}

impl Objects {
    /// An opaque tag that is nobody's MD5.
    pub(super) fn tag(&mut self) -> String {
        self.next += 1;
        format!("{:032x}-1", self.next)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Object> {
        self.objects.get(key)
    }

    /// Puts an object if its conditions hold; gives its ETag.
    pub(super) fn put(
        &mut self,
        key: &str,
        mut object: Object,
        if_match: Option<&str>,
        if_none_match: Option<&str>,
    ) -> Result<String, Refusal> {
        let old = self.objects.get(key);
        if if_none_match.is_some() && old.is_some() {
            return Err((412, "PreconditionFailed"));
        }
        match (if_match, old) {
            (Some(_), None) => return Err((404, "NoSuchKey")),
            (Some(tag), Some(old)) if tag.trim_matches('"') != old.etag => return Err((412, "PreconditionFailed")),
            _ => {}
        }
        object.etag = self.tag();
        let etag = object.etag.clone();
        self.objects.insert(key.to_owned(), object);
        Ok(etag)
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.objects.remove(key);
    }

    /// The objects whose keys begin with `prefix` and lie behind `after`.
    pub(super) fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Object)> {
        let from = if after > prefix { after } else { prefix };
        self.objects
            .range::<str, _>((Bound::Included(from), Bound::Unbounded))
            .skip_while(move |(key, _)| !after.is_empty() && key.as_str() <= after)
            .take_while(move |(key, _)| key.starts_with(prefix))
    }

    pub(super) fn begin(&mut self, key: &str, user: Vec<(String, String)>) -> String {
        let id = self.tag();
        self.uploads.insert(id.clone(), Upload { key: key.to_owned(), user, parts: BTreeMap::new() });
        id
    }

    pub(super) fn upload(&self, id: &str) -> Option<&Upload> {
        self.uploads.get(id)
    }

    pub(super) fn uploads(&self, prefix: &str) -> impl Iterator<Item = (&String, &Upload)> {
        self.uploads.iter().filter(move |(_, upload)| upload.key.starts_with(prefix))
    }

    pub(super) fn part(&mut self, id: &str, number: u32, mut part: Object) -> Result<String, Refusal> {
        part.etag = self.tag();
        let etag = part.etag.clone();
        let upload = self.uploads.get_mut(id).ok_or((404, "NoSuchUpload"))?;
        upload.parts.insert(number, part);
        Ok(etag)
    }

    pub(super) fn abort(&mut self, id: &str) -> bool {
        self.uploads.remove(id).is_some()
    }

    /// Makes an object of the parts that are named.
    pub(super) fn complete(
        &mut self,
        id: &str,
        numbers: &[u32],
        crc: Option<String>,
        if_none_match: Option<&str>,
    ) -> Result<String, Refusal> {
        let upload = self.uploads.get(id).ok_or((404, "NoSuchUpload"))?;
        let (key, user) = (upload.key.clone(), upload.user.clone());
        let parts = numbers.iter().map(|number| upload.parts.get(number).ok_or((400, "InvalidPart")));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let size = parts.iter().map(|part| part.size).sum();
        let body = is_document(&key)
            .then(|| parts.iter().flat_map(|part| part.body.clone().unwrap_or_default()).collect::<Vec<u8>>());
        let object = Object { size, crc, user, body, ..Object::default() };
        let etag = self.put(&key, object, None, if_none_match)?;
        self.uploads.remove(id);
        Ok(etag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(size: u64) -> Object {
        Object { size, ..Object::default() }
    }

    #[test]
    fn conditions_hold() {
        let mut objects = Objects::default();
        assert_eq!(objects.put("k", of(1), Some("x"), None), Err((404, "NoSuchKey")));
        let first = objects.put("k", of(1), None, Some("*")).unwrap();
        assert_eq!(objects.put("k", of(2), None, Some("*")), Err((412, "PreconditionFailed")));
        let quoted = format!("\"{first}\"");
        objects.put("k", of(3), Some(&quoted), None).unwrap();
        assert_eq!(objects.put("k", of(4), Some(&quoted), None), Err((412, "PreconditionFailed")));
        assert_eq!(objects.get("k").unwrap().size, 3);
    }

    #[test]
    fn listings_begin_behind_a_key_and_end_with_the_prefix() {
        let mut objects = Objects::default();
        for key in ["a/1", "a/2", "a/3", "b/1"] {
            objects.put(key, of(1), None, None).unwrap();
        }
        let keys =
            |prefix: &str, after: &str| objects.list(prefix, after).map(|(key, _)| key.clone()).collect::<Vec<_>>();
        assert_eq!(keys("a/", ""), ["a/1", "a/2", "a/3"]);
        assert_eq!(keys("a/", "a/1"), ["a/2", "a/3"]);
        assert_eq!(keys("", "a/3"), ["b/1"]);
    }

    #[test]
    fn an_upload_becomes_an_object_once() {
        let mut objects = Objects::default();
        let id = objects.begin("k", vec![]);
        objects.part(&id, 1, of(5)).unwrap();
        objects.part(&id, 2, of(3)).unwrap();
        assert_eq!(objects.complete(&id, &[1, 3], None, None), Err((400, "InvalidPart")));
        objects.complete(&id, &[1, 2], Some("crc".to_owned()), Some("*")).unwrap();
        assert_eq!(objects.get("k").unwrap().size, 8);
        assert_eq!(objects.complete(&id, &[1], None, None), Err((404, "NoSuchUpload")));
        assert!(!objects.abort(&id));
    }
}
