//! What the sink answers.

use std::fmt::Write as _;

use super::connection::{Body, Shared};
use super::http::Head;
use super::objects::{Object, Objects, Refusal};
use super::xml::{document, encoded, escaped, texts};

/// The sink has no clock, and nobody needs it to have one.
const DATE: &str = "Sat, 21 Nov 2026 10:00:00 GMT";
const STAMP: &str = "2026-11-21T10:00:00.000Z";

/// The content of an answer.
#[derive(Debug)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    /// From and to, in the endless repetition.
    Pattern(u64, u64),
}

impl Content {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Pattern(from, to) => to - from,
        }
    }
}

#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    /// What Content-Length says where there is no content: the answer to a HEAD.
    length: Option<u64>,
    user: Vec<(String, String)>,
    pub content: Content,
}

impl Answer {
    fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), length: None, user: Vec::new(), content: Content::Bytes(Vec::new()) }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn xml(root: &str, inner: &str) -> Self {
        let content = Content::Bytes(document(root, inner).into_bytes());
        Self { content, ..Self::new(200).with("Content-Type", "application/xml") }
    }

    fn refused((status, code): Refusal) -> Self {
        let answer = Self::xml("Error", &format!("<Code>{code}</Code><Message>the null sink says no</Message>"));
        Self { status, ..answer }
    }

    fn tagged(self, etag: &str) -> Self {
        self.with("ETag", format!("\"{etag}\""))
    }

    /// The status line and the headers.
    pub(super) fn head(&self) -> String {
        let words = match self.status {
            200 => "OK",
            204 => "No Content",
            206 => "Partial Content",
            404 => "Not Found",
            412 => "Precondition Failed",
            416 => "Range Not Satisfiable",
            501 => "Not Implemented",
            _ => "Bad Request",
        };
        let mut text = format!("HTTP/1.1 {} {words}\r\nDate: {DATE}\r\nx-amz-request-id: sink\r\n", self.status);
        let length = self.length.unwrap_or_else(|| self.content.length());
        if self.status != 204 {
            let _ = write!(text, "Content-Length: {length}\r\n");
        }
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        for (name, value) in &self.user {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text.push_str("\r\n");
        text
    }

    /// The sink's own paths.
    pub(super) fn own(head: &Head, shared: &Shared) -> Self {
        match (head.method.as_str(), head.key.as_str()) {
            ("GET", "counts") => {
                let counts = shared.counts.lock().map(|counts| counts.clone()).unwrap_or_default();
                let bytes = serde_json::to_vec(&counts).unwrap_or_default();
                Self { content: Content::Bytes(bytes), ..Self::new(200) }
            }
            ("POST", "reset") => {
                shared.counts.clear_poison();
                let _ = shared.counts.lock().map(|mut counts| *counts = Default::default());
                Self::new(200)
            }
            ("POST", "forget") => {
                let _ = shared.objects.lock().map(|mut objects| *objects = Objects::default());
                Self::new(200)
            }
            _ => Self::new(404),
        }
    }

    /// The answer to a request of S3.
    pub(super) fn to(head: &Head, body: &Body, shared: &Shared) -> Self {
        let Ok(mut objects) = shared.objects.lock() else { return Self::refused((500, "InternalError")) };
        let objects = &mut *objects;
        let upload = head.query.get("uploadId").map_or("", String::as_str);
        let done = match head.operation() {
            "PutObject" => {
                let (if_match, if_none_match) = (head.header("if-match"), head.header("if-none-match"));
                objects
                    .put(&head.key, object(head, body), if_match, if_none_match)
                    .map(|etag| stored(head, body, &etag))
            }
            "UploadPart" => {
                let number = head.query.get("partNumber").and_then(|number| number.parse().ok()).unwrap_or(0);
                objects.part(upload, number, object(head, body)).map(|etag| stored(head, body, &etag))
            }
            "CreateMultipartUpload" => {
                let id = objects.begin(&head.key, user(head));
                let inner = format!(
                    "<Bucket>{}</Bucket><Key>{}</Key><UploadId>{id}</UploadId>",
                    escaped(&head.bucket),
                    escaped(&head.key)
                );
                Ok(Self::xml("InitiateMultipartUploadResult", &inner))
            }
            "CompleteMultipartUpload" => complete(head, body, upload, objects),
            "AbortMultipartUpload" if objects.abort(upload) => Ok(Self::new(204)),
            "AbortMultipartUpload" => Err((404, "NoSuchUpload")),
            "DeleteObject" => {
                objects.remove(&head.key);
                Ok(Self::new(204))
            }
            "DeleteObjects" => Ok(delete(body, objects)),
            "GetObject" | "HeadObject" => read(head, objects),
            "ListObjects" => Ok(list(head, objects)),
            "ListParts" => parts(upload, objects),
            "ListMultipartUploads" => Ok(uploads(head, objects)),
            "HeadBucket" | "CreateBucket" => Ok(Self::new(200)),
            "GetBucketLocation" => Ok(Self::xml("LocationConstraint", "")),
            "ListBuckets" => Ok(Self::xml("ListAllMyBucketsResult", "<Buckets></Buckets>")),
            _ => Err((501, "NotImplemented")),
        };
        done.unwrap_or_else(Self::refused)
    }
}

fn user(head: &Head) -> Vec<(String, String)> {
    let own = head.headers.iter().filter(|(name, _)| name.starts_with("x-amz-meta-"));
    own.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn object(head: &Head, body: &Body) -> Object {
    let crc = head.header("x-amz-checksum-crc64nvme").map(str::to_owned).or_else(|| body.trailer.clone());
    Object { size: body.size, crc, user: user(head), body: body.kept.clone(), etag: String::new() }
}

fn stored(head: &Head, body: &Body, etag: &str) -> Answer {
    let answer = Answer::new(200).tagged(etag);
    match object(head, body).crc {
        Some(crc) => answer.with("x-amz-checksum-crc64nvme", crc).with("x-amz-checksum-type", "FULL_OBJECT"),
        None => answer,
    }
}

fn complete(head: &Head, body: &Body, upload: &str, objects: &mut Objects) -> Result<Answer, Refusal> {
    let xml = String::from_utf8_lossy(body.kept.as_deref().unwrap_or_default()).into_owned();
    let numbers: Vec<u32> = texts(&xml, "PartNumber").iter().filter_map(|number| number.parse().ok()).collect();
    let crc = head.header("x-amz-checksum-crc64nvme").map(str::to_owned);
    let etag = objects.complete(upload, &numbers, crc, head.header("if-none-match"))?;
    let inner = format!(
        "<Bucket>{}</Bucket><Key>{}</Key><ETag>&quot;{etag}&quot;</ETag>",
        escaped(&head.bucket),
        escaped(&head.key)
    );
    Ok(Answer::xml("CompleteMultipartUploadResult", &inner))
}

fn delete(body: &Body, objects: &mut Objects) -> Answer {
    let xml = String::from_utf8_lossy(body.kept.as_deref().unwrap_or_default()).into_owned();
    let quiet = xml.contains("<Quiet>true</Quiet>");
    let mut inner = String::new();
    for key in texts(&xml, "Key") {
        objects.remove(&key);
        if !quiet {
            let _ = write!(inner, "<Deleted><Key>{}</Key></Deleted>", escaped(&key));
        }
    }
    Answer::xml("DeleteResult", &inner)
}

fn read(head: &Head, objects: &Objects) -> Result<Answer, Refusal> {
    let object = objects.get(&head.key).ok_or((404, "NoSuchKey"))?;
    let range = head.range(object.size).map_err(|()| (416, "InvalidRange"))?;
    let (from, to) = range.unwrap_or((0, object.size));
    let mut answer = Answer::new(if range.is_some() { 206 } else { 200 })
        .tagged(&object.etag)
        .with("Last-Modified", DATE)
        .with("Accept-Ranges", "bytes")
        .with("Content-Type", "application/octet-stream");
    if range.is_some() {
        answer = answer.with("Content-Range", format!("bytes {from}-{}/{}", to - 1, object.size));
    }
    if let (None, Some(crc), Some(_)) = (range, &object.crc, head.header("x-amz-checksum-mode")) {
        answer = answer.with("x-amz-checksum-crc64nvme", crc.clone()).with("x-amz-checksum-type", "FULL_OBJECT");
    }
    answer.user.clone_from(&object.user);
    answer.length = Some(to - from);
    if head.method == "GET" {
        answer.content = match &object.body {
            Some(body) => Content::Bytes(body[from as usize..to as usize].to_vec()),
            None => Content::Pattern(from, to),
        };
    }
    Ok(answer)
}

fn list(head: &Head, objects: &Objects) -> Answer {
    let asked = |name: &str| head.query.get(name).map_or("", String::as_str);
    let url = asked("encoding-type") == "url";
    let text = |key: &str| if url { encoded(key) } else { escaped(key) };
    let (prefix, delimiter) = (asked("prefix"), asked("delimiter"));
    let most = asked("max-keys").parse().unwrap_or(1000).min(1000);
    let after = [asked("continuation-token"), asked("start-after"), asked("marker")].into_iter().max().unwrap_or("");
    let (mut entries, mut last, mut folder) = (String::new(), after.to_owned(), String::new());
    let (mut count, mut more) = (0, false);
    for (key, object) in objects.list(prefix, after) {
        let rest = &key[prefix.len()..];
        let common = rest
            .find(delimiter)
            .filter(|_| !delimiter.is_empty())
            .map(|at| &key[..prefix.len() + at + delimiter.len()]);
        match common {
            // Already told, here or, where a page ended with it, on the page before.
            Some(common) if common == folder || after.starts_with(common) => continue,
            _ if count == most => {
                more = true;
                break;
            }
            Some(common) => {
                folder = common.to_owned();
                let _ = write!(entries, "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", text(common));
                // Behind everything below it.
                last = format!("{common}\u{10ffff}");
            }
            None => {
                let _ = write!(
                    entries,
                    "<Contents><Key>{}</Key><LastModified>{STAMP}</LastModified><ETag>&quot;{}&quot;</ETag>\
                     <Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
                    text(key),
                    object.etag,
                    object.size
                );
                last.clone_from(key);
            }
        }
        count += 1;
    }
    let mut inner = format!(
        "<Name>{}</Name><Prefix>{}</Prefix><KeyCount>{count}</KeyCount><MaxKeys>{most}</MaxKeys><IsTruncated>{more}</IsTruncated>",
        escaped(&head.bucket),
        text(prefix)
    );
    if url {
        inner.push_str("<EncodingType>url</EncodingType>");
    }
    if more {
        // A token is opaque and comes back as it went; a marker is a key.
        let _ = write!(
            inner,
            "<NextContinuationToken>{}</NextContinuationToken><NextMarker>{}</NextMarker>",
            escaped(&last),
            text(&last)
        );
    }
    Answer::xml("ListBucketResult", &(inner + &entries))
}

fn parts(upload: &str, objects: &Objects) -> Result<Answer, Refusal> {
    let upload = objects.upload(upload).ok_or((404, "NoSuchUpload"))?;
    let mut inner = format!("<Key>{}</Key><IsTruncated>false</IsTruncated>", escaped(&upload.key));
    for (number, part) in &upload.parts {
        let crc =
            part.crc.as_ref().map(|crc| format!("<ChecksumCRC64NVME>{crc}</ChecksumCRC64NVME>")).unwrap_or_default();
        let _ = write!(
            inner,
            "<Part><PartNumber>{number}</PartNumber><ETag>&quot;{}&quot;</ETag><Size>{}</Size>{crc}</Part>",
            part.etag, part.size
        );
    }
    Ok(Answer::xml("ListPartsResult", &inner))
}

fn uploads(head: &Head, objects: &Objects) -> Answer {
    let prefix = head.query.get("prefix").map_or("", String::as_str);
    let mut inner = "<IsTruncated>false</IsTruncated>".to_owned();
    for (id, upload) in objects.uploads(prefix) {
        let _ = write!(
            inner,
            "<Upload><Key>{}</Key><UploadId>{id}</UploadId><Initiated>{STAMP}</Initiated></Upload>",
            escaped(&upload.key)
        );
    }
    Answer::xml("ListMultipartUploadsResult", &inner)
}
