//! A broker's folders and a store, in a folder of their own, and the binary that is run on them.
#![allow(dead_code, reason = "each test program uses its part")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use milepost_integration_tests::{binary, files_below, milepost, run};
use milepost_testkit::fixtures::same_tree;

/// What a run left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<std::process::Output> for Ran {
    fn from(output: std::process::Output) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or_else(|| 1000 + output.status.signal().unwrap_or(0));
        let ran = Self { code, out: text(&output.stdout), err: text(&output.stderr) };
        assert!(!ran.err.contains("panicked"), "{ran:?}");
        ran
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn exits(&self, code: i32) {
        assert_eq!(self.code, code, "--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
    }
}

/// Who runs the binary.
#[derive(Debug, Clone, Copy)]
pub(crate) enum As {
    /// Somebody whom permissions bind: this user, or `nobody` where this user is root.
    Nobody,
}

/// `snapshots/`, `segments/` with `a.log`, and `store/` once something is saved.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["snapshots", "segments"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("segments/a.log"), "the first records").unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = milepost(self.folder.path(), args);
        command.arg("--store").arg(self.path("store"));
        command
    }

    /// A call that is not the binary's own, with the same environment.
    pub(crate) fn run_command(&self, mut command: Command) -> Ran {
        command.env_clear().env("HOME", self.folder.path()).env("XDG_STATE_HOME", self.path("state"));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
        run(command).into()
    }

    pub(crate) fn try_run(&self, args: &[&str]) -> Ran {
        run(self.command(args)).into()
    }

    #[track_caller]
    pub(crate) fn run(&self, code: i32, args: &[&str]) -> Ran {
        let ran = self.try_run(args);
        assert_eq!(ran.code, code, "{args:?}\n--- stdout\n{}\n--- stderr\n{}", ran.out, ran.err);
        ran
    }

    fn save_command(&self, id: &str, more: &[&str]) -> Command {
        let mut command = self.command(&["save", id]);
        command.args(more).arg("--snapshots").arg(self.path("snapshots")).arg("--segments").arg(self.path("segments"));
        command
    }

    /// Saves both folders, with JSON on stdout and words on stderr where they fail before that is known.
    pub(crate) fn save(&self, id: &str) -> Ran {
        self.save_with(id, &[])
    }

    pub(crate) fn save_with(&self, id: &str, more: &[&str]) -> Ran {
        let mut ran = Ran::from(run(self.save_command(id, &[more, &["--json"]].concat())));
        if let Ok(error) = serde_json::from_str::<serde_json::Value>(ran.err.lines().last().unwrap_or_default()) {
            let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
            ran.err = format!("{} {} {}", text("message"), text("hint"), error["files"]);
        }
        ran
    }

    /// A save that is in the middle of its work when `meanwhile` happens.
    pub(crate) fn slow_save(&self, id: &str, more: &[&str], meanwhile: impl FnOnce()) -> Ran {
        let mut command = self.save_command(id, more);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let status = self.path(&format!("store/{id}/status.json"));
        for _ in 0..6000 {
            if status.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // The first requests are on their way, and the rate keeps the others waiting for so many seconds that a busy machine is in time.
        std::thread::sleep(Duration::from_millis(300));
        assert!(fs::read_to_string(&status).unwrap().contains("IN_PROGRESS"), "the save was too fast");
        meanwhile();
        child.wait_with_output().unwrap().into()
    }

    /// A file of `len` bytes that takes no room.
    pub(crate) fn sparse(&self, name: &str, len: u64) {
        fs::File::create(self.path(name)).unwrap().set_len(len).unwrap();
    }

    pub(crate) fn status(&self, id: &str) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.path(&format!("store/{id}/status.json"))).unwrap()).unwrap()
    }

    /// Expects FAILED; gives the reason.
    #[track_caller]
    pub(crate) fn failed(&self, id: &str) -> String {
        let status = self.status(id);
        assert_eq!(status["statusCode"], "FAILED", "{status}");
        status["failureReason"].as_str().unwrap().to_owned()
    }

    /// Expects that the store holds no key of a backup.
    #[track_caller]
    pub(crate) fn untouched(&self, id: &str) {
        assert!(!self.path(&format!("store/{id}")).exists(), "{:?}", files_below(&self.path("store")));
    }

    /// Every file with its size and time of change, but for what the store keeps for itself.
    pub(crate) fn listing(&self) -> Vec<String> {
        let root = self.folder.path();
        let own = |path: &PathBuf| path.starts_with("store/.milepost") || path.starts_with("state");
        let shown = |path: PathBuf| {
            let meta = fs::metadata(root.join(&path)).unwrap();
            format!("{} {} {}.{}", path.display(), meta.len(), meta.mtime(), meta.mtime_nsec())
        };
        files_below(root).into_iter().filter(|path| !own(path)).map(shown).collect()
    }

    /// Expects `target/` to hold what the broker's folders hold.
    #[track_caller]
    pub(crate) fn same_as_target(&self) {
        for kind in ["snapshots", "segments"] {
            same_tree(self.path(kind), self.path("target").join(kind), &[]).unwrap();
        }
    }

    /// Lets everybody into the folder: a temporary folder is its owner's alone.
    pub(crate) fn open_to_all(&self) {
        for name in ["", "store"] {
            fs::create_dir_all(self.path(name)).unwrap();
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o777)).unwrap();
        }
    }

    /// Takes the permission to write from all folders and files below.
    pub(crate) fn read_only(&self, name: &str) {
        fn walk(path: &Path) {
            let meta = fs::symlink_metadata(path).unwrap();
            if meta.is_dir() {
                fs::read_dir(path).unwrap().for_each(|entry| walk(&entry.unwrap().path()));
            }
            let mode = if meta.is_dir() { 0o555 } else { 0o444 };
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        walk(&self.path(name));
    }

    /// Runs as somebody whom permissions bind. None: that is not possible here, which is said.
    pub(crate) fn run_as(&self, As::Nobody: As, args: &[&str]) -> Option<Ran> {
        const NOBODY: u32 = 65534;
        // The owner of what was just made is who runs the test.
        let root = fs::metadata(self.folder.path()).unwrap().uid() == 0;
        let mut command = if root {
            // Where `nobody` can reach it: a link costs nothing, a copy some time.
            let copy = self.path("milepost-binary");
            if !copy.exists() && fs::hard_link(binary(), &copy).is_err() {
                fs::copy(binary(), &copy).unwrap();
            }
            let mut command = Command::new(copy);
            command.uid(NOBODY).gid(NOBODY);
            command
        } else {
            Command::new(binary())
        };
        command.args(args).arg("--store").arg(self.path("store")).args(["--journal-dir", "none"]);
        command.current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        match command.output() {
            Ok(output) => Some(output.into()),
            Err(error) => {
                println!("NOT RUN: the binary cannot be run as somebody without rights: {error}");
                None
            }
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // A folder that may not be written cannot be emptied, but by root.
        let _ = Command::new("chmod").arg("-R").arg("u+rwX").arg(self.folder.path()).stderr(Stdio::null()).status();
    }
}
