//! Save, verify, restore and delete for as long as one likes, while clients are killed at random and the server restarts; what
//! was acknowledged is compared byte by byte in the end. `scripts/soak MINUTES` runs it for longer than the few seconds here.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a soak takes real time")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use milepost_integration_tests::minio::Minio;
use milepost_integration_tests::{expect, milepost, run, seed, start, write_random};
use milepost_store::env::SeededRandom;
use milepost_testkit::fixtures::same_tree;

/// How many backups are kept at a time.
const MOST: usize = 10;
/// Sets of files: a backup that was mixed up with another is seen.
const SETS: u64 = 4;

enum Store {
    Folder(PathBuf),
    Server(Box<Minio>),
}

struct Soak {
    store: Store,
    home: PathBuf,
    random: SeededRandom,
    /// What is acknowledged and not deleted, with the set of files that it was saved from.
    kept: BTreeMap<u64, u64>,
    next: u64,
    operations: BTreeMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
    /// How long an undisturbed save takes, so that kills fall within the work on any machine.
    takes: Duration,
}

impl Soak {
    fn call(&self, args: &[&str]) -> Command {
        match &self.store {
            Store::Folder(path) => {
                let mut command = milepost(&self.home, args);
                command.arg("--store").arg(path);
                command
            }
            Store::Server(server) => server.milepost(&self.home, "soak", args),
        }
    }

    fn set(&self, set: u64) -> PathBuf {
        self.home.join(format!("set-{set}"))
    }

    fn save(&self, checkpoint: u64, set: u64) -> Command {
        let id = id(checkpoint);
        let mut command = self.call(&["save", &id, "--resume", "--part-size", "5Mi", "--multipart-threshold", "6Mi"]);
        command.arg("--snapshots").arg(self.set(set).join("snapshots"));
        command.arg("--segments").arg(self.set(set).join("segments"));
        command
    }

    fn restore(&self, checkpoint: u64) -> Command {
        let mut command = self.call(&["restore", &id(checkpoint)]);
        command.arg("--target").arg(self.home.join("restored"));
        command
    }

    fn delete(&self, checkpoint: u64) -> Command {
        self.call(&["delete", &id(checkpoint), "--yes"])
    }

    fn below(&self, limit: u64) -> u64 {
        self.random.next() % limit.max(1)
    }

    /// Runs a call; two times out of three somebody is killed within it. True: it said that it ended well.
    fn disturbed(&mut self, verb: &'static str, command: Command) -> bool {
        *self.operations.entry(verb).or_default() += 1;
        let within = self.takes.mul_f64(self.below(1100) as f64 / 1000.0);
        let mut child = start(command);
        match (self.below(3), &mut self.store) {
            (0, _) => {}
            (1, Store::Server(server)) => {
                std::thread::sleep(within);
                server.kill();
                std::thread::sleep(Duration::from_millis(200));
                server.revive();
                *self.faults.entry("the server was killed and restarted").or_default() += 1;
            }
            _ => {
                std::thread::sleep(within);
                if child.try_wait().unwrap().is_none() {
                    child.kill().unwrap();
                    *self.faults.entry("the client was killed").or_default() += 1;
                }
            }
        }
        child.wait().unwrap().success()
    }

    /// Nobody disturbs this call, and it must end well.
    fn quiet(&mut self, verb: &'static str, command: Command) -> String {
        *self.operations.entry(verb).or_default() += 1;
        expect(0, command)
    }

    fn any_kept(&self) -> Option<(u64, u64)> {
        let at = usize::try_from(self.below(self.kept.len() as u64)).unwrap();
        self.kept.iter().nth(at).map(|(checkpoint, set)| (*checkpoint, *set))
    }

    fn restored(&mut self, checkpoint: u64, set: u64) {
        let target = self.home.join("restored");
        let command = self.restore(checkpoint);
        let well = self.disturbed("restore", command);
        assert!(target.exists() || !well, "{checkpoint}: a restore said that it ended well");
        if target.exists() {
            // A target that is there is whole.
            same_tree(self.set(set), &target, &[".milepost.json"]).unwrap();
        }
        let command = self.restore(checkpoint);
        self.quiet("restore", command);
        same_tree(self.set(set), &target, &[".milepost.json"]).unwrap();
        std::fs::remove_dir_all(&target).unwrap();
    }

    fn step(&mut self) {
        let draw = if self.kept.len() >= MOST { 9 } else { self.below(10) };
        match (draw, self.any_kept()) {
            (0..=3, _) | (_, None) => {
                let (checkpoint, set) = (self.next, self.below(SETS));
                self.next += 1;
                let command = self.save(checkpoint, set);
                let well = self.disturbed("save", command);
                let completed = self.status(checkpoint).contains("\"COMPLETED\"");
                assert!(completed || !well, "{checkpoint}: a save said that it ended well");
                // Until it is acknowledged; it may be disturbed again.
                let command = self.save(checkpoint, set);
                if !self.disturbed("resume", command) {
                    let command = self.save(checkpoint, set);
                    self.quiet("resume", command);
                }
                self.kept.insert(checkpoint, set);
            }
            (4 | 5, Some((checkpoint, _))) => {
                let command = self.call(&["verify", &id(checkpoint), "--level", "content"]);
                self.quiet("verify", command);
            }
            (6 | 7, Some((checkpoint, set))) => self.restored(checkpoint, set),
            (8, Some(_)) => self.listed(),
            (_, Some((checkpoint, _))) => {
                self.kept.remove(&checkpoint);
                let command = self.delete(checkpoint);
                self.disturbed("delete", command);
                let command = self.delete(checkpoint);
                self.quiet("delete", command);
                *self.operations.entry("status").or_default() += 1;
                expect(4, self.call(&["status", &id(checkpoint)]));
            }
        }
    }

    fn status(&mut self, checkpoint: u64) -> String {
        *self.operations.entry("status").or_default() += 1;
        String::from_utf8_lossy(&run(self.call(&["status", &id(checkpoint), "--json"])).stdout).into_owned()
    }

    /// The listing shows what is kept, each as COMPLETED, and nothing else.
    fn listed(&mut self) {
        let command = self.call(&["list", "--json"]);
        let listed: serde_json::Value = serde_json::from_str(&self.quiet("list", command)).unwrap();
        let shown: Vec<String> = listed["backups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| format!("{} {}", entry["id"].as_str().unwrap(), entry["state"].as_str().unwrap()))
            .collect();
        let expected: Vec<String> =
            self.kept.keys().rev().map(|checkpoint| format!("{} COMPLETED", id(*checkpoint))).collect();
        assert_eq!(shown, expected, "{listed}");
    }

    fn report(&self, began: Instant) {
        println!("after {} s: {} backups kept", began.elapsed().as_secs(), self.kept.len());
        for (verb, times) in &self.operations {
            println!("  {verb:8} {times}");
        }
        for (fault, times) in &self.faults {
            println!("  {fault}: {times}");
        }
    }
}

fn id(checkpoint: u64) -> String {
    format!("1/{checkpoint}/2")
}

fn write_sets(home: &Path, seed: u64) {
    for set in 0..SETS {
        let folder = home.join(format!("set-{set}"));
        let (snapshots, segments) = (folder.join("snapshots"), folder.join("segments"));
        std::fs::create_dir_all(&snapshots).unwrap();
        std::fs::create_dir_all(&segments).unwrap();
        for n in 0..12 {
            write_random(&snapshots.join(format!("{n:03}.sst")), seed + 100 * set + n, n * 3_000);
        }
        write_random(&segments.join("1.log"), seed + 100 * set + 50, 7 << 20);
        write_random(&segments.join("2.log"), seed + 100 * set + 51, 100_000);
    }
}

#[test]
fn nothing_acknowledged_is_lost_in_a_long_run_of_kills() {
    let minutes: Option<f64> = std::env::var("MILEPOST_SOAK_MINUTES").ok().and_then(|text| text.parse().ok());
    let limit = minutes.map_or(Duration::from_secs(4), |minutes| Duration::from_secs_f64(minutes * 60.0));
    let seed = seed();
    let home = tempfile::tempdir().unwrap();
    let store = if std::env::var("MILEPOST_SOAK_ON").is_ok_and(|on| on == "minio") {
        let Some(server) = Minio::start("nothing_acknowledged_is_lost_in_a_long_run_of_kills", true) else { return };
        Store::Server(Box::new(server))
    } else {
        Store::Folder(home.path().join("store"))
    };
    write_sets(home.path(), seed);
    let mut soak = Soak {
        store,
        home: home.path().to_owned(),
        random: SeededRandom::new(seed),
        kept: BTreeMap::new(),
        next: 100,
        operations: BTreeMap::new(),
        faults: BTreeMap::new(),
        takes: Duration::ZERO,
    };
    expect(0, soak.call(&["init"]));
    let begun = Instant::now();
    expect(0, soak.save(1, 0));
    (soak.takes, soak.kept) = (begun.elapsed(), BTreeMap::from([(1, 0)]));
    let (began, mut told) = (Instant::now(), 0);
    while began.elapsed() < limit {
        soak.step();
        if began.elapsed().as_secs() / 60 > told {
            told = began.elapsed().as_secs() / 60;
            soak.report(began);
        }
    }
    soak.listed();
    for (checkpoint, set) in soak.kept.clone() {
        let target = home.path().join("restored");
        let command = soak.restore(checkpoint);
        soak.quiet("restore", command);
        same_tree(soak.set(set), &target, &[".milepost.json"]).unwrap();
        std::fs::remove_dir_all(&target).unwrap();
    }
    soak.report(began);
    let operations: u64 = soak.operations.values().sum();
    let faults: u64 = soak.faults.values().sum();
    println!(
        "{operations} operations, {faults} faults, {} backups compared byte by byte: nothing was lost",
        soak.kept.len()
    );
}
