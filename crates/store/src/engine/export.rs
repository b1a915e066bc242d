//! The side of a copy that is read: a committed backup, opened for another store.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use milepost_core::{BackupId, ClusterDocument, FileName, FileSetKind, MetadataDocument, StatusCode, StatusDocument};

use super::Engine;
use super::register::StatusRead;
use crate::api::Exported;
use crate::bucket::Bucket;
use crate::context::OpContext;
use crate::error::{Error, ErrorKind, Operation, Result};

/// A committed backup of this engine's store.
#[derive(Debug)]
struct Opened<B: Bucket> {
    engine: Arc<Engine<B>>,
    cluster: ClusterDocument,
    location: String,
    status: StatusDocument,
    metadata: MetadataDocument,
    bytes: Bytes,
}

impl<B: Bucket> Engine<B> {
    /// Opens a committed backup.
    pub(super) async fn export(self: &Arc<Self>, id: BackupId, cx: &OpContext) -> Result<Arc<dyn Exported>> {
        let (status, metadata, bytes) = self.completed_with_bytes(id, cx).await?;
        let cluster = self.cluster.get().cloned();
        let cluster = cluster.ok_or_else(|| Error::new(ErrorKind::Internal, "the cluster was not checked"))?;
        Ok(Arc::new(Opened {
            engine: Arc::clone(self),
            cluster,
            location: self.bucket.location(),
            status,
            metadata: metadata.document,
            bytes: Bytes::from(bytes),
        }))
    }
}

impl<B: Bucket> Opened<B> {
    fn sha256(&self) -> &str {
        self.status.metadata_sha256.as_deref().unwrap_or_default()
    }

    /// Says at which end of the copy it happened.
    fn at_the_source(&self, error: Error) -> Error {
        error.during(Operation::Export).of(self.status.id)
    }
}

#[async_trait]
impl<B: Bucket> Exported for Opened<B> {
    fn status(&self) -> &StatusDocument {
        &self.status
    }

    fn metadata(&self) -> &MetadataDocument {
        &self.metadata
    }

    fn metadata_bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    fn cluster(&self) -> &ClusterDocument {
        &self.cluster
    }

    fn location(&self) -> &str {
        &self.location
    }

    async fn read(
        &self,
        kind: FileSetKind,
        name: &FileName,
        range: Range<u64>,
        sink: &mut (dyn for<'b> FnMut(&'b [u8]) + Send),
        cx: &OpContext,
    ) -> Result<()> {
        let id = self.status.id;
        let key = self.engine.layout.file(id, kind, name);
        let slot = self.engine.slots.take().await;
        let mut chunks = self.engine.fetch(key.clone(), range.clone(), cx);
        while let Some(chunk) = chunks.next().await {
            let error = match chunk {
                Ok(chunk) => {
                    slot.moved(chunk.len() as u64);
                    sink(&chunk);
                    continue;
                }
                Err(error) => error.of_a_content(key.as_str(), &format!("at least {} bytes", range.end)),
            };
            // Nor is a delete that goes on under our eyes damage.
            let error = self.engine.gone_or(id, self.sha256(), error, cx).await;
            return Err(self.at_the_source(error));
        }
        Ok(())
    }

    async fn still_committed(&self, cx: &OpContext) -> Result<()> {
        let read = self.engine.addressed(self.status.id, cx).await.map_err(|error| self.at_the_source(error))?;
        match read {
            StatusRead::Present { held, .. }
                if held.document.status_code == StatusCode::Completed
                    && held.document.metadata_sha256.as_deref() == Some(self.sha256()) =>
            {
                Ok(())
            }
            other => Err(self.at_the_source(other.changed_while("copied"))),
        }
    }
}
