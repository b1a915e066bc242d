//! Which requests of the engine one step of the model stands for.

use super::gate::Ask;
use crate::state::{Actor, State};
use crate::words::*;

/// What the engine does in one step of an actor, in this order. The fault of the step meets the write among them.
pub(super) fn asks(before: &State, w: usize, skips_list: bool) -> Vec<Ask> {
    let a = &before.act[w];
    match w {
        0..=2 => saver(before, a, skips_list),
        3 | 8 | 9 => match a.pc {
            Pc::Cas => vec![Ask::PutStatus],
            _ => vec![Ask::GetStatus],
        },
        4 | 5 => deleter(before, a),
        _ => unreachable!("{} is not replayed", name(w)),
    }
}

fn saver(before: &State, a: &Actor, skips_list: bool) -> Vec<Ask> {
    let there = before.files[0] != 0;
    match a.pc {
        Pc::Init | Pc::Rb | Pc::RbCommit | Pc::RbFail => vec![Ask::GetStatus],
        Pc::Cas | Pc::Commit | Pc::Fail => vec![Ask::PutStatus],
        // No tombstone aside: the model goes on to look for the metadata in the same step.
        Pc::CheckTomb | Pc::ScanMeta => vec![Ask::GetMeta],
        // With metadata that stands, what it names is looked at; else what is listed.
        Pc::Scan if a.hash.is_some() => vec![Ask::HeadFile],
        Pc::Scan if there => vec![Ask::List, Ask::HeadFile],
        Pc::Scan => vec![Ask::List],
        Pc::Upload => vec![Ask::PutFile],
        Pc::Head(_) => vec![Ask::HeadFile],
        Pc::List if skips_list => vec![],
        Pc::List => vec![Ask::List],
        Pc::PutMeta => vec![Ask::PutMeta],
        // Another's metadata: the engine reads it as the plan, and looks at what it names.
        Pc::MetaRb if before.meta.is_some_and(|meta| meta != a.plan) => {
            vec![Ask::GetMeta, Ask::GetMeta, Ask::HeadFile]
        }
        Pc::MetaRb => vec![Ask::GetMeta],
        pc => unreachable!("{pc:?}"),
    }
}

/// Does the engine list once more before its commit? Not where it read its own metadata back, nor where it misses already
/// what another's names.
pub(super) fn will_skip_list(before: &State, w: usize, skips: bool) -> bool {
    let a = &before.act[w];
    match (a.pc, before.meta) {
        (Pc::MetaRb, Some(meta)) => meta == a.plan || before.files[0] != meta[0],
        (Pc::List, _) => false,
        _ => skips,
    }
}

fn deleter(before: &State, a: &Actor) -> Vec<Ask> {
    match a.pc {
        // Nothing there: is there really nothing?
        Pc::Init if before.status.is_none() => vec![Ask::GetStatus, Ask::List],
        Pc::Init | Pc::Rb | Pc::RbFinish => vec![Ask::GetStatus],
        Pc::Cas => vec![Ask::PutStatus],
        Pc::Abort | Pc::Reread => vec![Ask::List],
        Pc::Batch if a.restarts == 1 => vec![Ask::GetStatus],
        Pc::Batch => vec![Ask::Delete],
        Pc::Finish if a.doc.is_some_and(|doc| doc.code == Code::Deleted) => vec![],
        Pc::Finish => vec![Ask::PutStatus],
        pc => unreachable!("{pc:?}"),
    }
}
