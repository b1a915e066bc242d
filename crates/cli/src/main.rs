//! The `milepost` command: save, list, restore, verify and delete backups from a shell.
//!
//! This file wires: arguments, settings, logging, signals, runtime, exit code. Data goes to stdout, everything else to
//! stderr. With `--json`, both are machine-readable: a document (queries) or JSON lines (long work)
//! on stdout, `error` and `log` lines on stderr.

mod app;
mod args;
mod args_copy;
mod args_journal;
mod args_look;
mod args_ops;
mod args_save;
mod args_verify;
mod args_words;
mod collect;
mod config;
mod config_s3;
mod config_show;
mod demo;
mod failure;
#[cfg(test)]
mod fake;
mod out;
#[cfg(test)]
mod reference;
mod render;
mod resolve;
mod secrets;
mod signals;
mod tuning;
mod tuning_s3;
mod units;
mod verbs;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind as ClapErrorKind;
use milepost::{Error, ErrorKind, OpContext, Result};

use crate::app::{App, Interactive};
use crate::args::Cli;
use crate::config::Layers;
use crate::out::{Out, Stderr};
use crate::render::table::{Style, colours_allowed};

/// Buffers are made by one thread and freed by another all the time, which the C library's allocator is bad at: a quarter of the CPU
/// of many small files, see docs/performance.md. A broker that embeds the library keeps its own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let err = Stderr::default();
    let behind_the_name = arguments.get(1..).unwrap_or_default();
    // Known before clap, whose own complaints must be JSON too.
    let json = behind_the_name.iter().any(|argument| argument == "--json");
    if let Err(error) = secrets::check(behind_the_name) {
        return tell(&err, &error, json, None);
    }
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return unparsed(&err, &error, json),
    };
    render::log::start(render::log::level(cli.global.quiet, cli.global.verbose), json, err.clone());
    let caught = signals::Caught::default();
    match run(cli, &err, &caught) {
        Ok(verbs::exit::INTERRUPTED) => ExitCode::from(128 + caught.number().unwrap_or(2)),
        Ok(code) => ExitCode::from(code),
        Err(error) => tell(&err, &error, json, caught.number()),
    }
}

fn run(cli: Cli, err: &Stderr, caught: &signals::Caught) -> Result<u8> {
    let layers = layers(&cli)?;
    let app = App {
        out: Out::new(std::io::stdout()),
        err: err.clone(),
        style: Style::detect(std::io::stdout().is_terminal(), variable),
        json: cli.global.json,
        quiet: cli.global.quiet,
        interactive: Interactive::detect(),
        cx: OpContext::new(),
        config: layers.resolve(milepost::system::journal_dir())?,
        env: milepost::system::env()?,
        opened: None,
    };
    let no_threads = |error| Error::new(ErrorKind::Internal, format!("no threads to work with: {error}"));
    let runtime = runtime(app.config.request_threads).map_err(no_threads)?;
    tracing::debug!(verb = cli.verb.name(), "begins");
    let leaves_work = !matches!(cli.verb, args::Verb::Watch(_));
    signals::listen(app.cx.clone(), leaves_work.then(|| app.err.clone()), caught).map_err(no_threads)?;
    let result = runtime.block_on(verbs::run(&app, cli.verb));
    // A thread that waits for an answer on stdin would hold up the end for ever.
    runtime.shutdown_background();
    result
}

/// One thread for all requests: what it does not pay is the waking of another one for each of them, a fifth of what small files cost.
fn runtime(request_threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = match request_threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(request_threads).enable_all().build()
}

fn layers(cli: &Cli) -> Result<Layers> {
    let environment = config::environment(|name| std::env::var_os(name))?;
    let file_path: Option<PathBuf> = cli
        .global
        .config
        .clone()
        .or_else(|| std::env::var_os("MILEPOST_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from));
    let file = file_path.as_deref().map(config::read_file).transpose()?.unwrap_or_default();
    Ok(Layers { flags: cli.layer(), environment, file, file_path })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Help and version go to stdout and are a success; mistakes go to stderr.
fn unparsed(err: &Stderr, error: &clap::Error, json: bool) -> ExitCode {
    match error.kind() {
        ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion => {
            let text = if std::io::stdout().is_terminal() && colours_allowed(variable) {
                error.render().ansi().to_string()
            } else {
                error.render().to_string()
            };
            match Out::new(std::io::stdout()).line(text.trim_end()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => tell(err, &error, json, None),
            }
        }
        _ if json => {
            let text = error.render().to_string();
            let said: Vec<&str> = text
                .lines()
                .map(str::trim)
                .take_while(|line| !line.starts_with("Usage:"))
                .filter(|l| !l.is_empty())
                .collect();
            let error = Error::invalid_input(said.join(" ").trim_start_matches("error: "))
                .with_hint("`milepost help` shows the usage");
            tell(err, &error, true, None)
        }
        _ => {
            err.text(&error.render().to_string());
            ExitCode::from(2)
        }
    }
}

fn tell(err: &Stderr, error: &Error, json: bool, signal: Option<u8>) -> ExitCode {
    let code = failure::exit_code(error, signal);
    if json {
        err.text(&format!("{}\n", failure::json(error, code)));
    } else {
        let colour = std::io::stderr().is_terminal() && colours_allowed(variable);
        err.text(&failure::words(error, colour));
    }
    ExitCode::from(code)
}
