//! The conformance suite of [`BackupStore`]: what `milepost_store::api` says of each method, and the table of calls and
//! states of `docs/design.md`, as far as a caller can bring a store into those states: a delete cut short and a damaged
//! document are the business of the engine's own tests.
//!
//! Each check gets a store of its own, whose base is empty. Run it on a runtime of several threads.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use milepost_store::BackupStore;
//! use milepost_testkit::store_suite::{StoreSuiteOptions, conforms};
//!
//! async fn check(open: impl Fn() -> Arc<dyn BackupStore>) -> Result<(), milepost_testkit::SuiteFailure> {
//!     conforms(async || open(), &StoreSuiteOptions::default()).await
//! }
//! ```

mod annotations;
mod client;
mod deletes;
mod listings;
mod reads;
mod restores;
mod saves;
mod sources;
mod table;

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use milepost_store::BackupStore;

use crate::check::{Checked, FailedCheck, SuiteFailure, report, run};
use client::Client;

/// How the suite is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSuiteOptions {
    /// Bytes of one part of the store's multipart uploads: the files of the suite have sizes around it. Default: 64 KiB,
    /// the least that the settings take.
    pub part_size: u64,
    /// Savers of the race. 2 to 64. Default: 8.
    pub racers: usize,
    /// How long one check may take. Default: 2 minutes.
    pub time_limit: Duration,
    /// Names of checks to leave out, each for a reason that its user should write beside it.
    pub skip: Vec<&'static str>,
}

impl Default for StoreSuiteOptions {
    fn default() -> Self {
        Self { part_size: 64 * 1024, racers: 8, time_limit: Duration::from_secs(120), skip: Vec::new() }
    }
}

/// A check: its name, and what it does with a store.
type Check = (&'static str, fn(Client) -> BoxFuture<'static, Checked>);

macro_rules! checks {
    ($($module:ident :: $name:ident),+ $(,)?) => {
        /// The names of all checks, in the order in which they run.
        pub const CHECKS: &[&str] = &[$(stringify!($name)),+];

        const ALL: &[Check] = &[$((stringify!($name), |client| $module::$name(client).boxed())),+];
    };
}

checks![
    saves::an_absent_backup_is_a_status,
    saves::a_save_commits_every_file,
    saves::empty_sets_are_a_backup,
    saves::digests_are_taken_as_asked,
    saves::skipped_files_make_it_incomplete,
    saves::colliding_names_are_refused_before_any_effect,
    saves::the_reservation_ends_with_the_save,
    saves::racing_saves_have_one_winner,
    saves::a_cancelled_save_is_failed,
    saves::a_dropped_save_is_resumed,
    saves::a_resume_of_equal_files_writes_nothing,
    saves::a_resume_of_other_files_is_refused,
    sources::a_growing_segment_is_saved_at_its_planned_length,
    sources::a_changing_snapshot_fails_the_save_by_name,
    sources::every_failing_file_is_named,
    sources::files_that_cannot_be_planned_are_named,
    table::save_in_every_state,
    table::resume_in_every_state,
    table::mark_failed_in_every_state,
    table::delete_in_every_state,
    table::restore_in_every_state,
    table::reads_in_every_state,
    table::annotate_in_every_state,
    annotations::an_expectation_that_does_not_hold_is_a_conflict,
    annotations::an_expectation_that_holds_lets_through,
    annotations::a_hold_blocks_delete_and_mark_failed,
    annotations::holds_have_limits,
    annotations::a_verification_is_recorded,
    reads::ranges_of_files_are_cut_to_the_file,
    reads::every_level_of_verify_is_content,
    restores::a_restore_is_byte_identical,
    restores::an_empty_folder_is_restored_into,
    restores::a_folder_with_something_else_is_left_alone,
    restores::a_second_restore_does_nothing,
    restores::another_fingerprint_is_refused,
    restores::a_cancelled_restore_leaves_no_target,
    listings::an_empty_store_lists_nothing,
    listings::backups_are_listed_by_checkpoint_partition_node,
    listings::a_selector_narrows,
    listings::limits_and_cursors_count_checkpoints,
    listings::tombstones_are_shown_only_when_asked_for,
    deletes::a_delete_leaves_a_tombstone,
    deletes::a_dry_run_changes_nothing,
    deletes::other_backups_stay,
    deletes::a_tombstone_below_the_newest_is_forgotten,
];

/// Runs every check, each on the store that `fresh` gives.
///
/// # Errors
/// Every check that failed, with what it saw.
pub async fn conforms(
    fresh: impl AsyncFn() -> Arc<dyn BackupStore>,
    options: &StoreSuiteOptions,
) -> Result<(), SuiteFailure> {
    let (mut ran, mut failed) = (0, Vec::new());
    for (name, check) in ALL.iter().copied().filter(|(name, _)| !options.skip.contains(name)) {
        let store = fresh().await;
        let result = run(options.time_limit, async { check(Client::new(store, options.clone())?).await });
        ran += 1;
        if let Err(seen) = result.await {
            failed.push(FailedCheck { check: name, seen: seen.0 });
        }
    }
    report("the store".to_owned(), ran, failed)
}
