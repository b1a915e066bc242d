//! The real binary, as a shell meets it: exit codes, streams, documents on disk.

mod common;

use std::fs;
use std::process::Stdio;

use common::Bench;

// ---- usage, before any store is touched ----

#[test]
fn help_and_version_go_to_stdout() {
    let bench = Bench::new();
    let run = bench.run(&["--help"]);
    run.exits(0);
    assert!(run.out.contains("milepost demo") && run.out.lines().all(|line| line.chars().count() <= 80), "{}", run.out);
    bench.run(&["--version"]).exits(0);
    assert!(bench.run(&["help", "save"]).out.contains("--segments"));
    let run = bench.run(&[]);
    run.exits(2);
    assert!(run.out.is_empty() && run.err.contains("Usage"), "{}", run.err);
}

#[test]
fn unknown_schemes_and_missing_stores_are_usage_errors() {
    let bench = Bench::new();
    let run = bench.run(&["--store", "gs://bucket", "list"]);
    run.exits(2);
    assert!(run.out.is_empty() && run.err.starts_with("error: "), "{}", run.err);
    for known in ["file:///", "memory:", "s3://", "hint: "] {
        assert!(run.err.contains(known), "{known} in {}", run.err);
    }
    let run = bench.run(&["list"]);
    run.exits(2);
    assert!(run.err.contains("MILEPOST_STORE"), "{}", run.err);
}

#[test]
fn bad_ids_are_usage_errors_that_show_the_form() {
    let bench = Bench::new();
    for id in ["01/1/1", "1/1", "1/1/99999999999", "1/1/1/1", "a/b/c"] {
        let run = bench.store(&["status", id]);
        run.exits(2);
        assert!(run.err.contains("PARTITION/CHECKPOINT/NODE"), "{}", run.err);
    }
    let run = bench.store(&["--json", "status", "01/1/1"]);
    run.exits(2);
    assert_eq!(run.err_json()["exitCode"], 2);
}

#[test]
fn credentials_are_refused_and_not_repeated() {
    let bench = Bench::new();
    for args in [
        &["--store", "s3://me:hunter2@bucket", "list"][..],
        &["--store", "s3://bucket?secret_key=hunter2", "list"],
        &["--secret-key=hunter2", "list"],
        &["save", "1/1/1", "--property", "password=hunter2"],
    ] {
        let run = bench.run(args);
        run.exits(2);
        assert!(!run.err.contains("hunter2") && !run.out.contains("hunter2"), "{}", run.err);
    }
    let run = bench.command(&["list"]).env("MILEPOST_STORE", "s3://me:hunter2@bucket").output().map(common::Run::from);
    let run = run.unwrap();
    run.exits(2);
    assert!(!run.err.contains("hunter2"), "{}", run.err);
}

#[test]
fn settings_come_from_flag_then_environment_then_file() {
    let bench = Bench::new();
    let file = bench.path("m.toml");
    fs::write(&file, "part_sise = 1").unwrap();
    let run = bench.run(&["--config", &file, "list"]);
    run.exits(2);
    assert!(run.err.contains("`part_sise`"), "{}", run.err);
    fs::write(&file, "store = \"gs://from-file\"\nconcurrency = 0").unwrap();
    assert!(bench.run(&["--config", &file, "list"]).err.contains("concurrency"));
    fs::write(&file, "store = \"filescheme:x\"").unwrap();
    assert!(bench.run(&["--config", &file, "list"]).err.contains("`filescheme`"));
    let mut command = bench.command(&["--config", &file, "list"]);
    let run = common::Run::from(command.env("MILEPOST_STORE", "envscheme:x").output().unwrap());
    assert!(run.err.contains("`envscheme`"), "{}", run.err);
    let mut command = bench.command(&["--config", &file, "--store", "flagscheme:x", "list"]);
    let run = common::Run::from(command.env("MILEPOST_STORE", "envscheme:x").output().unwrap());
    assert!(run.err.contains("`flagscheme`"), "{}", run.err);
    let run = common::Run::from(bench.command(&["list"]).env("MILEPOST_CONFIG", "/nonexistent").output().unwrap());
    run.exits(2);
}

#[test]
fn bad_folders_fail_before_the_store_is_made() {
    let bench = Bench::new();
    bench.store(&["save", "1/1/1", "--segments", "/nonexistent"]).exits(2);
    let log = bench.logs();
    std::os::unix::fs::symlink("1.log", format!("{log}/link")).unwrap();
    let run = bench.store(&["save", "1/1/1", "--segments", &log]);
    run.exits(1);
    assert!(run.err.contains("segments/link: is a symbolic link") && run.err.contains("hint: "), "{}", run.err);
    assert!(!fs::exists(bench.path("store/1")).unwrap());
}

// ---- with a store ----

#[test]
fn an_empty_list_is_a_success_and_an_absent_status_is_not() {
    let bench = Bench::new();
    // A folder that is not there is a mistyped path, and is not made.
    let run = bench.store(&["list"]);
    run.exits(4);
    assert!(run.err.contains("there is no store at"), "{}", run.err);
    assert!(!fs::exists(bench.path("store")).unwrap());
    bench.store(&["init"]).exits(0);
    let run = bench.store(&["list"]);
    run.exits(0);
    assert_eq!(run.out, "");
    let run = bench.store(&["list", "--json"]);
    assert_eq!(run.json()["backups"].as_array().unwrap().len(), 0);
    let run = bench.store(&["status", "1/1/1"]);
    run.exits(4);
    assert!(run.out.contains("DOES_NOT_EXIST"), "{}", run.out);
    bench.store(&["restore", "1/latest/any", "--target", &bench.path("t")]).exits(4);
    bench.store(&["show", "1/1/1"]).exits(4);
}

#[test]
fn a_backup_goes_round() {
    let bench = Bench::new();
    let log = bench.logs();
    let save = ["save", "1/100/2", "--segments", &log, "--snapshots", &log, "--partitions", "1", "--position", "4711"];
    let run = bench.store(&save);
    run.exits(0);
    assert!(run.out.starts_with("saved 1/100/2: 4 files"), "{}", run.out);
    bench.store(&save).exits(5);
    bench.store(&[&save[..], &["--resume"]].concat()).exits(0);

    let run = bench.store(&["list", "--json"]);
    run.exits(0);
    assert_eq!(run.json()["backups"][0]["id"], "1/100/2");
    assert_eq!(run.json()["backups"][0]["document"]["descriptor"]["checkpointPosition"], "4711");
    assert_eq!(bench.store(&["status", "1/latest/any", "--json"]).json()["state"], "COMPLETED");
    assert_eq!(bench.store(&["show", "1/100/2", "--json"]).json()["metadata"]["totalFiles"], 4);
    for level in ["documents", "objects", "checksums", "content"] {
        bench.store(&["verify", "1/100/2", "--level", level]).exits(0);
    }

    let target = bench.path("target");
    let run = bench.store(&["restore", "1/latest/any", "--target", &target, "--json"]);
    run.exits(0);
    let last: serde_json::Value = serde_json::from_str(run.out.lines().last().unwrap()).unwrap();
    assert_eq!((&last["messageType"], &last["files"]), (&"summary".into(), &4.into()));
    assert_eq!(
        fs::read(format!("{target}/segments/sub/2.log")).unwrap(),
        fs::read(format!("{log}/sub/2.log")).unwrap()
    );
    bench.store(&["restore", "1/100/2", "--target", &target]).exits(0);
    bench.store(&["restore", "1/100/2", "--target", &target, "--skip-if-restored"]).exits(0);
    let run = bench.store(&["restore", "1/100/2", "--target", &log]);
    run.exits(5);
    assert!(run.err.contains("hint: "), "{}", run.err);

    let run = bench.store(&["delete", "1/100/2"]);
    run.exits(7);
    assert!(run.err.contains("--yes"), "{}", run.err);
    bench.store(&["delete", "1/100/2", "--dry-run"]).exits(0);
    bench.store(&["status", "1/100/2"]).exits(0);
    bench.store(&["delete", "1/100/2", "--yes"]).exits(0);
    bench.store(&["status", "1/100/2"]).exits(4);
    bench.store(&save).exits(5);
    bench.store(&["delete", "1/100/2", "--yes"]).exits(0);
}

#[test]
fn a_failed_mark_ends_a_backup() {
    let bench = Bench::new();
    bench.saved("1/1/1");
    bench.store(&["mark-failed", "1/1/1", "--reason", "bad disk"]).exits(7);
    let run = bench.store(&["mark-failed", "1/1/1", "--reason", "bad disk", "--yes"]);
    run.exits(0);
    assert!(run.out.contains("bad disk"), "{}", run.out);
    bench.store(&["restore", "1/1/1", "--target", &bench.path("t")]).exits(5);
}

#[test]
fn damaged_documents_are_6_and_newer_ones_7() {
    let bench = Bench::new();
    bench.saved("1/1/1");
    bench.saved("1/2/1");
    bench.saved("1/3/1");
    fs::write(bench.path("store/1/1/1/status.json"), "{ not json").unwrap();
    let newer = bench.path("store/1/2/1/status.json");
    let text = fs::read_to_string(&newer).unwrap().replace("\"formatVersion\": 1", "\"formatVersion\": 2");
    fs::write(&newer, text).unwrap();
    fs::write(bench.path("store/1/3/1/metadata.json"), "{}").unwrap();

    bench.store(&["status", "1/1/1"]).exits(6);
    bench.store(&["status", "1/2/1"]).exits(7);
    bench.store(&["delete", "1/2/1", "--yes", "--corrupt"]).exits(7);
    bench.store(&["show", "1/3/1"]).exits(6);
    bench.store(&["restore", "1/3/1", "--target", &bench.path("t")]).exits(6);
    let run = bench.store(&["list", "--json"]);
    run.exits(3);
    assert_eq!(run.json()["corrupt"], 2);
    let run = bench.store(&["delete", "1/1/1", "--yes"]);
    // A rule of the state table, like the delete of a backup in progress.
    run.exits(5);
    assert!(run.err.contains("--corrupt"), "{}", run.err);
    bench.store(&["delete", "1/1/1", "--yes", "--corrupt"]).exits(0);
}

#[test]
fn damaged_contents_are_found() {
    let bench = Bench::new();
    bench.saved("1/1/1");
    let object = bench.path("store/1/1/1/segments/1.log");
    let mut bytes = fs::read(&object).unwrap();
    bytes[0] ^= 1;
    fs::remove_file(&object).unwrap();
    fs::write(&object, bytes).unwrap();
    let run = bench.store(&["verify", "1/1/1", "--level", "content"]);
    run.exits(6);
    assert!(run.out.contains("CHECKSUM"), "{}", run.out);
    let target = bench.path("t");
    bench.store(&["restore", "1/1/1", "--target", &target]).exits(6);
    assert!(!fs::exists(&target).unwrap());
}

#[test]
fn another_cluster_is_refused() {
    let bench = Bench::new();
    let run = bench.store(&["--cluster", "prod", "init", "--first-partition", "0", "--json"]);
    run.exits(0);
    assert_eq!((&run.json()["name"], &run.json()["firstPartition"]), (&"prod".into(), &0.into()));
    bench.store(&["--cluster", "prod", "list"]).exits(0);
    let run = bench.store(&["--cluster", "staging", "list"]);
    run.exits(7);
    assert!(run.out.is_empty() && run.err.contains("hint: "), "{}", run.err);
}

#[test]
fn a_directory_keeps_its_promises() {
    let bench = Bench::new();
    let run = bench.store(&["probe", "--json"]);
    run.exits(0);
    assert_eq!(run.json()["fit"], true);
}

// ---- streams ----

#[test]
fn a_closed_stdout_is_quiet() {
    let bench = Bench::new();
    for checkpoint in 1..4 {
        bench.saved(&format!("1/{checkpoint}/1"));
    }
    for args in [&["list"][..], &["list", "--json"], &["show", "1/1/1"], &["--help"]] {
        let mut command = bench.command(&[&["--store", &bench.path("store")], args].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let run = common::Run::from(child.wait_with_output().unwrap());
        run.exits(0);
        assert!(!run.err.contains("panicked") && !run.err.contains("error"), "{}", run.err);
    }
}

#[test]
fn a_narrow_terminal_gets_narrow_lines() {
    let bench = Bench::new();
    bench.saved("1/100/2");
    for (args, columns) in
        [(&["list"][..], 20), (&["status", "1/100/2"], 20), (&["show", "1/100/2"], 20), (&["list"], 80)]
    {
        let mut command = bench.command(&[&["--store", &bench.path("store")], args].concat());
        let run = common::Run::from(command.env("COLUMNS", columns.to_string()).output().unwrap());
        run.exits(0);
        assert!(!run.out.is_empty());
        for line in run.out.lines() {
            assert!(line.chars().count() <= columns, "{args:?} {columns}: {line:?}");
        }
        assert!(!run.out.contains('\u{1b}'), "no colours on a pipe");
    }
}

#[test]
fn errors_are_json_lines_when_asked_for() {
    let bench = Bench::new();
    bench.store(&["init"]).exits(0);
    let run = bench.store(&["--json", "restore", "1/1/1", "--target", &bench.path("t")]);
    run.exits(4);
    let error = run.err_json();
    assert_eq!(
        (&error["messageType"], &error["kind"], &error["backup"]),
        (&"error".into(), &"not_found".into(), &"1/1/1".into())
    );
    assert_eq!(error["exitCode"], 4);
    assert!(error["hint"].is_string());
    assert_eq!(run.out, "");
}

#[test]
fn quiet_and_verbose() {
    let bench = Bench::new();
    let log = bench.logs();
    let run = bench.store(&["--quiet", "save", "1/1/1", "--segments", &log]);
    run.exits(0);
    assert_eq!((run.out.as_str(), run.err.as_str()), ("", ""));
    let run = bench.store(&["-v", "save", "1/2/1", "--segments", &log]);
    assert!(run.err.contains("info: saved"), "{}", run.err);
}

#[test]
fn signals_end_a_save_tidily() {
    let bench = Bench::new();
    let log = bench.path("big");
    fs::create_dir(&log).unwrap();
    fs::write(format!("{log}/1.log"), vec![7u8; 4 << 20]).unwrap();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let id = format!("1/{code}/1");
        let args = ["--store", &bench.path("store"), "save", &id, "--segments", &log, "--limit-rate", "100k"];
        let child = bench.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The claim shows that the save has begun.
        bench.wait_for(&format!("store/1/{code}/1/status.json"));
        let kill = std::process::Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status();
        assert!(kill.unwrap().success());
        common::Run::from(child.wait_with_output().unwrap()).exits(code);
        assert_eq!(bench.store(&["status", &id, "--json"]).json()["state"], "FAILED");
    }
}

#[test]
fn the_demo_proves_a_restore() {
    let bench = Bench::new();
    let dir = bench.path("demo");
    let run = bench.run(&["demo", "--dir", &dir]);
    run.exits(0);
    assert!(run.out.contains("every hash is that of the lost data"), "{}", run.out);
    bench.run(&["demo", "--dir", &dir]).exits(0);
    bench.run(&["--store", &format!("{dir}/store"), "verify", "1/latest/any", "--level", "content"]).exits(0);
    let run = bench.run(&["demo", "--dir", &bench.logs()]);
    run.exits(5);
    assert!(run.err.contains("--dir"), "{}", run.err);
    // A variable that names another store is not followed.
    let mut command = bench.command(&["demo", "--dir", &dir]);
    common::Run::from(command.env("MILEPOST_STORE", bench.path("production")).output().unwrap()).exits(0);
    assert!(!fs::exists(bench.path("production")).unwrap());
}
