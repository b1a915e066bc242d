//! Metadata that is there already: the plan of an attempt that came far, or a committed backup to be compared with.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use milepost_core::{BackupId, FileRecord, FileSetKind};

use super::plan::{Described, Plan, PlannedFile};
use super::upload::Confirmed;
use super::{Saved, source_error};
use crate::api::Metadata;
use crate::bucket::Bucket;
use crate::context::OpContext;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, FileFailure, Result};

impl<B: Bucket> Engine<B> {
    /// metadata.json is create-only, so the one that stands is the plan, if it describes the same backup: everything that
    /// it names is looked at, and the hash of its bytes as read is committed.
    pub(super) async fn adopt_metadata(
        self: &Arc<Self>,
        described: &Described,
        metadata: Metadata,
        cx: &OpContext,
    ) -> Result<Saved> {
        let key = self.layout.metadata(described.id);
        let Metadata { document, sha256 } = metadata;
        if document.descriptor != described.descriptor || document.cluster_id != self.cluster_id()? {
            return Err(Error::corrupt(
                key.as_str(),
                "of another attempt describes the backup otherwise, and is never replaced",
            )
            .with_hint("delete the backup, or take a later checkpoint"));
        }
        if described.given.as_ref().is_some_and(|given| given.copied_from.metadata_sha256 != sha256) {
            return Err(Error::corrupt(key.as_str(), "is not the one that is copied, and is never replaced")
                .with_hint("delete the backup at the destination; its id is used up there"));
        }
        cx.progress().expect(document.total_files, document.total_bytes);
        let records: Vec<_> = document.all_files().map(|(kind, record)| (kind, record.clone())).collect();
        let mut files = Vec::with_capacity(records.len());
        let mut failures = Vec::new();
        let mut checks = futures::stream::iter(records)
            .map(|(kind, record)| self.named_object(described.id, kind, record, cx))
            .buffer_unordered(self.settings.concurrency);
        while let Some(check) = checks.next().await {
            match check? {
                Ok(confirmed) => files.push(confirmed),
                Err(failure) => failures.push(failure),
            }
        }
        drop(checks);
        if !failures.is_empty() {
            return Err(source_error(failures));
        }
        files.sort_by(|a, b| (a.kind, &a.record.name).cmp(&(b.kind, &b.record.name)));
        let warnings = self.all_listed(described.id, &files, cx).await?;
        let (bytes, complete) = (document.total_bytes, document.is_complete());
        Ok(Saved { files, metadata_sha256: sha256, bytes, bytes_sent: 0, complete, warnings })
    }

    async fn named_object(
        self: &Arc<Self>,
        id: BackupId,
        kind: FileSetKind,
        record: FileRecord,
        cx: &OpContext,
    ) -> Result<Result<Confirmed, FileFailure>> {
        let key = self.layout.file(id, kind, &record.name);
        let failed = |reason: String| FileFailure { file: format!("{kind}/{}", record.name), reason };
        Ok(match self.checksum_of(&key, cx).await? {
            Some((meta, crc)) if meta.size == record.size && crc == record.crc64nvme => {
                cx.progress().add_file();
                cx.progress().add_bytes(meta.size);
                Ok(Confirmed { kind, record, etag: meta.etag, sent: false })
            }
            Some((meta, crc)) => Err(failed(format!(
                "{key}: the metadata names {} bytes and {:?}, found {} bytes and {crc:?}",
                record.size, record.crc64nvme, meta.size
            ))),
            None => Err(failed(format!("{key} is missing, although the metadata names it"))),
        })
    }

    /// A resume of a committed backup: the local files, cut to the recorded lengths, must be the recorded ones.
    pub(super) async fn compare_committed(&self, described: &Described, plan: Plan, cx: &OpContext) -> Result<Saved> {
        let id = described.id;
        let (_, metadata) = self.completed_metadata(id, cx).await?;
        let Metadata { document, sha256 } = metadata;
        let differs = |what: String| {
            Error::new(
                ErrorKind::WrongState { found: crate::api::BackupState::Completed, owner: None },
                format!("the backup is COMPLETED with other contents: {what}; nothing was changed"),
            )
            .with_hint("take a later checkpoint")
        };
        if document.descriptor != described.descriptor {
            return Err(differs("its descriptor is another".to_owned()));
        }
        if let Some(failure) = plan.failures.first() {
            return Err(source_error(vec![failure.clone()]));
        }
        let mut local: BTreeMap<(FileSetKind, &str), &PlannedFile> =
            plan.files.iter().map(|file| ((file.kind, file.name.as_str()), file)).collect();
        let mut files = Vec::new();
        for (kind, record) in document.all_files() {
            let label = format!("{kind}/{}", record.name);
            let Some(file) = local.remove(&(kind, record.name.as_str())) else {
                return Err(differs(format!("{label} is not among the local files")));
            };
            let longer_is_fine = kind == FileSetKind::Segments && file.size > record.size;
            if file.size != record.size && !longer_is_fine {
                return Err(differs(format!("{label} has {} bytes, {} were saved", file.size, record.size)));
            }
            let failed = |error: std::io::Error| source_error(vec![file.failed(error)]);
            let open = file.content.open(self, None).await.map_err(failed)?;
            let algorithm = record.digest.map(|digest| digest.algorithm);
            let hashes = open.hash(self, file, record.size, algorithm, cx).await?.map_err(failed)?;
            if hashes.crc != record.crc64nvme || hashes.digest != record.digest {
                return Err(differs(format!("{label} has other bytes")));
            }
            cx.progress().add_file();
            cx.progress().add_bytes(record.size);
            let etag = crate::bucket::ETag(String::new());
            files.push(Confirmed { kind, record: record.clone(), etag, sent: false });
        }
        // What was left out when it was saved is no difference.
        let left_out = |kind: FileSetKind, name: &str| {
            document.skipped_files.iter().any(|skipped| skipped.name == format!("{kind}/{name}"))
        };
        if let Some(((kind, name), _)) = local.into_iter().find(|((kind, name), _)| !left_out(*kind, name)) {
            return Err(differs(format!("{kind}/{name} was not saved")));
        }
        let (bytes, complete) = (document.total_bytes, document.is_complete());
        Ok(Saved { files, metadata_sha256: sha256, bytes, bytes_sent: 0, complete, warnings: Vec::new() })
    }
}
