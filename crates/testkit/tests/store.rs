//! The store suite is satisfiable, and sees flaws: it is run on a naive store of one process that keeps all in memory, whole
//! and with one flaw at a time.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

mod model;

use std::sync::Arc;

use milepost_store::BackupStore;
use milepost_testkit::store_suite::{CHECKS, StoreSuiteOptions, conforms};
use model::{Flaw, Model};

fn model(flaw: Flaw) -> Arc<dyn BackupStore> {
    Arc::new(Model::new(flaw))
}

async fn seen(flaw: Flaw) -> Vec<&'static str> {
    match conforms(async || model(flaw), &StoreSuiteOptions::default()).await {
        Ok(()) => Vec::new(),
        Err(failure) => {
            assert_eq!(failure.run, CHECKS.len());
            failure.failed.into_iter().map(|failed| failed.check).collect()
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_without_flaws_conforms() {
    conforms(async || model(Flaw::None), &StoreSuiteOptions::default()).await.unwrap();
}

macro_rules! caught {
    ($($test:ident: $flaw:ident => $check:ident;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                let seen = seen(Flaw::$flaw).await;
                assert!(seen.contains(&stringify!($check)), "{:?} was seen only by {seen:?}", Flaw::$flaw);
            }
        )+
    };
}

caught! {
    overwriting_saves: SavesOverAnything => save_in_every_state;
    saves_over_tombstones: SavesOverAnything => a_delete_leaves_a_tombstone;
    forgotten_expectations: IgnoresExpect => an_expectation_that_does_not_hold_is_a_conflict;
    ignored_holds: IgnoresHolds => a_hold_blocks_delete_and_mark_failed;
    lost_reasons: ReplacesReasons => mark_failed_in_every_state;
    saved_as_long_as_it_is_now: SavesWhatIsThere => a_growing_segment_is_saved_at_its_planned_length;
    unnoticed_changes: IgnoresVersions => a_changing_snapshot_fails_the_save_by_name;
    first_failure_only: NamesOneFailure => every_failing_file_is_named;
    cancelled_and_in_progress: CancelLeavesInProgress => a_cancelled_save_is_failed;
    text_order: ListsAsText => backups_are_listed_by_checkpoint_partition_node;
    limit_of_backups: LimitCountsBackups => limits_and_cursors_count_checkpoints;
    visible_tombstones: ShowsTombstones => tombstones_are_shown_only_when_asked_for;
    no_tombstone: LeavesNoTombstone => a_delete_leaves_a_tombstone;
    restored_over_files: RestoresOverFiles => a_folder_with_something_else_is_left_alone;
    restored_twice: RestoresTwice => a_second_restore_does_nothing;
    swapped_bytes: RestoresOtherBytes => a_restore_is_byte_identical;
    no_seal: ForgetsWithoutSeal => a_tombstone_below_the_newest_is_forgotten;
    dry_run_deletes: DryRunDeletes => a_dry_run_changes_nothing;
    two_winners: ClaimsWithoutLooking => racing_saves_have_one_winner;
    kept_reservation: KeepsReservations => the_reservation_ends_with_the_save;
}
