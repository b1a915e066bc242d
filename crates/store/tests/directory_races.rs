//! Processes that race on one directory, die in it, and stop in it.
//!
//! This binary runs itself again: the test `child` does nothing unless the parent says so by an environment variable. Then
//! it is a process that obeys lines on its standard input until that closes, so that no round pays for a start.

#![expect(clippy::unwrap_used, reason = "helpers of tests outside a #[test] function")]
#![expect(clippy::print_stdout, reason = "counts, for whoever asks for them")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use milepost_core::{Crc64Nvme, ObjectKey};
use milepost_store::bucket::{ListRequest, PutMode};
use milepost_store::env::{FixedClock, SeededRandom};
use milepost_store::{Bucket as _, BucketErrorKind as K, DirectoryBucket, ETag, Env};

const ROOT: &str = "MILEPOST_RACES_ROOT";
const PROCESSES: usize = 32;
const ROUNDS: usize = 200;
/// Marks an answer among the lines of the test harness.
const MARK: &str = "@@ ";

fn open(root: &Path) -> DirectoryBucket {
    let pid = std::process::id();
    let env = Env {
        clock: Arc::new(FixedClock::new("2026-11-21T10:00:00Z".parse().unwrap())),
        random: Arc::new(SeededRandom::new(u64::from(pid))),
        host: "host".to_owned(),
        pid,
        threads: milepost_store::env::Threads::Runtime,
    };
    DirectoryBucket::open(root, env).unwrap()
}

async fn put(
    bucket: &DirectoryBucket,
    key: &str,
    body: String,
    mode: PutMode,
) -> Result<ETag, milepost_store::BucketError> {
    let body = Bytes::from(body);
    let crc = Crc64Nvme::of(&body);
    bucket.put(&ObjectKey::new(key).unwrap(), body, crc, mode).await
}

async fn read(bucket: &DirectoryBucket, key: &str) -> String {
    let reply = bucket.get(&ObjectKey::new(key).unwrap(), None).await.unwrap();
    String::from_utf8(reply.body.try_collect::<Vec<Bytes>>().await.unwrap().concat()).unwrap()
}

/// Takes the locks of all keys.
fn hold_all_locks(root: &Path) -> Vec<File> {
    let hold = |n: u32| {
        let path = root.join(format!(".milepost/locks/{n:02x}"));
        let file = File::options().create(true).truncate(false).write(true).open(path).unwrap();
        file.lock().unwrap();
        file
    };
    (0..256).map(hold).collect()
}

#[test]
fn child() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let bucket = open(Path::new(&root));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut held = Vec::new();
    let answer = |text: String| {
        let mut out = std::io::stdout().lock();
        // The harness may have left its line unfinished.
        writeln!(out, "\n{MARK}{text}").unwrap();
        out.flush().unwrap();
    };
    answer("ready".to_owned());
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let mode = match words[..] {
            ["create", _] => PutMode::Create,
            ["replace", _, etag] => PutMode::Replace(ETag(etag.to_owned())),
            ["hold"] => {
                held = hold_all_locks(Path::new(&root));
                answer(format!("holds {}", held.len()));
                continue;
            }
            // Puts new objects, until it is killed.
            ["churn", folder] => {
                answer("churning".to_owned());
                for n in 0.. {
                    let key = format!("{folder}/{}/{n}.json", n % 5);
                    let etag = runtime.block_on(put(&bucket, &key, "one".repeat(1000), PutMode::Create)).unwrap();
                    runtime.block_on(put(&bucket, &key, "two".repeat(1000), PutMode::Replace(etag))).unwrap();
                }
                continue;
            }
            _ => panic!("{line}"),
        };
        let body = format!("{} {line}", std::process::id());
        answer(match runtime.block_on(put(&bucket, words[1], body, mode)) {
            Ok(etag) => format!("won {etag}"),
            Err(error) if error.kind == K::Precondition && !error.maybe_applied => "lost".to_owned(),
            Err(error) => format!("failed {error:?}"),
        });
    }
    drop(held);
}

/// A child process, killed when dropped.
struct Racer {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Racer {
    fn start(root: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(ROOT, root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut racer = Self { process, input, output };
        assert_eq!(racer.answer(), "ready");
        racer
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "a child ended early");
            if let Some(answer) = line.trim_end().strip_prefix(MARK) {
                return answer.to_owned();
            }
        }
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([format!("-{name}"), self.process.id().to_string()]).status();
        assert!(done.unwrap().success());
    }

    fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// All get the same order; exactly one wins, and what it wrote is there.
fn race(
    racers: &mut [Racer],
    bucket: &DirectoryBucket,
    runtime: &tokio::runtime::Runtime,
    order: &str,
    key: &str,
) -> ETag {
    for racer in racers.iter_mut() {
        racer.tell(order);
    }
    let answers: Vec<(u32, String)> = racers.iter_mut().map(|racer| (racer.process.id(), racer.answer())).collect();
    let won: Vec<_> = answers.iter().filter(|(_, answer)| answer.starts_with("won ")).collect();
    let lost = answers.iter().filter(|(_, answer)| answer == "lost").count();
    assert_eq!((won.len(), lost), (1, racers.len() - 1), "{order}: {answers:?}");
    let (winner, answer) = won[0];
    let etag = ETag(answer["won ".len()..].to_owned());
    assert_eq!(runtime.block_on(read(bucket, key)), format!("{winner} {order}"));
    assert_eq!(runtime.block_on(bucket.head(&ObjectKey::new(key).unwrap())).unwrap().etag, etag);
    etag
}

#[test]
fn of_thirty_two_racing_processes_one_wins_every_round() {
    let root = tempfile::tempdir().unwrap();
    let bucket = open(root.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut racers: Vec<Racer> = (0..PROCESSES).map(|_| Racer::start(root.path())).collect();
    let mut keys = 0;
    // Documents are known by their hash, contents by inode and time: both must hold.
    for (rounds, ending) in [(ROUNDS * 3 / 4, "status.json"), (ROUNDS / 4, "content")] {
        for round in 0..rounds {
            let key = format!("{round}/100/2/{ending}");
            let etag = race(&mut racers, &bucket, &runtime, &format!("create {key}"), &key);
            race(&mut racers, &bucket, &runtime, &format!("replace {key} {etag}"), &key);
            keys += 1;
        }
    }
    let listed = runtime.block_on(bucket.list(ListRequest::all(""))).unwrap();
    assert_eq!((listed.objects.len(), listed.next), (keys, None));
    assert_eq!(temp_files(&root.path().join(".milepost/tmp")), 0);
    println!("{keys} rounds of {PROCESSES} processes that create, and {keys} that replace: one winner in each");
}

/// Temp files, the empty folders of living handles left out.
fn temp_files(tmp: &std::path::Path) -> usize {
    let folders = std::fs::read_dir(tmp).unwrap().map(|entry| entry.unwrap().path());
    folders.map(|folder| std::fs::read_dir(folder).unwrap().count()).sum()
}

#[test]
fn a_lock_ends_with_the_process_that_held_it() {
    let root = tempfile::tempdir().unwrap();
    let bucket = open(root.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let etag = runtime.block_on(put(&bucket, "a.json", "old".into(), PutMode::Create)).unwrap();
    let mut holder = Racer::start(root.path());
    holder.tell("hold");
    assert_eq!(holder.answer(), "holds 256");
    let waiting = {
        let bucket = bucket.clone();
        runtime.spawn(async move { put(&bucket, "a.json", "new".into(), PutMode::Replace(etag)).await })
    };
    // A create needs no lock.
    runtime.block_on(put(&bucket, "b.json", "x".into(), PutMode::Create)).unwrap();
    assert!(!waiting.is_finished());
    holder.kill();
    runtime.block_on(waiting).unwrap().unwrap();
    assert_eq!(runtime.block_on(read(&bucket, "a.json")), "new");
}

#[test]
fn a_stopped_lock_holder_makes_nobody_wait_for_ever() {
    let root = tempfile::tempdir().unwrap();
    let bucket = open(root.path()).with_lock_wait(Duration::from_millis(300));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let etag = runtime.block_on(put(&bucket, "a.json", "old".into(), PutMode::Create)).unwrap();
    let mut holder = Racer::start(root.path());
    holder.tell("hold");
    assert_eq!(holder.answer(), "holds 256");
    holder.signal("STOP");
    for mode in [PutMode::Replace(etag.clone()), PutMode::Overwrite] {
        let error = runtime.block_on(put(&bucket, "a.json", "new".into(), mode)).unwrap_err();
        assert_eq!((error.kind, error.maybe_applied), (K::Unavailable, false));
        assert!(error.message.contains(".milepost/locks/"), "{}", error.message);
    }
    let mut outcomes = runtime.block_on(bucket.delete(vec!["a.json".into(), "a//b".into()])).unwrap();
    assert_eq!(outcomes.pop().unwrap().result.unwrap_err().kind, K::Invalid);
    let error = outcomes.pop().unwrap().result.unwrap_err();
    assert_eq!(error.kind, K::Unavailable);
    assert!(error.message.contains(".milepost/locks/"), "{}", error.message);
    assert_eq!(runtime.block_on(read(&bucket, "a.json")), "old");
    holder.signal("CONT");
    holder.kill();
    runtime.block_on(put(&bucket, "a.json", "new".into(), PutMode::Replace(etag))).unwrap();
}

#[test]
fn a_killed_writer_leaves_whole_objects_and_swept_temp_files() {
    let root = tempfile::tempdir().unwrap();
    let bucket = open(root.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for round in 0..20 {
        let mut writer = Racer::start(root.path());
        writer.tell(&format!("churn {round}"));
        assert_eq!(writer.answer(), "churning");
        while !root.path().join(format!("{round}/{}/{}.json", round % 5, round)).exists() {
            std::thread::yield_now();
        }
        writer.kill();
    }
    let mut request = ListRequest::all("");
    let mut last = None;
    loop {
        let page = runtime.block_on(bucket.list(request.clone())).unwrap();
        for object in &page.objects {
            let body = runtime.block_on(read(&bucket, &object.key));
            assert!(body == "one".repeat(1000) || body == "two".repeat(1000), "{}: {} bytes", object.key, body.len());
            last = Some((object.key.clone(), object.etag.clone()));
        }
        request.page = page.next;
        if request.page.is_none() {
            break;
        }
    }
    // No lock of the dead is left.
    let (key, etag) = last.unwrap();
    runtime.block_on(put(&bucket, &key, "new".into(), PutMode::Replace(etag))).unwrap();
    let tmp = root.path().join(".milepost/tmp");
    // Opening again sweeps what the dead left, at once.
    drop(open(root.path()));
    assert_eq!(temp_files(&tmp), 0);
}
