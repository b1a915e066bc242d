//! The attempt's journal: what an earlier attempt planned and hashed, and what this one did.
//!
//! A cache, never the truth: whatever goes wrong here is a warning.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use milepost_core::{BackupId, DigestAlgorithm, Hashes, SkippedFile};
use tokio::time::Instant;

use super::plan::{Plan, PlannedFile};
use super::upload::Confirmed;
use crate::api::SaveOptions;
use crate::bucket::{Bucket, UploadId};
use crate::engine::Engine;
use crate::error::FileFailure;
use crate::fs::blocking;
use crate::journal::{
    self, FileDone, JournalDocument, JournalFile, JournalPlan, JournalSkip, JournalUnreadable, JournalUpload,
    JournalWriter,
};

/// The longest reason of a file that could not be looked at, in bytes.
const MAX_UNREADABLE_BYTES: usize = 1024;

/// Lets an earlier attempt's journal fix lengths, spare hashing and find open uploads.
pub(super) fn apply(earlier: &JournalDocument, plan: &mut Plan, digest: Option<DigestAlgorithm>) {
    let by_name = earlier.by_name();
    for file in &mut plan.files {
        let Some(noted) = by_name.get(&(file.kind, file.name.as_str())) else { continue };
        // A snapshot file of another length is another file, and a segment never shrinks: then the journal knows nothing of
        // this one, and the bucket decides.
        if noted.size > file.size || (noted.size < file.size && !file.may_shorten) {
            continue;
        }
        file.size = noted.size;
        file.may_shorten = false;
        if let Some(crc) = noted.crc64nvme
            && noted.spares_hashing(file.size, file.version)
            && noted.digest.map(|digest| digest.algorithm) == digest
        {
            file.known = Some(Hashes { crc, digest: noted.digest });
        }
        file.upload = noted.upload.as_ref().map(|upload| (UploadId(upload.id.clone()), upload.part_size));
    }
}

/// Leaves out what somebody said is to be left out; gives what the metadata says of it.
pub(super) fn leave_out(earlier: JournalDocument, plan: &mut Plan) -> Vec<SkippedFile> {
    let skipped = earlier.skipped;
    let names: HashSet<&str> = skipped.iter().map(|skip| skip.file.as_str()).collect();
    if !names.is_empty() {
        plan.files.retain(|file| !names.contains(file.label().as_str()));
        plan.files.iter_mut().enumerate().for_each(|(at, file)| file.at = at);
        plan.failures.retain(|failure| !names.contains(failure.file.as_str()));
    }
    let said = |skip: &JournalSkip| SkippedFile { name: skip.file.clone(), reason: skip.reason.clone() };
    let left_out = skipped.iter().map(said).collect();
    plan.skipped = skipped;
    left_out
}

/// Writes the journal of an attempt, if there is to be one.
pub(super) struct Notes {
    writer: Option<Arc<JournalWriter>>,
    clock: Arc<dyn crate::env::Clock>,
}

impl<B: Bucket> Engine<B> {
    /// What an earlier attempt at this backup noted.
    pub(super) async fn earlier_journal(&self, id: BackupId, options: &SaveOptions) -> Option<JournalDocument> {
        let dir: PathBuf = self.settings.journal_dir.clone().filter(|_| options.resume && !options.ignore_journal)?;
        let location = self.journal_location();
        blocking(move || Ok(journal::load(&dir, &location, id))).await.ok().flatten()
    }

    /// Where backups of this base are, as journals name it.
    fn journal_location(&self) -> String {
        let (location, base) = (self.bucket.location(), self.layout.root().trim_end_matches('/'));
        if base.is_empty() { location } else { format!("{location}/{base}") }
    }

    /// Begins the journal of an attempt.
    pub(super) async fn begin_journal(&self, id: BackupId, plan: &Plan, options: &SaveOptions) -> Notes {
        let clock = Arc::clone(&self.env.clock);
        let Some(dir) = self.settings.journal_dir.clone() else { return Notes { writer: None, clock } };
        let files = plan.files.iter().map(noted).collect();
        let unreadable = |failure: &FileFailure| JournalUnreadable {
            file: failure.file.clone(),
            error: milepost_core::document::cut(&failure.reason, MAX_UNREADABLE_BYTES),
        };
        let (unreadable, skipped) = (plan.failures.iter().map(unreadable).collect(), plan.skipped.clone());
        let plan = JournalPlan {
            location: self.journal_location(),
            id,
            source: options.source.clone().unwrap_or_default(),
            started_at: clock.now(),
            configuration: journal::configuration(&self.settings, options),
            files,
            unreadable,
            skipped,
        };
        let (settings, random) = (self.settings.clone(), self.env.random.bits());
        let shown = dir.clone();
        match blocking(move || JournalWriter::create(&dir, plan, &settings, random)).await {
            Ok(writer) => Notes { writer: Some(Arc::new(writer)), clock },
            Err(error) => {
                let dir = shown.display();
                tracing::warn!(%dir, %error, "no journal can be kept; a resume will hash its files again");
                Notes { writer: None, clock }
            }
        }
    }
}

fn noted(file: &PlannedFile) -> JournalFile {
    let mut noted = JournalFile::planned(file.kind, file.name.clone(), file.size);
    // What is known stays known if this attempt is killed at once.
    if let Some(known) = file.known {
        noted.crc64nvme = Some(known.crc);
        noted.digest = known.digest;
        noted.source = file.version.map(Into::into);
    }
    noted.upload =
        file.upload.as_ref().map(|(id, part_size)| JournalUpload { id: id.0.clone(), part_size: *part_size });
    noted
}

impl Notes {
    /// No journal is kept.
    pub(super) fn none(env: &crate::env::Env) -> Self {
        Self { writer: None, clock: Arc::clone(&env.clock) }
    }

    pub(super) fn done(&self, file: &PlannedFile, confirmed: &Confirmed) {
        // An object that set a segment's length anew has another one than the journal's plan: nothing is noted of it.
        if let Some(writer) = &self.writer
            && confirmed.record.size == file.size
        {
            let record = &confirmed.record;
            let done = FileDone { crc64nvme: record.crc64nvme, digest: record.digest, source: file.version };
            writer.file_done(file.at, done);
        }
    }

    pub(super) fn failed(&self, file: &PlannedFile, reason: &str) {
        if let Some(writer) = &self.writer {
            writer.file_failed(file.at, reason);
        }
    }

    pub(super) fn upload(&self, file: &PlannedFile, upload: Option<(&UploadId, u64)>) {
        if let Some(writer) = &self.writer {
            let upload = upload.map(|(id, part_size)| JournalUpload { id: id.0.clone(), part_size });
            writer.upload(file.at, upload);
        }
    }

    /// Writes what is due.
    pub(super) async fn write_if_due(&self) {
        let Some(writer) = self.writer.clone().filter(|writer| writer.due(Instant::now())) else { return };
        let now = self.clock.now();
        let path = writer.path().display().to_string();
        if let Err(error) = blocking(move || writer.write(now)).await {
            tracing::warn!(journal = path, %error, "the journal could not be written");
        }
    }

    /// Ends the journal: removed after success, kept with the error after a failure.
    pub(super) async fn end(self, error: Option<String>) {
        let Some(writer) = self.writer else { return };
        let now = self.clock.now();
        let path = writer.path().display().to_string();
        let ended = blocking(move || match error {
            None => writer.finish_success(),
            Some(error) => writer.finish_failure(&error, now),
        });
        if let Err(error) = ended.await {
            tracing::warn!(journal = path, %error, "the journal could not be ended");
        }
    }
}
