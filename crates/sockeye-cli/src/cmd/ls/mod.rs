//! `sockeye ls`: which sockets exist, their processes and their peers.

mod completeness;
mod connections;
mod listing;
mod not_found;
mod rows;
mod selection;
mod stale;
mod unreadable;
mod watch;

use std::io::ErrorKind;
use std::time::Duration;

use sockeye::inspect::{Snapshot, SnapshotOptions};

use crate::args::Ls;
use crate::cmd::hung;
use crate::exit::{Exit, failure};
use crate::lookup::users::UserNames;
use crate::output::column::Column;
use crate::stdio;

pub(crate) fn run(args: &Ls) -> anyhow::Result<Exit> {
    check_columns(args)?;
    let users = UserNames::default();
    match args.interval() {
        Some(interval) => watch::run(args, &users, interval),
        None => {
            let mut out = Vec::new();
            let answer = answer(args, &users, &mut out)?;
            stdio::print(&out)?;
            if let Some(message) = &answer.message {
                stdio::complain(message);
            }
            Ok(answer.exit)
        }
    }
}

/// How a listing ended, beside what it printed.
struct ListOutcome {
    exit: Exit,
    /// For standard error.
    message: Option<String>,
}

/// Takes a snapshot and writes the listing to `out`.
fn answer(args: &Ls, users: &UserNames, out: &mut Vec<u8>) -> anyhow::Result<ListOutcome> {
    if args.stale {
        return stale::list(args, users, out);
    }
    let mut snapshot = snapshot(args, hung::DEADLINE)?;
    let shown = selection::shown(args, &snapshot);
    snapshot.look_at_files(|socket| shown.contains(&socket.inode));
    if args.connections {
        connections::list(args, &snapshot, users, out)
    } else {
        rows::list(args, &snapshot, users, out)
    }
}

fn snapshot(args: &Ls, deadline: Duration) -> anyhow::Result<Snapshot> {
    let options = SnapshotOptions {
        namespaces: args.netns.into(),
    };
    Snapshot::take_without_files(options, deadline).map_err(|error| {
        let (exit, advice) = match error.kind() {
            ErrorKind::PermissionDenied => (
                Exit::NotPermitted,
                "something forbids netlink sockets (a sandbox?); try outside of it",
            ),
            ErrorKind::NotFound => (Exit::Failed, "the kernel lacks unix_diag; load the module"),
            _ => (Exit::Failed, "look at sock_diag(7)"),
        };
        failure(
            exit,
            format!("cannot read the kernel's table of sockets: {error}; {advice}"),
        )
    })
}

/// Columns of another kind of listing are wrong usage.
fn check_columns(args: &Ls) -> anyhow::Result<()> {
    let fits = if args.connections {
        Column::is_of_connections
    } else {
        Column::is_of_sockets
    };
    let text = match (
        args.columns.iter().all(|&column| fits(column)),
        args.connections,
    ) {
        (_, true) if args.json && !args.columns.is_empty() => {
            "with --connections --json each end has all fields; omit -o"
        }
        (true, _) => return Ok(()),
        (false, true) => {
            "with --connections a column says which end it is of, as client-fd; sockeye ls --help has them"
        }
        (false, false) => {
            "columns of a client and a server are those of --connections; add that, or see sockeye ls --help"
        }
    };
    Err(failure(
        Exit::Usage,
        format!("cannot list these columns: {text}"),
    ))
}
