//! Forgetting a tombstone: swept once more, sealed, then removed.
//!
//! The order matters. The seal comes before the removal, so that at no time an absent id can be claimed which a late DELETE
//! of the removal could still hit.

use std::time::Duration;

use milepost_core::{BackupId, CheckpointId, NodeId, StatusCode};

use super::Engine;
use super::register::StatusRead;
use crate::api::DeleteReport;
use crate::bucket::Bucket;
use crate::context::OpContext;
use crate::error::Result;

impl<B: Bucket> Engine<B> {
    /// Forgets the tombstone of `id`, if it is older than `grace` by the store's clock and below the partition's newest
    /// COMPLETED checkpoint; else the report says why it stays.
    pub(super) async fn forget(
        &self,
        id: BackupId,
        grace: Duration,
        report: &mut DeleteReport,
        cx: &OpContext,
    ) -> Result<()> {
        let StatusRead::Present { held, age } = self.addressed(id, cx).await? else { return Ok(()) };
        if held.document.status_code != StatusCode::Deleted {
            return Ok(());
        }
        if !grace.is_zero() && age.is_none_or(|age| age < grace) {
            let words = |span: Duration| match span.as_secs() {
                seconds if seconds >= 3600 && seconds % 3600 == 0 => format!("{} h", seconds / 3600),
                seconds => format!("{seconds} s"),
            };
            let age = age.map_or("of unknown age".to_owned(), |age| format!("{} old", words(age)));
            report.kept = Some(format!("it is {age}, and tombstones are kept for {}", words(grace)));
            return Ok(());
        }
        if !self.has_completed_above(id, cx).await? {
            report.kept = Some(format!(
                "partition {} has no COMPLETED backup above checkpoint {}; ids below the newest one alone are forgotten",
                id.partition, id.checkpoint
            ));
            return Ok(());
        }
        // Late requests may have written since the tombstone was made.
        self.sweep(id, report, cx).await?;
        self.raise_seal(id.partition, id.checkpoint, cx).await?;
        let key = self.layout.status(id);
        self.must(cx, || async {
            for outcome in self.bucket.delete(vec![key.as_str().to_owned()]).await? {
                outcome.result?;
            }
            Ok(())
        })
        .await?;
        report.tombstone = false;
        report.forgotten = true;
        Ok(())
    }

    /// Does the partition have a COMPLETED backup at a later checkpoint?
    async fn has_completed_above(&self, id: BackupId, cx: &OpContext) -> Result<bool> {
        let prefix = self.layout.partition_prefix(id.partition);
        let checkpoints: Vec<CheckpointId> = self.numeric_folders(&prefix, cx).await?;
        for checkpoint in checkpoints.into_iter().rev().take_while(|checkpoint| *checkpoint > id.checkpoint) {
            let prefix = self.layout.checkpoint_prefix(id.partition, checkpoint);
            for node in self.numeric_folders::<NodeId>(&prefix, cx).await? {
                let copy = BackupId { checkpoint, node, ..id };
                if let StatusRead::Present { held, .. } = self.read_status(copy, cx).await?
                    && held.document.status_code == StatusCode::Completed
                {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
