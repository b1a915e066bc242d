//! The arguments of `copy`.

use std::path::PathBuf;

use clap::Args;
use milepost::BackupId;

use crate::args_ops::{CheckpointChoice, checkpoint_choice};

#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// A backup, as in 1/100/2, or a checkpoint, as in 100 or `latest`: all its
    /// committed copies
    #[arg(value_name = "P/C/N|C", value_parser = what)]
    pub(crate) what: CopyWhat,
    /// The store to copy to, written like --store
    #[arg(long, value_name = "URL", required_unless_present = "to_config")]
    pub(crate) to: Option<String>,
    /// A TOML file with the destination's settings and credentials; flags and the
    /// environment then speak for the source alone
    #[arg(long, value_name = "FILE")]
    pub(crate) to_config: Option<PathBuf>,
    /// Go on with a copy whose process is gone; where it lives, this stops it
    #[arg(long)]
    pub(crate) resume: bool,
    /// Change nothing; tell what would be copied
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyWhat {
    Backup(BackupId),
    Checkpoint(CheckpointChoice),
}

fn what(text: &str) -> Result<CopyWhat, String> {
    const FORM: &str = "give a backup, PARTITION/CHECKPOINT/NODE as in 1/100/2, or a checkpoint, as in 100 or latest";
    let explain = |error: String| format!("{error}. {FORM}");
    if text.contains('/') {
        return text.parse().map(CopyWhat::Backup).map_err(|error: milepost::core::IdError| explain(error.to_string()));
    }
    checkpoint_choice(text).map(CopyWhat::Checkpoint).map_err(explain)
}
