//! Every verb's `--json` output against its schema in `docs/schema`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests and their helpers")]

mod checker;
#[path = "../common/mod.rs"]
mod common;
mod pattern;

use std::fs;
use std::process::Stdio;

use checker::Schemas;
use common::{Bench, Run};
use serde_json::{Value, json};

/// Verbs without a JSON answer of their own: they print what was asked for.
const WITHOUT: [&str; 4] = ["cat", "completions", "man", "help"];

impl Schemas {
    #[track_caller]
    fn document(&self, name: &str, run: &Run) {
        self.fits(name, &run.json());
    }

    /// Each line.
    #[track_caller]
    fn lines(&self, name: &str, run: &Run) {
        assert!(!run.out.is_empty(), "{name}: {}", run.err);
        for line in run.out.lines() {
            self.fits(name, &serde_json::from_str(line).unwrap());
        }
    }

    #[track_caller]
    fn fits(&self, name: &str, value: &Value) {
        if let Err(why) = self.check(name, value) {
            panic!("docs/schema/{name}.json: {why}\nin {value:#}");
        }
    }

    /// The lines on stderr: errors and logs.
    #[track_caller]
    fn told(&self, run: &Run) {
        for line in run.err.lines() {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let name = value["messageType"].as_str().unwrap().to_owned();
            self.fits(&name, &value);
        }
    }
}

#[test]
fn every_verb_has_a_schema() {
    let schemas = Schemas::load();
    let help = Bench::new().run(&["help"]).out;
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut number = 0;
    for verb in verbs.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|verb| !verb.is_empty())) {
        number += 1;
        let begins = |name: &str| name == verb || name.strip_prefix(verb).is_some_and(|rest| rest.starts_with('-'));
        assert!(WITHOUT.contains(&verb) || schemas.names().any(begins), "docs/schema has nothing for `{verb}`");
    }
    assert!(number > 15, "{help}");
}

#[test]
fn what_looks_fits_its_schema() {
    let (schemas, bench) = (Schemas::load(), Bench::new());
    let store = |args: &[&str]| bench.store(&[&["--json"], args].concat());
    schemas.document("init", &store(&["init"]));
    schemas.document("stats", &store(&["stats"]));
    schemas.document("list", &store(&["list"]));
    let (log, json) = (bench.logs(), "--json");
    let save = ["save", "1/100/2", "--segments", &log, "--snapshots", &log, "--partitions", "1", "--position", "4711"];
    let more = ["--term", "3", "--log-range", "1..4800", "--property", "zone=eu", "--name", "nightly", json];
    schemas.lines("save", &bench.store(&[&save[..], &more].concat()));
    schemas.lines("save", &bench.store(&[&save[..], &more, &["--resume"]].concat()));
    bench.store(&["save", "1/99/2", "--segments", &log, "--digest", "none", "--partitions", "1"]).exits(0);
    schemas.document("hold", &store(&["hold", "100", "--reason", "audit"]));
    schemas.lines("verify", &store(&["verify", "1/100/2", "--record"]));
    schemas.document("status", &store(&["status", "1/100/2"]));
    schemas.document("status", &store(&["status", "1/7/7"]));
    for id in ["1/100/2", "1/99/2"] {
        schemas.document("show", &store(&["show", id]));
        schemas.document("ls", &store(&["ls", id]));
    }
    schemas.document("cluster", &store(&["cluster"]));
    schemas.document("cluster", &store(&["cluster", "--limit", "1"]));
    for checkpoint in ["latest", "99", "7"] {
        schemas.document("cluster-checkpoint", &store(&["cluster", checkpoint]));
    }
    schemas.document("mark-failed", &store(&["mark-failed", "1/101/2", "--reason", "disk", "--yes"]));
    schemas.document("cluster-checkpoint", &store(&["cluster", "latest"]));
    fs::create_dir_all(bench.path("store/1/102/2")).unwrap();
    fs::write(bench.path("store/1/102/2/status.json"), "{").unwrap();
    fs::write(bench.path("store/1/100/2/segments/extra"), "x").unwrap();
    schemas.document("list", &store(&["list"]));
    schemas.document("stats", &store(&["stats"]));
    schemas.lines("verify", &store(&["verify", "1/100/2"]));
    schemas.document("doctor", &store(&["doctor"]));
    schemas.document("doctor", &store(&["doctor", "--quick", "--repair", "--yes"]));
    schemas.document("probe", &store(&["probe"]));
    schemas.lines("watch", &store(&["watch", "--once"]));
    schemas.document("config-show", &store(&["config", "show"]));
    schemas.document("release", &store(&["release", "100", "--all"]));
}

#[test]
fn what_changes_fits_its_schema() {
    let (schemas, bench) = (Schemas::load(), Bench::new());
    let store = |args: &[&str]| bench.store(&[&["--json"], args].concat());
    for id in ["1/100/1", "1/101/1", "1/102/1"] {
        bench.saved(id);
    }
    let target = |name: &str| bench.path(name);
    schemas.lines("restore", &store(&["restore", "1/100/1", "--target", &target("a")]));
    schemas.lines("restore", &store(&["restore", "1/100/1", "--target", &target("a")]));
    let node = ["restore-node", "latest", "--node", "1", "--partitions", "1", "--target"];
    schemas.lines("restore-node", &store(&[&node[..], &[&target("node")]].concat()));
    let object = bench.path("store/1/102/1/segments/1.log");
    fs::remove_file(&object).unwrap();
    let run = store(&[&node[..], &[&target("other")]].concat());
    run.exits(6);
    schemas.lines("restore-node", &run);
    schemas.told(&run);
    fs::write(&object, "the lost records!").unwrap();
    schemas.lines("verify", &store(&["verify", "1/102/1", "--level", "content"]));
    schemas.lines("delete", &store(&["delete", "1/102/1", "--dry-run"]));
    schemas.lines("delete", &store(&["delete", "1/102/1", "--yes"]));
    schemas.document("prune-plan", &store(&["prune", "--keep-last", "1", "--dry-run"]));
    schemas.lines("prune", &store(&["prune", "--keep-last", "1", "--yes"]));
    let demo = bench.run(&["--json", "demo", "--dir", &target("demo")]);
    demo.exits(0);
    schemas.lines("demo", &demo);
    // A save that takes long enough for a line of progress, and is looked at meanwhile.
    let big = bench.path("big");
    fs::create_dir(&big).unwrap();
    fs::write(format!("{big}/1.log"), vec![7u8; 800_000]).unwrap();
    let root = bench.path("store");
    let args = ["--store", &root, "--json", "save", "1/200/1", "--segments", &big, "--limit-rate", "100k"];
    let child = bench.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    bench.wait_for("store/1/200/1/status.json");
    let watched = store(&["watch", "--once"]);
    schemas.lines("watch", &watched);
    assert_eq!(watched.json()["running"], 1);
    assert!(watched.json()["backups"][0]["owner"]["pid"].is_u64());
    let save = Run::from(child.wait_with_output().unwrap());
    save.exits(0);
    assert!(save.out.contains("\"progress\""), "{}", save.out);
    schemas.lines("save", &save);
}

#[test]
fn selections_copies_and_journals_fit_theirs() {
    let (schemas, bench) = (Schemas::load(), Bench::new());
    let store = |args: &[&str]| bench.store(&[&["--json"], args].concat());
    for id in ["1/100/1", "1/101/1", "1/102/1"] {
        bench.saved(id);
    }
    let (report, log) = (bench.path("report.json"), bench.logs());
    let written = || serde_json::from_str::<Value>(&fs::read_to_string(&report).unwrap()).unwrap();
    schemas.lines("verify", &store(&["verify", "--all", "--report", &report]));
    schemas.fits("verify-report", &written());
    schemas.lines("verify", &store(&["verify", "--all", "--sample", "50", "--seed", "7", "--no-record"]));
    fs::write(bench.path("store/1/101/1/segments/1.log"), "not the records..").unwrap();
    fs::create_dir_all(bench.path("store/1/103/1")).unwrap();
    fs::write(bench.path("store/1/103/1/status.json"), "{").unwrap();
    let run = store(&["verify", "--all", "--level", "content", "--report", &report]);
    run.exits(6);
    schemas.lines("verify", &run);
    schemas.fits("verify-report", &written());
    let other = bench.path("other");
    for args in [&["100", "--dry-run"][..], &["100"], &["1/100/1"], &["1/101/1"]] {
        schemas.lines("copy", &store(&[&["copy"], args, &["--to", &other]].concat()));
    }
    let copied = bench.run(&["--json", "--store", &other, "status", "1/100/1"]);
    assert!(copied.json()["document"]["copiedFrom"]["location"].is_string(), "{}", copied.out);
    schemas.document("status", &copied);
    // A save that fails: somebody's bytes stand under the key of its file.
    let stray = bench.path("store/1/104/1/segments");
    fs::create_dir_all(&stray).unwrap();
    fs::write(format!("{stray}/1.log"), "somebody else's").unwrap();
    bench.store(&["save", "1/104/1", "--segments", &log, "--partitions", "1"]).exits(6);
    schemas.document("journal-list", &store(&["journal", "list"]));
    schemas.document("journal-show", &store(&["journal", "show", "1/104/1"]));
    for change in [&["retry", "1/104/1", "segments/1.log"][..], &["reset", "1/104/1", "segments/sub/2.log"]] {
        schemas.document("journal-change", &store(&[&["journal"], change].concat()));
    }
    let skip = ["journal", "skip", "1/104/1", "segments/1.log", "--reason", "nobody needs it"];
    schemas.document("journal-change", &store(&skip));
    schemas.document("journal-change", &store(&["journal", "clear-errors", "1/104/1", "--dry-run"]));
    schemas.document("journal-show", &store(&["journal", "show", "1/104/1"]));
    schemas.document("journal-remove", &store(&["journal", "remove", "1/104/1", "--yes"]));
    schemas.document("journal-list", &store(&["journal", "list"]));
    schemas.lines(
        "save",
        &store(&["save", "1/105/1", "--segments", &log, "--partitions", "1", "--remove-source", "--yes"]),
    );
}

#[test]
fn failures_and_logs_fit_theirs() {
    let (schemas, bench) = (Schemas::load(), Bench::new());
    bench.saved("1/100/1");
    bench.store(&["hold", "100", "--reason", "audit"]).exits(0);
    fs::create_dir_all(bench.path("store/1/101/1")).unwrap();
    fs::write(bench.path("store/1/101/1/status.json"), "{").unwrap();
    let link = bench.path("links");
    fs::create_dir(&link).unwrap();
    std::os::unix::fs::symlink("x", format!("{link}/link")).unwrap();
    for (args, code) in [
        (&["status", "01/1/1"][..], 2),
        (&["status", "1/101/1"], 6),
        (&["restore", "9/9/9", "--target", "t"], 4),
        (&["delete", "1/100/1", "--yes"], 7),
        (&["save", "1/100/1"], 5),
        (&["save", "1/102/1", "--segments", &link], 1),
        (&["ls", "1/7/7", "-vvv"], 4),
    ] {
        let run = bench.store(&[&["--json"], args].concat());
        run.exits(code);
        assert!(!run.err.is_empty());
        schemas.told(&run);
    }
}

#[test]
fn words_are_those_of_the_code() {
    use milepost::core::ClusterState as C;
    use milepost::doctor::{Check, Severity};
    use milepost::{BackupState as B, VerifyLevel as L};
    let schemas = Schemas::load();
    let states = [B::DoesNotExist, B::InProgress, B::Completed, B::Failed, B::Deleting, B::Corrupt].map(B::name);
    assert_eq!(schemas.words("common/$defs/state"), states);
    let checkpoints =
        [C::Inconsistent, C::Failed, C::Incomplete, C::Deleting, C::InProgress, C::Completed, C::DoesNotExist];
    assert_eq!(schemas.words("common/$defs/clusterState"), checkpoints.map(C::name));
    assert_eq!(schemas.words("common/$defs/level"), [L::Documents, L::Objects, L::Checksums, L::Content].map(L::name));
    let checks = [
        Check::Probe,
        Check::Permissions,
        Check::Clock,
        Check::Documents,
        Check::Statuses,
        Check::Objects,
        Check::Uploads,
        Check::Journals,
        Check::Leftovers,
    ];
    assert_eq!(schemas.words("doctor/$defs/check"), checks.map(Check::name));
    let severities = [Severity::Error, Severity::Warning, Severity::Note].map(Severity::name);
    assert_eq!(schemas.words("doctor/properties/findings/items/properties/severity"), severities);
    let kinds = schemas.words("common/$defs/errorKind");
    let design = fs::read_to_string(format!("{}/../../docs/design.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for kind in &kinds {
        assert!(design.contains(&format!("| `{kind}` |")), "docs/design.md does not name {kind}");
    }
}

#[test]
fn the_checker_can_fail() {
    let schemas = Schemas::of(&[
        (
            "a.json",
            json!({ "type": "object", "allOf": [{ "$ref": "b.json#/$defs/id" }], "required": ["n"],
            "properties": { "n": { "type": ["integer", "null"], "minimum": 1 }, "w": { "type": "string", "enum": ["A", "B"] },
                "l": { "type": "array", "items": { "oneOf": [{ "const": 1 }, { "type": "object", "properties": { "x": { "type": "string" } } }] } },
                "m": { "type": "object", "additionalProperties": { "type": "string" } } } }),
        ),
        (
            "b.json",
            json!({ "$defs": { "id": { "type": "object", "required": ["id"], "properties": { "id": { "type": "string", "pattern": "^[0-9]+/[a-f]{2,3}$" } } } } }),
        ),
    ]);
    let good = json!({ "id": "12/abc", "n": 1, "w": "A", "l": [1, { "x": "y" }], "m": { "any": "thing" } });
    schemas.check("a", &good).unwrap();
    let but = |field: &str, value: Value| {
        let mut bad = good.clone();
        bad[field] = value;
        schemas.check("a", &bad).unwrap_err()
    };
    assert!(but("other", json!(1)).contains("/other is not in the schema"));
    assert!(but("n", json!(0)).contains("at least 1"));
    assert!(but("n", json!(1.5)).contains("type"));
    assert!(but("w", json!("C")).contains("one of"));
    assert!(but("l", json!([2])).contains("0 of the ways"));
    assert!(but("l", json!([{ "z": 1 }])).contains("/l/0/z is not in the schema"));
    assert!(but("m", json!({ "any": 1 })).contains("/m/any"));
    for id in ["12/a", "12/abcd", "/ab", "12/ag", "x12/ab"] {
        assert!(but("id", json!(id)).contains("must match"), "{id}");
    }
    assert!(schemas.check("a", &json!({ "id": "1/ab" })).unwrap_err().contains("/n is missing"));
    assert!(
        pattern::matches("^(blake3|sha256):[0-9a-f]{4}$", "sha256:00ff")
            && pattern::matches("^(snapshots|segments)/.", "segments/a/b")
    );
    assert!(pattern::matches("^T(\\.[0-9]+)?Z$", "TZ") && pattern::matches("^T(\\.[0-9]+)?Z$", "T.12Z"));
    assert!(!pattern::matches("^T(\\.[0-9]+)?Z$", "T.Z") && !pattern::matches("^(0|[1-9][0-9]{0,2})$", "01"));
}
