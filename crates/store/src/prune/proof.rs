//! The survivor: a complete checkpoint that stays, of which a whole copy of each partition was seen.

use futures::FutureExt as _;
use futures::stream::{self, StreamExt as _};
use milepost_core::retention::PlannedCheckpoint;
use milepost_core::{AttemptId, BackupId, CheckpointId, VerifyLevel};

use crate::api::{BackupState, BackupStore};
use crate::context::OpContext;
use crate::error::{Error, ErrorKind, Result};

/// A verified copy of each partition of one checkpoint.
#[derive(Debug)]
pub(super) struct Proof {
    pub(super) checkpoint: CheckpointId,
    copies: Vec<(BackupId, AttemptId)>,
}

/// What verifying the copies of one partition found.
struct Partition {
    whole: Option<(BackupId, AttemptId)>,
    damaged: Vec<(BackupId, String)>,
}

impl Proof {
    /// Verifies one copy of each partition, the next one where it is damaged. `None` where a partition has no whole copy;
    /// `damaged` gets what was found.
    pub(super) async fn of(
        store: &dyn BackupStore,
        planned: &PlannedCheckpoint,
        level: VerifyLevel,
        concurrency: usize,
        damaged: &mut Vec<(BackupId, String)>,
        cx: &OpContext,
    ) -> Result<Option<Self>> {
        // Collected, here and below: with the closure in it, the compiler cannot tell that the stream may move between threads.
        let looks: Vec<_> =
            planned.proof.iter().flatten().map(|copies| Self::partition(store, copies, level, cx).boxed()).collect();
        let mut found = stream::iter(looks).buffered(concurrency);
        let (mut copies, mut whole) = (Vec::new(), true);
        while let Some(partition) = found.next().await {
            let mut partition = partition?;
            damaged.append(&mut partition.damaged);
            match partition.whole {
                Some(copy) => copies.push(copy),
                None => whole = false,
            }
        }
        Ok((whole && !copies.is_empty()).then_some(Self { checkpoint: planned.checkpoint, copies }))
    }

    async fn partition(
        store: &dyn BackupStore,
        copies: &[BackupId],
        level: VerifyLevel,
        cx: &OpContext,
    ) -> Result<Partition> {
        let mut partition = Partition { whole: None, damaged: Vec::new() };
        for id in copies {
            let damage = match Self::copy(store, *id, level, cx).await {
                Ok(Ok(attempt)) => {
                    partition.whole = Some((*id, attempt));
                    break;
                }
                Ok(Err(damage)) => damage,
                Err(error) => match error.kind() {
                    // Deleted or failed since it was planned, or damaged: all the same, it proves nothing.
                    ErrorKind::Corrupt { .. }
                    | ErrorKind::Integrity { .. }
                    | ErrorKind::NotFound
                    | ErrorKind::WrongState { .. }
                    | ErrorKind::Conflict { .. } => error.message().to_owned(),
                    _ => return Err(error),
                },
            };
            partition.damaged.push((*id, damage));
        }
        Ok(partition)
    }

    /// The attempt of a whole copy, or what is wrong with it.
    async fn copy(
        store: &dyn BackupStore,
        id: BackupId,
        level: VerifyLevel,
        cx: &OpContext,
    ) -> Result<Result<AttemptId, String>> {
        let status = store.status(id, cx).await?;
        let report = store.verify(id, level, cx).await?;
        let wrong = report.findings.iter().find(|finding| !finding.is_warning()).map(ToString::to_string);
        Ok(match (wrong, status.document) {
            (Some(wrong), _) => Err(wrong),
            (None, Some(document)) => Ok(document.attempt_id),
            (None, None) => Err("is gone".to_owned()),
        })
    }

    /// Looks at the proven copies again: nothing older goes once one of them is gone.
    pub(super) async fn still_stands(&self, store: &dyn BackupStore, concurrency: usize, cx: &OpContext) -> Result<()> {
        let look = async |id: &BackupId, attempt: &AttemptId| {
            let status = store.status(*id, cx).await?;
            let same = status.document.as_ref().is_some_and(|document| document.attempt_id == *attempt);
            if same && status.state() == BackupState::Completed {
                return Ok(());
            }
            let message = format!("checkpoint {} was verified, but {id} is {} now", self.checkpoint, status.state());
            Err(Error::new(ErrorKind::Conflict { owner: None }, message).with_hint(
                "nothing older was deleted since; look at the status and, if it is still wanted, prune again",
            ))
        };
        let looks: Vec<_> = self.copies.iter().map(|(id, attempt)| look(id, attempt)).collect();
        let mut statuses = stream::iter(looks).buffer_unordered(concurrency);
        while let Some(status) = statuses.next().await {
            status?;
        }
        Ok(())
    }
}
