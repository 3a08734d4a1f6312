//! The connect of `--connect`, which settles what could not be checked.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use sockeye::connect::connect_once;
use sockeye::peer::{PeerPidfd, pidfd};
use sockeye::{Address, Kind, Peer};

use super::missing_server::UNPLACED;
use super::report::{Check, Status, Verdict, WhyReport, stale};
use super::stopped::STOPPED;
use super::user::User;
use super::walk_end::HUNG;
use crate::exit::Exit;
use crate::output::socket::command;

/// Connects once and closes. The kernel's answer overrules earlier conclusions.
pub(super) fn settle(address: &Address, user: &User, report: &mut WhyReport) {
    let (exit, cause) = report.verdict().map_or((Exit::Done, "".into()), |verdict| {
        (verdict.exit, verdict.cause.clone())
    });
    if cause == HUNG {
        return report.note(Check::Connect, "not tried: it would hang too");
    }
    if !user.is_caller && exit == Exit::NotPermitted {
        let text = format!("not tried: it would be you who connects, not {user}");
        return report.note(Check::Connect, text);
    }
    let errno = match connect_once(address)
        .and_then(|socket| has_room(&socket, address.kind()).map(|()| socket))
    {
        Ok(socket) => {
            let peer = listened(&socket, address.kind());
            let text = format!("connected{peer}, and closed the connection");
            report.ok(Check::Connect, text);
            if exit != Exit::Done && cause != STOPPED {
                report.overrule(Verdict::new(
                    Exit::Done,
                    "none",
                    format!("a connect succeeds{peer}"),
                    "no change is needed",
                ));
            }
            return;
        }
        Err(errno) => errno,
    };
    let is_full = errno == Errno::AGAIN && address.kind() == Kind::Datagram;
    let text = if is_full {
        "connected, but the queue has no room for a datagram".to_owned()
    } else {
        format!("connect(2) says: {}", std::io::Error::from(errno))
    };
    report.step(Check::Connect, Status::No, text);
    // Known obstacles and a known missing server are not overruled.
    if !matches!(exit, Exit::Done | Exit::Incomplete) || cause == UNPLACED {
        return;
    }
    // An error of the caller says nothing about another user.
    if !user.is_caller && matches!(errno, Errno::ACCESS | Errno::PERM) {
        return;
    }
    let verdict = verdict_on(errno, address, report);
    report.overrule(verdict);
}

/// The verdict if connect(2) has failed, or the queue of a datagram socket is full.
fn verdict_on(errno: Errno, address: &Address, report: &mut WhyReport) -> Verdict {
    let error = std::io::Error::from(errno);
    match errno {
        Errno::CONNREFUSED if address.path().is_some() => {
            report.take_if_refused().unwrap_or_else(stale)
        }
        Errno::CONNREFUSED => Verdict::new(
            Exit::NothingThere,
            "nobody",
            "nobody listens on this name",
            "start the server, or check the name",
        ),
        Errno::PROTOTYPE => Verdict::new(
            Exit::NothingThere,
            "kind",
            format!(
                "the socket there is not a {} one, which is refused",
                address.kind()
            ),
            "use another kind of client: try stream:, seqpacket: or dgram: before the name",
        ),
        Errno::AGAIN if address.kind() == Kind::Datagram => Verdict::new(
            Exit::TimedOut,
            "full",
            "a server is there and does not receive: the queue of its datagram socket is full, so \
             that a sender waits, or fails with EAGAIN",
            "look at what keeps the server busy, or wait (net.unix.max_dgram_qlen is the limit)",
        ),
        Errno::AGAIN => Verdict::new(
            Exit::TimedOut,
            "full",
            "a server is there and does not accept: its backlog is full",
            "look at what keeps the server busy, or wait",
        ),
        Errno::ACCESS | Errno::PERM => Verdict::new(
            Exit::NotPermitted,
            "denied",
            format!("connect(2) says {error}, though all that can be looked at permits it"),
            "a security module (SELinux, AppArmor, Landlock) or a seccomp filter denies it: look in the audit log, or ask the administrator",
        ),
        _ => Verdict::new(
            Exit::Failed,
            "io",
            format!("connect(2) says: {error}"),
            "try again; it may have changed just now",
        ),
    }
}

/// `EAGAIN` if the queue of a datagram socket is full: poll(2) looks at the queue of the peer, too.
fn has_room(socket: &OwnedFd, kind: Kind) -> Result<(), Errno> {
    let mut writable = [PollFd::new(socket, PollFlags::OUT)];
    if kind == Kind::Datagram && poll(&mut writable, Some(&Timespec::default()))? == 0 {
        Err(Errno::AGAIN)
    } else {
        Ok(())
    }
}

/// Who called listen(2), which need not be who has the listener now.
fn listened(socket: &OwnedFd, kind: Kind) -> String {
    let pid = Peer::of(socket).ok().filter(|_| kind != Kind::Datagram);
    let Some((peer, pid)) = pid.and_then(|peer| Some((peer, peer.pid()?.as_raw_pid()))) else {
        return String::new();
    };
    match pidfd(socket) {
        Ok(PeerPidfd::Gone) => format!(" (pid {pid}, which has ended, called listen(2))"),
        _ => {
            let name = peer.command();
            format!(
                " (pid {pid} ({}) called listen(2))",
                command(name.as_deref())
            )
        }
    }
}

/// A path that leads to an open file (proc_pid_fd(5)).
pub(super) fn through(file: impl AsFd) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()).into()
}
