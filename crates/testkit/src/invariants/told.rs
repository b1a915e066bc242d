//! What callers were told, against what the bucket saw: a success is never a lie.

use milepost_core::{BackupId, StatusCode, StatusDocument};
use milepost_store::bucket::UploadQuery;
use milepost_store::{Annotation, BackupStatus, Bucket, DeleteReport, SaveOutcome, SaveReport};

use super::history::Standing;
use super::{Broken, Invariant, Witness};

/// A moment in the order of the effects, as [`Witness::moment`] gives it: when a call began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

/// Every told result must be what stood, or was written, between the call's begin and now: since the witness knows the one
/// order of all effects, that makes the status a linearizable register, and no search for an order is needed.
impl<B: Bucket> Witness<B> {
    /// This moment, to be taken before a call begins.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment(self.effects())
    }

    /// A save or resume that began at `began` reported success.
    ///
    /// # Errors
    /// [`Invariant::Honest`] where no such commit was made (or, of one that was there already, stood) since; what else was
    /// broken before.
    pub fn told_saved(&self, began: Moment, report: &SaveReport) -> Result<(), Broken> {
        let is_it = |version: &StatusDocument| {
            version.status_code == StatusCode::Completed
                && version.metadata_sha256.as_deref() == Some(report.metadata_sha256.as_str())
        };
        let stood = self.history().past.get(&report.id).is_some_and(|past| match report.outcome {
            SaveOutcome::Saved => past.written_since(began.0).any(is_it),
            SaveOutcome::AlreadyComplete => past.since(began.0).flatten().any(is_it),
        });
        self.ruled(stood, Invariant::Honest, || {
            format!(
                "{}: called saved with the metadata {}, which did not stand then",
                report.id, report.metadata_sha256
            )
        })
    }

    /// mark_failed reported success.
    ///
    /// # Errors
    /// [`Invariant::Honest`] where that FAILED did not stand since the call began; what else was broken before.
    pub fn told_failed(&self, began: Moment, status: &BackupStatus) -> Result<(), Broken> {
        let failed = status.document.as_ref().is_some_and(|document| document.status_code == StatusCode::Failed);
        self.ruled(failed && self.stood(began, status), Invariant::Honest, || {
            format!("{}: called failed, which did not stand then: {status:?}", status.id)
        })
    }

    /// An annotation reported success.
    ///
    /// # Errors
    /// [`Invariant::Honest`] where no COMPLETED with it stood since the call began; what else was broken before.
    pub fn told_annotated(&self, began: Moment, status: &BackupStatus, change: &Annotation) -> Result<(), Broken> {
        let holds = status.document.as_ref().is_some_and(|document| change.is_in(document));
        self.ruled(holds && self.stood(began, status), Invariant::Honest, || {
            format!("{}: {change:?} did not stand then: {status:?}", status.id)
        })
    }

    /// A status was read.
    ///
    /// # Errors
    /// [`Invariant::Honest`] where it did not stand since the call began; what else was broken before.
    pub fn told_status(&self, began: Moment, status: &BackupStatus) -> Result<(), Broken> {
        self.ruled(self.stood(began, status), Invariant::Honest, || {
            format!("{}: read a status that did not stand then: {status:?}", status.id)
        })
    }

    /// A delete reported success while nobody else worked on the id and no late request of its savers was under way.
    ///
    /// # Errors
    /// [`Invariant::Deleted`] where anything but the tombstone is left; what else was broken before.
    pub async fn told_deleted_alone(&self, began: Moment, report: &DeleteReport) -> Result<(), Broken> {
        self.told_deleted(began, report)?;
        let id = report.id;
        let prefix = {
            let history = self.history();
            history.layout.backup_prefix(id)
        };
        let status = self.history().layout.status(id);
        let left: Vec<String> = self
            .history()
            .objects
            .keys()
            .filter(|key| key.starts_with(&prefix) && **key != status.as_str())
            .cloned()
            .collect();
        self.ruled(left.is_empty(), Invariant::Deleted, || format!("{id}: called deleted, but {left:?} are left"))?;
        let uploads = self.inner().list_uploads(UploadQuery::Prefix(prefix)).await.unwrap_or_default();
        self.ruled(uploads.is_empty(), Invariant::Deleted, || {
            format!("{id}: called deleted, but {uploads:?} are open")
        })?;
        let standing = self.history().standing(id);
        let right = match &standing {
            Standing::Absent => !report.tombstone,
            Standing::Document(document) => document.status_code == StatusCode::Deleted && report.tombstone,
            Standing::Corrupt => false,
        };
        self.ruled(right, Invariant::Deleted, || format!("{id}: {report:?}, but there stands {standing:?}"))
    }

    /// A delete reported success.
    ///
    /// # Errors
    /// [`Invariant::Honest`] where the tombstone that it tells of did not stand since the call began; what else was broken
    /// before.
    pub fn told_deleted(&self, began: Moment, report: &DeleteReport) -> Result<(), Broken> {
        let (tombstone, forgotten) = self.history().past.get(&report.id).map_or((false, false), |past| {
            let tombstone = past.since(began.0).flatten().any(|version| version.status_code == StatusCode::Deleted);
            (tombstone, past.forgotten)
        });
        let honest = (tombstone || !report.tombstone) && (forgotten || !report.forgotten);
        self.ruled(honest, Invariant::Honest, || format!("{}: {report:?}, but that did not stand then", report.id))
    }

    fn stood(&self, began: Moment, status: &BackupStatus) -> bool {
        match self.history().past.get(&status.id) {
            None => status.document.is_none(),
            Some(past) => past.since(began.0).any(|version| version == status.document.as_ref()),
        }
    }

    fn ruled(&self, holds: bool, invariant: Invariant, seen: impl FnOnce() -> String) -> Result<(), Broken> {
        if !holds {
            self.history().broken(invariant, seen());
        }
        self.verdict()
    }

    /// The code of the status that stands, as the witness saw it: `None` for an absent or corrupt one.
    #[must_use]
    pub fn code(&self, id: BackupId) -> Option<StatusCode> {
        self.history().standing(id).code()
    }
}
