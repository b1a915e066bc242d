//! What the settings are and where each comes from, for people: secrets are never among the values.

use std::path::Path;

use milepost::url::{credential_in, names_a_secret};

use crate::config::Origin;

/// What stands in place of a secret.
const REDACTED: &str = "(set, not shown)";

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Its name, as in the file; those of S3 with their prefix.
    pub(crate) name: &'static str,
    /// The value that wins, as it was given, or the default; `None` where there is none. Redacted.
    pub(crate) value: Option<String>,
    /// Was the value replaced by a word that says so?
    pub(crate) redacted: bool,
    /// Where it was given; `None` for a default.
    pub(crate) origin: Option<Origin>,
    /// How it is spelled there: `--part-size`, `MILEPOST_PART_SIZE`, `part_size in m.toml`.
    pub(crate) spelled: Option<String>,
}

impl Shown {
    /// A value that was given.
    pub(crate) fn given(name: &'static str, text: &str, origin: Origin, spelled: String) -> Self {
        // A URL with credentials is refused when it is opened; here it is shown to somebody who asks why.
        let redacted = names_a_secret(name) || is_key_id(name) || credential_in(text).is_some();
        let value = if redacted { REDACTED.to_owned() } else { text.to_owned() };
        Self { name, value: Some(value), redacted, origin: Some(origin), spelled: Some(spelled) }
    }

    /// A default.
    pub(crate) fn default(name: &'static str, journal_dir: Option<&Path>) -> Self {
        let value = match name {
            "journal_dir" => Some(journal_dir.map_or_else(|| "none".to_owned(), |dir| dir.display().to_string())),
            _ => DEFAULTS.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned()),
        };
        Self { name, value, redacted: false, origin: None, spelled: None }
    }
}

fn is_key_id(name: &str) -> bool {
    name == "s3_access_key_id"
}

impl Origin {
    /// The word in output and JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Flag => "FLAG",
            Self::Environment => "ENVIRONMENT",
            Self::File => "FILE",
        }
    }
}

/// Defaults, as one would write them; what has none is left out. A test holds them against the code.
pub(crate) const DEFAULTS: &[(&str, &str)] = &[
    ("cluster", "default"),
    ("first_partition", "1"),
    ("single_writer", "false"),
    ("part_size", "8Mi"),
    ("multipart_threshold", "32Mi"),
    ("concurrency", "4"),
    ("file_threads", "2"),
    ("file_priority", "normal"),
    ("status_concurrency", "16"),
    ("memory_budget", "48Mi"),
    ("rate_limit", "0"),
    ("retry_budget", "30s"),
    ("retry_delay", "100ms"),
    ("sign_of_life", "10s"),
    ("stale_after", "24h"),
    ("journal_every_files", "100"),
    ("journal_every", "5s"),
    ("digest", "blake3"),
    ("request_threads", "1"),
    ("s3_connect_timeout", "5s"),
    ("s3_attempt_timeout", "1m"),
    ("s3_operation_timeout", "90s"),
    ("s3_wire_checksum", "crc64nvme"),
    ("s3_content_md5", "false"),
    ("s3_payload_signing", "false"),
    ("s3_sse", "none"),
    ("s3_user_agent", "milepost"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, settings};

    #[test]
    fn the_defaults_are_those_of_the_code() {
        let dump =
            |config: &Config| format!("{:?}", (&config.settings, &config.s3, &config.digest, config.request_threads));
        let code = dump(&Config::default());
        for (name, apply) in settings() {
            let Some((_, text)) = DEFAULTS.iter().find(|(known, _)| known == name) else { continue };
            let mut config = Config::default();
            apply(&mut config, text).unwrap();
            assert_eq!(dump(&config), code, "{name} = {text}");
        }
        assert!(DEFAULTS.iter().all(|(known, _)| settings().any(|(name, _)| name == known)));
        // What has no default in the table is something optional in the code.
        let without: Vec<&str> =
            settings().map(|(name, _)| *name).filter(|name| Shown::default(name, None).value.is_none()).collect();
        assert!(!without.iter().any(|name| ["cluster", "part_size", "s3_sse"].contains(name)), "{without:?}");
        assert_eq!(Shown::default("journal_dir", None).value.as_deref(), Some("none"));
    }

    #[test]
    fn secrets_are_redacted_wherever_they_stand() {
        let show = |name, text| Shown::given(name, text, Origin::File, String::new());
        for (name, text) in [
            ("s3_access_key_id", "hunter2"),
            ("s3_secret_access_key", "hunter2"),
            ("s3_session_token", "hunter2"),
            ("store", "s3://me:hunter2@bucket"),
            ("store", "s3://bucket?secret_key=hunter2"),
            ("s3_endpoint", "http://me:hunter2@localhost"),
        ] {
            let shown = show(name, text);
            assert!(shown.redacted && !format!("{shown:?}").contains("hunter2"), "{shown:?}");
        }
        let shown = show("s3_sse_customer_key_file", "/etc/key");
        assert_eq!((shown.redacted, shown.value.as_deref()), (false, Some("/etc/key")), "a path is no secret");
    }
}
