//! What a takeover makes of the files' modes and access control lists.

use std::os::unix::fs::MetadataExt;
use std::sync::mpsc;
use std::{fs, thread};

use sockeye::server::Server;
use sockeye::takeover::TakeoverErrorKind;
use sockeye::{Address, Claim, ClaimError, Listener, Takeover};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use crate::support::serving::{Client, Running, echo_lines, in_time};
use crate::support::{
    ACCESS, NOBODY, Place, as_nobody, assert_no_list, is_root, list_nobody, mode_of, set_mode,
};

#[tokio::test]
async fn the_successor_removes_access_lists_and_mends_the_lock_files_mode() {
    let place = Place::new();
    let address = place.address();
    let serve = async || {
        let takeover = Takeover::new(Claim::options().mode(0o660));
        let listener: Listener = in_time(takeover.listen(&address)).await.unwrap();
        Running::start(Server::new(), listener, echo_lines)
    };
    let control = place.at("app.sock.takeover");
    let first = serve().await;
    // As an older version may have left them in a directory with a default list.
    for file in [place.socket(), control.clone(), place.lock()] {
        if list_nobody(&file, ACCESS).is_none() {
            return;
        }
    }
    set_mode(&place.lock(), 0o600);
    let second = serve().await;
    first.result().await.unwrap();
    for file in [place.socket(), control.clone(), place.lock()] {
        assert_no_list(&file);
    }
    assert_eq!(mode_of(&place.socket()), 0o660);
    assert_eq!(mode_of(&control), 0o600);
    assert_eq!(mode_of(&place.lock()), 0o1600);
    second.report().await;
    place.assert_empty();
}

/// Serves as another user until the token is cancelled; says when it does.
fn serve_as_nobody(address: &Address, serves: &mpsc::Sender<()>, stop: CancellationToken) {
    as_nobody(|| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let takeover = Takeover::new(Claim::options().mode(0o666));
            let listener: Listener = takeover.listen(address).await.unwrap();
            serves.send(()).unwrap();
            let run = Server::new().run(listener, echo_lines, stop.cancelled_owned());
            run.await.unwrap();
        });
    });
}

#[test]
fn another_users_file_stays_that_users_until_the_successor_serves() {
    if !is_root() {
        as_nobody(|| {});
        return;
    }
    let place = Place::new();
    set_mode(place.dir(), 0o777);
    let address = place.address();
    let owner = || fs::metadata(place.socket()).unwrap().uid();
    let stop = CancellationToken::new();
    let (serves, does_serve) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| serve_as_nobody(&address, &serves, stop.clone()));
        does_serve.recv().unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let takeover = Takeover::new(Claim::options()).from_user(NOBODY);
            let listener: Listener = in_time(takeover.listen(&address)).await.unwrap();
            assert_eq!((owner(), mode_of(&place.socket())), (NOBODY, 0o666));
            // As a process that dies now.
            drop(listener);
            let mut client = Client::connect(&address).await;
            assert_eq!(client.ask("still here").await, "still here");
            assert_eq!((owner(), mode_of(&place.socket())), (NOBODY, 0o666));
            let listener: Listener = in_time(takeover.listen(&address)).await.unwrap();
            let server = Running::start(Server::new(), listener, echo_lines);
            let mut client = Client::connect(&address).await;
            assert_eq!(client.ask("and here").await, "and here");
            assert_eq!((owner(), mode_of(&place.socket())), (0, 0o600));
            drop(client);
            server.report().await;
        });
        stop.cancel();
    });
    place.assert_empty();
}

#[test]
fn an_owner_that_may_not_be_given_is_an_error_before_the_successor_is_ready() {
    let place = Place::new();
    set_mode(place.dir(), 0o777);
    let address = place.address();
    let found = as_nobody(|| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let first = Takeover::new(Claim::options());
            let listener = first.listen(&address).await.unwrap();
            let server = Running::start(Server::new(), listener, echo_lines);
            let of_root = Takeover::new(Claim::options().owner(Some(0), None));
            let error = in_time(of_root.listen::<sockeye::Stream>(&address)).await;
            let error = error.map(drop).unwrap_err();
            server.report().await;
            let TakeoverErrorKind::Claim(error) = error.kind() else {
                panic!("{error}");
            };
            ClaimError::kind(error).clone()
        })
    });
    if let Some(found) = found {
        let expected = sockeye::claim::ClaimErrorKind::OwnerDenied {
            uid: Some(0),
            gid: None,
        };
        assert_eq!(found, expected);
    }
}
