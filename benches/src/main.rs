//! The measurements, see `docs/performance.md`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program's own output")]

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use milepost_benches::run::{Options, Run};
use milepost_benches::sample::Spec;
use milepost_benches::{Context as _, Result, gate, neighbour, report, run, sink, subject};

/// That of the product's binary; all clients that are built into this program have it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(about = "Measures what Milepost costs, beside a floor and beside other clients", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure: rounds of clients doing the same work
    Run(Box<Options>),
    /// Print the tables of earlier runs
    Tables {
        /// What `run --json` wrote
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Draw the CPU of earlier runs as SVG, to standard output
    Plot {
        /// What `run --json` wrote
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Serve the null sink until standard input ends
    Sink {
        /// The port; 0 for any
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// How much of a hot file's pages a save evicts
    Cache {
        #[command(flatten)]
        options: neighbour::Options,
        /// How often
        #[arg(long, default_value_t = 3)]
        rounds: u32,
    },
    /// What a save does to a neighbour that writes and syncs; give the client a rate, as in milepost:rate=50
    Neighbour {
        #[command(flatten)]
        options: neighbour::Options,
        /// How often
        #[arg(long, default_value_t = 3)]
        rounds: u32,
    },
    /// Count the instructions of a PUT and a part, see scripts/bench-instructions
    Instructions {
        /// The file of the counts to compare with
        #[arg(long, value_name = "FILE")]
        baseline: PathBuf,
        /// What `rustc --version` says
        #[arg(long)]
        compiler: String,
        /// Write the baseline instead
        #[arg(long)]
        write: bool,
    },
    /// Send requests, for callgrind to look at
    #[command(hide = true)]
    Send {
        /// What
        what: gate::Counted,
        /// Where
        #[arg(long)]
        endpoint: String,
        /// How many
        #[arg(long)]
        count: u32,
    },
    /// One measurement in this process, as the others start it
    #[command(hide = true)]
    Sample {
        /// What to do, as JSON
        #[arg(long)]
        spec: String,
    },
}

fn main() -> std::process::ExitCode {
    match done(Cli::parse().command) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("milepost-bench: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn read(path: &Path) -> Result<Run> {
    let bytes = std::fs::read(path).context(path.display())?;
    serde_json::from_slice(&bytes).context(path.display())
}

fn done(command: Command) -> Result<()> {
    match command {
        Command::Run(options) => {
            let done = run::run(&options)?;
            if let Some(path) = &options.json {
                std::fs::write(path, serde_json::to_string_pretty(&done)?).context(path.display())?;
            }
            println!("{}", report::tables(&done));
            // A peer that fails is a result; one of our own is a fault.
            let own = ["milepost", "raw"];
            let failed = done.records.iter().filter(|record| record.error.is_some());
            let failed = failed.filter(|record| own.iter().any(|own| record.client.starts_with(own))).count();
            if failed == 0 { Ok(()) } else { Err(format!("{failed} samples failed").into()) }
        }
        Command::Tables { files } => {
            for file in files {
                println!("{}", report::tables(&read(&file)?));
            }
            Ok(())
        }
        Command::Plot { files } => {
            let runs = files.iter().map(|file| read(file)).collect::<Result<Vec<_>>>()?;
            print!("{}", report::plot(&runs));
            Ok(())
        }
        Command::Cache { options, rounds } => neighbour::cache(&options, rounds),
        Command::Neighbour { options, rounds } => neighbour::neighbour(&options, rounds),
        Command::Instructions { baseline, compiler, write } => gate::gate(&baseline, &compiler, write),
        Command::Send { what, endpoint, count } => gate::send(what, &endpoint, count),
        Command::Sink { port } => sink::serve(port),
        Command::Sample { spec } => {
            let spec: Spec = serde_json::from_str(&spec)?;
            println!("{}", serde_json::to_string(&subject::run(&spec)?)?);
            Ok(())
        }
    }
}
