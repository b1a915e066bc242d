//! Status, metadata and ranges of files.

use std::ops::Range;
use std::sync::Arc;

use milepost_core::lifecycle::Lifecycle;
use milepost_core::{BackupId, FileRecord, StatusDocument};

use super::Engine;
use super::register::StatusRead;
use crate::api::{BackupStatus, ByteStream, FileRef, Metadata};
use crate::bucket::Bucket;
use crate::context::OpContext;
use crate::error::{Error, ErrorKind, Result};

impl<B: Bucket> Engine<B> {
    /// The state of one backup; a base that nobody has written to holds none.
    pub(super) async fn status(&self, id: BackupId, cx: &OpContext) -> Result<BackupStatus> {
        if !self.check_cluster(cx).await? {
            return Ok(BackupStatus { id, document: None, etag: None, age: None });
        }
        let read = self.addressed(id, cx).await?;
        self.present(id, read)
    }

    /// The status of a backup that must be committed.
    pub(super) async fn completed(&self, id: BackupId, cx: &OpContext) -> Result<StatusDocument> {
        if !self.check_cluster(cx).await? {
            return Err(absent());
        }
        match self.addressed(id, cx).await? {
            StatusRead::Absent => Err(absent()),
            StatusRead::Present { held, age } => match held.state() {
                Lifecycle::Completed(completed) => Ok(completed.into_document()),
                Lifecycle::Deleted(_) => Err(absent()),
                _ => Err(StatusRead::Present { held, age }.wrong_state("only a COMPLETED backup can be read")),
            },
            corrupt @ StatusRead::Corrupt { .. } => Err(match self.present(id, corrupt) {
                Err(error) => error,
                Ok(_) => absent(),
            }),
        }
    }

    /// The metadata that a backup committed, with the status that names it.
    pub(super) async fn completed_metadata(&self, id: BackupId, cx: &OpContext) -> Result<(StatusDocument, Metadata)> {
        let (status, metadata, _) = self.completed_with_bytes(id, cx).await?;
        Ok((status, metadata))
    }

    /// The same with the metadata's bytes.
    pub(super) async fn completed_with_bytes(
        &self,
        id: BackupId,
        cx: &OpContext,
    ) -> Result<(StatusDocument, Metadata, Vec<u8>)> {
        let status = self.completed(id, cx).await?;
        let sha256 = status.metadata_sha256.clone().unwrap_or_default();
        let (metadata, bytes) = match self.committed_metadata(id, &sha256, cx).await {
            Ok(found) => found,
            // A delete removes the metadata under our eyes: then it is not corrupt, it is going.
            Err(error) => return Err(self.gone_or(id, &sha256, error, cx).await),
        };
        if metadata.document.descriptor != status.descriptor.clone().unwrap_or_default() {
            let key = self.layout.status(id);
            return Err(Error::corrupt(key.as_str(), "describes the backup otherwise than its metadata does"));
        }
        Ok((status, metadata, bytes))
    }

    /// Before something is called damaged: is it still the same committed backup?
    pub(super) async fn gone_or(&self, id: BackupId, sha256: &str, error: Error, cx: &OpContext) -> Error {
        let damaged =
            matches!(error.kind(), ErrorKind::Corrupt { .. } | ErrorKind::Integrity { .. } | ErrorKind::NotFound);
        if !damaged {
            return error;
        }
        match self.addressed(id, cx).await {
            Ok(StatusRead::Present { held, .. })
                if held.document.metadata_sha256.as_deref() == Some(sha256)
                    && held.document.status_code == milepost_core::StatusCode::Completed =>
            {
                error
            }
            Ok(read) => read.changed_while("read"),
            Err(_) => error,
        }
    }

    /// The metadata of a backup that is, or was, committed.
    pub(super) async fn metadata(&self, id: BackupId, cx: &OpContext) -> Result<Metadata> {
        Ok(self.completed_metadata(id, cx).await?.1)
    }

    /// A range of one file.
    pub(super) async fn read(self: &Arc<Self>, file: FileRef, range: Range<u64>, cx: &OpContext) -> Result<ByteStream> {
        if range.start > range.end {
            return Err(Error::invalid_input("the range ends before it begins"));
        }
        let (_, metadata) = self.completed_metadata(file.id, cx).await?;
        let record =
            metadata.document.files(file.kind).iter().find(|record| record.name == file.name).ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("has no file {}/{}", file.kind, file.name))
                    .with_hint("`milepost show` lists its files")
            })?;
        let FileRecord { size, .. } = *record;
        let range = range.start.min(size)..range.end.min(size);
        let key = self.layout.file(file.id, file.kind, &file.name);
        Ok(ByteStream::new(range.end - range.start, self.fetch(key, range, cx)))
    }
}

fn absent() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such backup").with_hint("`milepost list` shows what there is")
}
