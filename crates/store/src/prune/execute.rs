//! Doing a plan.

use std::collections::BTreeSet;

use futures::stream::{FuturesUnordered, StreamExt as _};
use milepost_core::CheckpointId;
use milepost_core::retention::{Action, RetentionPlan, Step};
use tokio::time::Instant;

use super::proof::Proof;
use super::{Effect, PruneOptions, PruneReport, StepFailure, Watch};
use crate::api::{BackupState, BackupStore, DeleteOptions, Expect};
use crate::context::OpContext;
use crate::error::{Error, ErrorKind, Operation, Result};

/// Does what `plan` says, and tells `watch` of each step as it ends. The report says what was done, what failed and what was
/// not tried; errors are in it.
///
/// Cancelling ends it behind the requests that are under way; dropping leaves deletes that the next prune, or delete,
/// continues.
pub async fn execute(
    store: &dyn BackupStore,
    plan: &RetentionPlan,
    options: &PruneOptions,
    watch: Watch<'_>,
    cx: &OpContext,
) -> PruneReport {
    let concurrency = options.concurrency.clamp(1, 64);
    let mut run =
        Run { store, plan, concurrency, watch, cx, report: PruneReport::default(), unfinished: BTreeSet::new() };
    let begun = Instant::now();
    let mut done = 0;
    if let Err(error) = run.all(options, &mut done).await {
        run.report.stopped = Some(error.during(Operation::Prune));
    }
    run.report.untried = (plan.changes().count() as u64).saturating_sub(done);
    run.report.duration = begun.elapsed();
    let report = run.report;
    tracing::info!(
        fenced = report.fenced,
        deleted = report.deleted,
        forgotten = report.forgotten,
        failed = report.failed.len(),
        untried = report.untried,
        "pruned"
    );
    report
}

struct Run<'a> {
    store: &'a dyn BackupStore,
    plan: &'a RetentionPlan,
    concurrency: usize,
    watch: Watch<'a>,
    cx: &'a OpContext,
    report: PruneReport,
    /// Checkpoints of which something is left that was to go: their tombstones tell that they are not whole.
    unfinished: BTreeSet<CheckpointId>,
}

impl Run<'_> {
    /// `done` counts the steps that were tried.
    async fn all(&mut self, options: &PruneOptions, done: &mut u64) -> Result<()> {
        self.cx.check()?;
        let plan = self.plan;
        let stale: Vec<&Step> = plan.changes().filter(|step| step.action == Action::Fence).collect();
        self.each(&stale, done).await?;

        let goes = |step: &&Step| matches!(step.action, Action::Delete | Action::Finish);
        let needs_proof = plan.changes().any(|step| step.restorable && step.action == Action::Delete)
            && plan.survivors().next().is_some();
        let proof = if needs_proof { self.prove(options).await? } else { None };
        self.report.proven = proof.as_ref().map(|proof| proof.checkpoint);
        for planned in plan.checkpoints.iter().rev() {
            let mut steps: Vec<&Step> = planned.steps.iter().filter(goes).collect();
            // What can be restored goes first: whatever is left must not look better than the whole did.
            steps.sort_by_key(|step| !step.restorable);
            if needs_proof && steps.iter().any(|step| step.restorable) {
                match &proof {
                    Some(proof) if proof.checkpoint > planned.checkpoint => {
                        proof.still_stands(self.store, self.concurrency, self.cx).await?;
                    }
                    _ => {
                        self.unfinished.insert(planned.checkpoint);
                        steps.retain(|step| !step.restorable);
                    }
                }
            }
            self.each(&steps, done).await?;
        }

        let forget: Vec<&Step> = plan
            .changes()
            .filter(|step| step.action == Action::Forget && !self.unfinished.contains(&step.id.checkpoint))
            .collect();
        self.each(&forget, done).await
    }

    /// The newest checkpoint that stays and proves good.
    async fn prove(&mut self, options: &PruneOptions) -> Result<Option<Proof>> {
        for planned in self.plan.survivors() {
            let damaged = &mut self.report.damaged;
            let proof = Proof::of(self.store, planned, options.verify, self.concurrency, damaged, self.cx).await?;
            if proof.is_some() {
                return Ok(proof);
            }
        }
        Ok(None)
    }

    /// Does steps side by side; the first error that would meet the others too ends all.
    async fn each(&mut self, steps: &[&Step], done: &mut u64) -> Result<()> {
        let (store, plan, cx) = (self.store, self.plan, self.cx);
        // Without a closure that makes the futures: with one, the compiler cannot tell that the whole may move between threads.
        let (mut waiting, mut under_way) = (steps.iter(), FuturesUnordered::new());
        loop {
            while under_way.len() < self.concurrency
                && let Some(step) = waiting.next()
            {
                under_way.push(async move { (*step, one(store, plan, step, cx).await) });
            }
            let Some((step, result)) = under_way.next().await else { return Ok(()) };
            (self.watch)(step, &result);
            *done += 1;
            match result {
                Ok(effect) => self.report.count(step, &effect),
                Err(error) => {
                    self.unfinished.insert(step.id.checkpoint);
                    if ends_all(&error) {
                        *done -= 1;
                        return Err(error);
                    }
                    self.report.failed.push(StepFailure { id: step.id, action: step.action, error });
                }
            }
        }
    }
}

/// Would the next step meet the same?
fn ends_all(error: &Error) -> bool {
    use ErrorKind as K;
    matches!(error.kind(), K::Unavailable | K::Denied | K::Cancelled | K::Deadline | K::Internal)
}

async fn one(store: &dyn BackupStore, plan: &RetentionPlan, step: &Step, cx: &OpContext) -> Result<Effect> {
    cx.check()?;
    let Some(seen) = &step.seen else { return Ok(Effect::default()) };
    let expect = Expect::Revision { attempt: seen.attempt.clone(), revision: seen.revision };
    let result = match step.action {
        Action::Keep => return Ok(Effect::default()),
        Action::Fence => {
            let reason = format!("pruned: {}", step.reason);
            store.mark_failed(step.id, &reason, expect, cx).await.map(|_| Effect::default())
        }
        Action::Delete | Action::Finish | Action::Forget => {
            let forget = (step.action == Action::Forget).then_some(plan.policy.tombstone_grace);
            let options = DeleteOptions { expect, forget, ..DeleteOptions::default() };
            store.delete(step.id, options, cx).await.map(|report| Effect {
                objects: report.objects,
                bytes: report.bytes,
                uploads: report.uploads,
                elsewhere: false,
                kept: report.kept,
            })
        }
    };
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::Conflict { .. }) => explained(store, step, error, cx).await,
        other => other,
    }
}

/// Who won a race for a backup: somebody who did the same, somebody who holds it, or somebody else.
async fn explained(store: &dyn BackupStore, step: &Step, conflict: Error, cx: &OpContext) -> Result<Effect> {
    let Ok(now) = store.status(step.id, cx).await else { return Err(conflict) };
    let same = match step.action {
        Action::Fence => now.state() == BackupState::Failed,
        _ => now.state() == BackupState::DoesNotExist,
    };
    if same {
        return Ok(Effect { elsewhere: true, ..Effect::default() });
    }
    let holds = now.document.map(|document| document.holds).unwrap_or_default();
    if holds.is_empty() {
        return Err(conflict);
    }
    let named: Vec<String> =
        holds.iter().map(|hold| format!("{} by {} ({})", hold.id, hold.owner, hold.reason)).collect();
    let message = format!("was held meanwhile, and is kept: {}", named.join(", "));
    Err(Error::new(ErrorKind::Held { holds }, message).during(Operation::Prune).of(step.id))
}
