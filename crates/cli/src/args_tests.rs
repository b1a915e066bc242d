use clap::CommandFactory as _;

use super::*;

fn parse(args: &[&str]) -> Result<Cli, String> {
    Cli::try_parse_from([&["milepost"], args].concat()).map_err(|error| error.to_string())
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn help_fits_80_columns() {
    let mut command = Cli::command().term_width(WIDTH);
    command.build();
    let mut pages = vec![command.render_help().to_string(), command.render_long_help().to_string()];
    let names: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    for name in names.iter().filter(|name| *name != "help") {
        let verb = command.find_subcommand_mut(name).unwrap();
        pages.push(verb.render_help().to_string());
    }
    for page in pages {
        for line in page.lines() {
            assert!(line.chars().count() <= WIDTH, "{}: {line}", line.chars().count());
        }
    }
}

#[test]
fn bad_ids_show_the_form() {
    for id in ["01/1/1", "1/1", "1/1/99999999999", "a/b/c", "", "1/1/1/1", "1/-1/1"] {
        for verb in ["status", "delete", "show"] {
            let error = parse(&[verb, "--", id]).unwrap_err();
            assert!(error.contains("PARTITION/CHECKPOINT/NODE"), "{verb} {id}: {error}");
        }
    }
    assert!(parse(&["delete", "1/latest/any"]).unwrap_err().contains("takes one backup"));
    assert!(parse(&["status", "1/latest/any"]).is_ok());
}

#[test]
fn global_flags_may_stand_before_and_behind_the_verb() {
    for args in [["--store", "memory:", "list", "--json"], ["list", "--json", "--store", "memory:"]] {
        let cli = parse(&args).unwrap();
        assert!(cli.global.json);
        assert_eq!(cli.layer().get("store").map(String::as_str), Some("memory:"));
    }
    let cli = parse(&["save", "1/1/1", "--limit-rate", "10M", "--digest", "none", "--journal-dir", "/j"]).unwrap();
    let layer = cli.layer();
    assert_eq!(layer.get("rate_limit").map(String::as_str), Some("10M"));
    assert_eq!(layer.get("digest").map(String::as_str), Some("none"));
    assert_eq!(layer.get("journal_dir").map(String::as_str), Some("/j"));
    assert!(parse(&["list", "-q", "-v"]).is_err());
}

#[test]
fn values_are_checked_while_parsing() {
    assert!(parse(&["save", "1/1/1", "--log-range", "9..1"]).unwrap_err().contains("ends before"));
    assert!(parse(&["save", "1/1/1", "--log-range", "9"]).unwrap_err().contains("FIRST..LAST"));
    assert!(parse(&["save", "1/1/1", "--property", "novalue"]).unwrap_err().contains("KEY=VALUE"));
    assert!(parse(&["save", "1/1/1", "--ignore-journal"]).unwrap_err().contains("--resume"));
    assert!(parse(&["list", "--limit", "0"]).is_err());
    assert!(parse(&["list", "--checkpoint", "007"]).unwrap_err().contains("without leading zeros"));
    assert!(parse(&["init", "--first-partition", "2"]).is_err());
    assert!(parse(&["restore", "1/1/1"]).unwrap_err().contains("--target"));
    let forget = |args: &[&str]| match parse(args).unwrap().verb {
        Verb::Delete(delete) => delete.forget,
        _ => unreachable!(),
    };
    assert_eq!(forget(&["delete", "1/1/1"]), None);
    assert_eq!(forget(&["delete", "1/1/1", "--forget"]), Some(Duration::from_secs(86_400)));
    assert_eq!(forget(&["delete", "1/1/1", "--forget=0"]), Some(Duration::ZERO));
}
