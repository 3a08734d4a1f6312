//! Pairs, and connections without a server, with tokio's clock paused: no time passes while bytes are on
//! their way, and where all wait, it jumps to the next timer.

use std::io::ErrorKind;
use std::time::Duration;

use sockeye::framing::Framing;
use sockeye::server::{Connection, LimitError, Messages, Records, Server, echo};
use sockeye::{SeqPacket, Shutdown, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use crate::support::serving::counted;

const TIME: Duration = Duration::from_secs(1);
/// More than the kernel's buffers hold.
const SIZE: usize = 1 << 20;

#[tokio::test(start_paused = true)]
async fn no_time_passes_while_a_pair_of_streams_exchanges_bytes() {
    let before = Instant::now();
    let (mut left, mut right) = Stream::pair().unwrap();
    let echo = tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        loop {
            // Each wait would be a jump of the clock.
            let read = timeout(TIME, right.read(&mut buffer)).await.unwrap();
            let count = read.unwrap();
            if count == 0 {
                return right;
            }
            let written = timeout(TIME, right.write_all(&buffer[..count])).await;
            written.unwrap().unwrap();
        }
    });
    let mut byte = [0];
    for _ in 0..100 {
        left.write_all(b"x").await.unwrap();
        timeout(TIME, left.read_exact(&mut byte))
            .await
            .unwrap()
            .unwrap();
    }
    {
        let (mut reader, mut writer) = left.split();
        let mut back = vec![0; SIZE];
        let bytes = vec![7; SIZE];
        let write = timeout(TIME, writer.write_all(&bytes));
        let read = timeout(TIME, reader.read_exact(&mut back));
        let (written, read) = tokio::join!(write, read);
        written.unwrap().unwrap();
        read.unwrap().unwrap();
    }
    left.shutdown(Shutdown::Write).unwrap();
    let right = timeout(TIME, echo).await.unwrap().unwrap();
    // Readiness, and a close that is waited for.
    right.try_write(b"end").unwrap();
    timeout(TIME, left.readable()).await.unwrap().unwrap();
    assert_eq!(left.try_read(&mut [0; 4]).unwrap(), 3);
    let (closed, ()) = tokio::join!(timeout(TIME, left.read(&mut byte)), async { drop(right) });
    assert_eq!(closed.unwrap().unwrap(), 0);
    assert_eq!(Instant::now(), before);
}

#[tokio::test(start_paused = true)]
async fn no_time_passes_while_a_pair_exchanges_records() {
    let before = Instant::now();
    let (left, right) = SeqPacket::pair().unwrap();
    let echo = tokio::spawn(async move {
        let mut buffer = [0; 100];
        while let Some(size) = timeout(TIME, right.recv(&mut buffer))
            .await
            .unwrap()
            .unwrap()
        {
            let sent = timeout(TIME, right.send(&buffer[..size])).await;
            sent.unwrap().unwrap();
        }
    });
    let send = async {
        for _ in 0..1000 {
            timeout(TIME, left.send(b"record")).await.unwrap().unwrap();
        }
    };
    let receive = async {
        for _ in 0..1000 {
            let received = timeout(TIME, left.recv(&mut [0; 100])).await;
            assert_eq!(received.unwrap().unwrap(), Some(6));
        }
    };
    tokio::join!(send, receive);
    left.shutdown(Shutdown::Write).unwrap();
    timeout(TIME, echo).await.unwrap().unwrap();
    assert_eq!(Instant::now(), before);
}

async fn lines(connection: Connection) -> Result<(), sockeye::framing::FramingError> {
    let mut messages = Messages::new(connection, Framing::Line, SIZE);
    while let Some(message) = messages.next().await? {
        messages.send(&message.payload).await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_tested_with_the_timeouts_of_a_server() {
    let before = Instant::now();
    let server = Server::new().idle_timeout(30 * TIME);
    let (connection, client, handle) = Connection::pair_of(&server).unwrap();
    let handler = tokio::spawn(lines(connection));
    let mut client = Messages::new(client, Framing::Line, SIZE);
    for size in [0, 1, 5000, SIZE] {
        let line = vec![b'x'; size];
        client.send(&line).await.unwrap();
        let reply = timeout(TIME, client.next()).await.unwrap().unwrap();
        assert!(reply.unwrap().payload == line);
    }
    assert_eq!(Instant::now(), before);
    // Where both wait, the clock jumps to the timeout.
    assert!(client.next().await.unwrap().is_none());
    let error = handler.await.unwrap().unwrap_err();
    let sockeye::framing::FramingError::Io(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let passed = before.elapsed();
    assert!(passed >= 30 * TIME && passed < 31 * TIME, "{passed:?}");
    assert_eq!(handle.report(), counted(1, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_a_connection_without_a_server_is_graceful() {
    let before = Instant::now();
    let (connection, client, handle) = Connection::pair().unwrap();
    let token = connection.shutdown_token();
    let handler = tokio::spawn(lines(connection));
    let mut client = Messages::new(client, Framing::Line, 100);
    client.send_raw(b"hal").await.unwrap();
    tokio::task::yield_now().await;
    handle.drain();
    assert!(token.is_cancelled());
    client.send_raw(b"f\n").await.unwrap();
    let reply = timeout(TIME, client.next()).await.unwrap().unwrap();
    assert_eq!(reply.unwrap().payload, "half");
    assert!(
        timeout(TIME, client.next())
            .await
            .unwrap()
            .unwrap()
            .is_none()
    );
    handler.await.unwrap().unwrap();
    assert_eq!(handle.report(), counted(0, 0, 1, 0));
    assert_eq!(Instant::now(), before);

    // One that has sent nothing has another second.
    let (mut connection, mut client, handle) = Connection::pair().unwrap();
    let handler = tokio::spawn(async move { echo(&mut connection).await });
    handle.drain();
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    handler.await.unwrap().unwrap();
    let passed = before.elapsed();
    assert!(passed >= TIME && passed < 2 * TIME, "{passed:?}");
}

#[tokio::test(start_paused = true)]
async fn records_are_tested_likewise() {
    let (connection, client, handle) = Connection::seqpacket_pair().unwrap();
    let handler = tokio::spawn(async move {
        let mut records = Records::new(connection, 100);
        while let Some(record) = records.next().await.unwrap() {
            records.send(&record.payload, &[]).await.unwrap();
        }
    });
    client.send(b"one").await.unwrap();
    let received = timeout(TIME, client.recv(&mut [0; 100])).await.unwrap();
    assert_eq!(received.unwrap(), Some(3));
    handle.drain();
    let received = timeout(TIME, client.recv(&mut [0; 100])).await.unwrap();
    assert_eq!(received.unwrap(), None);
    handler.await.unwrap();
    assert_eq!(handle.report(), counted(0, 0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_abort_tells_the_handler_and_is_counted() {
    let (connection, _client, handle) = Connection::pair().unwrap();
    let handler = tokio::spawn(async move {
        connection.abort_token().cancelled().await;
        drop(connection);
    });
    handle.abort();
    timeout(TIME, handler).await.unwrap().unwrap();
    assert_eq!(handle.report(), counted(0, 0, 0, 1));

    let (mut connection, _client, handle) = Connection::pair().unwrap();
    let handler = tokio::spawn(async move { connection.read_u8().await });
    tokio::task::yield_now().await;
    handle.abort();
    let error = timeout(TIME, handler).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
}

#[tokio::test(start_paused = true)]
async fn a_send_after_an_abort_names_it() {
    let (connection, _client, handle) = Connection::pair().unwrap();
    let mut messages = Messages::new(connection, Framing::Line, 100);
    handle.abort();
    let is_aborted = |error: &std::io::Error| {
        let limit = error.get_ref().and_then(|error| error.downcast_ref());
        error.kind() == ErrorKind::ConnectionAborted && limit == Some(&LimitError::Aborted)
    };
    let sent = messages.send_now(b"x\n");
    assert!(sent.is_err_and(|error| is_aborted(&error)));
    let sent = messages.send_raw(b"x\n").await;
    assert!(sent.is_err_and(|error| is_aborted(&error)));
}
