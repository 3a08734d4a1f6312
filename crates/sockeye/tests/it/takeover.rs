//! Takeovers between servers of this process, and with counterparts that misbehave.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use sockeye::ancillary::{RecvError, recv_with, send_with};
use sockeye::claim::{ClaimErrorKind, Mismatch};
use sockeye::server::{Connection, Server};
use sockeye::takeover::TakeoverErrorKind;
use sockeye::{
    Address, Claim, Connector, Kind, Listener, SeqPacket, SeqPacketListener, Takeover,
    TakeoverError,
};

use crate::support::serving::{Client, Running, echo_lines, in_time, settled};
use crate::support::{PATIENCE, Place, identity, listening};

const HELLO: [u8; 2] = [1, 1];
const OFFER: [u8; 2] = [1, 2];
const READY: [u8; 2] = [1, 3];
const YOURS: [u8; 2] = [1, 4];
const CANCEL: [u8; 2] = [1, 6];

fn takeover() -> Takeover {
    Takeover::new(Claim::options())
}

async fn listen(address: &Address) -> Listener {
    in_time(takeover().listen(address)).await.unwrap()
}

async fn serve(address: &Address) -> Running {
    Running::start(Server::new(), listen(address).await, echo_lines)
}

fn control(place: &Place) -> PathBuf {
    place.at("app.sock.takeover")
}

#[tokio::test]
async fn the_predecessor_ends_and_the_file_stays() {
    let place = Place::new();
    let first = serve(&place.address()).await;
    let before = identity(&place.socket()).unwrap();
    let mut begun = Client::connect(&place.address()).await;
    assert_eq!(begun.ask("one").await, "one");
    let listener = listen(&place.address()).await;
    assert_eq!(
        listener.predecessor().and_then(|peer| peer.pid()),
        Some(rustix::process::getpid())
    );
    let second = Running::start(Server::new(), listener, echo_lines);
    assert_eq!(begun.rest().await, b"", "between two messages");
    assert_eq!(first.result().await.unwrap().drained, 1);
    assert_eq!(identity(&place.socket()), Some(before));
    let mut next = Client::connect(&place.address()).await;
    assert_eq!(next.ask("two").await, "two");
    second.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn what_waits_in_the_backlog_is_the_successors() {
    let place = Place::new();
    // Its only place is taken, so that it accepts nobody else.
    let listener = listen(&place.address()).await;
    let first = Running::start(Server::new().max_connections(1), listener, echo_lines);
    let mut only = Client::connect(&place.address()).await;
    assert_eq!(only.ask("one").await, "one");
    let mut waiting = Client::connect(&place.address()).await;
    waiting.send("two\n").await;
    let second = serve(&place.address()).await;
    assert_eq!(waiting.line().await, "two");
    assert_eq!(first.result().await.unwrap().drained, 1);
    assert_eq!(second.report().await.drained, 1);
}

#[tokio::test]
async fn a_seqpacket_socket_is_handed_over_too() {
    let place = Place::new();
    let address = place.address_of(Kind::SeqPacket);
    let listen = async || takeover().listen(&address).await.unwrap();
    let serve = |listener: SeqPacketListener, answer: &'static [u8]| {
        let handler = move |mut connection: Connection<SeqPacket>| async move {
            let _ = connection.send_with(answer, &[]).await;
        };
        tokio::spawn(Server::new().run(listener, handler, std::future::pending()))
    };
    let first = serve(listen().await, b"first");
    let second = serve(listen().await, b"second");
    in_time(first).await.unwrap().unwrap();
    let client = Connector::new().connect_seqpacket(&address).await.unwrap();
    let mut answer = [0; 16];
    let length = in_time(client.recv(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer[..length], b"second");
    second.abort();
}

#[tokio::test]
async fn a_successor_that_gives_up_before_it_serves_leaves_the_predecessor_in_its_place() {
    let place = Place::new();
    let first = serve(&place.address()).await;
    for _ in 0..3 {
        drop(listen(&place.address()).await);
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.ask("still here").await, "still here");
    }
    first.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn only_paths_of_connections_can_be_handed_over() {
    let place = Place::new();
    for address in [
        place.abstract_address(Kind::Stream),
        place.address_of(Kind::Datagram),
    ] {
        let error = Claim::options().takeover(true).claim(&address).unwrap_err();
        assert_eq!(error.kind(), &ClaimErrorKind::NoTakeover);
    }
    place.assert_empty();
}

/// A successor that does what the test says.
struct Asker(SeqPacket);

impl Asker {
    async fn connect(place: &Place) -> Self {
        let address = format!("seqpacket:{}", control(place).display());
        let address = address.parse().unwrap();
        Self(Connector::new().connect_seqpacket(&address).await.unwrap())
    }

    async fn say(&self, frame: &[u8]) {
        self.0.send(frame).await.unwrap();
    }

    /// The next frame and how many descriptors came with it; nothing at the end.
    async fn hear(&self) -> (Vec<u8>, usize) {
        let mut buffer = [0; 64];
        loop {
            return match in_time(self.0.recv_with(&mut buffer)).await {
                Ok(Some(got)) => (buffer[..got.bytes].to_vec(), got.descriptors.len()),
                Ok(None) => Default::default(),
                // What we said was not read; what was said to us comes after that.
                Err(RecvError::Io(error)) if error.kind() == ErrorKind::ConnectionReset => continue,
                Err(error) => panic!("{error}"),
            };
        }
    }
}

#[tokio::test]
async fn a_successor_that_dies_at_any_step_before_it_serves_changes_nothing() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let before = identity(&place.socket());
    for steps in 0..=4 {
        let asker = Asker::connect(&place).await;
        if steps >= 1 {
            asker.say(&HELLO).await;
        }
        if steps >= 2 {
            assert_eq!(asker.hear().await, (OFFER.to_vec(), 3));
        }
        if steps >= 3 {
            asker.say(&READY).await;
        }
        if steps >= 4 {
            assert_eq!(asker.hear().await, (YOURS.to_vec(), 0));
        }
        drop(asker);
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.ask("still here").await, "still here", "step {steps}");
        assert_eq!(identity(&place.socket()), before);
    }
    server.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn nonsense_is_answered_with_a_refusal() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    for nonsense in [&b""[..], &[2, 1], &READY, &[1; 100]] {
        let asker = Asker::connect(&place).await;
        asker.say(nonsense).await;
        assert_eq!(asker.hear().await, (CANCEL.to_vec(), 0), "{nonsense:?}");
        assert_eq!(asker.hear().await, (vec![], 0));
    }
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.ask("still here").await, "still here");
    drop(client);
    server.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn a_server_that_stops_says_so_to_who_has_its_descriptors() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let asker = Asker::connect(&place).await;
    asker.say(&HELLO).await;
    assert_eq!(asker.hear().await.0, OFFER);
    asker.say(&READY).await;
    // It has not looked yet.
    server.report().await;
    place.assert_empty();
    let last = asker.hear().await.0;
    assert_eq!(last, CANCEL);
}

#[tokio::test]
async fn a_server_that_is_dropped_once_it_has_yielded_leaves_the_files() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let before = identity(&place.socket());
    let asker = Asker::connect(&place).await;
    asker.say(&HELLO).await;
    assert_eq!(asker.hear().await.0, OFFER);
    asker.say(&READY).await;
    assert_eq!(asker.hear().await.0, YOURS);
    server.abandon().await;
    assert_eq!(identity(&place.socket()), before);
    assert_eq!(place.names().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_says_nothing_is_given_up_and_the_next_one_has_its_turn() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let silent = Asker::connect(&place).await;
    let next = Asker::connect(&place).await;
    next.say(&HELLO).await;
    settled().await;
    tokio::time::advance(2 * PATIENCE).await;
    assert_eq!(silent.hear().await, (CANCEL.to_vec(), 0));
    assert_eq!(next.hear().await, (OFFER.to_vec(), 3));
    drop((silent, next));
    server.report().await;
}

/// A predecessor that does what the test says.
struct Impostor {
    server: OwnedFd,
    lock: OwnedFd,
    control: OwnedFd,
}

impl Impostor {
    fn new(place: &Place) -> Self {
        let lock = fs::File::create(place.lock()).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        Self {
            control: listening(Kind::SeqPacket, &control(place), 8),
            server: listening(Kind::Stream, &place.socket(), 8),
            lock: lock.into(),
        }
    }

    /// Answers one successor and then dies, at once or after it has said `last`.
    fn answer(self, offer: &[u8], descriptors: &[BorrowedFd<'_>], last: Option<&[u8]>) {
        let connection = rustix::net::accept(&self.control).unwrap();
        let mut hello = [0; 64];
        let got = recv_with(&connection, &mut hello).unwrap().unwrap();
        assert_eq!(hello[..got.bytes], HELLO);
        send_with(&connection, offer, descriptors).unwrap();
        if let Some(last) = last {
            recv_with(&connection, &mut hello).unwrap();
            send_with(&connection, last, &[]).unwrap();
        }
    }

    fn copies(&self) -> [OwnedFd; 3] {
        [&self.server, &self.lock, &self.control].map(|fd| fd.try_clone().unwrap())
    }
}

async fn taken(
    place: &Place,
    answer: impl FnOnce() + Send + 'static,
) -> Result<Listener, TakeoverError> {
    let answering = tokio::task::spawn_blocking(answer);
    let taken = in_time(takeover().listen(&place.address())).await;
    in_time(answering).await.unwrap();
    taken
}

fn borrowed(fds: &[OwnedFd; 3]) -> [BorrowedFd<'_>; 3] {
    fds.each_ref().map(AsFd::as_fd)
}

#[tokio::test]
async fn a_predecessor_that_dies_after_its_offer_is_succeeded() {
    for last in [None, Some(&YOURS[..])] {
        let place = Place::new();
        let impostor = Impostor::new(&place);
        let before = fs::metadata(place.socket()).unwrap();
        let copies = impostor.copies();
        let listener = taken(&place, move || {
            impostor.answer(&OFFER, &borrowed(&copies), last);
        })
        .await
        .unwrap();
        let server = Running::start(Server::new(), listener, echo_lines);
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.ask("hello").await, "hello");
        let inode = std::os::unix::fs::MetadataExt::ino;
        assert_eq!(
            inode(&fs::metadata(place.socket()).unwrap()),
            inode(&before)
        );
        drop(client);
        server.report().await;
        place.assert_empty();
    }
}

#[tokio::test]
async fn a_predecessor_that_dies_before_its_offer_leaves_a_stale_path_that_is_claimed() {
    let place = Place::new();
    let impostor = Impostor::new(&place);
    let listener = taken(&place, move || {
        let impostor = impostor;
        drop(rustix::net::accept(&impostor.control).unwrap());
    })
    .await
    .unwrap();
    assert_eq!(listener.predecessor(), None);
    drop(listener);
    place.assert_empty();
}

#[tokio::test]
async fn what_is_passed_on_must_belong_to_the_path() {
    let place = Place::new();
    let other = |kind, name: &str| listening(kind, &place.at(name), 8);
    let elsewhere = Impostor {
        server: other(Kind::Stream, "b"),
        lock: fs::File::open("/dev/null").unwrap().into(),
        control: other(Kind::SeqPacket, "c"),
    };
    for (index, expected) in [Mismatch::Listener, Mismatch::Lock, Mismatch::Control]
        .into_iter()
        .enumerate()
    {
        let inner = Place::new();
        let impostor = Impostor::new(&inner);
        let mut copies = impostor.copies();
        copies[index] = elsewhere.copies()[index].try_clone().unwrap();
        let held = impostor.copies();
        let error = taken(&inner, move || {
            impostor.answer(&OFFER, &borrowed(&copies), None);
        })
        .await
        .unwrap_err();
        assert!(
            matches!(error.kind(), TakeoverErrorKind::Mismatch(found) if *found == expected),
            "{error}"
        );
        drop(held);
        // All that it had found is still there.
        assert_eq!(inner.names().len(), 3);
    }
    // The lock file itself, but opened anew: another process could take the lock.
    let inner = Place::new();
    let impostor = Impostor::new(&inner);
    let held = impostor.copies();
    let mut copies = impostor.copies();
    copies[1] = fs::File::open(inner.lock()).unwrap().into();
    let error = taken(&inner, move || {
        impostor.answer(&OFFER, &borrowed(&copies), None);
    })
    .await
    .unwrap_err();
    assert!(
        matches!(error.kind(), TakeoverErrorKind::Mismatch(Mismatch::Lock)),
        "{error}"
    );
    drop(held);
}

#[tokio::test]
async fn an_answer_of_another_version_is_an_error() {
    let place = Place::new();
    for (offer, count) in [(&[2, 2][..], 3), (&OFFER, 2), (&OFFER, 4), (b"offer", 3)] {
        let inner = Place::new();
        let impostor = Impostor::new(&inner);
        let held = impostor.copies();
        let error = taken(&inner, move || {
            let [server, lock, control] = impostor.copies();
            let all = [server.as_fd(), lock.as_fd(), control.as_fd(), lock.as_fd()];
            impostor.answer(offer, &all[..count], None);
        })
        .await
        .unwrap_err();
        assert!(
            matches!(error.kind(), TakeoverErrorKind::Broken),
            "{offer:?} {count}: {error}"
        );
        drop(held);
    }
    place.assert_empty();
}

#[tokio::test]
async fn no_descriptor_is_left_behind() {
    let in_directory = |path: &Path| {
        fs::read_dir("/proc/self/fd")
            .unwrap()
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .filter(|target| target.starts_with(path))
            .count()
    };
    let place = Place::new();
    let mut server = serve(&place.address()).await;
    let before = in_directory(place.dir());
    for _ in 0..5 {
        let next = serve(&place.address()).await;
        server.result().await.unwrap();
        server = next;
        assert_eq!(in_directory(place.dir()), before);
    }
    server.report().await;
    assert_eq!(in_directory(place.dir()), 0);
}
