//! A naive store: one process, all in memory, one lock. Each flaw is one line.

mod files;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use milepost_core::checksum::sha256_hex;
use milepost_core::lifecycle::{Annotation, Claim, Deleting, Failed, InProgress, Lifecycle, TransitionError};
use milepost_core::name::check_set;
use milepost_core::{
    BackupId, CheckpointId, ClusterId, Counts, FileName, FileRecord, FileSetKind, MetadataDocument, PartitionId,
    StatusCode, StatusDocument, VerifyLevel,
};
use milepost_store::{
    Backup, BackupState, BackupStatus, BackupStore, ByteStream, DeleteOptions, DeleteReport, ETag, Env, Error,
    ErrorKind, Expect, FileRef, ListEntry, ListQuery, Metadata, OpContext, Order, RestoreOptions, RestoreOutcome,
    RestoreReport, RestoreTarget, Result, SaveOptions, SaveOutcome, SaveReport, SavedFile, VerifyReport,
};
use milepost_testkit::fixtures::test_env;

use files::read_all;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    SavesOverAnything,
    IgnoresExpect,
    IgnoresHolds,
    ReplacesReasons,
    SavesWhatIsThere,
    IgnoresVersions,
    NamesOneFailure,
    CancelLeavesInProgress,
    ListsAsText,
    LimitCountsBackups,
    ShowsTombstones,
    LeavesNoTombstone,
    RestoresOverFiles,
    RestoresTwice,
    RestoresOtherBytes,
    ForgetsWithoutSeal,
    DryRunDeletes,
    ClaimsWithoutLooking,
    KeepsReservations,
}

pub(crate) type Content = (FileSetKind, FileRecord, Bytes);

#[derive(Debug, Default)]
struct Held {
    statuses: BTreeMap<BackupId, StatusDocument>,
    contents: BTreeMap<BackupId, (MetadataDocument, Vec<Content>)>,
    seals: BTreeMap<PartitionId, CheckpointId>,
}

#[derive(Debug)]
pub(crate) struct Model {
    env: Env,
    flaw: Flaw,
    held: Mutex<Held>,
}

fn cluster() -> ClusterId {
    ClusterId::new("model").unwrap()
}

fn status(id: BackupId, document: Option<&StatusDocument>) -> BackupStatus {
    let etag = document.map(|document| ETag(sha256_hex(&document.encode().unwrap())));
    BackupStatus { id, document: document.cloned(), etag, age: document.map(|_| Duration::ZERO) }
}

fn wrong_state(found: BackupState) -> Error {
    Error::new(ErrorKind::WrongState { found, owner: None }, format!("is {found}"))
}

fn conflict() -> Error {
    Error::new(ErrorKind::Conflict { owner: None }, "somebody else changed it")
}

fn refused(error: TransitionError) -> Error {
    let message = error.to_string();
    match error {
        TransitionError::Held(holds) => Error::new(ErrorKind::Held { holds }, message),
        TransitionError::WasCompleted => wrong_state(BackupState::Failed),
        TransitionError::OtherDescriptor => Error::refused(message),
        _ => Error::invalid_input(message),
    }
}

impl Model {
    pub(crate) fn new(flaw: Flaw) -> Self {
        Self { env: test_env(1), flaw, held: Mutex::default() }
    }

    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    fn now(&self) -> milepost_core::Timestamp {
        self.env.clock.now()
    }

    fn open_to(&self, held: &Held, id: BackupId) -> Result<()> {
        match held.seals.get(&id.partition) {
            Some(seal) if id.checkpoint <= *seal => Err(Error::refused("the id is sealed")),
            _ => Ok(()),
        }
    }

    fn meant(&self, held: &Held, id: BackupId, expect: &Expect) -> Result<Option<StatusDocument>> {
        let found = held.statuses.get(&id);
        let meant = match expect {
            Expect::Any => true,
            Expect::Revision { attempt, revision } => {
                found.is_some_and(|found| found.attempt_id == *attempt && found.revision == *revision)
            }
            Expect::ETag(etag) => status(id, found).etag.as_ref() == Some(etag),
        };
        if meant || self.is(Flaw::IgnoresExpect) { Ok(found.cloned()) } else { Err(conflict()) }
    }

    fn committed(&self, id: BackupId) -> Result<(MetadataDocument, Vec<Content>)> {
        let held = self.lock();
        let state = status(id, held.statuses.get(&id)).state();
        match state {
            BackupState::DoesNotExist => Err(Error::new(ErrorKind::NotFound, "no such backup")),
            BackupState::Completed => Ok(held.contents[&id].clone()),
            found => Err(wrong_state(found)),
        }
    }

    /// Claims the id; `None` for a completed one that `contents` would equal.
    fn claim(&self, backup: &Backup, options: &SaveOptions) -> Result<Option<StatusDocument>> {
        let mut held = self.lock();
        let claim = Claim {
            attempt: self.env.attempt(),
            owner: self.env.owner(),
            descriptor: backup.descriptor.clone(),
            planned: Counts::default(),
            copied_from: None,
        };
        let blank = |claim| Ok(InProgress::claim(cluster(), backup.id, claim, self.now()));
        let found = held.statuses.get(&backup.id).cloned().filter(|_| !self.is(Flaw::SavesOverAnything));
        if self.is(Flaw::ClaimsWithoutLooking) && !options.resume {
            let claimed = blank(claim)?.into_document();
            held.statuses.insert(backup.id, claimed.clone());
            return Ok(Some(claimed));
        }
        let claimed = match found {
            None => self.open_to(&held, backup.id).and_then(|()| blank(claim)),
            Some(found) if !options.resume => Err(wrong_state(found.status_code.into())),
            Some(found) => match Lifecycle::from(found) {
                Lifecycle::InProgress(own) => own.take_over(claim, self.now()).map_err(refused),
                Lifecycle::Failed(failed) => failed.take_over(claim, self.now()).map_err(refused),
                Lifecycle::Completed(done) if done.document().descriptor.as_ref() == Some(&backup.descriptor) => {
                    return Ok(None);
                }
                Lifecycle::Completed(_) => Err(refused(TransitionError::OtherDescriptor)),
                Lifecycle::Deleting(gone) => Err(wrong_state(gone.document().status_code.into())),
                Lifecycle::Deleted(gone) => Err(wrong_state(gone.document().status_code.into())),
            },
        }?;
        held.statuses.insert(backup.id, claimed.document().clone());
        Ok(Some(claimed.into_document()))
    }

    fn swap(&self, held: &mut Held, before: &StatusDocument, after: StatusDocument) -> Result<()> {
        let found = held.statuses.get(&before.id);
        if found != Some(before) && !self.is(Flaw::ClaimsWithoutLooking) {
            return Err(conflict());
        }
        held.statuses.insert(before.id, after);
        Ok(())
    }

    fn without_holds(&self, mut document: StatusDocument) -> StatusDocument {
        if self.is(Flaw::IgnoresHolds) {
            document.holds.clear();
        }
        document
    }
}

#[async_trait]
impl BackupStore for Model {
    async fn save(&self, mut backup: Backup, options: SaveOptions, cx: &OpContext) -> Result<SaveReport> {
        cx.check()?;
        if backup.id.partition.0 == 0 {
            return Err(Error::refused("the first partition is 1"));
        }
        backup.descriptor.check().map_err(|error| Error::invalid_input(error.to_string()))?;
        for set in [&backup.snapshots, &backup.segments] {
            check_set(set.iter().map(|file| &file.name)).map_err(|error| Error::invalid_input(error.to_string()))?;
        }
        let id = backup.id;
        let claimed = self.claim(&backup, &options)?;
        let mut files: Vec<_> = backup.snapshots.drain(..).map(|file| (FileSetKind::Snapshots, file)).collect();
        files.extend(backup.segments.drain(..).map(|file| (FileSetKind::Segments, file)));
        if claimed.is_none() {
            let saved = self.lock().contents[&id].0.clone();
            let len = |kind, name: &FileName| saved.files(kind).iter().find(|file| file.name == *name).map(|f| f.size);
            files.iter_mut().for_each(|(kind, file)| file.len = len(*kind, &file.name).or(file.len));
        }
        let (plan, flaw) = (options.clone(), self.flaw);
        let reading = tokio::task::spawn_blocking(move || read_all(files, &plan, flaw));
        let read = cx.run(async { reading.await.unwrap() }).await;
        if self.is(Flaw::KeepsReservations) {
            std::mem::forget(backup.reservation.take());
        }
        drop(backup.reservation.take());
        let mut contents = match (read, &claimed) {
            (Ok(contents), _) => contents,
            (Err(error), Some(claimed)) => {
                if !(self.is(Flaw::CancelLeavesInProgress) && matches!(error.kind(), ErrorKind::Cancelled))
                    && let Lifecycle::InProgress(own) = claimed.clone().into()
                {
                    let failed = own.fail(&error.to_string(), self.now()).into_document();
                    self.swap(&mut self.lock(), claimed, failed)?;
                }
                return Err(error);
            }
            (Err(error), None) => return Err(error),
        };
        contents.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
        let records = |kind| contents.iter().filter(|file| file.0 == kind).map(|file| file.1.clone()).collect();
        let metadata = MetadataDocument::new(
            cluster(),
            id,
            backup.descriptor,
            records(FileSetKind::Snapshots),
            records(FileSetKind::Segments),
            options.skipped,
        );
        let metadata_sha256 = sha256_hex(&metadata.encode().unwrap());
        let sent = claimed.is_some();
        let report = SaveReport {
            id,
            outcome: if sent { SaveOutcome::Saved } else { SaveOutcome::AlreadyComplete },
            files: contents
                .iter()
                .map(|(kind, record, _)| SavedFile { kind: *kind, record: record.clone(), sent })
                .collect(),
            bytes: metadata.total_bytes,
            bytes_sent: if sent { metadata.total_bytes } else { 0 },
            metadata_sha256: metadata_sha256.clone(),
            duration: Duration::ZERO,
            retries: 0,
            warnings: Vec::new(),
        };
        let mut held = self.lock();
        match claimed {
            None if held.contents[&id].0 == metadata => {}
            None => return Err(Error::refused("other files than those that were saved")),
            Some(claimed) => {
                let Lifecycle::InProgress(own) = claimed.clone().into() else { return Err(conflict()) };
                let counts = Counts { files: metadata.total_files, bytes: metadata.total_bytes };
                let done = own.commit(metadata_sha256, counts, metadata.is_complete(), self.now()).into_document();
                self.swap(&mut held, &claimed, done)?;
                cx.progress().expect(counts.files, counts.bytes);
                cx.progress().add_bytes(counts.bytes);
                contents.iter().for_each(|_| cx.progress().add_file());
                held.contents.insert(id, (metadata, contents));
            }
        }
        Ok(report)
    }

    async fn status(&self, id: BackupId, _: &OpContext) -> Result<BackupStatus> {
        Ok(status(id, self.lock().statuses.get(&id)))
    }

    async fn metadata(&self, id: BackupId, _: &OpContext) -> Result<Metadata> {
        let (document, _) = self.committed(id)?;
        let sha256 = sha256_hex(&document.encode().unwrap());
        Ok(Metadata { document, sha256 })
    }

    async fn read(&self, file: FileRef, range: Range<u64>, _: &OpContext) -> Result<ByteStream> {
        let (_, contents) = self.committed(file.id)?;
        let found = contents.into_iter().find(|(kind, record, _)| *kind == file.kind && record.name == file.name);
        let (_, _, bytes) = found.ok_or_else(|| Error::new(ErrorKind::NotFound, "no such file"))?;
        let cut = |at: u64| at.min(bytes.len() as u64) as usize;
        let bytes = bytes.slice(cut(range.start)..cut(range.end).max(cut(range.start)));
        Ok(ByteStream::new(bytes.len() as u64, stream::iter([Ok(bytes)]).boxed()))
    }

    fn list(&self, query: ListQuery, _: OpContext) -> BoxStream<'static, Result<ListEntry>> {
        let shown = |document: &&StatusDocument| {
            let gone = document.status_code == StatusCode::Deleted;
            let behind = query.after.is_none_or(|after| match query.order {
                Order::Ascending => document.id.checkpoint > after,
                Order::Descending => document.id.checkpoint < after,
            });
            query.selector.matches(document.id)
                && behind
                && (!gone || query.tombstones || self.is(Flaw::ShowsTombstones))
        };
        let held = self.lock();
        let mut found: Vec<_> = held.statuses.values().filter(shown).collect();
        found.sort_by(|a, b| {
            let (left, right) = (a.id.checkpoint, b.id.checkpoint);
            let by_checkpoint = match query.order {
                _ if self.is(Flaw::ListsAsText) => left.to_string().cmp(&right.to_string()),
                Order::Ascending => left.cmp(&right),
                Order::Descending => right.cmp(&left),
            };
            by_checkpoint.then(a.id.cmp(&b.id))
        });
        if let Some(limit) = query.limit.map(|limit| limit.get() as usize) {
            let mut checkpoints: Vec<_> = found.iter().map(|document| document.id.checkpoint).collect();
            checkpoints.dedup();
            match checkpoints.get(limit) {
                _ if self.is(Flaw::LimitCountsBackups) => found.truncate(limit),
                Some(next) => {
                    found.truncate(found.iter().position(|document| document.id.checkpoint == *next).unwrap())
                }
                None => {}
            }
        }
        let entries: Vec<_> =
            found.into_iter().map(|document| Ok(ListEntry::Backup(status(document.id, Some(document))))).collect();
        stream::iter(entries).boxed()
    }

    async fn restore(
        &self,
        id: BackupId,
        target: RestoreTarget,
        options: RestoreOptions,
        cx: &OpContext,
    ) -> Result<RestoreReport> {
        cx.check()?;
        let marker = target.path.join(".milepost.json");
        let report = |id, outcome, files, bytes, metadata_sha256| RestoreReport {
            id,
            outcome,
            files,
            bytes,
            files_fetched: if outcome == RestoreOutcome::Restored { files } else { 0 },
            bytes_fetched: if outcome == RestoreOutcome::Restored { bytes } else { 0 },
            metadata_sha256,
            duration: Duration::ZERO,
            retries: 0,
        };
        let restored: Option<BackupId> = fs::read_to_string(&marker).ok().and_then(|text| text.parse().ok());
        if let Some(there) =
            restored.filter(|there| (options.skip_if_restored || *there == id) && !self.is(Flaw::RestoresTwice))
        {
            return Ok(report(there, RestoreOutcome::AlreadyRestored, 0, 0, String::new()));
        }
        let (metadata, contents) = self.committed(id)?;
        if options.expect_fingerprint.is_some() && options.expect_fingerprint != metadata.descriptor.fingerprint {
            return Err(Error::refused("another fingerprint"));
        }
        let free = |path: &Path| match fs::read_dir(path) {
            Ok(entries) => entries.flatten().all(|entry| entry.file_name() == "lost+found"),
            Err(_) => !path.exists(),
        };
        let over = self.is(Flaw::RestoresOverFiles) || (self.is(Flaw::RestoresTwice) && restored == Some(id));
        if !over && !free(&target.path) {
            return Err(Error::new(ErrorKind::TargetNotEmpty, "holds something else"));
        }
        for kind in FileSetKind::ALL {
            let _ = fs::create_dir_all(target.path.join(kind.folder()));
        }
        for (kind, record, bytes) in contents {
            let path = target.path.join(kind.folder()).join(record.name.as_str());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let bytes =
                if self.is(Flaw::RestoresOtherBytes) { bytes.iter().rev().copied().collect() } else { bytes.to_vec() };
            fs::write(path, bytes).unwrap();
        }
        let _ = fs::write(marker, id.to_string());
        let sha256 = sha256_hex(&metadata.encode().unwrap());
        Ok(report(id, RestoreOutcome::Restored, metadata.total_files, metadata.total_bytes, sha256))
    }

    async fn mark_failed(&self, id: BackupId, reason: &str, expect: Expect, _: &OpContext) -> Result<BackupStatus> {
        let mut held = self.lock();
        let after = match self.meant(&held, id, &expect)?.map(|found| Lifecycle::from(self.without_holds(found))) {
            None => {
                self.open_to(&held, id)?;
                Failed::record(cluster(), id, self.env.attempt(), reason, self.now()).into_document()
            }
            Some(Lifecycle::InProgress(own)) => own.fail(reason, self.now()).into_document(),
            Some(Lifecycle::Completed(done)) => done.fail(reason, self.now()).map_err(refused)?.into_document(),
            Some(Lifecycle::Failed(failed)) => {
                let mut document = failed.into_document();
                if self.is(Flaw::ReplacesReasons) {
                    document.failure_reason = Some(reason.to_owned());
                }
                document
            }
            Some(Lifecycle::Deleting(gone)) => return Err(wrong_state(gone.document().status_code.into())),
            Some(Lifecycle::Deleted(gone)) => return Err(wrong_state(gone.document().status_code.into())),
        };
        held.statuses.insert(id, after.clone());
        Ok(status(id, Some(&after)))
    }

    async fn delete(&self, id: BackupId, options: DeleteOptions, _: &OpContext) -> Result<DeleteReport> {
        let mut held = self.lock();
        let (mut objects, mut bytes) = (0, 0);
        if let Some((metadata, contents)) = held.contents.get(&id) {
            objects = contents.len() as u64 + 1;
            bytes = metadata.total_bytes + metadata.encode().unwrap().len() as u64;
        }
        let report = |objects, bytes, tombstone, forgotten| DeleteReport {
            kept: None,
            id,
            objects,
            bytes,
            uploads: 0,
            tombstone,
            forgotten,
            failed: Vec::new(),
            untried: 0,
        };
        let over = held.statuses.get(&id).filter(|found| found.status_code == StatusCode::Deleted).cloned();
        let found = if over.is_some() { over } else { self.meant(&held, id, &options.expect)? };
        let deleting: Deleting = match found.map(|found| Lifecycle::from(self.without_holds(found))) {
            None => return Ok(report(0, 0, false, false)),
            Some(Lifecycle::InProgress(_)) => return Err(wrong_state(BackupState::InProgress)),
            Some(Lifecycle::Completed(done)) => done.delete(self.now()).map_err(refused)?,
            Some(Lifecycle::Failed(failed)) => failed.delete(self.now()),
            Some(Lifecycle::Deleting(deleting)) => deleting,
            Some(Lifecycle::Deleted(gone)) => {
                let newest = |document: &StatusDocument| {
                    document.status_code == StatusCode::Completed
                        && document.id.partition == id.partition
                        && document.id.checkpoint > id.checkpoint
                };
                // The model's tombstones are never older than no time at all.
                if options.forget == Some(Duration::ZERO) && held.statuses.values().any(newest) {
                    held.statuses.remove(&gone.document().id);
                    if !self.is(Flaw::ForgetsWithoutSeal) {
                        let seal = held.seals.entry(id.partition).or_insert(id.checkpoint);
                        *seal = id.checkpoint.max(*seal);
                    }
                    return Ok(report(0, 0, false, true));
                }
                return Ok(report(0, 0, true, false));
            }
        };
        if options.dry_run && !self.is(Flaw::DryRunDeletes) {
            return Ok(report(objects, bytes, false, false));
        }
        held.contents.remove(&id);
        if self.is(Flaw::LeavesNoTombstone) {
            held.statuses.remove(&id);
        } else {
            held.statuses.insert(id, deleting.finish(self.now()).into_document());
        }
        Ok(report(objects, bytes, true, false))
    }

    async fn annotate(&self, id: BackupId, change: Annotation, expect: Expect, _: &OpContext) -> Result<BackupStatus> {
        let mut held = self.lock();
        let found = self.meant(&held, id, &expect)?.filter(|found| found.status_code != StatusCode::Deleted);
        let found = found.ok_or_else(|| Error::new(ErrorKind::NotFound, "no such backup"))?;
        let Lifecycle::Completed(done) = found.clone().into() else {
            return Err(wrong_state(found.status_code.into()));
        };
        let after = done.annotate(&change, self.now()).map_err(refused)?.into_document();
        held.statuses.insert(id, after.clone());
        Ok(status(id, Some(&after)))
    }

    async fn verify(&self, id: BackupId, level: VerifyLevel, _: &OpContext) -> Result<VerifyReport> {
        let (metadata, _) = self.committed(id)?;
        let (files, bytes) = (metadata.total_files, metadata.total_bytes);
        Ok(VerifyReport { id, level, files, bytes, findings: Vec::new(), duration: Duration::ZERO, retries: 0 })
    }
}
