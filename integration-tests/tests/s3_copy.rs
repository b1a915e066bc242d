//! `copy` from a directory to S3, and on from there to another base: killed, taken up again, run a second time, and refused where
//! another backup stands.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a killer of processes waits in real time")]

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use milepost_integration_tests::minio::Minio;
use milepost_integration_tests::{expect, files_below, long, run, seed, start, summary, write_random};
use milepost_store::env::SeededRandom;
use milepost_testkit::fixtures::same_tree;

/// Of small parts, so that the larger files go by several.
const PARTS: [&str; 4] = ["--part-size", "5Mi", "--multipart-threshold", "6Mi"];

/// A store that is copied from or to: a folder, or a base on the server.
#[derive(Debug, Clone, Copy)]
enum At<'a> {
    Folder(&'a Path),
    Base(&'a str),
}

struct Bench<'a> {
    server: &'a Minio,
    home: &'a Path,
}

impl Bench<'_> {
    fn url(&self, at: At<'_>) -> String {
        match at {
            At::Folder(path) => path.display().to_string(),
            At::Base(base) => self.server.url(base),
        }
    }

    fn call(&self, at: At<'_>, args: &[&str]) -> Command {
        let mut command = self.server.milepost(self.home, "", args);
        command.env_remove("MILEPOST_STORE").args(["--store", &self.url(at)]);
        command
    }

    fn save(&self, at: At<'_>, id: &str, data: &str) {
        let mut command = self.call(at, &["save", id, "--quiet", "--partitions", "1"]);
        command.arg("--snapshots").arg(self.home.join(data).join("snapshots"));
        command.arg("--segments").arg(self.home.join(data).join("segments"));
        expect(0, command);
    }

    fn copy(&self, from: At<'_>, to: At<'_>, id: &str, more: &[&str]) -> Command {
        let mut command = self.call(from, &["copy", id, "--json", "--to", &self.url(to)]);
        command.args(PARTS).args(more);
        command
    }

    /// An object as it stands, past Milepost.
    fn bytes(&self, at: At<'_>, key: &str) -> Vec<u8> {
        match at {
            At::Folder(path) => std::fs::read(path.join(key)).unwrap(),
            At::Base(base) => self.server.block(async {
                let key = format!("{base}/{key}");
                let request = self.server.client.get_object().bucket(&self.server.bucket).key(key);
                request.send().await.unwrap().body.collect().await.unwrap().to_vec()
            }),
        }
    }

    fn status(&self, at: At<'_>, id: &str) -> serde_json::Value {
        serde_json::from_slice(&self.bytes(at, &format!("{id}/status.json"))).unwrap()
    }

    /// A whole copy: the bytes, the metadata to the byte, a status of its own.
    fn is_copied(&self, from: At<'_>, to: At<'_>, id: &str) {
        expect(0, self.call(to, &["verify", id, "--level", "content", "--quiet"]));
        let metadata = format!("{id}/metadata.json");
        assert!(self.bytes(from, &metadata) == self.bytes(to, &metadata), "the metadata differs");
        let (theirs, ours) = (self.status(from, id), self.status(to, id));
        assert_eq!(theirs["clusterId"], ours["clusterId"]);
        assert_eq!(theirs["metadataSha256"], ours["metadataSha256"]);
        assert_ne!(theirs["attemptId"], ours["attemptId"]);
        assert_eq!(ours["copiedFrom"]["attemptId"], theirs["attemptId"], "{ours}");
    }

    /// Copies, killed at random moments, each taken up again. Gives how many kills came in time.
    fn killed_and_resumed(&self, from: At<'_>, to: At<'_>, ids: &[String], random: &SeededRandom) -> usize {
        let (first, others) = ids.split_first().unwrap();
        let begun = Instant::now();
        let told = summary(&expect(0, self.copy(from, to, first, &[])));
        let takes = begun.elapsed();
        assert_eq!((&told["copied"], &told["alreadyThere"]), (&1.into(), &0.into()), "{told}");
        self.is_copied(from, to, first);
        let mut killed = 0;
        for id in others {
            // Until one is killed; a faster one is done, which is no less right.
            let mut child = start(self.copy(from, to, id, &[]));
            std::thread::sleep(takes.mul_f64((random.next() % 500) as f64 / 1000.0));
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                killed += 1;
            }
            child.wait().unwrap();
            let told = summary(&expect(0, self.copy(from, to, id, &["--resume"])));
            println!("{id}: {}", told);
            self.is_copied(from, to, id);
            let planned: Vec<String> = files_below(&self.home.join("data"))
                .iter()
                .map(|path| format!("{}/{id}/{}", if let At::Base(base) = to { base } else { "" }, path.display()))
                .collect();
            assert_eq!(self.server.open_uploads(&planned), 0, "an upload is open");
        }
        killed
    }
}

#[test]
fn a_copy_to_s3_and_between_bases_survives_kills_and_is_the_same() {
    let test = "a_copy_to_s3_and_between_bases_survives_kills_and_is_the_same";
    let Some(server) = Minio::start(test, false) else { return };
    let (seed, home) = (seed(), tempfile::tempdir().unwrap());
    let (random, home) = (SeededRandom::new(seed), home.path());
    for (data, shift) in [("data", 0), ("other", 500)] {
        for set in ["snapshots", "segments"] {
            std::fs::create_dir_all(home.join(data).join(set)).unwrap();
        }
        for n in 0..12 {
            write_random(&home.join(format!("{data}/snapshots/{n:03}.sst")), seed + shift + n, n * 5_000);
        }
        for n in 0..2 {
            write_random(&home.join(format!("{data}/segments/{n}.log")), seed + shift + 100 + n, 12 << 20);
        }
    }
    let bench = Bench { server: &server, home };
    let store = home.join("store");
    let (folder, vault, dr) = (At::Folder(&store), At::Base("vault"), At::Base("deep/dr"));
    let rounds = if long() { 20 } else { 4 };
    let ids: Vec<String> = (0..=rounds).map(|round| format!("1/{}/2", 100 + round)).collect();
    for id in &ids {
        bench.save(folder, id, "data");
    }
    let to_s3 = bench.killed_and_resumed(folder, vault, &ids, &random);
    let between = bench.killed_and_resumed(vault, dr, &ids, &random);
    println!("{rounds} rounds each: {to_s3} kills in time to S3, {between} between bases");
    assert!(to_s3 + between > 0, "no copy was killed");

    // Again: nothing is written, not even a revision.
    let (id, before) = (&ids[0], bench.bytes(dr, &format!("{}/status.json", ids[0])));
    let told = summary(&expect(0, bench.copy(vault, dr, id, &[])));
    assert_eq!((&told["copied"], &told["alreadyThere"]), (&0.into(), &1.into()), "{told}");
    assert!(bench.bytes(dr, &format!("{id}/status.json")) == before);

    // Of the same cluster and id, with other files: refused, and left as it is.
    let elsewhere = home.join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::copy(store.join("cluster.json"), elsewhere.join("cluster.json")).unwrap();
    bench.save(At::Folder(&elsewhere), id, "other");
    let refused = run(bench.copy(At::Folder(&elsewhere), vault, id, &["--resume"]));
    assert_eq!(refused.status.code(), Some(5), "{}", String::from_utf8_lossy(&refused.stderr));
    bench.is_copied(folder, vault, id);

    // A whole checkpoint; then what came over two copies is what was saved.
    let told = summary(&expect(0, bench.copy(vault, dr, "latest", &[])));
    assert_eq!(told["alreadyThere"], 1, "{told}");
    let target = home.join("restored");
    let mut restore = bench.call(dr, &["restore", id, "--quiet"]);
    restore.arg("--target").arg(&target);
    expect(0, restore);
    same_tree(home.join("data"), &target, &[".milepost.json"]).unwrap();
    assert!(server.keys("vault/_milepost/").iter().all(|key| key.contains("/probe/")), "no journal, no index");
}
