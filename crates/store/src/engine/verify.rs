//! Verifying a committed backup, at four depths; each includes the ones before it.

use std::sync::Arc;

use futures::StreamExt as _;
use milepost_core::{BackupId, BackupObject, FileRecord, FileSetKind, Hashes, VerifyLevel};
use tokio::time::Instant;

use super::Engine;
use crate::api::{Finding, Problem, VerifyReport};
use crate::bucket::{Bucket, BucketErrorKind};
use crate::context::OpContext;
use crate::error::{Error, ErrorKind, Result};

/// What a finding names of hashes that differ: the digest where there is one, else the CRC.
pub(crate) fn differing(record: &FileRecord, found: &Hashes) -> Option<(String, String)> {
    if record.crc64nvme != found.crc {
        return Some((format!("{:?}", record.crc64nvme), format!("{:?}", found.crc)));
    }
    match (record.digest, found.digest) {
        (Some(expected), Some(actual)) if expected != actual => Some((expected.to_string(), actual.to_string())),
        _ => None,
    }
}

impl<B: Bucket> Engine<B> {
    /// Verifies a backup.
    pub(super) async fn verify(
        self: &Arc<Self>,
        id: BackupId,
        level: VerifyLevel,
        cx: &OpContext,
    ) -> Result<VerifyReport> {
        let started = Instant::now();
        let retries = cx.progress().sample().retries;
        let (status, metadata) = self.completed_metadata(id, cx).await?;
        let sha256 = status.metadata_sha256.unwrap_or_default();
        let document = &metadata.document;
        cx.progress().expect(document.total_files, document.total_bytes);
        let mut findings = Vec::new();
        let mut present = Vec::new();
        if level > VerifyLevel::Documents {
            let mut objects = self.list_backup(id, cx).await?;
            for (kind, file) in document.all_files() {
                let key = self.layout.file(id, kind, &file.name);
                match objects.remove(key.as_str()) {
                    None => findings.push(Finding { key: key.to_string(), problem: Problem::Missing }),
                    Some(object) if object.size != file.size => {
                        let problem = Problem::Size { expected: file.size, actual: object.size };
                        findings.push(Finding { key: key.to_string(), problem });
                    }
                    Some(_) => present.push((kind, file.clone())),
                }
            }
            for object in [BackupObject::Status, BackupObject::Metadata, BackupObject::MetadataSignature] {
                objects.remove(self.layout.object(id, &object).as_str());
            }
            findings.extend(objects.into_keys().map(|key| Finding { key, problem: Problem::Surplus }));
        }
        if level > VerifyLevel::Objects {
            let mut checks = futures::stream::iter(present)
                .map(|(kind, file)| self.check_file(id, kind, file, level, cx))
                .buffer_unordered(self.settings.concurrency);
            while let Some(finding) = checks.next().await {
                findings.extend(finding?);
            }
        }
        findings.sort_by(|a, b| a.key.cmp(&b.key));
        let report = VerifyReport {
            id,
            level,
            files: document.total_files,
            bytes: document.total_bytes,
            findings,
            duration: started.elapsed(),
            retries: cx.progress().sample().retries - retries,
        };
        if !report.ok() {
            // A delete that went on under our eyes looks like damage; it is none.
            let damaged = Error::new(ErrorKind::NotFound, "files are missing");
            let judged = self.gone_or(id, &sha256, damaged, cx).await;
            if matches!(judged.kind(), ErrorKind::Conflict { .. }) {
                return Err(judged);
            }
        }
        tracing::info!(backup = %id, %level, files = report.files, ok = report.ok(), "verified");
        Ok(report)
    }

    async fn check_file(
        self: &Arc<Self>,
        id: BackupId,
        kind: FileSetKind,
        file: FileRecord,
        level: VerifyLevel,
        cx: &OpContext,
    ) -> Result<Option<Finding>> {
        let key = self.layout.file(id, kind, &file.name);
        let found = if level == VerifyLevel::Checksums {
            match self.ask(cx, || self.bucket.head(&key)).await? {
                Ok(meta) => Ok(meta.crc64nvme.map(|crc| Hashes { crc, digest: None })),
                Err(error) => Err(Error::from(error)),
            }
        } else {
            let _ticket = self.budget.ticket(1024 * 1024).await?;
            let algorithm = file.digest.map(|digest| digest.algorithm);
            let progress = Arc::clone(cx.progress());
            self.hash_object(&key, file.size, algorithm, cx, move |bytes| progress.add_bytes(bytes)).await.map(Some)
        };
        cx.progress().add_file();
        let problem = match found {
            Ok(Some(hashes)) => match differing(&file, &hashes) {
                Some((expected, actual)) => Problem::Checksum { expected, actual },
                None => return Ok(None),
            },
            Ok(None) => Problem::NoChecksum,
            Err(error) => match error.kind() {
                ErrorKind::NotFound => Problem::Missing,
                ErrorKind::Integrity { .. } | ErrorKind::Denied => {
                    Problem::Unreadable { reason: error.message().to_owned() }
                }
                // The store is not there: that says nothing of the backup.
                _ => return Err(error),
            },
        };
        Ok(Some(Finding { key: key.to_string(), problem }))
    }

    /// The checksum of an object: as the store holds it, else by reading it. `None`: the object is absent.
    pub(super) async fn checksum_of(
        self: &Arc<Self>,
        key: &milepost_core::ObjectKey,
        cx: &OpContext,
    ) -> Result<Option<(crate::bucket::ObjectMeta, milepost_core::Crc64Nvme)>> {
        match self.ask(cx, || self.bucket.head(key)).await? {
            Ok(meta) => {
                let crc = match meta.crc64nvme {
                    Some(crc) => crc,
                    None => self.hash_object(key, meta.size, None, cx, |_| {}).await?.crc,
                };
                Ok(Some((meta, crc)))
            }
            Err(error) if error.kind == BucketErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
