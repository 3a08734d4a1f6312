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
mod child;
mod client;
mod contest;
mod echo;
mod exchange;
mod idle;
mod inspect;
mod lineup;
mod machine;
mod meter;
mod peer;
mod procfs;
mod series;
mod server;
mod stop;
mod table;
mod tools;

use anyhow::{Context, ensure};
use args::{Args, Part};
use contest::Arena;
use lineup::Lineup;
use meter::Sample;
use std::process::ExitCode;
use stop::Stop;
use tools::Tools;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args_os().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            print!("{}", args::HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("sockeye-bench: {error:#}");
            return ExitCode::from(2);
        }
    };
    let outcome = Stop::on_signals().map(|stop| (run(&args, &stop), stop));
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

fn run(args: &Args, stop: &Stop) -> anyhow::Result<()> {
    ensure!(
        !cfg!(debug_assertions),
        "a slow build of the load generator would measure itself; use cargo run --release"
    );
    if args.parts.contains(&Part::Idle) || args.inspect {
        idle::raise_descriptor_limit()?;
    }
    let directory = tempfile::tempdir().context("cannot make a directory for sockets")?;
    let tools = Tools::build(args.sockeye.clone(), directory.path(), stop)?;
    let arena = Arena {
        rounds: args.rounds,
        directory: directory.path(),
        stop,
    };
    println!("{}\n{}", machine::describe(&tools, stop), table::LEGEND);

    let mut sockeye_is_missing = false;
    for &part in &args.parts {
        let lineup = Lineup::of(part, &tools).try_out(&arena)?;
        print!("{}", table::of_missing(&lineup.missing));
        sockeye_is_missing |= !lineup.has_sockeye();
        match part {
            Part::Echo => {
                for connections in [16, 256] {
                    let title = format!("echo, 64-byte messages, {connections} connections");
                    let entries = arena.hold(
                        &title,
                        &lineup.peers,
                        |server, _| echo::measure(server, connections, args.turn, stop),
                        Sample::to_string,
                    )?;
                    println!("{}", table::of_rates(&title, &entries));
                }
            }
            Part::Connect => {
                let title = "connect, request, answer, close; one client";
                let entries = arena.hold(
                    title,
                    &lineup.peers,
                    |server, peer| exchange::measure(server, peer.answer, 1, args.turn, stop),
                    Sample::to_string,
                )?;
                println!("{}", table::of_rates(title, &entries));
            }
            Part::Programs => {
                for clients in [1, 4] {
                    let title =
                        format!("a program (/bin/cat) for each connection, clients: {clients}");
                    let entries = arena.hold(
                        &title,
                        &lineup.peers,
                        |server, peer| {
                            exchange::measure(server, peer.answer, clients, args.turn, stop)
                        },
                        Sample::to_string,
                    )?;
                    println!("{}", table::of_rates(&title, &entries));
                }
            }
            Part::Idle => {
                let title = format!(
                    "resident memory of {} idle connections, each after one answer",
                    idle::CONNECTIONS
                );
                let entries = arena.hold(
                    &title,
                    &lineup.peers,
                    |server, peer| idle::measure(server, peer.answer, stop),
                    |cost| format!("{:.0} bytes each", cost.bytes_per_connection()),
                )?;
                println!("{}", table::of_costs(&title, &entries));
            }
        }
    }
    if args.inspect {
        for spread in inspect::SPREADS {
            let table = inspect::measure(&tools.sockeye, spread, args.rounds, stop)?;
            println!("{table}");
        }
    }
    ensure!(!sockeye_is_missing, "sockeye itself did not take part");
    Ok(())
}
