//! Every client, every operation, against the null sink and a folder: what is measured is what was meant.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use milepost_benches::pattern;
use milepost_benches::sample::{Measured, Op, Spec, Store};
use milepost_benches::sink::SinkProcess;
use milepost_benches::workload::{Workload, files, make};

const BENCH: &str = env!("CARGO_BIN_EXE_milepost-bench");

struct Bench {
    folder: tempfile::TempDir,
    sink: SinkProcess,
}

impl Bench {
    fn new(workload: Workload, scale: f64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        make(&folder.path().join("files"), workload, scale, 7).unwrap();
        Self { folder, sink: SinkProcess::start(Path::new(BENCH)).unwrap() }
    }

    fn s3(&self, prefix: &str) -> Store {
        Store::S3 {
            endpoint: self.sink.endpoint(),
            region: "us-east-1".to_owned(),
            bucket: "bench".to_owned(),
            prefix: prefix.to_owned(),
            sink: true,
        }
    }

    fn run(&self, subject: &str, settings: &[(&str, &str)], op: Op, store: &Store) -> Measured {
        let settings: BTreeMap<_, _> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let spec = Spec {
            subject: subject.to_owned(),
            settings,
            op,
            store: store.clone(),
            files: self.folder.path().join("files"),
            target: self.folder.path().join("restored"),
        };
        let spec = serde_json::to_string(&spec).unwrap();
        let done = Command::new(BENCH).args(["sample", "--spec", &spec]).output().unwrap();
        assert!(done.status.success(), "{subject} {op:?}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    }

    fn restored(&self) {
        let restored = self.folder.path().join("restored");
        for file in files(&self.folder.path().join("files")).unwrap() {
            let (was, is) = (fs::read(&file.path).unwrap(), fs::read(restored.join(&file.name)).unwrap());
            assert!(was == is, "{} differs", file.name);
        }
        fs::remove_dir_all(restored).unwrap();
    }
}

/// Files below and above the threshold.
#[test]
fn every_client_saves_to_the_null_sink_and_restores_from_it() {
    let bench = Bench::new(Workload::S, 0.003);
    let segments = bench.folder.path().join("files/segments");
    let mut segment = fs::File::create(segments.join("000001.log")).unwrap();
    pattern::write(&mut segment, 0, (33 << 20) + 1).unwrap();
    let all = files(&bench.folder.path().join("files")).unwrap();
    let bytes: u64 = all.iter().map(|file| file.size).sum();
    for (subject, settings) in
        [("milepost", &[][..]), ("milepost", &[("digest", "none")][..]), ("raw", &[][..]), ("sdk", &[][..])]
    {
        bench.sink.forget().unwrap();
        let store = bench.s3(subject);
        bench.run(subject, settings, Op::Prepare, &store);
        bench.sink.reset().unwrap();
        let saved = bench.run(subject, settings, Op::Save, &store);
        assert_eq!((saved.moved.files, saved.moved.bytes), (all.len() as u64, bytes), "{subject}");
        assert!(saved.cpu > 0.0 && saved.wall > 0.0 && saved.peak_rss > 0, "{saved:?}");
        let counts = bench.sink.counts().unwrap();
        assert!(counts.body_in >= bytes && counts.body_in < bytes + bytes / 20, "{subject}: {counts:?}");
        bench.sink.reset().unwrap();
        let restored = bench.run(subject, settings, Op::Restore, &store);
        assert_eq!(restored.moved, saved.moved, "{subject}");
        assert!(bench.sink.counts().unwrap().body_out >= bytes, "{subject}");
        bench.restored();
    }
}

#[test]
fn folders_work_too() {
    let bench = Bench::new(Workload::S, 0.01);
    for subject in ["milepost", "raw"] {
        let store = Store::Dir(bench.folder.path().join(subject));
        for op in [Op::Prepare, Op::Save, Op::Restore] {
            bench.run(subject, &[], op, &store);
        }
        bench.restored();
    }
}

#[test]
fn deletes_leave_nothing_but_the_tombstone() {
    let bench = Bench::new(Workload::D, 0.11);
    // Of Milepost: the tombstone, cluster.json, the probe's result.
    for (subject, left) in [("milepost", 3), ("sdk", 0)] {
        bench.sink.forget().unwrap();
        let store = bench.s3(subject);
        for op in [Op::Prepare, Op::Save, Op::Delete] {
            bench.run(subject, &[], op, &store);
        }
        let rest = bench.run("sdk", &[], Op::Clean, &store);
        assert_eq!(rest.moved.files, left, "{subject}");
    }
}

#[test]
fn a_setting_that_nobody_has_is_refused() {
    let bench = Bench::new(Workload::S, 0.001);
    let spec = |name: &str| {
        format!(
            r#"{{"subject":"raw","settings":{{"{name}":"1"}},"op":"idle","store":{{"dir":"x"}},"files":"{}","target":"y"}}"#,
            bench.folder.path().join("files").display()
        )
    };
    let run = |name: &str| Command::new(BENCH).args(["sample", "--spec", &spec(name)]).output().unwrap();
    assert!(run("block").status.success());
    let refused = run("blocks");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("has no setting blocks"));
}
