//! Which actors, plans and rules each run has.

use crate::rules::{Finish, Rules};
use crate::words::*;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Check {
    Whole,
    StatusLost,
    FalseSuccess,
    Foreign,
    Guard,
    Left,
    Orphans,
    Restore,
    Heal,
    Resumes,
    GaveUp,
    Live,
    LiveB,
    LiveDelete,
    LiveResave,
    LiveRestore,
    /// A hold that somebody was told of stands.
    Holds,
    LiveHolds,
    LiveForget,
    LiveCorrupt,
    Robbed,
    LiveJoined,
}
use Check::{
    FalseSuccess, Foreign, GaveUp, Guard, Heal, Holds, Left, Live, LiveB, LiveCorrupt, LiveDelete, LiveForget,
    LiveHolds, LiveJoined, LiveRestore, Restore, Resumes, Robbed, StatusLost, Whole,
};

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) rules: Rules,
    pub(crate) actors: &'static [usize],
    pub(crate) plans: Vec<[Plan; 3]>,
    pub(crate) resume: [bool; 3],
    pub(crate) orphans: Plan,
    pub(crate) op_plan: Plan,
    pub(crate) multipart: bool,
    /// A request may reach the bucket a second time although it was answered.
    pub(crate) twice: bool,
    pub(crate) faults: u8,
    pub(crate) cancels: u8,
    pub(crate) kills: u8,
    /// How often a stranger writes nonsense over the status.
    pub(crate) spoils: u8,
    pub(crate) max_net: usize,
    pub(crate) restore_restarts: u8,
    pub(crate) checks: &'static [Check],
}

pub(crate) fn base(
    name: &'static str,
    about: &'static str,
    rules: Rules,
    actors: &'static [usize],
    checks: &'static [Check],
) -> Scenario {
    Scenario {
        name,
        about,
        rules,
        actors,
        plans: vec![[[1, 1], [1, 2], [2, 2]]],
        resume: [false, true, false],
        orphans: [0; 2],
        op_plan: [1, 1],
        multipart: false,
        twice: false,
        faults: 1,
        cancels: 0,
        kills: 0,
        spoils: 0,
        max_net: 1,
        restore_restarts: 0,
        checks,
    }
}

pub(crate) const SAME: [Plan; 3] = [[1, 1], [1, 1], [1, 1]];

impl Scenario {
    /// The same on a store that neither loses nor delays a request.
    #[cfg(test)]
    pub(crate) fn without_faults(self) -> Self {
        self.faults(0)
    }

    pub(crate) fn plans(mut self, p: Vec<[Plan; 3]>) -> Self {
        self.plans = p;
        self
    }
    pub(crate) fn faults(mut self, n: u8) -> Self {
        self.faults = n;
        self.max_net = (n as usize).max(1);
        self
    }
    pub(crate) fn cancels(mut self, n: u8) -> Self {
        self.cancels = n;
        self
    }
    pub(crate) fn op(mut self, p: Plan) -> Self {
        self.op_plan = p;
        self
    }
    pub(crate) fn kills(mut self, n: u8) -> Self {
        self.kills = n;
        self
    }
    pub(crate) fn spoils(mut self, n: u8) -> Self {
        self.spoils = n;
        self
    }
    pub(crate) fn orphans(mut self, o: Plan) -> Self {
        self.orphans = o;
        self
    }
    pub(crate) fn resume(mut self, r: [bool; 3]) -> Self {
        self.resume = r;
        self
    }
    pub(crate) fn restarts(mut self, n: u8) -> Self {
        self.restore_restarts = n;
        self
    }
    pub(crate) fn twice(mut self) -> Self {
        self.twice = true;
        self
    }
    pub(crate) fn multipart(mut self) -> Self {
        self.multipart = true;
        self
    }
}

const ALL: &[Check] = &[Whole, StatusLost, FalseSuccess, Foreign, Guard, Left, Restore, Heal, Live];
const ALL_B: &[Check] = &[Whole, StatusLost, FalseSuccess, Foreign, Guard, Left, Restore, Heal, LiveB, LiveDelete];
const ALL_R: &[Check] =
    &[Whole, StatusLost, FalseSuccess, Foreign, Guard, Left, Restore, Heal, LiveDelete, LiveRestore];
const RES: &[Check] = &[Whole, StatusLost, FalseSuccess, Foreign, Guard, Heal, Resumes, LiveB];

fn few() -> Vec<[Plan; 3]> {
    vec![[[1, 1], [1, 2], [2, 2]]]
}

/// Every pair of plans of interest: same, same size, longer, fewer files, more files.
fn mixes() -> Vec<[Plan; 3]> {
    vec![SAME, [[1, 1], [1, 2], [2, 2]], [[1, 1], [1, 3], [3, 1]], [[1, 1], [1, 0], [2, 0]], [[1, 0], [1, 1], [2, 1]]]
}

/// f1 alone: the same bytes, other bytes of the same size.
pub(crate) fn by_parts() -> Vec<[Plan; 3]> {
    vec![[[0, 1], [0, 1], [0, 1]], [[0, 1], [0, 2], [0, 1]]]
}

pub(crate) fn fixed_runs() -> Vec<Scenario> {
    let f = Rules::fixed;
    let aside = || Rules { finish: Finish::TombAside, ..f() };
    let paged = || Rules { pages: true, key_errors: true, ..f() };
    let parts = || Rules { parts: true, ..f() };
    let forgets = || Rules { forget: true, seal: true, ..f() };
    vec![
        base("f01-two-attempts", "A, B resumes or is a second process; 3 faults", f(), &[0, 1], ALL_2)
            .plans(mixes())
            .faults(3)
            .cancels(1),
        base("f02-same-bytes-resume", "A, B, C all resume with one journal's plan; 2 faults", f(), &[0, 1, 2], RES)
            .plans(vec![SAME])
            .resume([false, true, true])
            .faults(2),
        base("f03-three-attempts", "A, B, C resume with any plans; 2 faults", f(), &[0, 1, 2], ALL)
            .plans(mixes())
            .resume([false, true, true])
            .faults(2),
        base("f04-mark-failed-delete", "A, B, mark_failed, D1; 1 kill, 1 fault", f(), &[0, 1, 3, 4], ALL_B)
            .plans(few())
            .faults(1)
            .kills(1),
        base("f04b-mark-failed-delete", "A, B, mark_failed, D1; 2 faults", f(), &[0, 1, 3, 4], ALL_B)
            .plans(few())
            .faults(2),
        base("f05-two-deleters", "A, C saves again, mark_failed, D1, D2; 1 fault", f(), &[0, 2, 3, 4, 5], ALL_D)
            .plans(vec![[[1, 1], [0, 0], [2, 2]]])
            .faults(1),
        base("f06-restore", "A, B, D1, mark_failed, R killed once; 1 fault", f(), &[0, 1, 3, 4, 6], ALL_R)
            .plans(few())
            .restarts(1)
            .faults(1),
        base("f07-multipart", "A, B, mark_failed, D1 with f1 by multipart; 1 kill, 1 fault", f(), &[0, 1, 3, 4], ALL_B)
            .plans(few())
            .faults(1)
            .kills(1)
            .multipart(),
        base(
            "f08-orphans",
            "leftovers of other bytes without a status; A, D1, D2, C; 1 fault",
            f(),
            &[0, 2, 4, 5],
            ALL_D,
        )
        .plans(vec![SAME, [[1, 1], [0, 0], [2, 2]]])
        .orphans([2, 0])
        .faults(1),
        base(
            "f09-everyone",
            "A, B, C, mark_failed, D1, R; no fault beyond stalls and crashes",
            f(),
            &[0, 1, 2, 3, 4, 6],
            ALL_R,
        )
        .plans(few())
        .faults(0),
        base("f09b-everyone", "A, B, C, mark_failed, D1, R; 1 fault", f(), &[0, 1, 2, 3, 4, 6], ALL_R)
            .plans(few())
            .faults(1),
        base("f05b-two-deleters", "A, mark_failed, D1, D2; 2 faults", f(), &[0, 3, 4, 5], ALL_D)
            .plans(vec![SAME])
            .faults(2),
        base(
            "f10-unfit-if-match",
            "server that accepts If-Match on an absent key; A, B, mark_failed, D1; 1 fault",
            Rules { if_match_absent_ok: true, ..f() },
            &[0, 1, 3, 4],
            ALL_B,
        )
        .plans(few())
        .faults(1),
        base(
            "f11-progress",
            "A, B, mark_failed with progress updates; 2 faults",
            Rules { progress: true, ..f() },
            &[0, 1, 3],
            &[Whole, StatusLost, FalseSuccess, Foreign, Guard, GaveUp, Heal, LiveB],
        )
        .plans(few())
        .faults(2),
        base(
            "r01-removed-never-reused",
            "status removed at the end, id never claimed again, every claim unique: A, mark_failed, D1, D2; 2 faults",
            Rules { finish: Finish::RemoveStatus, ..f() },
            &[0, 3, 4, 5],
            &[Whole, FalseSuccess, Foreign, Guard, Left, Heal, Live, LiveDelete],
        )
        .plans(vec![SAME])
        .faults(2),
        base("f12-twice", "A, B, mark_failed, D1; any one request reaches the bucket twice", f(), &[0, 1, 3, 4], ALL_B)
            .plans(few())
            .twice(),
        base("f12b-twice-multipart", "the same with f1 by multipart", f(), &[0, 1, 3, 4], ALL_B)
            .plans(few())
            .multipart()
            .twice(),
        base(
            "f13-keys-and-pages",
            "A, C, mark_failed, D1; a listing of one key a page, keys that fail on their own; 2 faults",
            paged(),
            &[0, 3, 4],
            ALL_D,
        )
        .plans(vec![SAME])
        .multipart()
        .faults(2)
        .kills(1),
        base("f13b-keys-and-pages-two", "A, mark_failed, D1, D2; the same; 1 fault", paged(), &[0, 3, 4, 5], ALL_D)
            .plans(vec![SAME]),
        base(
            "f14-forget",
            "A, C saves again, mark_failed, D1 sweeps again, seals and removes the tombstone; 2 faults",
            forgets(),
            &[0, 2, 3, 4],
            FORGET,
        )
        .plans(vec![SAME])
        .faults(2),
        base("f14b-forget-resume", "the same; B resumes what it finds; 1 fault", forgets(), &[0, 1, 3, 4], FORGET)
            .plans(vec![SAME])
            .kills(1),
        base("f14c-forget-two", "A, C, mark_failed, D1, D2; no fault", forgets(), &[0, 2, 3, 4, 5], FORGET)
            .plans(vec![SAME])
            .faults(0),
        base(
            "f15-holds",
            "A, mark_failed, D1 and two that hold; 2 faults",
            f(),
            &[0, 3, 4, 8, 9],
            &[Whole, StatusLost, FalseSuccess, Foreign, Guard, GaveUp, Holds, Left, Heal, Live, LiveDelete, LiveHolds],
        )
        .plans(vec![SAME])
        .faults(2),
        base(
            "f16-corrupt",
            "A, B, D1, D2; somebody writes nonsense over the status and may put back what stood there; 1 fault",
            f(),
            &[0, 1, 4, 5],
            &[Whole, StatusLost, FalseSuccess, Foreign, Guard, Left, Heal, Live, LiveDelete, LiveCorrupt],
        )
        .plans(few())
        .spoils(1),
        base(
            "f17-parts",
            "A, B resumes, mark_failed, D1 with f1 in two parts; same bytes and others; 1 kill, 1 fault",
            parts(),
            &[0, 1, 3, 4],
            PARTS_D,
        )
        .plans(by_parts())
        .kills(1),
        base(
            "f17b-parts-three",
            "A, B, C resume; 1 cancel, no fault beyond stalls and crashes",
            parts(),
            &[0, 1, 2],
            PARTS,
        )
        .plans(by_parts())
        .resume([false, true, true])
        .faults(0)
        .cancels(1),
        base("f17c-parts-late", "A, B resumes; 2 faults, 1 cancel", parts(), &[0, 1], PARTS)
            .plans(by_parts())
            .faults(2)
            .cancels(1)
            .twice(),
        base(
            "f17d-parts-resume",
            "A, B with the same bytes: whatever is left is resumed; 1 fault, 1 cancel",
            parts(),
            &[0, 1],
            RES,
        )
        .plans(by_parts()[..1].to_vec())
        .op([0, 1])
        .cancels(1)
        .twice(),
        base(
            "t01-aside",
            "tombstone aside: A, C saves again, mark_failed, D1, D2; 1 fault",
            aside(),
            &[0, 2, 3, 4, 5],
            &[Whole],
        )
        .plans(vec![SAME, [[1, 1], [0, 0], [2, 2]]])
        .faults(1),
    ]
}
const PARTS: &[Check] = &[Whole, StatusLost, FalseSuccess, Foreign, Guard, Left, Heal, Robbed, LiveB, LiveJoined];
const PARTS_D: &[Check] =
    &[Whole, StatusLost, FalseSuccess, Foreign, Guard, Left, Heal, Robbed, LiveB, LiveDelete, LiveJoined];
const ALL_2: &[Check] = &[Whole, StatusLost, FalseSuccess, Foreign, Guard, Left, Heal, LiveB];
const FORGET: &[Check] = &[Whole, StatusLost, FalseSuccess, Foreign, Guard, Left, Heal, Live, LiveDelete, LiveForget];
const ALL_D: &[Check] = &[Whole, StatusLost, FalseSuccess, Foreign, Guard, Left, Heal, Live, LiveDelete];
