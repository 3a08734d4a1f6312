//! [`UnownedFile`]: a socket file that no visible socket is bound to.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;
use sockeye::claim::{Probe, UnclearReason, probe_all_within};
use sockeye::connect::connect_once;
use sockeye::{Address, Kind, Name};

use super::leftover_connections::LeftoverConnections;
use super::other_namespace::OtherNamespace;
use super::report::stale;
use super::report::with_kind;
use super::report::{Check, Status, Verdict, WhyReport};
use super::user::seer;
use super::walk_end::WalkedFile;
use crate::cmd::visibility::VisibleSockets;
use crate::exit::Exit;

/// The file, and what else is known.
pub(super) struct UnownedFile<'a> {
    pub(super) address: &'a Address,
    /// What the address resolves to.
    pub(super) path: &'a Path,
    pub(super) file: WalkedFile,
    pub(super) visible: &'a VisibleSockets,
    pub(super) leftover: Option<LeftoverConnections>,
}

impl UnownedFile<'_> {
    /// Probes the file: connect(2) finds sockets that are not visible, too, and no server notices.
    pub(super) fn conclude(&self, other: Option<OtherNamespace<'_>>, report: &mut WhyReport) {
        let found = Address::from_path(self.path).ok();
        let found =
            found.and_then(|address| probe_all_within(self.visible.patience(), [&address]).pop());
        let is_alive = match found {
            Some(Probe::Live { .. }) if self.visible.hidden_reason.is_none() => Some(true),
            Some(Probe::Stale) => Some(false),
            _ => None,
        };
        if let Some(leftover) = &self.leftover {
            report.note(Check::Listener, leftover.describe(is_alive));
            report.set_if_refused(leftover.verdict(is_alive));
        }
        match (found, other) {
            (Some(Probe::Unclear(reason)), _) => unclear(reason, report),
            (Some(Probe::Live { .. }), other) => {
                self.alive(is_alive, report);
                if let Some(other) = other {
                    other.note(report);
                }
            }
            (Some(Probe::Stale), other) => self.dead(other, report),
            (_, other) => match &self.visible.hidden_reason {
                Some(hidden_reason) => {
                    nobody_seen(hidden_reason, report);
                    if let Some(other) = other {
                        other.note(report);
                    }
                }
                None => self.dead(other, report),
            },
        }
    }

    /// The file is stale.
    fn dead(&self, other: Option<OtherNamespace<'_>>, report: &mut WhyReport) {
        if let Some(other) = other {
            let text = "nobody listens on the socket file that is here";
            report.step(Check::Listener, Status::No, text);
            return other.conclude(text, report);
        }
        let (text, verdict) = match &self.leftover {
            Some(leftover) => (
                "nobody listens on the socket file",
                leftover.verdict(Some(false)),
            ),
            None => (
                "nobody listens on the socket file: its server is gone",
                self.bind_mount().unwrap_or_else(stale),
            ),
        };
        report.no(Check::Listener, text, verdict);
    }

    /// The verdict on a bind mount of a single file, which keeps leading to a file that the server has
    /// removed or replaced.
    fn bind_mount(&self) -> Option<Verdict> {
        let found = statx(CWD, self.path, AtFlags::empty(), StatxFlags::empty());
        let is_mounted =
            found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
        let text = match (self.file.links, is_mounted) {
            (0, _) => {
                "it is a bind mount of a file that was removed since, as each restart of a server does"
            }
            (_, true) => "it is a bind mount of a single file",
            _ => return None,
        };
        Some(Verdict::new(
            Exit::NothingThere,
            "bind-mount",
            format!("the socket file is stale: nobody listens on it, and {text}"),
            "mount the directory of the socket instead of the file, and start the server; while this one is mounted no server can replace it",
        ))
    }

    /// A socket that is not visible is bound to the file.
    fn alive(&self, is_alive: Option<bool>, report: &mut WhyReport) {
        let wanted = self.address.kind();
        // A datagram socket does not notice it either.
        let name = Name::Path(OsStr::from_bytes(self.path.as_os_str().as_bytes()).into());
        let as_datagram = Address::new(Kind::Datagram, &name).map(|address| connect_once(&address));
        let is_datagram = match as_datagram {
            Ok(Ok(_) | Err(Errno::PERM)) => Some(true),
            Ok(Err(Errno::PROTOTYPE)) => Some(false),
            _ => None,
        };
        match (is_datagram, wanted) {
            (Some(true), Kind::Datagram) => {
                let text = "a process that is not visible has a datagram socket there";
                match as_datagram {
                    Ok(Ok(_)) => report.ok(Check::Listener, text),
                    _ => report.no(
                        Check::Listener,
                        text,
                        Verdict::new(
                            Exit::NotPermitted,
                            "reserved",
                            format!(
                                "{text}, connected to another one, so it takes nothing from others"
                            ),
                            "look at that process: a server must not connect its datagram socket",
                        ),
                    ),
                }
            }
            (Some(true), _) => {
                let text = format!("the socket is a datagram socket, not a {wanted} one");
                let advice = format!(
                    "use a client for datagram sockets: {}",
                    with_kind(self.address, Kind::Datagram)
                );
                report.no(Check::Kind, &text, other_kind(&text, advice));
            }
            (Some(false), Kind::Datagram) => {
                let text = "the socket is not a datagram one";
                let advice =
                    "use another kind of client: try stream: or seqpacket: before the name";
                report.no(Check::Kind, text, other_kind(text, advice.to_owned()));
            }
            _ => match (&self.leftover, is_alive) {
                (Some(leftover), Some(true)) => report.no(
                    Check::Listener,
                    "nobody listens on the socket file",
                    leftover.verdict(is_alive),
                ),
                _ => self.unseen(report),
            },
        }
    }

    fn unseen(&self, report: &mut WhyReport) {
        let (why, advice) = match &self.visible.hidden_reason {
            Some(hidden_reason) => (hidden_reason.as_str(), seer()),
            None => ("it came just now", "ask again"),
        };
        let text = "an open socket is bound to the file, and whether it listens cannot be seen";
        if self.leftover.is_none() {
            let text = "an open socket is bound to the file and does not listen, not yet or not any more, or it is a client's";
            let advice = "try again, or look for its process";
            let verdict = Verdict::new(Exit::NothingThere, "not-listening", text, advice);
            report.set_if_refused(verdict);
        }
        let verdict = Verdict::new(
            Exit::Incomplete,
            "nobody-seen",
            format!("no visible process listens on it, but {text}"),
            format!("ask again with --connect, which settles it, or {advice}"),
        );
        report.unknown(Check::Listener, format!("{text}; {why}"), verdict);
    }
}

fn other_kind(text: &str, advice: String) -> Verdict {
    let text = format!("{text}, which is refused");
    Verdict::new(Exit::NothingThere, "kind", text, advice)
}

fn unclear(reason: UnclearReason, report: &mut WhyReport) {
    let text =
        format!("a connect is refused, and yet the file may belong to a running server: {reason}");
    let advice = match reason {
        UnclearReason::OtherMachine { .. } => {
            "look at the other machines that use the file system; remove the file if you know that no server uses it"
        }
        UnclearReason::LayerChanged => "remount the overlay, or connect to the path in that layer",
        _ => {
            "connect to the path that this server has bound; remove the file if you know that no server uses it"
        }
    };
    let verdict = Verdict::new(Exit::InUse, "unclear", &text, advice);
    report.unknown(Check::Listener, text, verdict);
}

pub(super) fn nobody_seen(hidden_reason: &str, report: &mut WhyReport) {
    let verdict = Verdict::new(
        Exit::Incomplete,
        "nobody-seen",
        "no visible process listens on it",
        format!("ask again with --connect, which settles it, or {}", seer()),
    );
    let text = format!("no visible process listens; {hidden_reason}");
    report.unknown(Check::Listener, text, verdict);
}
