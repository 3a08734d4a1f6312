//! Takeovers between servers of this process, and with counterparts that misbehave.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use sockeye::ancillary::{RecvError, recv_with, send_with};
use sockeye::claim::{ClaimErrorKind, Mismatch};
use sockeye::server::{Connection, Server};
use sockeye::takeover::TakeoverErrorKind;
use sockeye::{
    Address, Claim, Connector, Kind, Listener, SeqPacket, SeqPacketListener, Takeover,
    TakeoverError,
};

use crate::support::serving::{
    Client, Clock, DRAIN, MILLISECOND, Running, echo_lines, in_time, settled,
};
use crate::support::{PATIENCE, Place, identity, listening, mode_of};

const HELLO: [u8; 2] = [2, 1];
const OFFER: [u8; 2] = [2, 2];
const READY: [u8; 2] = [2, 3];
const SERVING: [u8; 2] = [2, 4];
const CANCEL: [u8; 2] = [2, 5];

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

    /// One that has the descriptors.
    async fn offered(place: &Place) -> Self {
        let asker = Self::connect(place).await;
        asker.say(&HELLO).await;
        assert_eq!(asker.hear().await, (OFFER.to_vec(), 3));
        asker
    }

    /// One that may serve.
    async fn ready(place: &Place) -> Self {
        let asker = Self::offered(place).await;
        asker.say(&READY).await;
        settled().await;
        asker
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
    for steps in 0..=3 {
        let asker = match steps {
            0 | 1 => Asker::connect(&place).await,
            _ => Asker::offered(&place).await,
        };
        if steps == 1 {
            asker.say(&HELLO).await;
        }
        if steps == 3 {
            asker.say(&READY).await;
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
    for nonsense in [&b""[..], &[1, 1], &READY, &[1; 100]] {
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

/// Its last word is what makes the path the successor's, whether or not it was read.
#[tokio::test]
async fn a_server_that_is_stopped_or_dropped_leaves_the_files_to_who_has_said_that_it_serves() {
    for drops in [false, true] {
        let place = Place::new();
        let server = serve(&place.address()).await;
        let before = identity(&place.socket());
        let asker = Asker::ready(&place).await;
        // Nothing in between at which the server could look.
        let said = send_with(&asker.0, &SERVING, &[]);
        said.unwrap();
        match drops {
            true => server.abandon().await,
            false => assert_eq!(server.report().await.aborted, 0),
        }
        assert_eq!(identity(&place.socket()), before);
        assert_eq!(place.names().len(), 3);
    }
}

#[tokio::test]
async fn a_server_that_is_dropped_takes_its_offer_back() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let asker = Asker::ready(&place).await;
    server.abandon().await;
    place.assert_empty();
    assert!(asker.0.send(&SERVING).await.is_err());
    assert_eq!(asker.hear().await.0, CANCEL);
}

#[tokio::test]
async fn a_server_that_is_stopped_accepts_until_its_successor_serves() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let before = identity(&place.socket());
    let asker = Asker::ready(&place).await;
    server.stop();
    assert!(!server.is_over().await);
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.ask("still here").await, "still here");
    assert_eq!(identity(&place.socket()), before);
    asker.say(&SERVING).await;
    server.result().await.unwrap();
    assert_eq!(identity(&place.socket()), before);
}

#[tokio::test]
async fn a_server_that_is_stopped_waits_for_its_successor_as_long_as_it_drains() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let asker = Asker::ready(&place).await;
    let clock = Clock::stop();
    server.stop();
    clock.pass(DRAIN - MILLISECOND).await;
    assert!(!server.is_over().await);
    clock.pass(2 * MILLISECOND).await;
    server.result().await.unwrap();
    place.assert_empty();
    assert!(asker.0.send(&SERVING).await.is_err());
    assert_eq!(asker.hear().await.0, CANCEL);
}

#[tokio::test]
async fn a_successor_that_gives_up_while_the_server_stops_leaves_it_to_end_in_order() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let asker = Asker::ready(&place).await;
    server.stop();
    assert!(!server.is_over().await);
    drop(asker);
    server.result().await.unwrap();
    place.assert_empty();
}

#[tokio::test]
async fn the_predecessor_serves_until_its_successor_does() {
    let place = Place::new();
    let first = serve(&place.address()).await;
    let listener = listen(&place.address()).await;
    let clock = Clock::stop();
    for _ in 0..29 {
        clock.pass(1000 * MILLISECOND).await;
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.ask("still here").await, "still here");
    }
    let second = Running::start(Server::new(), listener, echo_lines);
    first.result().await.unwrap();
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.ask("and here").await, "and here");
    second.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn a_successor_that_comes_too_late_takes_over_once_more() {
    let place = Place::new();
    let first = serve(&place.address()).await;
    let before = identity(&place.socket());
    let listener = listen(&place.address()).await;
    let clock = Clock::stop();
    clock.pass(2 * PATIENCE).await;
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.ask("still here").await, "still here");
    // Somebody else has a turn meanwhile.
    drop(Asker::ready(&place).await);
    drop(clock);
    tokio::time::resume();
    let second = Running::start(Server::new(), listener, echo_lines);
    first.result().await.unwrap();
    assert_eq!(identity(&place.socket()), before);
    second.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn a_successor_of_a_server_that_has_stopped_meanwhile_claims_the_path() {
    let place = Place::new();
    let first = serve(&place.address()).await;
    let listener = listen(&place.address()).await;
    let clock = Clock::stop();
    first.stop();
    clock.pass(DRAIN + MILLISECOND).await;
    first.result().await.unwrap();
    place.assert_empty();
    drop(clock);
    tokio::time::resume();
    let second = Running::start(Server::new(), listener, echo_lines);
    let mut client = connect_when_there(&place).await;
    assert_eq!(client.ask("hello").await, "hello");
    second.report().await;
    place.assert_empty();
}

async fn connect_when_there(place: &Place) -> Client {
    let connector = Connector::new().wait_for(PATIENCE);
    Client::from(connector.connect(&place.address()).await.unwrap())
}

#[tokio::test]
async fn a_successor_that_is_stopped_before_it_serves_leaves_the_path() {
    let place = Place::new();
    let first = serve(&place.address()).await;
    let second = listen(&place.address()).await;
    let second = Running::start(Server::new(), second, echo_lines);
    second.stop();
    second.result().await.unwrap();
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.ask("still here").await, "still here");
    drop(client);
    first.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn a_mode_that_the_successor_has_set_is_taken_back_if_it_does_not_serve() {
    let place = Place::new();
    let first = serve(&place.address()).await;
    let wide = Takeover::new(Claim::options().mode(0o666));
    let listener: Listener = in_time(wide.listen(&place.address())).await.unwrap();
    assert_eq!(mode_of(&place.socket()), 0o666);
    drop(listener);
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.ask("hello").await, "hello");
    settled().await;
    assert_eq!(mode_of(&place.socket()), 0o600);
    drop(client);
    first.report().await;
}

#[tokio::test]
async fn silent_connections_keep_no_successor_waiting() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let mut silent = Vec::new();
    for _ in 0..130 {
        silent.push(Asker::connect(&place).await);
        settled().await;
    }
    let asker = Asker::ready(&place).await;
    asker.say(&SERVING).await;
    server.result().await.unwrap();
    // Each was told; some had to give way before.
    for asker in silent {
        assert_eq!(asker.hear().await.0, CANCEL);
    }
}

/// As many as are held, and more, have asked, and one of them has an offer.
#[tokio::test]
async fn successors_that_hang_keep_the_latest_waiting_for_one_of_them_at_most() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let mut hanging = vec![Asker::offered(&place).await];
    for _ in 0..40 {
        let asker = Asker::connect(&place).await;
        asker.say(&HELLO).await;
        settled().await;
        hanging.push(asker);
    }
    let latest = Asker::connect(&place).await;
    latest.say(&HELLO).await;
    let clock = Clock::stop();
    clock.pass(4000 * MILLISECOND).await;
    assert_eq!(hanging[0].hear().await.0, CANCEL);
    assert_eq!(latest.hear().await, (OFFER.to_vec(), 3));
    latest.say(&READY).await;
    latest.say(&SERVING).await;
    server.result().await.unwrap();
}

#[tokio::test]
async fn one_successor_at_a_time_has_an_offer() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let first = Asker::ready(&place).await;
    let second = Asker::connect(&place).await;
    second.say(&HELLO).await;
    settled().await;
    let mut nothing = [0; 2];
    let seen = rustix::net::recv(&second.0, &mut nothing, RecvFlags::DONTWAIT);
    assert_eq!(seen.err(), Some(Errno::AGAIN));
    drop(first);
    assert_eq!(second.hear().await, (OFFER.to_vec(), 3));
    drop(second);
    server.report().await;
}

#[tokio::test]
async fn one_that_has_the_descriptors_and_says_nothing_is_given_up() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let silent = Asker::offered(&place).await;
    let next = Asker::connect(&place).await;
    next.say(&HELLO).await;
    let clock = Clock::stop();
    clock.pass(PATIENCE).await;
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

    /// Answers one successor.
    fn answer(&self, offer: &[u8], descriptors: &[BorrowedFd<'_>]) -> OwnedFd {
        let connection = rustix::net::accept(&self.control).unwrap();
        let mut hello = [0; 64];
        let got = recv_with(&connection, &mut hello).unwrap().unwrap();
        assert_eq!(hello[..got.bytes], HELLO);
        send_with(&connection, offer, descriptors).unwrap();
        connection
    }

    fn copies(&self) -> [OwnedFd; 3] {
        [&self.server, &self.lock, &self.control].map(|fd| fd.try_clone().unwrap())
    }
}

async fn taken<T: Send + 'static>(
    place: &Place,
    answer: impl FnOnce() -> T + Send + 'static,
) -> (Result<Listener, TakeoverError>, T) {
    let answering = tokio::task::spawn_blocking(answer);
    let taken = in_time(takeover().listen(&place.address())).await;
    (taken, in_time(answering).await.unwrap())
}

fn borrowed(fds: &[OwnedFd; 3]) -> [BorrowedFd<'_>; 3] {
    fds.each_ref().map(AsFd::as_fd)
}

#[tokio::test]
async fn a_predecessor_that_dies_or_hangs_after_its_offer_is_succeeded() {
    for hangs in [false, true] {
        let place = Place::new();
        let impostor = Impostor::new(&place);
        let before = fs::metadata(place.socket()).unwrap();
        let copies = impostor.copies();
        let (listener, _hanging) = taken(&place, move || {
            let connection = impostor.answer(&OFFER, &borrowed(&copies));
            hangs.then_some((impostor, connection))
        })
        .await;
        let listener = listener.unwrap();
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
    let (listener, ()) = taken(&place, move || {
        let impostor = impostor;
        drop(rustix::net::accept(&impostor.control).unwrap());
    })
    .await;
    let listener = listener.unwrap();
    assert_eq!(listener.predecessor(), None);
    drop(listener);
    place.assert_empty();
}

/// What comes of it when an impostor passes this on, as often as it is asked.
async fn refused(place: &Place, impostor: Impostor, copies: [OwnedFd; 3]) -> TakeoverError {
    let taken = taken(place, move || {
        for _ in 0..10 {
            impostor.answer(&OFFER, &borrowed(&copies));
        }
        impostor
    });
    let (result, impostor) = taken.await;
    drop(impostor);
    result.unwrap_err()
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
        let error = refused(&inner, impostor, copies).await;
        assert!(
            matches!(error.kind(), TakeoverErrorKind::Mismatch(found) if *found == expected),
            "{error}"
        );
        // All that it had found is still there.
        assert_eq!(inner.names().len(), 3);
    }
    // The lock file itself, but opened anew: another process could take the lock.
    let inner = Place::new();
    let impostor = Impostor::new(&inner);
    let mut copies = impostor.copies();
    copies[1] = fs::File::open(inner.lock()).unwrap().into();
    let error = refused(&inner, impostor, copies).await;
    assert!(
        matches!(error.kind(), TakeoverErrorKind::Mismatch(Mismatch::Lock)),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_of_another_version_is_an_error() {
    for (offer, count) in [
        (&[1, 2][..], 3),
        (&[1, 6], 0),
        (&[3, 2], 3),
        (&OFFER, 2),
        (&OFFER, 4),
        (b"offer", 3),
    ] {
        let inner = Place::new();
        let impostor = Impostor::new(&inner);
        let (result, _impostor) = taken(&inner, move || {
            let [server, lock, control] = impostor.copies();
            let all = [server.as_fd(), lock.as_fd(), control.as_fd(), lock.as_fd()];
            impostor.answer(offer, &all[..count]);
            impostor
        })
        .await;
        let error = result.unwrap_err();
        assert!(
            matches!(error.kind(), TakeoverErrorKind::Broken),
            "{offer:?} {count}: {error}"
        );
    }
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
