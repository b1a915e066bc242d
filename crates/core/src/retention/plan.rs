//! The plan: each backup with what happens to it, and why.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::candidate::{Candidate, Seen};
use super::policy::{PolicyError, RetentionPolicy};
use super::rules::{Group, Verdict, judge, words};
use crate::document::StatusCode;
use crate::ids::{BackupId, CheckpointId, PartitionId};
use crate::view::{ClusterState, JudgedOver, Standing};

/// What happens to one backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Action {
    /// Nothing.
    Keep,
    /// An IN_PROGRESS whose owner is gone becomes FAILED.
    Fence,
    /// It is deleted; its tombstone stays.
    Delete,
    /// A delete that was interrupted is continued.
    Finish,
    /// Its tombstone is removed.
    Forget,
}

impl Action {
    /// The word in output and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "KEEP",
            Self::Fence => "FENCE",
            Self::Delete => "DELETE",
            Self::Finish => "FINISH",
            Self::Forget => "FORGET",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One backup of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The backup.
    pub id: BackupId,
    /// What happens to it.
    pub action: Action,
    /// Why, for people.
    pub reason: String,
    /// The document that is meant; `None` for a corrupt one, which is kept.
    pub seen: Option<Seen>,
    /// The bytes that it takes; 0 for a tombstone.
    pub bytes: u64,
    /// It could be restored: it goes only once a survivor was verified.
    pub restorable: bool,
}

/// One checkpoint of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedCheckpoint {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// Its state as it was seen.
    pub state: ClusterState,
    /// How long ago its youngest copy was committed; zero without one.
    pub age: Duration,
    /// Each of its backups, by id.
    pub steps: Vec<Step>,
    /// Of a checkpoint that stays complete: for each partition the copies that stay and can be restored, best first.
    pub proof: Option<Vec<Vec<BackupId>>>,
}

/// What happens to every backup, newest checkpoint first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionPlan {
    /// What was asked for.
    pub policy: RetentionPolicy,
    /// All checkpoints.
    pub checkpoints: Vec<PlannedCheckpoint>,
    /// By how many bytes what stays exceeds the ceiling, because floors, holds or the last complete checkpoint bind.
    pub over_ceiling: Option<u64>,
}

impl RetentionPlan {
    /// Plans for everything that a listing showed: all checkpoints, tombstones too. With a part of them the plan would be
    /// of that part alone, and take its newest checkpoint for the last.
    ///
    /// # Errors
    /// A policy that contradicts itself.
    pub fn new(candidates: impl IntoIterator<Item = Candidate>, policy: &RetentionPolicy) -> Result<Self, PolicyError> {
        policy.check()?;
        let groups = Group::all(candidates);
        let mut verdicts = judge(&groups, policy);
        let mut plan = Self::build(&groups, &verdicts, policy);
        let Some(ceiling) = policy.max_bytes else { return Ok(plan) };
        let mut staying = plan.bytes_staying();
        let mut dropped = false;
        for group in groups.iter().rev() {
            let Some(verdict) = verdicts.get_mut(&group.checkpoint()).filter(|verdict| verdict.stays && !verdict.bound)
            else {
                continue;
            };
            let freed = group.deletable_bytes();
            if staying <= ceiling {
                break;
            }
            if freed > 0 {
                staying = staying.saturating_sub(freed);
                *verdict = Verdict { stays: false, reason: format!("to come below {ceiling} bytes"), bound: false };
                dropped = true;
            }
        }
        if dropped {
            plan = Self::build(&groups, &verdicts, policy);
        }
        plan.over_ceiling = plan.bytes_staying().checked_sub(ceiling).filter(|over| *over > 0);
        Ok(plan)
    }

    fn build(groups: &[Group], verdicts: &BTreeMap<CheckpointId, Verdict>, policy: &RetentionPolicy) -> Self {
        // A checkpoint that is to go stays complete where each partition has a held copy.
        let proof = |group: &Group| {
            let verdict = verdicts.get(&group.checkpoint())?;
            let copies = group.whole_copies(|candidate| verdict.stays || !candidate.holds.is_empty());
            copies.iter().all(|partition| !partition.is_empty()).then_some(copies)
        };
        let survivor = groups.iter().find(|group| proof(group).is_some()).map(Group::checkpoint);
        let mut checkpoints: Vec<PlannedCheckpoint> = Vec::with_capacity(groups.len());
        for group in groups {
            let fate = match verdicts.get(&group.checkpoint()) {
                Some(verdict) => Fate { goes: !verdict.stays, reason: verdict.reason.clone() },
                None => fate_of_incomplete(group, survivor, policy),
            };
            checkpoints.push(PlannedCheckpoint {
                checkpoint: group.checkpoint(),
                state: group.view.state,
                age: group.age(),
                steps: group.candidates.iter().map(|candidate| step(group, &fate, candidate, policy)).collect(),
                proof: proof(group),
            });
        }
        let mut plan = Self { policy: policy.clone(), checkpoints, over_ceiling: None };
        plan.judge_tombstones(groups, policy);
        plan
    }

    /// Which tombstones go depends on what stays above them.
    fn judge_tombstones(&mut self, groups: &[Group], policy: &RetentionPolicy) {
        let mut highest: BTreeMap<PartitionId, CheckpointId> = BTreeMap::new();
        for step in self.steps().filter(|step| step.action == Action::Keep && step.restorable) {
            let entry = highest.entry(step.id.partition).or_insert(step.id.checkpoint);
            *entry = step.id.checkpoint.max(*entry);
        }
        for (planned, group) in self.checkpoints.iter_mut().zip(groups) {
            let mut live = planned.steps.iter().zip(&group.candidates).filter(|(_, candidate)| candidate.is_live());
            let tells = group.view.judged_over == JudgedOver::Seen
                && live.any(|(step, _)| matches!(step.action, Action::Keep | Action::Fence));
            for (step, candidate) in planned.steps.iter_mut().zip(&group.candidates) {
                if candidate.is_live() {
                    continue;
                }
                let above = highest.get(&step.id.partition).is_some_and(|highest| *highest > step.id.checkpoint);
                let grace = words(policy.tombstone_grace);
                let (action, reason) = if candidate.since_change() < policy.tombstone_grace || candidate.age.is_none() {
                    (Action::Keep, format!("deleted less than {grace} ago"))
                } else if tells {
                    // Without it the rest would pass for the whole.
                    (Action::Keep, "deleted; tells that the checkpoint is not whole".to_owned())
                } else if above {
                    (Action::Forget, format!("deleted more than {grace} ago"))
                } else {
                    (Action::Keep, format!("deleted; partition {} has nothing newer", step.id.partition))
                };
                (step.action, step.reason) = (action, reason);
            }
        }
    }

    /// All backups, newest checkpoint first.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.checkpoints.iter().flat_map(|planned| &planned.steps)
    }

    /// The backups to which something happens.
    pub fn changes(&self) -> impl Iterator<Item = &Step> {
        self.steps().filter(|step| step.action != Action::Keep)
    }

    /// The checkpoints that stay complete, newest first.
    pub fn survivors(&self) -> impl Iterator<Item = &PlannedCheckpoint> {
        self.checkpoints.iter().filter(|planned| planned.proof.is_some())
    }

    /// The bytes of what stays.
    #[must_use]
    pub fn bytes_staying(&self) -> u64 {
        let stay = |step: &&Step| matches!(step.action, Action::Keep | Action::Fence);
        self.steps().filter(stay).fold(0, |sum, step| sum.saturating_add(step.bytes))
    }

    /// The bytes of what is deleted.
    #[must_use]
    pub fn bytes_deleted(&self) -> u64 {
        let gone = |step: &&Step| matches!(step.action, Action::Delete | Action::Finish);
        self.steps().filter(gone).fold(0, |sum, step| sum.saturating_add(step.bytes))
    }
}

struct Fate {
    goes: bool,
    reason: String,
}

/// A checkpoint that is not complete goes only when something newer and better stays.
fn fate_of_incomplete(group: &Group, survivor: Option<CheckpointId>, policy: &RetentionPolicy) -> Fate {
    let stays = |reason: String| Fate { goes: false, reason };
    let state = group.view.state;
    if let Some(inconsistency) = group.view.inconsistencies.first() {
        return stays(format!("INCONSISTENT, a person has to look: {inconsistency}"));
    }
    // A stale one is fenced first: should its owner live after all, its fellows must still be there.
    if group.candidates.iter().any(|copy| copy.code() == Some(StatusCode::InProgress)) {
        return stays(format!("{state}; a save has begun and not ended"));
    }
    let Some(survivor) = survivor else { return stays(format!("{state}, but no complete checkpoint stays")) };
    if group.checkpoint() > survivor {
        return stays(format!("{state}, but newer than {survivor}, the newest complete one"));
    }
    let youngest = group
        .candidates
        .iter()
        .filter_map(|copy| match copy.code()? {
            StatusCode::Completed => Some(copy.since_commit()),
            StatusCode::Failed => Some(copy.since_change()),
            StatusCode::InProgress | StatusCode::Deleting | StatusCode::Deleted => None,
        })
        .min()
        .unwrap_or_default();
    let grace = words(policy.failed_grace);
    if youngest < policy.failed_grace {
        return stays(format!("{state} for less than {grace}"));
    }
    Fate { goes: true, reason: format!("{state} for more than {grace}, and {survivor} is complete") }
}

fn step(group: &Group, fate: &Fate, candidate: &Candidate, policy: &RetentionPolicy) -> Step {
    let id = candidate.id();
    let code = candidate.code();
    let (action, reason) = match code {
        None => (Action::Keep, "the status is corrupt, a person has to look".to_owned()),
        // Judged once it is known what stays.
        Some(StatusCode::Deleted) => (Action::Keep, String::new()),
        // Without it the rest might look consistent.
        Some(StatusCode::Deleting) if group.view.state == ClusterState::Inconsistent => {
            (Action::Keep, fate.reason.clone())
        }
        Some(StatusCode::Deleting) => (Action::Finish, "a delete was interrupted".to_owned()),
        Some(StatusCode::InProgress) if candidate.since_change() >= policy.stale_after && candidate.age.is_some() => {
            (Action::Fence, format!("no sign of life for {}", words(candidate.since_change())))
        }
        Some(StatusCode::InProgress) => (Action::Keep, "is being saved".to_owned()),
        Some(StatusCode::Completed) if !candidate.holds.is_empty() => {
            (Action::Keep, format!("held: {}", candidate.holds.join(", ")))
        }
        Some(StatusCode::Failed) if candidate.since_change() < policy.failed_grace => {
            (Action::Keep, format!("failed less than {} ago", words(policy.failed_grace)))
        }
        Some(StatusCode::Completed | StatusCode::Failed) if fate.goes => (Action::Delete, fate.reason.clone()),
        Some(StatusCode::Failed) if is_of_no_use(group, candidate, policy) => {
            (Action::Delete, "failed, and another copy of the partition is complete".to_owned())
        }
        Some(StatusCode::Completed | StatusCode::Failed) => (Action::Keep, fate.reason.clone()),
    };
    let bytes = if candidate.is_live() { candidate.bytes } else { 0 };
    let restorable = code == Some(StatusCode::Completed);
    Step { id, action, reason, seen: candidate.seen.clone(), bytes, restorable }
}

/// A failed copy tells why its checkpoint is not complete, unless another copy of its partition is.
fn is_of_no_use(group: &Group, candidate: &Candidate, policy: &RetentionPolicy) -> bool {
    let best = group.view.partition(candidate.id().partition).map(|view| view.best.standing);
    best == Some(Standing::Completed)
        && group.view.state != ClusterState::Inconsistent
        && candidate.since_change() >= policy.failed_grace
        && candidate.age.is_some()
}
