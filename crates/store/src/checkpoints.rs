//! Checkpoints as wholes: the listing of backups, gathered by checkpoint and judged.

use std::collections::BTreeMap;

use futures::stream::{BoxStream, StreamExt as _};
use milepost_core::view::JudgedCopy;
use milepost_core::{
    BackupId, CheckpointId, ClusterState, ClusterView, PartitionCopy, PartitionId, Selector, StatusCode, ViewRules,
};

use crate::api::{BackupStatus, BackupStore, ListEntry, ListQuery};
use crate::context::OpContext;
use crate::error::{Error, ErrorKind, Result};

/// One checkpoint: what its copies say, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The state over all partitions.
    pub view: ClusterView,
    /// The readable statuses.
    pub statuses: BTreeMap<BackupId, BackupStatus>,
    /// Statuses that cannot be used.
    pub corrupt: u64,
}

impl Checkpoint {
    fn new(checkpoint: CheckpointId, entries: Vec<ListEntry>) -> Self {
        let rules = ViewRules::for_copies(entries.iter().map(ListEntry::id));
        let copies = entries.iter().filter_map(|entry| match entry {
            ListEntry::Corrupt { id, reason, .. } => Some(PartitionCopy::corrupt(*id, reason.as_str())),
            ListEntry::Backup(status) => status.document.as_ref().map(PartitionCopy::from),
        });
        let view = ClusterView::new(checkpoint, copies, &rules);
        let all = entries.len();
        let statuses: BTreeMap<BackupId, BackupStatus> = entries
            .into_iter()
            .filter_map(|entry| match entry {
                ListEntry::Backup(status) => Some((status.id, status)),
                ListEntry::Corrupt { .. } => None,
            })
            .collect();
        Self { corrupt: (all - statuses.len()) as u64, view, statuses }
    }

    /// The checkpoint.
    #[must_use]
    pub fn id(&self) -> CheckpointId {
        self.view.checkpoint
    }

    /// Every copy, judged: by partition, the best first.
    pub fn copies(&self) -> impl Iterator<Item = &JudgedCopy> {
        self.view.partitions.iter().flat_map(|partition| std::iter::once(&partition.best).chain(&partition.others))
    }

    /// The bytes of all copies, as far as they got.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let of = |status: &BackupStatus| {
            let document = status.document.as_ref()?;
            Some(document.done.or(document.planned)?.bytes)
        };
        self.statuses.values().filter_map(of).fold(0, u64::saturating_add)
    }

    /// The log positions of the best copies that are committed.
    fn positions(&self) -> BTreeMap<PartitionId, u64> {
        let position = |copy: &JudgedCopy| {
            let facts = copy.copy.facts().filter(|facts| facts.status_code == StatusCode::Completed)?;
            facts.checkpoint_position
        };
        self.view.partitions.iter().filter_map(|view| Some((view.partition, position(&view.best)?))).collect()
    }
}

/// The checkpoints of a listing, in its order. Costs what the listing costs; one checkpoint is in memory at a time.
///
/// A `query` whose selector names a partition or a node judges over what it shows, which then is not the whole cluster.
pub fn checkpoints(
    store: &dyn BackupStore,
    query: ListQuery,
    cx: &OpContext,
) -> BoxStream<'static, Result<Checkpoint>> {
    struct Gather {
        listing: BoxStream<'static, Result<ListEntry>>,
        ahead: Option<ListEntry>,
    }
    // Asked again behind its end, when the last checkpoint is complete.
    let gather = Gather { listing: store.list(query, cx.clone()).fuse().boxed(), ahead: None };
    futures::stream::try_unfold(gather, |mut gather| async move {
        let mut entries: Vec<ListEntry> = gather.ahead.take().into_iter().collect();
        loop {
            let next = gather.listing.next().await.transpose()?;
            match (next, entries.first()) {
                (Some(entry), Some(first)) if entry.id().checkpoint != first.id().checkpoint => {
                    gather.ahead = Some(entry);
                    break;
                }
                (Some(entry), _) => entries.push(entry),
                (None, _) => break,
            }
        }
        let Some(checkpoint) = entries.first().map(|entry| entry.id().checkpoint) else { return Ok(None) };
        Ok(Some((Checkpoint::new(checkpoint, entries), gather)))
    })
    .boxed()
}

/// One checkpoint; where nothing is there its state is DOES_NOT_EXIST.
///
/// # Errors
/// Those of the listing.
pub async fn checkpoint(store: &dyn BackupStore, checkpoint: CheckpointId, cx: &OpContext) -> Result<Checkpoint> {
    let selector = Selector { checkpoint: Some(checkpoint), ..Selector::ALL };
    let mut found = checkpoints(store, ListQuery { selector, ..ListQuery::default() }, cx);
    Ok(found.next().await.transpose()?.unwrap_or_else(|| Checkpoint::new(checkpoint, Vec::new())))
}

/// A checkpoint that was newer than the one that is chosen, and why it was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// Its state.
    pub state: ClusterState,
    /// Why it is not COMPLETED.
    pub why: Option<String>,
}

impl From<&ClusterView> for PassedOver {
    fn from(view: &ClusterView) -> Self {
        Self { checkpoint: view.checkpoint, state: view.state, why: view.why() }
    }
}

impl std::fmt::Display for PassedOver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is {}", self.checkpoint, self.state)?;
        match &self.why {
            Some(why) => write!(f, " ({why})"),
            None => Ok(()),
        }
    }
}

/// How many passed-over checkpoints are named.
const MAX_PASSED_OVER: usize = 100;

/// The newest checkpoint that is COMPLETED for the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The newer ones that are not, newest first: the first 100.
    pub passed_over: Vec<PassedOver>,
}

/// Finds the newest checkpoint that is COMPLETED for the whole cluster. Reads no further than to that.
///
/// # Errors
/// NotFound where no checkpoint is, with the newest and its state; those of the listing.
pub async fn latest(store: &dyn BackupStore, cx: &OpContext) -> Result<Latest> {
    let mut newest_first = checkpoints(store, ListQuery::default(), cx);
    let mut passed_over: Vec<PassedOver> = Vec::new();
    while let Some(checkpoint) = newest_first.next().await.transpose()? {
        if checkpoint.view.state == ClusterState::Completed {
            return Ok(Latest { checkpoint, passed_over });
        }
        if passed_over.len() < MAX_PASSED_OVER {
            passed_over.push(PassedOver::from(&checkpoint.view));
        }
    }
    let message = "no checkpoint is complete for the whole cluster";
    // Whoever asks has a verb of their own: a restore of `latest` is no listing that failed.
    Err(match passed_over.first() {
        None => Error::new(ErrorKind::NotFound, format!("{message}: there are no backups")),
        Some(PassedOver { checkpoint, state, why }) => {
            let why = why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            Error::new(ErrorKind::NotFound, format!("{message}; the newest, {checkpoint}, is {state}{why}"))
        }
        .with_hint("`milepost cluster` shows every checkpoint; one can be given by its id"),
    })
}

/// What looks wrong between two checkpoints: a later one is at a lower position of the log. Somebody restored an old state,
/// or two clusters write to one base.
#[must_use]
pub fn backwards(newer: &Checkpoint, older: &Checkpoint) -> Vec<String> {
    let before = older.positions();
    let fell = |(partition, position): (PartitionId, u64)| {
        let earlier = before.get(&partition).filter(|earlier| **earlier > position)?;
        Some(format!(
            "the position of partition {partition} goes backwards: {position}, but {earlier} at checkpoint {}",
            older.id()
        ))
    };
    newer.positions().into_iter().filter_map(fell).collect()
}
