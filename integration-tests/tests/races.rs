//! Many processes at one backup: one wins, the others are told who, and what stands is whole.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use milepost_integration_tests::{expect, milepost, write_random};

const RACERS: usize = 12;

fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = milepost(home, args);
    command.arg("--store").arg(home.join("store"));
    command
}

fn save(home: &Path, id: &str, resume: bool) -> Command {
    let mut command = command(home, &["save", id, "--json"]);
    if resume {
        command.arg("--resume");
    }
    command.arg("--segments").arg(home.join("segments"));
    command
}

/// Starts all at once and waits for all.
fn race(commands: impl Iterator<Item = Command>) -> Vec<Output> {
    let children: Vec<_> =
        commands.map(|mut command| command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).collect();
    children.into_iter().map(|child| child.wait_with_output().unwrap()).collect()
}

fn count(outputs: &[Output], code: i32) -> usize {
    outputs.iter().filter(|output| output.status.code() == Some(code)).count()
}

fn shown(outputs: &[Output]) -> String {
    outputs
        .iter()
        .map(|output| format!("{:?}: {}\n", output.status.code(), String::from_utf8_lossy(&output.stderr)))
        .collect()
}

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("segments")).unwrap();
    for n in 0..6 {
        write_random(&home.path().join(format!("segments/{n}.log")), n, 400_000);
    }
    home
}

#[test]
fn of_many_saves_one_wins_and_the_others_name_the_owner() {
    let home = home();
    let home = home.path();
    // On a base that nobody made yet: the cluster document is raced for as well.
    let outputs = race((0..RACERS).map(|_| save(home, "1/100/1", false)));
    assert_eq!((count(&outputs, 0), count(&outputs, 5)), (1, RACERS - 1), "{}", shown(&outputs));
    for output in outputs.iter().filter(|output| output.status.code() == Some(5)) {
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("process "), "names no owner: {error}");
    }
    expect(0, command(home, &["verify", "1/100/1", "--level", "content"]));
}

#[test]
fn of_many_resumes_at_least_one_ends_well_and_none_damages_it() {
    let home = home();
    let home = home.path();
    for round in 0..3 {
        let id = format!("1/{}/1", 100 + round);
        let outputs = race((0..RACERS).map(|_| save(home, &id, true)));
        // Fenced ones report a conflict; late ones find it COMPLETED with equal files.
        assert!(count(&outputs, 0) >= 1, "{}", shown(&outputs));
        assert_eq!(count(&outputs, 0) + count(&outputs, 5), RACERS, "{}", shown(&outputs));
        expect(0, command(home, &["verify", &id, "--level", "content"]));
    }
}

#[test]
fn deletes_that_race_all_end_well_and_leave_the_tombstone_alone() {
    let home = home();
    let home = home.path();
    expect(0, save(home, "1/100/1", false));
    let outputs = race((0..RACERS).map(|_| command(home, &["delete", "1/100/1", "--yes"])));
    assert_eq!(count(&outputs, 0), RACERS, "{}", shown(&outputs));
    let left: Vec<_> =
        std::fs::read_dir(home.join("store/1/100/1")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["status.json"]);
    expect(4, command(home, &["status", "1/100/1"]));
}
