//! Predecessors that hang, die, or pass on something else than what is at the path.

use super::*;

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

    /// ResultSender one successor.
    fn answer(&self, offer: &[u8], descriptors: &[BorrowedFd<'_>]) -> OwnedFd {
        let connection = rustix::net::accept(&self.control).unwrap();
        let mut hello = [0; 64];
        let got = recv_msg(&connection, &mut hello).unwrap().unwrap();
        assert_eq!(hello[..got.bytes], HELLO);
        send_msg(&connection, offer, descriptors).unwrap();
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
    // The lock file itself, but opened again: another process could take the lock.
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
            matches!(error.kind(), TakeoverErrorKind::ProtocolViolation),
            "{offer:?} {count}: {error}"
        );
    }
}

#[tokio::test]
async fn a_last_step_that_fails_is_an_error_of_the_takeover() {
    let place = Place::new();
    let impostor = Impostor::new(&place);
    let (listener, (impostor, connection)) = taken(&place, move || {
        let connection = impostor.answer(&OFFER, &borrowed(&impostor.copies()));
        (impostor, connection)
    })
    .await;
    let listener = listener.unwrap();
    assert!(listener.predecessor().is_some());
    rustix::net::shutdown(&connection, Shutdown::Read).unwrap();
    send_msg(&connection, &CANCEL, &[]).unwrap();
    drop(connection);
    let server = Running::start(Server::new(), listener, echo_lines);
    let answering = tokio::task::spawn_blocking(move || {
        impostor.answer(b"offer", &borrowed(&impostor.copies()));
    });
    let error = server.result().await.unwrap_err();
    in_time(answering).await.unwrap();
    assert!(
        matches!(&error, ServerError::Takeover(error) if matches!(error.kind(), TakeoverErrorKind::ProtocolViolation)),
        "{error}"
    );
    assert!(error.to_string().starts_with("cannot take over"), "{error}");
    assert_eq!(error.report().served, 0);
}

#[tokio::test]
async fn serving_can_begin_before_run() {
    let place = Place::new();
    let first = serve(&place.address()).await;
    let listener = listen(&place.address()).await.begin().await.unwrap();
    // Nobody accepts yet, and the predecessor has no more to do.
    first.result().await.unwrap();
    let mut client = Client::connect(&place.address()).await;
    assert!(listener.predecessor().is_some());
    let second = Running::start(Server::new(), listener, echo_lines);
    assert_eq!(client.ask("hello").await, "hello");
    drop(client);
    second.report().await;
    place.assert_empty();
}
