//! `copy` as a shell meets it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;

use common::Bench;
use serde_json::Value;

fn lines(text: &str) -> Vec<Value> {
    let all = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    // On a busy machine a second passes, and with it a line of progress.
    all.filter(|line| line["messageType"] != "progress").collect()
}

#[test]
fn a_backup_is_copied_once_and_restored_from_the_copy() {
    let bench = Bench::new();
    bench.saved("1/100/2");
    let vault = bench.path("vault");
    let run = bench.store(&["copy", "1/100/2", "--to", &vault, "--dry-run"]);
    run.exits(0);
    assert!(run.out.starts_with(&format!("would copy 1/100/2 to {vault}: 2 files, ")), "{}", run.out);
    assert!(!fs::exists(&vault).unwrap(), "a dry run makes no store");

    let run = bench.store(&["copy", "1/100/2", "--to", &vault]);
    run.exits(0);
    assert!(run.out.starts_with(&format!("copied 1/100/2 to {vault}: 2 files, 97.7 KiB in ")), "{}", run.out);
    let read = |store: &str| fs::read(bench.path(&format!("{store}/1/100/2/metadata.json"))).unwrap();
    assert_eq!(read("store"), read("vault"));
    let run = bench.run(&["--store", &vault, "status", "1/100/2"]);
    run.exits(0);
    assert!(run.out.contains("copied from:") && run.out.contains(&bench.path("store")), "{}", run.out);
    let document = bench.run(&["--store", &vault, "--json", "status", "1/100/2"]).json();
    let from = &document["document"]["copiedFrom"];
    assert!(from["location"].as_str().unwrap().starts_with("file:///"), "{from}");
    assert_eq!(from["metadataSha256"], document["document"]["metadataSha256"]);

    let run = bench.store(&["copy", "1/100/2", "--to", &vault]);
    run.exits(0);
    assert!(run.out.ends_with("nothing was written\n"), "{}", run.out);
    let restored = bench.path("restored");
    bench.run(&["--store", &vault, "restore", "1/latest/any", "--target", &restored]).exits(0);
    assert_eq!(fs::read_to_string(format!("{restored}/segments/1.log")).unwrap(), "the first records");
}

#[test]
fn a_checkpoint_is_copied_and_told_line_by_line() {
    let bench = Bench::new();
    for id in ["1/100/1", "1/100/2", "1/101/1"] {
        bench.saved(id);
    }
    bench.store(&["mark-failed", "1/100/2", "--reason", "x", "--yes"]).exits(0);
    let vault = bench.path("vault");
    let run = bench.store(&["--json", "copy", "100", "--to", &vault]);
    run.exits(0);
    let lines = lines(&run.out);
    let [backup, summary] = &lines[..] else { panic!("{}", run.out) };
    assert_eq!((&backup["id"], &backup["outcome"]), (&"1/100/1".into(), &"COPIED".into()));
    assert_eq!((&summary["messageType"], &summary["copied"]), (&"summary".into(), &1.into()));
    assert_eq!((&summary["skipped"][0]["id"], &summary["skipped"][0]["state"]), (&"1/100/2".into(), &"FAILED".into()));
    assert_eq!((&summary["checkpoint"], &summary["to"]), (&"100".into(), &vault.as_str().into()));

    let run = bench.store(&["copy", "latest", "--to", &vault]);
    run.exits(0);
    assert!(run.out.contains("1/101/1  COPIED") && run.out.contains("1 backup of checkpoint 101"), "{}", run.out);
    let listed = bench.run(&["--store", &vault, "list"]);
    assert!(listed.out.contains("1/101/1") && listed.out.contains("1/100/1"), "{}", listed.out);
}

#[test]
fn damage_is_not_copied_and_the_rest_of_the_checkpoint_is() {
    let bench = Bench::new();
    bench.saved("1/100/1");
    bench.saved("1/100/2");
    let vault = bench.path("vault");
    fs::write(bench.path("store/1/100/2/segments/1.log"), "the worst records").unwrap();
    let run = bench.store(&["copy", "1/100/2", "--to", &vault]);
    run.exits(6);
    assert!(run.err.contains("copy from 1/100/2") && run.err.contains("hint: the source is damaged"), "{}", run.err);
    let run = bench.store(&["copy", "100", "--to", &vault]);
    run.exits(3);
    assert!(run.err.contains("1/100/2 was not copied"), "{}", run.err);
    let state = |id: &str| bench.run(&["--store", &vault, "--json", "status", id]).json()["state"].clone();
    assert_eq!((state("1/100/1"), state("1/100/2")), ("COMPLETED".into(), "FAILED".into()));
    // Mended, the same command goes on.
    fs::write(bench.path("store/1/100/2/segments/1.log"), "the first records").unwrap();
    bench.store(&["copy", "100", "--to", &vault]).exits(0);
    assert_eq!(state("1/100/2"), Value::from("COMPLETED"));
}

#[test]
fn what_cannot_be_copied_is_said_and_nothing_is_changed() {
    let bench = Bench::new();
    bench.saved("1/100/2");
    let vault = bench.path("vault");
    let to = |args: &[&str]| bench.store(&[args, &["--to", &vault]].concat());
    to(&["copy", "9/9/9"]).exits(4);
    to(&["copy", "999"]).exits(4);
    bench.store(&["mark-failed", "1/101/2", "--reason", "x", "--yes"]).exits(0);
    to(&["copy", "1/101/2"]).exits(5);
    to(&["copy", "101"]).exits(5);
    for bad in ["1/2", "1/latest/any", "newest", "01"] {
        to(&["copy", bad]).exits(2);
    }
    bench.store(&["copy", "1/100/2"]).exits(2);
    bench.store(&["copy", "1/100/2", "--to", "ftp://vault"]).exits(2);
    let run = bench.store(&["copy", "1/100/2", "--to", "s3://key:hunter2@vault"]);
    run.exits(2);
    assert!(!run.err.contains("hunter2"), "{}", run.err);
    let run = bench.store(&["copy", "1/100/2", "--to", &bench.path("store")]);
    run.exits(2);
    assert!(run.err.contains("one store"), "{}", run.err);
    // A store of another cluster; of the same name, but with an id of its own.
    bench.run(&["--store", &vault, "init"]).exits(0);
    let run = to(&["copy", "1/100/2"]);
    run.exits(7);
    assert!(run.err.contains("cluster"), "{}", run.err);
    let listed = bench.run(&["--store", &vault, "list"]);
    assert!(listed.out.contains("no backups") || listed.err.contains("no backups"), "{listed:?}");
}

#[test]
fn a_file_of_its_own_speaks_for_the_destination() {
    let bench = Bench::new();
    bench.saved("1/100/2");
    let vault = bench.path("vault");
    let config = bench.path("vault.toml");
    fs::write(&config, format!("store = \"{vault}\"\ncluster = \"dr\"\n")).unwrap();
    bench.store(&["copy", "1/100/2", "--to-config", &config]).exits(0);
    bench.run(&["--store", &vault, "--cluster", "dr", "status", "1/100/2"]).exits(0);
    bench.run(&["--store", &vault, "status", "1/100/2"]).exits(7);
    fs::write(&config, "cluster = \"dr\"\n").unwrap();
    let run = bench.store(&["copy", "1/100/2", "--to-config", &config]);
    run.exits(2);
    assert!(run.err.contains("--to URL"), "{}", run.err);
}
