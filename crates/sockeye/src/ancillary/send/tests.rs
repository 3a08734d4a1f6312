//! What a receiver with `SO_PASSCRED` sees. Credentials of others take root; without it these tests say
//! that they are skipped.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper of a test fails the test by panicking, and says what it skips"
)]

use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::Pid;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::*;
use crate::ancillary::{self, Received};
use crate::ids;
use crate::peer::Peer;

const CLIENT: u32 = 12_345;

/// One test sets [`IS_PID_REFUSED`].
fn alone() -> Option<MutexGuard<'static, ()>> {
    static LOCK: Mutex<()> = Mutex::new(());
    if ids::own_uid() != Some(0) {
        println!("skipped: only root can send credentials of others");
        return None;
    }
    let lock = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    IS_PID_REFUSED.store(false, Ordering::Relaxed);
    Some(lock)
}

fn credentials(pid: Pid) -> UCred {
    UCred {
        pid,
        uid: Uid::from_raw(CLIENT),
        gid: Gid::from_raw(CLIENT + 1),
    }
}

fn send(socket: &OwnedFd, fds: &[BorrowedFd<'_>], credentials: &UCred) -> Result<usize, SendError> {
    let flags = SendFlags::DONTWAIT;
    sendmsg_as(credentials, socket.as_fd(), b"hello", fds, None, flags)
}

/// The second socket gets the credentials of each message.
fn pair(kind: Kind) -> (OwnedFd, OwnedFd) {
    let (ours, theirs) = socket::pair(kind, SocketFlags::NONBLOCK).unwrap();
    ancillary::pass_credentials(&theirs, true).unwrap();
    (ours, theirs)
}

fn received(socket: &OwnedFd) -> Received {
    let mut buffer = [0; 64];
    ancillary::recv_msg(socket, &mut buffer).unwrap().unwrap()
}

fn assert_client(received: &Received, pid: Pid) {
    let sender = received.credentials.unwrap();
    assert_eq!(
        (sender.uid(), sender.gid()),
        (Some(CLIENT), Some(CLIENT + 1))
    );
    assert_eq!(sender.pid(), Some(pid));
}

#[test]
fn bytes_fds_and_credentials_arrive_in_one_message() {
    let Some(_alone) = alone() else { return };
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let pid = Pid::from_child(&child);
    let file = std::fs::File::open("/dev/null").unwrap();
    for kind in [Kind::Stream, Kind::SeqPacket, Kind::Datagram] {
        let (ours, theirs) = pair(kind);
        for fds in [&[file.as_fd(); 2][..], &[]] {
            assert_eq!(send(&ours, fds, &credentials(pid)).unwrap(), 5);
            let message = received(&theirs);
            assert_eq!((message.bytes, message.descriptors.len()), (5, fds.len()));
            assert_client(&message, pid);
        }
        let flags = SendFlags::DONTWAIT;
        sendmsg_once(ours.as_fd(), b"ours", &[file.as_fd()], None, flags).unwrap();
        assert_eq!(received(&theirs).credentials, Some(Peer::own_process()));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_client_that_has_ended_is_not_taken_for_the_relay() {
    let Some(_alone) = alone() else { return };
    let mut child = Command::new("true").spawn().unwrap();
    let pid = Pid::from_child(&child);
    child.wait().unwrap();
    let (ours, theirs) = pair(Kind::Stream);
    send(&ours, &[], &credentials(pid)).unwrap();
    assert_client(&received(&theirs), getpid());
    assert!(!IS_PID_REFUSED.load(Ordering::Relaxed));
}

/// As root in a container.
#[test]
fn only_the_pid_takes_the_capability_to_administer() {
    let Some(_alone) = alone() else { return };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            without(CapabilitySet::SYS_ADMIN);
            may_send_credentials().unwrap();
            let (ours, theirs) = pair(Kind::SeqPacket);
            for _ in 0..2 {
                send(&ours, &[], &credentials(Pid::INIT)).unwrap();
                assert_client(&received(&theirs), getpid());
                assert!(IS_PID_REFUSED.load(Ordering::Relaxed));
            }
        });
    });
    IS_PID_REFUSED.store(false, Ordering::Relaxed);
}

#[test]
fn credentials_that_may_not_be_sent_are_told_from_fds_that_are_refused() {
    let Some(_alone) = alone() else { return };
    let file = std::fs::File::open("/dev/null").unwrap();
    let (ours, theirs) = pair(Kind::Stream);
    let send = |fds: &[BorrowedFd<'_>]| send(&ours, fds, &credentials(Pid::INIT));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            without(CapabilitySet::SETUID);
            assert_eq!(may_send_credentials(), Err(Errno::PERM));
            for fds in [&[][..], &[file.as_fd()]] {
                assert!(matches!(send(fds), Err(SendError::CredentialsRefused)));
            }
        });
    });
    if !ancillary::pass_descriptors(&theirs, false).unwrap() {
        return println!("skipped: this kernel has no SO_PASSRIGHTS");
    }
    let refused = send(&[file.as_fd()]);
    assert!(matches!(refused, Err(SendError::DescriptorsRefused)));
    assert_eq!(send(&[]).unwrap(), 5);
}

#[test]
fn an_id_without_a_mapping_is_not_passed_on() {
    let shown = libc::ucred {
        pid: 1,
        uid: 65_534,
        gid: 0,
    };
    let sender = Peer::from_credentials(shown).unwrap();
    let is_known = ids::uid(shown.uid).is_some();
    assert_eq!(sender.to_credentials().is_some(), is_known);
}

/// Gives up a capability of this thread.
fn without(capability: CapabilitySet) {
    let mut sets = capabilities(None).unwrap();
    sets.effective.remove(capability);
    set_capabilities(None, sets).unwrap();
}
