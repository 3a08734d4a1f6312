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
mod chat_load;
mod child;
mod client;
mod comparison;
mod contestants;
mod cores;
mod exchange;
mod goal;
mod idlers;
mod interrupt;
mod load;
mod machine;
mod meter;
mod parts;
mod peers;
mod percentiles;
mod procfs;
mod relay_target;
mod results_page;
mod results_table;
mod round_trips;
mod rounds;
mod server;
mod sliced_load;
mod spread;
mod strace;
mod stream_load;
mod tools;

use anyhow::{Context, ensure};
use args::Args;
use interrupt::Interrupt;
use results_page::{ResultsFile, ResultsPage};
use rounds::Harness;
use std::process::ExitCode;
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
    let outcome = Interrupt::on_signals().map(|interrupt| (run(args, &interrupt), interrupt));
    match outcome {
        Ok((Ok(()), _)) => ExitCode::SUCCESS,
        // Whatever broke then broke because of it.
        Ok((Err(_), interrupt)) if interrupt.is_set() => {
            eprintln!("sockeye-bench: interrupted");
            ExitCode::from(130)
        }
        Ok((Err(error), _)) | Err(error) => {
            eprintln!("sockeye-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args, interrupt: &Interrupt) -> anyhow::Result<()> {
    ensure!(
        !cfg!(debug_assertions),
        "a slow build of the load generator would measure itself; use cargo run --release"
    );
    if args.parts.iter().any(|part| part.has_many_descriptors) {
        idlers::raise_descriptor_limit()?;
    }
    child::adopt_orphans()?;
    let output = args.output.map(ResultsFile::create).transpose()?;
    let directory = tempfile::tempdir().context("cannot make a directory for sockets")?;
    let tools = Tools::build(args.sockeye, directory.path(), interrupt)?;
    let harness = Harness {
        rounds: args.rounds,
        turn: args.turn,
        directory: directory.path(),
        interrupt,
    };
    let mut report = ResultsPage::new(machine::describe(&tools, &harness));
    for part in args.parts {
        (part.run)(&harness, &tools, &mut report)?;
    }
    match output {
        Some(output) => output.publish(&report.page()),
        None => Ok(()),
    }
}
