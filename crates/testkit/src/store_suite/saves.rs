//! What a save does and reports.

use std::sync::Arc;

use futures::future::join_all;
use milepost_core::checksum::sha256_hex;
use milepost_core::{BackupId, Counts, Descriptor, DigestAlgorithm, FileRecord, FileSetKind, SkippedFile, StatusCode};
use milepost_store::{Backup, BackupState, Expect, OpContext, SaveOptions, SaveOutcome, SaveReport};

use super::client::{Client, backup, both, descriptor, records, refused, resume, small};
use crate::check::{Checked, Doing as _, Seen, ensure, ensure_eq};
use crate::fixtures::{BlockedSource, MemorySource, entry, seeded_bytes};

const ID: BackupId = BackupId::new(1, 100, 2);

pub(super) async fn an_absent_backup_is_a_status(client: Client) -> Checked {
    let status = client.status(ID).await?;
    ensure_eq!(status.state(), BackupState::DoesNotExist, "state of an absent backup");
    ensure_eq!((status.id, &status.document, &status.etag), (ID, &None, &None), "status of an absent backup");
    ensure_eq!(status.expect(), Expect::Any, "expectation of an absent backup");
    let cx = OpContext::new();
    refused(client.store.metadata(ID, &cx).await, "not_found", "metadata of an absent backup")
}

/// Report, status and metadata agree with one another and with the files.
async fn agrees(client: &Client, report: &SaveReport, expected: [(FileSetKind, Vec<FileRecord>); 2]) -> Checked {
    let files: Vec<(FileSetKind, FileRecord)> =
        expected.iter().flat_map(|(kind, set)| set.iter().map(|file| (*kind, file.clone()))).collect();
    let bytes: u64 = files.iter().map(|(_, file)| file.size).sum();
    let mut told: Vec<_> = report.files.iter().map(|file| (file.kind, file.record.clone())).collect();
    told.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    ensure_eq!(told, files, "the report's files");
    ensure_eq!((report.id, report.bytes), (ID, bytes), "the report's id and bytes");

    let status = client.in_state(ID, StatusCode::Completed, "after a save").await?;
    ensure_eq!(status.descriptor, Some(descriptor()), "the descriptor in the status");
    let counts = Some(Counts { files: files.len() as u64, bytes });
    ensure_eq!((status.planned, status.done), (counts, counts), "planned and done in the status");
    ensure_eq!(
        status.metadata_sha256.as_ref(),
        Some(&report.metadata_sha256),
        "the hash of the metadata in the status"
    );
    ensure_eq!(status.completed_at, Some(status.last_modified), "when it was completed");
    ensure!(status.revision >= 2, "a claim and a commit make revision {}", status.revision);
    ensure!(status.owner.is_some() && status.failure_reason.is_none(), "owner or failure reason in {status:?}");

    let cx = OpContext::new();
    let metadata = client.store.metadata(ID, &cx).await.doing("metadata")?;
    ensure_eq!(metadata.sha256, report.metadata_sha256, "the hash of the metadata");
    let encoded = metadata.document.encode().doing("encoding the metadata again")?;
    ensure_eq!(sha256_hex(&encoded), metadata.sha256, "the hash of the metadata's own bytes");
    for (kind, set) in &expected {
        ensure_eq!(metadata.document.files(*kind), set.as_slice(), "{kind} in the metadata");
    }
    ensure_eq!(metadata.document.id, ID, "the id in the metadata");
    ensure_eq!(metadata.document.descriptor, descriptor(), "the descriptor in the metadata");
    ensure_eq!(metadata.document.cluster_id, status.cluster_id, "the cluster in metadata and status");
    Ok(())
}

pub(super) async fn a_save_commits_every_file(client: Client) -> Checked {
    let broker = client.broker(1)?;
    let whole = broker.backup(ID, descriptor()).doing("listing broker files")?;
    let expected = both(whole.snapshots.clone(), whole.segments.clone());
    let cx = OpContext::new();
    let report = client.store.save(whole, SaveOptions::default(), &cx).await.doing("the save")?;
    ensure_eq!(report.outcome, SaveOutcome::Saved, "the outcome");
    ensure_eq!(report.bytes_sent, report.bytes, "bytes that a first save sends");
    ensure!(report.files.iter().all(|file| file.sent), "a first save says that it did not send a file");
    ensure!(report.warnings.is_empty(), "warnings of a first save: {:?}", report.warnings);
    let sample = cx.progress().sample();
    ensure_eq!(
        (sample.files_total, sample.bytes_total, sample.files_done, sample.bytes_done),
        (report.files.len() as u64, report.bytes, report.files.len() as u64, report.bytes),
        "the counters of the call"
    );
    let mut sets = Vec::new();
    for (kind, set) in expected {
        sets.push((kind, records(&set, Some(DigestAlgorithm::Blake3))?));
    }
    let sets = sets.try_into().map_err(|_| Seen("two sets".to_owned()))?;
    agrees(&client, &report, sets).await
}

pub(super) async fn empty_sets_are_a_backup(client: Client) -> Checked {
    let report = client.try_save(backup(ID, (Vec::new(), Vec::new())), SaveOptions::default()).await;
    let report = report.doing("saving no files")?;
    agrees(&client, &report, [(FileSetKind::Snapshots, Vec::new()), (FileSetKind::Segments, Vec::new())]).await
}

pub(super) async fn digests_are_taken_as_asked(client: Client) -> Checked {
    for (checkpoint, digest) in [(100, Some(DigestAlgorithm::Sha256)), (101, None)] {
        let id = BackupId::new(1, checkpoint, 2);
        let (snapshots, segments) = small(1)?;
        let expected = records(&snapshots, digest)?;
        let mut options = SaveOptions::default();
        options.digest = digest;
        let report = client.try_save(backup(id, (snapshots, segments)), options).await.doing("a save")?;
        let found = report.files.iter().find(|file| file.kind == FileSetKind::Snapshots).map(|file| &file.record);
        ensure_eq!(found, expected.first(), "the record of a file saved with digest {digest:?}");
    }
    Ok(())
}

pub(super) async fn skipped_files_make_it_incomplete(client: Client) -> Checked {
    let skipped = SkippedFile { name: "segments/2.log".to_owned(), reason: "bad block".to_owned() };
    let mut options = SaveOptions::default();
    options.skipped = vec![skipped.clone()];
    client.try_save(backup(ID, small(1)?), options).await.doing("a save with a skipped file")?;
    let status = client.in_state(ID, StatusCode::Completed, "after a save with a skipped file").await?;
    ensure!(!status.complete, "a backup with a skipped file says that it is complete");
    let metadata = client.store.metadata(ID, &OpContext::new()).await.doing("metadata")?;
    ensure_eq!(metadata.document.skipped_files, [skipped], "skipped files in the metadata");
    Ok(())
}

pub(super) async fn colliding_names_are_refused_before_any_effect(client: Client) -> Checked {
    for names in [["a.sst", "A.sst"], ["a", "a/b"], ["é", "e\u{301}"], ["same", "same"]] {
        let set = |()| names.map(|name| entry(name, MemorySource::new("x"))).into_iter().collect::<Result<Vec<_>, _>>();
        let files = (set(()).doing("naming files")?, Vec::new());
        let saved = client.try_save(backup(ID, files), SaveOptions::default()).await;
        refused(saved, "invalid_input", format_args!("saving {names:?}"))?;
        ensure_eq!(client.status(ID).await?.document, None, "status after refusing {names:?}");
    }
    let bad = Descriptor { number_of_partitions: Some(0), ..descriptor() };
    let saved = client.try_save(Backup { descriptor: bad, ..backup(ID, small(1)?) }, SaveOptions::default()).await;
    refused(saved, "invalid_input", "a descriptor without partitions")?;
    ensure_eq!(client.status(ID).await?.document, None, "status after refusing a descriptor");
    Ok(())
}

pub(super) async fn the_reservation_ends_with_the_save(client: Client) -> Checked {
    let reservation = Arc::new(());
    for (checkpoint, fails) in [(100, false), (101, true)] {
        let mut whole = backup(BackupId::new(1, checkpoint, 2), small(1)?);
        if fails {
            whole.segments = vec![entry("x", MemorySource::new("xyz").failing_at(1)).doing("naming a file")?];
        }
        whole.reservation = Some(Box::new(Arc::clone(&reservation)));
        let saved = client.try_save(whole, SaveOptions::default()).await;
        ensure_eq!(saved.is_err(), fails, "did the save fail");
        ensure_eq!(Arc::strong_count(&reservation), 1, "reservations left after a save that fails: {fails}");
    }
    Ok(())
}

pub(super) async fn racing_saves_have_one_winner(client: Client) -> Checked {
    let savers = (0..client.options.racers.clamp(2, 64) as u64).map(|seed| {
        let client = client.clone();
        tokio::spawn(async move {
            let whole = backup(ID, small(seed * 10)?);
            Ok(client.try_save(whole, SaveOptions::default()).await)
        })
    });
    let mut won = Vec::new();
    for saver in join_all(savers).await {
        let result: Checked<_> = saver.doing("a task of the race")?;
        match result? {
            Ok(report) => won.push(report),
            lost => refused(lost, "wrong_state|conflict", "a save that lost the race")?,
        }
    }
    ensure_eq!(won.len(), 1, "winners of racing saves");
    let status = client.in_state(ID, StatusCode::Completed, "after racing saves").await?;
    ensure_eq!(
        status.metadata_sha256.as_ref(),
        won.first().map(|report| &report.metadata_sha256),
        "what was committed"
    );
    let metadata = client.store.metadata(ID, &OpContext::new()).await.doing("metadata")?;
    let mut told: Vec<_> = won.iter().flat_map(|report| &report.files).map(|file| file.record.crc64nvme.0).collect();
    let mut held: Vec<_> = metadata.document.all_files().map(|(_, file)| file.crc64nvme.0).collect();
    told.sort_unstable();
    held.sort_unstable();
    ensure_eq!(held, told, "checksums of what was committed");
    Ok(())
}

pub(super) async fn a_cancelled_save_is_failed(client: Client) -> Checked {
    let cx = OpContext::new();
    cx.cancel();
    let saved = client.store.save(backup(ID, small(1)?), SaveOptions::default(), &cx).await;
    refused(saved, "cancelled", "a save cancelled before it began")?;
    ensure_eq!(client.status(ID).await?.document, None, "status after a save cancelled before it began");

    let blocked = BlockedSource::new(seeded_bytes(1, 1000));
    let _released = blocked.guard();
    let files = (vec![entry("a", blocked.clone()).doing("naming a file")?], small(1)?.1);
    let cx = OpContext::new();
    let saver = tokio::spawn({
        let (client, cx) = (client.clone(), cx.clone());
        async move { client.store.save(backup(ID, files), SaveOptions::default(), &cx).await }
    });
    let seen = client.until_in_progress(ID).await;
    cx.cancel();
    blocked.release();
    let saved = saver.await.doing("the task of a cancelled save")?;
    seen?;
    refused(saved, "cancelled", "a save cancelled half-way")?;
    let status = client.in_state(ID, StatusCode::Failed, "after a cancelled save").await?;
    ensure!(status.failure_reason.is_some(), "a cancelled save says nothing of its reason");
    ensure_eq!(status.metadata_sha256, None, "metadata of a cancelled save");
    let saved = client.try_save(backup(ID, (Vec::new(), Vec::new())), SaveOptions::default()).await;
    refused(saved, "wrong_state", "a save over a cancelled one")
}

pub(super) async fn a_dropped_save_is_resumed(client: Client) -> Checked {
    client.abandon(ID).await?;
    let before = client.document(ID).await?;
    let report = client.try_save(backup(ID, small(1)?), resume()).await.doing("resuming a dropped save")?;
    ensure_eq!(report.outcome, SaveOutcome::Saved, "outcome of a resume");
    let after = client.in_state(ID, StatusCode::Completed, "after a resume").await?;
    ensure!(after.attempt_id != before.attempt_id, "the attempt that resumes has the id of the one that was dropped");
    ensure!(after.revision > before.revision, "revision {} after {}", after.revision, before.revision);
    ensure_eq!(after.created_at, before.created_at, "when the status was created");
    Ok(())
}

pub(super) async fn a_resume_of_equal_files_writes_nothing(client: Client) -> Checked {
    let broker = client.broker(1)?;
    let whole = || broker.backup(ID, descriptor()).doing("listing broker files");
    let first = client.try_save(whole()?, SaveOptions::default()).await.doing("the save")?;
    let before = client.status(ID).await?;
    let again = client.try_save(whole()?, resume()).await.doing("a resume of a completed backup")?;
    ensure_eq!(again.outcome, SaveOutcome::AlreadyComplete, "outcome of a resume of a completed backup");
    ensure_eq!((again.bytes, again.bytes_sent), (first.bytes, 0), "bytes, and bytes sent, of that resume");
    ensure_eq!(again.metadata_sha256, first.metadata_sha256, "the metadata of that resume");
    ensure!(again.files.iter().all(|file| !file.sent), "a resume of a completed backup says that it sent a file");
    client.unchanged(&before, "after a resume of a completed backup").await?;

    // A log that grew since then still begins with what was saved.
    let mut grown = whole()?;
    for (file, saved) in grown.segments.iter_mut().zip(records(&whole()?.segments, None)?) {
        let bytes = {
            let open = file.source.open().doing("opening a segment")?;
            let mut bytes = vec![0; usize::try_from(saved.size).doing("a size")?];
            let count = open.read_at(&mut bytes, 0).doing("reading a segment")?;
            ensure_eq!(count, bytes.len(), "bytes read of the check's own segment");
            [bytes.as_slice(), b"more"].concat()
        };
        file.source = Arc::new(MemorySource::new(bytes));
    }
    let again = client.try_save(grown, resume()).await.doing("a resume with longer segments")?;
    ensure_eq!(again.outcome, SaveOutcome::AlreadyComplete, "outcome of a resume with longer segments");
    client.unchanged(&before, "after a resume with longer segments").await
}

pub(super) async fn a_resume_of_other_files_is_refused(client: Client) -> Checked {
    client.save(ID).await?;
    let before = client.status(ID).await?;
    let mut more = small(1)?;
    more.1.push(entry("2.log", MemorySource::new("x")).doing("naming a file")?);
    let mut fewer = small(1)?;
    fewer.0.clear();
    for (what, files) in [("other bytes", small(50)?), ("one more file", more), ("one file less", fewer)] {
        let saved = client.try_save(backup(ID, files), resume()).await;
        ensure!(saved.is_err(), "a resume of a completed backup with {what} succeeded: {saved:?}");
        client.unchanged(&before, what).await?;
    }
    Ok(())
}
