//! `doctor` on a real server: an upload that nobody owns, a save without a sign of life, what belongs to nothing, a status that cannot be
//! read, a tombstone past its grace; and a repair that does no more than it may.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "ages on a real server pass in real time")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use milepost_integration_tests::minio::Minio;
use milepost_integration_tests::{expect, run, start, write_random};
use serde_json::Value;

struct Bench<'a> {
    server: &'a Minio,
    home: &'a Path,
}

impl Bench<'_> {
    fn call(&self, args: &[&str]) -> Command {
        self.server.milepost(self.home, "prod", args)
    }

    fn save(&self, id: &str, segments: &str, more: &[&str]) -> Command {
        let mut command = self.call(&["save", id, "--partitions", "1", "--quiet"]);
        command.args(["--part-size", "5Mi", "--multipart-threshold", "6Mi"]).args(more);
        command.arg("--segments").arg(self.home.join(segments));
        command
    }

    fn put(&self, key: &str, body: &str) {
        let request = self.server.client.put_object().bucket(&self.server.bucket).key(format!("prod/{key}"));
        self.server.block(request.body(body.as_bytes().to_vec().into()).send()).unwrap();
    }

    fn uploads(&self, id: &str) -> usize {
        self.server.open_uploads(&[format!("prod/{id}/segments/big.log")])
    }

    /// A save that is killed while the upload of its one file is open.
    fn dies_uploading(&self, id: &str) {
        let mut child = start(self.save(id, "big", &["--limit-rate", "4M"]));
        for _ in 0..600 {
            if self.uploads(id) == 1 {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(self.uploads(id), 1, "it never came to its upload");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// What doctor says, as JSON.
    fn doctor(&self, code: i32, more: &[&str]) -> Value {
        let mut command = self.call(&["doctor", "--json", "--stale-after", "1s", "--tombstone-grace", "1s"]);
        command.args(more);
        serde_json::from_str(&expect(code, command)).unwrap()
    }
}

/// `CHECK SEVERITY BACKUP` of each finding, sorted.
fn told(diagnosis: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let findings = diagnosis["findings"].as_array().unwrap();
    let mut told: Vec<String> = findings
        .iter()
        .map(|one| format!("{} {} {}", text(&one["check"]), text(&one["severity"]), text(&one["backup"])))
        .collect();
    told.sort();
    told
}

#[test]
fn doctor_finds_what_is_wrong_and_repairs_what_it_may() {
    let Some(server) = Minio::start("doctor_finds_what_is_wrong_and_repairs_what_it_may", false) else { return };
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    for (folder, name, len) in [("small", "1.log", 1000), ("big", "big.log", 40 << 20)] {
        std::fs::create_dir(home.join(folder)).unwrap();
        write_random(&home.join(folder).join(name), 1, len);
    }
    let bench = Bench { server: &server, home };
    expect(0, bench.call(&["init", "--quiet"]));
    for id in ["1/90/1", "1/100/1", "1/101/1", "1/102/1"] {
        expect(0, bench.save(id, "small", &[]));
    }
    assert_eq!(told(&bench.doctor(0, &[])), Vec::<String>::new(), "all is well");

    bench.dies_uploading("1/103/1");
    bench.dies_uploading("1/104/1");
    expect(0, bench.call(&["mark-failed", "1/104/1", "--reason", "its node is gone", "--yes"]));
    expect(0, bench.call(&["delete", "1/90/1", "--yes", "--quiet"]));
    bench.put("1/100/1/status.json", "{ not json");
    bench.put("1/101/1/segments/surplus", "nobody's");
    // Older than what counts as stale here, by the server's clock of whole seconds.
    std::thread::sleep(Duration::from_millis(3200));

    let found = bench.doctor(6, &[]);
    let expected = [
        "objects NOTE 1/101/1",
        "statuses ERROR 1/100/1",
        "statuses NOTE 1/90/1",
        "statuses WARNING 1/103/1",
        "uploads WARNING 1/104/1",
    ];
    assert_eq!(told(&found), expected, "{found:#}");
    let screen = run(bench.call(&["doctor", "--stale-after", "1s", "--tombstone-grace", "1s"]));
    println!("{}", String::from_utf8_lossy(&screen.stdout));

    let before = server.keys("prod/");
    let repaired = bench.doctor(6, &["--repair", "--yes"]);
    println!("{repaired:#}");
    assert_eq!(repaired["repaired"], 2, "{repaired:#}");
    let after = server.keys("prod/");
    let gone: Vec<&String> = before.iter().filter(|key| !after.contains(key)).collect();
    assert_eq!(gone, ["prod/1/90/1/status.json"], "the tombstone, and no other object");
    let new: Vec<&String> = after.iter().filter(|key| !before.contains(key)).collect();
    assert_eq!(new, ["prod/_milepost/seals/1.json"]);
    assert_eq!((bench.uploads("1/103/1"), bench.uploads("1/104/1")), (1, 0), "a save's own upload stays");

    // What is left is a person's: each finding names the command, and the commands mend it.
    let left = bench.doctor(6, &[]);
    let expected = ["objects NOTE 1/101/1", "statuses ERROR 1/100/1", "statuses WARNING 1/103/1"];
    assert_eq!(told(&left), expected, "{left:#}");
    expect(0, bench.save("1/103/1", "big", &["--resume"]));
    expect(0, bench.call(&["verify", "1/103/1", "--level", "content", "--quiet"]));
    expect(0, bench.call(&["delete", "1/100/1", "--corrupt", "--yes", "--quiet"]));
    let mut left = told(&bench.doctor(0, &[]));
    // On a slow machine the new tombstone is past its grace by now.
    left.retain(|one| one != "statuses NOTE 1/100/1");
    assert_eq!(left, ["objects NOTE 1/101/1"]);
}
