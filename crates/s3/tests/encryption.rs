//! Encryption at rest and on the way, on a real server: SSE-S3, SSE-KMS, SSE-C over TLS, an own authority, a self-signed
//! certificate.

#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy.toml covers the tests alone")]

mod real;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::types::ServerSideEncryption;
use futures::StreamExt as _;
use milepost_s3::{S3Settings, Sse};
use milepost_store::bucket::Bucket as _;
use milepost_store::core::ObjectKey;
use milepost_store::{ErrorKind, InitOptions, OpContext, StoreAdmin as _};
use real::{connect, goes_round, settings, vars};

/// A client that is not ours: it says what the server made of each object.
fn stranger(settings: &S3Settings) -> Client {
    let (id, secret) = (real::var("ACCESS_KEY").unwrap(), real::var("SECRET_KEY").unwrap());
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(settings.endpoint.as_deref().unwrap())
        .force_path_style(true)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new(id, secret, None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_own_keys_encrypt_every_object_of_a_backup() {
    let test = "the_servers_own_keys_encrypt_every_object_of_a_backup";
    let Some([endpoint, bucket, kms]) = vars(test, ["ENDPOINT", "BUCKET", "KMS_KEY"]) else { return };
    for (name, sse, key) in [("s3", Sse::S3, None), ("kms", Sse::Kms, Some(kms.clone()))] {
        let mut settings = settings(&endpoint, &bucket, &format!("sse-{name}"));
        (settings.sse, settings.sse_kms_key_id) = (sse, key.clone());
        let client = stranger(&settings);
        goes_round(&settings, async |_, name| {
            let head = client.head_object().bucket(&bucket).key(name).send().await.unwrap();
            let wanted = if sse == Sse::S3 { ServerSideEncryption::Aes256 } else { ServerSideEncryption::AwsKms };
            assert_eq!(head.server_side_encryption(), Some(&wanted), "{name}");
            if let Some(key) = &key {
                assert!(head.ssekms_key_id().unwrap().ends_with(key.as_str()), "{name}: {head:?}");
            }
        })
        .await;
    }
    // A key that the server does not have.
    let mut settings = settings(&endpoint, &bucket, "sse-absent");
    (settings.sse, settings.sse_kms_key_id) = (Sse::Kms, Some("nobodys-key".to_owned()));
    let store = connect(&settings).await.unwrap();
    let error = store.init(InitOptions::default(), &OpContext::new()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Denied), "{error:?}");
    assert!(error.hint().unwrap_or_default().contains("sse_kms_key_id"), "{error:?}");
}

/// A file of the key that is sent with every request.
fn customer_key(dir: &tempfile::TempDir, fill: u8) -> std::path::PathBuf {
    let path = dir.path().join(format!("key-{fill}"));
    std::fs::write(&path, [fill; 32]).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customers_key_encrypts_a_backup_over_tls_and_no_other_key_reads_it() {
    let test = "a_customers_key_encrypts_a_backup_over_tls_and_no_other_key_reads_it";
    let Some([endpoint, bucket, ca]) = vars(test, ["TLS_ENDPOINT", "TLS_BUCKET", "CA_BUNDLE"]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(&endpoint, &bucket, "sse-c");
    settings.ca_bundle = Some(ca.into());
    let plain = settings.clone();
    (settings.sse, settings.sse_customer_key_file) = (Sse::Customer, Some(customer_key(&dir, 1)));
    let mut other = settings.clone();
    other.sse_customer_key_file = Some(customer_key(&dir, 2));
    let (plain, other) = (connect(&plain).await.unwrap(), connect(&other).await.unwrap());
    goes_round(&settings, async |store, name| {
        let key = ObjectKey::new(name).unwrap();
        store.bucket().head(&key).await.unwrap();
        for (who, stranger) in [("without a key", &plain), ("with another key", &other)] {
            stranger.bucket().head(&key).await.expect_err(who);
            // A server may answer before it decrypts: then the body breaks off, or is empty as the object is.
            if let Ok(reply) = stranger.bucket().get(&key, None).await {
                let size = reply.meta.size;
                let body = reply.body.collect::<Vec<_>>().await;
                assert!(size == 0 || body.iter().any(Result::is_err), "{who}: {name} of {size} bytes: {body:?}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_nobody_vouches_for_is_a_clear_error_and_works_with_its_bundle() {
    let test = "a_certificate_that_nobody_vouches_for_is_a_clear_error_and_works_with_its_bundle";
    let names = ["TLS_ENDPOINT", "TLS_BUCKET", "CA_BUNDLE", "SELF_SIGNED"];
    let Some([endpoint, bucket, ca, own]) = vars(test, names) else { return };
    // Under this name the server shows the certificate that it signed itself.
    let localhost = endpoint.replace("127.0.0.1", "localhost");
    assert_ne!(localhost, endpoint);
    for (name, endpoint, bundle, others) in
        [("authority", &endpoint, &ca, &own), ("self-signed", &localhost, &own, &ca)]
    {
        let mut settings = settings(endpoint, &bucket, name);
        for wrong in [None, Some(others.into())] {
            settings.ca_bundle = wrong;
            let error = connect(&settings).await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::InvalidInput), "{name}: {error:?}");
            assert!(error.hint().unwrap_or_default().contains("ca_bundle"), "{name}: {error:?}");
        }
        settings.ca_bundle = Some(bundle.into());
        goes_round(&settings, async |_, _| {}).await;
    }
    let error = connect(&settings(&endpoint.replace("https://", "http://"), &bucket, "plain")).await.unwrap_err();
    assert!(error.hint().unwrap_or_default().contains("https://"), "{error:?}");
}
