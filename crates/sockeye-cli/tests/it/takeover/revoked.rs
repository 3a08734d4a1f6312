//! A predecessor that takes its offer back before the last step.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::thread;

use rustix::fs::{FlockOperation, flock};
use rustix::net::{
    AddressFamily, RecvFlags, Shutdown, SocketAddrUnix, SocketType, accept, bind, listen, recv,
    shutdown, socket,
};
use sockeye::ancillary::send_msg;

use super::{TAKEOVER, control_path};
use crate::support::{Place, Server, lock_path, run};

const OFFER: [u8; 2] = [2, 2];
const CANCEL: [u8; 2] = [2, 5];

#[test]
fn nobody_is_told_of_a_takeover_whose_last_step_fails() {
    let place = Place::new();
    let path = place.socket();
    let lock = fs::File::create(lock_path(&path)).expect("a fresh path");
    flock(&lock, FlockOperation::LockExclusive).expect("a fresh lock");
    let control = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).expect("a socket");
    let name = SocketAddrUnix::new(control_path(&path)).expect("a short path");
    bind(&control, &name).expect("a fresh path");
    listen(&control, 8).expect("it is bound");
    let server = UnixListener::bind(&path).expect("a fresh path");
    let another = UnixListener::bind(place.at("another")).expect("a fresh path");
    let offer = |server: &UnixListener| -> Option<OwnedFd> {
        let connection = accept(&control).ok()?;
        recv(&connection, &mut [0; 64], RecvFlags::empty()).expect("it asks");
        // As in a predecessor that takes its offer back: no later word of the successor arrives.
        shutdown(&connection, Shutdown::Read).expect("it is connected");
        let passed = [server.as_fd(), lock.as_fd(), control.as_fd()];
        send_msg(&connection, &OFFER, &passed).expect("it waits for it");
        Some(connection)
    };
    let ended = thread::scope(|scope| {
        scope.spawn(|| {
            let first = offer(&server).expect("somebody asks");
            send_msg(&first, &CANCEL, &[]).expect("it has not gone");
            drop(first);
            // From then on what it offers belongs to another path.
            while offer(&another).is_some() {}
        });
        let ended = run(Server::command(TAKEOVER).arg("--ready-fd=1").arg(&path));
        // It ends the thread.
        shutdown(&control, Shutdown::Read).expect("it listens");
        ended
    });
    ended.fails(4, &["cannot take over", "listening socket"]);
    assert_eq!(ended.text(), "", "it says that it is ready");
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}
