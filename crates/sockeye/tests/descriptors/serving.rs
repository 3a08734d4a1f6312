//! A server's connections: whichever way they end, the descriptors that came do too.

use std::future::Future;

use sockeye::ancillary::{MAX_DESCRIPTORS, send_msg};
use sockeye::framing::Framing;
use sockeye::listener::{ConnectedSocket, SocketListener};
use sockeye::server::{Connection, Messages, Records, Server};
use sockeye::{Address, Claim, Connector, Name, SeqPacket, Stream};
use tokio::sync::mpsc;

use crate::sockets::runtime;
use crate::{alone, borrowed, files};

/// Some bytes, and with how many descriptors they go.
type Sent = (&'static [u8], usize);

/// How a handler has ended: after how many messages, and why.
type End = (usize, Option<String>);

/// Serves a client that has sent all that and has closed. The handler leaves all that has come to
/// the connection's end.
fn serve<S: ConnectedSocket, F>(
    sent: &[Sent],
    handle: impl Fn(Connection<S>, mpsc::UnboundedSender<End>) -> F,
) -> End
where
    F: Future<Output = ()> + Send + 'static,
{
    let files = files(MAX_DESCRIPTORS);
    let place = tempfile::tempdir().unwrap();
    let name = Name::Path(place.path().join("app.sock"));
    let address = Address::new(S::KIND.unwrap(), &name).unwrap();
    runtime().block_on(async {
        let claim = Claim::options()
            .allow_fd_passing(true)
            .claim(&address)
            .unwrap();
        let listener = SocketListener::<S>::from_claim(claim).unwrap();
        match S::KIND {
            Some(sockeye::Kind::SeqPacket) => {
                let client = Connector::new()
                    .connect_seqpacket_blocking(&address)
                    .unwrap();
                for (bytes, count) in sent {
                    client.send_msg(bytes, &borrowed(&files[..*count])).unwrap();
                }
            }
            _ => {
                let client = Connector::new().connect_blocking(&address).unwrap();
                for (bytes, count) in sent {
                    send_msg(&client, bytes, &borrowed(&files[..*count])).unwrap();
                }
            }
        }
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut end = None;
        let shutdown = async { end = told.recv().await };
        let handler = |connection| handle(connection, tell.clone());
        Server::new()
            .run(listener, handler, shutdown)
            .await
            .unwrap();
        end.unwrap()
    })
}

async fn messages(connection: Connection<Stream>, tell: mpsc::UnboundedSender<End>) {
    let mut messages = Messages::new(connection, Framing::Line, 1 << 20).receive_descriptors();
    let mut count = 0;
    let error = loop {
        match messages.next().await {
            Ok(Some(_)) => count += 1,
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        }
    };
    tell.send((count, error)).unwrap();
}

async fn records(connection: Connection<SeqPacket>, tell: mpsc::UnboundedSender<End>) {
    let mut records = Records::new(connection, 8);
    let mut count = 0;
    let error = loop {
        match records.next().await {
            Ok(Some(_)) => count += 1,
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        }
    };
    tell.send((count, error)).unwrap();
}

#[test]
fn descriptors_of_messages_are_closed() {
    let too_many = "more than 253 descriptors with one message; send several messages";
    let cases: [(&[Sent], End); 5] = [
        (&[(b"a\n", 3), (b"b\n", 2)], (2, None)),
        (&[(b"a\n", 253), (b"b", 253), (b"\nc\n", 253)], (3, None)),
        (
            &[(b"a", 253), (b"b", 1), (b"\n", 0)],
            (0, Some(too_many.into())),
        ),
        (&[(b"a", 253), (b"b\n", 1)], (0, Some(too_many.into()))),
        (&[(b"a", 1)], (1, None)),
    ];
    alone(|| {
        for (sent, end) in cases {
            assert_eq!(serve(sent, messages), end, "{sent:?}");
        }
    });
}

#[test]
fn descriptors_of_records_are_closed() {
    let too_long = "a record of 9 bytes, and there is room for 8";
    let cases: [(&[Sent], End); 3] = [
        (&[(b"a", 3), (b"", 253), (b"", 0)], (3, None)),
        (
            &[(b"a", 1), (b"too long!", 253)],
            (1, Some(too_long.into())),
        ),
        (
            &[(b"too long!", 1), (b"never", 2)],
            (0, Some(too_long.into())),
        ),
    ];
    alone(|| {
        for (sent, end) in cases {
            assert_eq!(serve(sent, records), end, "{sent:?}");
        }
    });
}

#[test]
fn descriptors_of_whoever_is_refused_are_closed() {
    alone(|| {
        let files = files(3);
        let place = tempfile::tempdir().unwrap();
        let address = Address::from_path(place.path().join("app.sock")).unwrap();
        let server = Server::new().authorize(|_, _| false);
        runtime().block_on(async {
            let claim = Claim::options()
                .allow_fd_passing(true)
                .claim(&address)
                .unwrap();
            let listener = sockeye::Listener::from_claim(claim).unwrap();
            let mut client = Connector::new().connect(&address).await.unwrap();
            client.send_msg(b"x", &borrowed(&files)).await.unwrap();
            let shutdown =
                async { while client.recv_msg(&mut [0]).await.is_ok_and(|r| r.is_some()) {} };
            let handler = |_: Connection| async { panic!("no connection is accepted") };
            let report = server.run(listener, handler, shutdown).await.unwrap();
            assert_eq!(report.refused, 1);
        });
    });
}
