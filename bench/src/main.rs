//! `sockeye-bench`: Sockeye side by side with other servers on the same machine.
//!
//! Figures are for reading: nothing in here fails because something was slow. See `bench/README.md`.
#![deny(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tables and progress are what this program is for"
)]

mod args;
mod callgrind;
mod child;
mod client;
mod contest;
mod cores;
mod exchange;
mod goal;
mod idlers;
mod lineup;
mod load;
mod machine;
mod meter;
mod parts;
mod peer;
mod percentiles;
mod procfs;
mod report;
mod series;
mod server;
mod shift;
mod stop;
mod strace;
mod table;
mod tools;

use anyhow::{Context, ensure};
use args::Args;
use contest::Arena;
use report::{Output, Report};
use std::process::ExitCode;
use stop::Stop;
use tools::Tools;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args_os().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            print!("{}", args::help());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("sockeye-bench: {error:#}");
            return ExitCode::from(2);
        }
    };
    let outcome = Stop::on_signals().map(|stop| (run(args, &stop), stop));
    match outcome {
        Ok((Ok(()), _)) => ExitCode::SUCCESS,
        // Whatever broke then broke because of it.
        Ok((Err(_), stop)) if stop.is_asked() => {
            eprintln!("sockeye-bench: interrupted");
            ExitCode::from(130)
        }
        Ok((Err(error), _)) | Err(error) => {
            eprintln!("sockeye-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args, stop: &Stop) -> anyhow::Result<()> {
    ensure!(
        !cfg!(debug_assertions),
        "a slow build of the load generator would measure itself; use cargo run --release"
    );
    if args.parts.iter().any(|part| part.has_many_descriptors) {
        idlers::raise_descriptor_limit()?;
    }
    child::adopt_orphans()?;
    let output = args.output.map(Output::create).transpose()?;
    let directory = tempfile::tempdir().context("cannot make a directory for sockets")?;
    let tools = Tools::build(args.sockeye, directory.path(), stop)?;
    let arena = Arena {
        rounds: args.rounds,
        turn: args.turn,
        directory: directory.path(),
        stop,
    };
    let mut report = Report::new(machine::describe(&tools, &arena));
    for part in args.parts {
        (part.run)(&arena, &tools, &mut report)?;
    }
    match output {
        Some(output) => output.publish(&report.page()),
        None => Ok(()),
    }
}
