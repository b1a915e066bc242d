//! f1 in two parts, each a request: opened or continued, sent, joined under the ETags of the parts and the checksum of the
//! whole, aborted.

use crate::rules::Rules;
use crate::state::{Actor, Env, State, upslot};
use crate::words::*;

impl Actor {
    /// Does it continue another's work? A claim stands at revision 1.
    pub(crate) fn took_over(&self) -> bool {
        self.doc.is_some_and(|doc| doc.rev > 1)
    }

    /// The commit landed. Behind that of a resume nobody can own an upload any more.
    pub(crate) fn committed(&mut self, rules: &Rules) {
        if rules.parts && self.took_over() { self.pc = Pc::Strays } else { self.end(End::Ok) }
    }

    /// The own document became FAILED: the own uploads may be aborted.
    pub(crate) fn failed(&mut self) {
        if self.up.is_some() { self.pc = Pc::AbortOwn(true) } else { self.end(End::Failed) }
    }

    /// Somebody else's document stands: nothing more is written or aborted.
    pub(crate) fn fenced(&mut self, end: End, rules: &Rules) {
        if rules.fenced_aborts && self.up.is_some() { self.pc = Pc::AbortOwn(false) } else { self.end(end) }
    }

    /// f1 is there.
    fn sent(&mut self) {
        (self.up, self.tags) = (None, [0; 2]);
        State::after_conf(self);
    }

    /// The next part that is to be sent.
    fn next_part(&self) -> Pc {
        (0..2).find(|n| self.tags[*n as usize] == 0).map_or(Pc::Join, Pc::Part)
    }
}

impl State {
    pub(crate) fn by_parts(&mut self, w: usize, sel: u8, fault: Fault, env: &Env) {
        let r = env.rules;
        let mut a = self.act[w];
        let (me, bytes) = (w as u8, a.plan[1]);
        match a.pc {
            Pc::Begun => match self.uploads.get(sel as usize) {
                Some(_) => {
                    a.up = Some(self.upload_id(sel as usize));
                    a.pc = Pc::Parts;
                }
                None => a.pc = Pc::Open,
            },
            // Parts that are there with the right bytes are kept.
            Pc::Parts => match a.up.and_then(|up| self.upload(up).copied()) {
                Some(upload) => {
                    a.tags = upload.parts.map(|part| if part == bytes { part } else { 0 });
                    a.pc = a.next_part();
                }
                None => {
                    a.up = None;
                    a.pc = Pc::Open;
                }
            },
            Pc::Open => {
                (a.up, a.tags) = (None, [0; 2]);
                a.pc = Pc::Open;
                if self.send(Req::CreateMp { by: me, bytes: 0 }, fault, r, None) == Reply::Ok {
                    a.up = Some(self.upload_id(upslot(w)));
                    a.pc = a.next_part();
                }
            }
            Pc::Part(number) => {
                match self.send(Req::Part { by: me, up: a.up.unwrap(), number, bytes }, fault, r, None) {
                    Reply::Ok => {
                        a.tags[number as usize] = bytes;
                        a.pc = a.next_part();
                    }
                    Reply::Gone => a.pc = Pc::Look(true),
                    _ => {}
                }
            }
            Pc::Join => {
                let up = a.up.unwrap();
                match self.send(Req::Complete { by: me, up, tags: a.tags, sum: bytes }, fault, r, None) {
                    Reply::Ok => {
                        self.g.joined |= up as usize % 4 != upslot(w);
                        // The ETag that the reply names, whatever it is of.
                        a.conf[1] = self.files[1];
                        a.sent();
                    }
                    Reply::Bad => a.pc = Pc::GiveUp(false),
                    reply => a.pc = Pc::Look(reply == Reply::Gone),
                }
            }
            Pc::Look(gone) => {
                if self.files[1] == bytes {
                    a.conf[1] = bytes;
                    a.pc = Pc::GiveUp(true);
                } else if self.files[1] != 0 {
                    a.pc = Pc::Fail;
                } else {
                    a.pc = if gone { Pc::Open } else { Pc::Join };
                }
            }
            // Tried once: what fails here, the next delete aborts.
            Pc::GiveUp(there) => {
                self.send(Req::AbortOne { by: me, up: a.up.unwrap() }, fault, r, None);
                if there { a.sent() } else { a.pc = Pc::Open }
            }
            Pc::AbortOwn(by_right) => {
                let up = a.up.unwrap();
                let owners = (0..self.act.len()).any(|other| other != w && self.act[other].up == Some(up));
                self.g.robbed |= !by_right && owners && self.upload(up).is_some();
                self.send(Req::AbortOne { by: me, up }, fault, r, None);
                a.end(if by_right { End::Failed } else { End::Fenced });
            }
            Pc::Strays => {
                let ups = (0..4).fold(0u8, |mask, u| mask | (self.uploads[u].open as u8) << u);
                self.send(Req::Abort { by: me, ups }, fault, r, None);
                a.end(End::Ok);
            }
            _ => unreachable!("{:?}", a.pc),
        }
        self.act[w] = a;
    }
}
