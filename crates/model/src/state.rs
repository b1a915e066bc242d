//! The state of the model: one backup in a bucket, its actors, and requests under way.
//!
//! One step of an actor is at most one request. A crash is an actor that is never scheduled again, so every prefix of every
//! actor is a crash point. A request is applied at once, or applied with its reply lost, or delayed (a zombie in `net`).

use crate::rules::Rules;
use crate::words::*;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Actor {
    pub(crate) pc: Pc,
    pub(crate) resume: bool,
    pub(crate) plan: Plan,
    pub(crate) conf: Plan,           // saver: bytes confirmed in the bucket; restorer: bytes staged
    pub(crate) seen: Plan,           // saver: ETags of differing objects (overwrite rule)
    pub(crate) doc: Option<Doc>,     // the status document this actor holds as its ETag
    pub(crate) want: Option<Doc>,    // the document it tried to write
    pub(crate) first: Option<Doc>,   // mark_failed, delete: what it saw first
    pub(crate) up: Option<UploadId>, // saver: the upload of f1 that it sends to
    pub(crate) tags: [Bytes; 2],     // saver: ETags of its parts
    pub(crate) hash: Option<Plan>,   // saver: metadata to commit; restorer: metadata hash read
    pub(crate) batch: u8,
    pub(crate) restarts: u8,
    pub(crate) page: u8,      // delete: how far the listing was read
    pub(crate) dirty: bool,   // delete: this listing showed something besides the status
    pub(crate) forgets: bool, // delete: the tombstone stands, and is about to be removed
    pub(crate) quiet: bool,   // delete: when it began every saver was dead; in flight at most Completes
}
impl Actor {
    pub(crate) fn idle() -> Actor {
        Actor {
            pc: Pc::Idle,
            resume: false,
            plan: [0; 2],
            conf: [0; 2],
            seen: [0; 2],
            doc: None,
            want: None,
            first: None,
            up: None,
            tags: [0; 2],
            hash: None,
            batch: 0,
            restarts: 0,
            page: 0,
            dirty: false,
            forgets: false,
            quiet: false,
        }
    }
    pub(crate) fn ended(&self) -> bool {
        matches!(self.pc, Pc::End(_) | Pc::Idle)
    }
    pub(crate) fn kill(&mut self) {
        self.end(End::Failed);
    }
    pub(crate) fn end(&mut self, e: End) {
        let keep_restarts = self.restarts;
        let (plan, resume) = (self.plan, self.resume);
        *self = Actor::idle();
        self.restarts = keep_restarts;
        self.plan = plan;
        self.resume = resume;
        self.pc = Pc::End(e);
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct Ghost {
    pub(crate) committed: u8,       // attempts whose COMPLETED landed
    pub(crate) status_lost: bool,   // status removed although not under deletion
    pub(crate) foreign_write: bool, // a saver changed a document of another attempt (not by take-over)
    pub(crate) false_success: bool, // a saver reported success though its COMPLETED never landed
    pub(crate) mf_killed: bool,     // mark_failed begun on IN_PROGRESS failed a COMPLETED one
    pub(crate) del_killed: bool,    // delete begun on one version took another, COMPLETED one
    pub(crate) restore_bad: bool,   // a restore succeeded with bytes of no single committed attempt
    pub(crate) delete_left: bool,   // delete ok, no live saver, no request in flight, and something is left
    pub(crate) deleted_ok: bool,    // coverage: a delete reported success
    pub(crate) resaved: bool,       // coverage: a claim landed after a delete reported success
    pub(crate) restored: bool,      // coverage
    pub(crate) gave_up: bool,       // a saver took itself for fenced while its own IN_PROGRESS stood there
    pub(crate) told_holds: u8,      // holds that somebody was told of
    pub(crate) robbed: bool,        // a fenced saver aborted the upload that the owner sends to
    pub(crate) joined: bool,        // coverage: an owner completed an upload that another had begun
    pub(crate) sweep_hit: bool,     // a delete request removed a content under IN_PROGRESS or COMPLETED
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct State {
    pub(crate) status: Option<Doc>,
    pub(crate) files: Plan,
    pub(crate) meta: Option<Plan>,
    pub(crate) uploads: [Upload; 4], // multipart uploads of f1 by creator (savers, op)
    pub(crate) tomb: bool,
    pub(crate) sealed: bool,
    pub(crate) net: Vec<Req>,
    pub(crate) act: [Actor; 10], // A B C M D1 D2 R op H1 H2
    pub(crate) faults: u8,
    pub(crate) cancels: u8,
    pub(crate) kills: u8,
    pub(crate) spoils: u8,          // a stranger's writes to the status
    pub(crate) spoilt: Option<Doc>, // what stood before the first of them
    pub(crate) g: Ghost,
}

pub(crate) fn upslot(i: usize) -> usize {
    if i == 7 { 3 } else { i }
}

pub(crate) struct Env<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) multipart: bool,
}

impl State {
    fn apply(&mut self, q: Req, rules: &Rules, acts_first: Option<Option<Doc>>) -> Reply {
        match q {
            Req::Status { by, cond, new } => {
                let held = self.status;
                let ok = match cond {
                    None => held.is_none(),
                    Some(c) => held == Some(c) || (held.is_none() && rules.if_match_absent_ok),
                };
                if !ok {
                    return Reply::Precond;
                }
                if let Some(h) = held {
                    let saver = by < 3 || by == 7;
                    if saver && new.code != Code::InProgress && h.att != by {
                        self.g.foreign_write = true;
                    }
                    if h.code == Code::Completed {
                        if by == M as u8
                            && new.code == Code::Failed
                            && acts_first.is_some_and(|f| f.is_none_or(|d| d.code != Code::Completed))
                        {
                            self.g.mf_killed = true;
                        }
                        if (by == 4 || by == 5)
                            && new.code == Code::Deleting
                            && acts_first.is_some_and(|f| f.is_none_or(|d| (d.code, d.att) != (h.code, h.att)))
                        {
                            self.g.del_killed = true;
                        }
                    }
                }
                if new.code == Code::Completed {
                    self.g.committed |= 1 << new.att;
                }
                if new.code == Code::InProgress && self.g.deleted_ok {
                    self.g.resaved = true;
                }
                self.status = Some(new);
                Reply::Ok
            }
            Req::File { i, bytes, cond, .. } => {
                let i = i as usize;
                if self.files[i] != cond {
                    return Reply::Precond;
                }
                self.files[i] = bytes;
                Reply::Ok
            }
            Req::Meta { plan, .. } => {
                if self.meta.is_some() {
                    return Reply::Precond;
                }
                self.meta = Some(plan);
                Reply::Ok
            }
            Req::CreateMp { by, bytes } => {
                let upload = &mut self.uploads[upslot(by as usize)];
                let again = upload.again + u8::from(rules.parts);
                *upload = Upload { open: true, again, parts: [bytes; 2] };
                Reply::Ok
            }
            Req::Part { up, number, bytes, .. } => match self.upload(up) {
                None => Reply::Gone,
                Some(upload) => {
                    upload.parts[number as usize] = bytes;
                    Reply::Ok
                }
            },
            Req::Complete { up, tags, sum, .. } => {
                let Some(upload) = self.upload(up) else { return Reply::Gone };
                let parts = upload.parts;
                if parts.contains(&0) || (rules.part_tags && parts != tags) || (rules.part_sum && joined(parts) != sum)
                {
                    return Reply::Bad;
                }
                if self.files[1] != 0 && !rules.complete_overwrites {
                    return Reply::Precond;
                }
                self.files[1] = joined(parts);
                self.close(up as usize % 4);
                Reply::Ok
            }
            Req::Abort { ups, .. } => {
                for u in 0..4 {
                    if ups & (1 << u) != 0 {
                        self.close(u);
                    }
                }
                Reply::Ok
            }
            Req::AbortOne { up, .. } => {
                if self.upload(up).is_some() {
                    self.close(up as usize % 4);
                }
                Reply::Ok
            }
            Req::Delete { files, meta, status, .. } => {
                let live = self.status.is_some_and(|d| matches!(d.code, Code::InProgress | Code::Completed));
                for i in 0..2 {
                    if files & (1 << i) != 0 && self.files[i] != 0 {
                        self.files[i] = 0;
                        self.g.sweep_hit |= live;
                    }
                }
                if meta && self.meta.is_some() {
                    self.meta = None;
                    self.g.sweep_hit |= live;
                }
                if status {
                    // A claim at a sealed id gives itself up; what it wrote goes with the removal that was under way.
                    let given_up = |d: Doc| self.sealed && d.code != Code::Completed;
                    if self.status.is_some_and(|d| !matches!(d.code, Code::Deleting | Code::Deleted) && !given_up(d)) {
                        self.g.status_lost = true;
                    }
                    self.status = None;
                }
                Reply::Ok
            }
            Req::Tomb { .. } => {
                self.tomb = true;
                Reply::Ok
            }
            Req::Seal { .. } => {
                self.sealed = true;
                Reply::Ok
            }
        }
    }

    pub(crate) fn upload_id(&self, place: usize) -> UploadId {
        place as u8 + 4 * self.uploads[place].again
    }

    /// The upload, if it is open.
    pub(crate) fn upload(&mut self, id: UploadId) -> Option<&mut Upload> {
        let upload = &mut self.uploads[id as usize % 4];
        (upload.open && upload.again == id / 4).then_some(upload)
    }

    pub(crate) fn close(&mut self, place: usize) {
        let upload = &mut self.uploads[place];
        (upload.open, upload.parts) = (false, [0; 2]);
    }

    pub(crate) fn uploading(&self) -> bool {
        self.uploads.iter().any(|upload| upload.open)
    }

    pub(crate) fn send(&mut self, q: Req, fault: Fault, rules: &Rules, first: Option<Option<Doc>>) -> Reply {
        match fault {
            Fault::None => self.apply(q, rules, first),
            Fault::Lost => {
                self.faults -= 1;
                self.apply(q, rules, first);
                Reply::Unknown
            }
            Fault::Twice => {
                self.faults -= 1;
                self.net.push(q);
                self.net.sort();
                self.apply(q, rules, first)
            }
            Fault::Delayed => {
                self.faults -= 1;
                self.net.push(q);
                self.net.sort();
                Reply::Unknown
            }
        }
    }

    pub(crate) fn deliver(&mut self, k: usize, rules: &Rules) {
        let q = self.net.remove(k);
        self.apply(q, rules, None);
    }

    /// Does this actor's next step send a request that changes the bucket (and so can meet a fault)?
    pub(crate) fn mutates(&self, w: usize) -> bool {
        matches!(
            self.act[w].pc,
            Pc::Cas
                | Pc::Upload
                | Pc::Complete(_)
                | Pc::Open
                | Pc::Part(_)
                | Pc::Join
                | Pc::GiveUp(_)
                | Pc::AbortOwn(_)
                | Pc::Strays
                | Pc::Progress
                | Pc::PutMeta
                | Pc::Commit
                | Pc::Fail
                | Pc::Abort
                | Pc::Abort2
                | Pc::Batch
                | Pc::DelMeta
                | Pc::PutTomb
                | Pc::Finish
                | Pc::Seal
                | Pc::Forget
        )
    }

    /// Number of choices of the next step (which file to upload).
    pub(crate) fn choices(&self, w: usize) -> Vec<u8> {
        let a = &self.act[w];
        match a.pc {
            Pc::Idle | Pc::End(_) => vec![],
            Pc::Upload => (0..2u8).filter(|&i| a.plan[i as usize] != 0 && a.conf[i as usize] == 0).collect(),
            // One of the open uploads; or none, because the store does not show it.
            Pc::Begun => (0..4).filter(|u| self.uploads[*u as usize].open).chain([4]).collect(),
            _ => vec![0],
        }
    }

    pub(crate) fn after_conf(a: &mut Actor) {
        let done = (0..2).all(|i| a.plan[i] == 0 || a.conf[i] != 0);
        a.pc = if done { Pc::List } else { Pc::Upload };
    }

    pub(crate) fn step(&mut self, w: usize, sel: u8, fault: Fault, env: &Env) {
        match w {
            0..=2 | 7 => self.saver(w, sel, fault, env),
            3 => self.marker(w, fault, env),
            4 | 5 => self.deleter(w, sel, fault, env),
            8 | 9 => self.holder(w, fault, env),
            _ => self.restorer(env),
        }
        // nothing that an ended actor remembers matters
    }

    /// IN_PROGRESS of this very attempt (the id of the claim that it holds, not that of an earlier try), at a later revision.
    pub(crate) fn still_owner(&self, me: u8, held: Option<Doc>) -> bool {
        match (self.status, held) {
            (Some(d), Some(h)) => d.code == Code::InProgress && (d.att, d.salt) == (me, h.salt) && d.rev > h.rev,
            _ => false,
        }
    }

    pub(crate) fn own(&self, read: Option<Doc>, want: Option<Doc>, rules: &Rules) -> bool {
        match (read, want) {
            (Some(r), Some(x)) if rules.readback_code => (r.code, r.att, r.rev) == (x.code, x.att, x.rev),
            (Some(r), Some(x)) => (r.att, r.rev) == (x.att, x.rev),
            _ => false,
        }
    }

    /// Does this very commit stand, below annotations?
    pub(crate) fn noted(&self, commit: Option<Doc>) -> bool {
        let same = |d: Doc, x: Doc| (d.code, d.att, d.salt, d.meta) == (x.code, x.att, x.salt, x.meta) && d.rev > x.rev;
        self.status.zip(commit).is_some_and(|(d, x)| x.code == Code::Completed && same(d, x))
    }

    /// Runs one actor alone and without faults to its end. None: it never ends (stuck).
    pub(crate) fn run_alone(&mut self, w: usize, env: &Env) -> Option<End> {
        for _ in 0..80 {
            match self.act[w].pc {
                Pc::End(e) => return Some(e),
                _ => {
                    let c = self.choices(w)[0];
                    self.step(w, c, Fault::None, env);
                }
            }
        }
        None
    }

    pub(crate) fn fresh(&mut self, w: usize, plan: Plan, resume: bool) {
        let mut a = Actor::idle();
        a.pc = Pc::Init;
        a.plan = plan;
        a.resume = resume;
        self.act[w] = a;
    }

    pub(crate) fn whole(&self) -> bool {
        match self.status {
            Some(Doc { code: Code::Completed, meta, .. }) => {
                self.meta.is_some() && self.meta == meta && {
                    let m = self.meta.unwrap();
                    (0..2).all(|i| m[i] == 0 || self.files[i] == m[i])
                }
            }
            _ => true,
        }
    }
}
