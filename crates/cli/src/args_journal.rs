//! The arguments of `journal`.

use clap::{Args, Subcommand};
use milepost::BackupId;

use crate::args_words::backup_id;

#[derive(Debug, Args)]
pub(crate) struct JournalArgs {
    #[command(subcommand)]
    pub(crate) verb: JournalVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JournalVerb {
    /// All journals of this machine
    List,
    /// One journal, file by file
    Show {
        #[command(flatten)]
        of: Of,
    },
    /// Try a file again with the next resume: forget its error, and a skip
    Retry {
        #[command(flatten)]
        of: Of,
        /// The file with its set, as in segments/1.log
        #[arg(value_name = "FILE")]
        file: String,
        #[command(flatten)]
        how: How,
    },
    /// Leave a file out: the backup is then not complete, and says so
    Skip {
        #[command(flatten)]
        of: Of,
        /// The file with its set, as in segments/1.log
        #[arg(value_name = "FILE")]
        file: String,
        /// Why, for whoever restores the backup
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        how: How,
    },
    /// Plan and hash a file anew with the next resume
    Reset {
        #[command(flatten)]
        of: Of,
        /// The file with its set, as in segments/1.log
        #[arg(value_name = "FILE")]
        file: String,
        #[command(flatten)]
        how: How,
    },
    /// Forget all errors
    ClearErrors {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        how: How,
    },
    /// Remove a journal: the next resume plans and hashes everything anew
    Remove {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        how: How,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Which journal.
#[derive(Debug, Args)]
pub(crate) struct Of {
    /// The backup that is saved, as in 1/100/2
    #[arg(value_name = "P/C/N", value_parser = backup_id)]
    pub(crate) id: BackupId,
    /// The store, as `journal list` shows it, where several have a journal
    #[arg(long, value_name = "STORE")]
    pub(crate) destination: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct How {
    /// Change nothing; tell what would be changed
    #[arg(long)]
    pub(crate) dry_run: bool,
}
