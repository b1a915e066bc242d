//! `cluster` as a shell meets it.

mod common;

use std::fs;

use common::Bench;

/// Two partitions; 100 complete, 101 without partition 2, 102 failed, all on node 1, 100 on node 2 as well.
fn bench() -> Bench {
    let bench = Bench::new();
    let log = bench.logs();
    for (id, position) in
        [("1/100/1", "50"), ("1/100/2", "60"), ("2/100/1", "70"), ("1/101/1", "40"), ("1/102/1", "80")]
    {
        bench.store(&["save", id, "--segments", &log, "--partitions", "2", "--position", position]).exits(0);
    }
    bench.store(&["mark-failed", "2/102/1", "--reason", "disk died", "--yes"]).exits(0);
    bench
}

#[test]
fn the_page_shows_every_checkpoint_why_it_is_not_latest_and_what_is_odd() {
    let bench = bench();
    let run = bench.store(&["cluster"]);
    run.exits(0);
    let lines: Vec<&str> = run.out.lines().collect();
    assert!(lines[1].starts_with("102         FAILED             1/2       2"), "{}", run.out);
    assert!(lines[1].contains("partition 2: disk died"), "{}", run.out);
    assert!(
        lines[2].starts_with("101         INCOMPLETE") && lines[2].contains("no copy of partition 2"),
        "{}",
        run.out
    );
    assert!(
        lines[2].contains("the position of partition 1 goes backwards: 40, but 60 at checkpoint 100"),
        "{}",
        run.out
    );
    assert!(
        lines[3].starts_with("100         COMPLETED          2/2       3") && lines[3].ends_with("latest"),
        "{}",
        run.out
    );

    let page = bench.store(&["--json", "cluster", "--limit", "2"]).json();
    assert_eq!((&page["latest"], &page["latestKnown"], &page["next"]), (&().into(), &false.into(), &"101".into()));
    let run = bench.store(&["cluster", "--limit", "2"]);
    assert!(run.err.contains("cluster latest") && run.err.contains("cluster --after 101"), "{}", run.err);
    let rest = bench.store(&["--json", "cluster", "--after", "101"]).json();
    assert_eq!((&rest["checkpoints"][0]["checkpoint"], &rest["next"]), (&"100".into(), &().into()));
    bench.store(&["cluster", "latest", "--limit", "2"]).exits(2);
    bench.store(&["cluster", "--limit", "0"]).exits(2);
}

#[test]
fn one_checkpoint_shows_the_best_copy_and_why_the_others_are_not() {
    let bench = bench();
    bench.store(&["verify", "1/100/2", "--record"]).exits(0);
    bench.store(&["hold", "2/100/1", "--reason", "audit"]).exits(0);
    let run = bench.store(&["cluster", "latest"]);
    run.exits(0);
    for text in [
        "state:       COMPLETED",
        "102 is FAILED (partition 2: disk died); 101 is INCOMPLETE (no copy of partition 2)",
        "partitions:  2 of 2 have a whole copy",
        "the copy of node 2 is at a higher position",
        "checksums now",
        "held",
    ] {
        assert!(run.out.contains(text), "{text}: {}", run.out);
    }
    let value = bench.store(&["--json", "cluster", "100"]).json();
    assert_eq!((&value["state"], &value["latest"]), (&"COMPLETED".into(), &().into()));
    let copies = &value["partitions"][0]["copies"];
    assert_eq!((&value["partitions"][0]["best"], &copies[0]["position"]), (&"1/100/2".into(), &"60".into()));
    assert_eq!((&copies[0]["verified"]["ok"], &value["held"]), (&true.into(), &1.into()));
    assert_eq!((&value["partitionsVerified"], &value["verified"]), (&1.into(), &().into()));

    let run = bench.store(&["cluster", "101"]);
    assert!(run.out.contains("2/101/-") && run.out.contains("MISSING"), "{}", run.out);
    let run = bench.store(&["restore", "1/latest/any", "--target", &bench.path("target")]);
    run.exits(0);
    assert!(run.err.contains("latest is 100: 102 is FAILED"), "{}", run.err);
}

#[test]
fn what_is_not_there_or_damaged_has_its_exit_code() {
    let bench = bench();
    bench.store(&["cluster", "999"]).exits(4);
    bench.store(&["cluster", "x"]).exits(2);
    fs::write(bench.path("store/1/101/1/status.json"), "{").unwrap();
    let run = bench.store(&["cluster"]);
    run.exits(3);
    assert!(run.out.contains("the status is corrupt"), "{}", run.out);
    bench.store(&["cluster", "101"]).exits(3);
    bench.store(&["cluster", "100"]).exits(0);

    let empty = Bench::new();
    empty.store(&["cluster"]).exits(4);
    empty.store(&["init"]).exits(0);
    let run = empty.store(&["cluster"]);
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (Some(0), "", "no backups\n"));
    empty.store(&["cluster", "latest"]).exits(4);
}

#[test]
fn the_tables_fit_narrow_and_wide_terminals() {
    let bench = bench();
    for width in ["20", "80", "200"] {
        for args in [&["cluster"][..], &["cluster", "100"]] {
            let store = bench.path("store");
            let mut command = bench.command(&[&["--store", &store], args].concat());
            let run = common::Run::from(command.env("COLUMNS", width).output().unwrap());
            run.exits(0);
            for line in run.out.lines() {
                assert!(line.chars().count() <= width.parse().unwrap(), "{width}: {line}");
            }
        }
    }
}
