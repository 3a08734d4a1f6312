//! [`Connector`]: one logic, blocking and async.

mod fd_passing;
mod found;

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use rustix::fs::FileType;
use sockeye::adopt::AdoptError;
use sockeye::connect::{ConnectError, ConnectErrorKind};
use sockeye::{Address, Claim, Connector, Kind};

use crate::support::{
    PATIENCE, Place, Task, as_nobody, bound, fill_backlog, is_close_on_exec, leave_stale,
    listening, set_mode,
};

type Way = fn(&Connector, &Address) -> Result<UnixStream, ConnectError>;

/// All ways to connect.
fn ways() -> Vec<Way> {
    vec![
        Connector::connect_blocking,
        #[cfg(feature = "tokio")]
        |connector, address| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let stream = runtime.block_on(connector.connect(address))?;
            let _entered = runtime.enter();
            Ok(stream.into_std().unwrap())
        },
    ]
}

/// Asks `check` about the error that each way ends with.
#[track_caller]
fn assert_fails(
    connector: &Connector,
    address: &Address,
    check: impl Fn(&ConnectErrorKind) -> bool,
) {
    for way in ways() {
        let start = Instant::now();
        let error = way(connector, address).unwrap_err();
        assert!(check(error.kind()), "{error:?}");
        assert_eq!(error.waited(), None, "{error:?}");
        assert!(start.elapsed() < PATIENCE, "waiting cannot help: {error}");
    }
}

/// Neither waiting nor trying again changes anything; still it must not begin.
fn patient() -> Connector {
    Connector::new()
        .wait_for(Duration::from_secs(600))
        .connect_timeout(Duration::from_secs(600))
}

fn talk(mut client: UnixStream, listener: &UnixListener) {
    client.write_all(b"hello").unwrap();
    drop(client);
    let (mut server, _) = listener.accept().unwrap();
    let mut text = String::new();
    server.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
}

#[test]
fn a_connector_connects_by_path_link_and_abstract_name() {
    let place = Place::new();
    let claim = Claim::options().claim(&place.address()).unwrap();
    let listener = claim.into_blocking().unwrap();
    let name = place.abstract_address(Kind::Stream);
    let abstract_listener = Claim::options().claim(&name).unwrap();
    let abstract_listener = abstract_listener.into_blocking().unwrap();
    symlink(place.socket(), place.at("link")).unwrap();
    let link = Address::from_path(place.at("link")).unwrap();
    for way in ways() {
        let connector = Connector::new();
        for address in [&place.address(), &link] {
            let client = way(&connector, address).unwrap();
            assert!(is_close_on_exec(&client));
            talk(client, &listener);
        }
        talk(way(&connector, &name).unwrap(), &abstract_listener);
    }
}

#[test]
fn a_blocking_stream_blocks() {
    let place = Place::new();
    let claim = Claim::options().claim(&place.address()).unwrap();
    let listener = claim.into_blocking().unwrap();
    let mut client = Connector::new().connect_blocking(&place.address()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let reader = Task::start(move || {
        let mut byte = [0];
        client.read_exact(&mut byte).map(|()| byte)
    });
    reader.wait_until_asleep();
    server.write_all(b"x").unwrap();
    assert_eq!(reader.join().unwrap(), *b"x");
}

#[test]
fn a_connector_waits_for_a_server_to_appear() {
    for stale in [false, true] {
        let place = Place::new();
        let path = place.at("sub/app.sock");
        if stale {
            fs::create_dir(place.at("sub")).unwrap();
            leave_stale(&path);
        }
        for way in ways() {
            let address = Address::from_path(&path).unwrap();
            let waiting = Task::start({
                let address = address.clone();
                move || way(&Connector::new().wait_for(PATIENCE), &address)
            });
            waiting.wait_until_asleep();
            fs::create_dir_all(place.at("sub")).unwrap();
            let claim = Claim::options().claim(&address).unwrap();
            let listener = claim.into_blocking().unwrap();
            talk(waiting.join().unwrap(), &listener);
            drop(listener);
            if stale {
                leave_stale(&path);
            } else {
                fs::remove_dir(place.at("sub")).unwrap();
            }
        }
    }
}

#[test]
fn a_connector_waits_for_an_abstract_name() {
    let place = Place::new();
    let address = place.abstract_address(Kind::Stream);
    for way in ways() {
        let waiting = Task::start({
            let address = address.clone();
            move || way(&Connector::new().wait_for(PATIENCE), &address)
        });
        waiting.wait_until_asleep();
        let claim = Claim::options().claim(&address).unwrap();
        talk(waiting.join().unwrap(), &claim.into_blocking().unwrap());
    }
}

#[test]
fn the_wait_has_an_end() {
    let place = Place::new();
    leave_stale(&place.at("stale"));
    let _starting = bound(Kind::Stream, &place.at("starting"));
    let at = |name: &str| Address::from_path(place.at(name)).unwrap();
    let me = Some(rustix::process::getpid());
    let time = Duration::from_millis(30);
    let connector = Connector::new().wait_for(time);
    let is_expected = |address: &Address, kind: &ConnectErrorKind| match kind {
        ConnectErrorKind::Absent => address == &at("nothing"),
        ConnectErrorKind::ParentMissing(dir) => dir == &place.at("sub"),
        ConnectErrorKind::Stale => address == &at("stale"),
        ConnectErrorKind::NotListening { pid } => address == &at("starting") && *pid == me,
        ConnectErrorKind::NobodyListens => address.path().is_none(),
        _ => false,
    };
    for address in [
        at("nothing"),
        at("sub/app.sock"),
        at("stale"),
        at("starting"),
        place.abstract_address(Kind::Stream),
    ] {
        for way in ways() {
            let start = Instant::now();
            let error = way(&connector, &address).unwrap_err();
            assert!(start.elapsed() >= time, "{:?}", start.elapsed());
            assert!(start.elapsed() < PATIENCE);
            assert_eq!(error.waited(), Some(time));
            assert!(is_expected(&address, error.kind()), "{error:?}");
            assert_eq!(error.address(), &address);
        }
        assert_fails(&Connector::new(), &address, |kind| {
            is_expected(&address, kind)
        });
    }
}

#[test]
fn a_full_backlog_is_tried_until_the_timeout() {
    let place = Place::new();
    for backlog in [0, 1] {
        let _server = listening(Kind::Stream, &place.socket(), backlog);
        let clients = fill_backlog(Kind::Stream, &place.socket());
        assert!(!clients.is_empty());
        for time in [Duration::ZERO, Duration::from_millis(60)] {
            // How long to wait for a server is another matter: there is one.
            let connector = patient().connect_timeout(time);
            for way in ways() {
                let start = Instant::now();
                let error = way(&connector, &place.address()).unwrap_err();
                assert!(start.elapsed() >= time, "{:?}", start.elapsed());
                assert!(start.elapsed() < PATIENCE);
                assert!(
                    matches!(error.kind(), ConnectErrorKind::BacklogFull),
                    "{error:?}"
                );
                assert_eq!(error.waited(), Some(time));
            }
        }
        fs::remove_file(place.socket()).unwrap();
    }
}

#[test]
fn a_full_backlog_is_left_behind_when_somebody_accepts() {
    for way in ways() {
        let place = Place::new();
        let server = UnixListener::from(listening(Kind::Stream, &place.socket(), 0));
        let clients = fill_backlog(Kind::Stream, &place.socket());
        let waiting = Task::start({
            let address = place.address();
            move || way(&Connector::new().connect_timeout(PATIENCE), &address)
        });
        waiting.wait_until_asleep();
        for _ in &clients {
            server.accept().unwrap();
        }
        let client = waiting.join().unwrap();
        // It is a connection, not a socket that only turned writable.
        talk(client, &server);
    }
}

fn fd_address(number: i32) -> Address {
    format!("fd:{number}").parse().unwrap()
}

#[test]
fn an_inherited_connection_is_duplicated() {
    let is_not_open = |found: &ConnectErrorKind| {
        matches!(found, ConnectErrorKind::NotAdopted(AdoptError::NotOpen(_)))
    };
    for way in ways() {
        let (mine, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let address = fd_address(theirs.as_raw_fd());
        let mut taken = way(&Connector::new(), &address).unwrap();
        assert_ne!(taken.as_raw_fd(), theirs.as_raw_fd());
        assert!(is_close_on_exec(&taken));
        taken.write_all(b"hello").unwrap();
        drop((taken, theirs));
        let mut text = String::new();
        (&mine).read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");

        let refused = |fd: OwnedFd, check: fn(&AdoptError) -> bool| {
            let error = way(&patient(), &fd_address(fd.as_raw_fd())).unwrap_err();
            assert!(
                matches!(error.kind(), ConnectErrorKind::NotAdopted(why) if check(why)),
                "{error:?}"
            );
        };
        let place = Place::new();
        let file = fs::File::create(place.at("file")).unwrap();
        refused(file.into(), |why| matches!(why, AdoptError::NotASocket));
        let listener = listening(Kind::Stream, &place.socket(), 1);
        refused(listener, |why| matches!(why, AdoptError::Listening));
        let fresh = bound(Kind::Stream, &place.at("bound"));
        refused(fresh, |why| matches!(why, AdoptError::NotConnected));
        let packets = listening(Kind::SeqPacket, &place.at("packets"), 1);
        refused(packets, |why| matches!(why, AdoptError::WrongKind { .. }));
    }
    assert_fails(&patient(), &fd_address(1_000_000), is_not_open);
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_dropped_wait_leaves_nothing_behind() {
    use std::future::{Future, poll_fn};
    use std::task::Poll;

    let place = Place::new();
    let address = place.address();
    let connector = patient();
    let mut waiting = Box::pin(connector.connect(&address));
    poll_fn(|cx| {
        assert!(waiting.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    let claim = Claim::options().claim(&address).unwrap();
    drop(waiting);
    let listener = claim.into_blocking().unwrap();
    listener.set_nonblocking(true).unwrap();
    let error = listener.accept().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}
