//! docs/guarantees.md says what the code says, and names only tests that there are.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use milepost_testkit::invariants::Invariant;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    fs::read_to_string(root().join("docs/guarantees.md")).unwrap()
}

/// Words without line breaks, as a reader sees them.
fn flowing(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The `path.rs::name` that a text names between backticks.
fn named_tests(text: &str) -> BTreeSet<(String, String)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|quoted| quoted.split_once(".rs::"))
        .map(|(path, name)| (format!("{path}.rs"), name.to_owned()))
        .collect()
}

/// Is `name` a test in this source: a function with an attribute that makes it one, or a name in a table of a macro?
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        let named = function.is_some_and(|rest| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with('(')));
        let attributes =
            || lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("///"));
        let in_table = line.strip_prefix(name).is_some_and(|rest| rest.starts_with(": ") && rest.contains("=>"));
        (named && attributes().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))) || in_table
    })
}

#[test]
fn every_test_that_is_named_is_there() {
    let tests = named_tests(&page());
    assert!(tests.len() >= 30, "{} tests are named", tests.len());
    let mut missing = Vec::new();
    for (path, name) in tests {
        match fs::read_to_string(root().join(&path)) {
            Ok(source) if has_test(&source, &name) => {}
            Ok(_) => missing.push(format!("{path} has no test {name}")),
            Err(error) => missing.push(format!("{path}: {error}")),
        }
    }
    assert!(missing.is_empty(), "docs/guarantees.md: {}", missing.join("\n"));
}

#[test]
fn every_invariant_is_there_word_by_word_and_has_tests() {
    let page = page();
    for invariant in Invariant::ALL {
        let section =
            page.split("\n### ").find(|section| section.starts_with(invariant.label())).unwrap_or_else(|| {
                panic!("docs/guarantees.md has no section {invariant}");
            });
        assert!(flowing(section).contains(invariant.promise()), "{invariant} is not worded as in the code: {section}");
        assert!(named_tests(section).len() >= 2, "{invariant} names no two tests: {section}");
    }
}

#[test]
fn what_is_no_test_is_not_taken_for_one() {
    let source = "/// Doc.\n#[test]\nfn one() {}\nfn two() {}\n#[tokio::test(start_paused = true)]\nasync fn three() {}\n// fn four()";
    for (name, there) in [("one", true), ("two", false), ("three", true), ("four", false), ("thre", false)] {
        assert_eq!(has_test(source, name), there, "{name}");
    }
    assert_eq!(named_tests("see `a/b.rs::c` and `d`").len(), 1);
}
