//! A store as the checks use it, and the ways to bring a backup into a state.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use milepost_core::{
    BackupId, Crc64Nvme, Descriptor, DigestAlgorithm, DigestHasher, FileRecord, FileSetKind, Hold, HoldId, LogRange,
    StatusCode, StatusDocument, Timestamp,
};
use milepost_store::{
    Annotation, Backup, BackupState, BackupStatus, BackupStore, DeleteOptions, DeleteReport, Error, ErrorKind, Expect,
    FileSet, ListEntry, ListQuery, OpContext, RestoreOptions, RestoreReport, RestoreTarget, SaveOptions, SaveReport,
};
use tempfile::TempDir;

use super::StoreSuiteOptions;
use crate::check::{Checked, Doing as _, Seen, ensure, ensure_eq};
use crate::fixtures::{BlockedSource, BrokerFiles, MemorySource, Shape, entry, seeded_bytes};

type Answer<T> = Result<T, Error>;

#[derive(Clone)]
pub(super) struct Client {
    pub(super) store: Arc<dyn BackupStore>,
    pub(super) options: Arc<StoreSuiteOptions>,
    /// Removed when the check ends.
    work: Arc<TempDir>,
}

/// The states into which a caller can bring a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Absent,
    /// Its saver is gone.
    InProgress,
    Completed,
    Held,
    /// By a file that could not be read.
    Failed,
    /// A record that the node could not save: no descriptor.
    Recorded,
    /// It was COMPLETED before.
    Spoiled,
    Deleted,
}

impl State {
    pub(super) const ALL: [Self; 8] = [
        Self::Absent,
        Self::InProgress,
        Self::Completed,
        Self::Held,
        Self::Failed,
        Self::Recorded,
        Self::Spoiled,
        Self::Deleted,
    ];

    pub(super) fn shown(self) -> BackupState {
        match self {
            Self::Absent | Self::Deleted => BackupState::DoesNotExist,
            Self::InProgress => BackupState::InProgress,
            Self::Completed | Self::Held => BackupState::Completed,
            Self::Failed | Self::Recorded | Self::Spoiled => BackupState::Failed,
        }
    }
}

/// What the broker says in all checks.
pub(super) fn descriptor() -> Descriptor {
    Descriptor {
        checkpoint_position: Some(4711),
        number_of_partitions: Some(3),
        broker_version: Some("8.6.0".to_owned()),
        term: Some(7),
        log_range: Some(LogRange { first: 1, last: 4800 }),
        fingerprint: Some("blue".to_owned()),
        properties: [("a".to_owned(), "ü".to_owned())].into(),
        ..Descriptor::default()
    }
}

pub(super) fn hold(id: &str) -> Checked<Hold> {
    Ok(Hold {
        id: HoldId::new(id).doing("making a hold's id")?,
        reason: "audit".to_owned(),
        owner: "ops".to_owned(),
        created_at: Timestamp::UNIX_EPOCH,
    })
}

/// The files of small saves: one snapshot, one segment.
pub(super) fn small(seed: u64) -> Checked<(FileSet, FileSet)> {
    let file = |name: &str, seed| entry(name, MemorySource::new(seeded_bytes(seed, 1000))).doing("naming a file");
    Ok((vec![file("a/1.sst", seed)?], vec![file("1.log", seed + 1)?]))
}

pub(super) fn backup(id: BackupId, files: (FileSet, FileSet)) -> Backup {
    let (snapshots, segments) = files;
    Backup { id, descriptor: descriptor(), snapshots, segments, reservation: None }
}

pub(super) fn resume() -> SaveOptions {
    let mut options = SaveOptions::default();
    options.resume = true;
    options
}

/// The call must have failed, in this way.
pub(super) fn refused<T: std::fmt::Debug>(result: Answer<T>, kind: &str, what: impl std::fmt::Display) -> Checked {
    match result {
        Ok(value) => Err(Seen(format!("{what}: expected {kind}, but it succeeded: {}", crate::check::shown(&value)))),
        Err(error) => {
            ensure!(
                kind.split('|').any(|kind| kind == error.kind().name()),
                "{what}: expected {kind}, found {error:?}"
            );
            Ok(())
        }
    }
}

/// The call must have failed for the state it found, and say which.
pub(super) fn wrong_state<T: std::fmt::Debug>(result: Answer<T>, state: State, what: &str) -> Checked {
    if let Err(error) = &result
        && let ErrorKind::WrongState { found, .. } = error.kind()
    {
        ensure_eq!(*found, state.shown(), "{what} of {state:?}: the state that the error names");
    }
    refused(result, "wrong_state", format_args!("{what} of {state:?}"))
}

impl Client {
    pub(super) fn new(store: Arc<dyn BackupStore>, options: StoreSuiteOptions) -> Checked<Self> {
        let work = tempfile::Builder::new().prefix("milepost-suite-").tempdir().doing("making a folder")?;
        Ok(Self { store, options: Arc::new(options), work: Arc::new(work) })
    }

    /// A path in the check's own folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    pub(super) fn broker(&self, seed: u64) -> Checked<BrokerFiles> {
        let shape = Shape { part_size: self.options.part_size, ..Shape::default() };
        BrokerFiles::generate(self.path(&format!("broker-{seed}")), seed, shape).doing("writing broker files")
    }

    pub(super) async fn try_save(&self, backup: Backup, options: SaveOptions) -> Answer<SaveReport> {
        self.store.save(backup, options, &OpContext::new()).await
    }

    pub(super) async fn save(&self, id: BackupId) -> Checked<SaveReport> {
        let saved = self.try_save(backup(id, small(1)?), SaveOptions::default()).await;
        saved.doing(format_args!("saving {id}"))
    }

    pub(super) async fn status(&self, id: BackupId) -> Checked<BackupStatus> {
        self.store.status(id, &OpContext::new()).await.doing(format_args!("status of {id}"))
    }

    pub(super) async fn document(&self, id: BackupId) -> Checked<StatusDocument> {
        let status = self.status(id).await?;
        ensure_eq!(status.id, id, "the id in a status");
        status.document.ok_or_else(|| Seen(format!("{id} has no status document")))
    }

    pub(super) async fn in_state(&self, id: BackupId, code: StatusCode, when: &str) -> Checked<StatusDocument> {
        let document = self.document(id).await?;
        ensure_eq!(document.status_code, code, "{when}: the state of {id}");
        Ok(document)
    }

    /// The status is, byte for byte, what it was.
    pub(super) async fn unchanged(&self, before: &BackupStatus, when: &str) -> Checked {
        let after = self.status(before.id).await?;
        ensure_eq!(after.document, before.document, "{when}: the status of {}", before.id);
        ensure_eq!(after.etag, before.etag, "{when}: the ETag of {}", before.id);
        Ok(())
    }

    pub(super) async fn mark_failed(&self, id: BackupId, reason: &str, expect: Expect) -> Answer<BackupStatus> {
        self.store.mark_failed(id, reason, expect, &OpContext::new()).await
    }

    pub(super) async fn annotate(&self, id: BackupId, change: Annotation, expect: Expect) -> Answer<BackupStatus> {
        self.store.annotate(id, change, expect, &OpContext::new()).await
    }

    pub(super) async fn try_delete(&self, id: BackupId, options: DeleteOptions) -> Answer<DeleteReport> {
        self.store.delete(id, options, &OpContext::new()).await
    }

    pub(super) async fn delete(&self, id: BackupId) -> Checked<DeleteReport> {
        self.try_delete(id, DeleteOptions::default()).await.doing(format_args!("deleting {id}"))
    }

    pub(super) async fn restore(&self, id: BackupId, to: &str, options: RestoreOptions) -> Answer<RestoreReport> {
        self.store.restore(id, RestoreTarget { path: self.path(to) }, options, &OpContext::new()).await
    }

    pub(super) async fn list(&self, query: ListQuery) -> Checked<Vec<BackupStatus>> {
        let entries: Vec<ListEntry> =
            self.store.list(query, OpContext::new()).try_collect().await.doing(format_args!("listing {query:?}"))?;
        let statuses = entries.into_iter().map(|entry| match entry {
            ListEntry::Backup(status) => Ok(status),
            corrupt => Err(Seen(format!("listing {query:?}: {corrupt:?}"))),
        });
        statuses.collect()
    }

    pub(super) async fn ids(&self, query: ListQuery) -> Checked<Vec<String>> {
        Ok(self.list(query).await?.iter().map(|status| status.id.to_string()).collect())
    }

    /// Waits until the backup is in progress, for as long as the time limit of the check allows.
    pub(super) async fn until_in_progress(&self, id: BackupId) -> Checked {
        while self.status(id).await?.state() != BackupState::InProgress {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Leaves a backup in progress, as a saver does that is dropped, or dies.
    pub(super) async fn abandon(&self, id: BackupId) -> Checked {
        let blocked = BlockedSource::new(seeded_bytes(1, 1000));
        // At a time limit too: the runtime would wait for its reader.
        let _released = blocked.guard();
        let segments = small(1)?.1;
        let snapshots = vec![entry("a/1.sst", blocked.clone()).doing("naming a file")?];
        let saver = tokio::spawn({
            let (client, backup) = (self.clone(), backup(id, (snapshots, segments)));
            async move { client.try_save(backup, SaveOptions::default()).await }
        });
        let seen = self.until_in_progress(id).await;
        saver.abort();
        // Released only once the save is gone, or it would go on.
        let gone = saver.await;
        seen?;
        match gone {
            Err(error) if error.is_cancelled() => {
                self.in_state(id, StatusCode::InProgress, "after a drop").await.map(drop)
            }
            other => Err(Seen(format!("a save whose file cannot be read ended: {other:?}"))),
        }
    }

    /// Brings a new backup into a state.
    pub(super) async fn bring(&self, id: BackupId, state: State) -> Checked<BackupStatus> {
        match state {
            State::Absent => {}
            State::InProgress => self.abandon(id).await?,
            State::Completed | State::Held | State::Spoiled | State::Deleted => drop(self.save(id).await?),
            State::Failed => {
                let bad = MemorySource::new(seeded_bytes(2, 1000)).failing_at(500);
                let (snapshots, segments) = (small(1)?.0, vec![entry("1.log", bad).doing("naming a file")?]);
                let saved = self.try_save(backup(id, (snapshots, segments)), SaveOptions::default()).await;
                refused(saved, "source", "a save of a file that cannot be read")?;
            }
            State::Recorded => drop(self.mark_failed(id, "first", Expect::Any).await.doing("mark_failed")?),
        }
        match state {
            State::Held => {
                self.annotate(id, Annotation::Hold(hold("h1")?), Expect::Any).await.doing("holding")?;
            }
            State::Spoiled => drop(self.mark_failed(id, "first", Expect::Any).await.doing("mark_failed")?),
            State::Deleted => drop(self.delete(id).await?),
            _ => {}
        }
        let status = self.status(id).await?;
        ensure_eq!(status.state(), state.shown(), "the state of a backup brought to {state:?}");
        ensure_eq!(status.is_tombstone(), state == State::Deleted, "is {state:?} a tombstone");
        Ok(status)
    }
}

/// What a save must record of a file set.
pub(super) fn records(files: &FileSet, digest: Option<DigestAlgorithm>) -> Checked<Vec<FileRecord>> {
    let mut out = Vec::new();
    for file in files {
        let open = file.source.open().doing("opening a file")?;
        let size = match file.len {
            Some(len) => len,
            None => open.len().doing("asking for a length")?,
        };
        let mut bytes = vec![0; usize::try_from(size).doing("a size")?];
        let mut at = 0;
        while at < bytes.len() {
            let count = open.read_at(&mut bytes[at..], at as u64).doing("reading a file")?;
            ensure!(count > 0, "the check's own file {} ended early", file.name);
            at += count;
        }
        let digest = digest.map(|algorithm| {
            let mut hasher = DigestHasher::new(algorithm);
            hasher.update(&bytes);
            hasher.finish()
        });
        out.push(FileRecord { name: file.name.clone(), size, crc64nvme: Crc64Nvme::of(&bytes), digest });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}

/// The two sets of a save with their kinds.
pub(super) fn both(snapshots: FileSet, segments: FileSet) -> [(FileSetKind, FileSet); 2] {
    [(FileSetKind::Snapshots, snapshots), (FileSetKind::Segments, segments)]
}
