//! Restoring: fetch into staging, verify while streaming, look at the status once more, then let the target appear.
//!
//! The file side (staging, marker, renames, what a kill leaves) is `crate::target`'s; this is the bucket side. How the files
//! themselves are fetched is in `fetching`.

mod fetching;

use std::sync::Arc;
use std::time::Duration;

use milepost_core::{BackupId, StatusCode, StatusDocument};
use tokio::time::Instant;

use super::Engine;
use super::register::StatusRead;
use crate::api::{RestoreOptions, RestoreOutcome, RestoreReport, RestoreTarget};
use crate::bucket::Bucket;
use crate::context::OpContext;
use crate::error::{Error, Result};
use crate::target::{self, Binding, Marker, Plan, Staging, TargetState, off_thread};
use fetching::Fetching;

/// For so long a restore that failed waits for its own threads, which hold the target's lock: whoever runs it again at once is
/// not to be told that another process restores there. A call that hangs must not keep a cancel waiting for longer.
const LET_GO: Duration = Duration::from_secs(10);

impl<B: Bucket> Engine<B> {
    /// Restores a backup.
    pub(super) async fn restore(
        self: &Arc<Self>,
        id: BackupId,
        target: RestoreTarget,
        options: RestoreOptions,
        cx: &OpContext,
    ) -> Result<RestoreReport> {
        let started = Instant::now();
        let retries = cx.progress().sample().retries;
        let path = target.path;
        let looked_at = path.clone();
        let state = off_thread(move || target::inspect(&looked_at)).await?;
        let mut report = RestoreReport {
            id,
            outcome: RestoreOutcome::AlreadyRestored,
            files: 0,
            bytes: 0,
            files_fetched: 0,
            bytes_fetched: 0,
            metadata_sha256: String::new(),
            duration: started.elapsed(),
            retries: 0,
        };
        if let TargetState::Restored(marker) = &state
            && options.skip_if_restored
        {
            report.id = marker.id;
            report.metadata_sha256.clone_from(&marker.metadata_sha256);
            return Ok(report);
        }
        let (status, metadata) = self.completed_metadata(id, cx).await?;
        let document = metadata.document;
        expect_fingerprint(&status, &options)?;
        report.files = document.total_files;
        report.bytes = document.total_bytes;
        report.metadata_sha256.clone_from(&metadata.sha256);
        let binding = Binding::new(id, metadata.sha256);
        if let TargetState::Restored(marker) = &state
            && marker.binding() == binding
        {
            off_thread(move || target::settle(&path)).await?;
            return Ok(report);
        }
        cx.progress().expect(document.total_files, document.total_bytes);
        let plan = Plan::of(&document)?;
        let bound = binding.clone();
        let staging = off_thread(move || {
            let staging = Staging::open(&path, &bound, plan)?;
            staging.check_space()?;
            Ok(staging)
        })
        .await?;
        let (staged, _) = staging.staged();
        if staged > 0 {
            tracing::info!(backup = %id, files = staged, "continues an earlier restore");
        }
        let fetching = Fetching::new(self, id, &staging, options.check, cx);
        if let Err(error) = cx.run(fetching.all(&document)).await {
            staging.let_go(LET_GO).await;
            // A delete under way looks like damage; it is none.
            return Err(self.gone_or(id, &binding.metadata_sha256, error, cx).await);
        }
        (report.files_fetched, report.bytes_fetched) = fetching.fetched();
        let synced = staging.clone();
        off_thread(move || synced.sync_folders()).await?;
        // Once more, behind the last byte: had a delete begun in between, some file may have come from elsewhere.
        self.still_committed(id, &binding.metadata_sha256, cx).await?;
        cx.check()?;
        let marker = Marker::new(&binding, Some(document.cluster_id.clone()), self.env.clock.now());
        off_thread(move || staging.commit(&marker)).await?;
        report.outcome = RestoreOutcome::Restored;
        report.duration = started.elapsed();
        report.retries = cx.progress().sample().retries - retries;
        tracing::info!(
            backup = %id, files = report.files, bytes = report.bytes, fetched = report.bytes_fetched,
            millis = report.duration.as_millis() as u64, "restored"
        );
        Ok(report)
    }

    async fn still_committed(&self, id: BackupId, sha256: &str, cx: &OpContext) -> Result<()> {
        match self.addressed(id, cx).await? {
            StatusRead::Present { held, .. }
                if held.document.status_code == StatusCode::Completed
                    && held.document.metadata_sha256.as_deref() == Some(sha256) =>
            {
                Ok(())
            }
            other => Err(other.changed_while("restored; nothing appeared in the target")),
        }
    }
}

fn expect_fingerprint(status: &StatusDocument, options: &RestoreOptions) -> Result<()> {
    let Some(expected) = &options.expect_fingerprint else { return Ok(()) };
    let found = status.descriptor.as_ref().and_then(|descriptor| descriptor.fingerprint.as_deref());
    if found == Some(expected) {
        return Ok(());
    }
    let found = found.map_or("none".to_owned(), |found| format!("`{found}`"));
    Err(Error::refused(format!("the backup's fingerprint is {found}, not `{expected}`"))
        .with_hint("it was taken of a broker with another configuration; nothing was written"))
}
