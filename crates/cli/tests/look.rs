//! The verbs that look: `ls`, `cat`, `stats`, and listings by time.

mod common;

use std::fs;
use std::io::Read as _;
use std::process::Stdio;

use common::Bench;
use serde_json::json;

#[test]
fn files_are_listed_with_their_sizes() {
    let bench = Bench::new();
    bench.saved("1/100/2");
    let run = bench.store(&["ls", "1/latest/any"]);
    run.exits(0);
    assert_eq!(run.out, "FILE                    SIZE\nsegments/1.log          17 B\nsegments/sub/2.log  97.7 KiB\n");
    assert_eq!(run.err, "2 files, 97.7 KiB\n");
    let listed = bench.store(&["ls", "1/100/2", "--json"]).json();
    assert_eq!((&listed["id"], &listed["totalFiles"]), (&json!("1/100/2"), &json!(2)));
    let first = &listed["files"][0];
    assert_eq!((&first["file"], &first["size"]), (&json!("segments/1.log"), &json!(17)));
    assert!(first["digest"].as_str().unwrap().starts_with("blake3:"), "{first}");
    bench.store(&["ls", "1/9/9"]).exits(4);
    assert_eq!(bench.store(&["ls", "1/100/2", "--quiet"]).err, "");
}

#[test]
fn a_file_is_printed_as_it_was_saved() {
    let bench = Bench::new();
    bench.saved("1/100/2");
    let run = bench.store(&["cat", "1/100/2", "segments/1.log"]);
    run.exits(0);
    assert_eq!((run.out.as_str(), run.err.as_str()), ("the first records", ""));
    assert_eq!(bench.store(&["cat", "1/latest/any", "sub/2.log"]).out.len(), 100_000);
    for (range, text) in [("4..9", "first"), ("10..", "records"), ("..3", "the"), ("90..", ""), ("0..0", "")] {
        let run = bench.store(&["cat", "1/100/2", "1.log", "--range", range]);
        run.exits(0);
        assert_eq!(run.out, text, "{range}");
    }
    bench.store(&["cat", "1/100/2", "1.log", "--range", "9..4"]).exits(2);
    let run = bench.store(&["cat", "1/100/2", "segments/2.log"]);
    run.exits(4);
    assert!(run.err.contains("milepost ls 1/100/2"), "{}", run.err);
    bench.store(&["cat", "1/9/9", "1.log"]).exits(4);

    let log = bench.logs();
    bench.store(&["save", "1/101/2", "--segments", &log, "--snapshots", &log]).exits(0);
    let run = bench.store(&["cat", "1/101/2", "1.log"]);
    run.exits(2);
    assert!(run.err.contains("snapshots/1.log or segments/1.log"), "{}", run.err);
    bench.store(&["cat", "1/101/2", "snapshots/1.log"]).exits(0);
}

#[test]
fn damage_is_told_behind_what_was_printed() {
    let bench = Bench::new();
    bench.saved("1/100/2");
    let object = bench.path("store/1/100/2/segments/1.log");
    let mut bytes = fs::read(&object).unwrap();
    bytes[0] ^= 1;
    fs::remove_file(&object).unwrap();
    fs::write(&object, &bytes).unwrap();
    let run = bench.store(&["cat", "1/100/2", "1.log"]);
    run.exits(6);
    assert_eq!(run.out.as_bytes(), bytes, "all of it was printed before it could be judged");
    assert!(run.err.contains("1/100/2/segments/1.log: expected "), "{}", run.err);
    bench.store(&["cat", "1/100/2", "1.log", "--range", "0..3"]).exits(0);

    // Shorter than it was, or gone: nothing to print, and no less damage.
    fs::write(&object, "the").unwrap();
    bench.store(&["cat", "1/100/2", "1.log"]).exits(6);
    fs::remove_file(&object).unwrap();
    bench.store(&["cat", "1/100/2", "1.log"]).exits(6);
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let bench = Bench::new();
    let log = bench.path("log");
    fs::create_dir(&log).unwrap();
    fs::write(format!("{log}/big"), vec![b'x'; 8 << 20]).unwrap();
    bench.store(&["save", "1/1/1", "--segments", &log]).exits(0);
    let args = ["--store", &bench.path("store"), "cat", "1/1/1", "big"];
    let mut child = bench.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut begin = [0; 10];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut begin).unwrap();
    drop(stdout);
    let run = common::Run::from(child.wait_with_output().unwrap());
    run.exits(0);
    assert_eq!((begin, run.err.as_str()), ([b'x'; 10], ""));
}

#[test]
fn listings_by_time() {
    let bench = Bench::new();
    bench.saved("1/100/2");
    fs::create_dir_all(bench.path("store/1/101/2")).unwrap();
    fs::write(bench.path("store/1/101/2/status.json"), "{").unwrap();
    let ids = |args: &[&str]| -> Vec<String> {
        let run = bench.store(&[&["list", "--json"], args].concat());
        run.exits(3);
        let listed = run.json();
        listed["backups"].as_array().unwrap().iter().map(|b| b["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&["--since", "1h"]), ["1/101/2", "1/100/2"], "damage tells no time, and is shown always");
    assert_eq!(ids(&["--until", "1h"]), ["1/101/2"]);
    assert_eq!(ids(&["--since", "2026-01-01", "--until", "0"]), ["1/101/2", "1/100/2"]);
    assert_eq!(ids(&["--since", "2999-01-01T00:00:00Z"]), ["1/101/2"]);
    let run = bench.store(&["list", "--since", "yesterday"]);
    run.exits(2);
    assert!(run.err.contains("7d"), "{}", run.err);
}

#[test]
fn a_store_adds_up() {
    let bench = Bench::new();
    for id in ["1/100/1", "1/100/2", "2/100/1", "1/101/1"] {
        bench.saved(id);
    }
    bench.store(&["mark-failed", "1/101/1", "--reason", "x", "--yes"]).exits(0);
    bench.store(&["delete", "2/100/1", "--yes"]).exits(0);
    let stats = bench.store(&["stats", "--json"]);
    stats.exits(0);
    let stats = stats.json();
    assert_eq!(stats["total"], json!({ "backups": 3, "files": 6, "bytes": 300_051 }));
    assert_eq!((&stats["tombstones"], &stats["checkpoints"]), (&json!(1), &json!(2)));
    assert_eq!((&stats["lowestCheckpoint"], &stats["highestCheckpoint"]), (&json!("100"), &json!("101")));
    assert_eq!(stats["byState"][0], json!({ "state": "COMPLETED", "backups": 2, "files": 4, "bytes": 200_034 }));
    assert_eq!(stats["byState"][1]["state"], "FAILED");
    assert_eq!(stats["byPartition"].as_array().unwrap().len(), 1);
    assert_eq!(stats["byPartition"][0]["newestCompleted"], "100");
    assert_eq!(stats["byCheckpoint"][0]["checkpoint"], "101");
    assert_eq!((&stats["bytesPerCheckpoint"], &stats["bytesPerDay"]), (&json!(150_025), &json!(300_051)));
    let run = bench.store(&["stats"]);
    assert!(run.out.contains("backups:      3: 2 COMPLETED, 1 FAILED\n"), "{}", run.out);
    assert!(run.out.contains("BEGUN ON") && run.out.contains("a checkpoint, "), "{}", run.out);
    assert_eq!(bench.store(&["stats", "--json", "--until", "1h"]).json()["total"]["backups"], 0);
    bench.store(&["stats", "--until", "1h"]).exits(0);
    fs::write(bench.path("store/1/100/1/status.json"), "{").unwrap();
    bench.store(&["stats"]).exits(3);
}
