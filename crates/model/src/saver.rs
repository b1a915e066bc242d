//! A saver: save and resume, signs of life, the error path.

use crate::rules::{Finish, Trust};
use crate::state::{Env, State, upslot};
use crate::words::*;

impl State {
    pub(crate) fn saver(&mut self, w: usize, sel: u8, fault: Fault, env: &Env) {
        let r = env.rules;
        let mut a = self.act[w];
        let me = w as u8;
        match a.pc {
            Pc::Init => match self.status {
                None => {
                    a.doc = None;
                    a.want = Some(Doc { code: Code::InProgress, att: me, rev: 1, salt: 0, meta: None, holds: 0 });
                    a.pc = if r.seal { Pc::SealBefore } else { Pc::Cas };
                }
                // A FAILED that was COMPLETED keeps its metadata's hash, and is never resumed.
                Some(d) if a.resume && d.is_unfinished() => {
                    a.doc = Some(d);
                    a.want =
                        Some(Doc { code: Code::InProgress, att: me, rev: d.rev + 1, salt: 0, meta: None, holds: 0 });
                    a.pc = if r.seal { Pc::SealBefore } else { Pc::Cas };
                }
                _ => a.end(End::Refused),
            },
            // Behind the look at the status: a tombstone is removed only when its seal stands.
            Pc::SealBefore if self.sealed => a.end(End::Refused),
            Pc::SealBefore => a.pc = Pc::Cas,
            Pc::SealAfter => a.pc = if self.sealed { Pc::Fail } else { Pc::ScanMeta },
            Pc::Cas => {
                let q = Req::Status { by: me, cond: a.doc, new: a.want.unwrap() };
                match self.send(q, fault, r, None) {
                    Reply::Ok => {
                        a.doc = a.want.take();
                        a.pc = if r.seal { Pc::SealAfter } else { Pc::CheckTomb };
                    }
                    _ => a.pc = Pc::Rb,
                }
            }
            Pc::Rb => {
                if self.own(self.status, a.want, r) {
                    a.doc = self.status;
                    a.want = None;
                    a.pc = if r.seal { Pc::SealAfter } else { Pc::CheckTomb };
                } else if self.status == a.doc {
                    if let (None, true, Some(x)) = (a.doc, r.fresh_claim, &mut a.want) {
                        x.salt += 1;
                    }
                    a.pc = Pc::Cas;
                } else {
                    a.end(End::Fenced);
                }
            }
            Pc::CheckTomb => {
                if r.finish == Finish::TombAside && self.tomb {
                    a.pc = if r.fail_own_only { Pc::Fail } else { Pc::FailRead };
                } else {
                    a.pc = Pc::ScanMeta;
                }
                if r.finish != Finish::TombAside {
                    self.act[w] = a;
                    return self.saver(w, sel, fault, env); // no request: straight into the scan
                }
            }
            // metadata.json first: once it is there, every object that it names is there, and it is the plan
            Pc::ScanMeta => {
                if r.meta_412 == Trust::Adopt
                    && let Some(m) = self.meta
                {
                    a.hash = Some(m);
                    a.plan = m;
                }
                a.pc = Pc::Scan;
            }
            // list, HEAD what is there
            Pc::Scan => {
                let mut differs = false;
                for i in 0..2 {
                    if a.plan[i] != 0 && self.files[i] != 0 {
                        if self.files[i] == a.plan[i] {
                            a.conf[i] = a.plan[i];
                        } else {
                            differs = true;
                            if r.overwrite {
                                a.seen[i] = self.files[i];
                            }
                        }
                    }
                }
                let missing = a.hash.is_some() && (0..2).any(|i| a.plan[i] != 0 && self.files[i] == 0);
                if (differs && r.scan_refuse && !r.overwrite) || missing {
                    a.pc = if r.fail_own_only { Pc::Fail } else { Pc::FailRead };
                } else {
                    Self::after_conf(&mut a);
                    if differs && r.overwrite_checked {
                        a.pc = Pc::OwnCheck;
                    }
                }
            }
            Pc::OwnCheck => {
                if self.status == a.doc {
                    a.pc = Pc::Upload;
                } else {
                    a.end(End::Fenced);
                }
            }
            Pc::Upload => {
                let i = sel as usize;
                if r.parts && i == 1 {
                    // A take-over looks for what was begun; a claim has nothing to look for.
                    a.pc = if a.took_over() { Pc::Begun } else { Pc::Open };
                    self.act[w] = a;
                    if a.pc == Pc::Open {
                        self.by_parts(w, sel, fault, env);
                    }
                    return;
                }
                if env.multipart && i == 1 && a.seen[1] == 0 {
                    // continue an upload that holds the same bytes, or open one
                    let have = (0..4).find(|&u| self.uploads[u].open && self.uploads[u].parts == [a.plan[1]; 2]);
                    if let Some(u) = have {
                        a.pc = Pc::Complete(u as u8);
                    } else {
                        match self.send(Req::CreateMp { by: me, bytes: a.plan[1] }, fault, r, None) {
                            Reply::Ok => a.pc = Pc::Complete(upslot(w) as u8),
                            _ => a.pc = Pc::Upload,
                        }
                        self.act[w] = a;
                        return;
                    }
                    self.act[w] = a;
                    return self.saver(w, sel, fault, env);
                }
                let q = Req::File { by: me, i: sel, bytes: a.plan[i], cond: if r.overwrite { a.seen[i] } else { 0 } };
                match self.send(q, fault, r, None) {
                    Reply::Ok => {
                        a.conf[i] = a.plan[i];
                        Self::after_conf(&mut a);
                        if r.progress && a.pc == Pc::Upload {
                            a.pc = Pc::Progress;
                        }
                    }
                    Reply::Unknown => a.pc = if r.content_head { Pc::Head(sel) } else { Pc::Upload },
                    _ if r.content_head => a.pc = Pc::Head(sel),
                    _ => {
                        a.conf[i] = a.plan[i];
                        Self::after_conf(&mut a);
                    }
                }
            }
            Pc::Progress => {
                let d = a.doc.unwrap();
                let new = Doc { rev: d.rev + 1, ..d };
                match self.send(Req::Status { by: me, cond: a.doc, new }, fault, r, None) {
                    Reply::Ok => {
                        a.doc = Some(new);
                        a.pc = Pc::Upload;
                    }
                    _ => a.pc = Pc::RbProgress,
                }
            }
            Pc::RbProgress => match self.status {
                Some(d) if d.code == Code::InProgress && d.att == me => {
                    a.doc = Some(d);
                    a.pc = Pc::Upload;
                }
                _ => a.end(End::Fenced),
            },
            Pc::Complete(up) => {
                match self.send(Req::Complete { by: me, up, tags: [a.plan[1]; 2], sum: a.plan[1] }, fault, r, None) {
                    Reply::Ok => {
                        a.conf[1] = a.plan[1];
                        Self::after_conf(&mut a);
                    }
                    Reply::Precond if !r.content_head => {
                        a.conf[1] = a.plan[1];
                        Self::after_conf(&mut a);
                    }
                    Reply::Unknown if !r.content_head => a.pc = Pc::Upload,
                    Reply::Gone if !r.content_head => a.pc = Pc::Upload,
                    _ => a.pc = Pc::Head(1),
                }
            }
            Pc::Head(i) => {
                let j = i as usize;
                if self.files[j] == 0 {
                    a.seen[j] = 0;
                    a.pc = Pc::Upload;
                } else if self.files[j] == a.plan[j] {
                    a.conf[j] = a.plan[j];
                    Self::after_conf(&mut a);
                } else if r.overwrite {
                    a.seen[j] = self.files[j];
                    a.pc = if r.overwrite_checked { Pc::OwnCheck } else { Pc::Upload };
                } else {
                    a.pc = if r.fail_own_only { Pc::Fail } else { Pc::FailRead };
                }
            }
            Pc::List => {
                let good = (0..2).all(|i| {
                    a.plan[i] == 0
                        || if r.list_etags {
                            self.files[i] == a.conf[i]
                        } else {
                            size(self.files[i]) == size(a.plan[i])
                        }
                });
                if !good {
                    a.pc = if r.fail_own_only { Pc::Fail } else { Pc::FailRead };
                } else {
                    a.conf = [0; 2];
                    a.seen = [0; 2];
                    a.pc = if a.hash.is_some() { Pc::Commit } else { Pc::PutMeta };
                }
            }
            Pc::PutMeta => match self.send(Req::Meta { by: me, plan: a.plan }, fault, r, None) {
                Reply::Ok => {
                    a.hash = Some(a.plan);
                    a.pc = Pc::Commit;
                }
                Reply::Unknown if r.meta_412 != Trust::Adopt => a.pc = Pc::PutMeta,
                _ => match r.meta_412 {
                    Trust::Adopt => a.pc = Pc::MetaRb,
                    Trust::Blindly => {
                        a.hash = Some(a.plan);
                        a.pc = Pc::Commit;
                    }
                    Trust::Refuse => a.pc = if r.fail_own_only { Pc::Fail } else { Pc::FailRead },
                },
            },
            Pc::MetaRb => match self.meta {
                None => a.pc = Pc::PutMeta,
                Some(m) => {
                    // it is the plan now; every object that it names must be there with its checksum: compared by List
                    a.hash = Some(m);
                    a.plan = m;
                    a.conf = m;
                    a.pc = Pc::List;
                }
            },
            Pc::Commit => {
                let d = a.doc.unwrap();
                let new = Doc { code: Code::Completed, att: me, rev: d.rev + 1, salt: d.salt, meta: a.hash, holds: 0 };
                a.want = Some(new);
                match self.send(Req::Status { by: me, cond: a.doc, new }, fault, r, None) {
                    Reply::Ok => a.committed(r),
                    _ => a.pc = Pc::RbCommit,
                }
            }
            Pc::RbCommit => {
                let noted = r.noted_commit && self.noted(a.want);
                if self.own(self.status, a.want, r) || noted {
                    if self.g.committed & (1 << me) == 0 {
                        self.g.false_success = true;
                    }
                    a.committed(r);
                } else if self.status == a.doc {
                    a.pc = Pc::Commit;
                } else if r.own_retry && self.still_owner(me, a.doc) {
                    a.doc = self.status;
                    a.pc = Pc::Commit;
                } else if r.fail_own_only {
                    let me_in_progress = self.status.is_some_and(|d| d.code == Code::InProgress && d.att == me);
                    self.g.gave_up |= me_in_progress || self.noted(a.want);
                    a.fenced(End::Fenced, r);
                } else {
                    a.pc = Pc::FailRead;
                }
            }
            // naive error path: mark_failed by the table, whatever is there
            Pc::FailRead => match self.status {
                Some(d) if matches!(d.code, Code::InProgress | Code::Completed) => {
                    a.doc = Some(d);
                    a.pc = Pc::Fail;
                }
                _ => a.end(End::Failed),
            },
            Pc::Fail => {
                let d = a.doc.unwrap();
                let new =
                    Doc { code: Code::Failed, att: d.att, rev: d.rev + 1, salt: d.salt, meta: d.meta, holds: d.holds };
                a.want = Some(new);
                if !r.parts {
                    self.close(upslot(w)); // aborts only the uploads that it opened itself
                }
                match self.send(Req::Status { by: me, cond: a.doc, new }, fault, r, None) {
                    Reply::Ok => a.failed(),
                    _ => a.pc = Pc::RbFail,
                }
            }
            Pc::RbFail => {
                if self.status == a.doc {
                    a.pc = Pc::Fail;
                } else if r.own_retry && self.still_owner(me, a.doc) {
                    a.doc = self.status;
                    a.pc = Pc::Fail;
                } else if r.parts && self.own(self.status, a.want, r) {
                    a.failed();
                } else {
                    a.fenced(End::Failed, r);
                }
            }
            _ => return self.by_parts(w, sel, fault, env),
        }
        self.act[w] = a;
    }
}
