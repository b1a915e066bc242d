//! The checksums that a request announces, by header or trailer, against the bytes that came.

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::StreamingBlob;
use s3s::{S3Result, TrailingHeaders, s3_error};

/// A body that came whole: the layer in front has limited its length.
pub(super) async fn read(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let mut whole = BytesMut::new();
    if let Some(mut body) = body {
        while let Some(chunk) = body.next().await {
            // s3s fails here where a chunk's signature is wrong, or where fewer bytes came than were announced.
            whole.extend_from_slice(&chunk.map_err(|error| s3_error!(IncompleteBody, "{}", error))?);
        }
    }
    Ok(whole.freeze())
}

/// What a request says that its body's checksums are, each in base64.
#[derive(Debug, Default)]
pub(super) struct Announced {
    pub(super) crc32: Option<String>,
    pub(super) crc32c: Option<String>,
    pub(super) crc64nvme: Option<String>,
    pub(super) sha1: Option<String>,
    pub(super) sha256: Option<String>,
    pub(super) md5: Option<String>,
}

/// A checksum's bytes, big end first.
type Compute = fn(&[u8]) -> Vec<u8>;

impl Announced {
    /// Adds what came behind the body. To be called once the body was read.
    pub(super) fn with_trailers(mut self, trailers: Option<&TrailingHeaders>) -> Self {
        let of = |name: &str| trailers?.read(|headers| Some(headers.get(name)?.to_str().ok()?.to_owned())).flatten();
        for (name, value) in [
            ("x-amz-checksum-crc32", &mut self.crc32),
            ("x-amz-checksum-crc32c", &mut self.crc32c),
            ("x-amz-checksum-crc64nvme", &mut self.crc64nvme),
            ("x-amz-checksum-sha1", &mut self.sha1),
            ("x-amz-checksum-sha256", &mut self.sha256),
        ] {
            if value.is_none() {
                *value = of(name);
            }
        }
        self
    }

    /// BadDigest where any of them is not that of `body`.
    pub(super) fn verify(&self, body: &[u8]) -> S3Result<()> {
        let checks: [(&str, &Option<String>, Compute); 6] = [
            ("CRC32", &self.crc32, |body| Crc32::checksum(body).to_vec()),
            ("CRC32C", &self.crc32c, |body| Crc32c::checksum(body).to_vec()),
            ("CRC64NVME", &self.crc64nvme, |body| Crc64Nvme::checksum(body).to_vec()),
            ("SHA1", &self.sha1, |body| Sha1::checksum(body).to_vec()),
            ("SHA256", &self.sha256, |body| Sha256::checksum(body).to_vec()),
            ("Content-MD5", &self.md5, |body| Md5::checksum(body).to_vec()),
        ];
        for (name, announced, compute) in checks {
            if let Some(announced) = announced {
                let actual = base64(&compute(body));
                if *announced != actual {
                    return Err(s3_error!(BadDigest, "{name} of the body is {actual}, not {announced} as announced"));
                }
            }
        }
        Ok(())
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |n: usize| u32::from(three.get(n).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for n in 0..4 {
            let digit = (bits >> (18 - 6 * n)) & 63;
            out.push(if n > three.len() { '=' } else { char::from(DIGITS[digit as usize]) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_known_texts() {
        for (text, expected) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }

    #[test]
    fn each_announced_checksum_is_verified() {
        let body = b"123456789";
        let right = Announced {
            crc32: Some("y/Q5Jg==".to_owned()),
            crc32c: Some("4waSgw==".to_owned()),
            crc64nvme: Some("rosUhgp5mIg=".to_owned()),
            sha1: Some("98O8HYCOBHMq32eZZczDTKeuNEE=".to_owned()),
            sha256: Some("FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=".to_owned()),
            md5: Some("JfnnlDI7RTiF9RgfG2JNCw==".to_owned()),
        };
        right.verify(body).unwrap();
        assert!(right.verify(b"123456780").is_err());
        let wrong = || Some("AAAAAA==".to_owned());
        for announced in [
            Announced { crc32: wrong(), ..Announced::default() },
            Announced { crc32c: wrong(), ..Announced::default() },
            Announced { crc64nvme: wrong(), ..Announced::default() },
            Announced { sha1: wrong(), ..Announced::default() },
            Announced { sha256: wrong(), ..Announced::default() },
            Announced { md5: wrong(), ..Announced::default() },
        ] {
            assert!(announced.verify(body).is_err(), "{announced:?}");
        }
        Announced::default().verify(body).unwrap();
    }
}
