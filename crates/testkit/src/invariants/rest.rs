//! What a store says of itself once nothing runs.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use milepost_core::{BackupId, BackupObject, StatusCode, VerifyLevel};
use milepost_store::{BackupStore, Bucket, ErrorKind, ListEntry, ListQuery, OpContext};

use super::history::Standing;
use super::{Broken, Invariant, Violation, Witness};

/// Compares what `store` says with what the witness below it saw: every status (I3), every COMPLETED down to its last byte
/// (I1), and the whole listing (I8). The store must work without faults, and nothing else may run.
///
/// # Errors
/// All that differs, and what the witness saw broken before.
pub async fn at_rest<B: Bucket>(store: &dyn BackupStore, witness: &Witness<B>) -> Result<(), Broken> {
    witness.verdict()?;
    let standing: BTreeMap<BackupId, Standing> = {
        let history = witness.history();
        let status_of = |key: &String| match history.layout.parse(key) {
            Some((id, BackupObject::Status)) => Some((id, history.standing(id))),
            _ => None,
        };
        history.objects.keys().filter_map(status_of).collect()
    };
    let mut violations = Vec::new();
    for (id, stands) in &standing {
        if let Err((invariant, seen)) = judge_one(store, witness, *id, stands).await {
            violations.push(Violation { invariant, seen: format!("{id}: {seen}") });
        }
    }
    if let Err(seen) = judge_listing(store, &standing).await {
        violations.push(Violation { invariant: Invariant::Listing, seen });
    }
    if violations.is_empty() { Ok(()) } else { Err(Broken { violations, effects: witness.log() }) }
}

async fn judge_one<B: Bucket>(
    store: &dyn BackupStore,
    witness: &Witness<B>,
    id: BackupId,
    stands: &Standing,
) -> Result<(), (Invariant, String)> {
    let cx = OpContext::new();
    let told = store.status(id, &cx).await;
    match (stands, told) {
        (Standing::Document(document), Ok(status)) if status.document.as_ref() == Some(document) => {}
        // Whole, but of a newer format: refused by name.
        (Standing::Corrupt, Err(error)) if matches!(error.kind(), ErrorKind::Corrupt { .. } | ErrorKind::Refused) => {}
        (stands, told) => return Err((Invariant::Honest, format!("there stands {stands:?}, told is {told:?}"))),
    }
    let Standing::Document(document) = stands else { return Ok(()) };
    if document.status_code != StatusCode::Completed {
        return Ok(());
    }
    let whole = witness.history().whole(document);
    whole.map_err(|seen| (Invariant::Durable, format!("is COMPLETED, but {seen}")))?;
    match store.verify(id, VerifyLevel::Content, &cx).await {
        Ok(report) if report.ok() => Ok(()),
        Ok(report) => Err((Invariant::Durable, format!("is COMPLETED, but {:?}", report.findings))),
        Err(error) => Err((Invariant::Durable, format!("is COMPLETED, but cannot be verified: {error:?}"))),
    }
}

async fn judge_listing(store: &dyn BackupStore, standing: &BTreeMap<BackupId, Standing>) -> Result<(), String> {
    let query = ListQuery { tombstones: true, ..ListQuery::default() };
    let listed: Vec<ListEntry> = store
        .list(query, OpContext::new())
        .try_collect()
        .await
        .map_err(|error| format!("the listing failed: {error:?}"))?;
    let mut missing = standing.clone();
    for entry in listed {
        let id = entry.id();
        let right = match (missing.remove(&id), &entry) {
            (Some(Standing::Document(document)), ListEntry::Backup(status)) => {
                status.document.as_ref() == Some(&*document)
            }
            (Some(Standing::Corrupt), ListEntry::Corrupt { .. }) => true,
            _ => false,
        };
        if !right {
            return Err(format!("{id} is listed as {entry:?}, twice or not as it stands: {:?}", standing.get(&id)));
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("not listed: {:?}", missing.keys().collect::<Vec<_>>())) }
}
