//! Clearing up what an examination found, as far as nobody can miss it.

use super::DoctorOptions;
use super::finding::{Diagnosis, Repair, Repaired};
use crate::api::{Mend, Mended, StoreAdmin};
use crate::context::OpContext;
use crate::error::{ErrorKind, Operation, Result};
use crate::journals::Journals;
use crate::prune::{self, PruneOptions};

/// Does what the findings' repairs say, one after the other, and notes in each what became of it. What changed since it was
/// found is kept.
///
/// Cancelling or dropping leaves some of them done; the next examination finds the rest.
///
/// # Errors
/// What would meet the next repair too: no answer, cancelled. The findings tell how far it came.
pub async fn repair(
    store: &dyn StoreAdmin,
    diagnosis: &mut Diagnosis,
    options: &DoctorOptions,
    cx: &OpContext,
) -> Result<()> {
    for finding in &mut diagnosis.findings {
        let Some(repair) = &finding.repair else { continue };
        let done = match one(store, repair, options, cx).await {
            Ok(done) => done,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Unavailable | ErrorKind::Cancelled | ErrorKind::Deadline | ErrorKind::Internal
                ) =>
            {
                return Err(error.during(Operation::Examine));
            }
            Err(error) => Repaired::Failed(error.message().to_owned()),
        };
        finding.repaired = Some(done);
    }
    Ok(())
}

async fn one(store: &dyn StoreAdmin, repair: &Repair, options: &DoctorOptions, cx: &OpContext) -> Result<Repaired> {
    cx.check()?;
    let older_than = options.stale_after;
    Ok(match repair {
        Repair::Upload(upload) => {
            settled([store.mend(Mend::Upload { upload: upload.clone(), older_than }, cx).await?])
        }
        Repair::Leftovers(keys) => {
            let mut outcomes = Vec::new();
            for key in keys {
                outcomes.push(store.mend(Mend::Leftover { key: key.clone(), older_than }, cx).await?);
            }
            settled(outcomes)
        }
        Repair::Forget(plan) => {
            // The executor of prune: each at the revision that was seen, sealed before it is removed.
            let report = prune::execute(store, plan, &PruneOptions::default(), &|_, _| {}, cx).await;
            if let Some(error) = report.stopped {
                return Err(error);
            }
            let all = plan.changes().count() as u64;
            match report.failed.first() {
                Some(failure) => Repaired::Failed(format!("{}: {}", failure.id, failure.error.message())),
                None if report.forgotten < all => Repaired::Kept(format!(
                    "{} of {all} were kept: they are too young by now, or the newest",
                    all - report.forgotten
                )),
                None => Repaired::Done,
            }
        }
        Repair::Journals { dir, names } => {
            let (journals, names) = (Journals::new(dir), names.clone());
            match tokio::task::spawn_blocking(move || journals.clear(&names)).await {
                Ok(Ok(0)) => Repaired::Done,
                Ok(Ok(kept)) => Repaired::Kept(format!("a save writes {} now", super::finding::count(kept, "journal"))),
                Ok(Err(error)) => Repaired::Failed(error.message().to_owned()),
                Err(error) => Repaired::Failed(error.to_string()),
            }
        }
    })
}

fn settled(outcomes: impl IntoIterator<Item = Mended>) -> Repaired {
    let kept = outcomes.into_iter().find_map(|outcome| match outcome {
        Mended::Done => None,
        Mended::Kept(why) => Some(why),
    });
    kept.map_or(Repaired::Done, Repaired::Kept)
}
