//! Seals: ids that must never be claimed or taken over again, because a late DELETE of a forgotten tombstone could still hit
//! them, and a late copy of an old claim make them look unfinished.

use bytes::Bytes;
use milepost_core::document::MAX_SMALL_DOCUMENT_BYTES;
use milepost_core::{BackupId, CheckpointId, Crc64Nvme, PartitionId, SealDocument};

use super::Engine;
use crate::bucket::{Bucket, BucketErrorKind, ETag, PutMode, under};
use crate::context::OpContext;
use crate::error::{Error, Result};

impl<B: Bucket> Engine<B> {
    async fn read_seal(&self, partition: PartitionId, cx: &OpContext) -> Result<Option<(SealDocument, ETag)>> {
        let key = self.layout.seal(partition);
        self.fetch_parsed(&key, MAX_SMALL_DOCUMENT_BYTES, cx, |bytes| SealDocument::parse(bytes, partition)).await
    }

    /// Refuses an id at or below the partition's seal: an absent one, and an unfinished one that would be taken over.
    pub(crate) async fn refuse_sealed(&self, id: BackupId, cx: &OpContext) -> Result<()> {
        match self.read_seal(id.partition, cx).await? {
            Some((seal, _)) if seal.covers(id.checkpoint) => Err(Error::refused(format!(
                "checkpoint {} of partition {} is sealed: backups up to {} were deleted and forgotten",
                id.checkpoint, id.partition, seal.below
            ))
            .with_hint("take a later checkpoint")),
            _ => Ok(()),
        }
    }

    /// Raises the partition's seal to a checkpoint, by CAS; a seal that covers it already is left as it is.
    pub(crate) async fn raise_seal(&self, partition: PartitionId, below: CheckpointId, cx: &OpContext) -> Result<()> {
        let key = self.layout.seal(partition);
        let mut tries = self.tries();
        loop {
            let (seal, mode) = match self.read_seal(partition, cx).await? {
                // Settles a lost reply as well: whoever raised it, it covers the checkpoint.
                Some((seal, _)) if seal.covers(below) => return Ok(()),
                Some((seal, etag)) => (seal.raised(below), PutMode::Replace(etag)),
                None => (SealDocument::new(partition, below), PutMode::Create),
            };
            let bytes = Bytes::from(seal.encode().map_err(|error| Error::invalid_input(error.to_string()))?);
            let crc = Crc64Nvme::of(&bytes);
            match under(cx, self.bucket.put(&key, bytes, crc, mode)).await? {
                Ok(_) => return Ok(()),
                Err(error)
                    if error.kind == BucketErrorKind::Precondition || error.maybe_applied || error.is_transient() =>
                {
                    tries.pause(error, cx).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
