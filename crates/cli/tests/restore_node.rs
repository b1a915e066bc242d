//! `restore-node` as a shell meets it.

#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

mod common;

use std::fs;

use common::{Bench, Run};
use serde_json::Value;

/// Two partitions at 100 on two nodes; 101 lacks partition 2.
fn bench() -> Bench {
    let bench = Bench::new();
    let log = bench.logs();
    for id in ["1/100/1", "1/100/2", "2/100/1", "2/100/2", "1/101/1"] {
        bench.store(&["save", id, "--segments", &log, "--partitions", "2"]).exits(0);
    }
    bench
}

fn restore(bench: &Bench, checkpoint: &str, more: &[&str]) -> Run {
    let target = bench.path("data");
    let args = ["restore-node", checkpoint, "--node", "2", "--partitions", "1,2", "--target", &target];
    bench.store(&[&args, more].concat())
}

fn same_as_log(bench: &Bench, partition: &str) {
    for file in ["1.log", "sub/2.log"] {
        let restored = fs::read(bench.path(&format!("data/{partition}/segments/{file}"))).unwrap();
        assert_eq!(restored, fs::read(bench.path(&format!("log/{file}"))).unwrap());
    }
}

#[test]
fn a_node_gets_all_its_partitions_from_one_checkpoint() {
    let bench = bench();
    let run = restore(&bench, "latest", &[]);
    run.exits(0);
    assert!(run.err.contains("passed over: 101 is INCOMPLETE (no copy of partition 2)"), "{}", run.err);
    assert!(
        run.out.contains("1          RESTORED  1/100/2") && run.out.contains("2          RESTORED  2/100/2"),
        "{}",
        run.out
    );
    for partition in ["1", "2"] {
        same_as_log(&bench, partition);
    }
    // Again: nothing to do. With a newer checkpoint, too: the node has begun with this one.
    bench.store(&["save", "2/101/1", "--segments", &bench.logs(), "--partitions", "2"]).exits(0);
    let run = restore(&bench, "latest", &["--json"]);
    run.exits(0);
    for line in run.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        match line["messageType"].as_str().unwrap() {
            "partition" => assert_eq!(line["outcome"], "ALREADY_RESTORED"),
            "summary" => assert_eq!(
                (&line["checkpoint"], &line["whole"], &line["fetched"]),
                (&"100".into(), &2.into(), &0.into())
            ),
            other => assert_eq!(other, "progress"),
        }
    }
    let run = restore(&bench, "101", &[]);
    run.exits(7);
    assert!(run.err.contains("was restored from checkpoint 100, not 101"), "{}", run.err);
    // A partition that was lost comes from the same cut.
    fs::remove_dir_all(bench.path("data/2")).unwrap();
    restore(&bench, "latest", &[]).exits(0);
    assert!(fs::read_to_string(bench.path("data/2/.milepost.json")).unwrap().contains("\"100\""));
    // An init container does not ask the store.
    fs::rename(bench.path("store"), bench.path("gone")).unwrap();
    fs::create_dir(bench.path("store")).unwrap();
    fs::write(bench.path("data/1/segments/1.log"), "the broker went on").unwrap();
    restore(&bench, "latest", &["--skip-if-restored"]).exits(0);
    assert_eq!(fs::read_to_string(bench.path("data/1/segments/1.log")).unwrap(), "the broker went on");
}

#[test]
fn a_damaged_copy_is_passed_over_and_a_partition_without_one_fails_alone() {
    let bench = bench();
    fs::write(bench.path("store/1/100/2/segments/1.log"), "the wrong records").unwrap();
    let run = restore(&bench, "latest", &[]);
    run.exits(0);
    assert!(run.out.contains("RESTORED  1/100/1") && run.out.contains("1/100/2 is unusable"), "{}", run.out);
    same_as_log(&bench, "1");

    fs::remove_dir_all(bench.path("data")).unwrap();
    fs::write(bench.path("store/1/100/1/segments/1.log"), "the wrong records").unwrap();
    let run = restore(&bench, "latest", &[]);
    run.exits(6);
    assert!(run.out.contains("1          FAILED") && run.out.contains("2          RESTORED"), "{}", run.out);
    assert!(!fs::exists(bench.path("data/1")).unwrap(), "all or nothing");
    same_as_log(&bench, "2");
    let run = restore(&bench, "101", &["--min-checkpoint", "101"]);
    run.exits(7);
    fs::remove_dir_all(bench.path("data")).unwrap();
    let run = restore(&bench, "101", &[]);
    run.exits(4);
    assert!(run.err.contains("no usable copy of partition 2 at checkpoint 101: there is none at all"), "{}", run.err);
    same_as_log(&bench, "1");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let bench = bench();
    restore(&bench, "latest", &["--min-checkpoint", "101"]).exits(7);
    restore(&bench, "latest", &["--partition-count", "3"]).exits(7);
    restore(&bench, "999", &[]).exits(4);
    let target = bench.path("data");
    for partitions in ["1,1", "1,3", "", "x"] {
        let run =
            bench.store(&["restore-node", "latest", "--node", "1", "--partitions", partitions, "--target", &target]);
        run.exits(2);
    }
    assert!(!fs::exists(&target).unwrap());
    fs::create_dir_all(bench.path("data/2/mine")).unwrap();
    restore(&bench, "latest", &[]).exits(5);
    assert!(!fs::exists(bench.path("data/1")).unwrap());
}

#[test]
fn a_drill_proves_and_leaves_nothing() {
    let bench = bench();
    fs::create_dir(bench.path("data")).unwrap();
    let run = restore(&bench, "latest", &["--drill"]);
    run.exits(0);
    assert!(run.out.contains("drill: 2 partitions of checkpoint 100 can be restored"), "{}", run.out);
    assert_eq!(fs::read_dir(bench.path("data")).unwrap().count(), 0);
    fs::remove_file(bench.path("store/2/100/1/segments/1.log")).unwrap();
    fs::remove_file(bench.path("store/2/100/2/segments/1.log")).unwrap();
    restore(&bench, "latest", &["--drill"]).exits(6);
    assert_eq!(fs::read_dir(bench.path("data")).unwrap().count(), 0);
}
