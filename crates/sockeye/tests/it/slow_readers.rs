//! Clients that read slowly, with tokio's clock paused: the idle timeout cuts one that reads nothing.

use std::future::Future;
use std::io::ErrorKind;
use std::time::Duration;

use sockeye::Stream;
use sockeye::framing::{Framing, FramingError};
use sockeye::server::{Connection, Messages, Records, Server, echo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

const IDLE: Duration = Duration::from_secs(60);
/// More than the kernel's buffers hold.
const SIZE: usize = 1 << 20;
/// More than the kernel frees at a time, and less than the three quarters of a send buffer that epoll(7)
/// waits for.
const STEP: usize = 50_000;

fn pair() -> (Connection, Stream) {
    let server = Server::new().idle_timeout(IDLE);
    let (connection, client, _) = Connection::pair_of(&server).unwrap();
    (connection, client)
}

/// Runs `send` for a client that reads a step in each timeout.
async fn assert_is_served<F>(send: impl FnOnce(Connection) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (connection, mut client) = pair();
    let sender = tokio::spawn(send(connection));
    let mut buffer = vec![0; STEP];
    for _ in 0..SIZE / STEP {
        sleep(IDLE * 9 / 10).await;
        client.read_exact(&mut buffer).await.unwrap();
    }
    client.read_to_end(&mut buffer).await.unwrap();
    sender.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_reads_steadily_is_not_cut() {
    assert_is_served(|mut connection| async move {
        connection.write_all(&[0; SIZE]).await.unwrap();
    })
    .await;
    assert_is_served(|mut connection| async move {
        connection.send_msg(&[0; SIZE], &[]).await.unwrap();
    })
    .await;
    assert_is_served(|connection| async move {
        let mut messages = Messages::new(connection, Framing::Line, SIZE);
        messages.send(&[0; SIZE]).await.unwrap();
    })
    .await;
    assert_is_served(|mut connection| async move {
        let mut rest = &[0; SIZE][..];
        while !rest.is_empty() {
            connection.writable().await.unwrap();
            match connection.try_write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_reads_steadily_is_idle_for_neither_half() {
    assert_is_served(|connection| async move {
        let (mut reader, mut writer) = connection.into_split();
        let reading = tokio::spawn(async move { reader.read_u8().await });
        writer.write_all(&[0; SIZE]).await.unwrap();
        assert!(!reading.is_finished());
        reading.abort();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_reads_its_echo_slowly_is_not_cut() {
    let (mut connection, client) = pair();
    let echoing = tokio::spawn(async move { echo(&mut connection).await });
    let (mut reader, mut writer) = client.into_split();
    let writing = tokio::spawn(async move { writer.write_all(&[0; SIZE]).await });
    let mut buffer = vec![0; STEP];
    for _ in 0..SIZE / STEP {
        sleep(IDLE * 9 / 10).await;
        reader.read_exact(&mut buffer).await.unwrap();
    }
    reader.read_to_end(&mut buffer).await.unwrap();
    writing.await.unwrap().unwrap();
    echoing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_receives_records_steadily_is_not_cut() {
    const RECORDS: usize = 1000;
    let server = Server::new().idle_timeout(IDLE);
    let (connection, client, _handle) = Connection::seqpacket_pair_of(&server).unwrap();
    let sender = tokio::spawn(async move {
        let mut records = Records::new(connection, 100);
        for _ in 0..RECORDS {
            records.send(&[0; 1000], &[]).await.unwrap();
        }
    });
    let mut buffer = [0; 1000];
    for _ in 0..RECORDS / 8 {
        sleep(IDLE * 9 / 10).await;
        for _ in 0..8 {
            client.recv(&mut buffer).await.unwrap();
        }
    }
    sender.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_stops_reading_is_cut() {
    for steps in [0, 1, 2] {
        let (connection, mut client) = pair();
        let sender = tokio::spawn(async move {
            let mut messages = Messages::new(connection, Framing::Line, SIZE);
            messages.send(&[0; SIZE]).await
        });
        for _ in 0..steps {
            sleep(IDLE / 2).await;
            client.read_exact(&mut vec![0; STEP]).await.unwrap();
        }
        let stopped = Instant::now();
        let sent = sender.await.unwrap();
        let Err(FramingError::Io(error)) = sent else {
            panic!("{sent:?}");
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let most = if steps == 0 { IDLE } else { 2 * IDLE };
        let passed = stopped.elapsed();
        assert!(passed <= most + Duration::from_millis(2), "{passed:?}");
    }
}
