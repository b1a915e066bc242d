//! One SDK client per store: every timeout explicit, one attempt, no call to a metadata service where region and
//! credentials are given.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    AppName, BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder as HttpBuilder, Connector, ConnectorBuilder};
use milepost_store::{Error, Result};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::ExposeSecret as _;
use url::Url;

use crate::settings::S3Settings;

/// How long a connection lies idle before it is closed. Servers and load balancers close theirs after 30 s or more; a
/// request sent into a closing connection fails with its outcome unknown.
const IDLE: Duration = Duration::from_secs(20);
/// Idle connections kept for one host.
const MAX_IDLE: usize = 64;
/// The last resort with an endpoint of one's own, whose server most likely has only one region.
const FALLBACK_REGION: &str = "us-east-1";
/// The longest file that is read for the settings' sake: a CA bundle, a customer key.
const MAX_FILE: u64 = 1024 * 1024;

/// Makes the client of a store. Sends nothing to S3; asks the SDK's region and credential sources as far as the settings
/// leave them open.
pub(crate) async fn client(settings: &S3Settings) -> Result<Client> {
    let pem = match &settings.ca_bundle {
        Some(path) => Some(read_small("ca_bundle", path.clone()).await?),
        None => None,
    };
    if let Some(pem) = &pem {
        check_bundle(pem)?;
    }
    let endpoint = settings.endpoint.as_deref().and_then(|endpoint| Url::parse(endpoint).ok());
    let http = http_client(endpoint.as_ref(), pem.as_deref())?;
    let credentials = static_credentials(settings);
    let mut builder = match (&credentials, &settings.region) {
        // Everything is given: nobody is asked, neither files nor the network.
        (Some(_), Some(_)) => Builder::new().behavior_version(BehaviorVersion::latest()),
        _ => discover(settings, pem.as_deref()).await?,
    };
    if let Some(credentials) = credentials {
        builder = builder.credentials_provider(credentials);
    }
    if let Some(region) = &settings.region {
        builder = builder.region(Region::new(region.clone()));
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.endpoint_url(endpoint.trim_end_matches('/'));
    }
    let name = AppName::new(settings.user_agent.clone())
        .map_err(|_| Error::invalid_input("user_agent is not a name that a user agent can carry"))?;
    let config = builder
        .http_client(http)
        .app_name(name)
        .force_path_style(settings.uses_path_style())
        .timeout_config(timeouts(settings, 1))
        // The engine alone tries again: it knows which outcomes are ambiguous. The token bucket, which the SDK shares between
        // all clients of a process, must not be emptied by somebody else's failures either.
        .retry_config(RetryConfig::disabled())
        .retry_partition(RetryPartition::custom("milepost").build())
        // It takes a slow upload or a server-side pause for a stall; pauses of bodies are limited by the attempt's timeout.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // Each request carries the checksum that the caller computed; the SDK adds its own only where S3 demands one.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .disable_s3_express_session_auth(true)
        .build();
    Ok(Client::from_conf(config))
}

/// The timeouts of one request; `factor` stretches all but the connection's.
pub(crate) fn timeouts(settings: &S3Settings, factor: u32) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.attempt_timeout * factor)
        .operation_attempt_timeout(settings.attempt_timeout * factor)
        .operation_timeout(settings.operation_timeout * factor)
        .build()
}

fn static_credentials(settings: &S3Settings) -> Option<Credentials> {
    let id = settings.access_key_id.as_ref()?;
    let secret = settings.secret_access_key.as_ref()?;
    let token = settings.session_token.as_ref().map(|token| token.expose_secret().to_owned());
    Some(Credentials::new(id.expose_secret(), secret.expose_secret(), token, None, "milepost settings"))
}

/// What the settings leave open, from the SDK's own sources.
async fn discover(settings: &S3Settings, pem: Option<&[u8]>) -> Result<Builder> {
    // Security token services are spoken to by https, also where the store itself is not.
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client(None, pem)?)
        .timeout_config(timeouts(settings, 1));
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    loader = match (&settings.region, &settings.endpoint) {
        (Some(region), _) => loader.region(Region::new(region.clone())),
        (None, Some(_)) => {
            let mut profile = ProfileFileRegionProvider::builder();
            if let Some(name) = &settings.profile {
                profile = profile.profile_name(name);
            }
            let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
                .or_else(profile.build())
                .or_else(Region::from_static(FALLBACK_REGION));
            loader.region(chain)
        }
        (None, None) => loader,
    };
    if let Some(credentials) = static_credentials(settings) {
        loader = loader.credentials_provider(credentials);
    }
    let shared = loader.load().await;
    if shared.region().is_none() {
        return Err(Error::invalid_input("no region is set, and none was found")
            .with_hint("set region, AWS_REGION, or a region in the profile"));
    }
    Ok(Builder::from(&shared))
}

fn http_client(endpoint: Option<&Url>, pem: Option<&[u8]>) -> Result<SharedHttpClient> {
    // What runs on this machine is never meant by a proxy of the environment.
    let local = endpoint.and_then(Url::host_str).is_some_and(is_loopback);
    let proxy = if local { ProxyConfig::disabled() } else { ProxyConfig::from_env() };
    let plain = endpoint.is_some_and(|endpoint| endpoint.scheme() == "http");
    let trust = match pem {
        Some(pem) => TrustStore::empty().with_pem_certificate(pem),
        None => TrustStore::default(),
    };
    let tls = TlsContext::builder().with_trust_store(trust).build();
    let tls = tls.map_err(|error| Error::invalid_input(format!("TLS cannot be set up: {error}")))?;
    Ok(HttpBuilder::new().build_with_connector_fn(move |settings, components| {
        let mut builder: ConnectorBuilder =
            Connector::builder().pool_idle_timeout(IDLE).pool_max_idle_per_host(MAX_IDLE).proxy_config(proxy.clone());
        // Without it small requests wait for the acknowledgement of the ones before.
        builder.set_enable_tcp_nodelay(true);
        builder.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            builder.set_sleep_impl(components.sleep_impl());
        }
        if plain {
            // Loading and parsing the system's certificates would be wasted.
            builder.build_http()
        } else {
            builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls.clone()).build()
        }
    }))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The SDK panics on a bundle that it cannot parse, so it is looked at first.
fn check_bundle(pem: &[u8]) -> Result<()> {
    let unusable = || Error::invalid_input("ca_bundle does not hold certificates in PEM form");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| unusable())?;
        roots.add(certificate).map_err(|error| {
            Error::invalid_input(format!("ca_bundle holds a certificate that cannot be trusted: {error}"))
        })?;
    }
    if roots.is_empty() { Err(unusable()) } else { Ok(()) }
}

/// Reads a file of at most 1 MiB that a setting names.
pub(crate) async fn read_small(setting: &'static str, path: PathBuf) -> Result<Vec<u8>> {
    let shown = path.display().to_string();
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    });
    let bytes = read.await.map_err(|_| Error::invalid_input(format!("{setting}: {shown} could not be read")))?;
    let bytes = bytes.map_err(|error| Error::invalid_input(format!("{setting}: {shown}: {error}")))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::invalid_input(format!("{setting}: {shown} is longer than 1 MiB")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> S3Settings {
        S3Settings {
            bucket: "backups".into(),
            region: Some("eu-central-1".into()),
            access_key_id: Some("AKIAEXAMPLE".into()),
            secret_access_key: Some("hunter2secret".into()),
            ..S3Settings::default()
        }
    }

    #[tokio::test]
    async fn every_timeout_is_explicit_and_there_is_one_attempt() {
        let client = client(&given()).await.unwrap();
        let config = client.config();
        let timeouts = config.timeout_config().unwrap();
        assert_eq!(timeouts.connect_timeout(), Some(Duration::from_secs(5)));
        assert_eq!(timeouts.read_timeout(), Some(Duration::from_secs(60)));
        assert_eq!(timeouts.operation_attempt_timeout(), Some(Duration::from_secs(60)));
        assert_eq!(timeouts.operation_timeout(), Some(Duration::from_secs(90)));
        assert_eq!(config.retry_config().unwrap().max_attempts(), 1);
        assert!(config.retry_partition().is_some());
        assert!(!config.stalled_stream_protection().unwrap().is_enabled());
        assert_eq!(config.region().unwrap().as_ref(), "eu-central-1");
    }

    #[tokio::test]
    async fn an_unusable_bundle_is_an_error_and_not_a_panic() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for content in ["", "nothing", wrong, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&path, content).unwrap();
            let settings = S3Settings { ca_bundle: Some(path.clone()), ..given() };
            let error = client(&settings).await.unwrap_err();
            assert!(error.to_string().contains("ca_bundle"), "{content:?}: {error}");
        }
        let settings = S3Settings { ca_bundle: Some(dir.path().join("absent")), ..given() };
        assert!(client(&settings).await.unwrap_err().to_string().contains("absent"));
    }

    #[test]
    fn knows_this_machine() {
        for host in ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["example.com", "10.0.0.1", "localhost.example.com"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
