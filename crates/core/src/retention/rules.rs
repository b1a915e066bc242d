//! Which complete checkpoints stay.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::calendar::Period;
use super::candidate::Candidate;
use super::policy::RetentionPolicy;
use crate::document::StatusCode;
use crate::ids::{BackupId, CheckpointId, PartitionId};
use crate::view::{ClusterState, ClusterView, JudgedOver, PartitionView, Standing, ViewRules};

/// All backups of one checkpoint, tombstones too.
pub(super) struct Group {
    pub(super) view: ClusterView,
    /// By id.
    pub(super) candidates: Vec<Candidate>,
    /// Complete for the whole cluster, and nothing of it was deleted as far as can be told.
    pub(super) complete: bool,
}

impl Group {
    fn new(checkpoint: CheckpointId, mut candidates: Vec<Candidate>) -> Self {
        candidates.sort_by_key(Candidate::id);
        candidates.dedup_by_key(|candidate| candidate.id());
        let rules = ViewRules::for_copies(candidates.iter().map(Candidate::id));
        let view = ClusterView::new(checkpoint, candidates.iter().map(|candidate| candidate.copy.clone()), &rules);
        // Where no copy knows the number of partitions, one that is gone is not missed. A tombstone misses it.
        let partly_deleted = view.judged_over == JudgedOver::Seen && {
            let live: BTreeSet<PartitionId> =
                candidates.iter().filter(|copy| copy.is_live()).map(|copy| copy.id().partition).collect();
            candidates.iter().any(|copy| !live.contains(&copy.id().partition))
        };
        let complete = view.state == ClusterState::Completed && !partly_deleted;
        Self { view, candidates, complete }
    }

    /// One group for each checkpoint, newest first.
    pub(super) fn all(candidates: impl IntoIterator<Item = Candidate>) -> Vec<Self> {
        let mut groups: BTreeMap<CheckpointId, Vec<Candidate>> = BTreeMap::new();
        for candidate in candidates {
            groups.entry(candidate.id().checkpoint).or_default().push(candidate);
        }
        groups.into_iter().rev().map(|(checkpoint, candidates)| Self::new(checkpoint, candidates)).collect()
    }

    pub(super) fn checkpoint(&self) -> CheckpointId {
        self.view.checkpoint
    }

    fn completed(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().filter(|candidate| candidate.code() == Some(StatusCode::Completed))
    }

    /// The age of the youngest committed copy; zero without one.
    pub(super) fn age(&self) -> Duration {
        self.completed().map(Candidate::since_commit).min().unwrap_or_default()
    }

    /// For each partition the copies that count as whole and pass `stays`, best first.
    pub(super) fn whole_copies(&self, stays: impl Fn(&Candidate) -> bool) -> Vec<Vec<BackupId>> {
        let staying: BTreeSet<BackupId> = self.completed().filter(|copy| stays(copy)).map(Candidate::id).collect();
        let whole = |view: &PartitionView| {
            std::iter::once(&view.best)
                .chain(&view.others)
                .filter(|judged| judged.standing == Standing::Completed)
                .map(|judged| judged.copy.id)
                .filter(|id| staying.contains(id))
                .collect()
        };
        self.view.partitions.iter().map(whole).collect()
    }

    fn completed_at(&self) -> Option<Timestamp> {
        self.completed().filter_map(|candidate| candidate.completed_at).max()
    }

    /// Is a committed copy held? Then it stays whatever becomes of the checkpoint.
    fn is_held(&self) -> bool {
        self.completed().any(|copy| !copy.holds.is_empty())
    }

    /// What would be free without the checkpoint, if it is complete: failed copies beside whole ones go anyway.
    pub(super) fn deletable_bytes(&self) -> u64 {
        self.completed().filter(|copy| copy.holds.is_empty()).fold(0, |sum, copy| sum.saturating_add(copy.bytes))
    }
}

/// What the rules say of one complete checkpoint.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    pub(super) stays: bool,
    /// Must not even go for the ceiling.
    pub(super) bound: bool,
    /// Why it stays, or goes.
    pub(super) reason: String,
}

/// A span of time in one unit, as in `24 h`.
pub(super) fn words(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        172_800.. => format!("{} d", seconds / 86_400),
        7_200.. => format!("{} h", seconds / 3_600),
        120.. => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

/// Applies rules and floors to the complete ones of `groups`, which come newest first.
pub(super) fn judge(groups: &[Group], policy: &RetentionPolicy) -> BTreeMap<CheckpointId, Verdict> {
    let complete: Vec<&Group> = groups.iter().filter(|group| group.complete).collect();
    let mut floors: Vec<Vec<String>> = vec![Vec::new(); complete.len()];
    let mut rules: Vec<Vec<String>> = vec![Vec::new(); complete.len()];
    for (at, group) in complete.iter().enumerate() {
        let within = |count: u32| at < usize::try_from(count).unwrap_or(usize::MAX);
        let (age, floors, rules) = (group.age(), &mut floors[at], &mut rules[at]);
        if at == 0 && !policy.allow_empty {
            floors.push("the last complete one".to_owned());
        }
        if within(policy.min_count) {
            floors.push(format!("at least {} stay", policy.min_count));
        }
        if age < policy.min_age {
            floors.push(format!("younger than the least age of {}", words(policy.min_age)));
        }
        if let Some(count) = policy.keep_last.filter(|count| within(*count)) {
            rules.push(format!("one of the last {count}"));
        }
        if let Some(span) = policy.keep_within.filter(|span| age < *span) {
            rules.push(format!("younger than {}", words(span)));
        }
        if !policy.has_rule() && !policy.has_floor() {
            rules.push("no rule lets complete ones go".to_owned());
        }
    }
    for (period, count) in
        [(Period::Day, policy.keep_daily), (Period::Week, policy.keep_weekly), (Period::Month, policy.keep_monthly)]
    {
        let mut seen = BTreeSet::new();
        for (at, group) in complete.iter().enumerate() {
            let more = seen.len() < usize::try_from(count.unwrap_or(0)).unwrap_or(usize::MAX);
            let Some(name) = group.completed_at().map(|moment| period.of(moment)) else { continue };
            if !more || seen.contains(&name) {
                continue;
            }
            rules[at].push(format!("the newest of {} {name}", period.noun()));
            // Once its other copies are gone, what is held may stand for another day: it must not have taken anybody's place.
            if !group.is_held() {
                seen.insert(name);
            }
        }
    }
    let verdict = |(group, (floors, rules)): (&&Group, (Vec<String>, Vec<String>))| {
        let bound = !floors.is_empty();
        let reasons = [floors, rules].concat();
        let stays = !reasons.is_empty();
        let reason = if stays { reasons.join("; ") } else { "no rule keeps it".to_owned() };
        (group.checkpoint(), Verdict { stays, bound, reason })
    };
    complete.iter().zip(floors.into_iter().zip(rules)).map(verdict).collect()
}
