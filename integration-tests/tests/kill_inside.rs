//! kill -9 inside one large file: the resume keeps every part that the store holds, and sends the others only.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a killer of processes waits in real time")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use milepost_core::{Layout, ObjectKey};
use milepost_integration_tests::minio::Minio;
use milepost_integration_tests::{expect, long, milepost, run, seed, start, summary, write_random};
use milepost_s3::S3Bucket;
use milepost_store::DirectoryBucket;
use milepost_store::bucket::{Bucket, PartInfo, UploadQuery};

const MIB: u64 = 1024 * 1024;
const ID: &str = "1/100/2";

/// One file of this length, in parts of this length; killed when the store holds so many of them.
struct Sizes {
    file: u64,
    part: u64,
    parts: usize,
    /// Keeps a small file from being there at once.
    rate: Option<&'static str>,
}

fn sizes() -> Sizes {
    if long() {
        Sizes { file: 4096 * MIB, part: 8 * MIB, parts: 150, rate: None }
    } else {
        Sizes { file: 83 * MIB + 5, part: 5 * MIB, parts: 4, rate: Some("24M") }
    }
}

fn key(base: &str) -> ObjectKey {
    let name = milepost_core::FileName::new("1.log").unwrap();
    Layout::new(base).unwrap().file(ID.parse().unwrap(), milepost_core::FileSetKind::Segments, &name)
}

/// The parts of the file that the store holds.
async fn held(bucket: &impl Bucket, key: &ObjectKey) -> Vec<PartInfo> {
    let mut parts = Vec::new();
    for open in bucket.list_uploads(UploadQuery::Key(key.clone())).await.unwrap() {
        // Gone meanwhile: then it holds none.
        parts.extend(bucket.list_parts(key, &open.upload).await.unwrap_or_default());
    }
    parts
}

/// Saves, kills when enough parts are there, counts them, resumes.
fn killed_inside(home: &Path, call: &dyn Fn(&[&str]) -> Command, held: &dyn Fn() -> Vec<PartInfo>) {
    let sizes = sizes();
    let (snapshots, segments) = (home.join("data/snapshots"), home.join("data/segments"));
    std::fs::create_dir_all(&snapshots).unwrap();
    std::fs::create_dir_all(&segments).unwrap();
    write_random(&segments.join("1.log"), seed(), sizes.file);
    let part = sizes.part.to_string();
    let save = |more: &[&str]| {
        let mut command = call(&["save", ID, "--json", "--part-size", &part]);
        command.args(more).arg("--snapshots").arg(&snapshots).arg("--segments").arg(&segments);
        command
    };
    let first = sizes.rate.map_or_else(Vec::new, |rate| vec!["--limit-rate", rate]);
    let mut child = start(save(&first));
    for _ in 0..3000 {
        if held().len() >= sizes.parts {
            break;
        }
        assert!(child.try_wait().unwrap().is_none(), "the save ended before it was killed");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = held();
    let bytes: u64 = kept.iter().map(|part| part.size).sum();
    assert!(kept.len() >= sizes.parts && bytes < sizes.file, "{} parts of {bytes} bytes", kept.len());
    let report = summary(&expect(0, save(&["--resume"])));
    let sent = report["bytesSent"].as_u64().unwrap();
    println!("{} parts of {bytes} bytes were there, {sent} of {} bytes were sent", kept.len(), sizes.file);
    // A part whose request was on its way when the client died may have landed behind the count.
    assert!(sent <= sizes.file - bytes, "parts were sent again: {report}");
    assert!(sent + bytes + 8 * sizes.part >= sizes.file, "less was sent than was missing: {report}");
    assert!(held().is_empty(), "an upload is open");
    expect(0, call(&["verify", ID, "--level", "content"]));
}

#[test]
fn parts_in_a_directory_are_not_sent_again() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let store = home.join("store");
    let call = |args: &[&str]| {
        let mut command = milepost(home, args);
        command.arg("--store").arg(&store);
        command
    };
    assert_eq!(run(call(&["init"])).status.code(), Some(0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bucket = DirectoryBucket::open(&store, milepost::system::env().unwrap()).unwrap();
    killed_inside(home, &call, &|| runtime.block_on(held(&bucket, &key(""))));
}

#[test]
fn parts_on_a_server_are_not_sent_again() {
    let Some(server) = Minio::start("parts_on_a_server_are_not_sent_again", false) else { return };
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let call = |args: &[&str]| server.milepost(home, "prod", args);
    expect(0, call(&["init"]));
    let bucket = server.block(S3Bucket::new(&server.settings("prod"))).unwrap();
    killed_inside(home, &call, &|| server.block(held(&bucket, &key("prod"))));
}
