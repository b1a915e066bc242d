//! Ctrl-C and SIGTERM at random moments of every verb that takes a while: it ends with the signal's code or had ended well, nothing
//! panics, nothing half is called whole, and the natural next command goes on.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "signals are sent in real time")]

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use milepost_integration_tests::{expect, long, milepost, seed, write_random};
use milepost_store::env::SeededRandom;
use milepost_testkit::fixtures::same_tree;
use rustix::process::{Pid, Signal, kill_process};

struct Bench {
    home: PathBuf,
    random: SeededRandom,
    /// How long each verb takes undisturbed, so that signals fall within the work on any machine.
    takes: BTreeMap<String, Duration>,
    /// Calls that a signal ended, calls that were over, by verb.
    counts: BTreeMap<String, (u32, u32)>,
}

impl Bench {
    fn call(&self, args: &[&str]) -> Command {
        let mut command = milepost(&self.home, args);
        command.arg("--store").arg(self.home.join("store"));
        command
    }

    fn save(&self, id: &str) -> Command {
        let mut command = self.call(&["save", id, "--resume", "--partitions", "1"]);
        command.arg("--segments").arg(self.home.join("segments"));
        command
    }

    fn path(&self, name: &str) -> String {
        self.home.join(name).to_str().unwrap().to_owned()
    }

    /// Runs it with a signal at a random moment, and then once more without, which must end well.
    fn interrupted(&mut self, args: &[&str]) {
        let command = || if args[0] == "save" { self.save(args[1]) } else { self.call(args) };
        let Some(takes) = self.takes.get(args[0]).copied() else {
            let begun = Instant::now();
            expect(0, command());
            self.takes.insert(args[0].to_owned(), begun.elapsed());
            return;
        };
        let child = command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(takes.mul_f64((self.random.next() % 1000) as f64 / 1000.0));
        let (signal, number) = if self.random.next().is_multiple_of(2) { (Signal::INT, 2) } else { (Signal::TERM, 15) };
        // Not reaped yet, so the number is still this child's, whether it lives or not.
        let _ = kill_process(Pid::from_child(&child), signal);
        let output = child.wait_with_output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let told = format!("{args:?} and signal {number}: {}\n{out}\n{err}", output.status);
        assert!(!err.contains("panicked"), "{told}");
        // A signal before the program listens ends it as signals do.
        let by_signal = output.status.signal() == Some(number) || output.status.code() == Some(128 + number);
        assert!(by_signal || output.status.success(), "{told}");
        let again = command();
        let count = self.counts.entry(args[0].to_owned()).or_default();
        if by_signal {
            count.0 += 1
        } else {
            count.1 += 1
        }
        expect(0, again);
    }

    fn same(&self, folder: &Path) {
        same_tree(self.home.join("segments"), folder.join("segments"), &[]).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn a_signal_at_any_moment_of_any_verb_is_no_harm() {
    let home = tempfile::tempdir().unwrap();
    let seed = seed();
    std::fs::create_dir(home.path().join("segments")).unwrap();
    for n in 0..6 {
        write_random(&home.path().join(format!("segments/{n}.log")), seed + n, 3 << 20);
    }
    let mut bench = Bench {
        home: home.path().to_owned(),
        random: SeededRandom::new(seed),
        takes: BTreeMap::new(),
        counts: BTreeMap::new(),
    };
    let vault = bench.path("vault");
    let (target, node) = (bench.path("target"), bench.path("node"));
    // The first round is undisturbed, and says how long each takes.
    for round in 0..if long() { 60 } else { 6 } {
        let checkpoint = (100 + round).to_string();
        let id = &format!("1/{checkpoint}/1");
        bench.interrupted(&["save", id]);
        bench.interrupted(&["verify", id, "--level", "content"]);
        bench.interrupted(&["restore", id, "--target", &target, "--skip-if-restored"]);
        bench.same(home.path().join("target").as_path());
        let restore_node = ["restore-node", &checkpoint, "--node", "1", "--partitions", "1", "--target", &node];
        bench.interrupted(&[&restore_node[..], &["--skip-if-restored"]].concat());
        bench.same(home.path().join("node/1").as_path());
        bench.interrupted(&["copy", id, "--to", &vault, "--resume"]);
        for query in ["list", "cluster", "stats", "doctor"] {
            bench.interrupted(&[query]);
        }
        // Two more, of which one is pruned; then what is left of the round is deleted.
        for more in 1..=2 {
            expect(0, bench.save(&format!("1/{}/1", 1000 + 10 * round + more)));
        }
        bench.interrupted(&["prune", "--keep-last", "1", "--yes"]);
        let newest = format!("1/{}/1", 1000 + 10 * round + 2);
        expect(4, bench.call(&["status", id]));
        expect(0, bench.call(&["verify", &newest, "--level", "content"]));
        bench.interrupted(&["delete", &newest, "--yes"]);
        expect(4, bench.call(&["status", &newest]));
    }
    for (verb, (ended, over)) in &bench.counts {
        println!("{verb}: {ended} ended by a signal, {over} were over");
    }
    expect(0, {
        let mut command = milepost(home.path(), &["verify", "--all", "--level", "content"]);
        command.arg("--store").arg(&vault);
        command
    });
}
