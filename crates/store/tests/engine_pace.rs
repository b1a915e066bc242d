//! What a store's transfers share: the rate, the room, the slots; and what never waits for them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod common;

use std::io;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;
use milepost_core::{DigestAlgorithm, VerifyLevel};
use milepost_store::bucket::BucketErrorKind;
use milepost_store::source::{FileSource, ReadAt};
use milepost_store::{BackupState, BackupStore as _, ErrorKind, SaveOptions};
use milepost_testkit::faulty::{CallKind, Fault, Gate, On};
use milepost_testkit::fixtures::{BlockedSource, MemorySource, seeded_bytes};
use tokio::time::Instant;

/// Two saves of one store at once, with small and large files: together they keep the rate, within a tenth, over 30 s.
#[tokio::test(start_paused = true)]
async fn the_rate_is_the_stores_and_kept_within_a_tenth() {
    let bucket = faulty();
    let mut slow = settings();
    slow.rate_limit = NonZeroU64::new(200_000);
    slow.sign_of_life = Duration::from_secs(3600);
    let store = store_with(&bucket, 1, slow);
    let files = |seed: u64| (0..20).map(|n| seeded(&format!("{n}"), seed + n, 50_000 + n * 10_526)).collect();
    let (one, two) = (backup(id(1, 100, 1), vec![], files(1)), backup(id(2, 100, 1), files(99), vec![]));
    let began = Instant::now();
    let (one, two) = tokio::join!(save(&store, one), save(&store, two));
    let bytes = one.unwrap().bytes_sent + two.unwrap().bytes_sent;
    let took = began.elapsed().as_secs_f64();
    let rate = bytes as f64 / took;
    assert!(took > 27.0 && (180_000.0..=220_000.0).contains(&rate), "{bytes} bytes in {took} s: {rate}");
    // A verification that reads is a transfer like any other.
    let began = Instant::now();
    let report = store.verify(id(1, 100, 1), VerifyLevel::Content, &cx()).await.unwrap();
    let rate = report.bytes as f64 / began.elapsed().as_secs_f64();
    assert!((180_000.0..=220_000.0).contains(&rate), "{rate}");
}

/// Every slot and all of the room are taken: a status, a listing of files and a sign of life go on all the same.
#[tokio::test(start_paused = true)]
async fn documents_never_wait_behind_contents() {
    let bucket = faulty();
    let gate = Gate::new();
    for kind in [CallKind::Put, CallKind::UploadPart] {
        bucket.inject(On::call(kind).key_containing("/segments/").always(), Fault::Hold(gate.clone()));
    }
    let mut tight = settings();
    tight.memory_budget = tight.multipart_threshold;
    let store = store_with(&bucket, 1, tight.clone());
    let files = (0..8).map(|n| seeded(&format!("{n}"), n, 5 * PART)).collect();
    let (saved, ()) = tokio::join!(save(&store, backup(ID, vec![], files)), async {
        gate.reached().await;
        let asked = tokio::time::timeout(Duration::from_secs(5), state(&store, ID));
        assert_eq!(asked.await.unwrap(), BackupState::InProgress);
        tokio::time::sleep(3 * tight.sign_of_life).await;
        assert!(document(&bucket, ID).unwrap().revision >= 3, "no sign of life came through");
        gate.open();
    });
    saved.unwrap();
}

/// A disk that hangs: every thread for files is in a call that does not return. A cancel comes through, and so does the next
/// save of the same store.
#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_keeps_neither_a_cancel_nor_the_next_save() {
    let bucket = faulty();
    let store = store(&bucket, 1);
    let hung = BlockedSource::new(seeded_bytes(1, 5000));
    let _guard = hung.guard();
    let entry = |n: u32| milepost_testkit::fixtures::entry(&format!("{n}.log"), hung.clone()).unwrap();
    let context = cx();
    let files = (0..6).map(entry).collect();
    let call = store.save(backup(ID, vec![], files), SaveOptions::default(), &context);
    let (ended, ()) = tokio::join!(call, async {
        // Time stands still while a thread of the runtime works, so this does not wait for it to pass.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        context.cancel();
    });
    assert!(matches!(ended.unwrap_err().kind(), ErrorKind::Cancelled));
    let report = save(&store, sample(id(2, 100, 2))).await.unwrap();
    assert_eq!(report.files.len(), 4);
}

/// A store that asks to slow down now and then: nothing is lost, and nothing waits for a slot that is gone.
#[tokio::test(start_paused = true)]
async fn a_store_that_throttles_is_followed_and_all_arrives() {
    for seed in 0..20 {
        let bucket = faulty();
        for kind in [CallKind::Put, CallKind::UploadPart, CallKind::Get] {
            for n in [2, 3, 7, 11 + seed] {
                let on = On::call(kind).key_containing("/segments/").nth(n).times(2);
                bucket.inject(on, Fault::Throttle(Some(Duration::from_secs(seed % 3))));
            }
            bucket.inject(On::call(kind).nth(20), Fault::Before(BucketErrorKind::Unavailable));
        }
        let mut wide = settings();
        wide.concurrency = 1 + usize::try_from(seed).unwrap();
        let store = store_with(&bucket, seed, wide);
        let files: Vec<_> = (0..12).map(|n| seeded(&format!("{n}"), n, n * PART / 2 + n)).collect();
        save(&store, backup(ID, vec![], files.clone())).await.unwrap();
        whole(&store, &bucket, &backup(ID, vec![], files)).await;
    }
}

/// A file that notes how much was read of it at once.
#[derive(Clone)]
struct Noted {
    file: MemorySource,
    reads: Arc<Mutex<Vec<usize>>>,
}

impl FileSource for Noted {
    fn open(&self) -> io::Result<Box<dyn ReadAt>> {
        Ok(Box::new(self.clone()))
    }
}

impl ReadAt for Noted {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.reads.lock().unwrap().push(buf.len());
        self.file.read_at(buf, offset)
    }
}

/// Under a rate limit a disk is read in small pieces with pauses: files of one request, parts, and what a resume compares.
#[tokio::test(start_paused = true)]
async fn a_limit_spares_the_disk_too() {
    for (limit, digest) in [
        (None, DigestAlgorithm::Blake3),
        (Some(4 << 20), DigestAlgorithm::Blake3),
        (Some(4 << 20), DigestAlgorithm::Sha256),
    ] {
        let bucket = faulty();
        let mut limited = settings();
        (limited.part_size, limited.multipart_threshold, limited.memory_budget) = (1 << 20, 2 << 20, 16 << 20);
        limited.rate_limit = limit.and_then(NonZeroU64::new);
        let store = store_with(&bucket, 1, limited);
        let reads = Arc::new(Mutex::new(Vec::new()));
        let entry = |name: &str, seed, len| {
            let file = MemorySource::new(seeded_bytes(seed, len));
            milepost_testkit::fixtures::entry(name, Noted { file, reads: Arc::clone(&reads) }).unwrap()
        };
        let files = || vec![entry("empty", 1, 0), entry("one", 2, 1_500_001), entry("parts", 3, (5 << 20) + 1)];
        let mut options = SaveOptions::default();
        options.digest = Some(digest);
        let began = Instant::now();
        let report = store.save(backup(ID, vec![], files()), options.clone(), &cx()).await.unwrap();
        let took = began.elapsed().as_secs_f64();
        // Saved already: everything is read and compared.
        options.resume = true;
        store.save(backup(ID, vec![], files()), options, &cx()).await.unwrap();
        let most = reads.lock().unwrap().iter().copied().max().unwrap();
        whole(&store, &bucket, &backup(ID, vec![], files())).await;
        match limit {
            None => assert!(most >= 1 << 20, "{most}"),
            Some(rate) => {
                assert!(most <= 256 * 1024, "{most}");
                let wanted = report.bytes_sent as f64 / rate as f64;
                assert!((wanted * 0.9..wanted * 1.3).contains(&took), "{took} s for {wanted} s");
            }
        }
    }
}
