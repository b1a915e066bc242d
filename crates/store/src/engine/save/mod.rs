//! Saving: plan, claim, upload, list, metadata, commit.
//!
//! | crash after | leaves | next |
//! |---|---|---|
//! | the plan | nothing | save again |
//! | the claim | IN_PROGRESS | resume, or mark_failed and delete |
//! | some contents | IN_PROGRESS, contents that are never replaced | the same |
//! | the metadata | IN_PROGRESS; the metadata is the plan now | resume commits it |
//! | the commit was sent | IN_PROGRESS or COMPLETED, never less than whole | status tells |

mod adopt;
mod claim;
mod content;
mod import;
mod owner;
mod parts;
mod plan;
mod progress;
mod upload;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::StreamExt as _;
use milepost_core::{BackupId, BackupObject, FileSetKind, MetadataDocument, SkippedFile};
use tokio::time::Instant;

use super::Engine;
use super::register::Held;
use crate::api::{Backup, SaveOptions, SaveOutcome, SaveReport, SavedFile};
use crate::bucket::{Bucket, BucketErrorKind, PutMode, under};
use crate::context::OpContext;
use crate::error::{Error, ErrorKind, FileFailure, Result};
use claim::Entry;
use owner::Owned;
use plan::{Described, Plan, Sets, check_input};
use progress::Notes;
use upload::{Confirmed, Failure, Uploads};

/// What one attempt found out, when all went well.
struct Saved {
    files: Vec<Confirmed>,
    metadata_sha256: String,
    bytes: u64,
    bytes_sent: u64,
    complete: bool,
    warnings: Vec<String>,
}

impl<B: Bucket> Engine<B> {
    /// Saves a backup.
    pub(super) async fn save(
        self: &Arc<Self>,
        backup: Backup,
        options: SaveOptions,
        cx: &OpContext,
    ) -> Result<SaveReport> {
        let started = Instant::now();
        let retries = cx.progress().sample().retries;
        check_input(&backup, &options)?;
        self.check_cluster(cx).await?;
        self.check_partition(backup.id)?;
        let Backup { id, descriptor, snapshots, segments, reservation } = backup;
        let sets: Sets = [(FileSetKind::Snapshots, snapshots), (FileSetKind::Segments, segments)];
        let mut described = Described { id, descriptor, skipped: options.skipped.clone(), given: None };
        let entry = self.entry(&described, &options, cx).await?;
        let mut plan = cx.run(self.plan(id, sets, cx)).await?;
        if let Some(earlier) = self.earlier_journal(id, &options).await {
            progress::apply(&earlier, &mut plan, options.digest);
            // What is committed is compared as it is.
            if !matches!(entry, Entry::Compare) {
                let known = |skip: &SkippedFile| described.skipped.iter().all(|said| said.name != skip.name);
                let left_out: Vec<_> = progress::leave_out(earlier, &mut plan).into_iter().filter(known).collect();
                described.skipped.extend(left_out);
            }
        }
        let counts = plan.counts();
        cx.progress().expect(counts.files, counts.bytes);
        let (outcome, saved) = match entry {
            Entry::Compare => {
                let saved = self.compare_committed(&described, plan, cx).await?;
                self.abort_strays(id, &saved.files).await;
                (SaveOutcome::AlreadyComplete, saved)
            }
            entry => {
                // What an earlier attempt sent needs no more room, so of a resume only the store itself can say.
                if matches!(entry, Entry::Claim) {
                    self.enough_space(counts, cx).await?;
                }
                self.ensure_cluster(cx).await?;
                // Who lost the race for cluster.json lives by the winner's first partition.
                self.check_partition(id)?;
                let taken_over = matches!(entry, Entry::TakeOver(_));
                let held = self.claim(&described, counts, entry, cx).await?;
                (SaveOutcome::Saved, self.attempt(&described, plan, held, &options, taken_over, cx).await?)
            }
        };
        // After the last read: the broker may remove its files now.
        drop(reservation);
        let duration = started.elapsed();
        tracing::info!(
            backup = %id, files = saved.files.len(), bytes = saved.bytes, millis = duration.as_millis() as u64,
            "{}", if outcome == SaveOutcome::Saved { "saved" } else { "was saved already" }
        );
        let files = saved
            .files
            .into_iter()
            .map(|file| SavedFile { kind: file.kind, record: file.record, sent: file.sent })
            .collect();
        Ok(SaveReport {
            id,
            outcome,
            files,
            bytes: saved.bytes,
            bytes_sent: saved.bytes_sent,
            metadata_sha256: saved.metadata_sha256,
            duration,
            retries: cx.progress().sample().retries - retries,
            warnings: saved.warnings,
        })
    }

    /// The attempt itself, from the claim to the commit; on any failure but a fence the backup becomes FAILED.
    async fn attempt(
        self: &Arc<Self>,
        described: &Described,
        plan: Plan,
        held: Held,
        options: &SaveOptions,
        taken_over: bool,
        cx: &OpContext,
    ) -> Result<Saved> {
        let owned = tokio::sync::Mutex::new(Owned::new(self, held));
        let notes = match described.given {
            None => self.begin_journal(described.id, &plan, options).await,
            // A copy needs none: lengths and hashes are in the metadata, and uploads are found by their keys.
            Some(_) => Notes::none(&self.env),
        };
        let uploads = Uploads {
            engine: self,
            cx,
            digest: options.digest,
            resume: taken_over,
            notes: &notes,
            bytes_sent: AtomicU64::new(0),
            open: std::sync::Mutex::default(),
        };
        let prepared = tokio::select! {
            biased;
            // A read that hangs must not keep a cancel waiting: its thread is left behind.
            prepared = cx.run(self.prepared(described, plan, &uploads)) => prepared,
            fenced = owner::show_life(self, &owned, cx) => Err(fenced),
            never = self.keep_notes(&notes) => match never {},
        };
        let mut owned = owned.into_inner();
        let error = match prepared {
            Ok(saved) => match owned.commit(&saved).await {
                Ok(()) => {
                    if taken_over {
                        self.abort_strays(described.id, &saved.files).await;
                    }
                    notes.end(None).await;
                    return Ok(saved);
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        // Only an own document that became FAILED gives the right to abort the uploads: after a fence they may be the
        // next owner's, who continues them.
        if owned.fail(error.message()).await {
            owned.abort_uploads(uploads.open.into_inner().unwrap_or_default()).await;
        }
        notes.end(Some(error.to_string())).await;
        Err(error)
    }

    /// Writes the journal from time to time, while one large file moves too.
    async fn keep_notes(&self, notes: &Notes) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(self.settings.journal_every).await;
            notes.write_if_due().await;
        }
    }

    /// Everything between the claim and the commit. Of a copy, the last of it is another look at what is copied: it must not
    /// be committed here once somebody declared it failed there.
    async fn prepared(self: &Arc<Self>, described: &Described, plan: Plan, uploads: &Uploads<'_, B>) -> Result<Saved> {
        let saved = self.prepare(described, plan, uploads).await?;
        if let Some(given) = &described.given {
            given.from.still_committed(uploads.cx).await?;
        }
        Ok(saved)
    }

    async fn prepare(self: &Arc<Self>, described: &Described, plan: Plan, uploads: &Uploads<'_, B>) -> Result<Saved> {
        let cx = uploads.cx;
        let id = described.id;
        if let Some(metadata) = self.fetch_metadata(id, cx).await? {
            return self.adopt_metadata(described, metadata, cx).await;
        }
        let listed = self.list_backup(id, cx).await?;
        let mut files = Vec::with_capacity(plan.files.len());
        // Files that cannot be read do not stop the others: a resume then sends only what failed, and all are named.
        let mut failures: Vec<FileFailure> = plan.failures;
        let mut differing = Vec::new();
        let listed = &listed;
        let mut sends = futures::stream::iter(plan.files)
            .map(|file| async move {
                let outcome = uploads.file(&file, listed.get(file.key.as_str())).await;
                (file, outcome)
            })
            .buffer_unordered(self.settings.concurrency);
        while let Some((file, outcome)) = sends.next().await {
            match outcome {
                Ok(confirmed) => {
                    uploads.notes.done(&file, &confirmed);
                    files.push(confirmed);
                }
                Err(Failure::File(reason)) => {
                    uploads.notes.failed(&file, &reason);
                    failures.push(file.failed(reason));
                }
                Err(Failure::Differs { expected, actual }) => {
                    let key = file.key.to_string();
                    let reason = format!(
                        "other bytes stand at {key} and are never replaced: expected {expected}, found {actual}"
                    );
                    uploads.notes.failed(&file, &reason);
                    failures.push(file.failed(reason));
                    differing.push(ErrorKind::Integrity { key, expected, actual });
                }
                Err(Failure::Save(error)) => return Err(error),
            }
            uploads.notes.write_if_due().await;
        }
        drop(sends);
        if !failures.is_empty() {
            let all_differ = failures.len() == differing.len();
            let error = source_error(failures);
            return Err(match differing.into_iter().next() {
                // No local file is at fault, and no resume can mend it.
                Some(kind) if all_differ => Error::new(kind, error.message()).with_hint(match described.given {
                    None => "delete the backup and take a later checkpoint; its id is used up",
                    Some(_) => "delete the backup at the destination; its id is used up there",
                }),
                _ => error,
            });
        }
        files.sort_by(|a, b| (a.kind, &a.record.name).cmp(&(b.kind, &b.record.name)));
        let warnings = self.all_listed(id, &files, cx).await?;
        if let Some(given) = &described.given {
            return self.saved_as_given(described, given, files, warnings, uploads).await;
        }
        let records = |kind| files.iter().filter(|file| file.kind == kind).map(|file| file.record.clone()).collect();
        let metadata = MetadataDocument::new(
            self.cluster_id()?,
            id,
            described.descriptor.clone(),
            records(FileSetKind::Snapshots),
            records(FileSetKind::Segments),
            described.skipped.clone(),
        );
        let (bytes, complete) = (metadata.total_bytes, metadata.is_complete());
        let encoded = metadata.encode().map_err(|error| Error::invalid_input(format!("metadata {error}")))?;
        let Some(metadata_sha256) = self.write_metadata(id, Bytes::from(encoded), cx).await? else {
            // Somebody else's is there, and create-only: it is the plan now.
            let other = self.fetch_metadata(id, cx).await?.ok_or_else(|| {
                Error::new(
                    ErrorKind::Conflict { owner: None },
                    "metadata.json appeared and vanished while it was written",
                )
            })?;
            let sent: BTreeSet<_> =
                files.into_iter().filter(|file| file.sent).map(|file| (file.kind, file.record.name)).collect();
            let mut saved = self.adopt_metadata(described, other, cx).await?;
            for file in &mut saved.files {
                file.sent = sent.contains(&(file.kind, file.record.name.clone()));
            }
            saved.bytes_sent = uploads.bytes_sent.load(Ordering::Relaxed);
            return Ok(saved);
        };
        let bytes_sent = uploads.bytes_sent.load(Ordering::Relaxed);
        Ok(Saved { files, metadata_sha256, bytes, bytes_sent, complete, warnings })
    }

    /// Before the metadata: every file is listed with its size and the ETag that its write or HEAD named. Gives warnings
    /// about keys that no file owns.
    async fn all_listed(&self, id: BackupId, files: &[Confirmed], cx: &OpContext) -> Result<Vec<String>> {
        let mut listed = self.list_backup(id, cx).await?;
        let mut failures = Vec::new();
        for file in files {
            let key = self.layout.file(id, file.kind, &file.record.name);
            let label = format!("{}/{}", file.kind, file.record.name);
            match listed.remove(key.as_str()) {
                None => failures.push(FileFailure { file: label, reason: "vanished from the store".to_owned() }),
                Some(object) if object.size != file.record.size || object.etag != file.etag => {
                    let reason = "was replaced in the store after it was written".to_owned();
                    failures.push(FileFailure { file: label, reason });
                }
                Some(_) => {}
            }
        }
        if !failures.is_empty() {
            return Err(source_error(failures));
        }
        for own in [BackupObject::Status, BackupObject::Metadata, BackupObject::MetadataSignature] {
            listed.remove(self.layout.object(id, &own).as_str());
        }
        let mut strays: Vec<String> = listed.into_keys().collect();
        strays.sort();
        let more = strays.len().saturating_sub(20);
        let mut warnings: Vec<String> =
            strays.into_iter().take(20).map(|key| format!("{key} belongs to no file of the backup")).collect();
        if more > 0 {
            warnings.push(format!("and {more} more keys that belong to no file of the backup"));
        }
        Ok(warnings)
    }

    /// Creates metadata.json. The hash of what stands; `None` where other bytes stand.
    async fn write_metadata(&self, id: BackupId, bytes: Bytes, cx: &OpContext) -> Result<Option<String>> {
        let crc = milepost_core::Crc64Nvme::of(&bytes);
        let sha256 = milepost_core::checksum::sha256_hex(&bytes);
        let key = self.layout.metadata(id);
        let mut tries = self.tries();
        loop {
            let error = match under(cx, self.bucket.put(&key, bytes.clone(), crc, PutMode::Create)).await? {
                Ok(_) => return Ok(Some(sha256)),
                Err(error) => error,
            };
            if error.kind == BucketErrorKind::Precondition || error.maybe_applied {
                match self.fetch_metadata(id, cx).await? {
                    Some(found) if found.sha256 == sha256 => return Ok(Some(sha256)),
                    Some(_) => return Ok(None),
                    None => {}
                }
            } else if !error.is_transient() {
                return Err(error.into());
            }
            tries.pause(error, cx).await?;
        }
    }
}

/// All files that failed, as one error.
fn source_error(mut files: Vec<FileFailure>) -> Error {
    files.sort_by(|a, b| a.file.cmp(&b.file));
    let lines: Vec<String> = files.iter().map(ToString::to_string).collect();
    let count = files.len();
    let summary = if count == 1 { "1 file failed".to_owned() } else { format!("{count} files failed") };
    let message = milepost_core::document::failure_reason(&summary, &lines);
    Error::new(ErrorKind::Source { files }, message)
        .with_hint("mend the files and `save --resume`, or take a later checkpoint")
}
