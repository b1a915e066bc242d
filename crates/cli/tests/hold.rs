//! `hold` and `release` as a shell meets them.

mod common;

use common::Bench;

#[test]
fn what_is_held_is_not_deleted_failed_or_pruned_until_it_is_released() {
    let bench = Bench::new();
    for id in ["1/100/1", "1/100/2", "1/101/1"] {
        bench.saved(id);
    }
    let run = bench.store(&["hold", "1/100/1", "--reason", "bug 4711", "--owner", "ops", "--id", "bug-4711"]);
    run.exits(0);
    assert_eq!(run.out, "holds 1/100/1: hold bug-4711\n");
    for verb in [&["delete", "1/100/1", "--yes"][..], &["mark-failed", "1/100/1", "--reason", "x", "--yes"]] {
        let run = bench.store(verb);
        run.exits(7);
        assert!(run.err.contains("bug-4711 by ops (bug 4711)") && run.err.contains("hint: "), "{}", run.err);
        let line = bench.store(&[&["--json"], verb].concat()).err_json();
        assert_eq!((&line["kind"], &line["holds"][0]["reason"]), (&"held".into(), &"bug 4711".into()));
    }
    let run = bench.store(&["prune", "--keep-last", "1", "--yes"]);
    run.exits(0);
    assert_eq!(bench.ids(), ["1/101/1", "1/100/1"], "one hold blocks no other delete");
    assert!(bench.store(&["prune", "--keep-last", "1", "--dry-run"]).out.contains("held: bug-4711 by ops: bug 4711"));
    assert!(bench.store(&["list"]).out.contains("held"));

    bench.store(&["release", "1/100/1", "--id", "other"]).exits(4);
    bench.store(&["release", "1/100/1"]).exits(2);
    let run = bench.store(&["release", "1/100/1", "--id", "bug-4711"]);
    assert_eq!((run.code, run.out.as_str()), (Some(0), "released 1/100/1: hold bug-4711 is gone\n"));
    bench.store(&["delete", "1/100/1", "--yes"]).exits(0);
}

#[test]
fn a_checkpoint_is_held_as_a_whole() {
    let bench = Bench::new();
    for id in ["1/100/1", "1/100/2", "1/101/1"] {
        bench.saved(id);
    }
    bench.store(&["mark-failed", "1/100/2", "--reason", "x", "--yes"]).exits(0);
    bench.saved("1/100/3");
    let run = bench.store(&["--json", "hold", "100", "--reason", "audit"]);
    run.exits(0);
    let value = run.json();
    assert_eq!(value["done"].as_array().unwrap().len(), 2);
    assert_eq!((&value["skipped"][0]["id"], &value["skipped"][0]["state"]), (&"1/100/2".into(), &"FAILED".into()));
    let id = value["hold"]["id"].as_str().unwrap().to_owned();
    assert!(!value["hold"]["owner"].as_str().unwrap().is_empty());
    bench.store(&["delete", "1/100/3", "--yes"]).exits(7);
    // The same hold again changes nothing, a second one is a second one.
    bench.store(&["hold", "100", "--reason", "audit", "--id", &id]).exits(0);
    bench.store(&["hold", "1/100/3", "--reason", "more"]).exits(0);
    let run = bench.store(&["release", "100", "--all"]);
    assert_eq!((run.code, run.out.as_str()), (Some(0), "released 3 holds\n"));
    bench.store(&["release", "100", "--all"]).exits(4);
    bench.store(&["delete", "1/100/3", "--yes"]).exits(0);
}

#[test]
fn what_is_not_there_or_not_committed_cannot_be_held() {
    let bench = Bench::new();
    bench.saved("1/100/1");
    bench.store(&["mark-failed", "1/101/1", "--reason", "x", "--yes"]).exits(0);
    let hold = |target: &str| bench.store(&["hold", target, "--reason", "r"]);
    let run = hold("9/9/9");
    run.exits(4);
    assert!(run.err.starts_with("error: hold 9/9/9: "), "{}", run.err);
    hold("999").exits(4);
    let run = hold("1/101/1");
    run.exits(5);
    assert!(run.err.contains("FAILED"), "{}", run.err);
    hold("101").exits(5);
    hold("1/2").exits(2);
    hold("latest").exits(2);
    bench.store(&["hold", "1/100/1", "--reason", ""]).exits(2);
    bench.store(&["hold", "1/100/1", "--reason", &"x".repeat(2000)]).exits(2);
    for n in 0..16 {
        bench.store(&["hold", "1/100/1", "--reason", "r", "--id", &format!("h{n}")]).exits(0);
    }
    let run = hold("1/100/1");
    run.exits(2);
    assert!(run.err.contains("16 holds"), "{}", run.err);
}
