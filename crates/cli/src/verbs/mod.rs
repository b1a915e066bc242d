//! One file for each verb. Each gives an exit code: an answer such as "there is none" is no error, but no success either.

mod cat;
pub(crate) mod cluster;
mod config;
mod copy;
mod delete;
mod doctor;
mod hold;
mod init;
mod journal;
pub(crate) mod list;
mod ls;
mod mark_failed;
mod probe;
mod prune;
mod remove_source;
mod restore;
mod restore_node;
mod save;
mod shell;
mod show;
pub(crate) mod stats;
mod status;
mod verify;
mod verify_many;
pub(crate) mod watch;

use milepost::Result;

use crate::app::App;
use crate::args::Verb;

/// An answer without an error has one of these exit codes.
pub(crate) mod exit {
    pub(crate) const OK: u8 = 0;
    /// A listing with corrupt entries, or a prune of which something failed.
    pub(crate) const PARTIAL: u8 = 3;
    /// The status of an absent backup.
    pub(crate) const NOT_FOUND: u8 = 4;
    /// A verification with findings.
    pub(crate) const CORRUPT: u8 = 6;
    /// An unfit store.
    pub(crate) const REFUSED: u8 = 7;
    /// A watch that a signal ended; which one, `main` knows.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// Runs a verb.
///
/// # Errors
/// Those of the store, named by the verb.
pub(crate) async fn run(app: &App, verb: Verb) -> Result<u8> {
    match verb {
        Verb::Save(args) => save::run(app, *args).await,
        Verb::Status(args) => status::run(app, args.backup.choice).await,
        Verb::Show(args) => show::run(app, args.backup.choice).await,
        Verb::Ls(args) => ls::run(app, args.backup.choice).await,
        Verb::Cat(args) => cat::run(app, args).await,
        Verb::List(args) => list::run(app, &args).await,
        Verb::Stats(args) => stats::run(app, &args).await,
        Verb::Cluster(args) => cluster::run(app, &args).await,
        Verb::Restore(args) => restore::run(app, args).await,
        Verb::RestoreNode(args) => restore_node::run(app, *args).await,
        Verb::Verify(args) => verify::run(app, *args).await,
        Verb::MarkFailed(args) => mark_failed::run(app, args).await,
        Verb::Delete(args) => delete::run(app, args).await,
        Verb::Prune(args) => prune::run(app, *args).await,
        Verb::Hold(args) => hold::hold(app, args).await,
        Verb::Release(args) => hold::release(app, args).await,
        Verb::Copy(args) => copy::run(app, *args).await,
        Verb::Journal(args) => journal::run(app, *args).await,
        Verb::Init(args) => init::run(app, args).await,
        Verb::Probe => probe::run(app).await,
        Verb::Watch(args) => watch::run(app, &args).await,
        Verb::Doctor(args) => doctor::run(app, &args).await,
        Verb::Config(_) => config::show(app),
        Verb::Completions(args) => shell::completions(app, &args),
        Verb::Man(args) => shell::man(app, &args),
        Verb::Demo(args) => crate::demo::run(app, &args.dir).await,
    }
}

#[cfg(test)]
#[path = "verbs_tests.rs"]
mod tests;
