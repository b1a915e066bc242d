//! Settings from four places: flag, environment, file, default, in this order.
//!
//! A setting has one name everywhere: `part_size` in the file, `MILEPOST_PART_SIZE` in the environment, `--part-size` as a
//! flag; those of an S3 store (`config_s3`) stand below `[s3]` in the file. All places give text, so that one parser judges all of them and the message says where a bad value came from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use milepost::{DigestAlgorithm, Error, PartitionId, Result, S3Settings, StoreSettings, StoreUrl};

use crate::config_s3;
use crate::config_show::Shown;
use crate::units::{parse_bool, parse_duration, parse_size};

/// The largest configuration file, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// What all places together say.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The store's URL, and where it was given.
    pub(crate) store: Option<(String, Origin)>,
    /// What the engine is tuned with.
    pub(crate) settings: StoreSettings,
    /// What an S3 store needs besides its URL.
    pub(crate) s3: S3Settings,
    /// Settings of S3 that were given in a place of higher rank than the store's URL, and so win over it.
    pub(crate) above_url: Vec<&'static str>,
    /// The digest of files.
    pub(crate) digest: Option<DigestAlgorithm>,
    /// Threads that make requests, 1 to [`MAX_REQUEST_THREADS`].
    pub(crate) request_threads: usize,
    /// Every setting with its origin, for people.
    pub(crate) shown: Vec<Shown>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: None,
            settings: StoreSettings::default(),
            s3: S3Settings::default(),
            above_url: Vec::new(),
            digest: Some(DigestAlgorithm::Blake3),
            request_threads: 1,
            shown: Vec::new(),
        }
    }
}

impl Config {
    /// The store that a URL names, without what settings of higher rank say otherwise.
    ///
    /// # Errors
    /// Those of a bad URL.
    pub(crate) fn store_url(&self, url: &str) -> Result<StoreUrl> {
        let mut parsed = url.parse()?;
        if let StoreUrl::S3 { endpoint, region, path_style, .. } = &mut parsed {
            for name in &self.above_url {
                match *name {
                    "s3_endpoint" => *endpoint = None,
                    "s3_region" => *region = None,
                    "s3_path_style" => *path_style = None,
                    _ => {}
                }
            }
        }
        Ok(parsed)
    }
}

/// More threads than this serve no network that there is.
const MAX_REQUEST_THREADS: usize = 64;

/// Where a value was given, the highest rank first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    Flag,
    Environment,
    File,
}

/// What the text of a setting does.
pub(crate) type Apply = fn(&mut Config, &str) -> std::result::Result<(), String>;

/// Every setting of the command and the engine: its name, and what its text does.
const SETTINGS: &[(&str, Apply)] = &[
    ("store", |_, _| Ok(())),
    ("cluster", |c, text| {
        c.settings.cluster = text.to_owned();
        Ok(())
    }),
    ("cluster_id", |c, text| set(&mut c.settings.cluster_id, text.parse().map(Some).map_err(shown))),
    ("first_partition", |c, text| set(&mut c.settings.first_partition, parse_number(text).map(PartitionId))),
    ("single_writer", |c, text| set(&mut c.settings.single_writer, parse_bool(text))),
    ("part_size", |c, text| set(&mut c.settings.part_size, parse_size(text))),
    ("multipart_threshold", |c, text| set(&mut c.settings.multipart_threshold, parse_size(text))),
    ("concurrency", |c, text| set(&mut c.settings.concurrency, parse_number(text))),
    ("file_threads", |c, text| set(&mut c.settings.file_threads, parse_number(text))),
    ("file_priority", |c, text| set(&mut c.settings.file_priority, text.parse().map_err(shown))),
    ("status_concurrency", |c, text| set(&mut c.settings.status_concurrency, parse_number(text))),
    ("memory_budget", |c, text| set(&mut c.settings.memory_budget, parse_size(text))),
    // 0 lifts a limit that a place of lower rank set.
    ("rate_limit", |c, text| set(&mut c.settings.rate_limit, parse_size(text).map(NonZeroU64::new))),
    ("retry_budget", |c, text| set(&mut c.settings.retry_budget, parse_duration(text))),
    ("retry_delay", |c, text| set(&mut c.settings.retry_delay, parse_duration(text))),
    ("sign_of_life", |c, text| set(&mut c.settings.sign_of_life, parse_duration(text))),
    ("stale_after", |c, text| set(&mut c.settings.stale_after, parse_duration(text))),
    ("journal_dir", |c, text| {
        // `none` keeps no journal; a folder of that name is written ./none.
        c.settings.journal_dir = (text != "none").then(|| PathBuf::from(text));
        Ok(())
    }),
    ("journal_every_files", |c, text| set(&mut c.settings.journal_every_files, parse_number(text))),
    ("journal_every", |c, text| set(&mut c.settings.journal_every, parse_duration(text))),
    ("digest", |c, text| set(&mut c.digest, parse_digest(text))),
    ("request_threads", |c, text| set(&mut c.request_threads, parse_request_threads(text))),
];

/// All settings.
pub(crate) fn settings() -> impl Iterator<Item = &'static (&'static str, Apply)> {
    SETTINGS.iter().chain(config_s3::SETTINGS)
}

pub(crate) fn set<T>(slot: &mut T, value: std::result::Result<T, String>) -> std::result::Result<(), String> {
    *slot = value?;
    Ok(())
}

fn shown(error: impl fmt::Display) -> String {
    error.to_string()
}

fn parse_number<T: std::str::FromStr>(text: &str) -> std::result::Result<T, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| "must be a whole number".to_owned())
}

fn parse_request_threads(text: &str) -> std::result::Result<usize, String> {
    let within = 1..=MAX_REQUEST_THREADS;
    let threads = parse_number(text)?;
    if within.contains(&threads) { Ok(threads) } else { Err(format!("must be from 1 to {MAX_REQUEST_THREADS}")) }
}

/// `none` records no digest besides CRC64NVME.
fn parse_digest(text: &str) -> std::result::Result<Option<DigestAlgorithm>, String> {
    match text {
        "blake3" => Ok(Some(DigestAlgorithm::Blake3)),
        "sha256" => Ok(Some(DigestAlgorithm::Sha256)),
        "none" => Ok(None),
        _ => Err("must be blake3, sha256 or none".to_owned()),
    }
}

/// The values of one place, by the setting's name.
pub(crate) type Layer = BTreeMap<&'static str, String>;

/// The layers of one run, and what they came from. No `Debug`: credentials are among the values.
#[derive(Default)]
pub(crate) struct Layers {
    pub(crate) flags: Layer,
    pub(crate) environment: Layer,
    pub(crate) file: Layer,
    pub(crate) file_path: Option<PathBuf>,
}

impl Layers {
    /// Puts the layers together and parses what wins. A default of the journal's folder is the caller's.
    ///
    /// # Errors
    /// InvalidInput names the setting and the place.
    pub(crate) fn resolve(&self, journal_dir: Option<PathBuf>) -> Result<Config> {
        let mut config = Config::default();
        config.settings.journal_dir.clone_from(&journal_dir);
        for (name, apply) in settings() {
            let layers =
                [(&self.flags, Origin::Flag), (&self.environment, Origin::Environment), (&self.file, Origin::File)];
            let Some((text, origin)) = layers.iter().find_map(|(layer, origin)| Some((layer.get(name)?, *origin)))
            else {
                config.shown.push(Shown::default(name, journal_dir.as_deref()));
                continue;
            };
            config.shown.push(Shown::given(name, text, origin, self.spelled(name, origin)));
            if *name == "store" {
                config.store = Some((text.clone(), origin));
            }
            // The store is the first of all settings, so its rank is known.
            if name.starts_with(config_s3::PREFIX) && config.store.as_ref().is_some_and(|(_, at)| origin < *at) {
                config.above_url.push(name);
            }
            apply(&mut config, text)
                .map_err(|problem| Error::invalid_input(format!("{}: {problem}", self.spelled(name, origin))))?;
        }
        config.settings.check().map_err(|error| error.with_hint("`milepost help` lists the settings and defaults"))?;
        Ok(config)
    }

    fn spelled(&self, name: &str, origin: Origin) -> String {
        match origin {
            Origin::Flag => flag(name),
            Origin::Environment => variable(name),
            Origin::File => match &self.file_path {
                Some(path) => match name.strip_prefix(config_s3::PREFIX) {
                    Some(name) => format!("{name} below [s3] in {}", path.display()),
                    None => format!("{name} in {}", path.display()),
                },
                None => name.to_owned(),
            },
        }
    }
}

fn flag(name: &str) -> String {
    // `limit` is the verb that people know from rsync and tc; the setting is a noun.
    if name == "rate_limit" { "--limit-rate".to_owned() } else { format!("--{}", name.replace('_', "-")) }
}

fn variable(name: &str) -> String {
    format!("MILEPOST_{}", name.to_ascii_uppercase())
}

/// Takes the settings among the environment's variables. An empty one counts as absent.
///
/// # Errors
/// InvalidInput for a value that is not UTF-8.
pub(crate) fn environment(get: impl Fn(&str) -> Option<OsString>) -> Result<Layer> {
    let mut layer = Layer::new();
    for (name, _) in settings() {
        let variable = variable(name);
        let Some(value) = get(&variable).filter(|value| !value.is_empty()) else { continue };
        let text = value.into_string().map_err(|_| Error::invalid_input(format!("{variable} is not UTF-8")))?;
        layer.insert(name, text);
    }
    Ok(layer)
}

/// Reads a configuration file: TOML, at most 1 MiB, nothing but settings.
///
/// # Errors
/// InvalidInput where it cannot be read, does not parse, or holds an unknown key.
pub(crate) fn read_file(path: &Path) -> Result<Layer> {
    use std::io::Read as _;
    let unreadable = |error: std::io::Error| {
        Error::invalid_input(format!("the configuration file {} cannot be read: {error}", path.display()))
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::invalid_input(format!("the configuration file {} is larger than 1 MiB", path.display())));
    }
    parse_file(&text, path)
}

fn parse_file(text: &str, path: &Path) -> Result<Layer> {
    let shown = path.display();
    // The whole error would quote the line, and a line of this file may hold a secret.
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line =
            error.span().map_or(0, |span| text.as_bytes()[..span.start.min(text.len())].split(|b| *b == b'\n').count());
        Error::invalid_input(format!(
            "the configuration file {shown} does not parse at line {line}: {}",
            error.message()
        ))
    })?;
    let mut layer = Layer::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(s3) if key == "s3" => {
                for (key, value) in s3 {
                    let known =
                        config_s3::SETTINGS.iter().find(|(name, _)| name.strip_prefix(config_s3::PREFIX) == Some(&key));
                    let Some((name, _)) = known else { return Err(unknown_below_s3(&key, path)) };
                    layer.insert(name, text_of(&format!("{key} below [s3]"), value, path)?);
                }
            }
            value => {
                let Some((name, _)) = SETTINGS.iter().find(|(name, _)| *name == key) else {
                    return Err(unknown(&key, path));
                };
                layer.insert(name, text_of(name, value, path)?);
            }
        }
    }
    Ok(layer)
}

/// A key that is repeated: cut, and without what a terminal would obey.
fn printable(key: &str) -> String {
    milepost::core::document::cut(&key.escape_debug().to_string(), 64)
}

fn unknown(key: &str, path: &Path) -> Error {
    let known: Vec<&str> = SETTINGS.iter().map(|(name, _)| *name).chain(["[s3]"]).collect();
    let key = printable(key);
    Error::invalid_input(format!("unknown key `{key}` in the configuration file {}", path.display()))
        .with_hint(format!("known are: {}", known.join(", ")))
}

fn unknown_below_s3(key: &str, path: &Path) -> Error {
    if matches!(key, "bucket" | "base_path") {
        return Error::invalid_input(format!("`{key}` below [s3] in {} belongs to the store's URL", path.display()))
            .with_hint("write store = \"s3://bucket/base/path\"");
    }
    let known = config_s3::SETTINGS.iter().filter_map(|(name, _)| name.strip_prefix(config_s3::PREFIX));
    let known: Vec<&str> = known.collect();
    let key = printable(key);
    Error::invalid_input(format!("unknown key `{key}` below [s3] in the configuration file {}", path.display()))
        .with_hint(format!("known are: {}", known.join(", ")))
}

/// A value as the other places would give it. It is not repeated in the error: it may be a secret.
fn text_of(name: &str, value: toml::Value, path: &Path) -> Result<String> {
    Ok(match value {
        toml::Value::String(text) => text,
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(yes) => yes.to_string(),
        other => {
            return Err(Error::invalid_input(format!(
                "{name} in {}: must be a text, a whole number or true/false, not {}",
                path.display(),
                other.type_str()
            )));
        }
    })
}

#[cfg(test)]
#[path = "config_hostile_tests.rs"]
mod hostile_tests;
#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
