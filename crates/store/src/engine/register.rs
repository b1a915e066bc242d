//! The status as a register: reading it, and changing it under a condition whose outcome is always settled.
//!
//! A 412, a 409 or a lost reply to a conditional write means "unknown", never "lost". The status is read back and compared
//! with everything that was sent: state, attempt and revision. Equal: it landed. Unchanged: it is sent again. The owner's
//! own sign of life at a later revision: still the owner, sent again on top of it. Anything else, absence too: fenced.

use std::time::Duration;

use bytes::Bytes;
use milepost_core::document::MAX_SMALL_DOCUMENT_BYTES;
use milepost_core::lifecycle::Lifecycle;
use milepost_core::{AttemptId, BackupId, Crc64Nvme, DocumentError, Owner, StatusCode, StatusDocument};

use super::Engine;
use super::documents::{Fetched, unusable};
use crate::api::{BackupState, BackupStatus, Expect};
use crate::bucket::{Bucket, BucketError, BucketErrorKind, ETag, PutMode, under};
use crate::context::OpContext;
use crate::error::{Error, ErrorKind, Result};

/// A status document with the ETag under which it was read or written.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub document: Box<StatusDocument>,
    pub etag: ETag,
}

impl Held {
    pub(crate) fn new(document: StatusDocument, etag: ETag) -> Self {
        Self { document: Box::new(document), etag }
    }

    /// The document, sorted by its state.
    pub(crate) fn state(&self) -> Lifecycle {
        Lifecycle::from(StatusDocument::clone(&self.document))
    }
}

/// What stands at a status key.
#[derive(Debug)]
pub(crate) enum StatusRead {
    Absent,
    Present { held: Held, age: Option<Duration> },
    Corrupt { etag: ETag, error: DocumentError },
}

impl StatusRead {
    pub(crate) fn owner(&self) -> Option<Box<Owner>> {
        match self {
            Self::Present { held, .. } => held.document.owner.clone().map(Box::new),
            _ => None,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Absent => "it is absent now".to_owned(),
            Self::Corrupt { error, .. } => format!("it {error}"),
            Self::Present { held, .. } => {
                let document = &held.document;
                let by = document.owner.as_ref().map(|owner| format!(", of {owner}")).unwrap_or_default();
                format!(
                    "it is {} at revision {} of attempt {}{by}",
                    document.status_code, document.revision, document.attempt_id
                )
            }
        }
    }

    /// Somebody else changed the backup.
    pub(crate) fn conflict(&self, what: &str) -> Error {
        Error::new(ErrorKind::Conflict { owner: self.owner() }, format!("{what}: {}", self.describe()))
            .with_hint("look at the status and, if it is still wanted, ask again")
    }

    /// It is not the committed backup any more that was being read, restored or copied.
    pub(crate) fn changed_while(&self, doing: &str) -> Error {
        let deleted = match self {
            Self::Absent => true,
            Self::Present { held, .. } => {
                matches!(held.document.status_code, StatusCode::Deleting | StatusCode::Deleted)
            }
            Self::Corrupt { .. } => false,
        };
        self.conflict(&format!("the backup {} while it was {doing}", if deleted { "was deleted" } else { "changed" }))
    }

    /// The state does not allow the call.
    pub(crate) fn wrong_state(&self, what: &str) -> Error {
        let found = match self {
            Self::Absent => BackupState::DoesNotExist,
            Self::Corrupt { .. } => BackupState::Corrupt,
            Self::Present { held, .. } => held.document.status_code.into(),
        };
        Error::new(ErrorKind::WrongState { found, owner: self.owner() }, format!("{what}: {}", self.describe()))
    }

    /// Is this the document that the caller meant?
    pub(crate) fn expected(&self, expect: &Expect) -> Result<()> {
        let same = match (expect, self) {
            (Expect::Any, _) => true,
            (Expect::Revision { attempt, revision }, Self::Present { held, .. }) => {
                held.document.attempt_id == *attempt && held.document.revision == *revision
            }
            (Expect::ETag(etag), Self::Present { held, .. }) => held.etag == *etag,
            (Expect::ETag(expected), Self::Corrupt { etag, .. }) => etag == expected,
            _ => false,
        };
        if same { Ok(()) } else { Err(self.conflict("the status is not the one that was meant")) }
    }
}

/// How a conditional write ended, once settled.
#[derive(Debug)]
pub(crate) enum Written {
    /// It stands.
    Landed(Held),
    /// Something else stands.
    Fenced(StatusRead),
}

impl Written {
    /// The document that stands, or a Conflict.
    pub(crate) fn or_conflict(self, what: &str) -> Result<Held> {
        match self {
            Self::Landed(held) => Ok(held),
            Self::Fenced(read) => Err(read.conflict(what)),
        }
    }
}

/// What was sent, as far as a read-back compares it.
struct Sent {
    code: StatusCode,
    attempt: AttemptId,
    revision: u64,
    metadata_sha256: Option<String>,
}

impl Sent {
    fn of(document: &StatusDocument) -> Self {
        Self {
            code: document.status_code,
            attempt: document.attempt_id.clone(),
            revision: document.revision,
            metadata_sha256: document.metadata_sha256.clone(),
        }
    }

    fn landed_as(&self, read: &StatusDocument) -> bool {
        let same_attempt = read.status_code == self.code && read.attempt_id == self.attempt;
        // A commit may have been annotated since: it landed all the same.
        let annotated_commit = self.code == StatusCode::Completed
            && read.revision > self.revision
            && read.metadata_sha256 == self.metadata_sha256;
        same_attempt && (read.revision == self.revision || annotated_commit)
    }
}

impl<B: Bucket> Engine<B> {
    /// Reads what stands at a backup's status key.
    pub(crate) async fn read_status(&self, id: BackupId, cx: &OpContext) -> Result<StatusRead> {
        match self.fetch_document(&self.layout.status(id), MAX_SMALL_DOCUMENT_BYTES, cx).await? {
            Fetched::Absent => Ok(StatusRead::Absent),
            Fetched::TooLarge { size, etag } => Ok(StatusRead::Corrupt {
                etag,
                error: DocumentError::TooLarge { size, limit: MAX_SMALL_DOCUMENT_BYTES },
            }),
            Fetched::Bytes { bytes, etag, age } => Ok(match StatusDocument::parse(&bytes, id) {
                Ok(document) => StatusRead::Present { held: Held::new(document, etag), age },
                Err(error) => StatusRead::Corrupt { etag, error },
            }),
        }
    }

    /// Reads the status of a backup that was addressed: one of another cluster or of a newer format is refused.
    pub(crate) async fn addressed(&self, id: BackupId, cx: &OpContext) -> Result<StatusRead> {
        let read = self.read_status(id, cx).await?;
        match &read {
            StatusRead::Present { held, .. } if held.document.cluster_id != self.cluster_id()? => Err(Error::refused(
                format!("belongs to cluster {}, not {}", held.document.cluster_id, self.cluster_id()?),
            )),
            StatusRead::Corrupt { error, .. } if error.is_newer() => Err(unusable(&self.layout.status(id), error)),
            _ => Ok(read),
        }
    }

    /// The status as readers see it; a corrupt one is an error.
    pub(crate) fn present(&self, id: BackupId, read: StatusRead) -> Result<BackupStatus> {
        match read {
            StatusRead::Absent => Ok(BackupStatus { id, document: None, etag: None, age: None }),
            StatusRead::Present { held, age } => {
                Ok(BackupStatus { id, document: Some(*held.document), etag: Some(held.etag), age })
            }
            StatusRead::Corrupt { error, .. } => Err(unusable(&self.layout.status(id), &error)
                .with_hint("the other backups are not affected; `delete --corrupt` removes this one")),
        }
    }

    /// Sends a status once.
    pub(crate) async fn put_status(
        &self,
        document: &StatusDocument,
        mode: PutMode,
        cx: &OpContext,
    ) -> Result<Result<ETag, BucketError>> {
        let bytes = Bytes::from(document.encode().map_err(|error| Error::invalid_input(format!("status {error}")))?);
        let crc = Crc64Nvme::of(&bytes);
        under(cx, self.bucket.put(&self.layout.status(document.id), bytes, crc, mode)).await
    }

    /// Writes a status on top of `from` (`None`: where nothing is) and settles the outcome.
    ///
    /// `next` makes the document to send from the one it replaces; it is asked again for every try, so that each try of a
    /// claim can carry a new attempt. With `owner`, the caller's own signs of life that landed late do not fence it.
    pub(crate) async fn cas(
        &self,
        id: BackupId,
        mut from: Option<Held>,
        owner: bool,
        cx: &OpContext,
        mut next: impl FnMut(Option<&StatusDocument>) -> Result<StatusDocument>,
    ) -> Result<Written> {
        let mut sent: Vec<Sent> = Vec::new();
        let mut tries = self.tries();
        loop {
            let document = next(from.as_ref().map(|held| &*held.document))?;
            let mode = from.as_ref().map_or(PutMode::Create, |held| PutMode::Replace(held.etag.clone()));
            sent.push(Sent::of(&document));
            let error = match self.put_status(&document, mode, cx).await? {
                Ok(etag) => return Ok(Written::Landed(Held::new(document, etag))),
                Err(error) => error,
            };
            if error.kind == BucketErrorKind::Precondition || error.maybe_applied {
                match self.read_status(id, cx).await? {
                    StatusRead::Present { held, .. } if sent.iter().any(|sent| sent.landed_as(&held.document)) => {
                        return Ok(Written::Landed(held));
                    }
                    // Unchanged: the request was lost on its way, or the store could not say (409).
                    StatusRead::Present { held, .. } if from.as_ref().is_some_and(|from| from.etag == held.etag) => {}
                    StatusRead::Corrupt { etag, .. } if from.as_ref().is_some_and(|from| from.etag == etag) => {}
                    StatusRead::Absent if from.is_none() => {}
                    StatusRead::Present { held, .. }
                        if owner
                            && from.as_ref().is_some_and(|from| own_late_progress(&from.document, &held.document)) =>
                    {
                        from = Some(held);
                        continue;
                    }
                    other => return Ok(Written::Fenced(other)),
                }
                tries.pause(retriable(error), cx).await?;
            } else if error.is_transient() {
                tries.pause(error, cx).await?;
            } else {
                return Err(Error::from(error));
            }
        }
    }
}

fn own_late_progress(held: &StatusDocument, read: &StatusDocument) -> bool {
    read.status_code == StatusCode::InProgress && read.attempt_id == held.attempt_id && read.revision > held.revision
}

/// A precondition that failed although nothing changed is the store's hesitation: if it lasts, it is unavailable.
fn retriable(error: BucketError) -> BucketError {
    if error.kind == BucketErrorKind::Precondition {
        BucketError { kind: BucketErrorKind::Unavailable, ..error }
    } else {
        error
    }
}
