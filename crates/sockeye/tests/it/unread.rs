//! A connection that is idle counts as drained, or as served after a timeout, only where the kernel
//! holds nothing that was sent.

use std::future::pending;
use std::sync::Mutex;
use std::time::Duration;

use sockeye::framing::Framing;
use sockeye::listener::{ConnectedSocket, SocketListener};
use sockeye::server::{Connection, Messages, Records, Server};
use sockeye::{Claim, Connector, SeqPacket, SeqPacketListener, Stream};
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;

use crate::support::Place;
use crate::support::serving::{
    Client, Clock, MILLISECOND, Running, claimed, counted, in_time, on_each_runtime, settled,
};

/// What a handler does that never reads.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// It marks its connection as idle, and is aborted at the drain timeout.
    IsAborted,
    /// It returns when the drain begins.
    Returns,
}

async fn idle<S: ConnectedSocket>(mut connection: Connection<S>, way: Way) {
    connection.set_idle(true);
    match way {
        Way::IsAborted => pending().await,
        Way::Returns => connection.shutdown_token().cancelled().await,
    }
}

/// How many count as drained and as aborted, of one client who has sent `sent`.
async fn counts<S: ConnectedSocket, F>(
    listener: SocketListener<S>,
    handler: impl Fn(Connection<S>) -> F + Send + 'static,
    client: impl FnOnce(),
) -> (u64, u64)
where
    F: Future<Output = ()> + Send + 'static,
{
    // It waits in the backlog then, which is accepted whenever the server stops.
    client();
    let server = Server::new().drain_timeout(Duration::from_millis(50));
    let server = Running::start(server, listener, handler);
    server.stop();
    let report = server.report().await;
    (report.drained, report.aborted)
}

#[test]
fn what_a_stream_holds_unread_is_aborted() {
    on_each_runtime(async || {
        for (sent, expected) in [(&b""[..], (1, 0)), (b"x", (0, 1))] {
            for ends in [true, false] {
                let place = Place::new();
                let listener = claimed(&place.address());
                let mut kept = None;
                let client = || {
                    let client = Connector::new().connect_blocking(&place.address()).unwrap();
                    std::io::Write::write_all(&mut &client, sent).unwrap();
                    kept = (!ends).then_some(client);
                };
                let handler = |connection: Connection<Stream>| idle(connection, Way::IsAborted);
                let counted = counts(listener, handler, client).await;
                assert_eq!(counted, expected, "{sent:?}, {ends}");

                let place = Place::new();
                let listener = claimed(&place.address());
                let client = || {
                    let client = Connector::new().connect_blocking(&place.address()).unwrap();
                    std::io::Write::write_all(&mut &client, sent).unwrap();
                    kept = (!ends).then_some(client);
                };
                let handler = |connection: Connection<Stream>| idle(connection, Way::Returns);
                let counted = counts(listener, handler, client).await;
                assert_eq!(counted, expected, "{sent:?}, {ends}");
            }
        }
    });
}

#[test]
fn what_nobody_has_asked_messages_or_records_for_is_aborted() {
    on_each_runtime(async || {
        let place = Place::new();
        let listener = claimed(&place.address());
        let client = Connector::new().connect_blocking(&place.address()).unwrap();
        let handler = |connection| async {
            let _messages = Messages::new(connection, Framing::Line, 10);
            pending::<()>().await;
        };
        let send = || std::io::Write::write_all(&mut &client, b"x\n").unwrap();
        assert_eq!(counts(listener, handler, send).await, (0, 1));

        for (records, expected) in [(&[][..], (1, 0)), (&[&b""[..]], (0, 1)), (&[b"x"], (0, 1))] {
            let place = Place::new();
            let address = format!("seqpacket:{}", place.address()).parse().unwrap();
            let claim = Claim::options().claim(&address).unwrap();
            let listener = SeqPacketListener::from_claim(claim).unwrap();
            let client = Connector::new()
                .connect_seqpacket_blocking(&address)
                .unwrap();
            let handler = |connection: Connection<SeqPacket>| async {
                let _records = Records::new(connection, 10);
                pending::<()>().await;
            };
            let send = || {
                for record in records {
                    client.send(record).unwrap();
                }
            };
            let counted = counts(listener, handler, send).await;
            assert_eq!(counted, expected, "{records:?}");
        }
    });
}

#[tokio::test]
async fn what_comes_after_a_timeout_is_aborted_though_no_drain_has_begun() {
    let clock = Clock::stop();
    for (sent, expected) in [(&b""[..], counted(1, 0, 0, 0)), (b"x", counted(0, 0, 0, 1))] {
        let place = Place::new();
        let time = Duration::from_secs(5);
        let (is_over, over) = oneshot::channel();
        let (go, may_go) = oneshot::channel();
        let once = Mutex::new(Some((is_over, may_go)));
        let handler = move |mut connection: Connection| {
            let (is_over, may_go) = once.lock().unwrap().take().unwrap();
            async move {
                let read = connection.read(&mut [0]).await;
                is_over.send(read.unwrap_err().kind()).unwrap();
                may_go.await.unwrap();
            }
        };
        let server = Server::new().idle_timeout(time);
        let server = Running::start(server, claimed(&place.address()), handler);
        let mut client = Client::connect(&place.address()).await;
        clock.pass(time + MILLISECOND).await;
        assert_eq!(in_time(over).await, Ok(std::io::ErrorKind::TimedOut));
        client.send(sent).await;
        go.send(()).unwrap();
        settled().await;
        assert_eq!(server.report().await, expected, "{sent:?}");
    }
}
