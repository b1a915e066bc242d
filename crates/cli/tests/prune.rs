//! `prune` as a shell meets it.

mod common;

use std::fs;

use common::Bench;
use serde_json::Value;

/// Three complete checkpoints of one partition on one node.
fn three() -> Bench {
    let bench = Bench::new();
    for checkpoint in ["100", "101", "102"] {
        bench.saved(&format!("1/{checkpoint}/1"));
    }
    bench
}

#[test]
fn the_dry_run_says_why_and_changes_nothing_and_the_prune_does_just_that() {
    let bench = three();
    let run = bench.store(&["prune", "--keep-last", "1", "--dry-run"]);
    run.exits(0);
    let lines: Vec<&str> = run.out.lines().collect();
    assert!(lines[0].starts_with("ACTION") && lines[0].ends_with("REASON"), "{}", run.out);
    assert!(
        lines[1].starts_with("KEEP") && lines[1].ends_with("the last complete one; one of the last 1"),
        "{}",
        run.out
    );
    assert!(lines[2].starts_with("DELETE  101") && lines[2].ends_with("no rule keeps it"), "{}", run.out);
    assert_eq!(lines[4], "would delete 2 backups (195.3 KiB); 1 complete checkpoint stays");
    assert_eq!(bench.ids().len(), 3);

    let dry = bench.store(&["--json", "prune", "--keep-last", "1", "--dry-run"]).json();
    let mut said: Vec<Value> = Vec::new();
    for checkpoint in dry["checkpoints"].as_array().unwrap() {
        let changed = checkpoint["backups"].as_array().unwrap().iter().filter(|backup| backup["action"] != "KEEP");
        said.extend(changed.map(|backup| backup["id"].clone()));
    }
    assert_eq!((&dry["deletes"], &dry["keeps"]), (&2.into(), &1.into()));

    let run = bench.store(&["prune", "--keep-last", "1"]);
    run.exits(7);
    assert!(run.err.contains("--yes") && bench.ids().len() == 3, "{}", run.err);
    let run = bench.store(&["--json", "prune", "--keep-last", "1", "--yes"]);
    run.exits(0);
    let mut did: Vec<Value> = Vec::new();
    for line in run.out.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        match line["messageType"].as_str().unwrap() {
            "step" => {
                assert_eq!(line["outcome"], "DONE");
                did.push(line["id"].clone());
            }
            "summary" => assert_eq!((&line["deleted"], &line["proven"]), (&2.into(), &"102".into())),
            other => panic!("{other}"),
        }
    }
    said.sort_by_key(Value::to_string);
    did.sort_by_key(Value::to_string);
    assert_eq!(did, said);
    assert_eq!(bench.ids(), ["1/102/1"]);
    let run = bench.store(&["prune", "--keep-last", "1", "--yes"]);
    run.exits(0);
    assert!(run.out.starts_with("deleted 0 backups"), "{}", run.out);
}

#[test]
fn the_last_complete_one_stays_unless_an_empty_store_is_meant() {
    let bench = three();
    bench.store(&["prune", "--keep-within", "0", "--yes"]).exits(2);
    bench.store(&["prune", "--keep-within", "1ms", "--yes"]).exits(0);
    assert_eq!(bench.ids(), ["1/102/1"]);
    bench.store(&["prune", "--keep-last", "0", "--allow-empty", "--yes"]).exits(0);
    assert!(bench.ids().is_empty());
    let run = bench.store(&["prune", "--tombstone-grace", "0", "--yes"]);
    run.exits(0);
    assert!(!run.out.contains("forgot"), "nothing newer is complete: {}", run.out);
}

#[test]
fn contradictions_are_usage_errors() {
    let bench = three();
    for (args, word) in [
        (&["--keep-last", "2", "--min-count", "3"][..], "contradicts"),
        (&["--keep-last", "0"], "keep nothing"),
        (&["--allow-empty", "--min-count", "1"], "contradicts"),
        (&["--keep-last", "few"], "keep-last"),
        (&["--max-bytes", "many"], "size"),
    ] {
        let run = bench.store(&[&["prune", "--yes"], args].concat());
        run.exits(2);
        assert!(run.err.contains(word), "{}", run.err);
    }
    assert_eq!(bench.ids().len(), 3);
}

#[test]
fn a_damaged_survivor_saves_the_older_ones() {
    let bench = three();
    fs::remove_file(bench.path("store/1/102/1/segments/1.log")).unwrap();
    let run = bench.store(&["prune", "--keep-last", "1", "--yes"]);
    run.exits(6);
    assert!(run.err.contains("1/102/1") && run.err.contains("nothing that can be restored was deleted"), "{}", run.err);
    assert!(run.err.contains("hint: `milepost mark-failed 1/102/1"), "{}", run.err);
    assert_eq!(bench.ids().len(), 3);
    let run = bench.store(&["--json", "prune", "--keep-last", "2", "--yes"]);
    run.exits(6);
    assert_eq!(run.err_json()["kind"], "corrupt");
    assert_eq!(bench.ids(), ["1/102/1", "1/101/1"], "101 is whole: what is older goes");
    bench.store(&["mark-failed", "1/102/1", "--reason", "no 1.log", "--yes"]).exits(0);
    bench.store(&["prune", "--keep-last", "2", "--yes"]).exits(0);
}

#[test]
fn stale_saves_failed_ones_and_tombstones_are_cleared_up() {
    let bench = three();
    bench.store(&["delete", "1/100/1", "--yes"]).exits(0);
    bench.store(&["mark-failed", "1/101/2", "--reason", "disk died", "--yes"]).exits(0);
    bench.saved("1/103/1");
    let status = fs::read_to_string(bench.path("store/1/103/1/status.json")).unwrap();
    let claimed = status.replace("\"COMPLETED\"", "\"IN_PROGRESS\"");
    assert_ne!(claimed, status);
    fs::write(bench.path("store/1/103/1/status.json"), claimed).unwrap();
    let args = ["prune", "--failed-grace", "0", "--tombstone-grace", "0", "--stale-after", "0", "--dry-run"];
    let run = bench.store(&args);
    run.exits(0);
    for line in ["FENCE   103", "DELETE  1/101/2", "FORGET  100"] {
        assert!(run.out.contains(line), "{line}: {}", run.out);
    }
    let run = bench.store(&[&args[..args.len() - 1], &["--yes"]].concat());
    run.exits(0);
    assert!(run.out.contains("marked 1 save as failed; forgot 1 tombstone"), "{}", run.out);
    let run = bench.store(&["status", "1/103/1"]);
    assert!(run.out.contains("FAILED") && run.out.contains("pruned: no sign of life"), "{}", run.out);
}

#[test]
fn the_plan_fits_narrow_and_wide_terminals() {
    let bench = three();
    for width in ["20", "80", "200"] {
        let store = bench.path("store");
        let mut command = bench.command(&["--store", &store, "prune", "--keep-last", "1", "--dry-run"]);
        let run = common::Run::from(command.env("COLUMNS", width).output().unwrap());
        run.exits(0);
        let table = run.out.lines().take_while(|line| !line.starts_with("would"));
        for line in table {
            assert!(line.chars().count() <= width.parse().unwrap(), "{width}: {line}");
        }
    }
}
