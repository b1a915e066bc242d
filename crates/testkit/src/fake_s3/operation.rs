//! Which S3 operation a request is, read from its method, path and query before anything else looks at it.

use hyper::{Method, Uri};

/// An operation of the S3 API, by the name that its reference gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the operation of that name")]
pub enum Operation {
    PutObject,
    GetObject,
    HeadObject,
    DeleteObject,
    DeleteObjects,
    ListObjectsV2,
    CreateMultipartUpload,
    UploadPart,
    ListParts,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListMultipartUploads,
    HeadBucket,
    GetBucketLocation,
    /// Anything else, which the fake answers with NotImplemented.
    Other,
}

impl Operation {
    /// Does it change what the bucket holds?
    #[must_use]
    pub const fn is_write(self) -> bool {
        matches!(
            self,
            Self::PutObject
                | Self::DeleteObject
                | Self::DeleteObjects
                | Self::CreateMultipartUpload
                | Self::UploadPart
                | Self::CompleteMultipartUpload
                | Self::AbortMultipartUpload
        )
    }
}

/// What a request asks for: the operation, and the key; of an operation on the bucket the `prefix` that it carries.
pub(super) fn of(method: &Method, uri: &Uri) -> (Operation, String) {
    let path = uri.path().strip_prefix('/').unwrap_or_default();
    let key = decoded(path.split_once('/').map_or("", |(_, key)| key));
    let query: Vec<(&str, &str)> =
        uri.query().unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    let has = |name: &str| query.iter().any(|(found, _)| *found == name);
    let on_object = !key.is_empty();
    let operation = match method.as_str() {
        "PUT" if on_object && has("uploadId") => Operation::UploadPart,
        "PUT" if on_object => Operation::PutObject,
        "GET" if on_object && has("uploadId") => Operation::ListParts,
        "GET" if on_object => Operation::GetObject,
        "HEAD" if on_object => Operation::HeadObject,
        "DELETE" if on_object && has("uploadId") => Operation::AbortMultipartUpload,
        "DELETE" if on_object => Operation::DeleteObject,
        "POST" if on_object && has("uploads") => Operation::CreateMultipartUpload,
        "POST" if on_object && has("uploadId") => Operation::CompleteMultipartUpload,
        "POST" if has("delete") => Operation::DeleteObjects,
        "GET" if has("list-type") => Operation::ListObjectsV2,
        "GET" if has("uploads") => Operation::ListMultipartUploads,
        "GET" if has("location") => Operation::GetBucketLocation,
        "HEAD" => Operation::HeadBucket,
        _ => Operation::Other,
    };
    if on_object {
        return (operation, key);
    }
    let prefix = query.iter().find(|(name, _)| *name == "prefix").map_or("", |(_, value)| value);
    (operation, decoded(prefix))
}

/// Percent-decoded; what is not UTF-8 then, or was never encoded rightly, stays recognisable and harms nothing: the text
/// serves the fault script and the log only.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |byte: &u8| char::from(*byte).to_digit(16);
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                let value = hex(high).unwrap_or(0) * 16 + hex(low).unwrap_or(0);
                out.push(u8::try_from(value).unwrap_or(b'?'));
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let cases = [
            ("PUT", "/b/a/b%20c?x-id=PutObject", Operation::PutObject, "a/b c"),
            ("PUT", "/b/a?partNumber=1&uploadId=7", Operation::UploadPart, "a"),
            ("GET", "/b/a%C3%A9?x-id=GetObject", Operation::GetObject, "aé"),
            ("GET", "/b/a?max-parts=3&uploadId=7", Operation::ListParts, "a"),
            ("HEAD", "/b/a", Operation::HeadObject, "a"),
            ("DELETE", "/b/a", Operation::DeleteObject, "a"),
            ("DELETE", "/b/a?uploadId=7", Operation::AbortMultipartUpload, "a"),
            ("POST", "/b/a?uploads", Operation::CreateMultipartUpload, "a"),
            ("POST", "/b/a?uploads=", Operation::CreateMultipartUpload, "a"),
            ("POST", "/b/a?uploadId=7", Operation::CompleteMultipartUpload, "a"),
            ("POST", "/b/?delete", Operation::DeleteObjects, ""),
            ("POST", "/b?delete=", Operation::DeleteObjects, ""),
            ("GET", "/b?list-type=2&prefix=1%2F10%2F", Operation::ListObjectsV2, "1/10/"),
            ("GET", "/b/?uploads&prefix=a", Operation::ListMultipartUploads, "a"),
            ("GET", "/b?location", Operation::GetBucketLocation, ""),
            ("HEAD", "/b", Operation::HeadBucket, ""),
            ("GET", "/", Operation::Other, ""),
            ("PATCH", "/b/a%2", Operation::Other, "a%2"),
        ];
        for (method, uri, operation, key) in cases {
            let found = of(&method.parse().unwrap(), &uri.parse().unwrap());
            assert_eq!(found, (operation, key.to_owned()), "{method} {uri}");
        }
    }
}
