//! `watch`, `doctor`, `config show`, `completions`, `man`.
#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy.toml covers the tests alone")]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use common::{Bench, Run};

/// Begins a save that takes some seconds.
fn slow_save(bench: &Bench, id: &str) -> Child {
    let big = bench.path("big");
    fs::create_dir_all(&big).unwrap();
    for n in 0..4 {
        fs::write(format!("{big}/{n}.log"), vec![7u8; 200_000]).unwrap();
    }
    let args = ["--store", &bench.path("store"), "save", id, "--segments", &big, "--limit-rate", "100k"];
    let save =
        bench.command(&[&args[..], &["--sign-of-life", "200ms"]].concat()).stdout(Stdio::null()).spawn().unwrap();
    bench.wait_for(&format!("store/{id}/status.json"));
    save
}

#[test]
fn a_watch_tells_each_change_until_a_signal() {
    let bench = Bench::new();
    bench.store(&["init"]).exits(0);
    let run = bench.store(&["watch", "--once"]);
    run.exits(0);
    assert_eq!((run.out.as_str(), run.err.as_str()), ("", "no save is running\n"));

    let mut save = slow_save(&bench, "1/100/2");
    let once = bench.store(&["watch", "--once"]);
    assert!(
        once.out.contains("1/100/2  IN_PROGRESS") && once.out.contains("/4 ") && once.out.contains(" on "),
        "{}",
        once.out
    );
    let args = ["--store", &bench.path("store"), "watch", "--interval", "500ms"];
    let mut watch = bench.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told: Vec<String> = lines.by_ref().take_while(|line| !line.contains("COMPLETED")).collect();
    assert!(told[0].contains(" 1/100/2 IN_PROGRESS ") && told[0].contains("/4 files"), "{told:?}");
    let mut without_time: Vec<&str> = told.iter().map(|line| line.split_once(' ').unwrap().1).collect();
    without_time.dedup();
    assert_eq!(without_time.len(), told.len(), "a line is a change: {told:?}");
    assert!(save.wait().unwrap().success());
    let kill = Command::new("kill").args(["-INT", &watch.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let run = Run::from(watch.wait_with_output().unwrap());
    run.exits(130);
    assert_eq!(run.err, "", "a signal is how a watch ends");
}

#[test]
fn a_watch_ends_with_its_reader() {
    let bench = Bench::new();
    let mut save = slow_save(&bench, "1/100/2");
    let args = ["--store", &bench.path("store"), "--json", "watch", "--interval", "500ms"];
    let mut watch = bench.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(watch.stdout.take());
    let run = Run::from(watch.wait_with_output().unwrap());
    run.exits(0);
    assert_eq!(run.err, "");
    assert!(save.wait().unwrap().success());
    bench.store(&["watch", "--interval", "1ms"]).exits(2);
}

#[test]
fn doctor_has_its_exit_codes_and_names_what_mends() {
    let bench = Bench::new();
    bench.store(&["doctor"]).exits(4);
    bench.saved("1/100/2");
    let run = bench.store(&["doctor"]);
    run.exits(0);
    assert!(run.out.contains("healthy: 0 errors, 0 warnings, 0 notes"), "{}", run.out);
    fs::create_dir_all(bench.path("store/1/99/1/segments")).unwrap();
    fs::write(bench.path("store/1/99/1/segments/late"), "late").unwrap();
    let run = bench.store(&["doctor"]);
    run.exits(3);
    assert!(run.out.contains("milepost delete 1/99/1"), "{}", run.out);
    bench.store(&["doctor", "--quick"]).exits(0);
    bench.store(&["delete", "1/99/1", "--yes"]).exits(0);
    bench.store(&["doctor"]).exits(0);
    fs::remove_file(bench.path("store/1/100/2/segments/1.log")).unwrap();
    let run = bench.store(&["doctor"]);
    run.exits(6);
    assert!(run.out.contains("milepost verify 1/100/2 --level objects"), "{}", run.out);
    let run = bench.store(&["--cluster", "other", "doctor"]);
    run.exits(7);
    assert_eq!(run.out, "");
}

#[test]
fn a_repair_is_asked_for_and_does_what_it_says() {
    let bench = Bench::new();
    bench.saved("1/100/2");
    bench.saved("1/101/2");
    bench.store(&["delete", "1/100/2", "--yes"]).exits(0);
    fs::create_dir_all(bench.path("store/_milepost/probe/dead")).unwrap();
    fs::write(bench.path("store/_milepost/probe/dead/create"), "racer 1").unwrap();
    let stranger = bench.path("store/_milepost/probe/mine");
    fs::write(&stranger, "x").unwrap();
    let now = ["--stale-after", "0s", "--tombstone-grace", "0"];
    let doctor = |args: &[&str]| bench.store(&[&["doctor"], &now[..], args].concat());
    let found = doctor(&["--json"]).json();
    let repairable = found["findings"].as_array().unwrap().iter().filter(|one| one["repairable"] == true).count();
    assert_eq!(repairable, 2, "{found:#}");
    let refused = doctor(&["--repair"]);
    refused.exits(7);
    assert!(refused.err.contains("--yes"), "{}", refused.err);
    assert!(fs::exists(bench.path("store/1/100/2/status.json")).unwrap());
    bench.store(&["doctor", "--yes"]).exits(2);
    let run = doctor(&["--repair", "--yes"]);
    run.exits(0);
    assert_eq!(run.out.matches("mended").count(), 2, "{}", run.out);
    assert!(!fs::exists(bench.path("store/1/100/2/status.json")).unwrap());
    assert!(!fs::exists(bench.path("store/_milepost/probe/dead/create")).unwrap());
    assert!(fs::exists(&stranger).unwrap());
    assert_eq!(bench.ids(), ["1/101/2"]);
    bench.store(&["verify", "1/101/2", "--level", "content"]).exits(0);
}

#[test]
fn settings_are_shown_with_their_origin_and_without_secrets() {
    let bench = Bench::new();
    let file = bench.path("m.toml");
    fs::write(&file, "cluster = \"prod\"\nconcurrency = 3\n[s3]\naccess_key_id = \"hunter1\"").unwrap();
    let mut command = bench.command(&["--config", &file, "--concurrency", "8", "--json", "config", "show"]);
    let secret = [("MILEPOST_S3_SECRET_ACCESS_KEY", "hunter2"), ("MILEPOST_STORE", "s3://me:hunter3@bucket")];
    let run = Run::from(command.envs(secret).output().unwrap());
    run.exits(0);
    assert!(!run.out.contains("hunter") && !run.err.contains("hunter"), "{}", run.out);
    let shown = run.json();
    let of = |name: &str| shown["settings"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
    let is = |name: &str, value: &str, origin: &str, given: &str| {
        let one = of(name);
        assert_eq!((one["value"].as_str(), one["origin"].as_str()), (Some(value), Some(origin)), "{one}");
        assert!(one["givenAs"].as_str().unwrap_or_default().starts_with(given), "{one}");
    };
    is("concurrency", "8", "FLAG", "--concurrency");
    is("cluster", "prod", "FILE", "cluster in ");
    is("part_size", "8Mi", "DEFAULT", "");
    for (name, origin) in
        [("s3_secret_access_key", "ENVIRONMENT"), ("s3_access_key_id", "FILE"), ("store", "ENVIRONMENT")]
    {
        let one = of(name);
        assert_eq!(
            (one["redacted"].as_bool(), one["value"].as_str(), one["origin"].as_str()),
            (Some(true), None, Some(origin))
        );
    }
    let run = bench.run(&["config", "show"]);
    run.exits(0);
    assert!(run.out.starts_with("SETTING") && run.out.contains("memory_budget"), "{}", run.out);
}

#[test]
fn shells_and_man_know_the_verbs() {
    let bench = Bench::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = bench.run(&["completions", shell]);
        run.exits(0);
        assert!(run.out.contains("restore-node") && run.out.contains("doctor"), "{shell}");
    }
    bench.run(&["completions", "csh"]).exits(2);
    let page = bench.run(&["man"]);
    page.exits(0);
    assert!(page.out.contains(".TH milepost 1") && page.out.contains("restore\\-node"), "{}", page.out);
    let page = bench.run(&["man", "restore-node"]);
    assert!(page.out.contains(".TH milepost-restore-node 1") && page.out.contains("\\-\\-partitions"), "{}", page.out);
    assert!(bench.run(&["man", "config", "show"]).out.contains(".TH milepost-config-show 1"));
    bench.run(&["man", "nothing"]).exits(2);
}

#[test]
fn screens_fit_narrow_terminals() {
    let bench = Bench::new();
    bench.saved("1/100/2");
    fs::create_dir_all(bench.path("store/1/99/1/segments")).unwrap();
    fs::write(bench.path("store/1/99/1/segments/late"), "late").unwrap();
    for args in [&["ls", "1/100/2"][..], &["stats"], &["doctor"], &["config", "show"], &["watch", "--once"]] {
        for columns in [20, 80] {
            let mut command = bench.command(&[&["--store", &bench.path("store")], args].concat());
            let run = Run::from(command.env("COLUMNS", columns.to_string()).output().unwrap());
            for line in run.out.lines().filter(|line| !line.starts_with("file://")) {
                assert!(line.chars().count() <= columns, "{args:?} {columns}: {line:?}");
            }
            assert!(!run.out.contains('\u{1b}'), "no colours on a pipe");
        }
    }
}
