//! Documents and contents that somebody else wrote over: told by name, with an exit code of their own, before any effect.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs
)]

mod common;

use std::fs;

use common::Bench;
use milepost_core::checksum::sha256_hex;
use milepost_integration_tests::{files_below, summary};
use serde_json::Value;

/// The verbs that look into a backup, and what they say when it cannot be used.
fn all_refuse(bench: &Bench, code: i32, id: &str, says: &[&str]) {
    let target = bench.path("target");
    let target = target.to_str().unwrap();
    let before = bench.listing();
    for verb in [
        &["show", id][..],
        &["verify", id],
        &["verify", id, "--level", "documents"],
        &["verify", id, "--level", "content"],
        &["restore", id, "--target", target],
        &["show", id, "--json"],
        &["verify", id, "--json"],
    ] {
        let ran = bench.run(code, verb);
        for word in says {
            assert!(ran.err.contains(word), "{verb:?}: `{word}` in {}", ran.err);
        }
    }
    assert_eq!(bench.listing(), before, "nothing is written");
    assert!(!bench.path("target").exists());
}

#[test]
fn a_status_that_cannot_be_used_is_an_entry_of_the_listing() {
    let bench = Bench::new();
    for checkpoint in 1..=9 {
        bench.save(&format!("1/{checkpoint}/1")).exits(0);
    }
    let path = |checkpoint: u32| bench.path(&format!("store/1/{checkpoint}/1/status.json"));
    let good = fs::read_to_string(path(1)).unwrap();
    fs::write(path(2), "").unwrap();
    fs::write(path(3), &good.as_bytes()[..good.len() / 2]).unwrap();
    fs::write(path(4), b"\x00\xff\xfe\x7f\x1b[31m").unwrap();
    fs::write(path(5), &good).unwrap();
    fs::File::create(path(6)).unwrap().set_len(2 << 30).unwrap();
    let own = fs::read_to_string(path(7)).unwrap();
    fs::write(path(7), own.replace("\"formatVersion\": 1", "\"formatVersion\": 2")).unwrap();
    fs::write(
        path(8),
        own.replacen('{', "{\"statusCode\":\"FAILED\",", 1).replace("\"checkpoint\": \"7\"", "\"checkpoint\": \"8\""),
    )
    .unwrap();

    let ran = bench.run(3, &["list", "--json"]);
    let list: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&list["corrupt"], &list["complete"]), (&7.into(), &true.into()));
    let entry = |checkpoint: u32| {
        let id = format!("1/{checkpoint}/1");
        list["backups"].as_array().unwrap().iter().find(|entry| entry["id"] == id.as_str()).unwrap().clone()
    };
    for (checkpoint, state, why) in [
        (1, "COMPLETED", ""),
        (2, "CORRUPT", "EOF"),
        (3, "CORRUPT", "parse"),
        (4, "CORRUPT", "parse"),
        (5, "CORRUPT", "1/1/1"),
        (6, "CORRUPT", "65536"),
        (7, "CORRUPT", "2"),
        (8, "CORRUPT", "duplicate"),
        (9, "COMPLETED", ""),
    ] {
        let entry = entry(checkpoint);
        assert_eq!(entry["state"], state, "{entry}");
        assert!(why.is_empty() || entry["reason"].as_str().unwrap().contains(why), "{checkpoint}: {why}: {entry}");
    }
    assert_eq!(entry(7)["newerFormat"], true);
    let words = bench.run(3, &["list"]);
    assert!(words.out.contains("1/9/1") && !words.out.contains('\u{1b}'), "{}", words.out);

    for checkpoint in [2, 3, 4, 5, 6, 8] {
        let id = format!("1/{checkpoint}/1");
        let key = format!("{id}/status.json");
        bench.run(6, &["status", &id]);
        all_refuse(&bench, 6, &id, &[&key]);
        bench.run(5, &["mark-failed", &id, "--reason", "x", "--yes"]);
        bench.run(5, &["delete", &id, "--yes"]);
    }
    all_refuse(&bench, 7, "1/7/1", &["newer"]);
    for verb in [
        &["status", "1/7/1"][..],
        &["delete", "1/7/1", "--yes"],
        &["delete", "1/7/1", "--yes", "--corrupt"],
        &["mark-failed", "1/7/1", "--reason", "x", "--yes"],
    ] {
        bench.run(7, verb);
    }
    bench.save("1/7/1").exits(7);
    bench.run(0, &["delete", "1/6/1", "--yes", "--corrupt"]);
    // The copy to restore is chosen among the readable.
    bench.run(0, &["restore", "1/9/any", "--target", bench.path("target").to_str().unwrap()]);
}

/// Changes the metadata; with `fixed`, the status carries the hash of the result.
fn edit(bench: &Bench, id: &str, fixed: bool, change: impl FnOnce(&mut Value)) {
    let path = bench.path(&format!("store/{id}/metadata.json"));
    let mut document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut document);
    let text = serde_json::to_vec_pretty(&document).unwrap();
    fs::write(&path, &text).unwrap();
    if fixed {
        let mut status = bench.status(id);
        status["metadataSha256"] = sha256_hex(&text).into();
        fs::write(bench.path(&format!("store/{id}/status.json")), serde_json::to_vec_pretty(&status).unwrap()).unwrap();
    }
}

type Edit = fn(&mut Value);

/// What a reader finds by itself, hash or no hash.
const UNSOUND: [(&str, Edit); 8] = [
    ("..", |doc| doc["segmentFiles"][0]["name"] = "../x".into()),
    ("name", |doc| doc["segmentFiles"][0]["name"] = "/etc/passwd".into()),
    ("total", |doc| doc["segmentFiles"][0]["size"] = 18.into()),
    ("digest", |doc| doc["segmentFiles"][0]["digest"] = "blake3:00".into()),
    ("crc64", |doc| doc["segmentFiles"][0]["crc64nvme"] = "!".into()),
    ("id", |doc| doc["id"]["node"] = 2.into()),
    ("descriptor", |doc| doc["descriptor"]["checkpointPosition"] = "5".into()),
    ("twice", |doc| {
        let twin = doc["segmentFiles"][0].clone();
        doc["segmentFiles"].as_array_mut().unwrap().push(twin);
        doc["totalFiles"] = 2.into();
        doc["totalBytes"] = 34.into();
    }),
];

#[test]
fn edited_metadata_is_refused_by_its_hash() {
    let bench = Bench::new();
    for (at, (_, change)) in UNSOUND.into_iter().enumerate() {
        let id = format!("1/{}/1", at + 1);
        bench.save(&id).exits(0);
        edit(&bench, &id, false, change);
        all_refuse(&bench, 6, &id, &["metadata.json"]);
    }
    bench.save("1/20/1").exits(0);
    fs::write(bench.path("store/1/20/1/metadata.json"), "").unwrap();
    all_refuse(&bench, 6, "1/20/1", &["metadata.json"]);
    fs::File::create(bench.path("store/1/20/1/metadata.json")).unwrap().set_len(2 << 30).unwrap();
    all_refuse(&bench, 6, "1/20/1", &["metadata.json"]);
    fs::remove_file(bench.path("store/1/20/1/metadata.json")).unwrap();
    all_refuse(&bench, 6, "1/20/1", &["metadata.json"]);
}

#[test]
fn edited_metadata_with_the_right_hash_is_refused_by_what_it_says() {
    let bench = Bench::new();
    for (at, (what, change)) in UNSOUND.into_iter().enumerate() {
        let id = format!("1/{}/1", at + 1);
        bench.save(&id).exits(0);
        edit(&bench, &id, true, change);
        println!("{what}: {}", bench.run(6, &["show", &id]).err.lines().next().unwrap());
        all_refuse(&bench, 6, &id, &[]);
    }
    bench.save("1/20/1").exits(0);
    edit(&bench, "1/20/1", true, |doc| doc["requires"] = serde_json::json!(["encryption"]));
    all_refuse(&bench, 7, "1/20/1", &["encryption"]);
}

#[test]
fn metadata_that_is_sound_but_untrue_is_found_by_the_contents() {
    let bench = Bench::new();
    let size = |doc: &mut Value| {
        doc["segmentFiles"][0]["size"] = 18.into();
        doc["totalBytes"] = 18.into();
    };
    let digest = |doc: &mut Value| {
        let text = doc["segmentFiles"][0]["digest"].as_str().unwrap().to_owned();
        let flipped = if text.ends_with('0') { '1' } else { '0' };
        doc["segmentFiles"][0]["digest"] = format!("{}{flipped}", &text[..text.len() - 1]).into();
    };
    for (id, change) in [("1/1/1", &size as &dyn Fn(&mut Value)), ("1/2/1", &digest)] {
        bench.save(id).exits(0);
        edit(&bench, id, true, change);
        damaged(&bench, id, "segments/a.log", &["expected", "found"]);
    }
}

/// Verify at level content and restore name the key; no target appears.
fn damaged(bench: &Bench, id: &str, file: &str, says: &[&str]) {
    let key = format!("{id}/{file}");
    let ran = bench.run(6, &["verify", id, "--level", "content"]);
    for word in says.iter().chain(&[key.as_str()]) {
        assert!(ran.out.contains(word), "verify: `{word}` in {}", ran.out);
    }
    let target = bench.path("target");
    let ran = bench.run(6, &["restore", id, "--target", target.to_str().unwrap()]);
    for word in says.iter().chain(&[key.as_str(), "hint: "]) {
        assert!(ran.err.contains(word), "restore: `{word}` in {}", ran.err);
    }
    assert!(!target.exists(), "a target appears whole or not at all");
}

#[test]
fn missing_short_and_flipped_contents_are_named_and_a_surplus_is_a_warning() {
    let bench = Bench::new();
    for (checkpoint, says) in
        [(1, &["expected", "found no"][..]), (2, &["17", "16"]), (3, &["crc64nvme"]), (4, &["17", "18"])]
    {
        let id = format!("1/{checkpoint}/1");
        bench.save(&id).exits(0);
        let path = bench.path(&format!("store/{id}/segments/a.log"));
        let mut bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        match checkpoint {
            1 => {}
            2 => fs::write(&path, &bytes[..16]).unwrap(),
            3 => {
                bytes[7] ^= 0x20;
                fs::write(&path, &bytes).unwrap();
            }
            _ => {
                // Longer than it was: the bytes that the metadata names are all there, and yet somebody wrote here.
                bytes.push(b'!');
                fs::write(&path, &bytes).unwrap();
                let ran = bench.run(6, &["verify", &id]);
                assert!(says.iter().all(|word| ran.out.contains(word)), "{}", ran.out);
                continue;
            }
        }
        damaged(&bench, &id, "segments/a.log", says);
    }
    bench.save("1/5/1").exits(0);
    fs::write(bench.path("store/1/5/1/segments/extra"), "x").unwrap();
    for level in ["documents", "objects", "checksums", "content"] {
        let ran = bench.run(0, &["verify", "1/5/1", "--level", level, "--json"]);
        let findings = summary(&ran.out)["findings"].as_array().unwrap().len();
        assert_eq!(findings, usize::from(level != "documents"), "{level}: {}", ran.out);
    }
    bench.run(0, &["restore", "1/5/1", "--target", bench.path("target").to_str().unwrap()]);
    assert!(!files_below(&bench.path("target")).iter().any(|path| path.ends_with("extra")));
}

#[test]
fn a_cluster_document_that_cannot_be_used_stops_everything() {
    let bench = Bench::new();
    bench.save("1/1/1").exits(0);
    let path = bench.path("store/cluster.json");
    let good = fs::read_to_string(&path).unwrap();
    for bad in ["", "{", &good[..good.len() / 2], &good.replace("\"formatVersion\": 1", "\"formatVersion\": 9")] {
        fs::write(&path, bad).unwrap();
        for verb in [&["list"][..], &["status", "1/1/1"], &["delete", "1/1/1", "--yes"], &["init"]] {
            let ran = bench.try_run(verb);
            assert!(matches!(ran.code, 6 | 7), "{verb:?}: {} {}", ran.code, ran.err);
            assert!(ran.err.contains("cluster.json"), "{verb:?}: {}", ran.err);
        }
        assert!(matches!(bench.save("1/2/1").code, 6 | 7));
        bench.untouched("1/2/1");
    }
    fs::remove_file(&path).unwrap();
    bench.save("1/2/1").exits(7);
    bench.run(7, &["init"]);
    bench.run(0, &["init", "--adopt"]);
    assert_eq!(serde_json::from_str::<Value>(&good).unwrap()["clusterId"], bench.status("1/1/1")["clusterId"]);
    bench.save("1/2/1").exits(0);
}
