//! A restore.

use crate::state::{Env, State};
use crate::words::*;

impl State {
    pub(crate) fn restorer(&mut self, env: &Env) {
        let r = env.rules;
        let mut a = self.act[R];
        match a.pc {
            Pc::Init => match self.status {
                Some(d) if d.code == Code::Completed => {
                    if r.staging_by_hash && a.hash != d.meta {
                        a.conf = [0; 2];
                    }
                    a.hash = d.meta;
                    a.pc = Pc::GetMeta;
                }
                _ => a.end(End::Refused),
            },
            Pc::GetMeta => {
                if self.meta != a.hash {
                    a.end(End::Corrupt);
                } else {
                    a.pc = Pc::Get(0);
                }
            }
            Pc::Get(i) => {
                let m = a.hash.unwrap();
                let j = i as usize;
                // staged by an earlier run: kept when its size is right
                if m[j] == 0 || (a.conf[j] != 0 && size(a.conf[j]) == size(m[j])) {
                } else if self.files[j] == m[j] {
                    a.conf[j] = m[j];
                } else {
                    a.end(End::Corrupt);
                    self.act[R] = a;
                    return;
                }
                a.pc = if i == 0 { Pc::Get(1) } else { Pc::Last };
            }
            Pc::Last => match self.status {
                Some(d) if d.code == Code::Completed && (!r.staging_by_hash || d.meta == a.hash) => {
                    let m = a.hash.unwrap();
                    if (0..2).any(|i| m[i] != 0 && a.conf[i] != m[i]) {
                        self.g.restore_bad = true;
                    }
                    self.g.restored = true;
                    a.end(End::Ok);
                }
                _ => a.end(End::Refused),
            },
            _ => unreachable!(),
        }
        self.act[R] = a;
    }
}
