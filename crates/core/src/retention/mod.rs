//! Retention: which backups may go, decided from what a listing showed, by rules alone.
//!
//! The subject is the checkpoint that is complete for the whole cluster ([`crate::view`]). Rules name those that are kept;
//! what no rule keeps goes, a checkpoint at a time. Everything else is cleared up beside it: saves that stopped, checkpoints
//! that never became complete, deletes that were interrupted, tombstones.
//!
//! | what | goes when |
//! |---|---|
//! | complete checkpoint | no rule keeps it, no floor binds it; or the ceiling of bytes needs it, the oldest first |
//! | the newest complete one | never, unless an empty store is allowed |
//! | held copy | never |
//! | other checkpoint | all its copies are older than the grace, nobody saves it, and a newer complete checkpoint stays |
//! | FAILED copy | it is older than the grace, and its checkpoint goes or its partition has a complete copy there |
//! | IN_PROGRESS without a sign of life | at once to FAILED; its grace begins then |
//! | DELETING | at once: the delete is continued |
//! | tombstone | older than its grace, below a COMPLETED copy of its partition that stays |
//! | CORRUPT copy, INCONSISTENT checkpoint | never: a person has to look |
//!
//! A plan is data: it names each backup with what happens to it, why, and at which revision it was seen. A dry run prints
//! it, an executor does it, and neither can differ from the other.

mod calendar;
mod candidate;
mod plan;
mod policy;
mod rules;

pub use candidate::{Candidate, Seen};
pub use plan::{Action, PlannedCheckpoint, RetentionPlan, Step};
pub use policy::{PolicyError, RetentionPolicy};

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
