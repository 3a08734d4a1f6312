//! Connections that are given up.

use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use sockeye::Connector;
use sockeye::connect::ConnectErrorKind;
use sockeye::relay::{ClientConnector, CredentialsError};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use super::*;

const CONNECTIONS: usize = 1000;

/// Says who has connected, and waits for the answer.
async fn greet(
    connector: ClientConnector,
    address: Address,
    user: User,
    client: ClientCredentials,
) {
    let mut stream = connector.connect(&address, &client).await.unwrap();
    stream.write_all(&user.uid.to_ne_bytes()).await.unwrap();
    stream.shutdown(sockeye::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer)
        .await
        .unwrap();
    assert_eq!(answer, b"welcome");
}

/// Returns how many came to say who they are. A failing test leaves it behind.
fn serve(listener: &UnixListener) -> usize {
    let mut greeted = 0;
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut uid = [0; 4];
        match stream.read_exact(&mut uid) {
            Ok(()) if uid == [0xff; 4] => return greeted,
            Ok(()) => {
                let uid = u32::from_ne_bytes(uid);
                let user = USERS.into_iter().find(|user| user.uid == uid).unwrap();
                greeted += 1;
                let answer = if user.is_peer_of(&stream) {
                    "welcome"
                } else {
                    "another"
                };
                let _ = stream.write_all(answer.as_bytes());
            }
            Err(_) => {
                let seen = Peer::of(&stream).unwrap().uid();
                assert!(USERS.iter().any(|user| Some(user.uid) == seen));
            }
        }
    }
    unreachable!("it is told when to end")
}

#[test]
fn a_thousand_connections_of_alternating_users_leave_nothing_behind() {
    alone(|| {
        let place = Place::new();
        let listener = place.listener();
        let address = place.address();
        let connector = ClientConnector::new(Connector::new())
            .unwrap()
            .max_threads(8);
        let random = RandomState::new();
        let aborted = AtomicUsize::new(0);
        let clients = USERS.map(|user| (user, user.credentials()));
        let server = std::thread::spawn(move || serve(&listener));
        runtime().block_on(async {
            let mut tasks = JoinSet::new();
            for at in 0..CONNECTIONS {
                let (user, client) = clients[at % clients.len()].clone();
                let task = tasks.spawn(greet(connector.clone(), address.clone(), user, client));
                match random.hash_one(at) % 4 {
                    0 => task.abort(),
                    1 => {
                        let lifetime = random.hash_one(task.id()) % 2000;
                        tokio::spawn(async move {
                            tokio::time::sleep(Duration::from_micros(lifetime)).await;
                            task.abort();
                        });
                    }
                    _ => {}
                }
                while tasks.len() > 40 {
                    count_aborted(tasks.join_next().await, &aborted);
                }
            }
            while let Some(done) = tasks.join_next().await {
                count_aborted(Some(done), &aborted);
            }
            for client in &clients {
                // Every permit is free again.
                connector.connect(&address, &client.1).await.unwrap();
            }
        });
        UnixStream::connect(place.socket())
            .unwrap()
            .write_all(&[0xff; 4])
            .unwrap();
        let greeted = server.join().unwrap();
        let aborted = aborted.into_inner();
        assert!(
            greeted + aborted >= CONNECTIONS,
            "{greeted} greeted, {aborted} aborted"
        );
        assert!(aborted > CONNECTIONS / 10, "{aborted} aborted");
    });
}

fn count_aborted(done: Option<Result<(), tokio::task::JoinError>>, aborted: &AtomicUsize) {
    match done {
        Some(Err(error)) if error.is_cancelled() => {
            aborted.fetch_add(1, Ordering::Relaxed);
        }
        Some(done) => done.unwrap(),
        None => {}
    }
}

fn fill_backlog(place: &Place) -> Vec<std::os::fd::OwnedFd> {
    let full = || sockeye::connect::connect_once(&place.address());
    std::iter::from_fn(|| full().ok()).collect()
}

/// No thread waits with the ids of the client, since each attempt is a thread of its own.
#[test]
fn a_server_with_a_full_backlog_is_waited_for_without_a_thread() {
    alone(|| {
        let place = Place::new();
        let listener = place.listener();
        let held = fill_backlog(&place);
        let connector = ClientConnector::new(Connector::new().connect_timeout(PATIENCE)).unwrap();
        let client = ALICE.credentials();
        runtime().block_on(async {
            let one = connector.clone().max_threads(1);
            let address = place.address();
            let waiting = one.connect(&address, &client);
            tokio::pin!(waiting);
            // Long enough for several attempts.
            let pending = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
            assert!(pending.is_err());
            // Another client has the only thread meanwhile.
            let nobody = "@sockeye-credentials-nobody".parse().unwrap();
            let other = one.connect(&nobody, &client).await;
            assert!(matches!(other, Err(CredentialsError::Connect(_))));
            for _ in &held {
                drop(listener.accept().unwrap());
            }
            drop(waiting.await.unwrap());
            ALICE.assert_peer(listener.accept().unwrap().0);
        });
        drop(held);
    });
}

#[test]
fn a_full_backlog_and_a_missing_server_run_into_their_timeouts() {
    alone(|| {
        let place = Place::new();
        let listener = place.listener();
        let held = fill_backlog(&place);
        let short = Duration::from_millis(30);
        let connector = Connector::new().connect_timeout(short).wait_for(short);
        let connector = ClientConnector::new(connector).unwrap();
        let client = BOB.credentials();
        runtime().block_on(async {
            let full = connector.connect(&place.address(), &client).await;
            let missing = Address::from_path(place.at("missing")).unwrap();
            let missing = connector.connect(&missing, &client).await;
            let kinds = [full, missing].map(|connected| match connected.unwrap_err() {
                CredentialsError::Connect(error) => {
                    assert_eq!(error.waited(), Some(short));
                    error
                }
                other => panic!("{other}"),
            });
            assert!(matches!(kinds[0].kind(), ConnectErrorKind::BacklogFull));
            assert!(matches!(kinds[1].kind(), ConnectErrorKind::Absent));
        });
        drop((listener, held));
    });
}

#[test]
fn a_server_that_starts_late_is_waited_for() {
    alone(|| {
        let place = Place::new();
        let connector = Connector::new().wait_for(PATIENCE);
        let connector = ClientConnector::new(connector).unwrap();
        let client = BOB.credentials();
        runtime().block_on(async {
            let address = place.address();
            let connect = connector.connect(&address, &client);
            tokio::pin!(connect);
            let pending = tokio::time::timeout(Duration::from_millis(10), &mut connect).await;
            assert!(pending.is_err());
            let hidden = place.at("new");
            let listener = UnixListener::bind(&hidden).unwrap();
            set_mode(&hidden, 0o666);
            fs::rename(&hidden, place.socket()).unwrap();
            drop(connect.await.unwrap());
            BOB.assert_peer(listener.accept().unwrap().0);
        });
    });
}
