//! What may happen next, and what must hold.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::explore::{Machine, Property};
use crate::rules::Finish;
use crate::scenarios::{Check, Scenario};
use crate::state::{Actor, Env, Ghost, State};
use crate::words::*;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Act {
    Step {
        w: u8,
        sel: u8,
        fault: Fault,
    },
    Land(u8),
    Drop(u8),
    Cancel(u8),
    RestartRestore,
    Kill(u8),
    /// A stranger writes nonsense over the status.
    Spoil,
    /// And puts back what stood there.
    Mend,
}

type Bucket = (u8, Option<Doc>, Plan, Option<Plan>, [Upload; 4], [bool; 2]);
thread_local! {
    static CACHE: RefCell<HashMap<Bucket, bool>> = RefCell::new(HashMap::new());
}

impl Scenario {
    pub(crate) fn env(&self) -> Env<'_> {
        Env { rules: &self.rules, multipart: self.multipart }
    }
    pub(crate) fn heal(&self, s: &State) -> Result<(), &'static str> {
        if !s.net.is_empty() {
            return Ok(());
        }
        let env = self.env();
        let mut t = s.clone();
        if t.status.is_some_and(|d| d.code == Code::InProgress) {
            t.fresh(M, [0; 2], false);
            if t.run_alone(M, &env) != Some(End::Ok) {
                return Err("mark-failed");
            }
        }
        // An operator releases what is held first.
        if let Some(d) = &mut t.status {
            d.holds = 0;
        }
        t.fresh(D, [0; 2], false);
        if t.run_alone(D, &env) != Some(End::Ok) {
            return Err("delete");
        }
        if t.files != [0; 2] || t.meta.is_some() || t.uploading() {
            return Err("left over");
        }
        match t.status {
            None => {}
            Some(d) if d.code == Code::Deleted => return Ok(()),
            _ => return Err("status left"),
        }
        if (self.rules.finish == Finish::TombAside && t.tomb) || t.sealed {
            return Ok(());
        }
        t.fresh(7, [2, 1], false);
        if t.run_alone(7, &env) != Some(End::Ok) || !t.whole() {
            return Err("save again");
        }
        Ok(())
    }
    /// `heal` looks only at the bucket: one run per bucket content.
    fn heals(&self, s: &State) -> bool {
        if !s.net.is_empty() {
            return true;
        }
        CACHE.with(|c| {
            *c.borrow_mut()
                .entry((0, s.status, s.files, s.meta, s.uploads, [s.tomb, s.sealed]))
                .or_insert_with(|| self.heal(s).is_ok())
        })
    }
    fn resumes_cached(&self, s: &State) -> bool {
        if !s.net.is_empty() {
            return true;
        }
        CACHE.with(|c| {
            *c.borrow_mut()
                .entry((1, s.status, s.files, s.meta, s.uploads, [s.tomb, s.sealed]))
                .or_insert_with(|| self.resumes(s))
        })
    }
    fn resumes(&self, s: &State) -> bool {
        if !s.net.is_empty() || !s.status.is_some_and(|d| d.is_unfinished()) {
            return true;
        }
        let mut t = s.clone();
        t.fresh(7, self.op_plan, true);
        t.run_alone(7, &self.env()) == Some(End::Ok) && t.whole()
    }
}

impl Machine for Scenario {
    type State = State;
    type Act = Act;

    fn init_states(&self) -> Vec<State> {
        let mut out = vec![];
        for plans in &self.plans {
            let mut s = State {
                status: None,
                files: self.orphans,
                meta: None,
                uploads: [Upload::default(); 4],
                tomb: false,
                sealed: false,
                net: vec![],
                act: [Actor::idle(); 10],
                faults: self.faults,
                cancels: self.cancels,
                kills: self.kills,
                spoils: self.spoils,
                spoilt: None,
                g: Ghost::default(),
            };
            for &w in self.actors {
                s.fresh(w, if w < 3 { plans[w] } else { [0; 2] }, w < 3 && self.resume[w]);
            }
            out.push(s);
        }
        out
    }

    fn actions(&self, s: &State, out: &mut Vec<Act>) {
        for &w in self.actors {
            for sel in s.choices(w) {
                out.push(Act::Step { w: w as u8, sel, fault: Fault::None });
                // Keys of a batch that fail on their own: one or all; the delete tries again, or says so and ends.
                let batch = if s.act[w].pc == Pc::Batch && s.act[w].restarts == 0 { s.act[w].batch } else { 0 };
                if self.rules.key_errors && s.faults > 0 && batch != 0 {
                    for kept in [1, 2, 4].into_iter().filter(|key| batch & key != 0) {
                        for sel in [kept, kept | 8] {
                            out.push(Act::Step { w: w as u8, sel, fault: Fault::None });
                        }
                    }
                }
                // a batch step that only re-reads the status sends nothing
                let reads = s.act[w].pc == Pc::Batch && s.act[w].restarts == 1;
                if s.faults > 0 && s.mutates(w) && !reads {
                    out.push(Act::Step { w: w as u8, sel, fault: Fault::Lost });
                    if s.net.len() < self.max_net {
                        out.push(Act::Step { w: w as u8, sel, fault: Fault::Delayed });
                        if self.twice {
                            out.push(Act::Step { w: w as u8, sel, fault: Fault::Twice });
                        }
                    }
                }
            }
            if w < 3
                && s.cancels > 0
                && s.act[w].doc.is_some()
                && matches!(
                    s.act[w].pc,
                    Pc::ScanMeta
                        | Pc::Upload
                        | Pc::Part(_)
                        | Pc::Join
                        | Pc::Head(_)
                        | Pc::List
                        | Pc::PutMeta
                        | Pc::Commit
                        | Pc::RbCommit
                )
            {
                out.push(Act::Cancel(w as u8));
            }
        }
        if s.kills > 0 {
            for w in 0..3 {
                if !s.act[w].ended() && s.act[w].pc != Pc::Init {
                    out.push(Act::Kill(w as u8));
                }
            }
        }
        if s.spoils > 0 && s.status.is_some_and(|d| d.code != Code::Corrupt) {
            out.push(Act::Spoil);
        }
        if s.spoilt.is_some() && s.status.is_some_and(|d| d.code == Code::Corrupt) {
            out.push(Act::Mend);
        }
        for k in 0..s.net.len() as u8 {
            out.push(Act::Land(k));
            out.push(Act::Drop(k));
        }
        if self.restore_restarts > s.act[R].restarts && !matches!(s.act[R].pc, Pc::Idle | Pc::Init | Pc::End(End::Ok)) {
            out.push(Act::RestartRestore);
        }
    }

    fn next_state(&self, s: &State, act: Act) -> Option<State> {
        let mut n = s.clone();
        match act {
            Act::Step { w, sel, fault } => n.step(w as usize, sel, fault, &self.env()),
            Act::Land(k) => n.deliver(k as usize, &self.rules),
            Act::Drop(k) => {
                n.net.remove(k as usize);
            }
            Act::Cancel(w) => {
                n.cancels -= 1;
                n.act[w as usize].pc = if self.rules.fail_own_only { Pc::Fail } else { Pc::FailRead };
            }
            Act::Kill(w) => {
                n.kills -= 1;
                n.act[w as usize].kill();
            }
            Act::Spoil => {
                n.spoils -= 1;
                n.spoilt = n.status;
                n.status = Some(Doc { code: Code::Corrupt, att: 0, rev: 0, salt: n.spoils, meta: None, holds: 0 });
            }
            Act::Mend => n.status = n.spoilt.take(),
            Act::RestartRestore => {
                n.act[R].restarts += 1;
                n.act[R].pc = Pc::Init;
            }
        }
        (n != *s).then_some(n)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut p = vec![];
        for &c in self.checks {
            p.push(match c {
                Check::Whole => Property::always("I1 a COMPLETED backup is whole", |_, s: &State| s.whole()),
                Check::StatusLost => {
                    Property::always("I1 status is removed only under deletion", |_, s: &State| !s.g.status_lost)
                }
                Check::FalseSuccess => {
                    Property::always("I2 success is told only of a landed commit", |_, s: &State| !s.g.false_success)
                }
                Check::Foreign => {
                    Property::always("I2 a fenced attempt writes no status", |_, s: &State| !s.g.foreign_write)
                }
                Check::Guard => Property::always("I2 mark_failed and delete hit only what they saw", |_, s: &State| {
                    !s.g.mf_killed && !s.g.del_killed
                }),
                Check::Left => {
                    Property::always("I4 delete ok, all quiet: nothing left", |_, s: &State| !s.g.delete_left)
                }
                Check::Orphans => Property::always("I4b never an object without a status", |_, s: &State| {
                    !(s.g.deleted_ok
                        && s.status.is_none_or(|d| d.code == Code::Deleted)
                        && (s.files != [0; 2] || s.meta.is_some() || s.uploading())
                        && s.net.is_empty()
                        && (0..7).all(|w| s.act[w].ended()))
                }),
                Check::Restore => {
                    Property::always("I5 a restore is one attempt's bytes", |_, s: &State| !s.g.restore_bad)
                }
                Check::Heal => {
                    Property::always("I6 mark-failed, delete (and save) heal every state", |m: &Scenario, s: &State| {
                        m.heals(s)
                    })
                }
                Check::Resumes => {
                    Property::always("I6b resume of the same bytes commits", |m: &Scenario, s: &State| {
                        m.resumes_cached(s)
                    })
                }
                Check::GaveUp => {
                    Property::always("I2 an owner does not take itself for fenced", |_, s: &State| !s.g.gave_up)
                }
                Check::Robbed => {
                    Property::always("I2 a fenced saver aborts no upload of the owner", |_, s: &State| !s.g.robbed)
                }
                Check::LiveJoined => {
                    Property::sometimes("live: an upload of another attempt is completed", |_, s: &State| s.g.joined)
                }
                Check::Holds => Property::always("I3 a hold that was told of stands", |_, s: &State| {
                    s.g.told_holds == 0
                        || s.status
                            .is_some_and(|d| d.code == Code::Completed && d.holds & s.g.told_holds == s.g.told_holds)
                }),
                Check::LiveHolds => Property::sometimes("live: two holds stand", |_, s: &State| s.g.told_holds == 0b11),
                Check::LiveForget => Property::sometimes("live: a tombstone is forgotten", |_, s: &State| {
                    s.sealed && s.status.is_none() && s.g.deleted_ok
                }),
                Check::LiveCorrupt => Property::sometimes("live: a corrupt status is deleted", |_, s: &State| {
                    s.g.deleted_ok && s.spoilt.is_some()
                }),
                Check::Live => Property::sometimes("live: an attempt commits", |_, s: &State| s.g.committed != 0),
                Check::LiveB => {
                    Property::sometimes("live: B commits after A claimed", |_, s: &State| s.g.committed & 2 != 0)
                }
                Check::LiveDelete => Property::sometimes("live: a delete succeeds", |_, s: &State| s.g.deleted_ok),
                Check::LiveResave => {
                    Property::sometimes("live: a claim lands after a delete", |_, s: &State| s.g.resaved)
                }
                Check::LiveRestore => Property::sometimes("live: a restore succeeds", |_, s: &State| s.g.restored),
            });
        }
        p
    }
}
