//! What many processes saw of a few statuses on one directory, held against the one order in which those were written.
//!
//! Each process is a client of its own: it runs verbs of the engine on a directory bucket and writes down, with the machine's
//! monotonic clock, when every read and write of a status began and ended. Some are killed in the middle. Every write of a status
//! is conditional, so revisions give the order of all that landed, and the history is linearizable exactly if each write can be given
//! a moment, in that order, so that every reader saw the status of a moment within its read (`milepost_testkit::history`).
//!
//! This program runs itself again: the test `child` does nothing unless the parent says so by an environment variable.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests and their helpers")]

mod child;
#[path = "../common/mod.rs"]
mod common;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use milepost_store::env::SeededRandom;
use milepost_testkit::fixtures::long;
use milepost_testkit::history::History;

use child::Part;

#[test]
fn child() {
    if let Some(part) = Part::of_this_process() {
        part.act();
    }
}

/// A client process, killed when dropped.
struct Client(Child);

impl Client {
    fn start(part: &Part) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--nocapture"]).stdin(Stdio::null()).stdout(Stdio::null());
        part.tell(&mut command);
        Self(command.spawn().unwrap())
    }

    /// Ended well by itself?
    fn wait(&mut self) -> bool {
        self.0.wait().unwrap().success()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Rounds of clients on directories of their own; in each `kills` of them die early, and others come in their place.
fn rounds(count: u64, clients: u64, kills: u64) {
    let seed = std::env::var("MILEPOST_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = seed.map_or_else(|| (1..=count).collect(), |seed: u64| vec![seed]);
    let mut all = History::default();
    for seed in &seeds {
        let folder = tempfile::tempdir().unwrap();
        let (root, logs) = (folder.path().join("store"), folder.path().join("logs"));
        std::fs::create_dir(&logs).unwrap();
        let random = SeededRandom::new(*seed);
        let part = |number: u64| Part {
            root: root.clone(),
            log: logs.join(number.to_string()),
            number,
            seed: seed * 1_000 + number,
            acts: 15,
        };
        // The base is there before anybody asks.
        assert!(Client::start(&Part { acts: 0, ..part(0) }).wait());
        let mut running: Vec<Client> = (1..=clients).map(|number| Client::start(&part(number))).collect();
        for kill in 0..kills {
            std::thread::park_timeout(Duration::from_millis(5 + random.next() % 80));
            let victim = usize::try_from(random.next() % clients).unwrap();
            running[victim] = Client::start(&part(1 + clients + kill));
        }
        for client in &mut running {
            assert!(client.wait(), "seed {seed}: a client failed, see above");
        }
        let texts = std::fs::read_dir(&logs).unwrap().map(|log| std::fs::read_to_string(log.unwrap().path()).unwrap());
        let history = History::read(texts).unwrap();
        if let Err(why) = history.is_linearizable() {
            panic!("MILEPOST_TEST_SEED={seed}: {why}\n{}", history.shown());
        }
        all.count(&history);
    }
    eprintln!("{} rounds of {clients} processes, {kills} killed in each: {}", seeds.len(), all.counts());
    assert!(all.writes() > seeds.len() as u64 * clients, "{}", all.counts());
}

#[test]
fn what_many_processes_saw_fits_one_order() {
    rounds(if long() { 100 } else { 4 }, 8, 0);
}

#[test]
fn what_processes_saw_before_they_were_killed_fits_too() {
    rounds(if long() { 100 } else { 4 }, 6, 8);
}
