//! The arguments of the verbs that operate a cluster's backups.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use milepost::core::retention::RetentionPolicy;
use milepost::hold::HoldTarget;
use milepost::{BackupId, CheckpointId, HoldId, NodeId, PartitionId};

use crate::args_words::{CheckArg, LevelArg};
use crate::units::{parse_duration, parse_size};

/// What is kept. The words are those of the policy; a default of none is no rule.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Keep this many of the newest complete checkpoints
    #[arg(long, value_name = "N")]
    keep_last: Option<u32>,
    /// Keep complete checkpoints younger than this, as in 30d
    #[arg(long, value_name = "AGE", value_parser = parse_duration)]
    keep_within: Option<Duration>,
    /// Keep the newest of each of the last N days that have one (UTC)
    #[arg(long, value_name = "N")]
    keep_daily: Option<u32>,
    /// The same by week (from Monday)
    #[arg(long, value_name = "N")]
    keep_weekly: Option<u32>,
    /// The same by month
    #[arg(long, value_name = "N")]
    keep_monthly: Option<u32>,
    /// Never go below this many complete checkpoints, whatever else is said
    #[arg(long, value_name = "N", default_value_t = 0)]
    min_count: u32,
    /// Never delete a complete checkpoint younger than this
    #[arg(long, value_name = "AGE", default_value = "0", value_parser = parse_duration)]
    min_age: Duration,
    /// Delete the oldest until what stays takes no more than this, as in 500Gi
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_bytes: Option<u64>,
    /// How long failed and incomplete ones are left
    #[arg(long, value_name = "AGE", default_value = "24h", value_parser = parse_duration)]
    failed_grace: Duration,
    /// How long tombstones are left
    #[arg(long, value_name = "AGE", default_value = "24h", value_parser = parse_duration)]
    tombstone_grace: Duration,
    /// Let the last complete checkpoint go too, where no rule keeps it
    #[arg(long)]
    allow_empty: bool,
    /// How deep the newest checkpoint that stays is verified before others go
    #[arg(long, value_name = "LEVEL", default_value = "checksums")]
    pub(crate) verify_level: LevelArg,
    /// Change nothing; print what would happen to each backup, and why
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

impl Prune {
    /// The policy that the flags name.
    pub(crate) fn policy(&self, stale_after: Duration) -> RetentionPolicy {
        let mut policy = RetentionPolicy::default();
        policy.keep_last = self.keep_last;
        policy.keep_within = self.keep_within;
        policy.keep_daily = self.keep_daily;
        policy.keep_weekly = self.keep_weekly;
        policy.keep_monthly = self.keep_monthly;
        policy.min_count = self.min_count;
        policy.min_age = self.min_age;
        policy.max_bytes = self.max_bytes;
        policy.failed_grace = self.failed_grace;
        policy.tombstone_grace = self.tombstone_grace;
        policy.stale_after = stale_after;
        policy.allow_empty = self.allow_empty;
        policy
    }
}

#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    /// A backup, as in 1/100/2, or a checkpoint, as in 100: all its committed copies
    #[arg(value_name = "P/C/N|C", value_parser = hold_target)]
    pub(crate) target: HoldTarget,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Who holds it [default: the user and this host]
    #[arg(long, value_name = "NAME")]
    pub(crate) owner: Option<String>,
    /// The hold's id; the same again changes nothing [default: drawn]
    #[arg(long, value_name = "ID", value_parser = hold_id)]
    pub(crate) id: Option<HoldId>,
}

#[derive(Debug, Args)]
pub(crate) struct Release {
    /// A backup, as in 1/100/2, or a checkpoint, as in 100
    #[arg(value_name = "P/C/N|C", value_parser = hold_target)]
    pub(crate) target: HoldTarget,
    /// The hold to release
    #[arg(long, value_name = "ID", value_parser = hold_id, required_unless_present = "all")]
    pub(crate) id: Option<HoldId>,
    /// Release every hold
    #[arg(long, conflicts_with = "id")]
    pub(crate) all: bool,
}

fn hold_target(text: &str) -> Result<HoldTarget, String> {
    const FORM: &str = "give a backup, PARTITION/CHECKPOINT/NODE as in 1/100/2, or a checkpoint, as in 100";
    if text.contains('/') {
        return text.parse::<BackupId>().map(HoldTarget::Backup).map_err(|error| format!("{error}. {FORM}"));
    }
    text.parse().map(HoldTarget::Checkpoint).map_err(|error| format!("{error}. {FORM}"))
}

fn hold_id(text: &str) -> Result<HoldId, String> {
    HoldId::new(text).map_err(|error| error.to_string())
}

#[derive(Debug, Args)]
pub(crate) struct Cluster {
    /// One checkpoint with all its copies: its id, or `latest`
    #[arg(value_name = "CHECKPOINT", value_parser = checkpoint_choice, conflicts_with_all = ["limit", "after"])]
    pub(crate) checkpoint: Option<CheckpointChoice>,
    /// At most this many checkpoints
    #[arg(long, value_name = "COUNT", default_value = "20", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Only checkpoints older than this one
    #[arg(long, value_name = "C")]
    pub(crate) after: Option<CheckpointId>,
}

/// One checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckpointChoice {
    /// The newest that is complete for the whole cluster.
    Latest,
    /// By its id.
    Id(CheckpointId),
}

pub(crate) fn checkpoint_choice(text: &str) -> Result<CheckpointChoice, String> {
    match text {
        "latest" => Ok(CheckpointChoice::Latest),
        id => id.parse().map(CheckpointChoice::Id).map_err(|error| format!("{error}; or `latest`")),
    }
}

#[derive(Debug, Args)]
pub(crate) struct RestoreNode {
    /// The checkpoint: its id, or `latest`
    #[arg(value_name = "CHECKPOINT", value_parser = checkpoint_choice)]
    pub(crate) checkpoint: CheckpointChoice,
    /// The node that restores: of equally good copies its own is taken
    #[arg(long, value_name = "N")]
    pub(crate) node: NodeId,
    /// Its partitions, as in 1,2,3
    #[arg(long, value_name = "P,P,…", value_delimiter = ',', required = true)]
    pub(crate) partitions: Vec<PartitionId>,
    /// The data folder; partition P goes to DIR/P. It is made where it is absent
    #[arg(long, value_name = "DIR")]
    pub(crate) target: PathBuf,
    /// Refuse a checkpoint below this one
    #[arg(long, value_name = "C")]
    pub(crate) min_checkpoint: Option<CheckpointId>,
    /// Refuse a checkpoint of a cluster of another number of partitions
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) partition_count: Option<u32>,
    /// Partitions restored at the same time
    #[arg(long, value_name = "COUNT", default_value = "4")]
    pub(crate) parallel: usize,
    /// Check size, checksum and digest, or all but the digest
    #[arg(long, value_name = "HOW", default_value = "digest")]
    pub(crate) check: CheckArg,
    /// Leave partitions that were restored before, whatever they hold now
    #[arg(long)]
    pub(crate) skip_if_restored: bool,
    /// Restore into a new folder below DIR, check everything, and remove it
    #[arg(long, conflicts_with = "skip_if_restored")]
    pub(crate) drill: bool,
}
