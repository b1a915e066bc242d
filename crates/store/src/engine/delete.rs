//! Deleting: DELETING first, then sweep until one listing shows the status alone, then the tombstone.
//!
//! The metadata is never trusted to say what is there: listings are. The status is read again before each batch, so that
//! nothing is removed under a state that is not a delete's. Whatever a fenced saver or a late request writes after the last
//! listing lies under a tombstone and can never be committed; the next delete sweeps it.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _};
use milepost_core::lifecycle::{Deleting, Lifecycle};
use milepost_core::{BackupId, BackupObject, ObjectKey, StatusCode, StatusDocument};

use super::Engine;
use super::mark::refused;
use super::register::{Held, StatusRead, Written};
use crate::api::{DeleteOptions, DeleteReport, UploadInfo};
use crate::bucket::{Bucket, BucketError, BucketErrorKind, ListRequest, Listed, MAX_PAGE, OpenUpload, UploadQuery};
use crate::context::OpContext;
use crate::error::{Error, ErrorKind, Result};

/// How many questions for open uploads are under way for each request that moves contents.
const UPLOAD_QUERIES: usize = 4;
/// How many failures a report names.
const MAX_NAMED: usize = 1000;

impl<B: Bucket> Engine<B> {
    /// Deletes a backup and leaves its tombstone.
    pub(super) async fn delete(&self, id: BackupId, options: DeleteOptions, cx: &OpContext) -> Result<DeleteReport> {
        let mut report = DeleteReport {
            id,
            objects: 0,
            bytes: 0,
            uploads: 0,
            tombstone: false,
            forgotten: false,
            kept: None,
            failed: Vec::new(),
            untried: 0,
        };
        let known = self.check_cluster(cx).await?;
        let read = if known { self.addressed(id, cx).await? } else { StatusRead::Absent };
        let continues = matches!(&read, StatusRead::Present { held, .. }
            if matches!(held.document.status_code, StatusCode::Deleting | StatusCode::Deleted));
        if !continues {
            read.expected(&options.expect)?;
        }
        if let StatusRead::Absent = read
            && self.is_empty(id, cx).await?
        {
            return Ok(report);
        }
        let claim = self.claim_delete(id, read, &options)?;
        if options.dry_run {
            return self.dry_run(id, report, cx).await;
        }
        let held = match claim {
            DeleteClaim::Stands(held) => held,
            DeleteClaim::Write { from, next } => self.enter_deleting(id, from, next, cx).await?,
        };
        self.sweep(id, &mut report, cx).await?;
        self.finish_delete(id, held, cx).await?;
        report.tombstone = true;
        if let Some(grace) = options.forget {
            self.forget(id, grace, &mut report, cx).await?;
        }
        tracing::info!(backup = %id, objects = report.objects, bytes = report.bytes, "deleted");
        Ok(report)
    }

    /// What a delete must write first, if the state allows it at all.
    fn claim_delete(&self, id: BackupId, read: StatusRead, options: &DeleteOptions) -> Result<DeleteClaim> {
        let now = self.env.clock.now();
        Ok(match read {
            StatusRead::Absent => DeleteClaim::Write { from: None, next: None },
            StatusRead::Corrupt { .. } if !options.corrupt => {
                return Err(read
                    .wrong_state("the status is corrupt")
                    .with_hint("`delete --corrupt` deletes a backup whose status cannot be read"));
            }
            StatusRead::Corrupt { etag, .. } => {
                // The document is unknown; only its ETag can be the condition. The cluster check came before.
                let next = Deleting::leftovers(self.cluster_id()?, id, self.env.attempt(), now).into_document();
                let unknown = StatusDocument { revision: 1, ..next.clone() };
                DeleteClaim::Write { from: Some(Held::new(unknown, etag)), next: Some(Box::new(next)) }
            }
            StatusRead::Present { held, age } => match held.state() {
                Lifecycle::Deleting(_) | Lifecycle::Deleted(_) => DeleteClaim::Stands(held),
                Lifecycle::Completed(state) => {
                    let next = state.delete(now).map_err(refused)?.into_document();
                    DeleteClaim::Write { from: Some(held), next: Some(Box::new(next)) }
                }
                Lifecycle::Failed(state) => {
                    let next = state.delete(now).into_document();
                    DeleteClaim::Write { from: Some(held), next: Some(Box::new(next)) }
                }
                Lifecycle::InProgress(_) => {
                    return Err(StatusRead::Present { held, age }
                        .wrong_state("a save owns the backup")
                        .with_hint("if that save is dead, `mark-failed` first"));
                }
            },
        })
    }

    async fn enter_deleting(
        &self,
        id: BackupId,
        from: Option<Held>,
        next: Option<Box<StatusDocument>>,
        cx: &OpContext,
    ) -> Result<Held> {
        if from.is_none() {
            self.ensure_cluster(cx).await?;
        }
        let written = self
            .cas(id, from, false, cx, |_| match &next {
                Some(next) => Ok(StatusDocument::clone(next)),
                // Leftovers below an absent status: each try is a new attempt, as with a claim.
                None => Ok(Deleting::leftovers(self.cluster_id()?, id, self.env.attempt(), self.env.clock.now())
                    .into_document()),
            })
            .await?;
        match written {
            Written::Landed(held) => Ok(held),
            // Another delete was first: this one continues it.
            Written::Fenced(StatusRead::Present { held, .. })
                if matches!(held.document.status_code, StatusCode::Deleting | StatusCode::Deleted) =>
            {
                Ok(held)
            }
            Written::Fenced(read) => Err(read.conflict("the backup changed before it could be deleted")),
        }
    }

    /// DELETING becomes the tombstone.
    async fn finish_delete(&self, id: BackupId, mut held: Held, cx: &OpContext) -> Result<()> {
        loop {
            let Lifecycle::Deleting(state) = held.state() else { return Ok(()) };
            let next = state.finish(self.env.clock.now()).into_document();
            match self.cas(id, Some(held.clone()), false, cx, |_| Ok(next.clone())).await? {
                Written::Landed(_) => return Ok(()),
                Written::Fenced(StatusRead::Present { held: now, .. }) => match now.document.status_code {
                    StatusCode::Deleted => return Ok(()),
                    StatusCode::Deleting if now.document.revision > held.document.revision => held = now,
                    _ => return Err(StatusRead::Present { held: now, age: None }.conflict("the delete was overtaken")),
                },
                // Another delete finished, and forgot the tombstone already.
                Written::Fenced(StatusRead::Absent) => return Ok(()),
                Written::Fenced(read) => return Err(read.conflict("the delete was overtaken")),
            }
        }
    }

    /// Is nothing at all below the backup's prefix, and no upload open?
    async fn is_empty(&self, id: BackupId, cx: &OpContext) -> Result<bool> {
        let request = ListRequest { limit: 1, ..ListRequest::all(self.layout.backup_prefix(id)) };
        let page = self.must(cx, || self.bucket.list(request.clone())).await?;
        Ok(page.objects.is_empty() && self.uploads(id, &BTreeSet::new(), cx).await?.is_empty())
    }

    async fn dry_run(&self, id: BackupId, mut report: DeleteReport, cx: &OpContext) -> Result<DeleteReport> {
        let status = self.layout.status(id);
        let objects = self.list_backup(id, cx).await?;
        for object in objects.values().filter(|object| object.key != status.as_str()) {
            report.objects += 1;
            report.bytes += object.size;
        }
        let known = self.names_by_metadata(id, cx).await;
        report.uploads = self.uploads(id, &known, cx).await?.len() as u64;
        Ok(report)
    }

    /// Aborts uploads and deletes everything but the status, until one listing shows the status alone.
    pub(super) async fn sweep(&self, id: BackupId, report: &mut DeleteReport, cx: &OpContext) -> Result<()> {
        let status = self.layout.status(id);
        let mut known = self.names_by_metadata(id, cx).await;
        let mut tries = self.tries();
        let mut before = None;
        loop {
            // Uploads first: one that completes after the listing would leave an object behind.
            self.abort_uploads(id, &known, report, cx).await?;
            let mut request = ListRequest::all(self.layout.backup_prefix(id));
            let mut failures: BTreeMap<String, BucketError> = BTreeMap::new();
            let mut seen = 0u64;
            loop {
                let page = self.must(cx, || self.bucket.list(request.clone())).await?;
                let batch: Vec<Listed> =
                    page.objects.into_iter().filter(|object| object.key != status.as_str()).collect();
                if !batch.is_empty() {
                    seen += batch.len() as u64;
                    if !self.bucket.lists_uploads_by_prefix() {
                        known.extend(batch.iter().filter_map(|object| ObjectKey::new(object.key.as_str()).ok()));
                    }
                    self.still_deleting(id, cx).await?;
                    failures.append(&mut self.delete_batch(batch, report, cx).await?);
                }
                match page.next {
                    Some(token) => request.page = Some(token),
                    None => break,
                }
            }
            if seen == 0 {
                return Ok(());
            }
            // Listed again in any case; after failures, or when a store answers success but keeps the objects, not at once
            // and not for ever.
            if before.is_some_and(|before| seen < before) {
                // It gets on: the budget is for a standstill, not for a long delete.
                tries = self.tries();
            }
            let stubborn = before.replace(seen).is_some().then(|| {
                BucketError::new(BucketErrorKind::Unavailable, "objects are still listed after they were deleted")
            });
            if let Some(error) = worst(&failures).or(stubborn) {
                let permanent = !error.is_transient();
                if permanent || tries.pause(error, cx).await.is_err() {
                    cx.check()?;
                    return Err(self.partial(id, failures, report, cx).await);
                }
            }
        }
    }

    async fn partial(
        &self,
        id: BackupId,
        failures: BTreeMap<String, BucketError>,
        report: &DeleteReport,
        cx: &OpContext,
    ) -> Error {
        let count = failures.len();
        let mut report = report.clone();
        let left = self.list_backup(id, cx).await.map_or(0, |objects| objects.len().saturating_sub(1));
        report.untried = left.saturating_sub(count) as u64;
        report.failed = failures.into_iter().take(MAX_NAMED).map(|(key, error)| (key, error.message)).collect();
        let first = report.failed.first().map(|(key, reason)| format!(", as {key}: {reason}")).unwrap_or_default();
        let message = if count == 0 {
            format!("deleted {} objects, but some are still listed after they were deleted", report.objects)
        } else {
            format!("deleted {} objects, but {count} could not be deleted{first}", report.objects)
        };
        Error::new(ErrorKind::Partial { report: Box::new(report) }, message)
            .with_hint("the backup stays in DELETING; the same delete continues where this one ended")
    }

    /// Nothing is removed under any state but a delete's.
    async fn still_deleting(&self, id: BackupId, cx: &OpContext) -> Result<()> {
        match self.addressed(id, cx).await? {
            StatusRead::Present { held, .. }
                if matches!(held.document.status_code, StatusCode::Deleting | StatusCode::Deleted) =>
            {
                Ok(())
            }
            other => Err(other.conflict("the delete was overtaken")),
        }
    }

    /// Deletes one listing's page; gives back the keys that failed.
    async fn delete_batch(
        &self,
        batch: Vec<Listed>,
        report: &mut DeleteReport,
        cx: &OpContext,
    ) -> Result<BTreeMap<String, BucketError>> {
        let sizes: BTreeMap<String, u64> = batch.iter().map(|object| (object.key.clone(), object.size)).collect();
        let keys: Vec<String> = batch.into_iter().map(|object| object.key).collect();
        debug_assert!(keys.len() <= MAX_PAGE);
        // Deleting twice is deleting once: a lost reply is simply asked again.
        let outcomes = self.must(cx, || self.bucket.delete(keys.clone())).await?;
        let mut failures = BTreeMap::new();
        for outcome in outcomes {
            match outcome.result {
                Ok(()) => {
                    report.objects += 1;
                    report.bytes += sizes.get(&outcome.key).copied().unwrap_or(0);
                    cx.progress().add_file();
                }
                Err(error) => {
                    failures.insert(outcome.key, error);
                }
            }
        }
        Ok(failures)
    }

    /// The keys that the backup's metadata names, as far as it can be read: only to look for uploads by their exact key.
    async fn names_by_metadata(&self, id: BackupId, cx: &OpContext) -> BTreeSet<ObjectKey> {
        if self.bucket.lists_uploads_by_prefix() {
            return BTreeSet::new();
        }
        match self.fetch_metadata(id, cx).await {
            Ok(Some(metadata)) => metadata
                .document
                .all_files()
                .map(|(kind, file)| self.layout.object(id, &BackupObject::File(kind, file.name.clone())))
                .collect(),
            _ => BTreeSet::new(),
        }
    }

    /// Open uploads of a backup: by prefix, by empty prefix filtered to its own keys, and by the exact key of every known
    /// name where the store needs that.
    pub(super) async fn uploads(
        &self,
        id: BackupId,
        known: &BTreeSet<ObjectKey>,
        cx: &OpContext,
    ) -> Result<Vec<OpenUpload>> {
        let prefix = self.layout.backup_prefix(id);
        let mut queries = vec![UploadQuery::Prefix(prefix.clone())];
        if !self.bucket.lists_uploads_by_prefix() {
            queries.push(UploadQuery::Prefix(String::new()));
            queries.extend(known.iter().cloned().map(UploadQuery::Key));
        }
        // A request for each name adds up; an answer is short, so more of them at once than of contents.
        let at_once = self.settings.concurrency.saturating_mul(UPLOAD_QUERIES);
        let mut answers = stream::iter(queries.into_iter().map(|query| self.uploads_of(query, cx))).buffered(at_once);
        let mut found: BTreeMap<String, OpenUpload> = BTreeMap::new();
        while let Some(listed) = answers.next().await {
            let own = listed?.into_iter().filter(|upload| upload.key.starts_with(&prefix));
            for upload in own {
                // The queries overlap.
                found.entry(upload.upload.0.clone()).or_insert(upload);
            }
        }
        Ok(found.into_values().collect())
    }

    pub(super) async fn uploads_of(&self, query: UploadQuery, cx: &OpContext) -> Result<Vec<OpenUpload>> {
        match self.ask(cx, || self.bucket.list_uploads(query.clone())).await? {
            Ok(listed) => Ok(listed),
            // A store without uploads has none open.
            Err(error) if error.kind == BucketErrorKind::Unsupported => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    async fn abort_uploads(
        &self,
        id: BackupId,
        known: &BTreeSet<ObjectKey>,
        report: &mut DeleteReport,
        cx: &OpContext,
    ) -> Result<()> {
        for upload in self.uploads(id, known, cx).await? {
            self.still_deleting(id, cx).await?;
            if let Ok(key) = ObjectKey::new(upload.key.as_str()) {
                self.must(cx, || self.bucket.abort_upload(&key, &upload.upload)).await?;
                report.uploads += 1;
            }
        }
        Ok(())
    }

    /// Open uploads of one backup, for people.
    pub(super) async fn open_uploads(&self, id: BackupId, cx: &OpContext) -> Result<Vec<UploadInfo>> {
        if !self.check_cluster(cx).await? {
            return Ok(Vec::new());
        }
        let known = self.names_by_metadata(id, cx).await;
        let uploads = self.uploads(id, &known, cx).await?;
        Ok(uploads.into_iter().map(|open| UploadInfo { key: open.key, upload: open.upload.0, age: open.age }).collect())
    }
}

/// The way into DELETING.
enum DeleteClaim {
    /// DELETING or DELETED stands already.
    Stands(Held),
    /// This is to be written first.
    Write { from: Option<Held>, next: Option<Box<StatusDocument>> },
}

/// The failure that a pause and a report are about: one that may pass, if there is any.
fn worst(failures: &BTreeMap<String, BucketError>) -> Option<BucketError> {
    let error = failures.values().find(|error| error.is_transient()).or_else(|| failures.values().next())?;
    let mut copy = BucketError::new(error.kind, error.message.clone());
    copy.retry_after = error.retry_after;
    Some(copy)
}
