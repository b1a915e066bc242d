//! What a store should be: a plain map from ids to states. Written from the table of the life cycle (docs/design.md, 3.3),
//! knowing nothing of requests, conditions or documents.

use std::collections::BTreeSet;
use std::fmt;

/// Two nodes may hold different bytes for one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Variant {
    First,
    Other,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Save(Variant),
    Resume(Variant),
    MarkFailed,
    Hold,
    Release,
    Delete,
    Forget,
    Restore,
    Verify,
    Status,
    List,
}

/// The state of one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Absent,
    /// Absent, and used up: its tombstone was forgotten.
    Sealed,
    InProgress,
    Completed {
        bytes: Variant,
        held: bool,
    },
    Failed {
        was_completed: bool,
    },
    Deleting,
    Deleted,
}

/// One id: its state, and whose bytes an unfinished save may have left below it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) state: State,
    pub(super) tried: BTreeSet<Variant>,
}

/// How a call may end: well or badly, and what stands then.
pub(super) type Ending = (bool, Entry);

impl Entry {
    pub(super) fn absent() -> Self {
        Self { state: State::Absent, tried: BTreeSet::new() }
    }

    fn at(&self, state: State) -> Self {
        Self { state, ..self.clone() }
    }

    fn with(&self, bytes: Variant, state: State) -> Self {
        let mut tried = self.tried.clone();
        tried.insert(bytes);
        Self { state, tried }
    }

    /// How a call ends that nothing disturbs. More than one way only where other bytes may lie below the id. `later`: may a
    /// later checkpoint of the partition be COMPLETED?
    pub(super) fn endings(&self, verb: Verb, later: &BTreeSet<bool>) -> Vec<Ending> {
        use State as S;
        let refused = || vec![(false, self.clone())];
        let unchanged = || vec![(true, self.clone())];
        let becomes = |state| vec![(true, self.at(state))];
        match (verb, self.state) {
            (Verb::Save(bytes) | Verb::Resume(bytes), S::Absent) => {
                vec![(true, self.with(bytes, S::Completed { bytes, held: false }))]
            }
            (Verb::Save(_), _) => refused(),
            (Verb::Resume(bytes), S::InProgress | S::Failed { was_completed: false }) => {
                let whole = |of| (true, self.with(bytes, S::Completed { bytes: of, held: false }));
                if self.tried.iter().all(|tried| *tried == bytes) {
                    return vec![whole(bytes)];
                }
                let failed = (false, self.with(bytes, S::Failed { was_completed: false }));
                vec![whole(Variant::First), whole(Variant::Other), failed]
            }
            (Verb::Resume(same), S::Completed { bytes, .. }) if same == bytes => unchanged(),
            (Verb::Resume(_), _) => refused(),

            (Verb::MarkFailed, S::Absent | S::InProgress) => becomes(S::Failed { was_completed: false }),
            (Verb::MarkFailed, S::Completed { held: false, .. }) => becomes(S::Failed { was_completed: true }),
            (Verb::MarkFailed, S::Failed { .. }) => unchanged(),
            (Verb::MarkFailed, _) => refused(),

            (Verb::Hold, S::Completed { bytes, .. }) => becomes(S::Completed { bytes, held: true }),
            (Verb::Release, S::Completed { bytes, held: true }) => becomes(S::Completed { bytes, held: false }),
            (Verb::Hold | Verb::Release, _) => refused(),

            (Verb::Delete | Verb::Forget, S::Absent | S::Sealed) => unchanged(),
            (Verb::Delete | Verb::Forget, S::InProgress | S::Completed { held: true, .. }) => refused(),
            (Verb::Delete, _) => becomes(S::Deleted),
            (Verb::Forget, _) => {
                let end = |later: &bool| (true, self.at(if *later { S::Sealed } else { S::Deleted }));
                later.iter().map(end).collect()
            }

            (Verb::Restore | Verb::Verify, S::Completed { .. }) => unchanged(),
            (Verb::Restore | Verb::Verify, _) => refused(),
            (Verb::Status | Verb::List, _) => unchanged(),
        }
    }

    /// Everything that a call may leave that is cut off, cancelled or overtaken on its way.
    pub(super) fn on_the_way(&self, verb: Verb, later: &BTreeSet<bool>) -> BTreeSet<Entry> {
        let ends = self.endings(verb, later);
        let mut left: BTreeSet<Entry> = ends.iter().map(|(_, entry)| entry.clone()).collect();
        left.insert(self.clone());
        let moves = ends.iter().any(|(_, entry)| entry.state != self.state);
        match verb {
            Verb::Save(bytes) | Verb::Resume(bytes) if moves => {
                left.insert(self.with(bytes, State::InProgress));
                left.insert(self.with(bytes, State::Failed { was_completed: false }));
            }
            Verb::Delete | Verb::Forget if moves => {
                left.insert(self.at(State::Deleting));
                left.insert(self.at(State::Deleted));
            }
            _ => {}
        }
        left
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Save(Variant::First) => "saves",
            Self::Save(Variant::Other) => "saves other bytes as",
            Self::Resume(Variant::First) => "resumes",
            Self::Resume(Variant::Other) => "resumes with other bytes",
            Self::MarkFailed => "marks as failed",
            Self::Hold => "holds",
            Self::Release => "releases",
            Self::Delete => "deletes",
            Self::Forget => "deletes and forgets",
            Self::Restore => "restores",
            Self::Verify => "verifies",
            Self::Status => "asks for",
            Self::List => "lists everything, not only",
        })
    }
}
