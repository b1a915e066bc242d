//! mark_failed, delete and annotate.

use crate::rules::Finish;
use crate::state::{Actor, Env, State};
use crate::words::*;

impl State {
    pub(crate) fn marker(&mut self, w: usize, fault: Fault, env: &Env) {
        let r = env.rules;
        let mut a = self.act[w];
        let me = w as u8;
        match a.pc {
            Pc::Init | Pc::Rb => {
                let again = a.pc == Pc::Rb;
                if !again {
                    a.first = self.status;
                }
                if again && self.own(self.status, a.want, r) {
                    a.end(End::Ok);
                } else if again && r.guard && self.status != a.doc {
                    a.end(End::Conflict);
                } else {
                    match self.status {
                        None => {
                            a.doc = None;
                            a.want = Some(Doc { code: Code::Failed, att: me, rev: 1, salt: 0, meta: None, holds: 0 });
                            a.pc = if r.seal && !again { Pc::SealBefore } else { Pc::Cas };
                        }
                        Some(d) if d.holds != 0 && r.hold_binds => a.end(End::Refused),
                        Some(d) if matches!(d.code, Code::InProgress | Code::Completed) => {
                            a.doc = Some(d);
                            a.want = Some(Doc {
                                code: Code::Failed,
                                att: d.att,
                                rev: d.rev + 1,
                                salt: d.salt,
                                meta: d.meta,
                                holds: d.holds,
                            });
                            a.pc = Pc::Cas;
                        }
                        Some(d) if d.code == Code::Failed => a.end(End::Ok),
                        _ => a.end(End::Refused),
                    }
                }
            }
            Pc::Cas => {
                let q = Req::Status { by: me, cond: a.doc, new: a.want.unwrap() };
                match self.send(q, fault, r, Some(a.first)) {
                    // A record where nothing was may be one that a removal under way still hits: then nobody is told of it.
                    Reply::Ok if r.seal && a.doc.is_none() => a.pc = Pc::SealAfter,
                    Reply::Ok => a.end(End::Ok),
                    _ => a.pc = Pc::Rb,
                }
            }
            Pc::SealBefore if self.sealed => a.end(End::Refused),
            Pc::SealBefore => a.pc = Pc::Cas,
            Pc::SealAfter => a.end(if self.sealed { End::Refused } else { End::Ok }),
            _ => unreachable!(),
        }
        self.act[w] = a;
    }

    /// Everything was listed: once more, unless nothing was there but the status.
    fn round_ends(a: &mut Actor, sweep: Pc) -> Pc {
        let again = a.dirty;
        (a.page, a.dirty) = (0, false);
        if again { sweep } else { Pc::Finish }
    }

    fn list_bits(&self) -> u8 {
        (self.files[0] != 0) as u8 | ((self.files[1] != 0) as u8) << 1
    }

    fn delete_done(&mut self, w: usize, a: &mut Actor) {
        self.g.deleted_ok = true;
        let left = self.files != [0, 0] || self.meta.is_some() || self.uploading();
        // no re-save in between: a live backup's objects are not leftovers
        let idle = self.status.is_none_or(|d| matches!(d.code, Code::Deleting | Code::Deleted));
        if a.quiet && left && idle && (0..3).all(|s| s == w || self.act[s].ended() || self.act[s].pc == Pc::Init) {
            self.g.delete_left = true;
        }
        a.end(End::Ok);
    }

    pub(crate) fn deleter(&mut self, w: usize, sel: u8, fault: Fault, env: &Env) {
        let r = env.rules;
        let mut a = self.act[w];
        let me = w as u8;
        let sweep = if r.abort_first { Pc::Abort } else { Pc::Reread };
        match a.pc {
            Pc::Init | Pc::Rb => {
                let again = a.pc == Pc::Rb;
                if !again {
                    a.first = self.status;
                    a.quiet = (0..3).all(|s| self.act[s].ended())
                        && self.net.iter().all(|q| matches!(q, Req::Complete { .. }));
                }
                match self.status {
                    Some(d) if d.code == Code::Deleting => {
                        a.doc = Some(d);
                        a.pc = sweep;
                    }
                    Some(d) if d.code == Code::Deleted => {
                        a.doc = Some(d);
                        a.pc = sweep;
                    }
                    _ if again && r.guard && self.status != a.doc => a.end(End::Conflict),
                    Some(d) if d.holds != 0 && r.hold_binds => a.end(End::Refused),
                    Some(d) if matches!(d.code, Code::Completed | Code::Failed) => {
                        a.doc = Some(d);
                        a.want = Some(Doc { code: Code::Deleting, rev: d.rev + 1, ..d });
                        a.pc = Pc::Cas;
                    }
                    // Nothing is known of it but its ETag.
                    Some(d) if d.code == Code::Corrupt => {
                        a.doc = Some(d);
                        a.want = Some(Doc { code: Code::Deleting, att: me, rev: 1, salt: 0, meta: None, holds: 0 });
                        a.pc = Pc::Cas;
                    }
                    Some(_) => a.end(End::Refused),
                    None if r.claim_sweep => {
                        if self.list_bits() == 0 && self.meta.is_none() && !self.uploading() {
                            self.delete_done(w, &mut a);
                        } else {
                            a.doc = None;
                            a.want = Some(Doc { code: Code::Deleting, att: me, rev: 1, salt: 0, meta: None, holds: 0 });
                            a.pc = Pc::Cas;
                        }
                    }
                    None => {
                        a.doc = None;
                        a.pc = sweep;
                    }
                }
            }
            Pc::Cas => {
                let corrupt = a.doc.is_some_and(|d| d.code == Code::Corrupt);
                let cond = if corrupt && !r.corrupt_guard { self.status } else { a.doc };
                let q = Req::Status { by: me, cond, new: a.want.unwrap() };
                match self.send(q, fault, r, Some(a.first)) {
                    Reply::Ok => {
                        a.doc = a.want.take();
                        a.pc = sweep;
                    }
                    _ => a.pc = Pc::Rb,
                }
            }
            Pc::Abort | Pc::Abort2 => {
                let after = if a.pc == Pc::Abort { Pc::Reread } else { Pc::DelMeta };
                let ups = (0..4).fold(0u8, |m, u| m | (self.uploads[u].open as u8) << u);
                if ups == 0 {
                    a.pc = after;
                    self.act[w] = a;
                    return self.deleter(w, sel, fault, env);
                }
                if self.send(Req::Abort { by: me, ups }, fault, r, None) == Reply::Ok {
                    a.pc = after;
                }
            }
            // one listing page, taken here; the status is read again before its batch
            Pc::Reread if r.pages => {
                a.first = None;
                let bit = [self.files[0] != 0, self.files[1] != 0, self.meta.is_some()][a.page as usize];
                a.batch = (bit as u8) << a.page;
                a.page += 1;
                if a.batch != 0 {
                    a.dirty = true;
                    a.pc = Pc::Batch;
                    a.restarts = 1;
                } else if a.page == 3 {
                    a.pc = Self::round_ends(&mut a, sweep);
                }
            }
            Pc::Reread => {
                a.first = None;
                a.batch = self.list_bits();
                if r.one_loop && self.meta.is_some() {
                    a.batch |= 4;
                }
                if a.batch == 0 && r.one_loop {
                    a.pc = if r.finish == Finish::TombAside { Pc::PutTomb } else { Pc::Finish };
                } else if a.batch == 0 {
                    a.pc = if r.abort_first { Pc::DelMeta } else { Pc::Abort2 };
                } else {
                    a.pc = Pc::Batch;
                    if r.reread_batch {
                        a.restarts = 1; // must read the status first
                    }
                }
            }
            Pc::Batch if a.restarts == 1 => {
                a.restarts = 0;
                let go = match self.status {
                    None => a.doc.is_none(), // a sweep without a claim saw none before, too
                    Some(d) => matches!(d.code, Code::Deleting | Code::Deleted),
                };
                if !go {
                    a.end(End::Conflict);
                }
            }
            Pc::Batch => {
                // Keys that fail on their own, and whether the delete tries again or says so.
                let (kept, gives_up) = (sel & 7, sel & 8 != 0);
                self.faults -= (kept != 0) as u8;
                let gone = a.batch & !kept;
                let q = Req::Delete { by: me, files: gone & 3, meta: gone & 4 != 0, status: false };
                self.send(q, fault, r, None);
                a.batch = 0;
                a.pc = match r.pages {
                    _ if !r.relist => Pc::Finish,
                    true if a.page < 3 => Pc::Reread,
                    true => Self::round_ends(&mut a, sweep),
                    false => sweep,
                };
                if gives_up {
                    a.end(End::Failed);
                }
            }
            Pc::DelMeta => {
                let next = match r.finish {
                    Finish::TombAside => Pc::PutTomb,
                    _ => Pc::Finish,
                };
                if self.meta.is_none() {
                    a.pc = next;
                    self.act[w] = a;
                    return self.deleter(w, sel, fault, env);
                }
                let q = Req::Delete { by: me, files: 0, meta: true, status: false };
                if self.send(q, fault, r, None) == Reply::Ok {
                    a.pc = next;
                }
            }
            Pc::PutTomb => {
                if let Reply::Ok = self.send(Req::Tomb { by: me }, fault, r, None) {
                    a.pc = Pc::Finish;
                }
            }
            Pc::Finish => match r.finish {
                Finish::Tombstone => {
                    let Some(d) = a.doc else { unreachable!() };
                    if a.forgets {
                        a.pc = Pc::Seal;
                    } else if d.code == Code::Deleted && r.seal {
                        a.forgets = true;
                        a.pc = sweep;
                    } else if d.code == Code::Deleted {
                        self.delete_done(w, &mut a);
                    } else {
                        let new = Doc { code: Code::Deleted, rev: d.rev + 1, ..d };
                        match self.send(Req::Status { by: me, cond: a.doc, new }, fault, r, Some(a.first)) {
                            // Swept again, sealed, removed.
                            Reply::Ok if r.seal => {
                                a.doc = Some(new);
                                a.forgets = true;
                                a.pc = sweep;
                            }
                            Reply::Ok if r.forget => a.pc = Pc::Forget,
                            Reply::Ok => self.delete_done(w, &mut a),
                            _ => a.pc = Pc::RbFinish,
                        }
                    }
                }
                _ => match self.send(Req::Delete { by: me, files: 0, meta: false, status: true }, fault, r, None) {
                    Reply::Ok => self.delete_done(w, &mut a),
                    _ => a.pc = Pc::RbFinish,
                },
            },
            Pc::Seal => {
                if self.send(Req::Seal { by: me }, fault, r, None) == Reply::Ok {
                    a.pc = Pc::Forget;
                }
            }
            Pc::Forget => {
                let q = Req::Delete { by: me, files: 0, meta: false, status: true };
                if self.send(q, fault, r, None) == Reply::Ok || self.status.is_none() {
                    self.delete_done(w, &mut a);
                }
            }
            Pc::RbFinish => match self.status {
                Some(d) if d.code == Code::Deleting => {
                    a.doc = Some(d);
                    a.pc = Pc::Finish;
                }
                _ => self.delete_done(w, &mut a),
            },
            _ => unreachable!("{:?}", a.pc),
        }
        self.act[w] = a;
    }

    /// A hold: of a COMPLETED, and settled by content, because annotations of others may lie on top.
    pub(crate) fn holder(&mut self, w: usize, fault: Fault, env: &Env) {
        let r = env.rules;
        let mut a = self.act[w];
        let (me, bit) = (w as u8, 1 << (w - H));
        match a.pc {
            Pc::Init | Pc::Rb => {
                let again = a.pc == Pc::Rb;
                match self.status.filter(|d| d.code == Code::Completed) {
                    None => a.end(if again { End::Conflict } else { End::Refused }),
                    Some(d) if again && r.note_by_content && d.holds & bit != 0 => self.held(&mut a, bit),
                    Some(d) if again && !r.note_by_content && a.want.is_some_and(|want| want.rev == d.rev) => {
                        self.held(&mut a, bit)
                    }
                    Some(d) if again && a.doc.is_some_and(|before| before.att != d.att) => a.end(End::Conflict),
                    Some(d) => {
                        a.doc = Some(d);
                        a.want = Some(Doc { rev: d.rev + 1, holds: d.holds | bit, ..d });
                        a.pc = Pc::Cas;
                    }
                }
            }
            Pc::Cas => {
                let q = Req::Status { by: me, cond: a.doc, new: a.want.unwrap() };
                match self.send(q, fault, r, None) {
                    Reply::Ok => self.held(&mut a, bit),
                    _ => a.pc = Pc::Rb,
                }
            }
            _ => unreachable!(),
        }
        self.act[w] = a;
    }

    fn held(&mut self, a: &mut Actor, bit: u8) {
        self.g.told_holds |= bit;
        a.end(End::Ok);
    }
}
