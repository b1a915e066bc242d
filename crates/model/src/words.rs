//! The words of the model: bytes, documents, requests, and where an actor stands.

use std::fmt;

pub(crate) const M: usize = 3;
pub(crate) const D: usize = 4;
pub(crate) const R: usize = 6;
pub(crate) const H: usize = 8;

/// Bytes of a file: 0 = absent. 1 and 2 have the same size, 3 is longer. ETag(bytes) = bytes: equal for equal bytes.
pub(crate) type Bytes = u8;
pub(crate) type Plan = [Bytes; 2];
/// What two parts make together: the bytes of one plan, or a mixture that belongs to nobody.
pub(crate) fn joined(parts: [Bytes; 2]) -> Bytes {
    if parts[0] == parts[1] { parts[0] } else { 4 * parts[0] + parts[1] }
}
pub(crate) fn size(b: Bytes) -> u8 {
    match b {
        0 => 0,
        3 => 2,
        _ => 1,
    }
}

/// A multipart upload of f1. Each creator has one place for it; `again` tells its uploads apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct Upload {
    pub(crate) open: bool,
    pub(crate) again: u8,
    pub(crate) parts: [Bytes; 2],
}
/// Place and `again` of an upload.
pub(crate) type UploadId = u8;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(crate) enum Code {
    InProgress,
    Completed,
    Failed,
    Deleting,
    Deleted,
    /// What stands there cannot be read.
    Corrupt,
}

/// status.json; the ETag is the whole value: equal documents of two writers have equal ETags.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Doc {
    pub(crate) code: Code,
    pub(crate) att: u8,
    pub(crate) rev: u8,
    pub(crate) salt: u8, // which try of the claim (a new attemptId a try); 0 when a claim is sent again as it was
    pub(crate) meta: Option<Plan>,
    pub(crate) holds: u8, // a bit for each holder
}
impl Doc {
    /// May a resume take it over?
    pub(crate) fn is_unfinished(&self) -> bool {
        self.code == Code::InProgress || (self.code == Code::Failed && self.meta.is_none())
    }
}
impl fmt::Debug for Doc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}(att {} rev {}", self.code, name(self.att as usize), self.rev)?;
        if let Some(m) = self.meta {
            write!(f, " meta {m:?}")?;
        }
        if self.holds != 0 {
            write!(f, " holds {:02b}", self.holds)?;
        }
        write!(f, ")")
    }
}
pub(crate) fn name(i: usize) -> &'static str {
    ["A", "B", "C", "M", "D1", "D2", "R", "op", "H1", "H2"][i]
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(crate) enum End {
    Ok,
    Refused,
    Fenced,
    Failed,
    Conflict,
    Corrupt,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Pc {
    Idle, // not in this scenario
    Init,
    Cas,
    Rb,         // read back after claim / take-over / mark_failed / delete CAS
    SealBefore, // the seal, behind an absent or unfinished status
    SealAfter,  // the seal, behind the own write
    CheckTomb,
    ScanMeta,
    Scan,
    OwnCheck,
    Upload,
    Complete(u8),
    // f1 by parts
    Begun,          // uploads are listed
    Parts,          // the parts of one are
    Open,           // an upload is opened
    Part(u8),       // a part is sent
    Join,           // the upload is completed
    Look(bool),     // HEAD behind it; is the upload gone?
    GiveUp(bool),   // aborts the upload; is the file there?
    AbortOwn(bool), // behind a failure; by right of the own FAILED?
    Strays,         // behind the commit of a resume
    Progress,
    RbProgress,
    Head(u8),
    List,
    PutMeta,
    MetaRb,
    Commit,
    RbCommit,
    FailRead,
    Fail,
    RbFail,
    // deleter
    Abort,
    Abort2,
    Reread,
    Batch,
    DelMeta,
    PutTomb,
    Finish,
    RbFinish,
    Seal,
    Forget,
    // restorer
    GetMeta,
    Get(u8),
    Last,
    End(End),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Req {
    Status {
        by: u8,
        cond: Option<Doc>,
        new: Doc,
    },
    File {
        by: u8,
        i: u8,
        bytes: Bytes,
        cond: Bytes,
    },
    Meta {
        by: u8,
        plan: Plan,
    },
    CreateMp {
        by: u8,
        bytes: Bytes,
    },
    Part {
        by: u8,
        up: UploadId,
        number: u8,
        bytes: Bytes,
    },
    /// With the ETags of the parts, and the checksum of the whole.
    Complete {
        by: u8,
        up: UploadId,
        tags: [Bytes; 2],
        sum: Bytes,
    },
    Delete {
        by: u8,
        files: u8,
        meta: bool,
        status: bool,
    },
    Abort {
        by: u8,
        ups: u8,
    },
    AbortOne {
        by: u8,
        up: UploadId,
    },
    Tomb {
        by: u8,
    },
    Seal {
        by: u8,
    },
}
impl fmt::Debug for Req {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Req::Status { by, cond: None, new } => write!(f, "{}: create status {new:?}", name(by as usize)),
            Req::Status { by, cond: Some(c), new } => write!(f, "{}: CAS status {c:?} -> {new:?}", name(by as usize)),
            Req::File { by, i, bytes, cond: 0 } => write!(f, "{}: create f{i}=v{bytes}", name(by as usize)),
            Req::File { by, i, bytes, cond } => write!(f, "{}: If-Match v{cond} put f{i}=v{bytes}", name(by as usize)),
            Req::Meta { by, plan } => write!(f, "{}: create metadata {plan:?}", name(by as usize)),
            Req::CreateMp { by, bytes: 0 } => write!(f, "{}: create upload of f1", name(by as usize)),
            Req::CreateMp { by, bytes } => write!(f, "{}: create upload of f1=v{bytes}", name(by as usize)),
            Req::Part { by, up, number, bytes } => {
                write!(f, "{}: part {number} of upload {up} =v{bytes}", name(by as usize))
            }
            Req::Complete { by, up, tags, .. } => {
                write!(f, "{}: complete upload {up} of parts {tags:?}", name(by as usize))
            }
            Req::Delete { by, files, meta, status } => {
                write!(f, "{}: delete files {files:02b} meta {meta} status {status}", name(by as usize))
            }
            Req::Abort { by, ups } => write!(f, "{}: abort uploads {ups:04b}", name(by as usize)),
            Req::AbortOne { by, up } => write!(f, "{}: abort upload {up}", name(by as usize)),
            Req::Tomb { by } => write!(f, "{}: put tombstone aside", name(by as usize)),
            Req::Seal { by } => write!(f, "{}: raise the seal", name(by as usize)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Fault {
    None,
    Lost,    // applied, reply lost
    Twice,   // applied and answered; a copy of it stays in `net`
    Delayed, // not applied yet, reply lost; stays in `net`
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    Ok,
    Precond,
    Gone,
    /// The parts are not those that were named.
    Bad,
    Unknown,
}
