//! A folder of its own for each test, and the binary run in it with a clean environment.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests; clippy knows only the tests themselves")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// A folder that goes with the test.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

/// What a run left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    #[track_caller]
    pub(crate) fn exits(&self, code: i32) {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
    }

    /// stdout as one document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.out, self.err))
    }

    /// The error line on stderr.
    #[track_caller]
    pub(crate) fn err_json(&self) -> Value {
        let line = self.err.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {}", self.err))
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A path in the folder, as text.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The binary, with nothing of the caller's settings.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_milepost"));
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MILEPOST_") {
                command.env_remove(name);
            }
        }
        command.env_remove("COLUMNS").env("XDG_STATE_HOME", self.folder.path().join("state"));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.command(args).output().unwrap().into()
    }

    /// Runs against the directory store of this test.
    pub(crate) fn store(&self, args: &[&str]) -> Run {
        self.run(&[&["--store", &self.path("store")], args].concat())
    }

    /// A folder with two log files.
    pub(crate) fn logs(&self) -> String {
        let log = self.path("log");
        fs::create_dir_all(format!("{log}/sub")).unwrap();
        fs::write(format!("{log}/1.log"), "the first records").unwrap();
        fs::write(format!("{log}/sub/2.log"), vec![b'x'; 100_000]).unwrap();
        log
    }

    /// Saves the two log files.
    #[track_caller]
    pub(crate) fn saved(&self, id: &str) {
        self.store(&["save", id, "--segments", &self.logs(), "--partitions", "1"]).exits(0);
    }

    /// The backups that `list` shows.
    pub(crate) fn ids(&self) -> Vec<String> {
        let listed = self.store(&["list", "--json"]).json();
        listed["backups"].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until a file is there, for a minute at most.
    #[track_caller]
    pub(crate) fn wait_for(&self, name: &str) {
        let path = self.path(name);
        for _ in 0..6000 {
            if Path::new(&path).exists() {
                return;
            }
            #[expect(clippy::disallowed_methods, reason = "another process is waited for, outside any runtime")]
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{path} did not appear");
    }
}
