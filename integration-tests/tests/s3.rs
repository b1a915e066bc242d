//! Backups in a real MinIO: conformance, races, many files and large ones, errors that people make, secrets.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_s3::types::ChecksumMode;
use milepost_integration_tests::minio::Minio;
use milepost_integration_tests::{expect, files_below, long, run, write_random};
use milepost_s3::{S3BackupStore, S3Bucket};
use milepost_store::{BackupStore, StoreSettings};
use milepost_testkit::bucket_suite::{self, SuiteOptions};
use milepost_testkit::fixtures::{same_tree, test_env};
use milepost_testkit::races::one_winner_in_each_round;
use milepost_testkit::store_suite::{self, StoreSuiteOptions};

#[test]
fn bucket_and_store_conform() {
    let Some(server) = Minio::start("bucket_and_store_conform", false) else { return };
    let bucket = server.block(S3Bucket::new(&server.settings(""))).unwrap();
    // MinIO lists uploads by exact key only.
    let options = SuiteOptions { uploads_listed_by_prefix: false, ..SuiteOptions::default() };
    server.block(bucket_suite::conforms(async || bucket.clone(), &options)).unwrap();
    let next = AtomicU64::new(0);
    let fresh = async || {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let settings = server.settings(&format!("base-{n}"));
        let mut engine = StoreSettings::default();
        (engine.part_size, engine.multipart_threshold) = (64 << 10, 128 << 10);
        let store: Arc<dyn BackupStore> =
            Arc::new(S3BackupStore::connect(&settings, engine, test_env(n)).await.unwrap());
        store
    };
    server.block(store_suite::conforms(fresh, &StoreSuiteOptions::default())).unwrap();
}

#[test]
fn of_32_racing_writes_one_wins_in_every_round() {
    let Some(server) = Minio::start("of_32_racing_writes_one_wins_in_every_round", false) else { return };
    let bucket = server.block(S3Bucket::new(&server.settings(""))).unwrap();
    let rounds = if long() { 1000 } else { 100 };
    server.block(one_winner_in_each_round(&bucket, rounds)).unwrap();
    println!("{rounds} rounds of 32 creates, replaces and completions: one winner in each");
}

#[test]
fn many_files_and_a_large_one_go_round_and_leave_nothing() {
    let Some(server) = Minio::start("many_files_and_a_large_one_go_round_and_leave_nothing", false) else { return };
    let (count, large) = if long() { (12_000, 6 << 30) } else { (1_200, 200 << 20) };
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (snapshots, segments) = (home.join("data/snapshots"), home.join("data/segments"));
    std::fs::create_dir_all(&snapshots).unwrap();
    std::fs::create_dir_all(&segments).unwrap();
    for n in 0..count {
        std::fs::write(snapshots.join(format!("{n:06}.sst")), format!("file {n}")).unwrap();
    }
    std::fs::File::create(segments.join("1.log")).unwrap().set_len(large).unwrap();
    let call = |args: &[&str]| server.milepost(home, "prod", args);
    let save = |id: &str| {
        let mut command = call(&["save", id, "--quiet"]);
        command.arg("--snapshots").arg(&snapshots).arg("--segments").arg(&segments);
        command
    };
    let mut planned: Vec<String> =
        files_below(&home.join("data")).iter().map(|path| format!("prod/1/100/2/{}", path.to_str().unwrap())).collect();
    planned.extend(["status.json", "metadata.json"].map(|name| format!("prod/1/100/2/{name}")));
    planned.sort();
    expect(0, save("1/100/2"));
    assert_eq!(server.keys("prod/1/"), planned, "another client sees exactly the layout");
    // Checksums without a download: of the whole object, as the server keeps it.
    expect(0, call(&["verify", "1/100/2", "--level", "checksums", "--quiet"]));
    // The same of the largest, as another client hears it and as the document has it.
    let key = "prod/1/100/2/segments/1.log";
    let head = server.client.head_object().bucket(&server.bucket).key(key).checksum_mode(ChecksumMode::Enabled);
    let head = server.block(head.send()).unwrap();
    let shown: serde_json::Value = serde_json::from_str(&expect(0, call(&["show", "1/100/2", "--json"]))).unwrap();
    let files = shown["metadata"]["segmentFiles"].as_array().unwrap_or_else(|| panic!("{:.300}", shown.to_string()));
    let kept = files.iter().find(|file| file["name"] == "1.log").unwrap()["crc64nvme"].as_str();
    assert!(kept.is_some() && head.checksum_crc64_nvme() == kept, "{kept:?} {head:?}");
    assert_eq!(head.checksum_type().map(|kind| kind.as_str()), Some("FULL_OBJECT"));
    let target = home.join("restored");
    let mut restore = call(&["restore", "1/100/2", "--quiet"]);
    restore.arg("--target").arg(&target);
    expect(0, restore);
    same_tree(home.join("data"), &target, &[".milepost.json"]).unwrap();
    std::fs::remove_dir_all(&target).unwrap();
    expect(0, call(&["delete", "1/100/2", "--yes", "--quiet"]));
    assert_eq!(server.keys("prod/1/"), ["prod/1/100/2/status.json"], "the tombstone alone");
    assert_eq!(server.open_uploads(&planned), 0);
    // A newer one must stand before a tombstone may be forgotten.
    std::fs::remove_file(segments.join("1.log")).unwrap();
    expect(0, save("1/200/2"));
    expect(0, call(&["delete", "1/100/2", "--yes", "--quiet", "--forget=0s"]));
    assert_eq!(server.keys("prod/1/100/"), Vec::<String>::new(), "nothing after it is forgotten");
    println!("{count} files and one of {large} bytes went round");
}

#[test]
fn what_people_get_wrong_is_told_in_time_and_without_secrets() {
    let Some(server) = Minio::start("what_people_get_wrong_is_told_in_time_and_without_secrets", false) else { return };
    let home = tempfile::tempdir().unwrap();
    let list = |change: &dyn Fn(&mut Command)| {
        let mut command = server.milepost(home.path(), "prod", &["list"]);
        change(&mut command);
        let begun = tokio::time::Instant::now();
        let output = run(command);
        // The check at the start gives up after 10 s; the rest is what a busy machine is late by.
        assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!text.contains(&server.secret), "{text}");
        (output.status.code().unwrap(), text)
    };
    let told = |what: (i32, String), code: i32, words: &str| {
        assert!(what.0 == code && what.1.contains(words), "wanted {code} and `{words}`, got {what:?}");
    };
    // A builder's reference is of no use here.
    let set = |_: &mut Command| ();
    let store = |url: String| {
        move |command: &mut Command| {
            command.env("MILEPOST_STORE", &url);
        }
    };
    let (endpoint, bucket) = (&server.endpoint, &server.bucket);
    told(list(&|_| {}), 0, "");
    told(list(&store(format!("s3://mp-no-such-bucket?endpoint={endpoint}&region=us-east-1"))), 2, "never creates it");
    let denied = list(&|command| set(command.env("MILEPOST_S3_SECRET_ACCESS_KEY", "wrong-secret")));
    told(denied, 8, "secret_access_key is wrong");
    told(list(&|command| set(command.env("MILEPOST_S3_ACCESS_KEY_ID", "nobody"))), 8, "does not know access_key_id");
    told(list(&store(format!("s3://{bucket}?endpoint=http://127.0.0.1:1&region=us-east-1"))), 8, "nobody listens");
    // TEST-NET-1: nobody answers at all.
    told(list(&store(format!("s3://{bucket}?endpoint=http://192.0.2.1:9&region=us-east-1"))), 8, "endpoint");
    let tls = endpoint.replace("http://", "https://");
    told(list(&store(format!("s3://{bucket}?endpoint={tls}&region=us-east-1"))), 2, "TLS");
    told(list(&|command| set(command.env("MILEPOST_S3_PATH_STYLE", "perhaps"))), 2, "MILEPOST_S3_PATH_STYLE");
    let config = home.path().join("m.toml");
    std::fs::write(&config, format!("[s3]\nsecret_access_key = \"{}\nregion = 1", server.secret)).unwrap();
    told(list(&|command| set(command.arg("--config").arg(&config))), 2, "does not parse");
}

#[test]
fn no_secret_is_in_output_logs_json_or_arguments() {
    let Some(server) = Minio::start("no_secret_is_in_output_logs_json_or_arguments", false) else { return };
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir(home.join("log")).unwrap();
    write_random(&home.join("log/1.log"), 1, 20 << 20);
    let calls: [&[&str]; 7] = [
        &["init"],
        &["save", "1/100/2", "--segments", "log", "--part-size", "5Mi", "--multipart-threshold", "6Mi"],
        &["list"],
        &["verify", "1/100/2", "--level", "content"],
        &["restore", "1/100/2", "--target", "restored"],
        &["delete", "1/100/2", "--yes"],
        &["restore", "1/100/2", "--target", "again"],
    ];
    for (at, args) in calls.iter().enumerate() {
        let mut command = server.milepost(home, "prod", args);
        command.args(["-vvv", "--json"]).current_dir(home);
        let arguments = format!("{:?}", command.get_args().collect::<Vec<_>>());
        let output = run(command);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.success(), at < 6, "{args:?}: {text}");
        assert!(!text.contains(&server.secret), "{args:?} shows the secret");
        assert!(!arguments.contains(&server.secret));
        // Else the search would find nothing because nothing is logged.
        assert!(text.contains("\"log\""), "{args:?} logged nothing: {text}");
    }
}

#[test]
fn the_demo_runs_on_it() {
    let Some(server) = Minio::start("the_demo_runs_on_it", false) else { return };
    let home = tempfile::tempdir().unwrap();
    let mut demo = server.milepost(home.path(), "", &["demo", "--store", &server.url("demo")]);
    demo.arg("--dir").arg(home.path().join("demo"));
    let out = expect(0, demo);
    assert!(out.contains("every hash is that of the lost data"), "{out}");
    assert!(server.keys("demo/").iter().any(|key| key.ends_with("status.json")));
}
