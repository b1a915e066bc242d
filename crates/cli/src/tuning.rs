//! The flags of the engine's settings. They give text: the one parser for all places judges it.

use clap::Args;

/// What may be tuned, in every verb.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Tuning {
    /// Bytes of contents per second, all transfers together; 0 for no limit
    #[arg(long, global = true, value_name = "BYTES", hide_short_help = true, display_order = 910)]
    limit_rate: Option<String>,
    /// The most requests that move contents at the same time [default: 4]
    #[arg(long, global = true, value_name = "COUNT", hide_short_help = true, display_order = 910)]
    concurrency: Option<String>,
    /// Threads that make requests; more than 1 for networks above 10 Gbit/s
    /// [default: 1]
    #[arg(long, global = true, value_name = "COUNT", hide_short_help = true, display_order = 910)]
    request_threads: Option<String>,
    /// Threads that read, hash and write files [default: 2]
    #[arg(long, global = true, value_name = "COUNT", hide_short_help = true, display_order = 910)]
    file_threads: Option<String>,
    /// How these threads stand against others: normal, or low beside a running
    /// broker [default: normal]
    #[arg(long, global = true, value_name = "PRIORITY", hide_short_help = true, display_order = 910)]
    file_priority: Option<String>,
    /// Statuses read at the same time [default: 16]
    #[arg(long, global = true, value_name = "COUNT", hide_short_help = true, display_order = 910)]
    status_concurrency: Option<String>,
    /// Bytes of one part of a multipart upload [default: 8Mi]
    #[arg(long, global = true, value_name = "BYTES", hide_short_help = true, display_order = 910)]
    part_size: Option<String>,
    /// Files above this size go by multipart [default: 32Mi]
    #[arg(long, global = true, value_name = "BYTES", hide_short_help = true, display_order = 910)]
    multipart_threshold: Option<String>,
    /// Bytes of contents in memory at the same time [default: 48Mi]
    #[arg(long, global = true, value_name = "BYTES", hide_short_help = true, display_order = 910)]
    memory_budget: Option<String>,
    /// How long a failing request is tried again [default: 30s]
    #[arg(long, global = true, value_name = "TIME", hide_short_help = true, display_order = 910)]
    retry_budget: Option<String>,
    /// The first wait between tries; it doubles [default: 100ms]
    #[arg(long, global = true, value_name = "TIME", hide_short_help = true, display_order = 910)]
    retry_delay: Option<String>,
    /// How often a save shows a sign of life [default: 10s]
    #[arg(long, global = true, value_name = "TIME", hide_short_help = true, display_order = 910)]
    sign_of_life: Option<String>,
    /// A save without a sign of life for this long counts as stale [default: 24h]
    #[arg(long, global = true, value_name = "TIME", hide_short_help = true, display_order = 910)]
    stale_after: Option<String>,
    /// Where resume journals are kept, or `none`
    /// [default: milepost/journals in the user's state folder]
    #[arg(long, global = true, value_name = "DIR", hide_short_help = true, display_order = 910)]
    journal_dir: Option<String>,
    /// The journal is written after this many files [default: 100]
    #[arg(long, global = true, value_name = "COUNT", hide_short_help = true, display_order = 910)]
    journal_every_files: Option<String>,
    /// The journal is written after this long [default: 5s]
    #[arg(long, global = true, value_name = "TIME", hide_short_help = true, display_order = 910)]
    journal_every: Option<String>,
    /// Go on with a store that fails the probe. Then only one process may ever
    /// write a backup, and no promise about races holds
    #[arg(long, global = true, hide_short_help = true, display_order = 910)]
    single_writer: bool,
}

impl Tuning {
    /// What the flags say, by the settings' names.
    pub(crate) fn pairs(&self) -> Vec<(&'static str, Option<String>)> {
        vec![
            ("rate_limit", self.limit_rate.clone()),
            ("concurrency", self.concurrency.clone()),
            ("request_threads", self.request_threads.clone()),
            ("file_threads", self.file_threads.clone()),
            ("file_priority", self.file_priority.clone()),
            ("status_concurrency", self.status_concurrency.clone()),
            ("part_size", self.part_size.clone()),
            ("multipart_threshold", self.multipart_threshold.clone()),
            ("memory_budget", self.memory_budget.clone()),
            ("retry_budget", self.retry_budget.clone()),
            ("retry_delay", self.retry_delay.clone()),
            ("sign_of_life", self.sign_of_life.clone()),
            ("stale_after", self.stale_after.clone()),
            ("journal_dir", self.journal_dir.clone()),
            ("journal_every_files", self.journal_every_files.clone()),
            ("journal_every", self.journal_every.clone()),
            ("single_writer", self.single_writer.then(|| "true".to_owned())),
        ]
    }
}
