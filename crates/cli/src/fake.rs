//! A store in a map, for tests of what is above a store: as little as the verbs can tell from the real one.
//!
//! The demo's test and the binary's own tests use the real engine; here a test says at will what is damaged or odd.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use milepost::core::checksum::sha256_hex;
use milepost::{
    Annotation, AttemptId, Backup, BackupId, BackupState, BackupStatus, BackupStore, ByteStream, ClusterDocument,
    ClusterId, Counts, Crc64Nvme, DeleteOptions, DeleteReport, Descriptor, DigestAlgorithm, DigestHasher, Error,
    ErrorKind, Expect, Exported, FileRecord, FileRef, FileSet, FileSetKind, Finding, ImportOptions, ImportReport,
    InitOptions, ListEntry, ListQuery, Metadata, MetadataDocument, OpContext, Order, ProbeCheck, ProbeReport, Problem,
    RestoreOptions, RestoreOutcome, RestoreReport, RestoreTarget, Result, SaveOptions, SaveOutcome, SaveReport,
    SavedFile, StatusCode, StatusDocument, StoreAdmin, Timestamp, UploadInfo, VerifyLevel, VerifyReport,
};

type Contents = BTreeMap<(FileSetKind, String), Vec<u8>>;

#[derive(Debug, Clone)]
struct Kept {
    status: Option<StatusDocument>,
    metadata: Option<MetadataDocument>,
    contents: Contents,
}

/// The store.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    kept: Mutex<BTreeMap<BackupId, Kept>>,
    /// Contents of these backups are damaged.
    pub(crate) damaged: Mutex<Vec<BackupId>>,
}

pub(crate) fn status(id: BackupId, code: StatusCode) -> StatusDocument {
    let text = format!(
        r#"{{"formatVersion":1,"clusterId":"c","id":{{"partition":{},"checkpoint":"{}","node":{}}},
            "statusCode":"{code}","attemptId":"a","revision":1,"createdAt":"2026-01-01T00:00:00Z",
            "lastModified":"2026-01-01T00:00:00Z","metadataSha256":"{}","descriptor":{{}}}}"#,
        id.partition,
        id.checkpoint,
        id.node,
        "0".repeat(64)
    );
    StatusDocument::parse(text.as_bytes(), id).unwrap()
}

impl Fake {
    /// Keeps a status; `None` is one that cannot be read.
    pub(crate) fn put(&self, id: BackupId, status: Option<StatusDocument>) {
        let kept = Kept { status, metadata: None, contents: Contents::new() };
        self.kept.lock().unwrap().insert(id, kept);
    }

    fn get(&self, id: BackupId) -> Option<Kept> {
        self.kept.lock().unwrap().get(&id).cloned()
    }

    fn committed(&self, id: BackupId) -> Result<(Kept, MetadataDocument)> {
        let kept = self.get(id).ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such backup").of(id))?;
        match kept.metadata.clone() {
            Some(metadata) => Ok((kept, metadata)),
            None => {
                let found = kept.status.as_ref().map_or(BackupState::Corrupt, |status| status.status_code.into());
                Err(Error::new(ErrorKind::WrongState { found, owner: None }, format!("is {found}")).of(id))
            }
        }
    }
}

fn read(set: &FileSet, kind: FileSetKind, contents: &mut Contents) -> Vec<FileRecord> {
    let mut records = Vec::new();
    for file in set {
        let open = file.source.open().unwrap();
        let mut bytes = vec![0; usize::try_from(open.len().unwrap()).unwrap()];
        let mut at = 0;
        while at < bytes.len() {
            at += open.read_at(&mut bytes[at..], at as u64).unwrap();
        }
        let mut hasher = DigestHasher::new(DigestAlgorithm::Blake3);
        hasher.update(&bytes);
        records.push(FileRecord {
            name: file.name.clone(),
            size: bytes.len() as u64,
            crc64nvme: Crc64Nvme::of(&bytes),
            digest: Some(hasher.finish()),
        });
        contents.insert((kind, file.name.to_string()), bytes);
    }
    records
}

#[async_trait]
impl BackupStore for Fake {
    async fn save(&self, backup: Backup, _: SaveOptions, cx: &OpContext) -> Result<SaveReport> {
        cx.check()?;
        let id = backup.id;
        if let Some(found) = self.get(id).and_then(|kept| kept.status) {
            let found = found.status_code.into();
            return Err(Error::new(ErrorKind::WrongState { found, owner: None }, format!("is {found}")).of(id));
        }
        let mut contents = Contents::new();
        let snapshots = read(&backup.snapshots, FileSetKind::Snapshots, &mut contents);
        let segments = read(&backup.segments, FileSetKind::Segments, &mut contents);
        let cluster = ClusterId::new("c").unwrap();
        let metadata = MetadataDocument::new(cluster, id, backup.descriptor.clone(), snapshots, segments, vec![]);
        let counts = Counts { files: metadata.total_files, bytes: metadata.total_bytes };
        cx.progress().expect(counts.files, counts.bytes);
        let mut document = status(id, StatusCode::Completed);
        document.descriptor = Some(backup.descriptor);
        document.done = Some(counts);
        let sha256 = sha256_hex(&metadata.encode().unwrap());
        document.metadata_sha256 = Some(sha256.clone());
        let files =
            metadata.all_files().map(|(kind, record)| SavedFile { kind, record: record.clone(), sent: true }).collect();
        let kept = Kept { status: Some(document), metadata: Some(metadata), contents };
        self.kept.lock().unwrap().insert(id, kept);
        Ok(SaveReport {
            id,
            outcome: SaveOutcome::Saved,
            files,
            bytes: counts.bytes,
            bytes_sent: counts.bytes,
            metadata_sha256: sha256,
            duration: Duration::from_millis(1500),
            retries: 0,
            warnings: vec![],
        })
    }

    async fn status(&self, id: BackupId, cx: &OpContext) -> Result<BackupStatus> {
        cx.check()?;
        let document = match self.get(id) {
            Some(Kept { status: None, .. }) => return Err(Error::corrupt("status.json", "is odd").of(id)),
            Some(kept) => kept.status,
            None => None,
        };
        Ok(BackupStatus { id, document, etag: None, age: Some(Duration::from_secs(90)) })
    }

    async fn metadata(&self, id: BackupId, _: &OpContext) -> Result<Metadata> {
        let (_, document) = self.committed(id)?;
        Ok(Metadata { sha256: sha256_hex(&document.encode().unwrap()), document })
    }

    async fn read(&self, _: FileRef, _: Range<u64>, _: &OpContext) -> Result<ByteStream> {
        Err(Error::new(ErrorKind::Unsupported, "read"))
    }

    fn list(&self, query: ListQuery, _: OpContext) -> BoxStream<'static, Result<ListEntry>> {
        let kept = self.kept.lock().unwrap().clone();
        let mut entries: Vec<ListEntry> = kept
            .into_iter()
            .filter(|(id, _)| query.selector.matches(*id))
            .map(|(id, kept)| match kept.status {
                None => ListEntry::Corrupt { id, reason: "is odd".into(), newer: false },
                document => ListEntry::Backup(BackupStatus { id, document, etag: None, age: None }),
            })
            .filter(|entry| match entry {
                ListEntry::Backup(status) => status.document.as_ref().is_some_and(|status| query.asks_for(status)),
                ListEntry::Corrupt { .. } => true,
            })
            .collect();
        if query.order == Order::Descending {
            entries.sort_by_key(|entry| (std::cmp::Reverse(entry.id().checkpoint), entry.id()));
        }
        stream::iter(entries.into_iter().map(Ok)).boxed()
    }

    async fn restore(
        &self,
        id: BackupId,
        target: RestoreTarget,
        _: RestoreOptions,
        _: &OpContext,
    ) -> Result<RestoreReport> {
        let (kept, metadata) = self.committed(id)?;
        if self.damaged.lock().unwrap().contains(&id) {
            return Err(Error::integrity("segments/1.log", "a", "b").of(id));
        }
        if fs::read_dir(&target.path).is_ok_and(|mut found| found.next().is_some()) {
            return Err(Error::new(ErrorKind::TargetNotEmpty, "the target is not empty").of(id));
        }
        for ((kind, name), bytes) in &kept.contents {
            let path = target.path.join(kind.folder()).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        Ok(RestoreReport {
            id,
            outcome: RestoreOutcome::Restored,
            files: metadata.total_files,
            bytes: metadata.total_bytes,
            files_fetched: metadata.total_files,
            bytes_fetched: metadata.total_bytes,
            metadata_sha256: String::new(),
            duration: Duration::from_secs(1),
            retries: 0,
        })
    }

    async fn mark_failed(&self, id: BackupId, reason: &str, _: Expect, cx: &OpContext) -> Result<BackupStatus> {
        let mut document = status(id, StatusCode::Failed);
        document.failure_reason = Some(reason.to_owned());
        self.put(id, Some(document));
        self.status(id, cx).await
    }

    async fn delete(&self, id: BackupId, options: DeleteOptions, _: &OpContext) -> Result<DeleteReport> {
        let kept = self.get(id);
        let bytes = kept.as_ref().and_then(|kept| kept.metadata.as_ref()).map_or(0, |metadata| metadata.total_bytes);
        if kept.as_ref().is_some_and(|kept| kept.status.is_none()) && !options.corrupt {
            return Err(Error::corrupt("status.json", "is odd").of(id));
        }
        let objects = kept.as_ref().map_or(0, |kept| kept.contents.len() as u64);
        if kept.is_some() && !options.dry_run {
            self.put(id, Some(status(id, StatusCode::Deleted)));
        }
        Ok(DeleteReport {
            id,
            objects,
            bytes,
            uploads: 0,
            tombstone: kept.is_some(),
            forgotten: false,
            kept: None,
            failed: vec![],
            untried: 0,
        })
    }

    async fn annotate(&self, id: BackupId, change: Annotation, _: Expect, cx: &OpContext) -> Result<BackupStatus> {
        if let Annotation::Verified(verified) = change
            && let Some(kept) = self.kept.lock().unwrap().get_mut(&id)
            && let Some(document) = &mut kept.status
        {
            document.verified = Some(verified);
        }
        self.status(id, cx).await
    }

    async fn verify(&self, id: BackupId, level: VerifyLevel, _: &OpContext) -> Result<VerifyReport> {
        let (_, metadata) = self.committed(id)?;
        let damaged = self.damaged.lock().unwrap().contains(&id);
        let finding = Finding { key: "1/1/1/segments/1.log".into(), problem: Problem::Missing };
        let surplus = Finding { key: "1/1/1/stray".into(), problem: Problem::Surplus };
        Ok(VerifyReport {
            id,
            level,
            files: metadata.total_files,
            bytes: metadata.total_bytes,
            findings: if damaged { vec![finding, surplus] } else { vec![surplus] },
            duration: Duration::from_secs(1),
            retries: 0,
        })
    }
}

#[async_trait]
impl StoreAdmin for Fake {
    async fn init(&self, options: InitOptions, _: &OpContext) -> Result<ClusterDocument> {
        let id = options.cluster_id.unwrap_or(ClusterId::new("c").unwrap());
        Ok(ClusterDocument::new(
            id,
            "default",
            options.first_partition.unwrap_or(milepost::PartitionId(1)),
            Timestamp::UNIX_EPOCH,
        ))
    }

    async fn probe(&self, _: &OpContext) -> Result<ProbeReport> {
        let check = |name, failure| ProbeCheck { name, failure, required: true };
        let failed = Some("16 of 16 won".to_owned());
        Ok(ProbeReport { location: "fake".into(), checks: vec![check("lists", None), check("racing-creates", failed)] })
    }

    async fn open_uploads(&self, _: BackupId, _: &OpContext) -> Result<Vec<UploadInfo>> {
        Ok(vec![])
    }

    async fn export(&self, id: BackupId, _: &OpContext) -> Result<Arc<dyn Exported>> {
        Err(Error::new(ErrorKind::Unsupported, "the fake copies nothing").of(id))
    }

    async fn import(&self, _: Arc<dyn Exported>, _: ImportOptions, _: &OpContext) -> Result<ImportReport> {
        Err(Error::new(ErrorKind::Unsupported, "the fake copies nothing"))
    }
}

/// A status with what the choice of a copy looks at.
pub(crate) fn completed(id: BackupId, partitions: Option<u32>, term: u64, position: u64) -> StatusDocument {
    let mut document = status(id, StatusCode::Completed);
    document.attempt_id = AttemptId::new("a").unwrap();
    document.descriptor = Some(Descriptor {
        number_of_partitions: partitions,
        term: Some(term),
        checkpoint_position: Some(position),
        ..Descriptor::default()
    });
    document
}

/// A store to test verbs with.
pub(crate) fn store() -> Arc<Fake> {
    Arc::new(Fake::default())
}
