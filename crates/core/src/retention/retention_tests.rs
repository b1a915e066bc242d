//! Plans over random small clusters, against what the words of the policy say.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::copy::{CopyFacts, CopyState, PartitionCopy};
use crate::document::StatusCode;
use crate::ids::{AttemptId, BackupId, CheckpointId, ClusterId, PartitionId};
use crate::view::{ClusterState, ClusterView, ViewRules};

const HOUR: u64 = 3600;
const NOW: i64 = 1_795_255_200;

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * HOUR)
}

/// One copy of a made-up store; `code` None is a corrupt status.
fn candidate(id: BackupId, code: Option<StatusCode>, age_hours: u64, partitions: Option<u32>) -> Candidate {
    let Some(status_code) = code else { return Candidate::corrupt(id, "is odd") };
    let facts = CopyFacts {
        status_code,
        cluster_id: ClusterId::new("c").unwrap(),
        complete: true,
        number_of_partitions: partitions,
        term: None,
        checkpoint_position: None,
        failure_reason: None,
    };
    Candidate {
        copy: PartitionCopy { id, state: CopyState::Readable(facts) },
        seen: Some(Seen { attempt: AttemptId::new("a").unwrap(), revision: 1 }),
        age: Some(hours(age_hours)),
        completed_at: (status_code == StatusCode::Completed)
            .then(|| Timestamp::from_second(NOW - i64::try_from(age_hours * HOUR).unwrap()).unwrap()),
        annotated_after: Duration::ZERO,
        bytes: 10,
        holds: vec![],
    }
}

fn completed(partition: u32, checkpoint: u64, age_hours: u64) -> Candidate {
    candidate(BackupId::new(partition, checkpoint, 1), Some(StatusCode::Completed), age_hours, Some(2))
}

/// Complete checkpoints of two partitions, with these ages in hours; ids count from 1.
fn complete_ones(ages: &[u64]) -> Vec<Candidate> {
    let pair = |(at, age): (usize, &u64)| {
        let checkpoint = at as u64 + 1;
        [completed(1, checkpoint, *age), completed(2, checkpoint, *age)]
    };
    ages.iter().enumerate().flat_map(pair).collect()
}

fn plan(candidates: &[Candidate], policy: &RetentionPolicy) -> RetentionPlan {
    RetentionPlan::new(candidates.iter().cloned(), policy).unwrap()
}

fn policy(change: impl FnOnce(&mut RetentionPolicy)) -> RetentionPolicy {
    let mut policy = RetentionPolicy::default();
    change(&mut policy);
    policy
}

/// The checkpoints of which nothing goes, oldest first.
fn kept(plan: &RetentionPlan) -> Vec<u64> {
    let whole = |planned: &&PlannedCheckpoint| planned.steps.iter().all(|step| step.action == Action::Keep);
    let mut kept: Vec<u64> = plan.checkpoints.iter().filter(whole).map(|planned| planned.checkpoint.0).collect();
    kept.reverse();
    kept
}

fn action(plan: &RetentionPlan, id: BackupId) -> (Action, String) {
    let step = plan.steps().find(|step| step.id == id).unwrap();
    (step.action, step.reason.clone())
}

#[test]
fn rules_add_up_and_each_names_its_reason() {
    // 1 to 6; the ages are 40 days, 30 days, 8 days, 30 h, 3 h, 1 h.
    let store = complete_ones(&[960, 720, 192, 30, 3, 1]);
    assert_eq!(kept(&plan(&store, &policy(|p| p.keep_last = Some(2)))), [5, 6]);
    assert_eq!(kept(&plan(&store, &policy(|p| p.keep_within = Some(hours(31))))), [4, 5, 6]);
    assert_eq!(kept(&plan(&store, &policy(|p| p.keep_daily = Some(2)))), [4, 6]);
    assert_eq!(kept(&plan(&store, &policy(|p| p.keep_weekly = Some(2)))), [3, 6]);
    assert_eq!(kept(&plan(&store, &policy(|p| p.keep_monthly = Some(9)))), [2, 6]);
    let both = policy(|p| (p.keep_last, p.keep_monthly) = (Some(1), Some(9)));
    assert_eq!(kept(&plan(&store, &both)), [2, 6]);
    let (_, reason) = action(&plan(&store, &both), BackupId::new(1, 6, 1));
    assert_eq!(reason, "the last complete one; one of the last 1; the newest of month 2026-11");
    assert_eq!(action(&plan(&store, &both), BackupId::new(2, 1, 1)), (Action::Delete, "no rule keeps it".to_owned()));
    assert_eq!(kept(&plan(&store, &RetentionPolicy::default())), [1, 2, 3, 4, 5, 6], "no rule: all complete ones stay");
}

/// What is held keeps its copy while the others of its checkpoint go, and with them the day that it stood for: were it counted, the next
/// plan would let another checkpoint go that this one keeps.
#[test]
fn a_held_copy_takes_no_other_checkpoints_place() {
    let one = |checkpoint, node, age| {
        candidate(BackupId::new(1, checkpoint, node), Some(StatusCode::Completed), age, Some(1))
    };
    let mut held = one(3, 0, 188);
    held.holds = vec!["h".to_owned()];
    let store = [one(1, 1, 0), held, one(3, 1, 120), one(4, 0, 113)];
    let daily = policy(|p| (p.keep_last, p.keep_daily, p.allow_empty) = (Some(1), Some(2), true));
    let once = plan(&store, &daily);
    assert_eq!(kept(&once), [1, 4], "{once:?}");
    let again = plan(&done(&store, &once), &daily);
    assert_eq!(again.changes().count(), 0, "{again:?}");
    assert_eq!(kept(&again), [1, 3, 4]);
}

#[test]
fn floors_need_both_count_and_age_to_let_go() {
    let store = complete_ones(&[96, 72, 48, 24, 2, 1]);
    let floors = policy(|p| (p.min_count, p.min_age) = (2, hours(50)));
    assert_eq!(kept(&plan(&store, &floors)), [3, 4, 5, 6]);
    let floors = policy(|p| (p.min_count, p.min_age) = (5, hours(50)));
    assert_eq!(kept(&plan(&store, &floors)), [2, 3, 4, 5, 6]);
}

#[test]
fn the_ceiling_takes_the_oldest_first_and_stops_at_floors_holds_and_the_last_one() {
    let mut store = complete_ones(&[96, 72, 48, 24]);
    let ceiling = |bytes| policy(|p| p.max_bytes = Some(bytes));
    assert_eq!(kept(&plan(&store, &ceiling(80))), [1, 2, 3, 4]);
    assert_eq!(kept(&plan(&store, &ceiling(79))), [2, 3, 4]);
    let least = plan(&store, &ceiling(1));
    assert_eq!((kept(&least), least.over_ceiling), (vec![4], Some(19)));
    let floor = policy(|p| (p.max_bytes, p.min_count) = (Some(1), 3));
    assert_eq!(kept(&plan(&store, &floor)), [2, 3, 4]);
    let rule = policy(|p| (p.max_bytes, p.keep_last) = (Some(40), Some(3)));
    assert_eq!(kept(&plan(&store, &rule)), [3, 4], "the ceiling outranks a rule");
    store[0].holds = vec!["h by ops: audit".to_owned()];
    let held = plan(&store, &ceiling(60));
    assert_eq!(action(&held, store[0].id()), (Action::Keep, "held: h by ops: audit".to_owned()));
    assert_eq!(action(&held, store[1].id()).0, Action::Delete, "one hold blocks no other delete");
    assert_eq!(held.over_ceiling, None);
    let empty = policy(|p| (p.max_bytes, p.allow_empty) = (Some(0), true));
    assert_eq!(plan(&store[2..], &empty).changes().count(), 6);
}

#[test]
fn contradictions_are_refused_by_name() {
    let refused = |change: fn(&mut RetentionPolicy)| {
        RetentionPlan::new(complete_ones(&[1]), &policy(change)).unwrap_err().to_string()
    };
    assert!(refused(|p| p.keep_last = Some(0)).contains("keep nothing"));
    assert!(refused(|p| p.max_bytes = Some(0)).contains("keep nothing"));
    assert!(refused(|p| (p.keep_last, p.min_count) = (Some(2), 3)).contains("keep-last 2 contradicts min-count 3"));
    assert!(refused(|p| (p.keep_within, p.min_age) = (Some(hours(1)), hours(2))).contains("min-age"));
    assert!(refused(|p| (p.allow_empty, p.min_count) = (true, 1)).contains("allow-empty"));
    // With a second rule the floor is no slip.
    policy(|p| (p.keep_last, p.keep_daily, p.min_count) = (Some(2), Some(7), 3)).check().unwrap();
    policy(|p| (p.keep_last, p.allow_empty) = (Some(0), true)).check().unwrap();
}

#[test]
fn the_last_complete_one_stays_even_if_it_is_old_and_damaged_ones_are_newer() {
    let mut store = complete_ones(&[9000]);
    store.push(candidate(BackupId::new(1, 2, 1), Some(StatusCode::Failed), 500, Some(2)));
    store.push(completed(2, 2, 500));
    let strict = policy(|p| p.keep_within = Some(hours(1)));
    let planned = plan(&store, &strict);
    assert_eq!(kept(&planned), [1, 2]);
    assert_eq!(action(&planned, BackupId::new(2, 2, 1)).1, "FAILED, but newer than 1, the newest complete one");
    let empty = policy(|p| (p.keep_within, p.allow_empty) = (Some(hours(1)), true));
    assert_eq!(action(&plan(&store, &empty), BackupId::new(1, 1, 1)).0, Action::Delete);
    assert_eq!(action(&plan(&store, &empty), BackupId::new(2, 2, 1)).0, Action::Keep, "nothing better stays");
}

#[test]
fn what_is_no_use_goes_after_its_grace() {
    let id = |checkpoint, node| BackupId::new(1, checkpoint, node);
    let mut store = complete_ones(&[500, 100, 1]);
    let failed = Some(StatusCode::Failed);
    store.push(candidate(id(3, 2), failed, 30, Some(2)));
    store.push(candidate(id(2, 2), failed, 3, Some(2)));
    store.push(candidate(id(2, 3), Some(StatusCode::InProgress), 30, Some(2)));
    store.push(candidate(id(2, 4), Some(StatusCode::Deleting), 0, Some(2)));
    store.push(candidate(id(2, 5), None, 0, None));
    store.push(candidate(id(1, 2), Some(StatusCode::Deleted), 30, Some(2)));
    store.push(candidate(id(3, 9), Some(StatusCode::Deleted), 30, Some(2)));
    let planned = plan(&store, &RetentionPolicy::default());
    assert_eq!(action(&planned, id(3, 2)).0, Action::Delete);
    assert_eq!(action(&planned, id(2, 2)).0, Action::Keep);
    assert_eq!(action(&planned, id(2, 3)), (Action::Fence, "no sign of life for 30 h".to_owned()));
    assert_eq!(action(&planned, id(2, 4)).0, Action::Finish);
    assert_eq!(action(&planned, id(2, 5)), (Action::Keep, "the status is corrupt, a person has to look".to_owned()));
    assert_eq!(action(&planned, id(1, 2)).0, Action::Forget);
    assert_eq!(action(&planned, id(3, 9)).1, "deleted; partition 1 has nothing newer");
}

#[test]
fn copies_count_for_the_day_on_which_the_originals_were_committed() {
    use crate::document::StatusDocument;
    let golden = include_bytes!("../../tests/golden/v1/status-completed-copied.json");
    let copied = StatusDocument::parse(golden, BackupId::new(1, 100, 2)).unwrap();
    let candidate = Candidate::new(&copied, Some(hours(1)));
    assert_eq!(candidate.completed_at, copied.copied_from.as_ref().unwrap().completed_at);
    assert_ne!(candidate.completed_at, copied.completed_at);
    assert_eq!(candidate.since_commit(), hours(1), "but a copy is as young as it is");
}

#[test]
fn an_annotation_does_not_make_a_checkpoint_young() {
    let mut store = complete_ones(&[500, 1]);
    for copy in &mut store[..2] {
        (copy.age, copy.annotated_after) = (Some(hours(0)), hours(500));
    }
    assert_eq!(kept(&plan(&store, &policy(|p| p.keep_within = Some(hours(48))))), [2]);
    store[0].age = None;
    assert_eq!(kept(&plan(&store, &policy(|p| p.keep_within = Some(hours(48))))), [1, 2], "of unknown age: young");
}

#[test]
fn what_is_left_of_a_deleted_checkpoint_does_not_pass_for_a_whole_one() {
    // Nobody knows the number of partitions; partition 2 of checkpoint 5 was deleted long ago.
    let mut store = vec![candidate(BackupId::new(1, 5, 1), Some(StatusCode::Completed), 100, None)];
    store.push(candidate(BackupId::new(2, 5, 1), Some(StatusCode::Deleted), 100, None));
    for partition in [1, 2] {
        store.push(candidate(BackupId::new(partition, 4, 1), Some(StatusCode::Completed), 200, None));
        store.push(candidate(BackupId::new(partition, 6, 1), Some(StatusCode::Completed), 0, None));
    }
    let planned = plan(&store, &policy(|p| p.keep_last = Some(2)));
    assert_eq!(kept(&planned), [4, 6]);
    assert_eq!(action(&planned, BackupId::new(1, 5, 1)).0, Action::Delete);
    assert_eq!(action(&planned, BackupId::new(2, 5, 1)).0, Action::Forget);
    store[0].holds = vec!["h".to_owned()];
    let planned = plan(&store, &policy(|p| p.keep_last = Some(2)));
    assert_eq!(kept(&planned), [4, 5, 6]);
    assert_eq!(action(&planned, BackupId::new(2, 5, 1)).1, "deleted; tells that the checkpoint is not whole");
}

// ---- random clusters ----

fn a_state() -> impl Strategy<Value = Option<Option<StatusCode>>> {
    use StatusCode as S;
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(None)),
        8 => Just(Some(Some(S::Completed))),
        2 => Just(Some(Some(S::Failed))),
        1 => Just(Some(Some(S::InProgress))),
        1 => Just(Some(Some(S::Deleting))),
        2 => Just(Some(Some(S::Deleted))),
    ]
}

prop_compose! {
    /// Up to 6 checkpoints of up to 3 partitions on up to 2 nodes.
    fn a_store()(
        partitions in 1u32..4,
        known in prop::option::weighted(0.7, Just(())),
        checkpoints in 1u64..7,
    )(
        copies in prop::collection::vec((a_state(), 0u64..200, 0u8..8, 0u32..40), (checkpoints * u64::from(partitions) * 2) as usize),
        partitions in Just(partitions),
        known in Just(known),
    ) -> Vec<Candidate> {
        copies.into_iter().enumerate().filter_map(|(at, (state, age, held, odd))| {
            let at = u32::try_from(at).unwrap();
            let id = BackupId::new(at % partitions + 1, u64::from(at / partitions / 2) + 1, at / partitions % 2);
            // Once in a while a copy lies about the number of partitions.
            let count = known.map(|()| if odd == 0 { partitions + 1 } else { partitions });
            let mut copy = candidate(id, state?, age, count);
            if held == 0 && copy.code() == Some(StatusCode::Completed) {
                copy.holds = vec!["h".to_owned()];
            }
            Some(copy)
        }).collect()
    }
}

prop_compose! {
    fn a_policy()(
        keep_last in prop::option::of(0u32..4),
        keep_within in prop::option::of(0u64..150),
        keep_daily in prop::option::of(0u32..4),
        keep_weekly in prop::option::of(0u32..3),
        min_count in 0u32..3,
        min_age in 0u64..50,
        max_bytes in prop::option::of(1u64..200),
        allow_empty in prop::bool::weighted(0.2),
        grace in 1u64..100,
    ) -> RetentionPolicy {
        let policy = RetentionPolicy {
            keep_last, keep_within: keep_within.map(hours), keep_daily, keep_weekly, keep_monthly: None,
            min_count, min_age: hours(min_age), max_bytes, allow_empty,
            failed_grace: hours(grace), tombstone_grace: hours(grace), stale_after: hours(grace),
        };
        // One that contradicts itself is refused; its counterpart without floors does not.
        match policy.check() {
            Ok(()) => policy,
            Err(_) => RetentionPolicy { min_count: 0, min_age: Duration::ZERO, keep_last: Some(1), ..policy },
        }
    }
}

/// What the store looks like right after the plan was done.
fn done(candidates: &[Candidate], plan: &RetentionPlan) -> Vec<Candidate> {
    let actions: BTreeMap<BackupId, Action> = plan.steps().map(|step| (step.id, step.action)).collect();
    candidates
        .iter()
        .filter_map(|old| {
            let mut new = old.clone();
            let code = match actions[&old.id()] {
                Action::Keep => return Some(new),
                Action::Fence => StatusCode::Failed,
                Action::Delete | Action::Finish => StatusCode::Deleted,
                Action::Forget => return None,
            };
            if let CopyState::Readable(facts) = &mut new.copy.state {
                facts.status_code = code;
            }
            new.age = Some(Duration::ZERO);
            new.completed_at = None;
            Some(new)
        })
        .collect()
}

/// The complete checkpoints as everybody sees them, newest first; tombstones do not count.
fn complete(candidates: &[Candidate]) -> Vec<CheckpointId> {
    let rules = ViewRules::for_copies(candidates.iter().map(Candidate::id));
    ClusterView::all(candidates.iter().map(|candidate| candidate.copy.clone()), &rules)
        .iter()
        .filter(|view| view.state == ClusterState::Completed)
        .map(|view| view.checkpoint)
        .collect()
}

fn age_of(candidates: &[Candidate], checkpoint: CheckpointId) -> Duration {
    let of = candidates.iter().filter(|c| c.id().checkpoint == checkpoint && c.code() == Some(StatusCode::Completed));
    of.map(|c| c.age.unwrap()).min().unwrap()
}

proptest! {
    #[test]
    fn no_plan_deletes_what_the_policy_keeps(store in a_store(), policy in a_policy()) {
        let planned = plan(&store, &policy);
        prop_assert_eq!(planned.steps().count(), store.len(), "each backup has its line");
        let gone = |checkpoint: CheckpointId| planned.changes().any(|step| {
            step.id.checkpoint == checkpoint && step.restorable && step.action == Action::Delete
        });
        // A checkpoint of which something was deleted, and nobody knows how much, is no whole one.
        let whole: Vec<CheckpointId> = complete(&store).into_iter().filter(|checkpoint| {
            let known = store.iter().any(|c| c.id().checkpoint == *checkpoint && c.code() == Some(StatusCode::Completed)
                && c.copy.facts().unwrap().number_of_partitions.is_some());
            let of = |code: fn(&Candidate) -> bool| -> std::collections::BTreeSet<PartitionId> {
                store.iter().filter(|c| c.id().checkpoint == *checkpoint && code(c)).map(|c| c.id().partition).collect()
            };
            known || of(|c| !c.is_live()).is_subset(&of(Candidate::is_live))
        }).collect();
        for (at, checkpoint) in whole.iter().enumerate() {
            let age = age_of(&store, *checkpoint);
            let floor = (at as u32) < policy.min_count || age < policy.min_age || (at == 0 && !policy.allow_empty);
            let ruled = policy.keep_last.is_some_and(|n| (at as u32) < n) || policy.keep_within.is_some_and(|d| age < d);
            if floor || (ruled && policy.max_bytes.is_none()) {
                prop_assert!(!gone(*checkpoint), "{checkpoint} {planned:?}");
            }
        }
        for step in planned.changes() {
            let old = store.iter().find(|c| c.id() == step.id).unwrap();
            prop_assert!(old.holds.is_empty() && old.code().is_some(), "{step:?}");
            match step.action {
                Action::Fence => prop_assert!(old.age.unwrap() >= policy.stale_after),
                Action::Forget => prop_assert!(old.age.unwrap() >= policy.tombstone_grace && !old.is_live()),
                Action::Delete if old.code() == Some(StatusCode::Failed) => {
                    prop_assert!(old.age.unwrap() >= policy.failed_grace, "{step:?}");
                }
                _ => {}
            }
            prop_assert!(old.code() != Some(StatusCode::InProgress) || step.action == Action::Fence, "{step:?}");
            prop_assert!(!step.reason.is_empty());
        }
    }

    #[test]
    fn the_last_complete_one_survives(store in a_store(), policy in a_policy()) {
        let planned = plan(&store, &policy);
        let after = complete(&done(&store, &planned));
        if !policy.allow_empty && let Some(survivor) = planned.survivors().next() {
            prop_assert!(after.contains(&survivor.checkpoint));
        }
        // Nothing passes for complete that was not, and nothing above the survivor goes.
        let before = complete(&store);
        if store.iter().all(|c| c.code() != Some(StatusCode::Completed) || c.copy.facts().unwrap().number_of_partitions.is_some()) {
            prop_assert!(after.iter().all(|checkpoint| before.contains(checkpoint)), "{before:?} {after:?}");
            prop_assert!(policy.allow_empty || after.first() == before.first(), "{before:?} {after:?}");
        }
        if let Some(survivor) = planned.survivors().next() && !policy.allow_empty {
            prop_assert!(!planned.changes().any(|s| s.restorable && s.action == Action::Delete && s.id.checkpoint >= survivor.checkpoint));
        }
    }

    #[test]
    fn a_plan_that_was_done_leaves_nothing_to_do(store in a_store(), policy in a_policy()) {
        let once = plan(&store, &policy);
        let after = done(&store, &once);
        let again = plan(&after, &policy);
        let left: Vec<_> = again.changes().collect();
        prop_assert!(left.is_empty(), "{left:?}\nafter {:?}", once.changes().collect::<Vec<_>>());
    }

    #[test]
    fn a_plan_does_not_depend_on_the_order_of_the_listing(store in a_store(), policy in a_policy()) {
        let mut shuffled = store.clone();
        shuffled.reverse();
        prop_assert_eq!(plan(&store, &policy), plan(&shuffled, &policy));
    }
}
