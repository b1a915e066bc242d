//! Restores: byte by byte, whole or not at all, and twice.

use milepost_core::BackupId;
use milepost_store::{OpContext, RestoreCheck, RestoreOptions, RestoreOutcome, RestoreTarget, SaveOptions};

use super::client::{Client, backup, descriptor, refused};
use crate::check::{Checked, Doing as _, ensure, ensure_eq};
use crate::fixtures::{BrokerFiles, same_tree};

const ID: BackupId = BackupId::new(1, 100, 2);
/// What a restored folder holds beside the broker's files.
const MARKER: &[&str] = &[".milepost.json"];

async fn saved(client: &Client) -> Checked<BrokerFiles> {
    let broker = client.broker(1)?;
    let whole = broker.backup(ID, descriptor()).doing("listing broker files")?;
    client.try_save(whole, SaveOptions::default()).await.doing("the save")?;
    Ok(broker)
}

/// What is in the check's own folder: a restore leaves nothing beside its target.
fn entries(client: &Client) -> Checked<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(client.path("")).doing("reading a folder")? {
        names.push(entry.doing("reading a folder")?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

pub(super) async fn a_restore_is_byte_identical(client: Client) -> Checked {
    let broker = saved(&client).await?;
    let metadata = client.store.metadata(ID, &OpContext::new()).await.doing("metadata")?;
    for (target, check) in [("full", RestoreCheck::Digest), ("size", RestoreCheck::Size)] {
        let mut options = RestoreOptions::default();
        options.check = check;
        let report = client.restore(ID, target, options).await.doing(format_args!("restore with check {check:?}"))?;
        same_tree(broker.dir(), client.path(target), MARKER).doing("comparing what was restored")?;
        ensure!(client.path(target).join(MARKER[0]).is_file(), "the target carries no marker");
        ensure_eq!((report.id, report.outcome), (ID, RestoreOutcome::Restored), "id and outcome");
        let (files, bytes) = (metadata.document.total_files, metadata.document.total_bytes);
        ensure_eq!((report.files, report.bytes), (files, bytes), "files and bytes in the target");
        ensure_eq!((report.files_fetched, report.bytes_fetched), (files, bytes), "files and bytes fetched");
        ensure_eq!(report.metadata_sha256, metadata.sha256, "the hash of the metadata");
    }
    ensure_eq!(entries(&client)?, ["broker-1", "full", "size"], "what is beside the targets");
    let empty = BackupId::new(1, 101, 2);
    client.try_save(backup(empty, (Vec::new(), Vec::new())), SaveOptions::default()).await.doing("saving no files")?;
    client.restore(empty, "empty", RestoreOptions::default()).await.doing("restoring no files")?;
    for folder in ["snapshots", "segments"] {
        ensure!(client.path("empty").join(folder).is_dir(), "no folder {folder} after restoring no files");
    }
    Ok(())
}

pub(super) async fn an_empty_folder_is_restored_into(client: Client) -> Checked {
    let broker = saved(&client).await?;
    let target = client.path("mount");
    // A file system that was just made has this folder.
    std::fs::create_dir_all(target.join("lost+found")).doing("making a folder")?;
    client.restore(ID, "mount", RestoreOptions::default()).await.doing("restore into an empty folder")?;
    same_tree(broker.dir(), &target, MARKER).doing("comparing what was restored")?;
    ensure!(!target.join(".milepost-restore").exists(), "staging is left in the target");
    ensure!(target.join("lost+found").is_dir(), "lost+found is gone");
    let again = client.restore(ID, "mount", RestoreOptions::default()).await.doing("the second restore")?;
    ensure_eq!(again.outcome, RestoreOutcome::AlreadyRestored, "outcome of the second restore");
    Ok(())
}

pub(super) async fn a_folder_with_something_else_is_left_alone(client: Client) -> Checked {
    saved(&client).await?;
    for (name, inside) in [("file", "precious"), ("folder", "snapshots/precious"), ("hidden", ".precious")] {
        let path = client.path(name).join(inside);
        std::fs::create_dir_all(path.parent().unwrap_or(&path)).doing("making a folder")?;
        std::fs::write(&path, "precious").doing("writing a file")?;
        let restored = client.restore(ID, name, RestoreOptions::default()).await;
        refused(restored, "target_not_empty", format_args!("restore over {inside}"))?;
        ensure_eq!(std::fs::read_to_string(&path).doing("reading a file")?, "precious", "content of {inside}");
        let count = std::fs::read_dir(client.path(name)).doing("reading a folder")?.count();
        ensure_eq!(count, 1, "entries of the folder that holds {inside}");
    }
    std::fs::write(client.path("plain"), "precious").doing("writing a file")?;
    let restored = client.restore(ID, "plain", RestoreOptions::default()).await;
    ensure!(restored.is_err(), "a restore over a plain file succeeded: {restored:?}");
    ensure_eq!(std::fs::read_to_string(client.path("plain")).doing("reading a file")?, "precious", "the plain file");
    ensure_eq!(entries(&client)?, ["broker-1", "file", "folder", "hidden", "plain"], "what is beside the targets");
    Ok(())
}

pub(super) async fn a_second_restore_does_nothing(client: Client) -> Checked {
    saved(&client).await?;
    let other = BackupId::new(1, 101, 2);
    client.save(other).await?;
    client.restore(ID, "target", RestoreOptions::default()).await.doing("the restore")?;
    // The broker has started and written since.
    let written = client.path("target").join("segments/new.log");
    std::fs::write(&written, "new").doing("writing a file")?;
    let again = client.restore(ID, "target", RestoreOptions::default()).await.doing("the second restore")?;
    ensure_eq!(again.outcome, RestoreOutcome::AlreadyRestored, "outcome of the second restore");
    ensure_eq!((again.files_fetched, again.bytes_fetched), (0, 0), "files and bytes that it fetched");
    let restored = client.restore(other, "target", RestoreOptions::default()).await;
    refused(restored, "target_not_empty", "restore of another backup over a restored one")?;
    let mut options = RestoreOptions::default();
    options.skip_if_restored = true;
    let skipped = client.restore(other, "target", options.clone()).await.doing("a restore that may be skipped")?;
    ensure_eq!((skipped.outcome, skipped.id), (RestoreOutcome::AlreadyRestored, ID), "outcome, and what is there");
    ensure_eq!(std::fs::read_to_string(&written).doing("reading a file")?, "new", "what the broker wrote");
    let fresh = client.restore(other, "fresh", options).await.doing("one that may be skipped but is not")?;
    ensure_eq!((fresh.outcome, fresh.id), (RestoreOutcome::Restored, other), "outcome, and what is there");
    Ok(())
}

pub(super) async fn another_fingerprint_is_refused(client: Client) -> Checked {
    saved(&client).await?;
    let mut options = RestoreOptions::default();
    options.expect_fingerprint = Some("green".to_owned());
    refused(client.restore(ID, "target", options.clone()).await, "refused", "restore expecting another fingerprint")?;
    ensure_eq!(entries(&client)?, ["broker-1"], "what a refused restore leaves");
    options.expect_fingerprint = Some("blue".to_owned());
    client.restore(ID, "target", options).await.doing("restore expecting the right fingerprint").map(drop)
}

pub(super) async fn a_cancelled_restore_leaves_no_target(client: Client) -> Checked {
    let broker = saved(&client).await?;
    let cx = OpContext::new();
    cx.cancel();
    let target = RestoreTarget { path: client.path("target") };
    let restored = client.store.restore(ID, target, RestoreOptions::default(), &cx).await;
    refused(restored, "cancelled", "a cancelled restore")?;
    ensure!(!client.path("target").exists(), "a cancelled restore left its target");
    client.restore(ID, "target", RestoreOptions::default()).await.doing("restore after a cancelled one")?;
    same_tree(broker.dir(), client.path("target"), MARKER).doing("comparing what was restored")?;
    ensure_eq!(entries(&client)?, ["broker-1", "target"], "what is beside the target");
    Ok(())
}
