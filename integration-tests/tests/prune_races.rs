//! Prunes by several processes at once, among a restore, a hold and a save of the same store.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use milepost_integration_tests::{expect, long, milepost, write_random};
use milepost_testkit::fixtures::same_tree;

fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = milepost(home, args);
    command.arg("--store").arg(home.join("store"));
    command
}

fn save(home: &Path, id: &str) -> Command {
    let mut command = command(home, &["save", id, "--partitions", "2", "--quiet"]);
    command.arg("--segments").arg(home.join("segments"));
    command
}

fn words(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{:?}\n{out}\n{err}", output.status.code())
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// All at once: two prunes, a restore and a hold of what is to go, a save of the next checkpoint.
fn round(home: &Path, oldest: u64) -> [i32; 5] {
    let newest = oldest + 3;
    let (restored, held) = (format!("1/{oldest}/1"), format!("2/{oldest}/1"));
    let target = home.join(format!("restored-{oldest}"));
    let prune = || command(home, &["prune", "--keep-last", "1", "--yes", "--json"]);
    let mut restore = command(home, &["restore", &restored, "--quiet"]);
    restore.arg("--target").arg(&target);
    let hold = command(home, &["hold", &held, "--reason", "audit", "--owner", "ops"]);
    let commands = [prune(), restore, hold, prune(), save(home, &format!("1/{}/1", newest + 1))];
    let children = commands.map(|mut command| command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let [one, restore, hold, other, next] = children.map(|child| child.wait_with_output().unwrap());

    // A prune does all of it, or names what it had to leave: held, or changed meanwhile.
    for prune in [&one, &other] {
        assert!([0, 3, 5, 7].contains(&code(prune)), "{}", words(prune));
        assert!(code(prune) == 0 || words(prune).contains(&held), "only the held one may be left: {}", words(prune));
    }
    match code(&restore) {
        0 => same_tree(home.join("segments"), target.join("segments"), &[]).unwrap(),
        4 => assert!(!target.exists() && words(&restore).contains("no such backup"), "{}", words(&restore)),
        5 => {
            assert!(!target.exists(), "half of a restore");
            let told = words(&restore);
            assert!(told.contains("deleted") || told.contains("DELET"), "{told}");
        }
        _ => panic!("{}", words(&restore)),
    }
    // One wins, and it is said which.
    let stands =
        String::from_utf8_lossy(&milepost_integration_tests::run(command(home, &["status", &held, "--json"])).stdout)
            .into_owned();
    if code(&hold) == 0 {
        assert!(stands.contains("COMPLETED") && stands.contains("audit"), "held, and gone: {stands}");
        expect(0, command(home, &["release", &held, "--all"]));
    } else {
        assert!([4, 5].contains(&code(&hold)), "{}", words(&hold));
        assert!(!stands.contains("COMPLETED"), "{stands}");
    }
    assert_eq!(code(&next), 0, "a prune is in nobody's way: {}", words(&next));
    for partition in 1..=2 {
        expect(0, command(home, &["verify", &format!("{partition}/{newest}/1"), "--level", "content", "--quiet"]));
    }
    expect(0, command(home, &["prune", "--keep-last", "1", "--yes", "--quiet"]));
    [code(&one), code(&restore), code(&hold), code(&other), code(&next)]
}

#[test]
fn prunes_of_several_processes_among_restores_holds_and_saves() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir(home.join("segments")).unwrap();
    for n in 0..6 {
        write_random(&home.join(format!("segments/{n}.log")), n, 200_000);
    }
    for round in 0..if long() { 40 } else { 4 } {
        let oldest = 100 + 10 * round;
        for checkpoint in oldest..=oldest + 3 {
            for partition in 1..=2 {
                expect(0, save(home, &format!("{partition}/{checkpoint}/1")));
            }
        }
        let codes = self::round(home, oldest);
        println!("prune, restore, hold, prune, save ended with {codes:?}");
    }
}
