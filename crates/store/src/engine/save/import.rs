//! The copy of a backup from another store: a save whose plan and metadata are given, and whose files come from there.
//!
//! Claim, uploads, the look at the listing, the metadata, the commit, signs of life, fencing and giving up are those of a save.
//! What differs: the metadata is written as it came, so nothing about the backup is decided here; and an unfinished copy is
//! continued only by a copy of the same backup, by the metadata's hash in its status.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use milepost_core::document::CopiedFrom;
use milepost_core::lifecycle::Lifecycle;
use milepost_core::{BackupId, Hashes, StatusDocument};
use tokio::time::Instant;

use super::Saved;
use super::claim::Entry;
use super::content::Content;
use super::plan::{Described, Plan, PlannedFile};
use super::upload::{Confirmed, Uploads};
use crate::api::{Exported, ImportOptions, ImportOutcome, ImportReport, SaveOptions};
use crate::bucket::Bucket;
use crate::context::OpContext;
use crate::engine::Engine;
use crate::engine::register::StatusRead;
use crate::error::{Error, ErrorKind, Result};

/// What a copy is given.
pub(super) struct Given {
    pub from: Arc<dyn Exported>,
    pub copied_from: CopiedFrom,
    pub metadata: Bytes,
}

impl<B: Bucket> Engine<B> {
    /// Copies a committed backup of another store into this one.
    pub(in crate::engine) async fn import(
        self: &Arc<Self>,
        from: Arc<dyn Exported>,
        options: ImportOptions,
        cx: &OpContext,
    ) -> Result<ImportReport> {
        let started = Instant::now();
        let retries = cx.progress().sample().retries;
        let metadata = from.metadata();
        let id = metadata.id;
        let copied_from = CopiedFrom::new(from.location(), from.status())
            .ok_or_else(|| Error::invalid_input("the source is not committed"))?;
        if from.location() == self.bucket.location() {
            return Err(Error::invalid_input(format!("source and destination are one store, {}", from.location()))
                .with_hint("give the destination's URL; nothing was changed"));
        }
        let described = Described {
            id,
            descriptor: metadata.descriptor.clone(),
            skipped: metadata.skipped_files.clone(),
            given: Some(Given {
                from: Arc::clone(&from),
                copied_from: copied_from.clone(),
                metadata: from.metadata_bytes(),
            }),
        };
        let mut report = ImportReport {
            id,
            outcome: ImportOutcome::AlreadyThere,
            from: copied_from,
            files: metadata.total_files,
            files_sent: 0,
            bytes: metadata.total_bytes,
            bytes_sent: 0,
            complete: metadata.is_complete(),
            duration: started.elapsed(),
            retries: 0,
            warnings: Vec::new(),
        };
        let known = self.check_cluster(cx).await?;
        self.of_one_cluster(&from, known)?;
        let entry = self.import_entry(id, &report.from, options, known, cx).await?;
        if let (false, true) = (matches!(entry, Entry::Compare), options.dry_run) {
            report.outcome = ImportOutcome::WouldCopy;
        } else if !matches!(entry, Entry::Compare) {
            let plan = self.given_plan(&from);
            let counts = plan.counts();
            cx.progress().expect(counts.files, counts.bytes);
            // What an earlier attempt sent needs no more room, so of a resume only the store itself can say.
            if matches!(entry, Entry::Claim) {
                self.enough_space(counts, cx).await?;
            }
            self.ensure_cluster_like(Some(from.cluster()), cx).await?;
            // Who lost the race for cluster.json lives by the winner's.
            self.of_one_cluster(&from, true)?;
            self.check_partition(id)?;
            let taken_over = matches!(entry, Entry::TakeOver(_));
            let held = self.claim(&described, counts, entry, cx).await?;
            let saved = self.attempt(&described, plan, held, &SaveOptions::default(), taken_over, cx).await?;
            report.outcome = ImportOutcome::Copied;
            report.files_sent = saved.files.iter().filter(|file| file.sent).count() as u64;
            report.bytes_sent = saved.bytes_sent;
            report.warnings = saved.warnings;
        }
        report.duration = started.elapsed();
        report.retries = cx.progress().sample().retries - retries;
        let (outcome, from) = (report.outcome, &report.from.location);
        tracing::info!(backup = %id, ?outcome, from, bytes = report.bytes, sent = report.bytes_sent, "copied");
        Ok(report)
    }

    /// A copy keeps the cluster's id, so both stores must be of one cluster.
    fn of_one_cluster(&self, from: &Arc<dyn Exported>, known: bool) -> Result<()> {
        let theirs = &from.cluster().cluster_id;
        let ours = if known { Some(self.cluster_id()?) } else { self.settings.cluster_id.clone() };
        match ours {
            Some(ours) if ours != *theirs => Err(Error::refused(format!(
                "{} belongs to the cluster with id {ours}, what is copied to the one with id {theirs}",
                self.bucket.location()
            ))
            .with_hint("copy into a store of the same cluster, or into an empty one; nothing was written")),
            _ => Ok(()),
        }
    }

    /// How the status at the destination lets a copy begin. [`Entry::Compare`]: it is there already.
    async fn import_entry(
        &self,
        id: BackupId,
        copied_from: &CopiedFrom,
        options: ImportOptions,
        known: bool,
        cx: &OpContext,
    ) -> Result<Entry> {
        if known {
            self.check_partition(id)?;
        }
        let read = if known { self.addressed(id, cx).await? } else { StatusRead::Absent };
        let (held, age) = match read {
            StatusRead::Absent => {
                self.refuse_sealed(id, cx).await?;
                return Ok(Entry::Claim);
            }
            StatusRead::Present { held, age } => (held, age),
            corrupt @ StatusRead::Corrupt { .. } => {
                return Err(corrupt
                    .wrong_state("the status at the destination cannot be used")
                    .with_hint("`delete --corrupt` removes it there; the id is used up then"));
            }
        };
        let state = held.state();
        let again = StatusRead::Present { held: held.clone(), age };
        let same = |document: &StatusDocument| {
            document.copied_from.as_ref().is_some_and(|from| from.metadata_sha256 == copied_from.metadata_sha256)
        };
        match state {
            Lifecycle::Completed(completed) if completed.metadata_sha256() == copied_from.metadata_sha256 => {
                Ok(Entry::Compare)
            }
            Lifecycle::Completed(_) => Err(again
                .wrong_state("the destination holds another backup of this id; nothing was changed")
                .with_hint("compare both with `show`; a backup is never replaced")),
            Lifecycle::Failed(failed) if failed.was_completed() => Err(again
                .wrong_state("was COMPLETED at the destination before it was marked as failed there")
                .with_hint("delete it there; its id is used up then")),
            Lifecycle::InProgress(_) | Lifecycle::Failed(_) if !same(&held.document) => Err(again
                .wrong_state("what was begun at the destination is no copy of this backup")
                .with_hint("its own saver can resume it; or delete it there, which uses up the id")),
            // Two copies that take over from each other would never end.
            Lifecycle::InProgress(_) if !options.resume => Err(again.wrong_state("is being copied").with_hint(
                "if that process is gone, `copy --resume` continues its work; if it lives, this would stop it",
            )),
            Lifecycle::InProgress(_) | Lifecycle::Failed(_) => {
                self.refuse_sealed(id, cx).await?;
                Ok(Entry::TakeOver(held))
            }
            Lifecycle::Deleting(_) => Err(again.wrong_state("is being deleted at the destination")),
            Lifecycle::Deleted(_) => {
                Err(again.wrong_state("was deleted at the destination, and its id is used up there"))
            }
        }
    }

    fn given_plan(&self, from: &Arc<dyn Exported>) -> Plan {
        let metadata = from.metadata();
        let files = metadata.all_files().enumerate().map(|(at, (kind, record))| PlannedFile {
            at,
            kind,
            name: record.name.clone(),
            key: self.layout.file(metadata.id, kind, &record.name),
            content: Content::Stored(Arc::clone(from)),
            size: record.size,
            version: None,
            may_shorten: false,
            known: Some(Hashes { crc: record.crc64nvme, digest: record.digest }),
            upload: None,
        });
        Plan { files: files.collect(), failures: Vec::new(), skipped: Vec::new() }
    }

    /// All files are there: the metadata follows, as it came.
    pub(super) async fn saved_as_given(
        self: &Arc<Self>,
        described: &Described,
        given: &Given,
        files: Vec<Confirmed>,
        warnings: Vec<String>,
        uploads: &Uploads<'_, B>,
    ) -> Result<Saved> {
        let (id, wanted) = (described.id, &given.copied_from.metadata_sha256);
        match self.write_metadata(id, given.metadata.clone(), uploads.cx).await? {
            Some(written) if written == *wanted => {}
            Some(written) => {
                let message = format!("the source's metadata has the hash {written}, its status says {wanted}");
                return Err(Error::new(ErrorKind::Internal, message));
            }
            None => {
                let key = self.layout.metadata(id);
                return Err(Error::corrupt(key.as_str(), "of another attempt stands there, and is never replaced")
                    .with_hint("delete the backup at the destination; its id is used up there"));
            }
        }
        let metadata = given.from.metadata();
        Ok(Saved {
            files,
            metadata_sha256: wanted.clone(),
            bytes: metadata.total_bytes,
            bytes_sent: uploads.bytes_sent.load(Ordering::Relaxed),
            complete: metadata.is_complete(),
            warnings,
        })
    }
}
