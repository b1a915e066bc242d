//! Restores of files that are fetched in several writes, and of those that are fetched in ranges.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod common;

use std::path::Path;

use bytes::Bytes;
use common::*;
use milepost_core::{DigestAlgorithm, FileName};
use milepost_store::{
    BackupStore as _, ErrorKind, FileEntry, RestoreOptions, RestoreReport, RestoreTarget, SaveOptions, StoreSettings,
};
use milepost_testkit::faulty::{CallKind, Fault, On};

const MIB: u64 = 1024 * 1024;

/// Different from MiB to MiB, and quick to make.
fn bytes(len: u64) -> Vec<u8> {
    let len = usize::try_from(len).unwrap();
    let mut out = Vec::with_capacity(len);
    let block: Vec<u8> = (0..=255u8).cycle().take(65_521).collect();
    while out.len() < len {
        let take = block.len().min(len - out.len());
        out.extend_from_slice(&block[..take]);
        let marked = out.len() - 1;
        out[marked] = (out.len() / 4096) as u8;
    }
    out
}

async fn saved(store: &Store, home: &Path, content: &[u8], digest: Option<DigestAlgorithm>) {
    std::fs::write(home.join("1.log"), content).unwrap();
    let entry = FileEntry::from_path(FileName::new("1.log").unwrap(), home.join("1.log"));
    let mut options = SaveOptions::default();
    options.digest = digest;
    store.save(backup(ID, vec![], vec![entry]), options, &cx()).await.unwrap();
}

async fn restored(store: &Store, to: &Path) -> milepost_store::Result<RestoreReport> {
    store.restore(ID, RestoreTarget { path: to.to_owned() }, RestoreOptions::default(), &cx()).await
}

fn large() -> StoreSettings {
    StoreSettings::default()
}

#[tokio::test(start_paused = true)]
async fn files_up_to_64_mib_take_one_request_and_longer_ones_ranges() {
    let home = tempfile::tempdir().unwrap();
    for (len, digest, gets) in [
        (MIB, Some(DigestAlgorithm::Blake3), 1),
        (MIB + 1, Some(DigestAlgorithm::Blake3), 1),
        (3 * MIB + 77, None, 1),
        (64 * MIB, Some(DigestAlgorithm::Blake3), 1),
        (64 * MIB + 1, Some(DigestAlgorithm::Blake3), 3),
        // A digest that takes bytes in order.
        (64 * MIB + 1, Some(DigestAlgorithm::Sha256), 1),
        (70 * MIB, None, 3),
    ] {
        let bucket = faulty();
        let store = store_with(&bucket, 1, large());
        let content = bytes(len);
        saved(&store, home.path(), &content, digest).await;
        bucket.reset();
        // The first body is cut: it goes on from where it ended.
        bucket.inject(On::call(CallKind::Get).key_ending("1.log").nth(1), Fault::CutBody(700_000));
        let target = home.path().join(format!("{len}-{gets}"));
        let report = restored(&store, &target).await.unwrap();
        assert_eq!((report.files_fetched, report.bytes_fetched), (1, len));
        assert!(std::fs::read(target.join("segments/1.log")).unwrap() == content, "{len}");
        let trace = bucket.trace();
        let found = trace.of(CallKind::Get).filter(|call| call.key.ends_with("1.log")).count();
        let heads = trace.of(CallKind::Head).count();
        assert_eq!((found, heads), (gets + 1, 0), "{len}: {trace}");
        std::fs::remove_dir_all(target).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_flipped_bit_in_any_range_is_caught() {
    let home = tempfile::tempdir().unwrap();
    let bucket = faulty();
    let store = store_with(&bucket, 1, large());
    let len = 64 * MIB + 1;
    let content = bytes(len);
    saved(&store, home.path(), &content, Some(DigestAlgorithm::Blake3)).await;
    let key = format!("{ID}/segments/1.log");
    for at in [0, 32 * MIB - 1, 32 * MIB, 40 * MIB, 64 * MIB] {
        let mut damaged = content.clone();
        damaged[usize::try_from(at).unwrap()] ^= 0x10;
        bucket.inner().put_raw(&key, Bytes::from(damaged));
        let target = home.path().join("target");
        let error = restored(&store, &target).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Integrity { key: named, .. } if *named == key), "{at}: {error:?}");
        assert!(!target.exists());
    }
    bucket.inner().put_raw(&key, Bytes::from(content));
    restored(&store, &home.path().join("target")).await.unwrap();
}
