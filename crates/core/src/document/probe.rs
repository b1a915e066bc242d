//! `_milepost/probe/result-….json`: what the last probe of a store found.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::strict::at_most;
use super::{DocumentError, FORMAT_VERSION, MAX_SMALL_DOCUMENT_BYTES, cut, json_len, strict};

/// The most checks that a result may list.
const MAX_CHECKS: usize = 32;
/// The most bytes of a location, and of Milepost's version, as the document holds them.
const MAX_LOCATION_BYTES: usize = 4096;
const MAX_NAME_BYTES: usize = 64;
const MAX_NOTE_BYTES: usize = 1024;

/// What a probe found, and of which store. A record and no register: each probe replaces it whole, and whoever cannot use it
/// probes again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeDocument {
    /// Always 1.
    pub format_version: u64,
    /// The store that was tried out: endpoint, bucket and base. It says nothing of any other, also where its objects were
    /// copied there.
    pub location: String,
    /// The version of Milepost that did it.
    pub milepost_version: String,
    /// When, by the clock of the machine that did it.
    pub probed_at: Timestamp,
    /// Every check, at most 32.
    #[serde(deserialize_with = "checks")]
    pub checks: Vec<ProbedCheck>,
}

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbedCheck {
    /// Its name, as in `racing-creates`.
    pub name: String,
    /// Is a store unfit that fails it?
    pub required: bool,
    /// What went wrong; null where it held.
    pub failure: Option<String>,
}

fn checks<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<ProbedCheck>, D::Error> {
    at_most::<MAX_CHECKS, _, _>(deserializer)
}

impl ProbeDocument {
    /// A result of the current format version; texts that are too long for it are cut.
    #[must_use]
    pub fn new(location: &str, milepost_version: &str, probed_at: Timestamp, checks: Vec<ProbedCheck>) -> Self {
        let short = |check: ProbedCheck| ProbedCheck {
            name: cut(&check.name, MAX_NAME_BYTES),
            required: check.required,
            failure: check.failure.map(|failure| cut(&failure, MAX_NOTE_BYTES)),
        };
        Self {
            format_version: FORMAT_VERSION,
            location: cut(location, MAX_LOCATION_BYTES),
            milepost_version: cut(milepost_version, MAX_NAME_BYTES),
            probed_at,
            checks: checks.into_iter().map(short).collect(),
        }
    }

    /// Is it about the store at `location`?
    #[must_use]
    pub fn is_of(&self, location: &str) -> bool {
        self.location == cut(location, MAX_LOCATION_BYTES)
    }

    /// Did each of these checks run and hold? One that is missing, because an older Milepost did not know it, did not.
    #[must_use]
    pub fn held(&self, names: &[&str]) -> bool {
        names.iter().all(|name| {
            let mut found = self.checks.iter().filter(|check| check.name == *name).peekable();
            found.peek().is_some() && found.all(|check| check.failure.is_none())
        })
    }

    /// Reads a result of at most 64 KiB.
    ///
    /// # Errors
    /// Any [`DocumentError`]; [`DocumentError::Invalid`] for texts that are too long.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let document: Self = strict::parse(bytes, MAX_SMALL_DOCUMENT_BYTES)?;
        document.check()?;
        Ok(document)
    }

    /// Writes the result.
    ///
    /// # Errors
    /// [`DocumentError::Invalid`] where `parse` would refuse the result.
    pub fn encode(&self) -> Result<Vec<u8>, DocumentError> {
        self.check()?;
        strict::encode(self, MAX_SMALL_DOCUMENT_BYTES)
    }

    fn check(&self) -> Result<(), DocumentError> {
        if self.format_version != FORMAT_VERSION {
            return Err(DocumentError::invalid("formatVersion is not 1"));
        }
        if self.checks.len() > MAX_CHECKS {
            return Err(DocumentError::invalid(format!("more than {MAX_CHECKS} checks")));
        }
        let long = |text: &str, limit| json_len(text) > limit;
        let bad = long(&self.location, MAX_LOCATION_BYTES)
            || long(&self.milepost_version, MAX_NAME_BYTES)
            || self.checks.iter().any(|check| {
                long(&check.name, MAX_NAME_BYTES)
                    || check.failure.as_ref().is_some_and(|failure| long(failure, MAX_NOTE_BYTES))
            });
        if bad { Err(DocumentError::invalid("a text of the probe's result is too long")) } else { Ok(()) }
    }
}
