//! What an operator may tune about S3, each setting with its default, its unit and its limits.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use milepost_core::Layout;
use milepost_store::{Error, Result};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::location::S3Location;

/// The checksum that goes with every body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WireChecksum {
    /// CRC64NVME: verified and kept by the server, for the whole object. AWS, MinIO since 2025, recent Ceph.
    #[default]
    Crc64nvme,
    /// CRC32C: verified by the server; the kept one is not used, so `verify` has to read. For servers that know no CRC64NVME.
    Crc32c,
    /// None: nothing but TLS and the ETag guards the way. For servers that refuse checksum headers.
    Off,
}

/// Encryption at rest, by the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sse {
    /// Whatever the bucket does by default.
    #[default]
    None,
    /// Keys of the server (SSE-S3).
    S3,
    /// Keys of a key management service (SSE-KMS), see `sse_kms_key_id` and `sse_bucket_key`.
    Kms,
    /// A key that is sent with every request and kept by nobody (SSE-C), see `sse_customer_key_file`. Needs https.
    Customer,
}

/// The settings of an S3 store. [`S3Settings::check`] refuses values outside the limits; unknown keys are refused when read.
///
/// Secrets are in redacted types: neither `Debug` nor an error shows them.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct S3Settings {
    /// The bucket. Required; Milepost never creates it. 3 to 63 lower-case letters, digits, `.` and `-`.
    pub bucket: String,
    /// Everything is below this path of the bucket. At most 200 bytes. Default: empty, the bucket's root.
    pub base_path: String,
    /// The server, as in `http://localhost:9000`. Default: that of AWS for the region.
    pub endpoint: Option<String>,
    /// The region, as in `eu-central-1`. Default: the SDK's own discovery (`AWS_REGION`, the profile, the instance); with an
    /// `endpoint` the instance is not asked and the last resort is `us-east-1`.
    pub region: Option<String>,
    /// Bucket in the path (`true`) or in the host name (`false`)? Default: `true` with an `endpoint`, else `false`.
    pub path_style: Option<bool>,
    /// Static credentials: the key id. Only with `secret_access_key`. Default: the SDK's chain (environment, profile, web
    /// identity, container, instance).
    #[serde(deserialize_with = "secret")]
    pub access_key_id: Option<SecretString>,
    /// Static credentials: the secret. Only with `access_key_id`.
    #[serde(deserialize_with = "secret")]
    pub secret_access_key: Option<SecretString>,
    /// Static credentials that end: their token. Only with the pair above.
    #[serde(deserialize_with = "secret")]
    pub session_token: Option<SecretString>,
    /// The profile of the shared configuration files to take region and credentials from. Not with static credentials.
    /// Default: `AWS_PROFILE`, else `default`.
    pub profile: Option<String>,
    /// A PEM file of the certificates to trust, instead of the system's. At most 1 MiB. Default: the system's.
    pub ca_bundle: Option<PathBuf>,
    /// How long a connection may take to be made, TLS included. 100 ms to 1 min. Default: 5 s.
    #[serde(deserialize_with = "duration")]
    pub connect_timeout: Duration,
    /// How long one request may take, its body included, and how long a reply's body may pause. Completing a multipart upload
    /// may take five times as long. 100 ms to 1 h, at least `connect_timeout`. Default: 1 min.
    #[serde(deserialize_with = "duration")]
    pub attempt_timeout: Duration,
    /// The same with getting credentials before it. At least `attempt_timeout`, at most 2 h. Default: 90 s.
    #[serde(deserialize_with = "duration")]
    pub operation_timeout: Duration,
    /// The checksum that goes with every body: `crc64nvme`, `crc32c`, `off`. Default: `crc64nvme`.
    pub wire_checksum: WireChecksum,
    /// Send Content-MD5 too, which old servers ask for, in batched deletes above all? Costs another pass over every body. Default:
    /// `false`.
    pub content_md5: bool,
    /// Hash every body with SHA-256 for the signature, too? The checksum guards it already. Default: `false`.
    pub payload_signing: bool,
    /// Encryption at rest: `none`, `s3`, `kms`, `customer`. Default: `none`, whatever the bucket does by default.
    pub sse: Sse,
    /// With `sse = "kms"`: the key's id or ARN. Default: the account's own S3 key.
    pub sse_kms_key_id: Option<String>,
    /// With `sse = "kms"`: use a bucket key, which spares calls to the key service? Default: the bucket's own setting.
    pub sse_bucket_key: Option<bool>,
    /// With `sse = "customer"`: a file of the 32 key bytes, raw or in base64. Who loses it loses the backups.
    pub sse_customer_key_file: Option<PathBuf>,
    /// The storage class of contents, as in `STANDARD_IA`; documents stay in the bucket's default, because a status is
    /// rewritten every few seconds. Not `GLACIER` or `DEEP_ARCHIVE`, which cannot be read at once. Default: the bucket's.
    pub storage_class: Option<String>,
    /// The account that must own the bucket, 12 digits: a bucket of that name in foreign hands is refused. Default: not
    /// checked.
    pub expected_bucket_owner: Option<String>,
    /// The application's name in the user agent. 1 to 50 letters, digits and `!#$%&'*+-.^_|~` with a back quote. Default:
    /// `milepost`.
    pub user_agent: String,
}

impl Default for S3Settings {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            base_path: String::new(),
            endpoint: None,
            region: None,
            path_style: None,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            profile: None,
            ca_bundle: None,
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(60),
            operation_timeout: Duration::from_secs(90),
            wire_checksum: WireChecksum::default(),
            content_md5: false,
            payload_signing: false,
            sse: Sse::default(),
            sse_kms_key_id: None,
            sse_bucket_key: None,
            sse_customer_key_file: None,
            storage_class: None,
            expected_bucket_owner: None,
            user_agent: "milepost".to_owned(),
        }
    }
}

impl S3Settings {
    /// The defaults for a store at `location`.
    #[must_use]
    pub fn at(location: S3Location) -> Self {
        Self::default().located(location)
    }

    /// These settings with what a URL says: its bucket and base path always, its parameters where it has them.
    #[must_use]
    pub fn located(mut self, location: S3Location) -> Self {
        self.bucket = location.bucket;
        self.base_path = location.base_path;
        self.endpoint = location.endpoint.or(self.endpoint);
        self.region = location.region.or(self.region);
        self.path_style = location.path_style.or(self.path_style);
        self
    }

    /// Is the bucket's name part of the path?
    #[must_use]
    pub fn uses_path_style(&self) -> bool {
        self.path_style.unwrap_or(self.endpoint.is_some())
    }

    /// Where keys are, below the base path.
    ///
    /// # Errors
    /// InvalidInput for a base path with unsafe components.
    pub fn layout(&self) -> Result<Layout> {
        Layout::new(&self.base_path).map_err(|error| Error::invalid_input(format!("base_path: {error}")))
    }

    /// Checks every limit, and what only goes together. Reads no file.
    ///
    /// # Errors
    /// InvalidInput names the setting and its limits; never a secret.
    pub fn check(&self) -> Result<()> {
        self.layout()?;
        check_bucket(&self.bucket)?;
        if let Some(endpoint) = &self.endpoint {
            check_endpoint(endpoint)?;
        }
        if let Some(region) = &self.region {
            check_region(region)?;
        }
        self.check_credentials()?;
        self.check_timeouts()?;
        self.check_encryption()?;
        if let Some(class) = &self.storage_class {
            let word = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
            ensure((1..=64).contains(&class.len()) && class.bytes().all(word), || {
                "storage_class must be a word such as STANDARD_IA".to_owned()
            })?;
            ensure(!matches!(class.as_str(), "GLACIER" | "DEEP_ARCHIVE"), || {
                format!("storage_class {class} cannot be read at once; GLACIER_IR can")
            })?;
        }
        if let Some(owner) = &self.expected_bucket_owner {
            ensure(owner.len() == 12 && owner.bytes().all(|byte| byte.is_ascii_digit()), || {
                "expected_bucket_owner must be an account's 12 digits".to_owned()
            })?;
        }
        ensure(is_app_name(&self.user_agent), || {
            "user_agent must be 1 to 50 letters, digits and !#$%&'*+-.^_`|~".to_owned()
        })
    }

    fn check_credentials(&self) -> Result<()> {
        let pair = self.access_key_id.is_some();
        ensure(pair == self.secret_access_key.is_some(), || {
            let missing = if pair { "secret_access_key" } else { "access_key_id" };
            format!("access_key_id and secret_access_key only go together: {missing} is missing")
        })?;
        ensure(pair || self.session_token.is_none(), || {
            "session_token only goes with access_key_id and secret_access_key".to_owned()
        })?;
        ensure(!pair || self.profile.is_none(), || "profile and access_key_id exclude one another".to_owned())
    }

    fn check_timeouts(&self) -> Result<()> {
        let (low, hour) = (Duration::from_millis(100), Duration::from_secs(3600));
        for (name, value, least, most) in [
            ("connect_timeout", self.connect_timeout, low, Duration::from_secs(60)),
            ("attempt_timeout", self.attempt_timeout, self.connect_timeout, hour),
            ("operation_timeout", self.operation_timeout, self.attempt_timeout, hour * 2),
        ] {
            ensure((least..=most).contains(&value), || {
                format!("{name} must be from {least:?} to {most:?}, not {value:?}")
            })?;
        }
        Ok(())
    }

    fn check_encryption(&self) -> Result<()> {
        ensure(self.sse == Sse::Kms || (self.sse_kms_key_id.is_none() && self.sse_bucket_key.is_none()), || {
            "sse_kms_key_id and sse_bucket_key only go with sse = \"kms\"".to_owned()
        })?;
        ensure((self.sse == Sse::Customer) == self.sse_customer_key_file.is_some(), || {
            "sse_customer_key_file and sse = \"customer\" only go together".to_owned()
        })?;
        let plain = self.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        ensure(self.sse != Sse::Customer || !plain, || {
            "sse = \"customer\" sends the key with every request: the endpoint must be https".to_owned()
        })
    }
}

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::invalid_input(message())) }
}

pub(crate) fn check_bucket(bucket: &str) -> Result<()> {
    ensure(!bucket.is_empty(), || "bucket is missing: name the bucket, which must exist".to_owned())?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let good = (3..=63).contains(&bucket.len())
        && bucket.bytes().all(fits)
        && ends(bucket.bytes().next())
        && ends(bucket.bytes().next_back());
    ensure(good, || "bucket must be 3 to 63 lower-case letters, digits, dots and hyphens".to_owned())?;
    ensure(!bucket.ends_with("--x-s3"), || {
        "bucket is a directory bucket (S3 Express), which lists keys in no order: use a general purpose bucket"
            .to_owned()
    })
}

pub(crate) fn check_endpoint(endpoint: &str) -> Result<()> {
    // The text is not repeated: somebody may have put credentials into it.
    let url = Url::parse(endpoint).map_err(|error| Error::invalid_input(format!("endpoint is no URL: {error}")))?;
    ensure(matches!(url.scheme(), "http" | "https"), || "endpoint must begin with http:// or https://".to_owned())?;
    ensure(url.username().is_empty() && url.password().is_none(), || {
        "endpoint must not carry credentials: use access_key_id and secret_access_key".to_owned()
    })?;
    ensure(url.query().is_none() && url.fragment().is_none(), || "endpoint must not have a query".to_owned())
}

pub(crate) fn check_region(region: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    ensure((1..=64).contains(&region.len()) && region.bytes().all(fits), || {
        "region must be 1 to 64 letters, digits and hyphens, as in eu-central-1".to_owned()
    })
}

fn is_app_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=50).contains(&name.len()) && name.bytes().all(fits)
}

fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    struct Text;
    impl serde::de::Visitor<'_> for Text {
        type Value = Duration;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration with its unit, as in \"10s\" or \"5m\"")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Duration, E> {
            let parsed = text.parse::<jiff::SignedDuration>().ok();
            let positive = parsed.and_then(|duration| Duration::try_from(duration).ok());
            positive.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
        }
    }
    deserializer.deserialize_str(Text)
}

/// A secret text. Anything else is refused without repeating it, as serde's own errors would.
fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Text(SecretString),
        Nothing(()),
        Other(serde::de::IgnoredAny),
    }
    match Given::deserialize(deserializer)? {
        Given::Text(secret) => Ok(Some(secret)),
        Given::Nothing(()) => Ok(None),
        Given::Other(_) => Err(serde::de::Error::custom("a credential must be a text; it is not shown here")),
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
