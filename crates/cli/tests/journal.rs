//! `journal` and `save --remove-source` as a shell meets them.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;

use common::Bench;

/// A save that failed: somebody's bytes stand under the key of one of its two files.
fn failed() -> Bench {
    let bench = Bench::new();
    bench.saved("1/99/2");
    let stray = bench.path("store/1/100/2/segments");
    fs::create_dir_all(&stray).unwrap();
    fs::write(format!("{stray}/1.log"), "somebody else's").unwrap();
    bench.store(&["save", "1/100/2", "--segments", &bench.logs(), "--partitions", "1"]).exits(6);
    bench
}

#[test]
fn a_file_that_cannot_be_saved_is_skipped_and_the_backup_is_not_complete() {
    let bench = failed();
    let run = bench.run(&["journal", "list"]);
    run.exits(0);
    assert!(run.out.contains("1/100/2  FAILED"), "{}", run.out);
    assert_eq!(run.out.matches("1 file failed").count(), 1, "{}", run.out);
    let run = bench.run(&["journal", "show", "1/100/2"]);
    run.exits(0);
    assert!(run.out.contains("segments/1.log      FAILED") && run.out.contains("DONE"), "{}", run.out);
    let skip = ["journal", "skip", "1/100/2", "segments/1.log", "--reason", "taken by a stranger"];
    let run = bench.run(&[&skip[..], &["--dry-run"]].concat());
    assert_eq!((run.code, run.out.starts_with("would note that the next")), (Some(0), true), "{}", run.out);
    assert_eq!(bench.run(&["journal", "show", "1/100/2", "--json"]).json()["skippedFiles"], 0);
    bench.run(&skip).exits(0);
    let document = bench.run(&["--json", "journal", "show", "1/100/2"]).json();
    assert_eq!((&document["skippedFiles"], &document["state"]), (&1.into(), &"FAILED".into()));
    assert_eq!(document["files"][0]["state"], "SKIPPED");
    assert_eq!(document["files"][0]["note"], "taken by a stranger");

    bench.store(&["save", "1/100/2", "--segments", &bench.logs(), "--partitions", "1", "--resume"]).exits(0);
    let shown = bench.store(&["--json", "show", "1/100/2"]).json();
    assert_eq!(shown["metadata"]["skippedFiles"][0]["name"], "segments/1.log");
    assert!(bench.store(&["status", "1/100/2"]).out.contains("no: files were skipped"));
    // Not chosen, nor counted as complete.
    assert!(bench.store(&["cluster"]).out.contains("100         FAILED"));
    assert_eq!(bench.store(&["--json", "status", "1/latest/any"]).json()["checkpoint"], "99");
    bench.run(&["journal", "show", "1/100/2"]).exits(4);
    assert!(bench.run(&["journal", "list"]).err.contains("no journals in"));
}

#[test]
fn journals_are_mended_and_removed() {
    let bench = failed();
    let journal = |args: &[&str]| bench.run(&[&["journal"], args].concat());
    journal(&["clear-errors", "1/100/2"]).exits(0);
    let run = journal(&["clear-errors", "1/100/2"]);
    assert!(run.out.contains("says so already"), "{}", run.out);
    assert!(journal(&["list"]).out.contains("INTERRUPTED"));
    journal(&["reset", "1/100/2", "segments/sub/2.log"]).exits(0);
    journal(&["retry", "1/100/2", "segments/1.log"]).exits(0);
    journal(&["skip", "1/100/2", "segments/1.log"]).exits(2);
    journal(&["skip", "1/100/2", "segments/9.log", "--reason", "x"]).exits(4);
    journal(&["skip", "1/100/2", "9.log", "--reason", "x"]).exits(2);
    journal(&["show", "1/100"]).exits(2);
    journal(&["show", "1/99/2"]).exits(4);
    let run = bench.run(&["journal", "list", "--journal-dir", "none"]);
    run.exits(2);
    assert!(run.err.contains("--journal-dir"), "{}", run.err);

    journal(&["remove", "1/100/2"]).exits(7);
    journal(&["remove", "1/100/2", "--dry-run"]).exits(0);
    assert!(journal(&["list"]).out.contains("1/100/2"));
    journal(&["remove", "1/100/2", "--yes"]).exits(0);
    assert_eq!(journal(&["list"]).out, "");
    // A damaged one is listed, and in the exit code.
    let dir = bench.path("state/milepost/journals");
    fs::write(format!("{dir}/store-1-7-2-0.json"), "{").unwrap();
    let run = journal(&["list"]);
    run.exits(3);
    assert!(run.out.contains("DAMAGED"), "{}", run.out);
}

#[test]
fn staged_files_go_once_they_are_saved_and_only_when_somebody_agrees() {
    let bench = Bench::new();
    let log = bench.logs();
    let save = |args: &[&str]| {
        bench.store(&[&["save", "1/100/2", "--segments", &log, "--partitions", "1", "--remove-source"], args].concat())
    };
    let run = save(&[]);
    run.exits(7);
    assert!(run.err.contains("add --yes"), "{}", run.err);
    assert!(!fs::exists(bench.path("store")).unwrap(), "nothing is saved where nobody agreed");
    let run = save(&["--yes"]);
    run.exits(0);
    assert!(run.out.contains("; removed 2 staged files"), "{}", run.out);
    let left: Vec<_> = fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["sub"], "folders stay");
    bench.store(&["verify", "1/100/2", "--level", "content"]).exits(0);

    // A save that fails removes nothing.
    bench.logs();
    save(&["--yes"]).exits(5);
    assert!(fs::exists(format!("{log}/1.log")).unwrap());
    // What was saved before is compared first: an equal file goes, another one stays.
    fs::write(format!("{log}/1.log"), "other records, as").unwrap();
    save(&["--yes", "--resume"]).exits(5);
    assert!(fs::exists(format!("{log}/1.log")).unwrap());
    bench.logs();
    let run = save(&["--yes", "--resume", "--json"]);
    run.exits(0);
    assert_eq!(
        run.out.lines().last().map(|line| line.contains("\"removed\":{\"bytes\":100017")),
        Some(true),
        "{}",
        run.out
    );
    bench.store(&["save", "1/101/2", "--segments", &log, "--yes"]).exits(2);
}
