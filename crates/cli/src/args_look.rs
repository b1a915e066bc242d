//! The arguments of the verbs that look: at files, at what lies in a store, at how it is.

use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use clap::{Args, Subcommand};
use milepost::{PartitionId, Timestamp};

use crate::args::ChoiceArg;
use crate::units::{Moment, parse_duration, parse_moment};

/// When backups were begun, by the clock of whoever saved them.
#[derive(Debug, Args)]
pub(crate) struct Created {
    /// Only backups begun then or later: 2026-11-21T10:00:00Z, 2026-11-21, or a
    /// time back from now, as in 7d
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    since: Option<Moment>,
    /// Only backups begun before then
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    until: Option<Moment>,
}

impl Created {
    /// From when on, and until when.
    pub(crate) fn span(&self, now: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
        (self.since.map(|moment| moment.at(now)), self.until.map(|moment| moment.at(now)))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    pub(crate) backup: ChoiceArg,
}

#[derive(Debug, Args)]
pub(crate) struct Cat {
    #[command(flatten)]
    pub(crate) backup: ChoiceArg,
    /// The file, as `ls` names it: segments/1.log, or 1.log where only one set has it
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
    /// Only bytes FIRST to END (not included; empty: the file's end). A part of a
    /// file has no checksum of its own: it is not verified
    #[arg(long, value_name = "FIRST..END", value_parser = byte_range)]
    pub(crate) range: Option<Range<u64>>,
}

fn byte_range(text: &str) -> Result<Range<u64>, String> {
    const FORM: &str = "a range is FIRST..END in bytes, END not included, as in 0..4096 or 4096..";
    let (first, end) = text.split_once("..").ok_or(FORM)?;
    let number = |text: &str, absent: u64| match text {
        "" => Ok(absent),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().map_err(|_| FORM),
        _ => Err(FORM),
    };
    let range = number(first, 0)?..number(end, u64::MAX)?;
    if range.start > range.end { Err("the range ends before it begins".to_owned()) } else { Ok(range) }
}

#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// Only this partition
    #[arg(long, value_name = "P")]
    pub(crate) partition: Option<PartitionId>,
    /// Days and checkpoints that are shown, the newest
    #[arg(long, value_name = "COUNT", default_value = "7", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) last: u16,
    #[command(flatten)]
    pub(crate) created: Created,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Look once, print a table, and end
    #[arg(long)]
    pub(crate) once: bool,
    /// How long from one look to the next: 500ms to 1h
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    pub(crate) interval: Duration,
    /// Look at so many of the newest checkpoints
    #[arg(long, value_name = "COUNT", default_value = "3")]
    pub(crate) checkpoints: NonZeroU32,
}

/// Each look reads every status of some checkpoints: a store is not to be asked without end.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    let bounds = Duration::from_millis(500)..=Duration::from_secs(3600);
    if bounds.contains(&interval) { Ok(interval) } else { Err("an interval is from 500ms to 1h".to_owned()) }
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Statuses and uploads alone: no probe, no listing of every object
    #[arg(long)]
    pub(crate) quick: bool,
    /// Clear up what nobody can miss
    #[arg(long)]
    pub(crate) repair: bool,
    /// How long tombstones are left
    #[arg(long, value_name = "AGE", default_value = "24h", value_parser = parse_duration)]
    pub(crate) tombstone_grace: Duration,
    /// Do not ask
    #[arg(long, short, requires = "repair")]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) what: ConfigVerb,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Show every setting; secrets are not shown
    Show,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The verb, as in `restore-node` or `config show` [default: the command]
    #[arg(value_name = "VERB")]
    pub(crate) verb: Vec<String>,
}
