//! Files that change or fail while they are saved.

use milepost_core::{BackupId, StatusCode};
use milepost_store::{BackupState, ErrorKind, FileEntry, SaveOptions};

use super::client::{Client, backup, small};
use crate::check::{Checked, Doing as _, Seen, ensure, ensure_eq};
use crate::fixtures::{MemorySource, entry, seeded_bytes};

const ID: BackupId = BackupId::new(1, 100, 2);

fn file(name: &str, source: MemorySource) -> Checked<FileEntry> {
    entry(name, source).doing("naming a file")
}

/// The save failed for its sources, and names exactly these.
async fn fails_for(client: &Client, id: BackupId, files: (Vec<FileEntry>, Vec<FileEntry>), names: &[&str]) -> Checked {
    let error = match client.try_save(backup(id, files), SaveOptions::default()).await {
        Ok(report) => return Err(Seen(format!("a save with bad files {names:?} succeeded: {report:?}"))),
        Err(error) => error,
    };
    let ErrorKind::Source { files } = error.kind() else {
        return Err(Seen(format!("expected source, found {error:?}")));
    };
    let mut named: Vec<&str> = files.iter().map(|failure| failure.file.as_str()).collect();
    named.sort_unstable();
    ensure_eq!(named, names, "files that the error names");
    ensure!(files.iter().all(|failure| !failure.reason.is_empty()), "a failure without a reason: {files:?}");
    let status = client.in_state(id, StatusCode::Failed, "after a save with bad files").await?;
    let reason = status.failure_reason.unwrap_or_default();
    for name in names {
        ensure!(reason.contains(name), "the failure reason does not name {name}: {reason}");
    }
    ensure_eq!(status.metadata_sha256, None, "metadata of a save with bad files");
    Ok(())
}

pub(super) async fn a_growing_segment_is_saved_at_its_planned_length(client: Client) -> Checked {
    let part = usize::try_from(client.options.part_size).unwrap_or(1 << 16);
    let lens = [0, 10, part, part * 2 + 1];
    let mut segments = Vec::new();
    for (at, len) in lens.into_iter().enumerate() {
        let source = MemorySource::new(seeded_bytes(at as u64, len)).growing(1000);
        // The last one by the length that the broker knows to be durable; more than that is there already.
        let durable = (at == 3).then_some(part as u64);
        segments.push(FileEntry { len: durable, ..file(&format!("{at}.log"), source)? });
    }
    let report = client.try_save(backup(ID, (Vec::new(), segments)), SaveOptions::default()).await;
    let report = report.doing("saving growing segments")?;
    for (at, len) in [0, 10, part, part].into_iter().enumerate() {
        let name = format!("{at}.log");
        let saved = report.files.iter().find(|file| file.record.name.as_str() == name);
        let record = &saved.ok_or_else(|| Seen(format!("the report lacks {name}")))?.record;
        let expected = seeded_bytes(at as u64, lens[at]).slice(..len);
        ensure_eq!(record.size, len as u64, "the size of {name}");
        ensure_eq!(record.crc64nvme, milepost_core::Crc64Nvme::of(&expected), "the checksum of {name}");
    }
    Ok(())
}

pub(super) async fn a_changing_snapshot_fails_the_save_by_name(client: Client) -> Checked {
    let (mut snapshots, segments) = small(1)?;
    snapshots.push(file("column/2.sst", MemorySource::new(seeded_bytes(3, 500)).changing())?);
    fails_for(&client, ID, (snapshots, segments), &["snapshots/column/2.sst"]).await?;
    let id = BackupId::new(1, 101, 2);
    let (mut snapshots, segments) = small(1)?;
    snapshots.push(file("2.sst", MemorySource::new(seeded_bytes(3, 500)).shrinking_to(100))?);
    fails_for(&client, id, (snapshots, segments), &["snapshots/2.sst"]).await
}

pub(super) async fn every_failing_file_is_named(client: Client) -> Checked {
    let (mut snapshots, mut segments) = small(1)?;
    let body = seeded_bytes(4, usize::try_from(client.options.part_size * 3).unwrap_or(1 << 16));
    snapshots.push(file("bad.sst", MemorySource::new(body.clone()).failing_at(client.options.part_size + 1))?);
    segments.push(file("bad.log", MemorySource::new(body.clone()).failing_at(0))?);
    segments.push(file("short.log", MemorySource::new(body).shrinking_to(7))?);
    let names = ["segments/bad.log", "segments/short.log", "snapshots/bad.sst"];
    fails_for(&client, ID, (snapshots, segments), &names).await
}

pub(super) async fn files_that_cannot_be_planned_are_named(client: Client) -> Checked {
    let (snapshots, mut segments) = small(1)?;
    segments.push(FileEntry { len: Some(11), ..file("never-that-long.log", MemorySource::new("0123456789"))? });
    for name in ["missing-1.log", "missing-2.log"] {
        let missing = milepost_store::PathSource::new(client.path(name));
        segments.push(entry(name, missing).doing("naming a file")?);
    }
    let saved = client.try_save(backup(ID, (snapshots, segments)), SaveOptions::default()).await;
    let Err(error) = saved else { return Err(Seen("a save with missing files succeeded".to_owned())) };
    let ErrorKind::Source { files } = error.kind() else {
        return Err(Seen(format!("expected source, found {error:?}")));
    };
    for name in ["segments/missing-1.log", "segments/missing-2.log", "segments/never-that-long.log"] {
        ensure!(files.iter().any(|failure| failure.file == name), "the error does not name {name}: {error:?}");
    }
    // Whether the plan is made before the claim or after it: nobody may take the id for one that is being saved.
    let state = client.status(ID).await?.state();
    let over = matches!(state, BackupState::DoesNotExist | BackupState::Failed);
    ensure!(over, "a save with missing files left {state}");
    Ok(())
}
