//! Configuration files that somebody edited, by the thousand.
#![allow(clippy::print_stderr, reason = "the counts are for people")]

use std::path::Path;

use milepost_testkit::hostile::{Campaign, Verdict, fit_to_show, kind_of};

use super::*;

const SECRET: &str = "hunter2doNotShow";

/// Everything that the file may say, and a secret.
fn example() -> String {
    format!(
        "store = \"s3://backups/prod\"\ncluster = \"prod\"\nconcurrency = 8\npart_size = \"8Mi\"\nrate_limit = \"10M\"\n\
         journal_dir = \"none\"\ndigest = \"blake3\"\nretry_budget = \"30s\"\nsingle_writer = false\nfile_priority = \"low\"\n\n\
         [s3]\nendpoint = \"http://127.0.0.1:9000\"\npath_style = true\nwire_checksum = \"crc32c\"\nsse = \"none\"\n\
         attempt_timeout = \"60s\"\naccess_key_id = \"AKIAEXAMPLE\"\nsecret_access_key = \"{SECRET}\"\n"
    )
}

/// The file, what follows from it, and the words about it.
fn configuration(bytes: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok("no UTF-8".to_owned()) };
    // A value is never repeated. A key is: a secret that lost its quotes or its equals sign may have become one.
    let is_value = text.matches(SECRET).count() == text.matches(&format!("secret_access_key = \"{SECRET}\"\n")).count();
    let refused = |error: &Error| {
        let words = format!("{error} {}", error.hint().unwrap_or_default());
        fit_to_show(&words, 2_000)?;
        if is_value && words.contains(SECRET) {
            return Err(format!("repeats the secret: {words}"));
        }
        Ok(kind_of(&words))
    };
    let path = Path::new("m.toml");
    let file = match parse_file(text, path) {
        Ok(file) => file,
        Err(error) => return refused(&error),
    };
    let known: usize = settings().count();
    if file.len() > known {
        return Err(format!("{} settings, more than there are", file.len()));
    }
    let layers = Layers { file, file_path: Some(path.to_owned()), ..Layers::default() };
    match layers.resolve(None) {
        Err(error) => refused(&error),
        Ok(config) if format!("{config:?}").contains(SECRET) && is_value => Err("Debug shows the secret".to_owned()),
        Ok(config) => Ok(match config.store.as_ref().map(|(url, _)| config.store_url(url)) {
            Some(Err(error)) => refused(&error)?,
            Some(Ok(_)) => "a store".to_owned(),
            None => "no store".to_owned(),
        }),
    }
}

#[test]
fn configuration_files_that_somebody_edited() {
    let example = example();
    assert_eq!(configuration(example.as_bytes()), Ok("a store".to_owned()));
    let words = SETTINGS.iter().chain(config_s3::SETTINGS).map(|(name, _)| name.trim_start_matches(config_s3::PREFIX));
    let words =
        words.chain(["[s3]\n", "\n", "'''", "\"\"\"", "inf", "nan", "1979-05-27", "10G", "5m", "\"none\"", "= \"\"\n"]);
    let campaign = Campaign::new("configuration", [example.as_str(), "", "[s3]\n"]).words(words).longest(16 * 1024);
    let report = campaign.run(6_000, configuration).unwrap();
    assert!(report.kinds > 30, "{report}");
    eprintln!("{report}");
}
