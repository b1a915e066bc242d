//! Encryption at rest: what goes with a request so that the server encrypts, or can decrypt.

use std::fmt;

use aws_sdk_s3::types::ServerSideEncryption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use milepost_store::{Error, Result};
use secrecy::{ExposeSecret as _, SecretString};

use crate::client::read_small;
use crate::settings::{S3Settings, Sse};

/// What is sent along, ready to be put into requests. `Debug` shows no key.
#[derive(Clone, Default)]
pub(crate) struct Encryption {
    /// For requests that make an object: the server's own encryption.
    pub server: Option<ServerSideEncryption>,
    pub kms_key_id: Option<String>,
    pub bucket_key: Option<bool>,
    /// For every request about an object's content: the key that nobody keeps.
    customer: Option<(SecretString, String)>,
}

impl Encryption {
    /// Reads the customer's key, where there is one.
    pub(crate) async fn new(settings: &S3Settings) -> Result<Self> {
        let server = match settings.sse {
            Sse::S3 => Some(ServerSideEncryption::Aes256),
            Sse::Kms => Some(ServerSideEncryption::AwsKms),
            Sse::None | Sse::Customer => None,
        };
        let customer = match &settings.sse_customer_key_file {
            Some(path) => Some(customer_key(read_small("sse_customer_key_file", path.clone()).await?)?),
            None => None,
        };
        let (kms_key_id, bucket_key) = (settings.sse_kms_key_id.clone(), settings.sse_bucket_key);
        Ok(Self { server, kms_key_id, bucket_key, customer })
    }

    /// Does every request carry a key?
    pub(crate) const fn has_customer_key(&self) -> bool {
        self.customer.is_some()
    }

    /// Algorithm, key and the key's MD5, as SSE-C wants them.
    pub(crate) fn customer(&self) -> (Option<String>, Option<String>, Option<String>) {
        match &self.customer {
            Some((key, md5)) => (Some("AES256".to_owned()), Some(key.expose_secret().to_owned()), Some(md5.clone())),
            None => (None, None, None),
        }
    }
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryption")
            .field("server", &self.server)
            .field("customer", &self.customer.is_some())
            .finish_non_exhaustive()
    }
}

fn customer_key(bytes: Vec<u8>) -> Result<(SecretString, String)> {
    let key = match bytes.len() {
        32 => bytes,
        _ => {
            let text = String::from_utf8(bytes).unwrap_or_default();
            STANDARD.decode(text.trim()).ok().filter(|key| key.len() == 32).ok_or_else(|| {
                Error::invalid_input(
                    "sse_customer_key_file must hold 32 bytes, raw or in base64; they are not shown here",
                )
            })?
        }
    };
    Ok((STANDARD.encode(&key).into(), STANDARD.encode(Md5::digest(&key))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_customer_key_is_read_raw_or_in_base64_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let settings =
            S3Settings { sse: Sse::Customer, sse_customer_key_file: Some(path.clone()), ..S3Settings::default() };
        let key = [7u8; 32];
        let text = STANDARD.encode(key);
        for content in [key.to_vec(), text.clone().into_bytes(), format!("{text}\n").into_bytes()] {
            std::fs::write(&path, content).unwrap();
            let encryption = Encryption::new(&settings).await.unwrap();
            let (algorithm, sent, md5) = encryption.customer();
            assert_eq!((algorithm.as_deref(), sent.as_deref()), (Some("AES256"), Some(text.as_str())));
            assert_eq!(md5.unwrap(), STANDARD.encode(Md5::digest(key)));
            assert!(!format!("{encryption:?}").contains(&text));
        }
        for content in ["", "short", "not base64 but longer than thirty-two bytes"] {
            std::fs::write(&path, content).unwrap();
            let error = Encryption::new(&settings).await.unwrap_err();
            assert!(error.to_string().contains("32 bytes") && !error.to_string().contains("short"), "{error}");
        }
    }
}
