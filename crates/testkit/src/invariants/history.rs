//! What was seen of a bucket: its objects as they stand, and every version of every status.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use milepost_core::checksum::sha256_hex;
use milepost_core::{AttemptId, BackupId, BackupObject, Layout, PartitionId, SealDocument, StatusCode, StatusDocument};

use super::{Broken, Contents, Invariant, Violation};

/// Effects that a verdict prints.
const MAX_LOG: usize = 400;
/// Violations that are kept: after the first few, the rest follows from them.
const MAX_VIOLATIONS: usize = 20;

/// What stands at a status key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    Absent,
    /// It cannot be read.
    Corrupt,
    Document(Box<StatusDocument>),
}

impl Standing {
    pub(super) fn code(&self) -> Option<StatusCode> {
        match self {
            Self::Document(document) => Some(document.status_code),
            _ => None,
        }
    }
}

/// Everything that a status key has held.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// Every document with the number of the effect that wrote it; `None` where the status was removed.
    pub(super) versions: Vec<(u64, Option<StatusDocument>)>,
    pub(super) committed: BTreeSet<AttemptId>,
    pub(super) tombstone: bool,
    pub(super) forgotten: bool,
}

impl Past {
    /// What stood at some time since the effect of this number, that which stood at that moment first. Without a version
    /// before it, nothing stood.
    pub(super) fn since(&self, moment: u64) -> impl Iterator<Item = Option<&StatusDocument>> {
        let later = self.versions.iter().filter(move |(number, _)| *number > moment);
        let then = self.versions.iter().rev().find(|(number, _)| *number <= moment).and_then(|(_, now)| now.as_ref());
        std::iter::once(then).chain(later.map(|(_, now)| now.as_ref()))
    }

    /// What was written since the effect of this number.
    pub(super) fn written_since(&self, moment: u64) -> impl Iterator<Item = &StatusDocument> {
        self.versions.iter().filter(move |(number, _)| *number > moment).filter_map(|(_, now)| now.as_ref())
    }
}

#[derive(Debug)]
pub(super) struct History {
    pub(super) layout: Layout,
    pub(super) objects: BTreeMap<String, Bytes>,
    pub(super) offered: BTreeMap<BackupId, Vec<Contents>>,
    pub(super) past: BTreeMap<BackupId, Past>,
    violations: Vec<Violation>,
    log: VecDeque<String>,
    number: u64,
}

impl History {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            objects: BTreeMap::new(),
            offered: BTreeMap::new(),
            past: BTreeMap::new(),
            violations: Vec::new(),
            log: VecDeque::new(),
            number: 0,
        }
    }

    pub(super) fn offers(&mut self, id: BackupId, contents: Contents) {
        let offered = self.offered.entry(id).or_default();
        if !offered.contains(&contents) {
            offered.push(contents);
        }
    }

    pub(super) fn plant(&mut self, key: &str, bytes: Option<Bytes>) {
        let _ = match bytes {
            Some(bytes) => self.objects.insert(key.to_owned(), bytes),
            None => self.objects.remove(key),
        };
        self.write_down(format!("{key} was planted"));
    }

    pub(super) fn effects(&self) -> u64 {
        self.number
    }

    pub(super) fn log(&self) -> String {
        self.log.iter().fold(String::new(), |text, line| text + line + "\n")
    }

    pub(super) fn verdict(&self) -> Result<(), Broken> {
        if self.violations.is_empty() {
            return Ok(());
        }
        Err(Broken { violations: self.violations.clone(), effects: self.log() })
    }

    pub(super) fn broken(&mut self, invariant: Invariant, seen: impl Into<String>) {
        let seen = format!("{} (effect {})", seen.into(), self.number);
        self.write_down(format!("      {invariant} does not hold: {seen}"));
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation { invariant, seen });
        }
    }

    fn write_down(&mut self, line: String) {
        if self.log.len() == MAX_LOG {
            self.log.pop_front();
        }
        self.log.push_back(line);
    }

    pub(super) fn standing(&self, id: BackupId) -> Standing {
        match self.objects.get(self.layout.status(id).as_str()) {
            None => Standing::Absent,
            Some(bytes) => StatusDocument::parse(bytes, id)
                .map_or(Standing::Corrupt, |document| Standing::Document(Box::new(document))),
        }
    }

    /// Is the id at or below its partition's seal?
    pub(super) fn sealed(&self, id: BackupId) -> bool {
        self.seal(id.partition).is_some_and(|seal| seal.covers(id.checkpoint))
    }

    fn seal(&self, partition: PartitionId) -> Option<SealDocument> {
        let bytes = self.objects.get(self.layout.seal(partition).as_str())?;
        SealDocument::parse(bytes, partition).ok()
    }

    /// Something was done to a key that changed no object.
    pub(super) fn touched(&mut self, key: &str, what: &str, scope: Option<BackupId>) {
        self.number += 1;
        self.write_down(format!("{:5} {key}: {what}", self.number));
        self.within(key, scope);
    }

    /// A write or delete reached the bucket; `now` is what stands at the key since.
    pub(super) fn changed(&mut self, key: &str, now: Option<Bytes>, scope: Option<BackupId>) {
        let before = self.objects.get(key).cloned();
        if before == now {
            return;
        }
        self.number += 1;
        let standing = self.layout.parse(key).map(|(id, object)| (id, object, self.standing(id)));
        match &now {
            Some(bytes) => self.objects.insert(key.to_owned(), bytes.clone()),
            None => self.objects.remove(key),
        };
        let line = match (&before, &now, self.layout.parse(key)) {
            (_, Some(_), Some((id, BackupObject::Status))) => match self.standing(id) {
                Standing::Document(document) => {
                    format!("is {} of {} at revision {}", document.status_code, document.attempt_id, document.revision)
                }
                _ => "is no status that can be read".to_owned(),
            },
            (None, Some(bytes), _) => format!("created, {} bytes", bytes.len()),
            (Some(_), Some(bytes), _) => format!("overwritten, {} bytes", bytes.len()),
            (_, None, _) => "removed".to_owned(),
        };
        self.write_down(format!("{:5} {key}: {line}", self.number));
        self.within(key, scope);
        match standing {
            Some((id, BackupObject::Status, was)) => self.judge_status(id, was),
            Some((id, _, was)) => self.judge_content(key, id, &was, before.is_some(), now.is_some()),
            None => self.judge_base(key, before),
        }
    }

    /// I7: is this key one that the operation may touch?
    fn within(&mut self, key: &str, scope: Option<BackupId>) {
        let mine = match (self.layout.parse(key), scope) {
            (Some((id, _)), Some(scope)) => id == scope,
            (Some(_), None) => true,
            // Keys that strangers put below a backup's prefix go with its delete.
            (None, Some(scope)) if key.starts_with(&self.layout.backup_prefix(scope)) => true,
            (None, _) => {
                let seal = |id: BackupId| key == self.layout.seal(id.partition).as_str();
                let any_seal = key.starts_with(&format!("{}_milepost/seals/", self.layout.root()));
                key == self.layout.cluster().as_str()
                    || key.starts_with(&self.layout.probe_prefix())
                    || scope.map_or(any_seal, seal)
            }
        };
        if !mine {
            let whose = scope.map_or("any operation".to_owned(), |id| format!("an operation on {id}"));
            self.broken(Invariant::Bounds, format!("{key} was touched by {whose}"));
        }
    }

    /// The base's own documents: `cluster.json` is created once, a seal only rises.
    fn judge_base(&mut self, key: &str, before: Option<Bytes>) {
        let Some(before) = before else { return };
        let now = self.objects.get(key).cloned();
        if key == self.layout.cluster().as_str() {
            self.broken(Invariant::Bounds, format!("{key} was changed or removed"));
        }
        let Some(partition) = key
            .strip_prefix(&format!("{}_milepost/seals/", self.layout.root()))
            .and_then(|name| name.strip_suffix(".json")?.parse::<PartitionId>().ok())
        else {
            return;
        };
        let below = |bytes: &[u8]| SealDocument::parse(bytes, partition).ok().map(|seal| seal.below);
        if now.as_deref().and_then(below) < below(&before) {
            self.broken(
                Invariant::Deleted,
                format!("{key}: a seal was lowered or removed: forgotten ids are free again"),
            );
        }
    }

    /// Contents and metadata: written once, removed under a delete only.
    fn judge_content(&mut self, key: &str, id: BackupId, status: &Standing, was_there: bool, is_there: bool) {
        if was_there && is_there {
            self.broken(Invariant::Durable, format!("{key} was overwritten with other bytes"));
        }
        if was_there && !is_there {
            let forgotten = self.sealed(id) && self.past.get(&id).is_some_and(|past| past.forgotten);
            let allowed = match status {
                Standing::Document(document) => match document.status_code {
                    StatusCode::Deleting | StatusCode::Deleted => true,
                    // What a claim of a forgotten id finds is left from before; it is given up by reading the seal.
                    StatusCode::InProgress | StatusCode::Failed => forgotten,
                    StatusCode::Completed => false,
                },
                // A request that was under way when the tombstone was forgotten: the seal keeps the id from being used.
                Standing::Absent => self.sealed(id),
                Standing::Corrupt => false,
            };
            if !allowed {
                let state = status.code().map_or("no readable status".to_owned(), |code| code.to_string());
                self.broken(Invariant::Durable, format!("{key} was removed under {state}"));
            }
        }
    }

    /// I1: is everything there that a COMPLETED names, and is it what one save offered?
    pub(super) fn judge_whole(&mut self, document: &StatusDocument) {
        if let Err(seen) = self.whole(document) {
            self.broken(Invariant::Durable, format!("{} is COMPLETED, but {seen}", document.id));
        }
    }

    pub(super) fn whole(&self, document: &StatusDocument) -> Result<(), String> {
        use milepost_core::{Crc64Nvme, DigestHasher, MetadataDocument};
        let id = document.id;
        let metadata = self.objects.get(self.layout.metadata(id).as_str()).ok_or("has no metadata")?;
        let hash = sha256_hex(metadata);
        if document.metadata_sha256.as_deref() != Some(hash.as_str()) {
            return Err(format!("its metadata has the hash {hash}, not {:?}", document.metadata_sha256));
        }
        let metadata = MetadataDocument::parse(metadata, id).map_err(|error| format!("its metadata {error}"))?;
        if Some(&metadata.descriptor) != document.descriptor.as_ref() {
            return Err("metadata and status carry different descriptors".to_owned());
        }
        let mut saved = Contents::new();
        for (kind, file) in metadata.all_files() {
            let key = self.layout.file(id, kind, &file.name);
            let bytes = self.objects.get(key.as_str()).ok_or_else(|| format!("{key} is absent"))?;
            if bytes.len() as u64 != file.size || Crc64Nvme::of(bytes) != file.crc64nvme {
                return Err(format!("{key} has other bytes than its metadata says"));
            }
            if let Some(digest) = &file.digest {
                let mut hasher = DigestHasher::new(digest.algorithm);
                hasher.update(bytes);
                if hasher.finish() != *digest {
                    return Err(format!("{key} has another digest than its metadata says"));
                }
            }
            saved.insert(format!("{kind}/{}", file.name), bytes.clone());
        }
        match self.offered.get(&id) {
            Some(offered) if offered.contains(&saved) => Ok(()),
            Some(offered) => Err(format!("holds files that none of {} saves offered together", offered.len())),
            None => Err("no save offered anything for it".to_owned()),
        }
    }
}
