//! The table of calls and states: what is allowed, what is refused, and that what is refused changes nothing.

use milepost_core::lifecycle::Annotation;
use milepost_core::{BackupId, FileName, FileSetKind, StatusCode, VerifyLevel};
use milepost_store::{
    Backup, BackupState, DeleteOptions, Expect, FileRef, OpContext, RestoreOptions, SaveOptions, SaveOutcome,
};

use super::client::{Client, State, backup, descriptor, hold, refused, resume, small, wrong_state};
use crate::check::{Checked, Doing as _, ensure, ensure_eq};

/// One backup for each state.
fn id(state: State) -> BackupId {
    BackupId::new(1, 100 + state as u64, 2)
}

pub(super) async fn save_in_every_state(client: Client) -> Checked {
    for state in State::ALL {
        let before = client.bring(id(state), state).await?;
        let saved = client.try_save(backup(id(state), small(1)?), SaveOptions::default()).await;
        if state == State::Absent {
            saved.doing("saving an absent backup")?;
            client.in_state(id(state), StatusCode::Completed, "after a save").await?;
        } else {
            wrong_state(saved, state, "save")?;
            client.unchanged(&before, "after a refused save").await?;
        }
    }
    Ok(())
}

pub(super) async fn resume_in_every_state(client: Client) -> Checked {
    for state in State::ALL {
        let before = client.bring(id(state), state).await?;
        let mut other = backup(id(state), small(1)?);
        other.descriptor.term = Some(8);
        if !matches!(state, State::Absent | State::Recorded) {
            let saved = client.try_save(other, resume()).await;
            ensure!(saved.is_err(), "a resume of {state:?} with another descriptor succeeded: {saved:?}");
            client.unchanged(&before, "after a resume with another descriptor").await?;
        }
        let saved = client.try_save(backup(id(state), small(1)?), resume()).await;
        match state {
            State::Absent | State::InProgress | State::Failed | State::Recorded => {
                let report = saved.doing(format_args!("a resume of {state:?}"))?;
                ensure_eq!(report.outcome, SaveOutcome::Saved, "outcome of a resume of {state:?}");
                let after = client.in_state(id(state), StatusCode::Completed, "after a resume").await?;
                ensure_eq!(after.descriptor, Some(descriptor()), "descriptor after a resume of {state:?}");
                ensure_eq!(after.failure_reason, None, "failure reason after a resume of {state:?}");
            }
            State::Completed | State::Held => {
                let report = saved.doing(format_args!("a resume of {state:?}"))?;
                ensure_eq!(report.outcome, SaveOutcome::AlreadyComplete, "outcome of a resume of {state:?}");
                client.unchanged(&before, "after a resume of a completed backup").await?;
            }
            State::Spoiled | State::Deleted => {
                wrong_state(saved, state, "resume")?;
                client.unchanged(&before, "after a refused resume").await?;
            }
        }
    }
    Ok(())
}

pub(super) async fn mark_failed_in_every_state(client: Client) -> Checked {
    for state in State::ALL {
        let before = client.bring(id(state), state).await?;
        let marked = client.mark_failed(id(state), "because", Expect::Any).await;
        match state {
            State::Absent | State::InProgress | State::Completed => {
                let told = marked.doing(format_args!("mark_failed of {state:?}"))?;
                let after = client.in_state(id(state), StatusCode::Failed, "after mark_failed").await?;
                ensure_eq!(told.document.as_ref(), Some(&after), "the status that mark_failed gives");
                ensure_eq!(told.expect(), client.status(id(state)).await?.expect(), "the ETag that mark_failed gives");
                ensure_eq!(after.failure_reason.as_deref(), Some("because"), "the reason");
                let (revision, hash) = before.document.map_or((0, None), |old| (old.revision, old.metadata_sha256));
                ensure_eq!(after.revision, revision + 1, "the revision of {state:?} after mark_failed");
                ensure_eq!(after.metadata_sha256, hash, "the hash of the metadata of {state:?} after mark_failed");
            }
            State::Failed | State::Recorded | State::Spoiled => {
                let told = marked.doing(format_args!("mark_failed of {state:?}"))?;
                ensure_eq!(told.document, before.document, "the status of {state:?} that mark_failed gives");
                client.unchanged(&before, "after mark_failed of a failed backup").await?;
            }
            State::Held => {
                refused(marked, "held", "mark_failed of a held backup")?;
                client.unchanged(&before, "after a refused mark_failed").await?;
            }
            State::Deleted => {
                wrong_state(marked, state, "mark_failed")?;
                client.unchanged(&before, "after a refused mark_failed").await?;
            }
        }
    }
    Ok(())
}

pub(super) async fn delete_in_every_state(client: Client) -> Checked {
    for state in State::ALL {
        let before = client.bring(id(state), state).await?;
        let deleted = client.try_delete(id(state), DeleteOptions::default()).await;
        match state {
            State::Absent => {
                let report = deleted.doing("deleting an absent backup")?;
                ensure_eq!((report.objects, report.tombstone), (0, false), "objects, and is there a tombstone");
                client.unchanged(&before, "after deleting an absent backup").await?;
            }
            State::InProgress => {
                wrong_state(deleted, state, "delete")?;
                client.unchanged(&before, "after a refused delete").await?;
            }
            State::Held => {
                refused(deleted, "held", "delete of a held backup")?;
                client.unchanged(&before, "after a refused delete").await?;
            }
            State::Deleted => {
                let report = deleted.doing("deleting a deleted backup")?;
                ensure_eq!((report.objects, report.tombstone), (0, true), "objects, and is there a tombstone");
                ensure!(client.status(id(state)).await?.is_tombstone(), "the tombstone is gone after another delete");
            }
            State::Completed | State::Failed | State::Recorded | State::Spoiled => {
                let report = deleted.doing(format_args!("delete of {state:?}"))?;
                ensure!(report.tombstone && report.failed.is_empty(), "report of a delete of {state:?}: {report:?}");
                let after = client.status(id(state)).await?;
                ensure!(after.is_tombstone(), "no tombstone after a delete of {state:?}: {after:?}");
                ensure_eq!(after.state(), BackupState::DoesNotExist, "state after a delete of {state:?}");
            }
        }
    }
    Ok(())
}

pub(super) async fn restore_in_every_state(client: Client) -> Checked {
    for state in State::ALL {
        let before = client.bring(id(state), state).await?;
        let target = format!("target-{state:?}");
        let restored = client.restore(id(state), &target, RestoreOptions::default()).await;
        match state {
            State::Completed | State::Held => drop(restored.doing(format_args!("restore of {state:?}"))?),
            State::Absent | State::Deleted => {
                refused(restored, "not_found|wrong_state", "restore of what is not there")?
            }
            _ => wrong_state(restored, state, "restore")?,
        }
        ensure_eq!(
            client.path(&target).exists(),
            state.shown() == BackupState::Completed,
            "is there a target of {state:?}"
        );
        client.unchanged(&before, "after a restore").await?;
    }
    Ok(())
}

pub(super) async fn reads_in_every_state(client: Client) -> Checked {
    for state in State::ALL {
        let before = client.bring(id(state), state).await?;
        let cx = OpContext::new();
        let name = FileName::new("1.log").doing("naming a file")?;
        let file = FileRef { id: id(state), kind: FileSetKind::Segments, name };
        let metadata = client.store.metadata(id(state), &cx).await;
        let read = client.store.read(file, 0..10, &cx).await;
        let verified = client.store.verify(id(state), VerifyLevel::Documents, &cx).await;
        match state {
            State::Completed | State::Held => {
                metadata.doing("metadata of a completed backup")?;
                read.doing("read of a completed backup")?;
                ensure!(verified.doing("verify of a completed backup")?.ok(), "a completed backup is not ok");
            }
            State::Absent | State::Deleted => {
                refused(metadata, "not_found", format_args!("metadata of {state:?}"))?;
                refused(read, "not_found", format_args!("read of {state:?}"))?;
                refused(verified, "not_found", format_args!("verify of {state:?}"))?;
            }
            State::InProgress | State::Failed | State::Recorded => {
                wrong_state(metadata, state, "metadata")?;
                wrong_state(read, state, "read")?;
                wrong_state(verified, state, "verify")?;
            }
            // Whether what was declared unusable may still be looked at is the store's affair.
            State::Spoiled => {}
        }
        client.unchanged(&before, "after reads").await?;
    }
    Ok(())
}

pub(super) async fn annotate_in_every_state(client: Client) -> Checked {
    for state in State::ALL {
        let before = client.bring(id(state), state).await?;
        let held = client.annotate(id(state), Annotation::Hold(hold("h2")?), Expect::Any).await;
        match state {
            State::Completed | State::Held => {
                let told = held.doing(format_args!("annotate of {state:?}"))?;
                let after = client.in_state(id(state), StatusCode::Completed, "after annotate").await?;
                ensure_eq!(told.document.as_ref(), Some(&after), "the status that annotate gives");
                ensure_eq!(
                    after.revision,
                    before.document.map_or(0, |old| old.revision) + 1,
                    "the revision after annotate"
                );
                ensure!(after.holds.iter().any(|held| held.id.as_str() == "h2"), "the hold is not there: {after:?}");
                continue;
            }
            State::Absent | State::Deleted => refused(held, "not_found|wrong_state", "annotate of what is not there")?,
            _ => wrong_state(held, state, "annotate")?,
        }
        client.unchanged(&before, "after a refused annotate").await?;
    }
    // A backup that another cluster's node could not have made is no input at all.
    let bad = Backup { id: BackupId::new(0, 1, 1), ..backup(BackupId::new(0, 1, 1), small(1)?) };
    refused(
        client.try_save(bad, SaveOptions::default()).await,
        "refused|invalid_input",
        "saving partition 0 where the first one is 1",
    )
}
