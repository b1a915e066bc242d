//! What reads input that anyone may have edited: the documents, ids, names and keys of `milepost-core`.
//!
//! Every target holds that nothing panics; that an answer is short and fit to be shown; that what was read is written and read
//! back as the same, byte by byte from then on; and that no name or key leads out of where it belongs.

use std::fmt::Debug;
use std::path::{Component, Path};

use milepost_core::document::{MAX_FILES, MAX_METADATA_BYTES, MAX_SMALL_DOCUMENT_BYTES};
use milepost_core::lifecycle::{Claim, Lifecycle};
use milepost_core::name::check_set;
use milepost_core::{
    AttemptId, BackupId, CheckpointId, ClusterDocument, ClusterId, Counts, Crc64Nvme, Digest, DocumentError, FileName,
    HoldId, Layout, MetadataDocument, NodeId, ObjectKey, Owner, PartitionId, ProbeDocument, SealDocument,
    StatusDocument, Timestamp,
};

use super::{Verdict, fit_to_show, kind_of};

/// The longest message about a document, an id or a name, in bytes.
const MAX_MESSAGE: usize = 1_000;
const ID: BackupId = BackupId::new(1, 100, 2);

fn refused(error: &impl ToString) -> Verdict {
    let text = error.to_string();
    fit_to_show(&text, MAX_MESSAGE)?;
    Ok(kind_of(&text))
}

/// Reads, writes, and reads back.
fn document<T: PartialEq + Debug>(
    bytes: &[u8],
    limit: u64,
    parse: impl Fn(&[u8]) -> Result<T, DocumentError>,
    encode: impl Fn(&T) -> Result<Vec<u8>, DocumentError>,
    check: impl Fn(&T) -> Result<(), String>,
) -> Verdict {
    let read = match parse(bytes) {
        Ok(read) => read,
        Err(error) => return refused(&error),
    };
    if bytes.len() as u64 > limit {
        return Err(format!("{} bytes were read, more than {limit}", bytes.len()));
    }
    check(&read)?;
    let written = match encode(&read) {
        Ok(written) => written,
        // White space that a writer adds can take metadata of the very last size above its cap; nothing else may.
        Err(DocumentError::TooLarge { .. }) if limit == MAX_METADATA_BYTES && bytes.len() as u64 > limit / 4 => {
            return Ok("too large to be written".to_owned());
        }
        Err(error) => return Err(format!("was read, but cannot be written: {error}")),
    };
    let again = parse(&written).map_err(|error| format!("was written, but cannot be read: {error}"))?;
    if again != read {
        return Err(format!("reads back as another document: {again:?}"));
    }
    if encode(&again).as_ref() != Ok(&written) {
        return Err("is written in two ways".to_owned());
    }
    Ok("a document".to_owned())
}

/// `status.json`, and everything that the life cycle makes of it: what was read can be given up and deleted, whatever it says.
///
/// # Errors
/// What must not be.
pub fn status(bytes: &[u8]) -> Verdict {
    let kind = document(
        bytes,
        MAX_SMALL_DOCUMENT_BYTES,
        |bytes| StatusDocument::parse(bytes, ID),
        StatusDocument::encode,
        |read| follow(read.clone().into(), true),
    )?;
    match StatusDocument::parse(bytes, ID) {
        Ok(read) => Ok(format!("{kind}: {}, {} holds", read.status_code, read.holds.len())),
        Err(_) => Ok(kind),
    }
}

/// Every way that leads from a status to its end can be written. `resumes`: with one resume on the way.
fn follow(state: Lifecycle, resumes: bool) -> Result<(), String> {
    let now = state.document().last_modified;
    let next = |document: StatusDocument, resumes: bool| {
        let written =
            document.encode().map_err(|error| format!("{} cannot be written: {error}", document.status_code))?;
        let read = StatusDocument::parse(&written, document.id).map_err(|error| error.to_string())?;
        follow(read.into(), resumes)
    };
    let reason = "\u{1}".repeat(4096);
    match state {
        Lifecycle::InProgress(state) => next(state.fail(&reason, now).into_document(), resumes),
        Lifecycle::Completed(state) => {
            let failed = state.clone().fail(&reason, now);
            match (failed, state.delete(now)) {
                (Ok(failed), Ok(deleting)) => {
                    next(failed.into_document(), resumes)?;
                    next(deleting.into_document(), resumes)
                }
                // Held: both are refused, and a release comes first.
                (Err(_), Err(_)) => Ok(()),
                (failed, deleting) => Err(format!("failed is {failed:?}, deleted {deleting:?}")),
            }
        }
        Lifecycle::Failed(state) => {
            if let Ok(resumed) = state.clone().take_over(claim(state.document()), now)
                && resumes
                // At the very last revision nothing begins any more.
                && resumed.document().encode().is_ok()
            {
                next(resumed.into_document(), false)?;
            }
            next(state.delete(now).into_document(), resumes)
        }
        Lifecycle::Deleting(state) => next(state.finish(now).into_document(), resumes),
        Lifecycle::Deleted(_) => Ok(()),
    }
}

fn claim(of: &StatusDocument) -> Claim {
    let owner = Owner { host: "h".repeat(255), pid: u32::MAX, started_at: Timestamp::MAX };
    let (descriptor, planned) = (of.descriptor.clone().unwrap_or_default(), Counts::default());
    Claim { attempt: AttemptId::from_random([7; 16]), owner, descriptor, planned, copied_from: of.copied_from.clone() }
}

/// `metadata.json`, with the keys and paths of its files.
///
/// # Errors
/// What must not be.
pub fn metadata(bytes: &[u8]) -> Verdict {
    let check = |read: &MetadataDocument| {
        let count = read.all_files().count();
        if count > MAX_FILES || count as u64 != read.total_files {
            return Err(format!("{count} files, {} in all", read.total_files));
        }
        for (kind, file) in read.all_files() {
            inside(&format!("{kind}/{}", file.name))?;
            let key = Layout::default().file(ID, kind, &file.name);
            if !key.as_str().starts_with("1/100/2/") || ObjectKey::new(key.as_str()) != Ok(key.clone()) {
                return Err(format!("the key {key}"));
            }
        }
        Ok(())
    };
    let parse = |bytes: &[u8]| MetadataDocument::parse(bytes, ID);
    document(bytes, MAX_METADATA_BYTES, parse, MetadataDocument::encode, check)
}

/// `cluster.json`.
///
/// # Errors
/// What must not be.
pub fn cluster(bytes: &[u8]) -> Verdict {
    let (parse, encode) = (ClusterDocument::parse, ClusterDocument::encode);
    document(bytes, MAX_SMALL_DOCUMENT_BYTES, parse, encode, |read| fit_to_show(&read.name, 128))
}

/// A seal, which can be raised once more.
///
/// # Errors
/// What must not be.
pub fn seal(bytes: &[u8]) -> Verdict {
    let parse = |bytes: &[u8]| SealDocument::parse(bytes, PartitionId(1));
    let check = |read: &SealDocument| {
        let raised = read.raised(CheckpointId(read.below.0.saturating_add(1)));
        let higher = raised.covers(read.below) && raised.encode().is_ok();
        if higher { Ok(()) } else { Err(format!("cannot be raised: {raised:?}")) }
    };
    document(bytes, MAX_SMALL_DOCUMENT_BYTES, parse, SealDocument::encode, check)
}

/// What a probe found.
///
/// # Errors
/// What must not be.
pub fn probe(bytes: &[u8]) -> Verdict {
    let (parse, encode) = (ProbeDocument::parse, ProbeDocument::encode);
    document(bytes, MAX_SMALL_DOCUMENT_BYTES, parse, encode, |_| Ok(()))
}

/// One line: a key below a base, and every sort of id.
///
/// # Errors
/// What must not be.
pub fn keys(bytes: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok("no UTF-8".to_owned()) };
    let mut kinds = Vec::new();
    macro_rules! reads_back {
        ($($id:ty),+) => {$(
            match text.parse::<$id>() {
                Ok(id) if id.to_string() != text => return Err(format!("{text:?} is read as {id:?}")),
                Ok(_) => kinds.push(stringify!($id).to_owned()),
                Err(error) => drop(refused(&error)?),
            }
        )+};
    }
    reads_back!(BackupId, PartitionId, NodeId, CheckpointId, ClusterId, AttemptId, HoldId, Crc64Nvme, Digest);
    match ObjectKey::new(text) {
        Ok(key) => inside(key.as_str())?,
        Err(error) => kinds.push(refused(&error)?),
    }
    let (base, key) = text.split_once("//").unwrap_or(("", text));
    match Layout::new(base) {
        Err(error) => kinds.push(refused(&error)?),
        Ok(layout) => {
            inside(&format!("{}x", layout.root()))?;
            if let Some((id, object)) = layout.parse(key) {
                let spelled = layout.object(id, &object);
                if spelled.as_str() != key || !key.starts_with(&layout.backup_prefix(id)) {
                    return Err(format!("{key:?} is taken for {spelled} of {id}"));
                }
                kinds.push(format!("{:?}", std::mem::discriminant(&object)));
            }
        }
    }
    Ok(kinds.join(", "))
}

/// File names, one to a line, each by itself and all as one set.
///
/// # Errors
/// What must not be.
pub fn names(bytes: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok("no UTF-8".to_owned()) };
    let mut kinds = Vec::new();
    let mut names = Vec::new();
    for line in text.split('\n').take(200) {
        match FileName::new(line) {
            Ok(name) => {
                if name.as_str() != line {
                    return Err(format!("{line:?} is taken for {name:?}"));
                }
                inside(line)?;
                names.push(name);
            }
            Err(error) => kinds.push(refused(&error)?),
        }
    }
    match check_set(&names) {
        Err(error) => kinds.push(refused(&error)?),
        Ok(()) => {
            // Far less than what is promised, and told without the tables of Unicode.
            let lower: Vec<String> = names.iter().map(|name| name.as_str().to_ascii_lowercase()).collect();
            for (at, one) in lower.iter().enumerate() {
                for (other_at, other) in lower.iter().enumerate() {
                    let clash = other.strip_prefix(one).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
                    if clash && at != other_at {
                        return Err(format!("{:?} and {:?} pass as one set", names[at], names[other_at]));
                    }
                }
            }
        }
    }
    kinds.dedup();
    Ok(kinds.join(", "))
}

/// Does a path that passed the checks stay below the folder that it is joined to?
fn inside(path: &str) -> Result<(), String> {
    let root = Path::new("base/of/it");
    let joined = root.join(path);
    let below = joined.strip_prefix(root).is_ok_and(|below| {
        below.components().all(|component| matches!(component, Component::Normal(_)))
            && below.components().count() == path.split('/').count()
    });
    let plain = !path.contains('\0') && !path.contains('\\');
    if below && plain { Ok(()) } else { Err(format!("{path:?} leaves its root as {}", joined.display())) }
}
