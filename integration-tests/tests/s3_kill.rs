//! kill -9 of the client, and of the server, at random moments of a save, a resume, a restore and a delete over S3.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a killer of processes waits in real time")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use milepost_integration_tests::minio::Minio;
use milepost_integration_tests::{expect, files_below, long, run, seed, start, write_random};
use milepost_store::env::SeededRandom;
use milepost_testkit::fixtures::same_tree;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Client,
    Server,
}

/// How often each verb ended how, for each victim.
type Table = BTreeMap<(Victim, &'static str, String), u32>;

struct Bench<'a> {
    server: &'a mut Minio,
    home: &'a Path,
    random: &'a SeededRandom,
    table: Table,
    /// How long each verb takes when nobody dies, so that kills fall within it on any machine.
    takes: BTreeMap<&'static str, Duration>,
}

impl Bench<'_> {
    fn call(&self, args: &[&str]) -> Command {
        self.server.milepost(self.home, "prod", args)
    }

    fn save(&self, id: &str) -> Command {
        let mut command = self.call(&["save", id, "--resume", "--part-size", "5Mi", "--multipart-threshold", "6Mi"]);
        command.arg("--snapshots").arg(self.home.join("data/snapshots"));
        command.arg("--segments").arg(self.home.join("data/segments"));
        command
    }

    fn restore(&self, id: &str, target: &Path) -> Command {
        let mut command = self.call(&["restore", id]);
        command.arg("--target").arg(target);
        command
    }

    /// One undisturbed round tells how long each verb takes.
    fn measure(&mut self) {
        let id = "3/1/1";
        let target = self.home.join("measured");
        let calls = [
            ("save", self.save(id)),
            ("restore", self.restore(id, &target)),
            ("delete", self.call(&["delete", id, "--yes"])),
        ];
        for (verb, command) in calls {
            let begun = std::time::Instant::now();
            expect(0, command);
            self.takes.insert(verb, begun.elapsed());
        }
        std::fs::remove_dir_all(&target).unwrap();
        // It finds the part of the work done that the kill before left.
        self.takes.insert("resume", self.takes["save"] / 2);
    }

    /// Runs a call and kills somebody within it. True: it says that it ended well.
    fn disturbed(&mut self, victim: Victim, verb: &'static str, command: Command) -> bool {
        let mut child = start(command);
        std::thread::sleep(self.takes[verb].mul_f64((self.random.next() % 1000) as f64 / 1000.0));
        let (outcome, well) = match victim {
            Victim::Client => match child.try_wait().unwrap() {
                Some(status) => (format!("was over: exit {}", status.code().unwrap()), status.success()),
                None => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    ("killed".to_owned(), false)
                }
            },
            Victim::Server => {
                self.server.kill();
                std::thread::sleep(Duration::from_millis(300));
                self.server.revive();
                let status = child.wait().unwrap();
                (format!("exit {}", status.code().unwrap()), status.success())
            }
        };
        *self.table.entry((victim, verb, outcome)).or_default() += 1;
        well
    }

    /// What reads COMPLETED is whole; what said that it ended well reads COMPLETED.
    fn whole_if_completed(&self, id: &str, well: bool) {
        let output = run(self.call(&["status", id, "--json"]));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let completed = text.contains("\"COMPLETED\"");
        assert!(completed || !well, "a save said that it ended well: {text}");
        if completed {
            expect(0, self.call(&["verify", id, "--level", "content"]));
        }
    }

    fn round(&mut self, victim: Victim, id: &str, planned: &[String]) {
        let save = self.save(id);
        let well = self.disturbed(victim, "save", save);
        self.whole_if_completed(id, well);
        let resume = self.save(id);
        let well = self.disturbed(victim, "resume", resume);
        self.whole_if_completed(id, well);
        expect(0, self.save(id));
        self.whole_if_completed(id, true);
        let target = self.home.join("restored");
        let restore = self.restore(id, &target);
        let well = self.disturbed(victim, "restore", restore);
        assert!(target.exists() || !well);
        if target.exists() {
            same_tree(self.home.join("data"), &target, &[".milepost.json"]).unwrap();
        }
        expect(0, self.restore(id, &target));
        same_tree(self.home.join("data"), &target, &[".milepost.json"]).unwrap();
        std::fs::remove_dir_all(&target).unwrap();
        let delete = self.call(&["delete", id, "--yes"]);
        self.disturbed(victim, "delete", delete);
        expect(0, self.call(&["delete", id, "--yes"]));
        let prefix = format!("prod/{id}/");
        assert_eq!(self.server.keys(&prefix), [format!("{prefix}status.json")]);
        let planned: Vec<String> = planned.iter().map(|name| format!("{prefix}{name}")).collect();
        assert_eq!(self.server.open_uploads(&planned), 0, "an upload is open");
    }
}

#[test]
fn kills_of_client_and_server_lose_nothing() {
    let Some(mut server) = Minio::start("kills_of_client_and_server_lose_nothing", true) else { return };
    let seed = seed();
    let random = SeededRandom::new(seed);
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (snapshots, segments) = (home.join("data/snapshots"), home.join("data/segments"));
    std::fs::create_dir_all(&snapshots).unwrap();
    std::fs::create_dir_all(&segments).unwrap();
    for n in 0..30 {
        write_random(&snapshots.join(format!("{n:03}.sst")), seed + n, n * 5_000);
    }
    for n in 0..3 {
        write_random(&segments.join(format!("{n}.log")), seed + 100 + n, 12 << 20);
    }
    let planned: Vec<String> =
        files_below(&home.join("data")).iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    let rounds = if long() { 20 } else { 3 };
    let mut bench = Bench { server: &mut server, home, random: &random, table: Table::new(), takes: BTreeMap::new() };
    expect(0, bench.call(&["init"]));
    bench.measure();
    println!("undisturbed: {:?}", bench.takes);
    for round in 0..rounds {
        bench.round(Victim::Client, &format!("1/{}/2", 100 + round), &planned);
        bench.round(Victim::Server, &format!("2/{}/2", 100 + round), &planned);
    }
    println!("{rounds} rounds, seed {seed}");
    println!("{:8} {:8} {:20} times", "victim", "verb", "outcome");
    for ((victim, verb, outcome), times) in &bench.table {
        println!("{:8} {verb:8} {outcome:20} {times}", format!("{victim:?}"));
    }
}

/// A server that is gone for less than the budget of retries is waited for; what had to give up can be taken up again.
#[test]
fn a_server_that_dies_in_a_save_and_is_back_later_costs_no_backup() {
    let test = "a_server_that_dies_in_a_save_and_is_back_later_costs_no_backup";
    let Some(mut server) = Minio::start(test, true) else { return };
    let (seed, away) = (seed(), Duration::from_secs(if long() { 20 } else { 4 }));
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let segments = home.join("segments");
    std::fs::create_dir(&segments).unwrap();
    for n in 0..6 {
        write_random(&segments.join(format!("{n}.log")), seed + n, 4 << 20);
    }
    // Slow enough to be caught in the middle.
    let save = |server: &Minio, more: &[&str]| {
        let mut command = server.milepost(home, "prod", &["save", "1/100/2", "--json"]);
        command.args(more).arg("--segments").arg(&segments);
        command
    };
    expect(0, server.milepost(home, "prod", &["init"]));
    let child = start(save(&server, &["--limit-rate", "8M"]));
    let begun = "prod/1/100/2/segments/0.log".to_owned();
    for _ in 0..600 {
        if server.keys("prod/1/100/2/").contains(&begun) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    server.kill();
    std::thread::sleep(away);
    server.revive();
    let code = { child }.wait().unwrap().code().unwrap();
    let status = String::from_utf8_lossy(&run(server.milepost(home, "prod", &["status", "1/100/2", "--json"])).stdout)
        .into_owned();
    println!("the server was away for {away:?}: the save ended with {code}");
    assert_eq!(code == 0, status.contains("\"COMPLETED\""), "{code}: {status}");
    // Either way the next one ends well, and what stands is whole.
    expect(0, save(&server, &["--resume"]));
    expect(0, server.milepost(home, "prod", &["verify", "1/100/2", "--level", "content"]));
    let target = home.join("restored");
    let mut restore = server.milepost(home, "prod", &["restore", "1/100/2"]);
    restore.arg("--target").arg(&target);
    expect(0, restore);
    same_tree(&segments, target.join("segments"), &[]).unwrap();
}
