//! mark_failed and annotate: changes of one document, meant for that document alone.

use milepost_core::lifecycle::{Annotation, Completed, Failed, Lifecycle, TransitionError};
use milepost_core::{BackupId, StatusCode, StatusDocument};

use super::Engine;
use super::register::{Held, StatusRead};
use crate::api::{BackupStatus, Expect};
use crate::bucket::{Bucket, BucketErrorKind, PutMode};
use crate::context::OpContext;
use crate::error::{Error, ErrorKind, Result};

/// A refused transition as an error of the store.
pub(super) fn refused(error: TransitionError) -> Error {
    match error {
        TransitionError::Held(holds) => {
            Error::new(ErrorKind::Held { holds: holds.clone() }, TransitionError::Held(holds).to_string())
                .with_hint("release the hold first")
        }
        TransitionError::NoSuchHold(_) => Error::new(ErrorKind::NotFound, error.to_string()),
        TransitionError::WasCompleted => Error::refused(error.to_string()),
        TransitionError::OtherDescriptor | TransitionError::TooManyHolds | TransitionError::HoldTooLong => {
            Error::invalid_input(error.to_string())
        }
        other => Error::refused(other.to_string()),
    }
}

/// A reason without control characters: each would take six bytes of the status, which has room for twice the text alone.
pub(super) fn plain(reason: &str) -> String {
    reason.replace(char::is_control, " ")
}

fn settled(id: BackupId, held: Held) -> BackupStatus {
    BackupStatus { id, document: Some(*held.document), etag: Some(held.etag), age: None }
}

impl<B: Bucket> Engine<B> {
    /// Declares a backup failed.
    pub(super) async fn mark_failed(
        &self,
        id: BackupId,
        reason: &str,
        expect: &Expect,
        cx: &OpContext,
    ) -> Result<BackupStatus> {
        if reason.trim().is_empty() {
            return Err(Error::invalid_input("say why: the reason is empty"));
        }
        let reason = &plain(reason);
        let known = self.check_cluster(cx).await?;
        let read = if known { self.addressed(id, cx).await? } else { StatusRead::Absent };
        read.expected(expect)?;
        let now = || self.env.clock.now();
        let (held, age) = match read {
            StatusRead::Absent => {
                self.check_partition(id)?;
                self.refuse_sealed(id, cx).await?;
                self.ensure_cluster(cx).await?;
                self.check_partition(id)?;
                let record = |_: Option<&StatusDocument>| {
                    Ok(Failed::record(self.cluster_id()?, id, self.env.attempt(), reason, now()).into_document())
                };
                let held = self.cas(id, None, false, cx, record).await?.or_conflict("somebody else was first")?;
                // The tombstone may have been forgotten between the look and the write: its late DELETE could take the
                // record away, so nobody is told that it stands.
                self.refuse_sealed(id, cx).await?;
                return Ok(settled(id, held));
            }
            StatusRead::Present { held, age } => (held, age),
            corrupt @ StatusRead::Corrupt { .. } => {
                return Err(corrupt.wrong_state("a corrupt status can only be deleted"));
            }
        };
        let failed = match held.state() {
            Lifecycle::InProgress(state) => state.fail(reason, now()),
            Lifecycle::Completed(state) => state.fail(reason, now()).map_err(refused)?,
            // The first reason is the one that matters.
            Lifecycle::Failed(_) => return Ok(BackupStatus { age, ..settled(id, held) }),
            Lifecycle::Deleting(_) | Lifecycle::Deleted(_) => {
                return Err(StatusRead::Present { held, age }.wrong_state("what is being deleted cannot fail"));
            }
        };
        let failed = failed.into_document();
        let held = self
            .cas(id, Some(held), false, cx, |_| Ok(failed.clone()))
            .await?
            .or_conflict("the backup changed meanwhile")?;
        Ok(settled(id, held))
    }

    /// Holds, releases or records a verification: settled by content, because annotations of others may lie on top.
    pub(super) async fn annotate(
        &self,
        id: BackupId,
        change: &Annotation,
        expect: &Expect,
        cx: &OpContext,
    ) -> Result<BackupStatus> {
        if !self.check_cluster(cx).await? {
            return Err(no_backup());
        }
        let mut read = self.addressed(id, cx).await?;
        read.expected(expect)?;
        let mut sent_on: Option<Held> = None;
        let mut tries = self.tries();
        loop {
            let (held, completed) = match Self::annotated(read) {
                Ok(found) => found,
                // After a try of our own, the document that was meant is gone: a delete or mark_failed won.
                Err(other) if sent_on.is_some() => return Err(other.conflict("the backup changed meanwhile")),
                Err(StatusRead::Absent) => return Err(no_backup()),
                Err(other) if is_tombstone(&other) => return Err(no_backup()),
                Err(other) => return Err(other.wrong_state("only a COMPLETED backup is annotated")),
            };
            if let Some(before) = &sent_on {
                if change.is_in(&held.document) {
                    return Ok(settled(id, held));
                }
                let same_attempt = held.document.attempt_id == before.document.attempt_id;
                if !same_attempt || (*expect != Expect::Any && held.etag != before.etag) {
                    return Err(StatusRead::Present { held, age: None }.conflict("the backup changed meanwhile"));
                }
            }
            let next = completed.annotate(change, self.env.clock.now()).map_err(refused)?.into_document();
            match self.put_status(&next, PutMode::Replace(held.etag.clone()), cx).await? {
                Ok(etag) => return Ok(settled(id, Held::new(next, etag))),
                Err(error)
                    if error.kind == BucketErrorKind::Precondition || error.maybe_applied || error.is_transient() =>
                {
                    sent_on = Some(held);
                    tries.pause(error, cx).await?;
                    read = self.addressed(id, cx).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The committed document that an annotation goes on top of; anything else is given back.
    fn annotated(read: StatusRead) -> Result<(Held, Box<Completed>), StatusRead> {
        match read {
            StatusRead::Present { held, age } => match held.state() {
                Lifecycle::Completed(completed) => Ok((held, Box::new(completed))),
                _ => Err(StatusRead::Present { held, age }),
            },
            other => Err(other),
        }
    }
}

fn no_backup() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such backup").with_hint("`milepost list` shows what there is")
}

fn is_tombstone(read: &StatusRead) -> bool {
    matches!(read, StatusRead::Present { held, .. } if held.document.status_code == StatusCode::Deleted)
}
