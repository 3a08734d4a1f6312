//! Descriptors over a server's stream connections, whole and in halves.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::time::Duration;

use sockeye::ancillary::{RecvError, SendError};
use sockeye::framing::Framing;
use sockeye::server::{Connection, Messages, Server};
use sockeye::{Address, Claim, Connector, Listener, Stream};
use tokio::sync::mpsc;

use crate::sockets::runtime;
use crate::{alone, borrowed, files, with_room_for};

/// How a handler uses its connection.
#[derive(Debug, Clone, Copy)]
enum Use {
    Whole,
    Borrowed,
    Owned,
    /// The halves in two tasks.
    Tasks,
}

const USES: [Use; 4] = [Use::Whole, Use::Borrowed, Use::Owned, Use::Tasks];

/// Sends everything back with its descriptors until it fails; `None` at the end.
macro_rules! send_back {
    ($reader:expr, $writer:expr) => {{
        let mut buffer = vec![0; 1 << 16];
        loop {
            let received = match $reader.recv_msg(&mut buffer).await {
                Ok(Some(received)) => received,
                Ok(None) => break None,
                Err(RecvError::Io(error)) => break Some(error),
                Err(error) => panic!("{error}"),
            };
            let descriptors = borrowed(&received.descriptors);
            match $writer
                .send_msg(&buffer[..received.bytes], &descriptors)
                .await
            {
                Ok(()) => {}
                Err(SendError::Io(error)) => break Some(error),
                Err(error) => panic!("{error}"),
            }
        }
    }};
}

async fn serve(mut connection: Connection, how: Use) -> Option<std::io::Error> {
    match how {
        Use::Whole => send_back!(connection, connection),
        Use::Borrowed => {
            let (mut reader, mut writer) = connection.split();
            send_back!(reader, writer)
        }
        Use::Owned => {
            let (mut reader, mut writer) = connection.into_split();
            send_back!(reader, writer)
        }
        Use::Tasks => {
            let (mut reader, mut writer) = connection.into_split();
            let (queue, mut queued) = mpsc::channel::<(Vec<u8>, Vec<OwnedFd>)>(4);
            let sender = tokio::spawn(async move {
                while let Some((bytes, descriptors)) = queued.recv().await {
                    match writer.send_msg(&bytes, &borrowed(&descriptors)).await {
                        Ok(()) => {}
                        Err(SendError::Io(error)) => return Some(error),
                        Err(error) => panic!("{error}"),
                    }
                }
                None
            });
            let mut buffer = vec![0; 1 << 16];
            while let Ok(Some(received)) = reader.recv_msg(&mut buffer).await {
                let bytes = buffer[..received.bytes].to_vec();
                if queue.send((bytes, received.descriptors)).await.is_err() {
                    break;
                }
            }
            drop(queue);
            sender.await.unwrap()
        }
    }
}

/// Runs `client` beside a server that sends everything back; returns how its handler has ended.
fn with_server<F: Future<Output = ()>>(
    how: Use,
    idle: Duration,
    client: impl FnOnce(Stream) -> F,
) -> Option<std::io::Error> {
    let place = tempfile::tempdir().unwrap();
    let address = Address::from_path(place.path().join("app.sock")).unwrap();
    runtime().block_on(async {
        let options = Claim::options().allow_fd_passing(true);
        let listener = Listener::from_claim(options.claim(&address).unwrap()).unwrap();
        let (tell, mut told) = mpsc::unbounded_channel();
        let handler = |connection| {
            let tell = tell.clone();
            async move { tell.send(serve(connection, how).await).unwrap() }
        };
        let mut end = None;
        let shutdown = async {
            let stream = Connector::new().connect(&address).await.unwrap();
            let ((), ended) = tokio::join!(client(stream), told.recv());
            end = ended.unwrap();
        };
        let server = Server::new().idle_timeout(idle).max_connections(1);
        let report = server.run(listener, handler, shutdown).await.unwrap();
        assert_eq!((report.served, report.aborted), (1, 0), "{how:?}");
        end
    })
}

#[test]
fn descriptors_pass_both_ways_over_a_connection_and_its_halves() {
    // More than the kernel holds, so that each direction waits.
    const SIZE: usize = 1 << 20;
    for how in USES {
        alone(|| {
            let client = async |stream: Stream| {
                let (mut reader, mut writer) = stream.into_split();
                let files = files(5);
                let sent: Vec<u8> = (0..SIZE).map(|at| (at / 3) as u8).collect();
                let send = async {
                    writer.send_msg(&sent, &borrowed(&files)).await.unwrap();
                    writer
                        .send_msg(b"end", &borrowed(&files[..2]))
                        .await
                        .unwrap();
                    drop(writer);
                };
                let receive = async {
                    let (mut bytes, mut positions) = (Vec::new(), Vec::new());
                    let mut buffer = vec![0; 1 << 16];
                    while let Some(received) = reader.recv_msg(&mut buffer).await.unwrap() {
                        bytes.extend_from_slice(&buffer[..received.bytes]);
                        let position = |fd: &OwnedFd| rustix::fs::tell(fd).unwrap();
                        positions.extend(received.descriptors.iter().map(position));
                    }
                    assert_eq!(positions, [0, 1, 2, 3, 4, 0, 1]);
                    assert!(bytes.strip_suffix(b"end") == Some(&sent[..]));
                };
                tokio::join!(send, receive);
            };
            let end = with_server(how, Duration::from_secs(60), client);
            assert!(end.is_none(), "{how:?}: {end:?}");
        });
    }
}

#[test]
fn a_client_that_sends_and_never_reads_is_freed_at_the_idle_timeout() {
    for how in USES {
        alone(|| {
            let client = async |mut stream: Stream| {
                let files = files(2);
                let error = loop {
                    let sent = stream.send_msg(&[0; 1000], &borrowed(&files)).await;
                    if let Err(error) = sent {
                        break error;
                    }
                };
                let SendError::Io(error) = error else {
                    panic!("{error}");
                };
                let gone = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                assert!(gone.contains(&error.kind()), "{error}");
            };
            let end = with_server(how, Duration::from_millis(200), client);
            assert_eq!(end.unwrap().kind(), ErrorKind::TimedOut, "{how:?}");
        });
    }
}

#[test]
fn descriptors_pass_both_ways_with_messages() {
    const SIZE: usize = 1 << 20;
    alone(|| {
        let place = tempfile::tempdir().unwrap();
        let address = Address::from_path(place.path().join("app.sock")).unwrap();
        runtime().block_on(async {
            let options = Claim::options().allow_fd_passing(true);
            let listener = Listener::from_claim(options.claim(&address).unwrap()).unwrap();
            let handler = |connection: Connection| async {
                let messages = Messages::new(connection, Framing::Length, SIZE);
                let mut messages = messages.receive_descriptors();
                while let Some((message, descriptors)) = messages.recv_msg().await.unwrap() {
                    let descriptors = borrowed(&descriptors);
                    let sent = messages.send_msg(&message.payload, &descriptors).await;
                    sent.unwrap();
                }
            };
            let shutdown = async {
                let stream = Connector::new().connect(&address).await.unwrap();
                let messages = Messages::new(stream, Framing::Length, SIZE);
                let mut messages = messages.receive_descriptors();
                let files = files(5);
                for (size, count) in [(0, 5), (10, 0), (SIZE, 3), (1, 1), (SIZE, 0)] {
                    let payload = vec![7; size];
                    let sent = messages
                        .send_msg(&payload, &borrowed(&files[..count]))
                        .await;
                    sent.unwrap();
                    let (message, descriptors) = messages.recv_msg().await.unwrap().unwrap();
                    assert!(message.payload == payload);
                    let position = |fd: &OwnedFd| rustix::fs::tell(fd).unwrap();
                    let positions: Vec<u64> = descriptors.iter().map(position).collect();
                    assert_eq!(positions, (0..count as u64).collect::<Vec<_>>());
                }
            };
            let report = Server::new()
                .run(listener, handler, shutdown)
                .await
                .unwrap();
            assert_eq!((report.served + report.drained, report.aborted), (1, 0));
        });
    });
}

#[test]
fn the_name_of_a_peer_takes_no_descriptor() {
    alone(|| {
        runtime().block_on(async {
            let (left, _right) = Stream::pair().unwrap();
            let name = with_room_for(0, || left.peer_addr());
            assert!(name.unwrap().is_unnamed());
        });
    });
}
