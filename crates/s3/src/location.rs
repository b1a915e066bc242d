//! `s3://bucket[/base]?endpoint=…&region=…&path_style=true`: where a store is, as a URL says it.

use std::fmt;

use milepost_core::Layout;
use milepost_store::{Error, Result};
use url::Url;

use crate::percent;
use crate::settings::{check_bucket, check_endpoint, check_region};

/// The longest URL that is looked at, in bytes.
const MAX_URL: usize = 4096;

/// Where a store is: what an `s3://` URL says. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Location {
    /// The bucket.
    pub bucket: String,
    /// The path below which everything is, without slashes at its ends; empty for the bucket's root.
    pub base_path: String,
    /// The server; `None`: that of AWS, or of the settings.
    pub endpoint: Option<String>,
    /// The region; `None`: discovered, or of the settings.
    pub region: Option<String>,
    /// Bucket in the path? `None`: by the endpoint, or the settings.
    pub path_style: Option<bool>,
}

impl S3Location {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// InvalidInput: not such a URL, an unknown or repeated parameter, an unusable bucket, base path, endpoint or region. One
    /// that carries credentials, as a user, a password or a parameter, is refused without repeating any of it.
    pub fn parse(url: &str) -> Result<Self> {
        if url.len() > MAX_URL {
            return Err(Error::invalid_input(format!("a store's URL is at most {MAX_URL} bytes long")));
        }
        let parsed = Url::parse(url).map_err(|error| Error::invalid_input(format!("this is no URL: {error}")))?;
        if parsed.scheme() != "s3" {
            return Err(Error::invalid_input("an S3 store's URL begins with s3://"));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(carries_credentials());
        }
        if parsed.port().is_some() {
            return Err(Error::invalid_input(
                "s3://HOST:PORT names no bucket: write s3://BUCKET?endpoint=http://HOST:PORT",
            ));
        }
        if parsed.fragment().is_some() {
            return Err(Error::invalid_input("a store's URL has no #fragment; write # as %23"));
        }
        let bucket = parsed.host_str().unwrap_or_default().to_owned();
        check_bucket(&bucket)?;
        let base_path = percent::decode(parsed.path(), false)
            .ok_or_else(|| Error::invalid_input("the base path is not percent-encoded UTF-8"))?;
        let base_path = base_path.trim_matches('/').to_owned();
        Layout::new(&base_path).map_err(|error| Error::invalid_input(format!("the base path: {error}")))?;
        let mut location = Self { bucket, base_path, endpoint: None, region: None, path_style: None };
        for (name, value) in parsed.query_pairs() {
            location.take(&name, value.into_owned())?;
        }
        Ok(location)
    }

    fn take(&mut self, name: &str, value: String) -> Result<()> {
        let repeated = match name {
            "endpoint" => {
                check_endpoint(&value)?;
                self.endpoint.replace(value).is_some()
            }
            "region" => {
                check_region(&value)?;
                self.region.replace(value).is_some()
            }
            "path_style" => {
                let value = value.parse().map_err(|_| Error::invalid_input("path_style is true or false"))?;
                self.path_style.replace(value).is_some()
            }
            other if is_credential(other) => return Err(carries_credentials()),
            // Not repeated: a URL whose `&` got lost carries anything in a name.
            _ => return Err(Error::invalid_input("the URL has an unknown parameter").with_hint(PARAMETERS)),
        };
        if repeated {
            return Err(Error::invalid_input(format!("the URL has two parameters {name}")));
        }
        Ok(())
    }
}

impl fmt::Display for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if !self.base_path.is_empty() {
            write!(f, "/{}", self.base_path)?;
        }
        match &self.endpoint {
            Some(endpoint) => write!(f, " at {endpoint}"),
            None => Ok(()),
        }
    }
}

const PARAMETERS: &str = "endpoint, region and path_style go into the URL, everything else into the configuration";

fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["key", "secret", "token", "password", "credential", "auth", "signature"].iter().any(|word| name.contains(word))
}

fn carries_credentials() -> Error {
    Error::invalid_input("the URL carries credentials, which end up in logs and process listings")
        .with_hint("use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or the configuration file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_url_apart() {
        let location = S3Location::parse("s3://backups").unwrap();
        assert_eq!((location.bucket.as_str(), location.base_path.as_str()), ("backups", ""));
        assert_eq!(location.endpoint, None);
        let url = "s3://backups/prod/eu%20one/?endpoint=http://localhost:9000&region=eu-central-1&path_style=true";
        let location = S3Location::parse(url).unwrap();
        assert_eq!(location.base_path, "prod/eu one");
        assert_eq!(location.endpoint.as_deref(), Some("http://localhost:9000"));
        assert_eq!(location.region.as_deref(), Some("eu-central-1"));
        assert_eq!(location.path_style, Some(true));
        assert_eq!(location.to_string(), "s3://backups/prod/eu one at http://localhost:9000");
    }

    #[test]
    fn refuses_what_carries_credentials_without_repeating_it() {
        for url in [
            "s3://AKIAEXAMPLE:hunter2secret@backups",
            "s3://hunter2secret@backups/base",
            "s3://backups?access_key_id=a&secret_access_key=hunter2secret",
            "s3://backups?AWS_SECRET=hunter2secret",
            "s3://backups?session_token=hunter2secret",
            "s3://backups?hunter2secret=1",
            "s3://backups?endpoint=http://user:hunter2secret@localhost:9000",
            "s3://backups?endpoint=http://localhost/?password=hunter2secret",
        ] {
            let error = S3Location::parse(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
            assert_eq!(error.kind().exit_code(), 2);
        }
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for (url, says) in [
            ("http://backups", "begins with s3://"),
            ("backups", "no URL"),
            ("s3://", "bucket is missing"),
            ("s3:///base", "bucket is missing"),
            ("s3://ab", "3 to 63"),
            ("s3://Backups", "lower-case"),
            ("s3://backups:9000/base", "endpoint=http://HOST:PORT"),
            ("s3://backups--x-s3", "directory bucket"),
            ("s3://backups/a//b", "base path"),
            ("s3://backups/%ff", "percent-encoded"),
            ("s3://backups?endpoint=localhost:9000", "http:// or https://"),
            ("s3://backups?endpoint=nothing", "endpoint is no URL"),
            ("s3://backups?region=eu%20west", "region must be"),
            ("s3://backups?path_style=yes", "true or false"),
            ("s3://backups?region=a&region=b", "two parameters region"),
            ("s3://backups?storage_class=X", "unknown parameter"),
            ("s3://backups#part", "fragment"),
        ] {
            let error = S3Location::parse(url).unwrap_err().to_string();
            assert!(error.contains(says), "{url}: {error}");
        }
        assert!(S3Location::parse(&format!("s3://backups/{}", "a".repeat(5000))).is_err());
    }
}
