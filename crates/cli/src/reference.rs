//! `docs/cli-reference.md`, made from the command line's own definition, and held against it.
//!
//! `MILEPOST_REWRITE=1` writes the page anew instead of comparing.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, ArgAction, Command, CommandFactory as _};

use crate::args::Cli;

const HEAD: &str = "\
# Reference of the command line

Generated from the definition of the command line; do not edit. `MILEPOST_REWRITE=1 scripts/test -p milepost-cli reference`
writes it anew. Screens, exit codes and JSON are in [cli.md](cli.md).
";

fn page() -> String {
    let root = Cli::command();
    let mut text = HEAD.to_owned();
    for verb in root.get_subcommands() {
        section(&mut text, verb, "milepost", 2);
    }
    text.push_str("\n## Flags of every verb\n");
    for heading in [None, Some("Settings"), Some("S3 settings")] {
        let _ = match heading {
            Some(heading) => write!(text, "\n### {heading}\n"),
            None => write!(text, ""),
        };
        table(&mut text, root.get_arguments().filter(|arg| arg.get_help_heading() == heading));
    }
    text
}

fn section(text: &mut String, verb: &Command, above: &str, depth: usize) {
    let name = format!("{above} {}", verb.get_name());
    let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = verb.clone().bin_name(&name).term_width(0).render_usage().to_string();
    let usage: Vec<&str> = usage.trim_start_matches("Usage: ").split_whitespace().collect();
    let title = name.trim_start_matches("milepost ");
    let _ = write!(text, "\n{} {title}\n\n{about}.\n\n```text\n{}\n```\n", "#".repeat(depth), usage.join(" "));
    table(text, verb.get_arguments());
    if let Some(more) = verb.get_after_help() {
        let _ = write!(text, "\n```text\n{more}\n```\n");
    }
    for inner in verb.get_subcommands() {
        section(text, inner, &name, depth + 1);
    }
}

fn table<'a>(text: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    let rows: Vec<String> = arguments.filter(|arg| !arg.is_hide_set()).map(row).collect();
    if !rows.is_empty() {
        let _ = write!(text, "\n| argument | what |\n|---|---|\n{}", rows.concat());
    }
}

fn row(arg: &Arg) -> String {
    let values = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let value = match arg.get_value_names() {
        Some(names) if values => names.iter().map(|name| format!("<{name}>")).collect::<Vec<_>>().join(" "),
        _ => String::new(),
    };
    let long = arg.get_long().map(|long| format!("--{long}"));
    let short = arg.get_short().map(|short| format!("-{short}"));
    let flags: Vec<String> = [short, long].into_iter().flatten().collect();
    let mut spelled = flags.join(", ");
    if !value.is_empty() {
        let gap = if spelled.is_empty() { "" } else { " " };
        spelled.push_str(&format!("{gap}{value}"));
    }
    let mut what = arg.get_help().map(ToString::to_string).unwrap_or_default().replace('\n', " ");
    let words: Vec<String> =
        arg.get_possible_values().iter().filter(|_| values).map(|value| value.get_name().to_owned()).collect();
    if !words.is_empty() {
        what.push_str(&format!(" [{}]", words.join(", ")));
    }
    let defaults: Vec<String> =
        arg.get_default_values().iter().filter(|_| values).map(|value| value.to_string_lossy().into_owned()).collect();
    if !defaults.is_empty() {
        what.push_str(&format!(" [default: {}]", defaults.join(", ")));
    }
    if arg.is_required_set() {
        what.push_str(" (required)");
    }
    format!("| `{spelled}` | {} |\n", what.replace('|', "\\|"))
}

#[test]
fn the_reference_is_that_of_the_command_line() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli-reference.md");
    let page = page();
    if std::env::var_os("MILEPOST_REWRITE").is_some_and(|value| value == "1") {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(page.lines()).find(|(found, made)| found != made);
    assert!(
        found == page,
        "docs/cli-reference.md is stale; MILEPOST_REWRITE=1 writes it anew. First difference: {differs:?}"
    );
}

#[test]
fn every_verb_and_flag_is_in_it() {
    let page = page();
    let root = Cli::command();
    for verb in root.get_subcommands() {
        assert!(page.contains(&format!("\n## {}\n", verb.get_name())), "{}", verb.get_name());
        for long in verb.get_arguments().chain(root.get_arguments()).filter_map(Arg::get_long) {
            assert!(page.contains(&format!("--{long}")), "{long}");
        }
    }
}
