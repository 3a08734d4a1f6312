//! Peer credentials: the user, group and process at the other end of a connection (`SO_PEERCRED`,
//! unix(7)), its pidfd, supplementary groups, security label and path.
//!
//! ```
//! use std::os::unix::net::UnixStream;
//! use sockeye::peer::{self, Peer};
//!
//! let (ours, _theirs) = UnixStream::pair()?;
//! let peer = Peer::of(&ours)?;
//! assert_eq!(peer.uid(), sockeye::ids::own_uid());
//! println!("{peer}, groups {:?}", peer::groups(&ours)?);
//! # Ok::<(), std::io::Error>(())
//! ```

mod allowed;

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
#[cfg(feature = "tokio")]
use rustix::net::UCred;
use rustix::process::Pid;
#[cfg(feature = "tokio")]
use rustix::process::{Gid, Uid};

pub use allowed::AllowedPeers;

use crate::inspect::procfs;
use crate::{ids, sys};

/// The user, group and process that connected, or (seen from a client) that listens. An id without
/// a mapping in our user namespace is not known ([`ids`]).
///
/// The kernel notes them at connect(2) or listen(2) (`SO_PEERCRED`, unix(7)): a process that has
/// changed its user since, or has passed its fd on, is still shown as it was. A pid can be reused:
/// use it for display, and [`pidfd`] where identity matters.
#[doc(alias = "SO_PEERCRED")]
#[doc(alias = "ucred")]
#[doc(alias = "getpeereid")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    uid: Option<u32>,
    gid: Option<u32>,
    pid: Option<Pid>,
}

/// What [`pidfd`] returns.
#[derive(Debug)]
pub enum PeerPidfd {
    /// The pidfd of the peer's process, which has not ended.
    Present(OwnedFd),
    /// The kernel (before Linux 6.5) or this kind of socket does not support it.
    Unsupported,
    /// The process has ended.
    Gone,
}

impl Peer {
    /// Asks the kernel for the peer of a connected socket.
    ///
    /// # Errors
    /// `ENOTCONN` where there is no peer; otherwise as getsockopt(2).
    pub fn of(socket: impl AsFd) -> io::Result<Self> {
        let found = sys::peer::credentials(socket.as_fd())?;
        Self::from_credentials(found).ok_or_else(|| Errno::NOTCONN.into())
    }

    /// This process, as a peer that it connects to now would see it from the same namespaces: its
    /// effective user and group, and its pid.
    #[must_use]
    pub fn own_process() -> Self {
        Self {
            uid: ids::own_uid(),
            gid: ids::gid(rustix::process::getegid().as_raw()),
            pid: Some(rustix::process::getpid()),
        }
    }

    /// `None` where the kernel knows nobody.
    pub(crate) fn from_credentials(found: libc::ucred) -> Option<Self> {
        (found.uid != u32::MAX).then(|| Self {
            uid: ids::uid(found.uid),
            gid: ids::gid(found.gid),
            pid: Pid::from_raw(found.pid),
        })
    }

    /// As `SCM_CREDENTIALS` takes it, with our own pid for one outside of our pid namespace; `None`
    /// where an id has no mapping, since no number stands for it.
    #[cfg(feature = "tokio")]
    #[allow(dead_code, reason = "the relay sends credentials on")]
    pub(crate) fn to_credentials(self) -> Option<UCred> {
        Some(UCred {
            pid: self.pid.unwrap_or_else(rustix::process::getpid),
            uid: Uid::from_raw(self.uid?),
            gid: Gid::from_raw(self.gid?),
        })
    }

    /// The effective user id at connect or listen; `None` where it has no mapping in our user
    /// namespace, or may have none.
    #[must_use]
    pub fn uid(&self) -> Option<u32> {
        self.uid
    }

    /// The effective group id at connect or listen; `None` as for [`uid`](Self::uid).
    #[must_use]
    pub fn gid(&self) -> Option<u32> {
        self.gid
    }

    /// The process id, `None` where it lies outside of our pid namespace.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        self.pid
    }

    /// The command name of the process that has the peer's pid now, for display only: the process
    /// chose it itself (proc_pid_comm(5)) and it may hold any bytes. `None` where it is gone.
    #[must_use]
    pub fn command(&self) -> Option<Vec<u8>> {
        procfs::command(self.pid?)
    }
}

impl fmt::Display for Peer {
    /// `pid 4242 uid 1000`, with `?` for what is not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uid = ids::Shown(self.uid);
        match self.pid {
            Some(pid) => write!(f, "pid {} uid {uid}", pid.as_raw_pid()),
            None => write!(f, "pid ? uid {uid}"),
        }
    }
}

/// The pidfd of the peer's process (`SO_PEERPIDFD`, Linux 6.5). Unlike a pid it is never reused.
///
/// # Errors
/// As getsockopt(2), such as `EMFILE`, unless [`PeerPidfd`] says it.
#[doc(alias = "SO_PEERPIDFD")]
pub fn pidfd(socket: impl AsFd) -> io::Result<PeerPidfd> {
    let found = match sys::peer::pidfd(socket.as_fd()) {
        Ok(found) => found,
        Err(error) => {
            return match Errno::from_io_error(&error) {
                Some(Errno::NOPROTOOPT | Errno::INVAL | Errno::NODATA) => {
                    Ok(PeerPidfd::Unsupported)
                }
                Some(Errno::SRCH) => Ok(PeerPidfd::Gone),
                _ => Err(error),
            };
        }
    };
    // Since Linux 6.16 the kernel answers for an ended process too.
    Ok(if has_ended(found.as_fd())? {
        PeerPidfd::Gone
    } else {
        PeerPidfd::Present(found)
    })
}

/// Whether a process has ended: its pidfd is readable then.
fn has_ended(pidfd: BorrowedFd<'_>) -> io::Result<bool> {
    let now = Timespec::default();
    let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
    let found = rustix::io::retry_on_intr(|| rustix::event::poll(&mut ended, Some(&now)))?;
    Ok(found > 0)
}

/// The peer's supplementary group ids (`SO_PEERGROUPS`, Linux 4.13), without the primary one unless
/// it is listed twice, and without those that have no mapping in our user namespace ([`ids`]).
///
/// # Errors
/// As getsockopt(2); `ENODATA` where there is no peer.
#[doc(alias = "SO_PEERGROUPS")]
pub fn groups(socket: impl AsFd) -> io::Result<Vec<u32>> {
    let found = sys::peer::groups(socket.as_fd())?;
    Ok(found.into_iter().filter_map(ids::gid).collect())
}

/// The supplementary group ids of a process that has sent a message as `sender`, from `/proc`
/// (proc_pid_status(5)): the credentials of a message have one group only. `pidfd` comes with the
/// message ([`ancillary::pass_pidfds`](crate::ancillary::pass_pidfds)); it is checked again
/// afterwards, in case the pid was reused. Groups without a mapping in our user namespace ([`ids`])
/// are left out.
///
/// # Errors
/// `ESRCH` where the process has ended, or cannot be seen from our pid namespace; `EPERM` where it
/// runs as another user than it did when it sent, also in part, as after executing a set-user-ID
/// program; as open(2) and read(2).
pub fn groups_of_process(pidfd: impl AsFd, sender: &Peer) -> io::Result<Vec<u32>> {
    let pidfd = pidfd.as_fd();
    let pid = procfs::process_of(pidfd)?.ok_or(Errno::SRCH)?;
    let found = procfs::Identity::of(pid)?;
    if has_ended(pidfd)? {
        return Err(Errno::SRCH.into());
    }
    if sender.uid.is_none() || found.uids.iter().any(|&uid| ids::uid(uid) != sender.uid) {
        return Err(Errno::PERM.into());
    }
    Ok(found.groups.into_iter().filter_map(ids::gid).collect())
}

/// The path that the peer is bound to, as it gave it to bind(2); `None` where it has none.
///
/// # Errors
/// As getpeername(2); `ENOTCONN` where there is no peer.
pub fn path(socket: impl AsFd) -> io::Result<Option<PathBuf>> {
    sys::peer::name(socket.as_fd(), true).map(|name| path_in(&name))
}

/// The path that a socket is bound to itself; `None` where it has none.
///
/// # Errors
/// As getsockname(2).
pub fn own_path(socket: impl AsFd) -> io::Result<Option<PathBuf>> {
    sys::peer::name(socket.as_fd(), false).map(|name| path_in(&name))
}

fn path_in(name: &[u8]) -> Option<PathBuf> {
    let path = name.split(|&byte| byte == 0).next()?;
    (!path.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(path)))
}

/// The peer's security label (`SO_PEERSEC`), `None` where no security module gives one.
///
/// # Errors
/// As getsockopt(2).
#[doc(alias = "SO_PEERSEC")]
#[doc(alias = "SELinux")]
pub fn label(socket: impl AsFd) -> io::Result<Option<Vec<u8>>> {
    match sys::peer::label(socket.as_fd()) {
        Ok(label) => Ok(Some(label).filter(|label| !label.is_empty())),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NOPROTOOPT) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process::{Command, Stdio};

    #[test]
    fn the_peer_of_a_pair_is_this_process() {
        let (left, _right) = UnixStream::pair().unwrap();
        let peer = Peer::of(&left).unwrap();
        assert_eq!(peer, Peer::own_process());
        assert_eq!(peer.uid(), ids::own_uid());
        assert_eq!(peer.gid(), ids::gid(rustix::process::getegid().as_raw()));
        assert_eq!(peer.pid(), Some(rustix::process::getpid()));
        assert!(peer.command().is_some());
        let mine: Vec<u32> = rustix::process::getgroups()
            .unwrap()
            .iter()
            .map(|gid| gid.as_raw())
            .collect();
        assert_eq!(groups(&left).unwrap(), mine);
        assert!(label(&left).is_ok());
    }

    #[test]
    fn the_longest_path_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = |length: usize| {
            let directory = dir.path().to_str().unwrap();
            format!("{directory}/{}", "n".repeat(length - directory.len() - 1))
        };
        let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[2])\n\
                      s.connect(sys.argv[1])\ns.recv(1)";
        let server = path(60);
        #[allow(clippy::disallowed_methods)] // a bare listener is what this test needs
        let listener = UnixListener::bind(&server).unwrap();
        assert_eq!(own_path(&listener).unwrap(), Some(server.clone().into()));
        let client = path(107);
        let mut command = Command::new("python3");
        command.args(["-c", script, &server, &client]);
        let Ok(mut child) = command.stdin(Stdio::null()).spawn() else {
            println!("skipped: python3 is not installed");
            return;
        };
        let (stream, _) = listener.accept().unwrap();
        assert_eq!(super::path(&stream).unwrap(), Some(client.into()));
        drop(stream);
        child.wait().unwrap();
        let (unnamed, _other) = UnixStream::pair().unwrap();
        assert_eq!(super::path(&unnamed).unwrap(), None);
    }

    #[test]
    fn an_unconnected_socket_has_no_peer() {
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            None,
        )
        .unwrap();
        let error = Peer::of(&socket).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::NOTCONN));
    }

    #[test]
    fn a_pidfd_tells_a_live_peer_from_one_that_ended() {
        let (mine, theirs) = UnixStream::pair().unwrap();
        match pidfd(&mine).unwrap() {
            PeerPidfd::Present(_) => {}
            PeerPidfd::Unsupported => return,
            PeerPidfd::Gone => panic!("this process is alive"),
        }
        drop((mine, theirs));

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        #[allow(clippy::disallowed_methods)] // a bare listener is what this test needs
        let listener = UnixListener::bind(&path).unwrap();
        let script =
            "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ns.recv(1)";
        let Ok(mut child) = Command::new("python3")
            .args(["-c", script])
            .arg(&path)
            .stdin(Stdio::null())
            .spawn()
        else {
            println!("skipped: python3 is not installed");
            return;
        };
        let (mut stream, _) = listener.accept().unwrap();
        assert!(matches!(pidfd(&stream).unwrap(), PeerPidfd::Present(_)));
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        child.wait().unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        assert!(matches!(pidfd(&stream).unwrap(), PeerPidfd::Gone));
    }
}
