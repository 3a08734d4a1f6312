//! What connect(2) would find at an address, and the verdict on it.

use std::path::Path;

use sockeye::inspect::{BoundName, Snapshot, Socket};
use sockeye::{Address, Kind};

use super::displaced_server::DisplacedServer;
use super::leftover_connections::LeftoverConnections;
use super::listener::{Listener, Standing, Who, queue, standing};
use super::missing_server::replaced;
use super::near_miss::NearMiss;
use super::other_namespace::OtherNamespace;
use super::report::with_kind;
use super::report::{Check, Status, Verdict, WhyReport};
use super::stopped;
use super::unowned_file::{UnownedFile, nobody_seen};
use super::walk_end::WalkedFile;
use crate::cmd::visibility::{VisibleSockets, is_reachable};
use crate::exit::Exit;

/// Reports on the sockets that are bound to a socket file.
pub(super) fn at_file(
    address: &Address,
    path: &Path,
    file: WalkedFile,
    visible: &VisibleSockets,
    report: &mut WhyReport,
) {
    let selected = visible.snapshot.as_ref().map(|all| all.select(address));
    let (here, old): (Vec<&Socket>, Vec<&Socket>) = selected
        .unwrap_or_default()
        .into_iter()
        .partition(|socket| is_at(socket, file));
    let other = OtherNamespace::find(address, path, Some(file), visible, &here);
    let displaced = DisplacedServer::find(address, path, &here, visible);
    match standing(address.kind(), &here) {
        Standing::Nobody
            if displaced
                .as_ref()
                .is_some_and(|server| server.is_left(report)) => {}
        Standing::Nobody => {
            let found = UnownedFile {
                address,
                path,
                file,
                visible,
                leftover: LeftoverConnections::of(&here),
            };
            found.conclude(other, report);
        }
        found => {
            meets(address, &found, report);
            across(&found, visible, report);
            if let Some(behind) = displaced.as_ref().and_then(|server| server.behind(report)) {
                meets(address, &behind, report);
            }
            if let Some(other) = other {
                other.note(report);
            }
        }
    }
    let is_displaced = |socket: &&Socket| displaced.as_ref().is_some_and(|all| all.has(socket));
    let old: Vec<&Socket> = old.into_iter().filter(|old| !is_displaced(old)).collect();
    replaced(path, &old, report);
}

/// Whether a selected socket is bound to this file; others were bound to its path only.
fn is_at(socket: &Socket, file: WalkedFile) -> bool {
    let Some(bound) = socket.file else {
        return false;
    };
    // sock_diag(7) gives the lower half of an inode number, which is all there is for a file that is
    // not at the bound path.
    if bound.inode as u32 != file.inode as u32 {
        return false;
    }
    // In another mount namespace a file of another device can have the same inode number.
    let is_absolute = matches!(&socket.name, Some(BoundName::Path(name)) if name.starts_with(b"/"));
    bound.state.is_some() || !is_absolute || bound.device == file.device
}

/// Reports on an abstract name.
pub(super) fn abstract_name(address: &Address, visible: &VisibleSockets, report: &mut WhyReport) {
    let all = visible.snapshot.as_ref().map(|all| all.select(address));
    let (here, other): (Vec<&Socket>, Vec<&Socket>) = all
        .unwrap_or_default()
        .into_iter()
        .partition(|socket| socket.namespace == visible.namespace);
    report.note(
        Check::File,
        "an abstract name: no file, no permissions, and only for this network namespace",
    );
    let found = standing(address.kind(), &here);
    if found != Standing::Nobody {
        return meets(address, &found, report);
    }
    let table_is_whole = |all: &Snapshot| all.hidden().tables == 0;
    if !visible.snapshot.as_ref().is_some_and(table_is_whole) {
        return nobody_seen(visible.hidden_reason.as_deref().unwrap_or_default(), report);
    }
    report.step(
        Check::Listener,
        Status::No,
        "nobody in this network namespace has the name",
    );
    match other.iter().find(|socket| is_reachable(socket)) {
        Some(socket) => {
            let who = Who::of(socket);
            let text = format!(
                "{who} {} the name in another network namespace{}",
                who.does("has", "have"),
                number(socket.namespace)
            );
            report.set_listener(Listener::from(*socket));
            let verdict = Verdict::new(
                Exit::NothingThere,
                "network-namespace",
                format!("nobody listens here: {text}, and abstract names do not reach across"),
                "run the client in the server's network namespace (nsenter -n -t PID), or use a socket file",
            );
            report.no(Check::Namespace, text, verdict);
        }
        None => {
            if let Some(hidden_reason) = &visible.hidden_reason {
                let text = format!(
                    "other network namespaces may have the name, but a connect does not reach them: {hidden_reason}"
                );
                report.note(Check::Namespace, text);
            }
            let (text, advice) = match NearMiss::find(address, visible) {
                Some(near) => {
                    report.note(Check::Listener, &near.text);
                    (
                        format!("nobody listens on this name; {}", near.text),
                        near.advice,
                    )
                }
                None => (
                    "nobody listens on this name".to_owned(),
                    "start the server, or check the name".to_owned(),
                ),
            };
            report.conclude(Verdict::new(Exit::NothingThere, "nobody", text, advice));
        }
    }
}

fn meets(address: &Address, found: &Standing<'_>, report: &mut WhyReport) {
    let (Standing::Open(socket)
    | Standing::Full(socket)
    | Standing::ShutDown(socket)
    | Standing::NotListening(socket)
    | Standing::Reserved(socket)
    | Standing::OtherKind(socket)) = found
    else {
        return;
    };
    report.set_listener(Listener::from(*socket));
    let (who, kind) = (Who::of(socket), socket.kind);
    if let Standing::OtherKind(_) = found {
        return is_other_kind(address, socket, report);
    }
    report.ok(Check::Kind, format!("it is a {kind} socket"));
    match found {
        Standing::ShutDown(_) => {
            let text = format!(
                "{who} {} no more connections: the listener is shut down",
                who.does("accepts", "accept")
            );
            let verdict = Verdict::new(
                Exit::NothingThere,
                "shut-down",
                &text,
                "wait until that server has ended and its successor listens",
            );
            report.no(Check::Listener, text, verdict);
        }
        Standing::NotListening(_) => {
            let text = format!(
                "{who} {} the socket but {} not listen, not yet or not any more",
                who.does("has", "have"),
                who.does("does", "do")
            );
            let verdict = Verdict::new(
                Exit::NothingThere,
                "not-listening",
                &text,
                "try again, or look at that process",
            );
            report.no(Check::Listener, text, verdict);
        }
        Standing::Reserved(_) => {
            let text = format!(
                "{who} {} connected the socket to another one, so it takes nothing from others",
                who.does("has", "have")
            );
            let verdict = Verdict::new(
                Exit::NotPermitted,
                "reserved",
                &text,
                "look at that process: a server must not connect its datagram socket",
            );
            report.no(Check::Listener, text, verdict);
        }
        _ if kind == Kind::Datagram => {
            let receives = who.does("receives", "receive");
            report.ok(Check::Listener, format!("{who} {receives}"));
            stopped::look_at(socket, report);
        }
        _ => listens(socket, matches!(found, Standing::Full(_)), report),
    }
}

fn is_other_kind(address: &Address, socket: &Socket, report: &mut WhyReport) {
    let kind = socket.kind;
    let text = format!(
        "the socket is a {kind} socket, not a {} one",
        address.kind()
    );
    let verdict = Verdict::new(
        Exit::NothingThere,
        "kind",
        format!("{text}, which is refused"),
        format!(
            "use a client for {kind} sockets: {}",
            with_kind(address, kind)
        ),
    );
    let text = format!("{text}; it belongs to {}", Who::of(socket));
    report.no(Check::Kind, text, verdict);
}

/// Reports on a listener and its backlog.
fn listens(socket: &Socket, is_full: bool, report: &mut WhyReport) {
    let who = Who::of(socket);
    let listens = who.does("listens", "listen");
    report.ok(Check::Listener, format!("{who} {listens}"));
    stopped::look_at(socket, report);
    let Some(queue) = queue(socket) else {
        return report.step(
            Check::Backlog,
            Status::Unknown,
            "the length of the backlog is not known",
        );
    };
    if !is_full {
        return report.ok(Check::Backlog, queue);
    }
    let verdict = Verdict::new(
        Exit::TimedOut,
        "full",
        format!(
            "{who} {} not accept: {queue}; a connect would wait, or fail with EAGAIN",
            who.does("does", "do")
        ),
        "look at what keeps the server busy, or wait; a larger backlog only delays it",
    );
    report.no(Check::Backlog, queue, verdict);
}

/// Notes a server in another network namespace, which a path reaches, but most tools do not show.
fn across(found: &Standing<'_>, visible: &VisibleSockets, report: &mut WhyReport) {
    let (Standing::Open(socket) | Standing::Full(socket)) = found else {
        return;
    };
    if socket.namespace.is_some() && socket.namespace != visible.namespace {
        let number = number(socket.namespace);
        report.note(
            Check::Namespace,
            format!("it is in another network namespace{number}, which is no obstacle for a path"),
        );
    }
}

fn number(namespace: Option<u64>) -> String {
    namespace.map_or_else(String::new, |inode| format!(" (net:[{inode}])"))
}
