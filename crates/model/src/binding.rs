//! The model cannot drift from the code: every change of the status that it makes is one that the life cycle of
//! `milepost-core` makes too, with the same document, and what the life cycle refuses the model refuses.

use std::collections::{BTreeSet, HashSet, VecDeque};

use milepost_core::checksum::sha256_hex;
use milepost_core::lifecycle::{Annotation, Claim, Deleting, Failed, InProgress, Lifecycle};
use milepost_core::{
    AttemptId, BackupId, ClusterId, Counts, Descriptor, Hold, HoldId, Owner, StatusCode, StatusDocument, Timestamp,
};

use crate::explore::Machine as _;
use crate::scenarios::{Scenario, fixed_runs};
use crate::state::{Actor, State};
use crate::words::*;

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn id() -> BackupId {
    "1/100/2".parse().unwrap()
}

fn cluster() -> ClusterId {
    ClusterId::new("model").unwrap()
}

fn code(code: Code) -> StatusCode {
    match code {
        Code::InProgress => StatusCode::InProgress,
        Code::Completed => StatusCode::Completed,
        Code::Failed => StatusCode::Failed,
        Code::Deleting => StatusCode::Deleting,
        Code::Deleted => StatusCode::Deleted,
        Code::Corrupt => unreachable!("no document"),
    }
}

fn attempt(doc: Doc) -> AttemptId {
    let mut bits = [0; 16];
    bits[..2].copy_from_slice(&[doc.att, doc.salt]);
    AttemptId::from_random(bits)
}

fn claim(doc: Doc) -> Claim {
    let owner = Owner { host: "model".to_owned(), pid: 1, started_at: now() };
    Claim {
        attempt: attempt(doc),
        owner,
        descriptor: Descriptor::default(),
        planned: Counts::default(),
        copied_from: None,
    }
}

fn hash(plan: Plan) -> String {
    sha256_hex(&plan)
}

fn holds(bits: u8) -> Vec<Hold> {
    let hold = |bit: u8| Hold {
        id: HoldId::new(format!("hold-{bit}")).unwrap(),
        reason: "audit".to_owned(),
        owner: "ops".to_owned(),
        created_at: now(),
    };
    (0..8).filter(|bit| bits & (1 << bit) != 0).map(hold).collect()
}

fn hold_ids(holds: &[Hold]) -> BTreeSet<HoldId> {
    holds.iter().map(|hold| hold.id.clone()).collect()
}

/// The document of the code that a document of the model stands for.
fn concrete(doc: Doc) -> StatusDocument {
    StatusDocument {
        status_code: code(doc.code),
        revision: u64::from(doc.rev),
        metadata_sha256: doc.meta.map(hash),
        holds: holds(doc.holds),
        ..InProgress::claim(cluster(), id(), claim(doc), now()).into_document()
    }
}

/// Who changes a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Saver,
    Marker,
    Deleter,
    Holder,
}

fn role(actor: usize) -> Role {
    match actor {
        0..=2 | 7 => Role::Saver,
        M => Role::Marker,
        8 | 9 => Role::Holder,
        _ => Role::Deleter,
    }
}

/// What the code would write in place of `old` where the model writes `new`; why not, where it would not.
fn by_the_code(role: Role, old: Option<Doc>, new: Doc) -> Result<StatusDocument, String> {
    let refused = |error: milepost_core::lifecycle::TransitionError| error.to_string();
    let Some(old) = old else {
        return Ok(match role {
            Role::Saver => InProgress::claim(cluster(), id(), claim(new), now()).into_document(),
            Role::Marker => Failed::record(cluster(), id(), attempt(new), "given up", now()).into_document(),
            Role::Deleter => Deleting::leftovers(cluster(), id(), attempt(new), now()).into_document(),
            Role::Holder => return Err("nothing is there to hold".to_owned()),
        });
    };
    if old.code == Code::Corrupt {
        return match role {
            Role::Deleter => Ok(Deleting::leftovers(cluster(), id(), attempt(new), now()).into_document()),
            _ => Err("a corrupt status can only be deleted".to_owned()),
        };
    }
    let own = (old.att, old.salt) == (new.att, new.salt);
    match (role, Lifecycle::from(concrete(old)), new.code) {
        (Role::Saver, Lifecycle::InProgress(state), Code::InProgress) if own => {
            Ok(state.progress(Counts::default(), now()).into_document())
        }
        (Role::Saver, Lifecycle::InProgress(state), Code::InProgress) => {
            state.take_over(claim(new), now()).map(InProgress::into_document).map_err(refused)
        }
        (Role::Saver, Lifecycle::Failed(state), Code::InProgress) => {
            state.take_over(claim(new), now()).map(InProgress::into_document).map_err(refused)
        }
        (Role::Saver, Lifecycle::InProgress(state), Code::Completed) if own => {
            let sha256 = new.meta.map(hash).unwrap_or_default();
            Ok(state.commit(sha256, Counts::default(), true, now()).into_document())
        }
        (Role::Saver, Lifecycle::InProgress(state), Code::Failed) if own => Ok(state.fail("", now()).into_document()),
        (Role::Marker, Lifecycle::InProgress(state), Code::Failed) => Ok(state.fail("", now()).into_document()),
        (Role::Marker, Lifecycle::Completed(state), Code::Failed) => {
            state.fail("", now()).map(Failed::into_document).map_err(refused)
        }
        (Role::Deleter, Lifecycle::Completed(state), Code::Deleting) => {
            state.delete(now()).map(Deleting::into_document).map_err(refused)
        }
        (Role::Deleter, Lifecycle::Failed(state), Code::Deleting) => Ok(state.delete(now()).into_document()),
        (Role::Deleter, Lifecycle::Deleting(state), Code::Deleted) => Ok(state.finish(now()).into_document()),
        (Role::Holder, Lifecycle::Completed(state), Code::Completed) => {
            let hold = holds(new.holds & !old.holds).pop().ok_or("no new hold")?;
            let annotated = state.annotate(&Annotation::Hold(hold), now());
            annotated.map(|state| state.into_document()).map_err(refused)
        }
        _ => Err("the life cycle offers no such change".to_owned()),
    }
}

/// Calls `see` with each step to a new state, up to a limit of states.
fn walk(scenario: &Scenario, limit: usize, mut see: impl FnMut(&State, &State)) {
    let mut open: VecDeque<State> = scenario.init_states().into();
    let mut seen: HashSet<State> = open.iter().cloned().collect();
    let mut actions = Vec::new();
    while let Some(state) = open.pop_front() {
        actions.clear();
        scenario.actions(&state, &mut actions);
        for act in actions.drain(..) {
            let Some(next) = scenario.next_state(&state, act) else { continue };
            see(&state, &next);
            if seen.len() < limit && seen.insert(next.clone()) {
                open.push_back(next);
            }
        }
    }
}

/// Which actor moved.
fn mover(before: &State, after: &State) -> Option<usize> {
    (0..before.act.len()).find(|w| before.act[*w] != after.act[*w])
}

#[test]
fn every_change_of_the_model_is_one_of_the_life_cycle() {
    let (mut rows, mut changes) = (BTreeSet::new(), 0);
    for scenario in fixed_runs().into_iter().map(Scenario::without_faults) {
        // Progress and the removal of a status belong to runs of their own.
        if scenario.rules.finish != crate::rules::Finish::Tombstone {
            continue;
        }
        walk(&scenario, 30_000, |before, after| {
            let (Some(new), Some(actor)) = (after.status, mover(before, after)) else { return };
            // A stranger's writes are nobody's change.
            if before.status == after.status || before.spoils != after.spoils {
                return;
            }
            changes += 1;
            let role = role(actor);
            let what = || format!("{}: {role:?} turns {:?} into {new:?}", scenario.name, before.status);
            let written = by_the_code(role, before.status, new).unwrap_or_else(|why| panic!("{}: {why}", what()));
            let same = written.status_code == code(new.code)
                && written.attempt_id == attempt(new)
                && written.revision == u64::from(new.rev)
                && written.metadata_sha256 == new.meta.map(hash)
                && hold_ids(&written.holds) == hold_ids(&holds(new.holds));
            assert!(same, "{}, the code writes {written:?}", what());
            rows.insert((role, before.status.map(|doc| doc.code), new.code));
        });
    }
    println!("{changes} changes of the status, {} rows of the life cycle", rows.len());
    use Code::{Completed as C, Corrupt as X, Deleted as T, Deleting as D, Failed as F, InProgress as P};
    use Role::{Deleter, Holder, Marker, Saver};
    let expected = [
        (Saver, None, P),
        (Saver, Some(P), P),
        (Saver, Some(P), C),
        (Saver, Some(P), F),
        (Saver, Some(F), P),
        (Marker, None, F),
        (Marker, Some(P), F),
        (Marker, Some(C), F),
        (Deleter, None, D),
        (Deleter, Some(C), D),
        (Deleter, Some(F), D),
        (Deleter, Some(D), T),
        (Deleter, Some(X), D),
        (Holder, Some(C), C),
    ];
    for row in expected {
        assert!(rows.contains(&row), "the model never does {row:?}");
    }
    assert_eq!(rows.len(), expected.len(), "{rows:?}");
}

#[test]
fn what_the_life_cycle_refuses_the_model_refuses() {
    let mut documents = HashSet::new();
    for scenario in fixed_runs().into_iter().map(Scenario::without_faults) {
        walk(&scenario, 10_000, |_, after| {
            documents.insert(after.status);
        });
    }
    let scenario = fixed_runs().remove(0);
    let env = scenario.env();
    let mut seen = 0;
    let readable = |status: &Option<Doc>| status.is_none_or(|doc| doc.code != Code::Corrupt);
    for status in documents.iter().copied().filter(readable) {
        for (actor, resume) in [(7, false), (7, true), (M, false), (D, false), (H, false)] {
            let mut state = scenario.init_states().remove(0);
            state.act = [Actor::idle(); 10];
            // Something to delete, so that an absent status is claimed.
            state.files = [1, 0];
            state.status = status;
            state.fresh(actor, [1, 1], resume);
            state.step(actor, 0, Fault::None, &env);
            let wants = state.act[actor].want;
            let allowed = match (role(actor), status.map(|doc| (doc, Lifecycle::from(concrete(doc))))) {
                (Role::Holder, None) => false,
                (_, None) => true,
                (Role::Saver, Some((doc, state))) if resume => {
                    let other = Doc { att: doc.att + 1, ..doc };
                    match state {
                        Lifecycle::InProgress(state) => state.take_over(claim(other), now()).is_ok(),
                        Lifecycle::Failed(state) => state.take_over(claim(other), now()).is_ok(),
                        _ => false,
                    }
                }
                (Role::Saver, Some(_)) => false,
                (Role::Marker, Some((_, state))) => match state {
                    Lifecycle::Completed(state) => state.fail("", now()).is_ok(),
                    state => matches!(state, Lifecycle::InProgress(_)),
                },
                (Role::Deleter, Some((_, state))) => match state {
                    Lifecycle::Completed(state) => state.delete(now()).is_ok(),
                    state => matches!(state, Lifecycle::Failed(_)),
                },
                (Role::Holder, Some((_, state))) => matches!(state, Lifecycle::Completed(_)),
            };
            assert_eq!(
                wants.is_some(),
                allowed,
                "actor {} (resume {resume}) at {status:?} wants {wants:?}",
                name(actor)
            );
            seen += 1;
        }
    }
    println!("{seen} first moves at {} statuses", documents.len());
    assert!(documents.len() >= 30, "{}", documents.len());
}
