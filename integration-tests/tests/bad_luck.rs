//! Bad input and bad luck, met by the real binary: files that are not what they were, names that no store may hold, ids that
//! are taken, folders that are in the way. What is refused leaves nothing behind; what fails says why, by name.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs
)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use common::{As, Bench};
use milepost_integration_tests::{binary, files_below, long, summary};

// ---- files ----

#[test]
fn a_folder_that_is_absent_or_a_file_is_a_usage_error() {
    let bench = Bench::new();
    for path in ["segments/a.log", "nowhere"] {
        let path = bench.path(path);
        let ran = bench.run(2, &["save", "1/1/1", "--segments", path.to_str().unwrap()]);
        assert!(ran.err.contains("--segments") && ran.err.contains(path.to_str().unwrap()), "{}", ran.err);
    }
    bench.untouched("1/1/1");
}

#[test]
fn files_that_vanish_or_become_folders_after_the_plan_are_all_named() {
    let bench = Bench::new();
    bench.sparse("segments/0-first.log", 24 << 20);
    for name in ["gone.log", "folder.log", "whole.log"] {
        fs::write(bench.path("segments").join(name), name).unwrap();
    }
    let ran = bench.slow_save("1/1/1", &["--concurrency", "1", "--limit-rate", "4M"], || {
        let segments = bench.path("segments");
        fs::remove_file(segments.join("gone.log")).unwrap();
        fs::remove_file(segments.join("folder.log")).unwrap();
        fs::create_dir(segments.join("folder.log")).unwrap();
    });
    ran.exits(1);
    let reason = bench.failed("1/1/1");
    for name in ["segments/gone.log", "segments/folder.log"] {
        assert!(ran.err.contains(name) && reason.contains(name), "{name}: {}\n{reason}", ran.err);
    }
    assert!(!reason.contains("whole.log") && !reason.contains("0-first.log"), "{reason}");
    let stored = files_below(&bench.path("store/1/1/1"));
    assert!(stored.iter().any(|path| path.ends_with("whole.log")), "the others are sent all the same: {stored:?}");
}

#[test]
fn a_file_that_may_not_be_read_fails_the_save_by_name() {
    let bench = Bench::new();
    bench.open_to_all();
    let locked = bench.path("segments/locked.log");
    fs::write(&locked, "secret").unwrap();
    fs::set_permissions(&locked, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let Some(ran) =
        bench.run_as(As::Nobody, &["save", "1/1/1", "--segments", bench.path("segments").to_str().unwrap()])
    else {
        return;
    };
    ran.exits(1);
    assert!(ran.err.contains("segments/locked.log"), "{}", ran.err);
    assert!(bench.failed("1/1/1").contains("segments/locked.log"));
}

#[test]
fn a_segment_that_shrinks_fails_by_name_and_says_how_far_it_could_be_read() {
    let bench = Bench::new();
    bench.sparse("segments/big.log", 96 << 20);
    let file = fs::File::options().write(true).open(bench.path("segments/big.log")).unwrap();
    let ran = bench.slow_save("1/1/1", &["--limit-rate", "10M"], || file.set_len(50_000_000).unwrap());
    ran.exits(1);
    let reason = bench.failed("1/1/1");
    assert!(reason.contains("segments/big.log") && ran.err.contains("segments/big.log"), "{}\n{reason}", ran.err);
    assert!(ran.err.contains("50000000"), "the length that was found: {}", ran.err);
    assert!(ran.err.contains("100663296"), "the length that was planned: {}", ran.err);
}

#[test]
fn a_snapshot_file_that_changes_fails_by_name_also_when_its_length_stays() {
    let bench = Bench::new();
    bench.sparse("snapshots/0-first.sst", 24 << 20);
    fs::write(bench.path("snapshots/state.sst"), "one").unwrap();
    let ran = bench.slow_save("1/1/1", &["--concurrency", "1", "--limit-rate", "4M"], || {
        fs::write(bench.path("snapshots/state.sst"), "two").unwrap();
    });
    ran.exits(1);
    let reason = bench.failed("1/1/1");
    assert!(reason.contains("snapshots/state.sst") && !reason.contains("0-first"), "{reason}");
}

#[test]
fn a_segment_that_grows_is_saved_at_the_length_that_it_had() {
    use std::io::Write as _;
    let bench = Bench::new();
    bench.sparse("segments/big.log", 40 << 20);
    fs::write(bench.path("segments/z.log"), "begun").unwrap();
    let ran = bench.slow_save("1/1/1", &["--concurrency", "1", "--limit-rate", "6M"], || {
        for name in ["segments/big.log", "segments/z.log"] {
            fs::File::options().append(true).open(bench.path(name)).unwrap().write_all(b" and grown").unwrap();
        }
    });
    ran.exits(0);
    bench.run(0, &["verify", "1/1/1", "--level", "content"]);
    bench.run(0, &["restore", "1/1/1", "--target", bench.path("target").to_str().unwrap()]);
    assert_eq!(fs::read(bench.path("target/segments/z.log")).unwrap(), b"begun");
    assert_eq!(fs::metadata(bench.path("target/segments/big.log")).unwrap().len(), 40 << 20);
}

#[test]
fn nothing_zero_bytes_and_nested_names_go_round() {
    let bench = Bench::new();
    let target = bench.path("target");
    for (id, flags) in [("1/1/1", &[][..]), ("1/2/1", &["--snapshots"]), ("1/3/1", &["--snapshots", "--segments"])] {
        let empty = bench.path("empty");
        fs::create_dir_all(&empty).unwrap();
        let args: Vec<&str> =
            ["save", id].into_iter().chain(flags.iter().flat_map(|f| [*f, empty.to_str().unwrap()])).collect();
        bench.run(0, &args);
        bench.run(0, &["verify", id, "--level", "content"]);
        bench.run(0, &["restore", id, "--target", target.to_str().unwrap()]);
        assert!(target.join("snapshots").is_dir() && target.join("segments").is_dir());
        fs::remove_dir_all(&target).unwrap();
    }
    fs::create_dir_all(bench.path("segments/a/b/c")).unwrap();
    fs::write(bench.path("segments/a/b/c/zero"), "").unwrap();
    fs::write(bench.path("segments/a/ünï 1.log"), "nested").unwrap();
    bench.save("1/4/1").exits(0);
    bench.run(0, &["restore", "1/4/1", "--target", target.to_str().unwrap()]);
    bench.same_as_target();
}

#[test]
fn who_reads_what_was_restored_is_up_to_the_umask() {
    let bench = Bench::new();
    bench.save("1/1/1").exits(0);
    let mut restore = Command::new("sh");
    restore.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(binary()).args(["restore", "1/1/1"]);
    restore.arg("--store").arg(bench.path("store")).arg("--target").arg(bench.path("target"));
    bench.run_command(restore).exits(0);
    for name in ["", "segments", "segments/a.log", ".milepost.json"] {
        let mode = fs::metadata(bench.path("target").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
}

#[test]
fn twelve_thousand_files_go_round() {
    let bench = Bench::new();
    for n in 0..12_000 {
        let folder = bench.path("segments").join(format!("{:03}", n / 100));
        if n % 100 == 0 {
            fs::create_dir(&folder).unwrap();
        }
        fs::write(folder.join(format!("{n}.log")), n.to_string()).unwrap();
    }
    let ran = bench.save("1/1/1");
    ran.exits(0);
    assert_eq!(summary(&ran.out)["files"], 12_001);
    bench.run(0, &["restore", "1/1/1", "--target", bench.path("target").to_str().unwrap()]);
    bench.same_as_target();
    let ran = bench.run(0, &["delete", "1/1/1", "--yes", "--json"]);
    assert_eq!(summary(&ran.out)["objects"], 12_002);
}

#[test]
fn a_sparse_file_of_six_gibibytes_goes_round() {
    if !long() {
        println!("NOT RUN: 6 GiB take minutes; MILEPOST_TEST_LONG=1 runs it");
        return;
    }
    let bench = Bench::new();
    bench.sparse("segments/huge.log", 6 << 30);
    bench.save("1/1/1").exits(0);
    bench.run(0, &["restore", "1/1/1", "--target", bench.path("target").to_str().unwrap()]);
    assert_eq!(fs::metadata(bench.path("target/segments/huge.log")).unwrap().len(), 6 << 30);
}

#[test]
fn names_that_no_store_may_hold_are_refused_before_any_effect() {
    use std::os::unix::ffi::OsStrExt as _;
    let long_name = "x".repeat(201);
    let bad: [(&[&[u8]], &str); 6] = [
        (&[b"A.log", b"a.log"], "differ only"),
        ("é.log e\u{301}.log".split(' ').map(str::as_bytes).collect::<Vec<_>>().leak(), "differ only"),
        (&[b"back\\slash"], "backslash"),
        (&[b"line\nbreak"], "control"),
        (&[b"not\xffutf8"], "UTF-8"),
        (&[long_name.leak().as_bytes()], "200"),
    ];
    for (names, why) in bad {
        let bench = Bench::new();
        for name in names {
            fs::write(bench.path("segments").join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
        }
        let ran = bench.save("1/1/1");
        assert!(matches!(ran.code, 1 | 2), "{why}: {} {}", ran.code, ran.err);
        assert!(ran.err.contains(why), "{why}: {}", ran.err);
        assert!(!ran.err.contains('\u{7f}') && ran.err.lines().all(|line| !line.starts_with("break")), "{}", ran.err);
        bench.untouched("1/1/1");
    }
}

#[test]
fn what_is_no_file_is_refused_before_any_effect() {
    let bench = Bench::new();
    std::os::unix::fs::symlink("/etc/passwd", bench.path("segments/link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(bench.path("snapshots/socket")).unwrap();
    let ran = bench.save("1/1/1");
    ran.exits(1);
    assert!(ran.err.contains("link") || ran.err.contains("socket"), "{}", ran.err);
    bench.untouched("1/1/1");
}

// ---- ids, states, clusters ----

#[test]
fn a_completed_backup_stays_as_it_is_byte_for_byte() {
    let bench = Bench::new();
    bench.save("1/1/1").exits(0);
    let documents =
        || ["status", "metadata"].map(|name| fs::read(bench.path(&format!("store/1/1/1/{name}.json"))).unwrap());
    let before = documents();
    let ran = bench.save("1/1/1");
    ran.exits(5);
    assert!(ran.err.contains("COMPLETED"), "{}", ran.err);
    fs::write(bench.path("segments/a.log"), "other bytes of another length").unwrap();
    bench.save("1/1/1").exits(5);
    bench.save_with("1/1/1", &["--resume"]).exits(5);
    bench.save_with("1/1/1", &["--resume", "--position", "7"]).exits(5);
    assert_eq!(documents(), before);
}

#[test]
fn a_taken_id_is_refused_in_every_state() {
    let bench = Bench::new();
    bench.run(0, &["mark-failed", "1/1/1", "--reason", "no disk", "--yes"]);
    bench.save("1/1/1").exits(5);
    assert_eq!(bench.failed("1/1/1"), "no disk");
    // A FAILED without a descriptor takes the one of a resume.
    bench.save_with("1/1/1", &["--resume"]).exits(0);
    // One that was COMPLETED is never taken up again.
    bench.run(0, &["mark-failed", "1/1/1", "--reason", "wrong cut", "--yes"]);
    bench.save_with("1/1/1", &["--resume"]).exits(5);
    bench.run(0, &["delete", "1/1/1", "--yes"]);
    for args in [&[][..], &["--resume"]] {
        bench.save_with("1/1/1", args).exits(5);
    }
    bench.run(5, &["mark-failed", "1/1/1", "--reason", "late", "--yes"]);

    bench.sparse("segments/big.log", 40 << 20);
    let ran = bench.slow_save("1/2/1", &["--limit-rate", "4M"], || {
        let ran = bench.save("1/2/1");
        ran.exits(5);
        assert!(ran.err.contains("process ") && ran.err.contains("IN_PROGRESS"), "{}", ran.err);
        bench.run(5, &["delete", "1/2/1", "--yes"]);
        bench.run(5, &["restore", "1/2/1", "--target", bench.path("target").to_str().unwrap()]);
    });
    ran.exits(0);

    fs::write(bench.path("store/1/2/1/status.json"), "{").unwrap();
    // A rule of the state table, not damage that was met on the way.
    bench.save("1/2/1").exits(5);
    bench.save_with("1/2/1", &["--resume"]).exits(5);
    assert_eq!(fs::read(bench.path("store/1/2/1/status.json")).unwrap(), b"{");
}

#[test]
fn a_restore_that_is_refused_touches_nothing() {
    let bench = Bench::new();
    bench.save_with("1/1/1", &["--fingerprint", "blue"]).exits(0);
    bench.run(0, &["mark-failed", "1/2/1", "--reason", "x", "--yes"]);
    let full = bench.path("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("precious"), "data").unwrap();
    let before = bench.listing();
    let refused = |code: i32, id: &str, target: &str, more: &[&str]| {
        let target = bench.path(target);
        let ran = bench.run(code, &[&["restore", id, "--target", target.to_str().unwrap()], more].concat());
        assert!(ran.err.contains("hint: "), "{}", ran.err);
        assert_eq!(bench.listing(), before);
        ran.err
    };
    assert!(refused(5, "1/1/1", "full", &[]).contains("precious"));
    refused(5, "1/2/1", "new", &[]);
    refused(4, "1/3/1", "new", &[]);
    let said = refused(7, "1/1/1", "new", &["--expect-fingerprint", "red"]);
    assert!(said.contains("blue") && said.contains("red"), "{said}");
    refused(2, "1/1/1", "no/such/parent", &[]);
    refused(5, "1/1/1", "full/precious", &[]);
}

#[test]
fn the_wrong_cluster_is_refused_before_anything_is_read_or_written() {
    let bench = Bench::new();
    bench.save("1/1/1").exits(0);
    let before = bench.listing();
    let target = bench.path("target");
    let target = target.to_str().unwrap();
    let other = "0123456789abcdef0123456789abcdef";
    for flags in [["--cluster", "staging"], ["--cluster-id", other]] {
        for verb in [
            &["list"][..],
            &["status", "1/1/1"],
            &["show", "1/1/1"],
            &["verify", "1/1/1"],
            &["restore", "1/1/1", "--target", target],
            &["save", "1/2/1"],
            &["delete", "1/1/1", "--yes"],
            &["mark-failed", "1/1/1", "--reason", "x", "--yes"],
            &["init"],
        ] {
            let ran = bench.run(7, &[verb, &flags].concat());
            assert!(ran.err.contains("cluster"), "{verb:?}: {}", ran.err);
            assert!(ran.out.is_empty(), "{verb:?}: {}", ran.out);
        }
    }
    assert_eq!(bench.listing(), before);
}

// ---- the place ----

#[test]
fn a_store_that_is_a_file_is_an_error_that_names_it() {
    let bench = Bench::new();
    fs::write(bench.path("store"), "I am a file").unwrap();
    for verb in [&["list"][..], &["save", "1/1/1"], &["init"], &["probe"], &["delete", "1/1/1", "--yes"]] {
        let ran = bench.try_run(verb);
        assert!(ran.code != 0 && ran.code < 100, "{verb:?}: {} {}", ran.code, ran.err);
        assert!(ran.err.contains("store") && !ran.err.contains("panicked"), "{verb:?}: {}", ran.err);
    }
    assert_eq!(fs::read(bench.path("store")).unwrap(), b"I am a file");
}

#[test]
fn a_store_that_may_not_be_written_can_still_be_read() {
    let bench = Bench::new();
    bench.save("1/1/1").exits(0);
    bench.open_to_all();
    bench.read_only("store");
    let segments = bench.path("segments");
    let Some(ran) = bench.run_as(As::Nobody, &["save", "1/2/1", "--segments", segments.to_str().unwrap()]) else {
        return;
    };
    ran.exits(8);
    assert!(ran.err.contains("ermission denied"), "{}", ran.err);
    bench.untouched("1/2/1");
    for verb in [&["list"][..], &["status", "1/1/1"], &["show", "1/1/1"], &["verify", "1/1/1", "--level", "content"]] {
        let ran = bench.run_as(As::Nobody, verb).unwrap();
        assert_eq!(ran.code, 0, "{verb:?}: {}", ran.err);
    }
    fs::create_dir(bench.path("open")).unwrap();
    fs::set_permissions(bench.path("open"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let target = bench.path("open/target");
    bench.run_as(As::Nobody, &["restore", "1/1/1", "--target", target.to_str().unwrap()]).unwrap().exits(0);
    bench.run_as(As::Nobody, &["delete", "1/1/1", "--yes"]).unwrap().exits(8);
    bench.run(0, &["verify", "1/1/1", "--level", "content"]);
}

#[test]
fn few_descriptors_are_enough_or_an_error() {
    let bench = Bench::new();
    for n in 0..300 {
        fs::write(bench.path("segments").join(format!("{n}.log")), n.to_string()).unwrap();
    }
    let limited = |limit: u32, id: &str| {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -n {limit} && exec \"$@\"")).arg("sh").arg(binary());
        command.args(["save", id, "--segments"]).arg(bench.path("segments")).arg("--store").arg(bench.path("store"));
        bench.run_command(command)
    };
    limited(64, "1/1/1").exits(0);
    let starved = limited(12, "1/2/1");
    println!("12 descriptors: exit {}: {}", starved.code, starved.err.trim());
    assert!(starved.code < 100 && !starved.err.contains("panicked"), "{} {}", starved.code, starved.err);
    if starved.code != 0 {
        assert!(starved.err.starts_with("error: "), "{}", starved.err);
    }
    // With descriptors again, the id is free or can be resumed: nothing is stuck.
    bench.save_with("1/2/1", &["--resume"]).exits(0);
    bench.run(0, &["verify", "1/2/1", "--level", "content"]);
    assert!(Path::new(&bench.path("store/cluster.json")).exists());
}
