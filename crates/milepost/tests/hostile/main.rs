//! Store URLs that anyone may have written, by the thousand.
#![cfg(feature = "s3")]
#![allow(clippy::print_stderr, reason = "the counts are for people")]

mod target;

use milepost_testkit::hostile::Campaign;
use target::{SECRET, url};

#[test]
fn store_urls() {
    let secrets = [format!("me:{SECRET}@"), format!("&secret_key={SECRET}"), format!("?token={SECRET}")];
    let corpus = [
        "backups/here",
        "file:///var/my%20backups",
        "memory:t1",
        "s3://backups/prod/eu%20one/?endpoint=http://localhost:9000&region=eu-central-1&path_style=true",
        "s3://backups",
    ];
    let words =
        ["s3://", "http://", "https%3A%2F%2F", "endpoint", "region", "path_style", "://", "[::1]", "xn--", "..", "%2F"];
    let words = words.into_iter().chain(secrets.iter().map(String::as_str));
    let report = Campaign::new("url", corpus).words(words).longest(9 * 1024).run(25_000, url).unwrap();
    assert!(report.kinds > 25, "{report}");
    eprintln!("{report}");
}
