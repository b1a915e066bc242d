//! Which store is meant: the URL that users give.
//!
//! A URL ends up in shell histories, process lists and logs. So none may carry a credential: one that does is refused
//! without being repeated, by name of the part that gave it away at most.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use milepost_core::Layout;
use milepost_store::{Error, Operation};
use url::Url;

/// The forms that a store's URL may take, for messages.
pub const KNOWN: &str = "a path, file:///dir, memory:, s3://bucket[/base]?endpoint=…&region=…&path_style=true";
/// The longest URL, in bytes.
pub const MAX_URL_BYTES: usize = 8 * 1024;

/// Where backups are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl {
    /// A folder: a path as it is, or `file:///dir`.
    Directory(PathBuf),
    /// In this process's memory, for trying things out: `memory:` or `memory:name`.
    Memory {
        /// What the store is called in messages.
        name: String,
    },
    /// A bucket of an S3 server: `s3://bucket[/base]?endpoint=…&region=…&path_style=true`.
    S3 {
        /// The bucket.
        bucket: String,
        /// The base path within it; empty for none.
        base: String,
        /// Which server, where it is not AWS.
        endpoint: Option<String>,
        /// Which region.
        region: Option<String>,
        /// Address the bucket by path instead of by host name.
        path_style: Option<bool>,
    },
}

impl FromStr for StoreUrl {
    type Err = Error;

    /// Parses what a user wrote.
    ///
    /// # Errors
    /// InvalidInput: an unknown scheme (the known ones are listed), an unknown or repeated query key, a credential.
    fn from_str(text: &str) -> Result<Self, Error> {
        // The first hint given stays: this one is for mistakes that have no better.
        parse(text).map_err(|error| error.with_hint(format!("write one of: {KNOWN}")).during(Operation::Open))
    }
}

fn parse(text: &str) -> Result<StoreUrl, Error> {
    if text.is_empty() {
        return Err(bad("the store's URL is empty"));
    }
    if text.len() > MAX_URL_BYTES {
        return Err(bad(format!("the store's URL is longer than {MAX_URL_BYTES} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(bad("the store's URL holds a control character"));
    }
    if let Some(what) = credential_in(text) {
        return Err(Error::invalid_input(format!(
            "the store's URL carries a credential ({what}); it is not repeated here"
        ))
        .with_hint("credentials come from the environment, the configuration file or the provider chain"));
    }
    match scheme(text) {
        None => Ok(StoreUrl::Directory(PathBuf::from(text))),
        Some("file") => file(text),
        Some("memory") => memory(text),
        Some("s3") => s3(text),
        Some(other) => {
            Err(bad(format!("unknown scheme `{}` of the store's URL", milepost_core::document::cut(other, 32)))
                .with_hint(format!("known are: {KNOWN}. A folder whose name holds a colon is written ./{other}:…")))
        }
    }
}

fn bad(message: impl Into<String>) -> Error {
    Error::invalid_input(message)
}

/// The scheme of a text that has one: letters, digits, `+`, `.`, `-` before the first colon (RFC 3986, section 3.1).
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let begins = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    let fits = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'-'));
    (begins && fits).then_some(scheme)
}

fn file(text: &str) -> Result<StoreUrl, Error> {
    if !text.starts_with("file://") {
        return Err(bad("a file URL begins with file:///"));
    }
    let url = Url::parse(text).map_err(|error| bad(format!("the store's URL does not parse: {error}")))?;
    if let Some(host) = url.host_str() {
        return Err(bad(format!("a file URL names no host, but this one says `{host}`"))
            .with_hint("write file:///dir, with three slashes"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("a file URL takes no `?` and no `#`; in a folder's name write %3F and %23"));
    }
    url.to_file_path().map(StoreUrl::Directory).map_err(|()| bad("the file URL names no folder"))
}

fn memory(text: &str) -> Result<StoreUrl, Error> {
    let name = text.strip_prefix("memory:").unwrap_or_default();
    let name = name.strip_prefix("//").unwrap_or(name);
    let fits = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if !fits {
        return Err(bad("a memory store's name is at most 64 characters of A-Z a-z 0-9 . _ -"));
    }
    Ok(StoreUrl::Memory { name: if name.is_empty() { "memory".to_owned() } else { name.to_owned() } })
}

fn s3(text: &str) -> Result<StoreUrl, Error> {
    let url = Url::parse(text).map_err(|error| bad(format!("the store's URL does not parse: {error}")))?;
    let bucket = url.host_str().unwrap_or_default().to_owned();
    if bucket.is_empty() || !text.starts_with("s3://") {
        return Err(bad("an S3 URL names a bucket, as in s3://bucket/base"));
    }
    if url.port().is_some() || url.fragment().is_some() {
        return Err(bad("an S3 URL takes no port and no `#`; the server's address is ?endpoint=http://host:port"));
    }
    let base = percent_decoded(&url.path().replace('+', "%2B")).trim_matches('/').to_owned();
    if base.contains(char::REPLACEMENT_CHARACTER) {
        return Err(bad("the base path of the store's URL is not percent-encoded UTF-8"));
    }
    Layout::new(&base).map_err(|error| bad(format!("the base path of the store's URL: {error}")))?;
    let (mut endpoint, mut region, mut path_style) = (None, None, None);
    for (key, value) in url.query_pairs() {
        let slot = match &*key {
            "endpoint" => &mut endpoint,
            "region" => &mut region,
            "path_style" => &mut path_style,
            other => {
                return Err(bad(format!(
                    "unknown key `{}` in the store's URL",
                    // Percent-encoded, it may hold what a terminal would obey.
                    milepost_core::document::cut(&other.escape_debug().to_string(), 32)
                ))
                .with_hint("known are: endpoint, region, path_style"));
            }
        };
        if slot.replace(value.into_owned()).is_some() {
            return Err(bad(format!("`{key}` is given twice in the store's URL")));
        }
    }
    let path_style = match path_style.as_deref() {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => return Err(bad("path_style in the store's URL is true or false")),
    };
    Ok(StoreUrl::S3 { bucket, base, endpoint, region, path_style })
}

/// What in a text looks like a credential: user information of a URL, a query key that names a secret, an access key id.
/// The answer names the kind of the find, never its value.
///
/// ```
/// use milepost::url::credential_in;
/// assert_eq!(credential_in("s3://me:hunter2@bucket"), Some("user information before `@`"));
/// assert_eq!(credential_in("s3://bucket?secret_key=hunter2"), Some("a query key that names a secret"));
/// assert_eq!(credential_in("/backups/me@home"), None);
/// ```
#[must_use]
pub fn credential_in(text: &str) -> Option<&'static str> {
    // An endpoint inside a query is percent-encoded or not: look at both spellings.
    let decoded = percent_decoded(text);
    for text in [text, decoded.as_str()] {
        for (at, _) in text.match_indices("://") {
            let authority = &text[at + 3..];
            let end = authority.find(['/', '?', '#', '&']).unwrap_or(authority.len());
            if authority[..end].contains('@') {
                return Some("user information before `@`");
            }
        }
        if let Some((_, query)) = text.split_once('?')
            && query.split(['&', ';', '?']).any(|pair| pair.split_once('=').is_some_and(|(key, _)| names_a_secret(key)))
        {
            return Some("a query key that names a secret");
        }
        if has_access_key_id(text) {
            return Some("an access key id");
        }
    }
    None
}

/// Does the name of a flag, a key or a property say that its value is a secret? Upper case and dashes do not matter.
#[must_use]
pub fn names_a_secret(name: &str) -> bool {
    const WORDS: [&str; 10] = [
        "secret",
        "secrets",
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "token",
        "credential",
        "credentials",
        "signature",
    ];
    const PARTS: [&str; 7] =
        ["accesskey", "secretkey", "apikey", "privatekey", "secretaccess", "sessiontoken", "authtoken"];
    let lower = name.to_ascii_lowercase();
    let joined: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
    lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| WORDS.contains(&word))
        || PARTS.iter().any(|part| joined.contains(part))
}

/// AWS ids of long-lived and temporary keys: `AKIA` or `ASIA` and 16 upper-case letters or digits (AWS IAM user guide,
/// "Understanding unique ID prefixes").
fn has_access_key_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.windows(20).enumerate().any(|(at, window)| {
        let alone = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
        alone
            && (window.starts_with(b"AKIA") || window.starts_with(b"ASIA"))
            && window.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            && !bytes.get(at + 20).is_some_and(u8::is_ascii_alphanumeric)
    })
}

fn percent_decoded(text: &str) -> String {
    url::form_urlencoded::parse(text.replace('&', "%26").replace('=', "%3D").as_bytes())
        .map(|(key, _)| key.into_owned())
        .collect()
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Memory { name } => write!(f, "memory:{name}"),
            Self::S3 { bucket, base, .. } if base.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, base, .. } => write!(f, "s3://{bucket}/{base}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let error = text.parse::<StoreUrl>().unwrap_err();
        assert_eq!(error.kind().exit_code(), 2, "{error:?}");
        format!("{error} / {}", error.hint().unwrap_or_default())
    }

    #[test]
    fn paths_and_file_urls_name_folders() {
        for (text, path) in [
            ("backups", "backups"),
            ("./a:b", "./a:b"),
            ("/var/backups", "/var/backups"),
            ("me@home/backups", "me@home/backups"),
            ("file:///var/backups", "/var/backups"),
            ("file:///var/my%20backups", "/var/my backups"),
            ("file://localhost/var", "/var"),
        ] {
            assert_eq!(text.parse::<StoreUrl>().unwrap(), StoreUrl::Directory(path.into()), "{text}");
        }
        for text in ["file:relative", "file://host/dir", "file:///a?base=x", "file:///a#b"] {
            refused(text);
        }
    }

    #[test]
    fn memory_may_have_a_name() {
        assert_eq!("memory:".parse::<StoreUrl>().unwrap(), StoreUrl::Memory { name: "memory".into() });
        assert_eq!("memory:t1".parse::<StoreUrl>().unwrap(), StoreUrl::Memory { name: "t1".into() });
        refused("memory:a/b");
    }

    #[test]
    fn s3_urls_carry_bucket_base_and_settings() {
        let url = "s3://bucket/prod/eu?endpoint=http://localhost:9000&region=eu-1&path_style=true";
        assert_eq!(
            url.parse::<StoreUrl>().unwrap(),
            StoreUrl::S3 {
                bucket: "bucket".into(),
                base: "prod/eu".into(),
                endpoint: Some("http://localhost:9000".into()),
                region: Some("eu-1".into()),
                path_style: Some(true),
            }
        );
        let StoreUrl::S3 { base, .. } = "s3://bucket/a%20b+c%26d/".parse().unwrap() else { panic!("another store") };
        assert_eq!(base, "a b+c&d");
        assert!(refused("s3://bucket/%ff").contains("UTF-8"));
        assert!(refused("s3://bucket?pathstyle=true").contains("`pathstyle`"));
        assert!(refused("s3://bucket?%1b[31m=1").contains("`\\u{1b}[31m`"), "shown as a terminal must not obey it");
        assert!(refused("s3://bucket?region=a&region=b").contains("twice"));
        assert!(refused("s3://bucket?path_style=yes").contains("true or false"));
        assert!(refused("s3:///base").contains("bucket"));
        assert!(refused("s3://bucket/a//b").contains("base path"));
    }

    #[test]
    fn an_unknown_scheme_lists_the_known_ones() {
        let message = refused("gs://bucket");
        assert!(message.contains("`gs`") && message.contains("s3://") && message.contains("memory:"), "{message}");
        assert!(refused("C:\\dir").contains("./C:"), "a colon without a scheme needs a way out");
        assert!(refused("").contains("empty"));
        assert!(refused("a\u{7}b").contains("control"));
        assert!(refused(&"x".repeat(MAX_URL_BYTES + 1)).contains("longer"));
    }

    #[test]
    fn a_credential_is_refused_and_not_repeated() {
        for text in [
            "s3://me:hunter2@bucket/base",
            "s3://hunter2@bucket",
            "s3://bucket?secret_key=hunter2",
            "s3://bucket?SECRET-ACCESS-KEY=hunter2",
            "s3://bucket?region=eu&token=hunter2",
            "s3://bucket?endpoint=http://me:hunter2@host",
            "s3://bucket?endpoint=http%3A%2F%2Fme%3Ahunter2%40host",
            "s3://bucket?X-Amz-Signature=hunter2",
            "gs://me:hunter2@bucket",
            "file:///dir?password=hunter2",
        ] {
            let error = text.parse::<StoreUrl>().unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains("credential"), "{text}: {shown}");
        }
        assert_eq!(credential_in("x AKIAIOSFODNN7EXAMPLE"), Some("an access key id"));
        assert_eq!(credential_in("XAKIAIOSFODNN7EXAMPLE"), None);
        for name in ["tokenizer", "region", "endpoint", "broker-version", "monkey"] {
            assert!(!names_a_secret(name), "{name}");
        }
    }
}
