//! The owner's side of the status: signs of life, the commit, giving up.

use std::sync::Arc;
use std::time::Duration;

use milepost_core::lifecycle::{InProgress, Lifecycle};
use milepost_core::{BackupId, Counts, ObjectKey, StatusDocument};
use tokio::sync::Mutex;

use super::Saved;
use super::upload::Confirmed;
use crate::bucket::{Bucket, UploadId};
use crate::context::OpContext;
use crate::engine::Engine;
use crate::engine::mark::plain;
use crate::engine::register::{Held, Written};
use crate::error::{Error, ErrorKind, Result};

/// How long giving up may take after a cancel: the caller waits for it.
pub(super) const GIVING_UP: Duration = Duration::from_secs(15);

/// The status document that an attempt owns.
pub(super) struct Owned<'a, B: Bucket> {
    engine: &'a Engine<B>,
    held: Held,
    /// Somebody else's document stands: nothing more is written or aborted.
    fenced: bool,
}

impl<'a, B: Bucket> Owned<'a, B> {
    pub(super) fn new(engine: &'a Engine<B>, held: Held) -> Self {
        Self { engine, held, fenced: false }
    }

    /// Changes the own document; a fence is a Conflict that names who fenced.
    async fn change(&mut self, cx: &OpContext, mut next: impl FnMut(InProgress) -> StatusDocument) -> Result<()> {
        let id = self.held.document.id;
        let written = self
            .engine
            .cas(id, Some(self.held.clone()), true, cx, |from| match from.cloned().map(Lifecycle::from) {
                Some(Lifecycle::InProgress(state)) => Ok(next(state)),
                _ => Err(Error::new(ErrorKind::Internal, "an owner holds a document that is not IN_PROGRESS")),
            })
            .await?;
        match written {
            Written::Landed(held) => {
                self.held = held;
                Ok(())
            }
            Written::Fenced(read) => {
                self.fenced = true;
                Err(read.conflict("the save was fenced"))
            }
        }
    }

    /// Shows that the attempt lives.
    async fn progress(&mut self, done: Counts, cx: &OpContext) -> Result<()> {
        let now = self.engine.env.clock.now();
        self.change(cx, |state| state.progress(done, now).into_document()).await
    }

    /// The commit. It is not cancelled half-way: its outcome is settled within the retry budget, because a caller who is
    /// told "failed" while the backup stands committed would be told a lie.
    pub(super) async fn commit(&mut self, saved: &Saved) -> Result<()> {
        let now = self.engine.env.clock.now();
        let counts = Counts { files: saved.files.len() as u64, bytes: saved.bytes };
        let settle = self.engine.settings.retry_budget + GIVING_UP;
        let cx = OpContext::new().with_timeout(settle);
        let commit = |state: InProgress| {
            state.commit(saved.metadata_sha256.clone(), counts, saved.complete, now).into_document()
        };
        self.change(&cx, commit).await.map_err(|error| match error.kind() {
            ErrorKind::Unavailable | ErrorKind::Deadline => {
                error.with_hint("the commit was sent: `status` tells whether the backup is COMPLETED")
            }
            _ => error,
        })
    }

    /// Turns the own document to FAILED. True: it landed. Fenced or unreachable: it did not, and nothing more is done.
    pub(super) async fn fail(&mut self, reason: &str) -> bool {
        if self.fenced {
            return false;
        }
        let now = self.engine.env.clock.now();
        let cx = OpContext::new().with_timeout(GIVING_UP);
        let reason = plain(reason);
        match self.change(&cx, |state| state.fail(&reason, now).into_document()).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(backup = %self.held.document.id, %error, "could not be marked as failed");
                false
            }
        }
    }

    /// Aborts the attempt's own open uploads. What fails here, the next delete aborts.
    pub(super) async fn abort_uploads(&self, uploads: Vec<(ObjectKey, UploadId)>) {
        let cx = OpContext::new().with_timeout(GIVING_UP);
        for (key, upload) in uploads {
            let aborted = self.engine.must(&cx, || self.engine.bucket.abort_upload(&key, &upload)).await;
            if let Err(error) = aborted {
                tracing::warn!(%key, %error, "an upload could not be aborted; `delete` will");
            }
        }
    }
}

/// Shows signs of life until dropped; ends with a Conflict when the attempt finds itself fenced.
pub(super) async fn show_life<B: Bucket>(
    engine: &Arc<Engine<B>>,
    owned: &Mutex<Owned<'_, B>>,
    cx: &OpContext,
) -> Error {
    loop {
        tokio::time::sleep(engine.settings.sign_of_life).await;
        let sample = cx.progress().sample();
        let done = Counts { files: sample.files_done, bytes: sample.bytes_done };
        match owned.lock().await.progress(done, cx).await {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::Conflict { .. }) => return error,
            // The store may be away for a while; whether the save goes on is for the uploads' own retries to say.
            Err(error) => tracing::warn!(%error, "no sign of life could be shown"),
        }
    }
}

impl<B: Bucket> Engine<B> {
    /// Behind the commit of a resume: aborts what killed attempts left open, as an upload that a later attempt found
    /// completed. Once the backup is committed nobody can own it any more, so no upload below it is anybody's. What fails here,
    /// the next delete aborts.
    pub(super) async fn abort_strays(&self, id: BackupId, files: &[Confirmed]) {
        let cx = OpContext::new().with_timeout(GIVING_UP);
        let by_parts = files.iter().filter(|file| file.record.size > self.settings.multipart_threshold);
        let known = by_parts.map(|file| self.layout.file(id, file.kind, &file.record.name)).collect();
        let aborted = async {
            for open in self.uploads(id, &known, &cx).await? {
                if let Ok(key) = ObjectKey::new(open.key.as_str()) {
                    self.must(&cx, || self.bucket.abort_upload(&key, &open.upload)).await?;
                }
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = aborted.await {
            tracing::warn!(backup = %id, %error, "uploads of earlier attempts could not be aborted; `delete` will");
        }
    }
}
