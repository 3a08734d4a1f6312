//! `sockeye why`: which condition of connect(2) fails at an address, and what to do.

mod access;
mod attributes;
mod displaced_server;
mod forked_walk;
mod leftover_connections;
mod link;
mod listener;
mod missing_server;
mod near_miss;
mod other_namespace;
mod path;
mod permission;
mod process;
mod process_link;
mod report;
mod running;
mod stale_groups;
mod start;
mod stopped;
mod test_connect;
mod unowned_file;
mod user;
mod verdict;
mod walk_end;

use std::path::Path;

use rustix::fs::FileType;
use sockeye::address::MAX_NAME;
use sockeye::{Address, Kind, Name};

use crate::args::{TypedId, Why};
use crate::cmd::visibility::VisibleSockets;
use crate::exit::{Exit, failure};
use crate::stdio;
use crate::stdio::terminal;
use report::{Check, WhyReport, shown};
use test_connect::through;
use user::User;
use walk_end::WalkEnd;

pub(crate) fn run(args: &Why) -> anyhow::Result<Exit> {
    let address = &args.address;
    let user = match (args.user.as_ref().and_then(TypedId::number), args.pid) {
        (Some(uid), _) => User::other(uid),
        (_, Some(pid)) => User::running(pid)?,
        (None, None) => User::caller(),
    };
    let mut report = WhyReport::default();
    // The address as this process sees it.
    let seen = &user.seen(address)?;
    match address.name() {
        Name::Path(path) => explain_path(seen, path, &user, &mut report)?,
        Name::Abstract(_) => {
            let mut visible = VisibleSockets::of_names();
            if let Some(process) = &user.process {
                visible.namespace = process.network;
            }
            verdict::abstract_name(address, &visible, &mut report);
        }
        _ => {
            let text = format!(
                "cannot explain {}: no way leads to a descriptor; give a path or @name",
                address.quoted()
            );
            return Err(failure(Exit::Usage, text));
        }
    }
    if args.connect {
        test_connect::settle(seen, &user, &mut report);
    } else {
        note_unchecked(address.kind() == Kind::Datagram, &user, &mut report);
    }
    let exit = report.finish(address);
    let shown = if args.json {
        report.as_json(address, &user)?
    } else {
        let width = terminal::size().map(|(columns, _)| columns);
        report.as_text(address, width).into_bytes()
    };
    stdio::print(&shown)?;
    Ok(exit)
}

/// Notes what was not checked, where nothing was found to be in the way.
fn note_unchecked(queue_is_unknown: bool, user: &User, report: &mut WhyReport) {
    if report.verdict().is_none() {
        let settles = if user.is_caller {
            "; use --connect for that"
        } else {
            ""
        };
        if queue_is_unknown {
            let text = "whether the queue of its datagram socket has room was not looked at";
            report.note(Check::Backlog, format!("{text}{settles}"));
        }
        let modules = "security modules (SELinux, AppArmor, Landlock) and seccomp were not asked";
        report.note(Check::Module, format!("{modules}{settles}"));
    }
}

fn explain_path(
    address: &Address,
    path: &Path,
    user: &User,
    report: &mut WhyReport,
) -> anyhow::Result<()> {
    let length = path.as_os_str().len();
    if length > MAX_NAME {
        report.note(
            Check::Length,
            format!(
                "the path has {length} bytes and {MAX_NAME} fit into a socket address: sockeye reaches it all the same, \
                 other programs need a shorter path (from a nearer directory, or a symbolic link)"
            ),
        );
    }
    if user.root != Path::new("/") {
        let text = format!(
            "{user} has another root directory or mount namespace: its / is {}",
            shown(&user.root)
        );
        report.note(Check::Namespace, text);
    }
    let end = forked_walk::walk(path, user, report).map_err(|error| {
        failure(
            Exit::Failed,
            format!(
                "cannot look at {}: {error}; is there a limit on processes?",
                shown(path)
            ),
        )
    })?;
    match &end {
        WalkEnd::Socket { path, file } => {
            verdict::at_file(
                address,
                path,
                *file,
                &VisibleSockets::take(address, path),
                report,
            );
        }
        WalkEnd::NotASocket { path, file, mode } => {
            let kind = FileType::from_raw_mode(*mode);
            let found = (kind, *file);
            missing_server::not_a_socket(
                address,
                path,
                found,
                &VisibleSockets::take(address, path),
                report,
            );
        }
        WalkEnd::MissingPart { path, what } => {
            missing_server::missing(
                address,
                path,
                *what,
                &VisibleSockets::take(address, path),
                report,
            );
        }
        WalkEnd::Hung => missing_server::by_name(path, &VisibleSockets::of_names(), report),
        WalkEnd::Stopped => {}
    }
    Ok(())
}
