//! The halves of a server's connection: one permit, one set of timeouts, two tasks.

use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use sockeye::framing::{Codec, Framing};
use sockeye::server::{Connection, Messages, Server};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::{broadcast, mpsc};
use tokio_util::codec::Framed;

use crate::support::Place;
use crate::support::serving::{
    Client, Clock, DRAIN, MILLISECOND, Running, claimed, counted, in_time, on_each_runtime, settled,
};

const IDLE: Duration = Duration::from_secs(5);

#[test]
fn the_halves_of_a_connection_work_in_two_tasks() {
    on_each_runtime(async || {
        const SIZE: usize = 1 << 20;
        let place = Place::new();
        let handler = |connection: Connection| async move {
            let (mut reader, mut writer) = connection.into_split();
            let (queue, mut queued) = mpsc::unbounded_channel::<Vec<u8>>();
            let sender = tokio::spawn(async move {
                while let Some(bytes) = queued.recv().await {
                    writer.write_all(&bytes).await.unwrap();
                }
            });
            let mut buffer = vec![0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer).await {
                queue.send(buffer[..count].to_vec()).unwrap();
            }
            drop((reader, queue));
            sender.await.unwrap();
        };
        let server = Server::new().idle_timeout(Duration::from_secs(60));
        let server = Running::start(server, claimed(&place.address()), handler);
        let client = Client::connect(&place.address()).await.0.into_inner();
        let (mut reader, mut writer) = client.into_split();
        let sent: Vec<u8> = (0..SIZE).map(|at| (at / 3) as u8).collect();
        let write = async {
            writer.write_all(&sent).await.unwrap();
            drop(writer);
        };
        let mut came = Vec::new();
        let read = async { reader.read_to_end(&mut came).await.unwrap() };
        in_time(async { tokio::join!(write, read) }).await;
        assert!(came == sent);
        // The client may see the end before the connection is counted.
        let report = server.report().await;
        assert_eq!((report.served + report.drained, report.aborted), (1, 0));
    });
}

#[tokio::test]
async fn borrowed_halves_leave_the_connection_whole() {
    let place = Place::new();
    let handler = |mut connection: Connection| async move {
        let (mut reader, mut writer) = connection.split();
        let mut byte = [0];
        let (read, written) = tokio::join!(reader.read_exact(&mut byte), writer.write_all(b"x"));
        read.unwrap();
        written.unwrap();
        connection.write_all(&byte).await.unwrap();
    };
    let server = Running::start(Server::new(), claimed(&place.address()), handler);
    let mut client = Client::connect(&place.address()).await;
    client.send("y").await;
    assert_eq!(client.rest().await, b"xy");
    assert_eq!(server.report().await, counted(1, 0, 0, 0));
}

#[tokio::test]
async fn the_halves_hold_one_permit_until_both_are_dropped() {
    let place = Place::new();
    let (tell, mut told) = mpsc::unbounded_channel();
    let handler = move |connection: Connection| {
        let tell = tell.clone();
        async move { tell.send(connection.into_split()).unwrap() }
    };
    let server = Server::new().max_connections(1);
    let server = Running::start(server, claimed(&place.address()), handler);
    let mut first = Client::connect(&place.address()).await;
    let (reader, writer) = in_time(told.recv()).await.unwrap();
    let _second = Client::connect(&place.address()).await;
    drop(writer);
    assert_eq!(first.rest().await, b"", "half-closed");
    settled().await;
    told.try_recv().unwrap_err();
    first.send("still open").await;
    drop(reader);
    drop(in_time(told.recv()).await.unwrap());
    assert_eq!(server.report().await, counted(2, 0, 0, 0));
}

#[tokio::test]
async fn what_one_half_sends_keeps_the_other_from_timing_out() {
    let place = Place::new();
    let clock = Clock::stop();
    let (tell, mut told) = mpsc::unbounded_channel();
    let (news, _) = broadcast::channel::<()>(8);
    let to_all = news.clone();
    let handler = move |connection: Connection| {
        let (tell, mut news) = (tell.clone(), to_all.subscribe());
        async move {
            let (mut reader, mut writer) = connection.into_split();
            tokio::spawn(async move {
                while news.recv().await.is_ok() {
                    writer.write_all(b"x").await.unwrap();
                }
            });
            tell.send(reader.read(&mut [0]).await).unwrap();
        }
    };
    let server = Server::new().idle_timeout(IDLE);
    let server = Running::start(server, claimed(&place.address()), handler);
    let _client = Client::connect(&place.address()).await;
    for _ in 0..4 {
        clock.pass(IDLE - MILLISECOND).await;
        told.try_recv().unwrap_err();
        news.send(()).unwrap();
    }
    clock.pass(IDLE + MILLISECOND).await;
    clock.pass(IDLE + MILLISECOND).await;
    let error = told.try_recv().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    drop(server);
}

#[tokio::test]
async fn a_client_that_only_sends_does_not_keep_the_write_half_waiting() {
    let place = Place::new();
    let clock = Clock::stop();
    let (tell, mut told) = mpsc::unbounded_channel();
    let handler = move |connection: Connection| {
        let tell = tell.clone();
        async move {
            let (mut reader, mut writer) = connection.into_split();
            let drain = tokio::spawn(async move { while reader.read_u8().await.is_ok() {} });
            tell.send(writer.write_all(&[0; 1 << 24]).await).unwrap();
            drain.abort();
        }
    };
    let server = Server::new().idle_timeout(IDLE);
    let server = Running::start(server, claimed(&place.address()), handler);
    let mut client = Client::connect(&place.address()).await;
    settled().await;
    // Reading is progress.
    in_time(client.0.read_exact(&mut [0; 1 << 18]))
        .await
        .unwrap();
    for _ in 0..9 {
        clock.pass(IDLE / 10).await;
        client.send("x").await;
    }
    told.try_recv().unwrap_err();
    // What it has read behind the last byte that was sent is seen at the first deadline.
    clock.pass(IDLE / 10 + MILLISECOND).await;
    for _ in 0..10 {
        // It fails once the server has closed the connection.
        let _ = client.0.write_all(b"x").await;
        clock.pass(IDLE / 10 + MILLISECOND).await;
    }
    let error = told.try_recv().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    drop(server);
}

#[tokio::test]
async fn a_wait_for_readiness_has_the_timeouts_of_a_read_and_of_a_write() {
    let place = Place::new();
    let clock = Clock::stop();
    let (tell, mut told) = mpsc::unbounded_channel();
    let handler = move |mut connection: Connection| {
        let tell = tell.clone();
        async move {
            let first = connection.readable().await;
            tell.send(first).unwrap();
            // Readiness lasts until an attempt fails.
            while connection.try_read(&mut [0]).is_ok() {}
            tell.send(connection.readable().await).unwrap();
            let (mut reader, mut writer) = connection.into_split();
            tell.send(reader.readable().await).unwrap();
            while writer.try_write(&[0; 1 << 16]).is_ok() {}
            tell.send(writer.writable().await).unwrap();
        }
    };
    let server = Server::new().idle_timeout(IDLE);
    let server = Running::start(server, claimed(&place.address()), handler);
    let mut client = Client::connect(&place.address()).await;
    clock.pass(IDLE - MILLISECOND).await;
    client.send("x").await;
    settled().await;
    told.try_recv().unwrap().unwrap();
    clock.pass(IDLE - MILLISECOND).await;
    told.try_recv().unwrap_err();
    clock.pass(2 * MILLISECOND).await;
    for is_write in [false, false, true] {
        if is_write {
            told.try_recv().unwrap_err();
            clock.pass(IDLE + MILLISECOND).await;
        }
        let error = told.try_recv().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
    drop(server);
}

#[tokio::test]
async fn either_half_may_mark_the_connection() {
    for (is_aborted, report) in [(true, counted(0, 0, 0, 1)), (false, counted(0, 0, 1, 0))] {
        let place = Place::new();
        let clock = Clock::stop();
        let handler = move |connection: Connection| async move {
            let (mut reader, mut writer) = connection.into_split();
            if is_aborted {
                writer.mark_aborted();
            }
            reader.set_idle(true);
            std::future::pending::<()>().await;
        };
        let server = Server::new().drain_timeout(DRAIN);
        let server = Running::start(server, claimed(&place.address()), handler);
        let _client = Client::connect(&place.address()).await;
        settled().await;
        server.stop();
        clock.pass(DRAIN + MILLISECOND).await;
        assert_eq!(server.report().await, report);
        tokio::time::resume();
    }
}

#[tokio::test]
async fn messages_and_framed_turn_into_each_other_without_losing_bytes() {
    let place = Place::new();
    let handler = |connection: Connection| async move {
        let mut messages = Messages::new(connection, Framing::Line, 100);
        assert_eq!(messages.next().await.unwrap().unwrap().payload, "one");
        let mut framed = Framed::<Connection, Codec>::from(messages);
        let message = framed.next().await.unwrap().unwrap();
        assert_eq!(message.payload, "two");
        framed.send(message.payload).await.unwrap();
        framed.feed(Bytes::from_static(b"unsent")).await.unwrap();
        let mut framed = Messages::try_from(framed).unwrap_err();
        SinkExt::<Bytes>::flush(&mut framed).await.unwrap();
        let mut messages = Messages::try_from(framed).unwrap();
        while let Some(message) = messages.next().await.unwrap() {
            messages.send(&message.payload).await.unwrap();
        }
    };
    let server = Running::start(Server::new(), claimed(&place.address()), handler);
    let mut client = Client::connect(&place.address()).await;
    client.send("one\ntwo\nthree\nfo").await;
    assert_eq!(client.line().await, "two");
    assert_eq!(client.line().await, "unsent");
    assert_eq!(client.line().await, "three");
    client.send("ur\n").await;
    assert_eq!(client.line().await, "four");
    client.half_close().await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(server.report().await, counted(1, 0, 0, 0));
}

/// A chat: each line goes to everybody, in order; who never reads is dropped, alone.
#[tokio::test]
async fn a_chat_delivers_everything_in_order_and_drops_who_never_reads() {
    const CLIENTS: usize = 20;
    const LINES: usize = 50;
    let place = Place::new();
    let clock = Clock::stop();
    let (tell, mut told) = mpsc::unbounded_channel();
    let (news, _) = broadcast::channel::<Bytes>(CLIENTS * LINES);
    let handler = move |connection: Connection| {
        let (tell, news) = (tell.clone(), news.clone());
        async move {
            let mut heard = news.subscribe();
            let (reader, mut writer) = connection.into_split();
            let send = async move {
                while let Ok(line) = heard.recv().await {
                    writer.write_all(&line).await?;
                }
                std::io::Result::Ok(())
            };
            let listen = async {
                let mut lines = BufReader::new(reader).lines();
                while let Some(line) = lines.next_line().await? {
                    let _ = news.send(format!("{line}\n").into());
                }
                std::io::Result::Ok(())
            };
            let end = tokio::select! {
                end = send => end,
                end = listen => end,
            };
            tell.send(end).unwrap();
        }
    };
    let server = Server::new().idle_timeout(IDLE);
    let server = Running::start(server, claimed(&place.address()), handler);
    let deaf = Client::connect(&place.address()).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Client::connect(&place.address()).await);
    }
    settled().await;
    // So long that those of one round fill a socket.
    let tail = "x".repeat(2000);
    let mut expected = Vec::new();
    for line in 0..LINES {
        for (id, client) in clients.iter_mut().enumerate() {
            client.send(format!("{id} {line} {tail}\n")).await;
            expected.push(format!("{id} {line} {tail}"));
            settled().await;
        }
        for client in &mut clients {
            for line in &expected[line * CLIENTS..] {
                assert_eq!(&client.line().await, line);
            }
        }
        clock.pass(IDLE / 10 + MILLISECOND).await;
    }
    let error = told.try_recv().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    told.try_recv().unwrap_err();
    drop((deaf, clients));
    for _ in 0..CLIENTS {
        in_time(told.recv()).await.unwrap().unwrap();
    }
    settled().await;
    let served = CLIENTS as u64 + 1;
    assert_eq!(server.report().await, counted(served, 0, 0, 0));
}
