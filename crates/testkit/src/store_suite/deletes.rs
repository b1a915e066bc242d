//! Deletes, tombstones, forgetting.

use std::time::Duration;

use milepost_core::{BackupId, StatusCode, VerifyLevel};
use milepost_store::{BackupState, DeleteOptions, Expect, ListQuery, OpContext, SaveOptions};

use super::client::{Client, State, backup, descriptor, refused, resume, small};
use crate::check::{Checked, Doing as _, ensure, ensure_eq};

const ID: BackupId = BackupId::new(1, 100, 2);

pub(super) async fn a_delete_leaves_a_tombstone(client: Client) -> Checked {
    let broker = client.broker(1)?;
    let whole = broker.backup(ID, descriptor()).doing("listing broker files")?;
    let saved = client.try_save(whole, SaveOptions::default()).await.doing("the save")?;
    let completed = client.document(ID).await?;
    let report = client.delete(ID).await?;
    ensure_eq!(report.id, ID, "the report's id");
    ensure_eq!(report.objects, saved.files.len() as u64 + 1, "objects deleted: the files and the metadata");
    ensure!(report.bytes > saved.bytes, "{} bytes deleted, {} were saved", report.bytes, saved.bytes);
    ensure_eq!((report.uploads, report.untried, report.failed.len()), (0, 0, 0), "uploads, untried, failed");
    ensure_eq!((report.tombstone, report.forgotten), (true, false), "is there a tombstone, was it forgotten");
    let status = client.status(ID).await?;
    ensure_eq!(status.state(), BackupState::DoesNotExist, "the state after a delete");
    let document = client.in_state(ID, StatusCode::Deleted, "after a delete").await?;
    ensure!(document.revision > completed.revision, "revision {} after {}", document.revision, completed.revision);
    let cx = OpContext::new();
    refused(client.store.metadata(ID, &cx).await, "not_found", "metadata after a delete")?;
    refused(client.store.verify(ID, VerifyLevel::Content, &cx).await, "not_found", "verify after a delete")?;
    ensure_eq!(client.ids(ListQuery::default()).await?, Vec::<String>::new(), "the listing after a delete");
    // The id is used up, for ever.
    for options in [SaveOptions::default(), resume()] {
        let again = client.try_save(backup(ID, small(1)?), options).await;
        refused(again, "wrong_state", "a save over a tombstone")?;
    }
    let again = client.delete(ID).await?;
    ensure_eq!((again.objects, again.tombstone), (0, true), "a second delete: objects, and is there a tombstone");
    Ok(())
}

pub(super) async fn a_dry_run_changes_nothing(client: Client) -> Checked {
    let before = client.bring(ID, State::Completed).await?;
    let mut options = DeleteOptions::default();
    options.dry_run = true;
    let report = client.try_delete(ID, options.clone()).await.doing("a dry run")?;
    ensure_eq!(
        (report.objects, report.tombstone),
        (3, false),
        "objects that a delete would take, and is there a tombstone"
    );
    client.unchanged(&before, "after a dry run").await?;
    let verified = client.store.verify(ID, VerifyLevel::Content, &OpContext::new()).await.doing("verify")?;
    ensure!(verified.ok(), "after a dry run: {:?}", verified.findings);
    let busy = BackupId::new(1, 101, 2);
    client.bring(busy, State::InProgress).await?;
    refused(client.try_delete(busy, options).await, "wrong_state", "a dry run on a backup in progress")?;
    let real = client.delete(ID).await?;
    ensure_eq!(
        (real.objects, real.bytes),
        (report.objects, report.bytes),
        "what the delete took, and the dry run said"
    );
    Ok(())
}

pub(super) async fn other_backups_stay(client: Client) -> Checked {
    let others = [(1, 10, 2), (1, 1000, 2), (11, 100, 2), (1, 100, 20), (1, 100, 1)];
    for (partition, checkpoint, node) in others {
        client.save(BackupId::new(partition, checkpoint, node)).await?;
    }
    client.save(ID).await?;
    client.delete(ID).await?;
    for (partition, checkpoint, node) in others {
        let id = BackupId::new(partition, checkpoint, node);
        let report = client.store.verify(id, VerifyLevel::Content, &OpContext::new()).await;
        let report = report.doing(format_args!("verify of {id} after deleting {ID}"))?;
        ensure!(report.ok() && report.findings.is_empty(), "{id} after deleting {ID}: {:?}", report.findings);
    }
    Ok(())
}

pub(super) async fn a_tombstone_below_the_newest_is_forgotten(client: Client) -> Checked {
    let mut forget = DeleteOptions::default();
    forget.forget = Some(Duration::ZERO);
    client.save(ID).await?;
    // Nothing newer is complete: the tombstone stays.
    let report = client.try_delete(ID, forget.clone()).await.doing("delete and forget the newest")?;
    ensure_eq!((report.tombstone, report.forgotten), (true, false), "of the newest: a tombstone, forgotten");
    ensure!(client.status(ID).await?.is_tombstone(), "the newest tombstone is gone");
    let newer = BackupId::new(1, 200, 3);
    client.save(newer).await?;
    let mut patient = DeleteOptions::default();
    patient.forget = Some(Duration::from_secs(24 * 3600));
    let report = client.try_delete(ID, patient).await.doing("delete and forget what is a day old")?;
    ensure_eq!((report.tombstone, report.forgotten), (true, false), "of a young one: a tombstone, forgotten");
    let report = client.try_delete(ID, forget).await.doing("delete and forget below the newest")?;
    ensure_eq!((report.tombstone, report.forgotten), (false, true), "below the newest: a tombstone, forgotten");
    ensure_eq!(client.status(ID).await?.document, None, "the status after forgetting");
    // The seal: nobody may come back at or below it, whatever the node.
    for id in [ID, BackupId::new(1, 99, 5)] {
        for options in [SaveOptions::default(), resume()] {
            let saved = client.try_save(backup(id, small(1)?), options).await;
            refused(saved, "refused|wrong_state", format_args!("saving {id} below the seal"))?;
        }
        let marked = client.mark_failed(id, "because", Expect::Any).await;
        refused(marked, "refused|wrong_state", format_args!("mark_failed of {id} below the seal"))?;
        ensure_eq!(client.status(id).await?.document, None, "the status of {id} below the seal");
    }
    client.save(BackupId::new(2, 100, 2)).await?;
    client.save(BackupId::new(1, 101, 2)).await?;
    client.in_state(newer, StatusCode::Completed, "after forgetting an older one").await.map(drop)
}
