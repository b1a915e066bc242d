//! Reading ranges of files, and verifying.

use bytes::Bytes;
use futures::StreamExt as _;
use milepost_core::{BackupId, FileName, FileSetKind, VerifyLevel};
use milepost_store::{FileRef, OpContext, SaveOptions};

use super::client::{Client, backup, descriptor, refused};
use crate::check::{Checked, Doing as _, ensure, ensure_eq};
use crate::fixtures::{MemorySource, entry, seeded_bytes};

const ID: BackupId = BackupId::new(1, 100, 2);

async fn read(client: &Client, kind: FileSetKind, name: &str, range: std::ops::Range<u64>) -> Checked<(u64, Bytes)> {
    let file = FileRef { id: ID, kind, name: FileName::new(name).doing("naming a file")? };
    let stream = client.store.read(file, range.clone(), &OpContext::new()).await;
    let mut stream = stream.doing(format_args!("reading {range:?} of {kind}/{name}"))?;
    let (len, mut out) = (stream.len(), Vec::new());
    while let Some(chunk) = stream.next().await {
        out.extend_from_slice(&chunk.doing(format_args!("a chunk of {range:?} of {kind}/{name}"))?);
    }
    Ok((len, out.into()))
}

pub(super) async fn ranges_of_files_are_cut_to_the_file(client: Client) -> Checked {
    let part = client.options.part_size;
    let len = part * 3 + 5;
    let contents = [("big", seeded_bytes(1, usize::try_from(len).unwrap_or(1))), ("nested/empty", Bytes::new())];
    // Both sets have files of the same names and other bytes.
    let other = [("big", seeded_bytes(2, 100)), ("nested/empty", Bytes::from_static(b"not empty"))];
    let set = |files: &[(&str, Bytes)]| {
        files.iter().map(|(name, bytes)| entry(name, MemorySource::new(bytes.clone()))).collect::<Result<Vec<_>, _>>()
    };
    let files = (set(&contents).doing("naming files")?, set(&other).doing("naming files")?);
    client.try_save(backup(ID, files), SaveOptions::default()).await.doing("the save")?;
    for (kind, set) in [(FileSetKind::Snapshots, &contents), (FileSetKind::Segments, &other)] {
        for (name, bytes) in set {
            let end = bytes.len() as u64;
            let ranges = [
                0..end,
                0..0,
                0..1,
                end..end + 1,
                end.saturating_sub(1)..u64::MAX,
                5..6,
                part - 1..part + 1,
                end + 10..end + 20,
                0..u64::MAX,
            ];
            for range in ranges {
                let cut = |at: u64| at.min(end) as usize;
                let expected = bytes.slice(cut(range.start)..cut(range.end).max(cut(range.start)));
                let (len, found) = read(&client, kind, name, range.clone()).await?;
                ensure!(found == expected, "{range:?} of {kind}/{name}: {} bytes, not the right ones", found.len());
                ensure_eq!(len, expected.len() as u64, "the length said of {range:?} of {kind}/{name}");
            }
        }
    }
    let unknown = FileRef { id: ID, kind: FileSetKind::Segments, name: FileName::new("nested").doing("a name")? };
    let result = client.store.read(unknown, 0..1, &OpContext::new()).await;
    refused(result, "not_found", "reading a file that the backup does not have")
}

pub(super) async fn every_level_of_verify_is_content(client: Client) -> Checked {
    let broker = client.broker(1)?;
    let whole = broker.backup(ID, descriptor()).doing("listing broker files")?;
    let saved = client.try_save(whole, SaveOptions::default()).await.doing("the save")?;
    let before = client.status(ID).await?;
    for level in [VerifyLevel::Documents, VerifyLevel::Objects, VerifyLevel::Checksums, VerifyLevel::Content] {
        let report = client.store.verify(ID, level, &OpContext::new()).await.doing(format_args!("verify, {level}"))?;
        ensure_eq!((report.id, report.level), (ID, level), "the id and level of the report");
        ensure!(report.ok(), "level {level} found {:?}", report.findings);
        if level == VerifyLevel::Content {
            ensure_eq!((report.files, report.bytes), (saved.files.len() as u64, saved.bytes), "files and bytes read");
            ensure!(report.findings.is_empty(), "level content found {:?}", report.findings);
        }
    }
    client.unchanged(&before, "after verifications").await
}
