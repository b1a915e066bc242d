//! kill -9 at random moments of a save and of a restore: the next run finishes, equal bytes, nothing sent twice, nothing left.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a killer of processes waits in real time")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use milepost_integration_tests::{expect, files_below, long, milepost, seed, start, summary, write_random};
use milepost_store::env::SeededRandom;
use milepost_testkit::fixtures::same_tree;

const MIB: u64 = 1024 * 1024;

struct Sizes {
    kills: u32,
    segments: u64,
    segment: u64,
}

/// How long an undisturbed save and restore take on this machine.
struct Takes {
    save: Duration,
    restore: Duration,
}

fn sizes() -> Sizes {
    if long() {
        Sizes { kills: 20, segments: 16, segment: 128 * MIB }
    } else {
        Sizes { kills: 20, segments: 5, segment: 40 * MIB }
    }
}

fn broker(home: &Path, seed: u64, sizes: &Sizes) -> u64 {
    let (snapshots, segments) = (home.join("data/snapshots"), home.join("data/segments"));
    std::fs::create_dir_all(snapshots.join("nested")).unwrap();
    std::fs::create_dir_all(&segments).unwrap();
    let mut bytes = 0;
    for n in 0..40 {
        let path = snapshots.join(if n % 2 == 0 { format!("{n:03}.sst") } else { format!("nested/{n:03}.sst") });
        write_random(&path, seed + n, n * 10_000);
        bytes += n * 10_000;
    }
    for n in 0..sizes.segments {
        write_random(&segments.join(format!("{n}.log")), seed + 100 + n, sizes.segment);
        bytes += sizes.segment;
    }
    bytes
}

/// Lets a call run for a random time, kills it with SIGKILL. True: it ended by itself, and well.
fn killed(mut child: std::process::Child, after: Duration) -> bool {
    std::thread::sleep(after);
    match child.try_wait().unwrap() {
        Some(status) => {
            assert!(status.success(), "a run that was not killed failed: {status}");
            true
        }
        None => {
            child.kill().unwrap();
            child.wait().unwrap();
            false
        }
    }
}

/// Starts `command` and kills it, again and again, until it ends by itself or `left` kills are used up. How many there were. Each
/// run is a step further on the way through all that `takes` so long undisturbed: kills come at its beginning, middle and end.
fn kill_at_random(command: impl Fn() -> Command, random: &SeededRandom, takes: Duration, left: u32) -> u32 {
    for kills in 0..left {
        let wait = takes.mul_f64((random.next() % 1000) as f64 / 2000.0);
        if killed(start(command()), wait) {
            return kills;
        }
    }
    left
}

fn verb(home: &Path, store: &Path, args: &[&str]) -> Command {
    let mut command = milepost(home, args);
    command.arg("--store").arg(store);
    command
}

fn save(home: &Path, store: &Path, id: &str) -> Command {
    let mut command = verb(home, store, &["save", id, "--resume", "--json", "--partitions", "3"]);
    command.arg("--snapshots").arg(home.join("data/snapshots")).arg("--segments").arg(home.join("data/segments"));
    command
}

fn undisturbed(home: &Path, store: &Path) -> Takes {
    let (id, target) = ("1/99/1", home.join("undisturbed"));
    let timed = |command: Command| {
        let begun = Instant::now();
        expect(0, command);
        begun.elapsed()
    };
    let saved = timed(save(home, store, id));
    let mut restore = verb(home, store, &["restore", id]);
    restore.arg("--target").arg(&target);
    let takes = Takes { save: saved, restore: timed(restore) };
    std::fs::remove_dir_all(&target).unwrap();
    expect(0, verb(home, store, &["delete", id, "--yes"]));
    takes
}

/// Kills a save until it is through, or `left` kills are used up; then finishes it. How many kills there were.
fn save_round(home: &Path, store: &Path, id: &str, random: &SeededRandom, takes: Duration, left: u32) -> u32 {
    let kills = kill_at_random(|| save(home, store, id), random, takes, left);
    let contents = files_below(&store.join(id));
    let before = contents.iter().filter(|path| path.starts_with("snapshots") || path.starts_with("segments")).count();
    let report = summary(&expect(0, save(home, store, id)));
    let kept = report["filesKept"].as_u64().unwrap();
    println!(
        "save {id}: {kills} kills, {before} files were there, {kept} were kept, {} bytes sent by the last run",
        report["bytesSent"]
    );
    assert!(kept >= before as u64, "{before} files were there, {kept} were kept: {report}");
    expect(0, verb(home, store, &["verify", id, "--level", "content"]));
    let own = files_below(&store.join(".milepost"));
    let leftovers: Vec<_> = own.iter().filter(|path| !path.starts_with("locks")).collect();
    assert!(leftovers.is_empty(), "left over in the store: {leftovers:?}");
    let journals = files_below(&home.join("state"));
    assert!(journals.is_empty(), "a journal is left: {journals:?}");
    kills
}

/// The same of a restore.
fn restore_round(home: &Path, store: &Path, id: &str, random: &SeededRandom, takes: Duration, left: u32) -> u32 {
    let target = home.join("restored");
    let restore = || {
        assert!(!target.exists() || target.join(".milepost.json").exists(), "a target without marker appeared");
        let mut command = verb(home, store, &["restore", id, "--json"]);
        command.arg("--target").arg(&target);
        command
    };
    let kills = kill_at_random(restore, random, takes, left);
    let report = summary(&expect(0, restore()));
    println!("restore {id}: {kills} kills, {} files fetched by the last run", report["filesFetched"]);
    same_tree(home.join("data"), &target, &[".milepost.json"]).unwrap();
    let beside: Vec<_> = std::fs::read_dir(home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!beside.iter().any(|name| name.to_string_lossy().contains("milepost-restore")), "{beside:?}");
    let again = summary(&expect(0, restore()));
    assert_eq!(again["filesFetched"], 0, "{again}");
    std::fs::remove_dir_all(&target).unwrap();
    kills
}

#[test]
fn a_killed_save_and_a_killed_restore_are_finished_by_the_next_run() {
    let seed = seed();
    let random = SeededRandom::new(seed);
    let sizes = sizes();
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let bytes = broker(home, seed, &sizes);
    let store = home.join("store");
    let takes = undisturbed(home, &store);
    println!("{bytes} bytes; undisturbed: save {:?}, restore {:?}", takes.save, takes.restore);
    // A run that was too fast to be killed often is followed by another.
    let (mut saves, mut restores, mut id) = (0, 0, String::new());
    for round in 0..40 {
        if saves >= sizes.kills {
            break;
        }
        if !id.is_empty() {
            expect(0, verb(home, &store, &["delete", &id, "--yes"]));
        }
        id = format!("1/{}/1", 100 + round);
        saves += save_round(home, &store, &id, &random, takes.save, sizes.kills - saves);
    }
    for _ in 0..40 {
        if restores >= sizes.kills {
            break;
        }
        restores += restore_round(home, &store, &id, &random, takes.restore, sizes.kills - restores);
    }
    println!("{saves} kills of saves, {restores} of restores");
    assert!(saves >= sizes.kills && restores >= sizes.kills, "too few kills: {saves}, {restores}");
}
