//! `verify` of a selection, as a shell meets it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests; what cannot run says so")]

mod common;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use common::Bench;
use serde_json::Value;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn three() -> Bench {
    let bench = Bench::new();
    for id in ["1/100/1", "1/100/2", "1/101/1"] {
        bench.saved(id);
    }
    bench
}

#[test]
fn a_selection_is_verified_recorded_and_reported() {
    let bench = three();
    let run = bench.store(&["verify", "--all"]);
    run.exits(0);
    assert!(run.out.starts_with("verified 3 backups at level checksums: 3 whole ("), "{}", run.out);
    let shown = bench.store(&["cluster"]);
    assert!(shown.out.contains("VERIFIED") && shown.out.contains("checksums "), "{}", shown.out);

    fs::write(bench.path("store/1/100/2/segments/1.log"), "the worst records").unwrap();
    let report = bench.path("proof.json");
    let run = bench.store(&["verify", "--checkpoint", "100", "--level", "content", "--report", &report]);
    run.exits(6);
    assert!(run.out.contains("1/100/2  DAMAGED") && run.out.contains("1 whole, 1 DAMAGED"), "{}", run.out);
    let document: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_eq!((&document["damaged"], &document["ok"]), (&1.into(), &false.into()));
    let backups = document["backups"].as_array().unwrap();
    assert_eq!(backups.len(), 2);
    assert!(backups.iter().any(|one| one["id"] == "1/100/2" && one["findings"][0]["problem"] == "CHECKSUM"));
    assert!(!fs::exists(format!("{report}.new")).unwrap());
    let document = bench.store(&["--json", "status", "1/100/2"]).json();
    assert_eq!(document["document"]["verified"]["ok"], false);

    let run = bench.store(&["--json", "verify", "--all", "--oldest-first", "--limit", "1"]);
    run.exits(0);
    let lines = lines(&run.out);
    assert_eq!((&lines[0]["id"], &lines[0]["outcome"]), (&"1/101/1".into(), &"WHOLE".into()));
    assert_eq!((&lines[1]["verified"], &lines[1]["completed"]), (&1.into(), &3.into()));
}

#[test]
fn damaged_statuses_count_and_unfinished_backups_do_not() {
    let bench = three();
    bench.store(&["mark-failed", "1/101/1", "--reason", "x", "--yes"]).exits(0);
    let run = bench.store(&["verify", "--all", "--no-record"]);
    run.exits(0);
    assert!(run.out.contains("2 whole; 1 not COMPLETED") && run.out.contains("nothing was recorded"), "{}", run.out);
    let document = bench.store(&["--json", "status", "1/100/1"]).json();
    assert!(document["document"]["verified"].is_null());
    fs::write(bench.path("store/1/100/1/status.json"), "{").unwrap();
    let run = bench.store(&["verify", "--all", "--sample", "1", "--seed", "7"]);
    run.exits(6);
    assert!(run.out.contains("1/100/1  DAMAGED"), "{}", run.out);
}

#[test]
fn a_role_that_may_only_read_is_told_that_nothing_was_recorded() {
    let bench = three();
    let store = bench.path("store");
    let lock = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let folders: Vec<String> = ["1/100/1", "1/100/2", "1/101/1"].iter().map(|id| format!("{store}/{id}")).collect();
    folders.iter().for_each(|folder| lock(Path::new(folder), 0o555));
    let probe = fs::write(format!("{}/probe", folders[0]), "x");
    let run = bench.store(&["verify", "--all"]);
    folders.iter().for_each(|folder| lock(Path::new(folder), 0o755));
    if probe.is_ok() {
        let why = "\nNOT RUN: this user may write everywhere; run as somebody else than root\n";
        std::io::stderr().write_all(why.as_bytes()).unwrap();
        return;
    }
    run.exits(0);
    assert!(run.err.contains("nothing was recorded in the statuses"), "{}", run.err);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let bench = three();
    let verify = |args: &[&str]| bench.store(&[&["verify"], args].concat());
    for bad in [
        &[][..],
        &["1/100/1", "--all"],
        &["1/100/1", "--limit", "1"],
        &["1/100/1", "--no-record"],
        &["--all", "--partition", "1"],
        &["--all", "--record"],
        &["--all", "--sample", "0"],
        &["--all", "--sample", "101"],
        &["--all", "--sample", "5%"],
        &["--all", "--seed", "1"],
        &["--all", "--limit", "0"],
        &["--sample", "5"],
        &["--all", "--report", "/"],
        &["--all", "--report", "absent/report.json"],
    ] {
        verify(bad).exits(2);
    }
    verify(&["--checkpoint", "7"]).exits(4);
    verify(&["--partition", "9"]).exits(4);
    bench.run(&["--store", &bench.path("absent"), "verify", "--all"]).exits(4);
    bench.run(&["--store", &bench.path("empty"), "init"]).exits(0);
    let run = bench.run(&["--store", &bench.path("empty"), "verify", "--all"]);
    run.exits(0);
    assert_eq!(run.out, "there is no COMPLETED backup to verify\n");
}
