//! cluster.json: who makes it, adopts it, or finds it; each create and each claim may be lost, late or repeated.
//!
//! An actor is a process of one cluster without a configured id. What it writes into the base carries the id that it holds to
//! be the cluster's. `FOUND` is the id of statuses that stood there without a document in the beginning.

use std::fmt;

use crate::explore::{Machine, Property};
use crate::words::Fault;

/// The id of the statuses that are there from the beginning.
const FOUND: u8 = 9;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// `init`.
    Init,
    /// `init --adopt`.
    Adopt,
    /// A save: makes the document before its first write.
    Save,
}

#[derive(Clone, Debug)]
pub(crate) struct ClusterRules {
    /// The document is created where none is (else written over what stands).
    pub(crate) create_only: bool,
    /// Who finds another's document behind the own create takes its id (else it is refused).
    pub(crate) loser_adopts: bool,
    /// Nobody but an adopter makes a document where statuses are.
    pub(crate) looks_for_backups: bool,
    /// Who sees statuses and no document looks for the document once more.
    pub(crate) looks_again: bool,
    /// An adopter takes the id of the statuses (else a new one).
    pub(crate) takes_theirs: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) rules: ClusterRules,
    pub(crate) roles: &'static [Role],
    /// Do statuses stand there without a document?
    pub(crate) found: bool,
    pub(crate) faults: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum At {
    Read,
    Walk,
    Again,
    Make,
    Back,
    Claim,
    Done,
    Refused,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(crate) enum Write {
    /// cluster.json with this id.
    Document(u8),
    /// A status that carries this id.
    Status(u8),
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Base {
    document: u8,
    /// The ids that statuses carry, a bit for each.
    statuses: u16,
    /// The document became another one.
    changed: bool,
    actors: Vec<(At, u8)>,
    net: Vec<Write>,
    faults: u8,
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<u16> = (0..16).filter(|id| self.statuses & (1 << id) != 0).collect();
        write!(f, "document {} | statuses of {ids:?} | {:?}", self.document, self.actors)?;
        if self.net.is_empty() { Ok(()) } else { write!(f, " | in flight {:?}", self.net) }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Step(usize, Fault),
    Land(usize),
    Drop(usize),
}

impl Base {
    /// Does it stand afterwards as it was sent?
    fn apply(&mut self, write: Write, rules: &ClusterRules) -> bool {
        match write {
            Write::Status(id) => self.statuses |= 1 << id,
            Write::Document(_) if self.document != 0 && rules.create_only => return false,
            Write::Document(id) => {
                self.changed |= self.document != 0 && self.document != id;
                self.document = id;
            }
        }
        true
    }

    /// The answer, if one comes.
    fn send(&mut self, write: Write, fault: Fault, rules: &ClusterRules) -> Option<bool> {
        self.faults -= u8::from(fault != Fault::None);
        if matches!(fault, Fault::Twice | Fault::Delayed) {
            self.net.push(write);
            self.net.sort();
        }
        match fault {
            Fault::Delayed => None,
            Fault::Lost => {
                self.apply(write, rules);
                None
            }
            Fault::None | Fault::Twice => Some(self.apply(write, rules)),
        }
    }
}

impl Cluster {
    fn step(&self, base: &mut Base, actor: usize, fault: Fault) {
        let (rules, role) = (&self.rules, self.roles[actor]);
        let (at, id) = base.actors[actor];
        // Who saves goes on to the claim.
        let knows = |id| (if role == Role::Save { At::Claim } else { At::Done }, id);
        let own = actor as u8 + 1;
        base.actors[actor] = match at {
            At::Read if base.document != 0 => knows(base.document),
            At::Read => (At::Walk, 0),
            At::Walk if role == Role::Adopt => match base.statuses {
                0 => (At::Refused, 0),
                _ if !rules.takes_theirs => (At::Make, own),
                ids if ids.is_power_of_two() => (At::Make, ids.trailing_zeros() as u8),
                _ => (At::Refused, 0),
            },
            At::Walk if base.statuses != 0 && rules.looks_for_backups => {
                (if rules.looks_again { At::Again } else { At::Refused }, 0)
            }
            At::Walk => (At::Make, own),
            At::Again if base.document != 0 => knows(base.document),
            At::Again => (At::Refused, 0),
            At::Make => match base.send(Write::Document(id), fault, rules) {
                Some(true) => knows(id),
                _ => (At::Back, id),
            },
            At::Back if base.document == 0 => (At::Make, id),
            At::Back if rules.loser_adopts || base.document == id => knows(base.document),
            At::Back => (At::Refused, 0),
            // Whether it landed is the status's own story; here it does in the end.
            At::Claim => match base.send(Write::Status(id), fault, rules) {
                Some(_) => (At::Done, id),
                None => (At::Claim, id),
            },
            At::Done | At::Refused => (at, id),
        };
    }

    /// Where nobody is under way: does an adopter heal a base of one cluster, and is it left alone afterwards?
    fn heals(&self, base: &Base) -> bool {
        if base.statuses == 0 || !base.net.is_empty() {
            return true;
        }
        let mut alone = Self { roles: &[Role::Adopt], faults: 0, ..self.clone() };
        alone.rules = ClusterRules::fixed();
        let mut after = Base { actors: vec![(At::Read, 0)], faults: 0, ..base.clone() };
        for _ in 0..8 {
            alone.step(&mut after, 0, Fault::None);
        }
        after.actors[0].0 == At::Done && after.statuses == 1 << after.document
    }
}

impl Machine for Cluster {
    type State = Base;
    type Act = Act;

    fn init_states(&self) -> Vec<Base> {
        let actors = vec![(At::Read, 0); self.roles.len()];
        let statuses = if self.found { 1 << FOUND } else { 0 };
        vec![Base { document: 0, statuses, changed: false, actors, net: Vec::new(), faults: self.faults }]
    }

    fn actions(&self, base: &Base, out: &mut Vec<Act>) {
        for (actor, (at, _)) in base.actors.iter().enumerate() {
            if matches!(at, At::Done | At::Refused) {
                continue;
            }
            out.push(Act::Step(actor, Fault::None));
            if base.faults > 0 && matches!(at, At::Make | At::Claim) {
                out.extend([Fault::Lost, Fault::Twice, Fault::Delayed].map(|fault| Act::Step(actor, fault)));
            }
        }
        for at in 0..base.net.len() {
            out.extend([Act::Land(at), Act::Drop(at)]);
        }
    }

    fn next_state(&self, base: &Base, act: Act) -> Option<Base> {
        let mut next = base.clone();
        match act {
            Act::Step(actor, fault) => self.step(&mut next, actor, fault),
            Act::Land(at) => {
                let write = next.net.remove(at);
                next.apply(write, &self.rules);
            }
            Act::Drop(at) => drop(next.net.remove(at)),
        }
        (next != *base).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("the document never changes", |_, base: &Base| !base.changed),
            Property::always("who ends well holds the id that stands", |_, base: &Base| {
                base.actors.iter().all(|(at, id)| *at != At::Done || *id == base.document)
            }),
            Property::always("beside the document stand statuses of its id alone", |_, base: &Base| {
                base.document == 0 || base.statuses & !(1 << base.document) == 0
            }),
            Property::always("no status is written before the document", |cluster: &Self, base: &Base| {
                cluster.found || base.document != 0 || base.statuses == 0
            }),
            Property::always("no node of the cluster is refused", |cluster: &Self, base: &Base| {
                let rightly = |role: &Role| *role == Role::Adopt || cluster.found;
                base.actors.iter().zip(cluster.roles).all(|((at, _), role)| *at != At::Refused || rightly(role))
            }),
            Property::always("an adopter of statuses is not refused", |cluster: &Self, base: &Base| {
                let refused = |(actor, role): (&(At, u8), &Role)| actor.0 == At::Refused && *role == Role::Adopt;
                !cluster.found || !base.actors.iter().zip(cluster.roles).any(refused)
            }),
            Property::always("init --adopt heals every base", |cluster: &Self, base: &Base| cluster.heals(base)),
            Property::sometimes("live: everybody ends well", |_, base: &Base| {
                base.actors.iter().all(|(at, _)| *at == At::Done)
            }),
        ]
    }
}

impl ClusterRules {
    fn fixed() -> Self {
        Self { create_only: true, loser_adopts: true, looks_for_backups: true, looks_again: true, takes_theirs: true }
    }
}

/// The protocol as it is, and each rule left out: those whose name begins with `c0` hold.
pub(crate) fn clusters() -> Vec<Cluster> {
    use Role::{Adopt, Init, Save};
    let base = |name, about, rules, roles, found| Cluster { name, about, rules, roles, found, faults: 3 };
    let fixed = ClusterRules::fixed;
    let all: &[Role] = &[Init, Init, Adopt, Save];
    vec![
        base(
            "c01-cluster-race",
            "two init, an adopter and a saver at an untouched base; 3 faults",
            fixed(),
            all,
            false,
        ),
        base("c02-cluster-savers", "an init, two savers", fixed(), &[Init, Save, Save], false),
        base("c03-cluster-adopt", "the same as c01 where statuses stand without a document", fixed(), all, true),
        base("c04-cluster-adopters", "two adopters, a saver", fixed(), &[Adopt, Adopt, Save], true),
        base(
            "c11-cluster-overwrites",
            "the document is not create-only",
            ClusterRules { create_only: false, ..fixed() },
            all,
            false,
        ),
        base(
            "c12-cluster-loser-refuses",
            "the loser compares with its own new id",
            ClusterRules { loser_adopts: false, ..fixed() },
            &[Init, Save],
            false,
        ),
        base(
            "c13-cluster-looks-for-nothing",
            "a saver makes the document over statuses of another id",
            ClusterRules { looks_for_backups: false, ..fixed() },
            &[Adopt, Save],
            true,
        ),
        base(
            "c14-cluster-looks-once",
            "who sees a status and has seen no document is refused, although one was made meanwhile",
            ClusterRules { looks_again: false, ..fixed() },
            &[Init, Save],
            false,
        ),
        base(
            "c15-cluster-adopts-anew",
            "an adopter draws an id of its own",
            ClusterRules { takes_theirs: false, ..fixed() },
            &[Adopt, Save],
            true,
        ),
    ]
}

impl Cluster {
    pub(crate) fn holds(&self) -> bool {
        self.name.starts_with("c0")
    }
}
