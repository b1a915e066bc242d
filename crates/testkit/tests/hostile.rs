//! Documents, ids, names and keys that somebody edited, by the thousand; and the targets themselves, which must be able to
//! find fault.

#![allow(clippy::print_stderr, clippy::unwrap_used, reason = "the counts are for people; helpers of tests may panic")]

use std::path::Path;

use milepost_testkit::hostile::{Campaign, Caught, Report, Verdict, targets};

/// The golden files whose names begin so.
fn golden(begin: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/golden/v1");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let named = files.into_iter().filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(begin));
    named.map(|path| std::fs::read(path).unwrap()).collect()
}

/// What a document may say besides what the golden files do.
const WORDS: [&str; 16] = [
    "\"requires\"",
    "\"object\"",
    "\"formatVersion\": 1",
    "\"formatVersion\": 2",
    "\"COMPLETED\"",
    "\"IN_PROGRESS\"",
    "\"FAILED\"",
    "\"DELETING\"",
    "\"DELETED\"",
    "\"metadataSha256\"",
    "\"holds\"",
    "\"../x\"",
    "\"a/b\"",
    "\"A\"",
    "\"2026-11-21T10:00:00Z\"",
    "\"9999-12-31T23:59:59.999999999Z\"",
];

fn campaign(name: &'static str, executions: u64, target: fn(&[u8]) -> Verdict) -> Result<Report, Caught> {
    let mut corpus = golden(name);
    // The highest revisions that there may be, which chance would seldom put there.
    let high = |text: &[u8], revision: u64| {
        let lines = String::from_utf8_lossy(text).into_owned();
        let line = |line: &str| match line.strip_prefix("  \"revision\": ") {
            Some(old) if !old.starts_with('"') => format!("  \"revision\": {revision},\n"),
            _ => format!("{line}\n"),
        };
        lines.lines().map(line).collect::<String>().into_bytes()
    };
    let more: Vec<Vec<u8>> =
        corpus.iter().flat_map(|text| (1..=6).map(|below| high(text, (1 << 53) - below))).collect();
    corpus.extend(more);
    assert!(!corpus.is_empty(), "no golden file of {name}");
    let report = Campaign::new(name, corpus).words(WORDS).run(executions, target)?;
    eprintln!("{report}");
    Ok(report)
}

#[test]
fn status_documents() {
    assert!(campaign("status", 12_000, targets::status).unwrap().kinds > 60);
}

#[test]
fn metadata_documents() {
    assert!(campaign("metadata", 12_000, targets::metadata).unwrap().kinds > 30);
}

#[test]
fn cluster_documents() {
    assert!(campaign("cluster", 12_000, targets::cluster).unwrap().kinds > 25);
}

#[test]
fn seals() {
    assert!(campaign("seal", 12_000, targets::seal).unwrap().kinds > 25);
}

#[test]
fn results_of_probes() {
    assert!(campaign("probe", 12_000, targets::probe).unwrap().kinds > 25);
}

#[test]
fn ids_and_keys() {
    let corpus = [
        "1/100/2",
        "18446744073709551615",
        "4294967295/18446744073709551615/4294967295/status.json",
        "1/100/2/metadata.json.sig",
        "1/100/2/snapshots/a/b.sst",
        "prod/eu//prod/eu/1/100/2/segments/1.log",
        "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
        "jYEL4RPB2n8=",
        "0b9f-default_1.x",
    ];
    let words = ["status.json", "metadata.json", "snapshots", "segments", "_milepost", "sha256:", "1/100/2/"];
    let report = Campaign::new("keys", corpus).words(words).longest(4096).run(40_000, targets::keys).unwrap();
    eprintln!("{report}");
    assert!(report.kinds > 20, "{report}");
}

#[test]
fn file_names() {
    let corpus = ["000001.sst\nCURRENT\nsub/000002.sst", "a\nb/c\nd e\né", "straße\nς\nİ\nﬁ"];
    let words = ["STRASSE", "σ", "Σ", "i\u{307}", "fi", "K", "k", "a/b", "A", "e\u{301}", "x\n", "\n"];
    let report = Campaign::new("names", corpus).words(words).longest(4096).run(20_000, targets::names).unwrap();
    eprintln!("{report}");
    assert!(report.kinds > 20, "{report}");
}

/// What hostile bytes make this process hold is bounded: all campaigns of this program together, side by side, stay below this.
/// By the kernel's own count, where there is one.
#[test]
fn memory_is_bounded() {
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    };
    let Some(before) = peak() else {
        eprintln!("NOT RUN: memory_is_bounded: no /proc/self/status with VmHWM here");
        return;
    };
    // Long inputs of many items, the worst that a cap of 64 KiB and one of 96 KiB let in.
    for (target, begin) in [(targets::status as fn(&[u8]) -> Verdict, "status"), (targets::metadata, "metadata")] {
        Campaign::new("memory", golden(begin)).run(1_000, target).unwrap();
    }
    let after = peak().unwrap();
    eprintln!("at most {} MiB held, {} MiB before", after / 1024, before / 1024);
    assert!(after < 256 * 1024, "{after} kB");
}

/// Each target sees what it is there for: a reader that lets through what it must not is found out.
#[test]
fn a_careless_reader_is_found_out() {
    let careless = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        // As if `..` were fine in the middle of a name.
        match text.strip_prefix("../") {
            None => targets::names(bytes),
            Some(_) => Err("leaves its root".to_owned()),
        }
    };
    let caught = Campaign::new("careless", ["a/b"]).words(["../"]).run(50_000, careless).unwrap_err();
    assert_eq!(caught.input, b"../");
    // A document whose number is rounded on its way.
    let rounding = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).replace("\"18446744073709551615\"", "\"18446744073709551616\"");
        match targets::seal(bytes)?.as_str() {
            "a document" if targets::seal(text.as_bytes())? != "a document" => Err("reads back as another".to_owned()),
            kind => Ok(kind.to_owned()),
        }
    };
    assert!(Campaign::new("rounding", golden("seal")).run(50_000, rounding).is_err());
}
