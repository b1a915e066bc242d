//! The arguments of `save`.

use std::path::PathBuf;

use clap::Args;
use milepost::{BackupId, LogRange};

use crate::args_words::{KindArg, backup_id, log_range, property};

#[derive(Debug, Args)]
pub(crate) struct Save {
    /// The backup to make, as in 1/100/2
    #[arg(value_name = "P/C/N", value_parser = backup_id)]
    pub(crate) id: BackupId,
    /// A folder of immutable files
    #[arg(long, value_name = "DIR")]
    pub(crate) snapshots: Option<PathBuf>,
    /// A folder of log files, which may grow meanwhile
    #[arg(long, value_name = "DIR")]
    pub(crate) segments: Option<PathBuf>,
    /// The log position of the checkpoint
    #[arg(long, value_name = "X")]
    pub(crate) position: Option<u64>,
    /// How many partitions the cluster has
    #[arg(long, value_name = "COUNT")]
    pub(crate) partitions: Option<u32>,
    /// The replication term of the snapshot
    #[arg(long, value_name = "T")]
    pub(crate) term: Option<u64>,
    /// The first and last log position in the segments, as in 1..4800
    #[arg(long, value_name = "A..B", value_parser = log_range)]
    pub(crate) log_range: Option<LogRange>,
    /// The broker's name of the snapshot
    #[arg(long, value_name = "S")]
    pub(crate) snapshot_id: Option<String>,
    /// The broker's version
    #[arg(long, value_name = "V")]
    pub(crate) broker_version: Option<String>,
    /// Why the backup is taken
    #[arg(long, value_name = "KIND", default_value = "manual")]
    pub(crate) kind: KindArg,
    /// A name for people
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// A fingerprint of the broker's configuration
    #[arg(long, value_name = "F")]
    pub(crate) fingerprint: Option<String>,
    /// Anything else worth keeping; may be repeated
    #[arg(long = "property", value_name = "K=V", value_parser = property)]
    pub(crate) properties: Vec<(String, String)>,
    /// The digest of each file: blake3, sha256 or none [default: blake3]
    #[arg(long, value_name = "NAME")]
    pub(crate) digest: Option<String>,
    /// Go on with an unfinished save of the same files
    #[arg(long)]
    pub(crate) resume: bool,
    /// With --resume: plan and hash anew instead of reading the journal
    #[arg(long, requires = "resume")]
    pub(crate) ignore_journal: bool,
    /// Remove the files of both folders once they are saved; folders stay
    #[arg(long)]
    pub(crate) remove_source: bool,
    /// Do not ask whether to remove them
    #[arg(long, short, requires = "remove_source")]
    pub(crate) yes: bool,
}
