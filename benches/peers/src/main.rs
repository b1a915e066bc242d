//! Clients that bring their own stacks, measured one sample at a time: `milepost-bench` starts this program where it finds it
//! beside itself, or where `--peers` says. `docs/performance.md` says how to build it.

mod object_store;
#[cfg(feature = "transfer-manager")]
mod transfer_manager;

use milepost_benches::sample::{Measured, Spec, measure};
use milepost_benches::{Error, Result};

fn run(spec: &Spec) -> Result<Measured> {
    match spec.subject.as_str() {
        "object-store" => measure(|| object_store::run(spec)),
        #[cfg(feature = "transfer-manager")]
        "transfer-manager" => measure(|| transfer_manager::run(spec)),
        other => Err(format!("no client is called {other}").into()),
    }
}

/// The names of the clients that were built in, one to a line.
fn list() {
    println!("object-store");
    if cfg!(feature = "transfer-manager") {
        println!("transfer-manager");
    }
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["list"] => {
            list();
            Ok(())
        }
        ["sample", "--spec", spec] => serde_json::from_str(spec).map_err(Error::from).and_then(|spec| {
            println!("{}", serde_json::to_string(&run(&spec)?)?);
            Ok(())
        }),
        _ => Err("usage: milepost-bench-peers list | sample --spec JSON".into()),
    };
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("milepost-bench-peers: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
