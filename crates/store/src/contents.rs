//! Reading one file of a backup without restoring it: found by its name, verified while it streams.

use bytes::Bytes;
use futures::StreamExt as _;
use milepost_core::hashing::Hasher;
use milepost_core::{BackupId, FileName, FileRecord, FileSetKind};

use crate::api::{BackupState, BackupStore, ByteStream, FileRef, Metadata};
use crate::context::OpContext;
use crate::engine::differing;
use crate::error::{Error, ErrorKind, Operation, Result};

/// The file that a name means: `segments/1.log`, or the name alone where only one of the two file sets has it.
///
/// # Errors
/// NotFound; InvalidInput for a name that both file sets have.
pub fn find<'a>(metadata: &'a Metadata, name: &str) -> Result<(FileSetKind, &'a FileRecord)> {
    let document = &metadata.document;
    let in_set =
        |kind: FileSetKind, name: &str| document.files(kind).iter().find(|record| record.name.as_str() == name);
    let spelled = FileSetKind::ALL.into_iter().find_map(|kind| {
        let inner = name.strip_prefix(kind.folder())?.strip_prefix('/')?;
        Some((kind, in_set(kind, inner)?))
    });
    if let Some(found) = spelled {
        return Ok(found);
    }
    let found: Vec<_> = FileSetKind::ALL.into_iter().filter_map(|kind| Some((kind, in_set(kind, name)?))).collect();
    match found[..] {
        [one] => Ok(one),
        [] => {
            Err(Error::new(ErrorKind::NotFound, format!("has no file `{}`", milepost_core::document::cut(name, 200)))
                .during(Operation::Read)
                .of(document.id)
                .with_hint(format!("`milepost ls {}` lists its files", document.id)))
        }
        _ => Err(Error::invalid_input(format!("both file sets have a file `{name}`"))
            .during(Operation::Read)
            .of(document.id)
            .with_hint(format!("say snapshots/{name} or segments/{name}"))),
    }
}

/// The bytes of one whole file, hashed as they come and judged at the end: whoever passes them on before has passed on what
/// may turn out wrong. One chunk is in memory at a time. Dropping it ends the request.
pub struct VerifiedFile<'a> {
    store: &'a dyn BackupStore,
    cx: &'a OpContext,
    file: FileRef,
    record: FileRecord,
    metadata_sha256: String,
    hasher: Option<Hasher>,
    chunks: ByteStream,
}

impl std::fmt::Debug for VerifiedFile<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifiedFile").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Opens one whole file of a committed backup, as `metadata` names it.
///
/// # Errors
/// Those of [`BackupStore::read`].
pub async fn open<'a>(
    store: &'a dyn BackupStore,
    metadata: &Metadata,
    kind: FileSetKind,
    record: &FileRecord,
    cx: &'a OpContext,
) -> Result<VerifiedFile<'a>> {
    let file = reference(metadata.document.id, kind, &record.name);
    let chunks = store.read(file.clone(), 0..record.size, cx).await?;
    Ok(VerifiedFile {
        store,
        cx,
        file,
        hasher: Some(Hasher::new(record.digest.map(|digest| digest.algorithm))),
        record: record.clone(),
        metadata_sha256: metadata.sha256.clone(),
        chunks,
    })
}

/// Names a file of a backup.
#[must_use]
pub fn reference(id: BackupId, kind: FileSetKind, name: &FileName) -> FileRef {
    FileRef { id, kind, name: name.clone() }
}

impl VerifiedFile<'_> {
    /// The next bytes; `None` once all of them came and proved to be those that were saved.
    ///
    /// # Errors
    /// Integrity where they are not, and NotFound where the content is gone; Conflict where the backup changed meanwhile, which
    /// is no damage; those of the store. Nothing comes after an error.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(hasher) = &mut self.hasher else { return Ok(None) };
        let error = match self.chunks.next().await {
            Some(Ok(chunk)) => {
                hasher.update(&chunk);
                return Ok(Some(chunk));
            }
            Some(Err(error)) => error,
            None => match differing(&self.record, &hasher.finish()) {
                None => {
                    self.hasher = None;
                    return Ok(None);
                }
                Some((expected, actual)) => {
                    let FileRef { id, kind, name } = &self.file;
                    Error::integrity(format!("{id}/{kind}/{name}"), expected, actual)
                }
            },
        };
        self.hasher = None;
        // Not by `self`: the stream within can be sent to another thread, but not shared.
        let size = self.record.size;
        let judged = judged(self.store, &self.file, &self.metadata_sha256, size, error, self.cx).await;
        Err(judged.during(Operation::Read).of(self.file.id))
    }
}

/// Before something is called damaged: is it still the same committed backup?
async fn judged(
    store: &dyn BackupStore,
    file: &FileRef,
    metadata_sha256: &str,
    size: u64,
    error: Error,
    cx: &OpContext,
) -> Error {
    if !matches!(error.kind(), ErrorKind::Integrity { .. } | ErrorKind::NotFound) {
        return error;
    }
    let Ok(status) = store.status(file.id, cx).await else { return error };
    let same = status.document.as_ref().and_then(|document| document.metadata_sha256.as_deref());
    let state = status.state();
    if state != BackupState::Completed || same != Some(metadata_sha256) {
        let deleted = matches!(state, BackupState::Deleting | BackupState::DoesNotExist);
        let what = if deleted { "was deleted" } else { "changed" };
        let what = format!("the backup {what} while it was read: it is {state} now");
        return Error::new(ErrorKind::Conflict { owner: None }, what);
    }
    let FileRef { id, kind, name } = file;
    error.of_a_content(&format!("{id}/{kind}/{name}"), &format!("{size} bytes"))
}
