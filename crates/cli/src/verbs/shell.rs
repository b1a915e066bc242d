//! `completions` and `man`: what a shell and `man` know of the command line, made from its own definition.

use clap::CommandFactory as _;
use milepost::{Error, ErrorKind, Result};

use super::exit;
use crate::app::App;
use crate::args::Cli;
use crate::args_look::{Completions, Man};

/// # Errors
/// Target where stdout cannot be written.
pub(super) fn completions(app: &App, args: &Completions) -> Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "milepost", &mut text);
    app.out.bytes(&text)?;
    Ok(exit::OK)
}

/// # Errors
/// InvalidInput for a verb that there is not; Target where stdout cannot be written.
pub(super) fn man(app: &App, args: &Man) -> Result<u8> {
    let mut command = Cli::command();
    // Global flags reach the verbs' pages.
    command.build();
    let mut page = &command;
    for word in &args.verb {
        let unknown = || {
            Error::invalid_input(format!("there is no verb `{}`", args.verb.join(" ")))
                .with_hint("`milepost help` lists the verbs")
        };
        page = page.get_subcommands().find(|verb| verb.get_name() == word).ok_or_else(unknown)?;
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(page.clone())
        .render(&mut text)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("the page cannot be made: {error}")))?;
    app.out.bytes(&text)?;
    Ok(exit::OK)
}
