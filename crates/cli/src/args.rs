//! The command line, as clap reads it. Help texts are written for 80 columns.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};
use milepost::{BackupId, CheckpointId, NodeId, PartitionId};

use crate::args_copy::CopyArgs;
use crate::args_journal::JournalArgs;
use crate::args_look::{Cat, Completions, Config, Created, Doctor, Ls, Man, Stats, Watch};
use crate::args_ops::{Cluster, HoldArgs, Prune, Release, RestoreNode};
use crate::args_save::Save;
use crate::args_verify::Verify;
use crate::args_words::{CheckArg, OrderArg, backup_id};
use crate::config::Layer;
use crate::resolve::Choice;
use crate::tuning::Tuning;
use crate::tuning_s3::S3Tuning;
use crate::units::parse_duration;

/// The widest that help may be.
const WIDTH: usize = 80;

const ABOUT: &str = "The backup store for replicated logs: saves a partition's files at a checkpoint, \
tells the state of every backup, restores, verifies and deletes.";

const ROOT_HELP: &str = "\
A backup is written PARTITION/CHECKPOINT/NODE, as in 1/100/2. Where a command
takes a BACKUP, the checkpoint may be `latest` (the newest that is complete for
the whole cluster) and the node `any`: 1/latest/any.

Stores: a path, file:///dir, memory:, s3://bucket[/base]?endpoint=…&region=…
Each setting is a flag, MILEPOST_<NAME> in the environment, or <name> in the
file given by --config; the first of these wins. `milepost help save` and the
like tell more.

Try it:
  milepost demo
  milepost --store /var/backups save 1/100/2 --snapshots data/snap \\
    --segments data/log
  milepost --store /var/backups list
  milepost --store /var/backups restore 1/latest/any --target data

Exit codes: 0 ok, 1 failed, 2 usage, 3 partial or corrupt entries, 4 not found,
5 conflict or wrong state, 6 corrupt, 7 refused, 8 unavailable, 130/143 signal.";

#[derive(Debug, Parser)]
#[command(name = "milepost", version, about = ABOUT, after_help = ROOT_HELP, max_term_width = WIDTH)]
#[command(propagate_version = true, arg_required_else_help = true, infer_long_args = false)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(flatten)]
    pub(crate) tuning: Tuning,
    #[command(flatten)]
    pub(crate) s3: S3Tuning,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Where backups are: a path, file:///dir, memory:, s3://…
    #[arg(long, global = true, value_name = "URL", display_order = 900)]
    store: Option<String>,
    /// The cluster's name, which must agree with the store's [default: default]
    #[arg(long, global = true, value_name = "NAME", display_order = 900)]
    cluster: Option<String>,
    /// The cluster's id, which must agree with the store's [default: the store's]
    #[arg(long, global = true, value_name = "ID", display_order = 900)]
    cluster_id: Option<String>,
    /// A TOML file of settings (or MILEPOST_CONFIG)
    #[arg(long, global = true, value_name = "FILE", display_order = 900)]
    pub(crate) config: Option<PathBuf>,
    /// JSON on stdout: one document for a query, JSON lines for long work;
    /// errors are JSON lines on stderr
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,
    /// No progress and no summary; errors only
    #[arg(long, short, global = true, conflicts_with = "verbose", display_order = 900)]
    pub(crate) quiet: bool,
    /// More log lines on stderr: -v info, -vv debug, -vvv everything
    #[arg(long, short, global = true, action = ArgAction::Count, display_order = 900)]
    pub(crate) verbose: u8,
}

impl Cli {
    /// What the flags say of settings.
    pub(crate) fn layer(&self) -> Layer {
        let global = &self.global;
        let mut pairs: Vec<(&'static str, Option<String>)> = vec![
            ("store", global.store.clone()),
            ("cluster", global.cluster.clone()),
            ("cluster_id", global.cluster_id.clone()),
        ];
        pairs.extend(self.tuning.pairs());
        pairs.extend(self.s3.pairs());
        match &self.verb {
            Verb::Save(save) => pairs.push(("digest", save.digest.clone())),
            Verb::Init(init) => pairs.push(("first_partition", init.first_partition.map(|first| first.to_string()))),
            _ => {}
        }
        pairs.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Save a partition's files as one backup
    #[command(
        after_help = "Examples:\n  milepost save 1/100/2 --snapshots data/snapshots --segments data/log \\\n    --position 4711 --partitions 3\n  milepost save 1/100/2 --segments data/log --resume      (go on after a crash)"
    )]
    Save(Box<Save>),
    /// Tell the state of one backup (exit 4 where there is none)
    #[command(
        after_help = "Examples:\n  milepost status 1/100/2\n  milepost --json status 1/latest/any | jq -r .state"
    )]
    Status(Status),
    /// Show a backup's files, sizes and checksums
    #[command(
        after_help = "Examples:\n  milepost show 1/100/2\n  milepost --json show 1/100/2 | jq .metadata.totalBytes"
    )]
    Show(Show),
    /// List a backup's files
    #[command(
        after_help = "Examples:\n  milepost ls 1/100/2\n  milepost --json ls 1/latest/any | jq -r '.files[].file'"
    )]
    Ls(Ls),
    /// Print one file of a backup, verified while it streams (exit 6)
    #[command(
        after_help = "What was printed is not to be trusted unless the exit code is 0: a file is judged\nwhen its last byte was read.\n\nExamples:\n  milepost cat 1/100/2 segments/1.log > 1.log\n  milepost cat 1/latest/any MANIFEST | head -c 100"
    )]
    Cat(Cat),
    /// List backups, the newest checkpoint first (exit 3 with corrupt entries)
    #[command(
        after_help = "Examples:\n  milepost list --partition 1 --limit 10\n  milepost list --since 7d\n  milepost --json list | jq -r '.backups[] | select(.state == \"FAILED\").id'"
    )]
    List(List),
    /// Add up what lies in the store, and how it grows
    #[command(after_help = "Examples:\n  milepost stats\n  milepost --json stats --since 30d | jq .total.bytes")]
    Stats(Stats),
    /// Show checkpoints over all partitions, or one with every copy
    #[command(
        after_help = "Examples:\n  milepost cluster\n  milepost cluster latest\n  milepost --json cluster | jq -r .latest"
    )]
    Cluster(Cluster),
    /// Restore a backup into a folder that is absent or empty
    #[command(
        after_help = "Examples:\n  milepost restore 1/latest/any --target /var/lib/broker/1\n  milepost restore 1/100/2 --target data --skip-if-restored"
    )]
    Restore(Restore),
    /// Restore a node's data folder: all its partitions from one checkpoint
    #[command(
        override_usage = "milepost restore-node [OPTIONS] <CHECKPOINT> --node <N>\n       --partitions <P,P,…> --target <DIR>",
        after_help = "Examples:\n  milepost restore-node latest --node 2 --partitions 1,2,3 --target /data\n  milepost restore-node latest --node 2 --partitions 1,2,3 --target /scratch \\\n    --drill\n  milepost restore-node 100 --node 2 --partitions 1,2,3 --target /data \\\n    --skip-if-restored --min-checkpoint 100"
    )]
    RestoreNode(Box<RestoreNode>),
    /// Check a backup, or many (exit 6 where something is wrong)
    #[command(
        override_usage = "milepost verify [OPTIONS] <BACKUP>\n       milepost verify [OPTIONS] --all\n       milepost verify [OPTIONS] --checkpoint <C> | --partition <P> | --node <N>",
        after_help = "Of many backups the outcomes are recorded in their statuses, for `cluster` and\n--oldest-first; without the right to write, nothing is, and it is said.\n\nExamples:\n  milepost verify 1/100/2\n  milepost verify 1/latest/any --level content\n  milepost verify --all --sample 5 --level content --report proof.json\n  milepost verify --all --oldest-first --limit 100"
    )]
    Verify(Box<Verify>),
    /// Declare a backup failed: it is never restored again
    #[command(after_help = "Example:\n  milepost mark-failed 1/100/2 --reason 'taken from a broken disk'")]
    MarkFailed(MarkFailed),
    /// Delete a backup; its id is used up
    #[command(after_help = "Examples:\n  milepost delete 1/100/2 --dry-run\n  milepost delete 1/100/2 --yes")]
    Delete(Delete),
    /// Delete what a retention policy no longer keeps
    #[command(
        after_help = "Rules add up: what any of them keeps stays. Without one every complete checkpoint\nis kept, and only failed, unfinished and forgotten things are cleared up. The\nlast complete checkpoint and what is held never go.\n\nExamples:\n  milepost prune --keep-last 7 --dry-run\n  milepost prune --keep-within 14d --keep-weekly 8 --min-count 3 --yes\n  milepost prune --max-bytes 2Ti --yes"
    )]
    Prune(Box<Prune>),
    /// Hold a backup or a checkpoint: not deleted, not failed, not pruned (exit 7)
    #[command(
        after_help = "Examples:\n  milepost hold 100 --reason 'audit 2026' --owner ops\n  milepost hold 1/100/2 --reason 'bug 4711' --id bug-4711"
    )]
    Hold(HoldArgs),
    /// Release a hold
    #[command(after_help = "Examples:\n  milepost release 100 --id bug-4711\n  milepost release 1/100/2 --all")]
    Release(Release),
    /// Copy a backup or a checkpoint to another store, verified on the way
    #[command(
        after_help = "The metadata stays the same, byte for byte; the new status says where the backup\ncomes from. The same command again continues what was interrupted, and does\nnothing where all is there.\n\nExamples:\n  milepost copy 1/100/2 --to /mnt/vault\n  milepost copy latest --to 's3://vault/prod?region=eu-west-1'\n  milepost copy 100 --to s3://vault/prod --to-config vault.toml --dry-run"
    )]
    Copy(Box<CopyArgs>),
    /// What unfinished saves of this machine noted, and what to do otherwise
    #[command(
        after_help = "A journal is kept where the save runs, and goes when it succeeds. A change takes\neffect with the next `save --resume`.\n\nExamples:\n  milepost journal list\n  milepost journal show 1/100/2\n  milepost journal skip 1/100/2 segments/7.log --reason 'lost with the disk'"
    )]
    Journal(Box<JournalArgs>),
    /// Prepare a store for a cluster: make cluster.json
    #[command(
        after_help = "Examples:\n  milepost --store /var/backups --cluster prod init\n  milepost --store /var/backups init --adopt    (backups, but no cluster.json)"
    )]
    Init(Init),
    /// Try out whether a store keeps the promises that backups need (exit 7)
    Probe,
    /// Watch the saves that are running, on all nodes
    #[command(
        after_help = "On a terminal a table that is drawn again; else a line for each change. Numbers\nare those of the saves' signs of life, every --sign-of-life.\n\nExamples:\n  milepost watch\n  milepost watch --once\n  milepost --json watch --interval 10s"
    )]
    Watch(Watch),
    /// Examine the store: what is wrong, and the command that mends it
    #[command(
        after_help = "Exit codes: 0 at most notes, 3 warnings, 6 errors, 7 an unfit store.\n\n--repair aborts uploads that no save owns and that are older than --stale-after,\nforgets tombstones past their grace, removes what probes and journals of ended\nsaves left; nothing else.\n\nExamples:\n  milepost doctor\n  milepost doctor --repair --yes\n  milepost --json doctor --quick \\\n    | jq '.findings[] | select(.severity == \"ERROR\")'"
    )]
    Doctor(Doctor),
    /// Show every setting, its value, and where it was given
    #[command(
        after_help = "Examples:\n  milepost config show\n  milepost --json config show \\\n    | jq '.settings[] | select(.origin == \"FILE\")'"
    )]
    Config(Config),
    /// Print a script that completes this command line in a shell
    #[command(
        after_help = "Examples:\n  milepost completions bash > ~/.local/share/bash-completion/completions/milepost\n  milepost completions zsh > ~/.zfunc/_milepost"
    )]
    Completions(Completions),
    /// Print the manual page of the command, or of a verb
    #[command(
        after_help = "Examples:\n  milepost man > /usr/local/share/man/man1/milepost.1\n  milepost man restore-node | man -l -"
    )]
    Man(Man),
    /// Show it all on a small made-up broker, in a folder of its own
    #[command(after_help = "Example:\n  milepost demo --dir ./demo")]
    Demo(Demo),
}

impl Verb {
    /// The verb as it is typed.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Save(_) => "save",
            Self::Status(_) => "status",
            Self::Show(_) => "show",
            Self::Ls(_) => "ls",
            Self::Cat(_) => "cat",
            Self::List(_) => "list",
            Self::Stats(_) => "stats",
            Self::Cluster(_) => "cluster",
            Self::Restore(_) => "restore",
            Self::RestoreNode(_) => "restore-node",
            Self::Verify(_) => "verify",
            Self::MarkFailed(_) => "mark-failed",
            Self::Delete(_) => "delete",
            Self::Prune(_) => "prune",
            Self::Hold(_) => "hold",
            Self::Release(_) => "release",
            Self::Copy(_) => "copy",
            Self::Journal(_) => "journal",
            Self::Init(_) => "init",
            Self::Probe => "probe",
            Self::Watch(_) => "watch",
            Self::Doctor(_) => "doctor",
            Self::Config(_) => "config",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
            Self::Demo(_) => "demo",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) backup: ChoiceArg,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) backup: ChoiceArg,
}

#[derive(Debug, Args)]
pub(crate) struct ChoiceArg {
    /// PARTITION/CHECKPOINT/NODE; checkpoint `latest`, node `any`
    #[arg(value_name = "BACKUP")]
    pub(crate) choice: Choice,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only this partition
    #[arg(long, value_name = "P")]
    pub(crate) partition: Option<PartitionId>,
    /// Only this checkpoint
    #[arg(long, value_name = "C")]
    pub(crate) checkpoint: Option<CheckpointId>,
    /// Only this node
    #[arg(long, value_name = "N")]
    pub(crate) node: Option<NodeId>,
    /// The highest checkpoint first (desc) or last (asc)
    #[arg(long, value_name = "ORDER", default_value = "desc")]
    pub(crate) order: OrderArg,
    /// Only checkpoints behind this one, in the order asked for
    #[arg(long, value_name = "C")]
    pub(crate) after: Option<CheckpointId>,
    /// At most this many checkpoints
    #[arg(long, value_name = "COUNT")]
    pub(crate) limit: Option<NonZeroU32>,
    #[command(flatten)]
    pub(crate) created: Created,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    pub(crate) backup: ChoiceArg,
    /// The folder: absent (its parent must exist), or empty
    #[arg(long, value_name = "DIR")]
    pub(crate) target: PathBuf,
    /// Check size, checksum and digest, or all but the digest
    #[arg(long, value_name = "HOW", default_value = "digest")]
    pub(crate) check: CheckArg,
    /// Refuse a backup that carries another fingerprint
    #[arg(long, value_name = "F")]
    pub(crate) expect_fingerprint: Option<String>,
    /// Do nothing where the target was restored before, whatever it holds now
    #[arg(long)]
    pub(crate) skip_if_restored: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MarkFailed {
    /// The backup, as in 1/100/2
    #[arg(value_name = "P/C/N", value_parser = backup_id)]
    pub(crate) id: BackupId,
    /// Why, for whoever looks at it later
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The backup, as in 1/100/2
    #[arg(value_name = "P/C/N", value_parser = backup_id)]
    pub(crate) id: BackupId,
    /// Change nothing; tell what would be deleted
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Delete a backup whose status cannot be read, too
    #[arg(long)]
    pub(crate) corrupt: bool,
    /// Forget the tombstone, too, once it is older than this [default: 24h]
    #[arg(long, value_name = "AGE", num_args = 0..=1, require_equals = true, default_missing_value = "24h",
          value_parser = parse_duration)]
    pub(crate) forget: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Backups are there already: take the cluster id that they carry
    #[arg(long)]
    pub(crate) adopt: bool,
    /// The broker's lowest partition id: 0 or 1 [default: 1]
    #[arg(long, value_name = "0|1", value_parser = clap::value_parser!(u32).range(0..=1))]
    pub(crate) first_partition: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The folder to work in: absent, empty, or an earlier demo's
    #[arg(long, value_name = "DIR", default_value = "milepost-demo")]
    pub(crate) dir: PathBuf,
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
