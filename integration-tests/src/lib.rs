//! What the end-to-end tests share: the real binary, its environment, processes that are killed, numbers that are read back.
//!
//! Every test works in a temporary folder of its own and starts nothing that outlives it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "only tests are built on this")]

pub mod minio;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use milepost_store::env::SeededRandom;
pub use milepost_testkit::fixtures::long;

/// The `milepost` binary of this very build. `MILEPOST_TEST_BINARY` names one that was built along with the tests, as `scripts/test`
/// does for a run of the whole workspace; otherwise it is built once per test process, which takes minutes the first time:
/// without the tests' features its dependencies are other ones.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(built) = std::env::var_os("MILEPOST_TEST_BINARY") {
            let built = PathBuf::from(built);
            assert!(built.is_absolute() && built.is_file(), "MILEPOST_TEST_BINARY is no program: {}", built.display());
            return built;
        }
        // target/<profile>/deps/<test>: cargo does not tell other packages where a binary is.
        let profile_dir = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--quiet", "-p", "milepost-cli", "--bin", "milepost"]);
        build.arg("--target-dir").arg(profile_dir.parent().unwrap());
        if profile_dir.ends_with("release") {
            build.arg("--release");
        }
        build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        assert!(build.status().expect("cargo runs").success(), "the binary must build");
        profile_dir.join("milepost")
    })
}

/// A call of the binary with nothing of the surrounding environment but the path.
#[must_use]
pub fn milepost(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(args).env_clear().env("HOME", home).env("XDG_STATE_HOME", home.join("state"));
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    command
}

/// Runs to the end, at most ten minutes (half an hour where tests may go on for longer), and gives everything that was printed.
///
/// # Panics
/// When it does not end: no call may wait for ever.
#[must_use]
pub fn run(mut command: Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let pid = rustix::process::Pid::from_child(&child);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let limit = Duration::from_secs(if long() { 1800 } else { 600 });
    let watchdog = std::thread::spawn(move || {
        if stopped.recv_timeout(limit).is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            return true;
        }
        false
    });
    let output = child.wait_with_output().expect("output is read");
    drop(stop);
    assert!(!watchdog.join().unwrap(), "the call did not end within {limit:?}: {command:?}");
    output
}

/// Runs to the end and expects an exit code; the standard output as text.
///
/// # Panics
/// On another exit code, with everything that was printed.
pub fn expect(code: i32, command: Command) -> String {
    let shown = format!("{command:?}");
    let output = run(command);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{shown}\n--- stdout\n{out}\n--- stderr\n{err}");
    out.into_owned()
}

/// Starts a call whose output nobody reads.
#[must_use]
pub fn start(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts")
}

/// The last JSON line whose `messageType` is `summary`.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn summary(stdout: &str) -> serde_json::Value {
    stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .rfind(|value| value["messageType"] == "summary")
        .unwrap_or_else(|| panic!("no summary in {stdout}"))
}

/// All regular files below a folder, as relative paths, sorted.
#[must_use]
pub fn files_below(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            // A folder may vanish while it is walked: that is what the tests are about.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path().strip_prefix(root).unwrap().to_owned()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// Writes `len` pseudo-random bytes of a seed to a file.
///
/// # Panics
/// On any I/O error.
pub fn write_random(path: &Path, seed: u64, len: u64) {
    use std::io::Write as _;
    let random = SeededRandom::new(seed);
    let mut file = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(path).unwrap());
    let mut left = len;
    while left > 0 {
        let bytes = random.next().to_le_bytes();
        let take = left.min(8) as usize;
        file.write_all(&bytes[..take]).unwrap();
        left -= take as u64;
    }
    file.flush().unwrap();
}

/// The seed of a random test: `MILEPOST_TEST_SEED`, or the process id. Printed, so that a failure replays.
#[must_use]
#[allow(clippy::print_stdout, reason = "a failing seed must be seen")]
pub fn seed() -> u64 {
    let seed = std::env::var("MILEPOST_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}: replay with MILEPOST_TEST_SEED={seed}");
    seed
}
