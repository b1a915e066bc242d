//! Prune among others: what it says that it did, and what a policy keeps whatever goes on beside it.

mod races;
mod seeds;

use std::sync::Mutex;

use milepost_core::retention::{Action, RetentionPlan, RetentionPolicy, Step};
use milepost_core::{BackupId, StatusCode};
use milepost_store::prune::{Effect, PruneOptions, PruneReport, execute, plan};
use milepost_store::{Error, OpContext, Result};
use milepost_testkit::invariants::{Broken, Invariant};

use crate::common::id;
use crate::verbs::Verb;
use crate::world::{Process, World};

/// The newest complete checkpoint of [`Begin::Prunable`](crate::verbs::Begin) and `Outlived`: what every plan keeps.
pub(crate) fn survivor() -> BackupId {
    id(1, 200, 1)
}

/// Keeps the newest complete checkpoint; every span is its default of a day.
pub(crate) fn policy() -> RetentionPolicy {
    let mut policy = RetentionPolicy::default();
    policy.keep_last = Some(1);
    policy
}

/// What one prune planned and did.
#[derive(Debug)]
pub(crate) struct Pruned {
    /// `None`: it did not come to a plan.
    pub(crate) plan: Option<RetentionPlan>,
    pub(crate) report: PruneReport,
}

impl Pruned {
    /// How it ended for its caller: the first error of all that it tells.
    pub(crate) fn ended(self) -> std::result::Result<Result<()>, Broken> {
        let mut report = self.report;
        let error = report.stopped.take().or_else(|| report.failed.pop().map(|failure| failure.error));
        match error {
            Some(error) => Ok(Err(error)),
            None if report.untried > 0 => {
                Err(Broken::one(Invariant::Honest, format!("steps were not tried, and nothing says why: {report:?}")))
            }
            None => Ok(Ok(())),
        }
    }
}

/// Plans and does it; each step that is called done is held against what was seen. `alone`: nobody else works on the base.
pub(crate) async fn prune(
    world: &World,
    process: &Process,
    alone: bool,
    cx: &OpContext,
) -> std::result::Result<Pruned, Broken> {
    let plan = match plan(&process.store, &policy(), cx).await {
        Ok(plan) => plan,
        Err(error) => {
            let mut report = PruneReport::default();
            report.stopped = Some(error);
            return Ok(Pruned { plan: None, report });
        }
    };
    let lies: Mutex<Vec<String>> = Mutex::default();
    let watch = |step: &Step, result: &std::result::Result<Effect, Error>| {
        let Ok(effect) = result else { return };
        let stands = world.watched.code(step.id);
        if !(is_done(step.action, effect, stands) || (!alone && step.action == Action::Fence)) {
            let told =
                format!("{}: called done was {} ({effect:?}), but there stands {stands:?}", step.id, step.action);
            lies.lock().unwrap().push(told);
        }
    };
    let report = execute(&process.store, &plan, &PruneOptions::default(), &watch, cx).await;
    if let Some(lie) = lies.into_inner().unwrap().into_iter().next() {
        return Err(Broken::one(Invariant::Honest, lie));
    }
    world.watched.verdict()?;
    Ok(Pruned { plan: Some(plan), report })
}

/// No state follows DELETED but its removal, so that these hold whoever else is at work; a fenced save alone may be resumed.
fn is_done(action: Action, effect: &Effect, stands: Option<StatusCode>) -> bool {
    match action {
        Action::Keep => false,
        Action::Fence => stands == Some(StatusCode::Failed),
        Action::Delete | Action::Finish => matches!(stands, None | Some(StatusCode::Deleted)),
        Action::Forget if effect.kept.is_some() => stands == Some(StatusCode::Deleted),
        Action::Forget => stands.is_none(),
    }
}

/// Whatever a prune left undone, the next one did; what it keeps is whole (which [`World::holds`] looks at).
pub(crate) async fn nothing_left_to_prune(world: &World, what: &str) {
    let process = world.process_of(Verb::Prune, 902);
    let again = plan(&process.store, &policy(), &OpContext::new()).await.unwrap();
    let left: Vec<&Step> = again.changes().collect();
    assert!(left.is_empty(), "{what}: the next plan still has {left:?}");
    assert_eq!(world.watched.code(survivor()), Some(StatusCode::Completed), "{what}");
}
