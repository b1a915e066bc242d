//! Expectations, holds, verifications.

use milepost_core::lifecycle::Annotation;
use milepost_core::{AttemptId, BackupId, Hold, HoldId, StatusCode, Timestamp, Verification, VerifyLevel};
use milepost_store::{DeleteOptions, ETag, Expect};

use super::client::{Client, State, hold, refused};
use crate::check::{Checked, Doing as _, ensure, ensure_eq};

const ID: BackupId = BackupId::new(1, 100, 2);

fn expecting(expect: Expect) -> DeleteOptions {
    let mut options = DeleteOptions::default();
    options.expect = expect;
    options
}

pub(super) async fn an_expectation_that_does_not_hold_is_a_conflict(client: Client) -> Checked {
    let first = client.bring(ID, State::Completed).await?;
    client.annotate(ID, Annotation::Hold(hold("h")?), Expect::Any).await.doing("holding")?;
    let before = client.annotate(ID, Annotation::Release(hold("h")?.id), Expect::Any).await.doing("releasing")?;
    let (attempt, revision) = before
        .document
        .as_ref()
        .map(|d| (d.attempt_id.clone(), d.revision))
        .unwrap_or((AttemptId::from_random([0; 16]), 1));
    let wrong = [
        // What somebody read before the annotations.
        first.expect(),
        Expect::ETag(ETag("00".to_owned())),
        Expect::Revision { attempt: attempt.clone(), revision: revision - 1 },
        Expect::Revision { attempt, revision: revision + 1 },
        Expect::Revision { attempt: AttemptId::from_random([1; 16]), revision },
    ];
    for expect in wrong {
        let what = format!("{expect:?}");
        let marked = client.mark_failed(ID, "because", expect.clone()).await;
        refused(marked, "conflict", format_args!("mark_failed expecting {what}"))?;
        let deleted = client.try_delete(ID, expecting(expect.clone())).await;
        refused(deleted, "conflict", format_args!("delete expecting {what}"))?;
        let held = client.annotate(ID, Annotation::Hold(hold("h")?), expect).await;
        refused(held, "conflict", format_args!("annotate expecting {what}"))?;
        client.unchanged(&before, &format!("after expecting {what}")).await?;
    }
    let absent = BackupId::new(1, 99, 2);
    let marked = client.mark_failed(absent, "because", first.expect()).await;
    refused(marked, "conflict", "mark_failed of an absent backup, expecting a document")?;
    ensure_eq!(client.status(absent).await?.document, None, "status after that");
    Ok(())
}

pub(super) async fn an_expectation_that_holds_lets_through(client: Client) -> Checked {
    let status = client.bring(ID, State::Completed).await?;
    let held = client.annotate(ID, Annotation::Hold(hold("h")?), status.expect()).await;
    let held = held.doing("annotate with the ETag just read")?;
    let expect = held.document.as_ref().map_or(Expect::Any, |document| Expect::Revision {
        attempt: document.attempt_id.clone(),
        revision: document.revision,
    });
    let free = client.annotate(ID, Annotation::Release(hold("h")?.id), expect).await;
    let free = free.doing("annotate with the revision that annotate gave")?;
    let failed = client.mark_failed(ID, "because", free.expect()).await.doing("mark_failed with that ETag")?;
    client.try_delete(ID, expecting(failed.expect())).await.doing("delete with the ETag that mark_failed gave")?;
    ensure!(client.status(ID).await?.is_tombstone(), "no tombstone after all that");
    // Whatever was expected: a delete that finds the tombstone has nothing left to do.
    client.try_delete(ID, expecting(failed.expect())).await.doing("the same delete again")?;
    Ok(())
}

pub(super) async fn a_hold_blocks_delete_and_mark_failed(client: Client) -> Checked {
    client.bring(ID, State::Completed).await?;
    for name in ["one", "two", "one"] {
        client.annotate(ID, Annotation::Hold(hold(name)?), Expect::Any).await.doing(format_args!("holding {name}"))?;
    }
    let document = client.in_state(ID, StatusCode::Completed, "while held").await?;
    ensure_eq!(document.holds, [hold("one")?, hold("two")?], "holds after holding one twice");
    for name in ["one", "two"] {
        let before = client.status(ID).await?;
        refused(client.try_delete(ID, DeleteOptions::default()).await, "held", "delete of a held backup")?;
        refused(client.mark_failed(ID, "because", Expect::Any).await, "held", "mark_failed of a held backup")?;
        client.unchanged(&before, "after a refused delete").await?;
        let release = Annotation::Release(hold(name)?.id);
        client.annotate(ID, release, Expect::Any).await.doing(format_args!("releasing {name}"))?;
    }
    client.delete(ID).await.map(drop)
}

pub(super) async fn holds_have_limits(client: Client) -> Checked {
    client.bring(ID, State::Completed).await?;
    let long = Hold { reason: "x".repeat(1025), ..hold("long")? };
    let held = client.annotate(ID, Annotation::Hold(long), Expect::Any).await;
    refused(held, "invalid_input", "a hold of more than 1 KiB")?;
    for number in 0..16 {
        let change = Annotation::Hold(hold(&format!("h{number}"))?);
        client.annotate(ID, change, Expect::Any).await.doing(format_args!("hold {number}"))?;
    }
    let before = client.status(ID).await?;
    let held = client.annotate(ID, Annotation::Hold(hold("h16")?), Expect::Any).await;
    refused(held, "invalid_input", "the 17th hold")?;
    client.unchanged(&before, "after the 17th hold").await?;
    // One that is there already needs no room.
    client.annotate(ID, Annotation::Hold(hold("h3")?), Expect::Any).await.doing("a hold that is there already")?;
    ensure_eq!(client.document(ID).await?.holds.len(), 16, "holds in the end");
    HoldId::new("h3").doing("making a hold's id").map(drop)
}

pub(super) async fn a_verification_is_recorded(client: Client) -> Checked {
    client.bring(ID, State::Completed).await?;
    for (level, ok) in [(VerifyLevel::Content, true), (VerifyLevel::Objects, false)] {
        let verification = Verification { level, at: Timestamp::UNIX_EPOCH, ok };
        client.annotate(ID, Annotation::Verified(verification), Expect::Any).await.doing("recording a verification")?;
        let document = client.in_state(ID, StatusCode::Completed, "after recording a verification").await?;
        ensure_eq!(document.verified, Some(verification), "the verification");
    }
    Ok(())
}
