//! How a save begins: what the status allows, and the claim.

use milepost_core::lifecycle::{Claim, InProgress, Lifecycle};
use milepost_core::{Counts, StatusCode, StatusDocument};

use super::owner::{GIVING_UP, Owned};
use super::plan::Described;
use crate::api::SaveOptions;
use crate::bucket::Bucket;
use crate::context::OpContext;
use crate::engine::Engine;
use crate::engine::mark::refused;
use crate::engine::register::{Held, StatusRead, Written};
use crate::error::{Error, ErrorKind, Result};

/// How the status lets a save begin.
pub(super) enum Entry {
    /// Nothing is there: claim.
    Claim,
    /// Take over from this document.
    TakeOver(Held),
    /// It is committed: compare, write nothing.
    Compare,
}

impl<B: Bucket> Engine<B> {
    /// May this save begin, and how? Reads the status; files are not touched yet.
    pub(super) async fn entry(&self, described: &Described, options: &SaveOptions, cx: &OpContext) -> Result<Entry> {
        let id = described.id;
        let read = if self.cluster.initialized() { self.addressed(id, cx).await? } else { StatusRead::Absent };
        let (held, age) = match read {
            StatusRead::Absent => {
                self.refuse_sealed(id, cx).await?;
                return Ok(Entry::Claim);
            }
            StatusRead::Present { held, age } => (held, age),
            corrupt @ StatusRead::Corrupt { .. } => {
                return Err(corrupt
                    .wrong_state("the status cannot be used")
                    .with_hint("`delete --corrupt` removes it"));
            }
        };
        let state = held.state();
        let again = StatusRead::Present { held: held.clone(), age };
        match state {
            // Advice to resume what is alive would have two processes fence each other.
            Lifecycle::InProgress(_) if !options.resume => Err(again.wrong_state("the id is taken").with_hint(
                "if that process is gone, `save --resume` continues its work; if it lives, this would stop it",
            )),
            Lifecycle::Failed(failed) if !options.resume && !failed.was_completed() => Err(again
                .wrong_state("the id is taken")
                .with_hint("`save --resume` continues it; `delete` frees nothing: a deleted id is used up")),
            Lifecycle::Completed(_) if !options.resume => {
                Err(again.wrong_state("the id is taken").with_hint("it is saved already; take a later checkpoint"))
            }
            Lifecycle::Failed(failed) if failed.was_completed() => Err(again
                .wrong_state("was COMPLETED before it was marked as failed, and is not resumed")
                .with_hint("delete it, or take a later checkpoint")),
            Lifecycle::InProgress(_) | Lifecycle::Failed(_)
                if held.document.descriptor.as_ref().is_some_and(|before| *before != described.descriptor) =>
            {
                Err(again
                    .wrong_state("was begun with another descriptor, and is resumed with the same one only")
                    .with_hint(
                        "resume with the arguments of the first attempt; or delete it, or take a later checkpoint",
                    ))
            }
            Lifecycle::InProgress(_) | Lifecycle::Failed(_) => {
                // It may be a claim that came back late, after its backup was deleted and forgotten.
                self.refuse_sealed(id, cx).await?;
                Ok(Entry::TakeOver(held))
            }
            Lifecycle::Completed(_) => Ok(Entry::Compare),
            Lifecycle::Deleting(_) => Err(again.wrong_state("the id is being deleted")),
            Lifecycle::Deleted(_) => {
                Err(again.wrong_state("the id was deleted and is used up").with_hint("take a later checkpoint"))
            }
        }
    }

    pub(super) async fn enough_space(&self, counts: Counts, cx: &OpContext) -> Result<()> {
        let free = self.must(cx, || self.bucket.free_space()).await?;
        match free {
            Some(free) if free < counts.bytes => Err(Error::refused(format!(
                "no space: {} bytes are to be saved, {free} are free in {}",
                counts.bytes,
                self.bucket.location()
            ))
            .with_hint("free space, or prune old backups; nothing was written")),
            _ => Ok(()),
        }
    }

    /// Creates the status, or takes it over.
    pub(super) async fn claim(
        &self,
        described: &Described,
        planned: Counts,
        entry: Entry,
        cx: &OpContext,
    ) -> Result<Held> {
        let id = described.id;
        let owner = self.env.owner();
        let claim = || Claim {
            attempt: self.env.attempt(),
            owner: owner.clone(),
            descriptor: described.descriptor.clone(),
            planned,
            copied_from: described.given.as_ref().map(|given| given.copied_from.clone()),
        };
        let now = || self.env.clock.now();
        let (from, take_over) = match entry {
            Entry::TakeOver(held) => (Some(held), Some(claim())),
            _ => (None, None),
        };
        let mut sent = Vec::new();
        let written = self
            .cas(id, from, false, cx, |from: Option<&StatusDocument>| {
                let next = match (from, &take_over) {
                    (Some(document), Some(claim)) => match Lifecycle::from(document.clone()) {
                        Lifecycle::InProgress(state) => state.take_over(claim.clone(), now()),
                        Lifecycle::Failed(state) => state.take_over(claim.clone(), now()),
                        _ => return Err(Error::new(ErrorKind::Internal, "took over from a state that forbids it")),
                    }
                    .map(InProgress::into_document)
                    .map_err(refused),
                    // Each try of a claim has a new attempt: a try whose reply was lost is then a win when read back at
                    // revision 1, and a stranger once another try is held.
                    _ => Ok(InProgress::claim(self.cluster_id()?, id, claim(), now()).into_document()),
                }?;
                sent.push(next.attempt_id.clone());
                Ok(next)
            })
            .await;
        let written = match written {
            Ok(written) => written,
            // Cancelled, or out of tries, with a claim on its way: if it stands, it is given up like any other.
            Err(error) => {
                let settle = OpContext::new().with_timeout(GIVING_UP);
                if !sent.is_empty()
                    && let Ok(StatusRead::Present { held, .. }) = self.read_status(id, &settle).await
                    && held.document.status_code == StatusCode::InProgress
                    && sent.contains(&held.document.attempt_id)
                {
                    Owned::new(self, held).fail(error.message()).await;
                }
                return Err(error);
            }
        };
        let held = match written {
            Written::Landed(held) => held,
            Written::Fenced(read) => return Err(read.conflict("another save was first")),
        };
        if let Err(sealed) = self.refuse_sealed(id, cx).await {
            // The tombstone was forgotten between the look and the claim: its late DELETE could hit this status. What was
            // taken over may be a late copy of the very document that was looked at.
            let mut owned = Owned::new(self, held);
            owned.fail(&format!("the id is used up: {sealed}")).await;
            return Err(sealed);
        }
        Ok(held)
    }
}
