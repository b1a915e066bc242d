//! As much of HTTP/1.1 as S3 clients speak to a server.

use std::collections::BTreeMap;

/// The longest head of a request, in bytes.
pub(super) const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 96;

/// A request without its body.
#[derive(Debug, Default, Clone)]
pub(super) struct Head {
    pub method: String,
    /// Bucket and key, percent-decoded.
    pub bucket: String,
    pub key: String,
    pub query: BTreeMap<String, String>,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
}

/// Reads a head. Gives its length too; `None` while it is not all there.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, String> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() >= MAX_HEAD => return Err("the head is too long".to_owned()),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let target = request.path.unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.strip_prefix('/').unwrap_or(path);
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let head = Head {
        method: request.method.unwrap_or_default().to_owned(),
        bucket: decoded(bucket),
        key: decoded(key),
        query: query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decoded(name), decoded(&value.replace('+', " "))))
            .collect(),
        headers: request
            .headers
            .iter()
            .map(|header| (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned()))
            .collect(),
    };
    Ok(Some((head, length)))
}

impl Head {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.query.contains_key(name)
    }

    pub(super) fn length(&self) -> Option<u64> {
        self.header("content-length").and_then(|length| length.parse().ok())
    }

    pub(super) fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
    }

    pub(super) fn wants_continue(&self) -> bool {
        self.header("expect").is_some_and(|expect| expect.eq_ignore_ascii_case("100-continue"))
    }

    /// The operation, by the name of S3's reference; `Other` for what the sink does not know.
    pub(super) fn operation(&self) -> &'static str {
        let object = !self.key.is_empty();
        match self.method.as_str() {
            "PUT" if object && self.has("uploadId") => "UploadPart",
            "PUT" if object && self.header("x-amz-copy-source").is_some() => "Other",
            "PUT" if object => "PutObject",
            "PUT" => "CreateBucket",
            "GET" if object && self.has("uploadId") => "ListParts",
            "GET" if object => "GetObject",
            "GET" if self.has("uploads") => "ListMultipartUploads",
            "GET" if self.has("location") => "GetBucketLocation",
            "GET" if self.bucket.is_empty() => "ListBuckets",
            "GET" if self.has("list-type") || self.query.is_empty() || self.has("prefix") => "ListObjects",
            "HEAD" if object => "HeadObject",
            "HEAD" => "HeadBucket",
            "DELETE" if object && self.has("uploadId") => "AbortMultipartUpload",
            "DELETE" if object => "DeleteObject",
            "POST" if object && self.has("uploads") => "CreateMultipartUpload",
            "POST" if object && self.has("uploadId") => "CompleteMultipartUpload",
            "POST" if self.has("delete") => "DeleteObjects",
            _ => "Other",
        }
    }

    /// The range that is asked for, cut to an object's end: `None` for the whole object, an error where it begins behind it.
    pub(super) fn range(&self, size: u64) -> Result<Option<(u64, u64)>, ()> {
        let Some(range) = self.header("range").and_then(|range| range.strip_prefix("bytes=")) else { return Ok(None) };
        let Some((from, to)) = range.split_once('-') else { return Ok(None) };
        let (from, to) = match (from.parse::<u64>(), to.parse::<u64>()) {
            (Ok(from), Ok(to)) => (from, to.saturating_add(1).min(size)),
            (Ok(from), Err(_)) => (from, size),
            (Err(_), Ok(last)) => (size.saturating_sub(last), size),
            (Err(_), Err(_)) => return Ok(None),
        };
        if from >= to { Err(()) } else { Ok(Some((from, to))) }
    }
}

fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        if let (b'%', [high, low, after @ ..]) = (first, tail)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            out.push(high * 16 + low);
            rest = after;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        parse(text.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn a_head_is_read_when_it_is_all_there() {
        let text = "PUT /b/a%20c/d.sst?partNumber=2&uploadId=u%2F1 HTTP/1.1\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n";
        assert!(parse(&text.as_bytes()[..text.len() - 1]).unwrap().is_none());
        let (head, length) = parse(format!("{text}body").as_bytes()).unwrap().unwrap();
        assert_eq!((length, head.bucket.as_str(), head.key.as_str()), (text.len(), "b", "a c/d.sst"));
        assert_eq!((head.query["uploadId"].as_str(), head.length()), ("u/1", Some(12)));
        assert!(head.wants_continue() && !head.is_chunked());
        assert_eq!(head.operation(), "UploadPart");
        assert!(parse(&vec![b'a'; MAX_HEAD]).is_err());
    }

    #[test]
    fn ranges_are_cut_to_the_object() {
        let range = |text: &str| head(&format!("GET /b/k HTTP/1.1\r\nRange: {text}\r\n\r\n")).range(100);
        assert_eq!(range("bytes=0-9"), Ok(Some((0, 10))));
        assert_eq!(range("bytes=90-200"), Ok(Some((90, 100))));
        assert_eq!(range("bytes=90-"), Ok(Some((90, 100))));
        assert_eq!(range("bytes=-10"), Ok(Some((90, 100))));
        assert_eq!(range("bytes=100-"), Err(()));
        assert_eq!(head("GET /b/k HTTP/1.1\r\n\r\n").range(100), Ok(None));
    }

    #[test]
    fn operations_are_told_apart() {
        for (line, expected) in [
            ("PUT /b/k", "PutObject"),
            ("GET /b?list-type=2&prefix=a", "ListObjects"),
            ("GET /b/?uploads=", "ListMultipartUploads"),
            ("POST /b/?delete", "DeleteObjects"),
            ("POST /b/k?uploads", "CreateMultipartUpload"),
            ("POST /b/k?uploadId=1", "CompleteMultipartUpload"),
            ("DELETE /b/k?uploadId=1", "AbortMultipartUpload"),
            ("HEAD /b", "HeadBucket"),
            ("PATCH /b/k", "Other"),
        ] {
            assert_eq!(head(&format!("{line} HTTP/1.1\r\n\r\n")).operation(), expected, "{line}");
        }
    }
}
