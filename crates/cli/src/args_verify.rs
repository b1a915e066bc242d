//! The arguments of `verify`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;
use milepost::core::sample::Share;
use milepost::{CheckpointId, NodeId, PartitionId, Selector};

use crate::args_words::LevelArg;
use crate::resolve::Choice;

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// One backup: PARTITION/CHECKPOINT/NODE; checkpoint `latest`, node `any`
    #[arg(value_name = "BACKUP", required_unless_present_any = ["all", "checkpoint", "partition", "node"])]
    pub(crate) backup: Option<Choice>,
    /// How deep: documents agree, objects are there, the store's checksums agree,
    /// or every byte is read and hashed
    #[arg(long, value_name = "LEVEL", default_value = "checksums")]
    pub(crate) level: LevelArg,
    /// Record the outcome of one backup in its status
    #[arg(long, conflicts_with_all = ["all", "checkpoint", "partition", "node"])]
    pub(crate) record: bool,
    #[command(flatten)]
    pub(crate) many: Many,
}

/// A selection of backups, instead of one.
#[derive(Debug, Args)]
pub(crate) struct Many {
    /// Every COMPLETED backup
    #[arg(long, conflicts_with_all = ["backup", "checkpoint", "partition", "node"])]
    pub(crate) all: bool,
    /// Only those of this checkpoint
    #[arg(long, value_name = "C", conflicts_with = "backup")]
    checkpoint: Option<CheckpointId>,
    /// Only those of this partition
    #[arg(long, value_name = "P", conflicts_with = "backup")]
    partition: Option<PartitionId>,
    /// Only those of this node
    #[arg(long, value_name = "N", conflicts_with = "backup")]
    node: Option<NodeId>,
    /// Only this share of them, as in 5 or 0.25
    #[arg(long, value_name = "PERCENT", conflicts_with = "backup")]
    pub(crate) sample: Option<Share>,
    /// What the share is drawn by: the same draws the same [default: drawn]
    #[arg(long, value_name = "NUMBER", requires = "sample")]
    pub(crate) seed: Option<u64>,
    /// What was verified longest ago first, what never was before all
    #[arg(long, conflicts_with = "backup")]
    pub(crate) oldest_first: bool,
    /// At most this many, the first ones
    #[arg(long, value_name = "N", conflicts_with = "backup")]
    pub(crate) limit: Option<NonZeroU32>,
    /// Do not record the outcomes in the statuses
    #[arg(long, conflicts_with = "backup")]
    pub(crate) no_record: bool,
    /// Write a report of every backup to this file, as JSON
    #[arg(long, value_name = "FILE", conflicts_with = "backup")]
    pub(crate) report: Option<PathBuf>,
}

impl Many {
    /// Which ids are meant.
    pub(crate) fn selector(&self) -> Selector {
        Selector { partition: self.partition, checkpoint: self.checkpoint, node: self.node }
    }
}
