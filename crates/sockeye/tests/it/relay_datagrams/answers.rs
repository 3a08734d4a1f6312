//! Answers and senders.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{RelayPlace, SECOND, answer, assert_empty, receive, send, text};
use crate::support::serving::{Clock, MILLISECOND, in_time, settled};
use crate::support::skipped;
use sockeye::Datagram;

#[tokio::test]
async fn each_answer_finds_its_sender() {
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]));
    let clients = [
        place.client().await,
        place.client().await,
        place.client().await,
    ];
    for (number, client) in clients.iter().enumerate() {
        send(client, &format!("{number}")).await;
    }
    let mut senders = Vec::new();
    for _ in &clients {
        senders.push(answer(&target).await.1);
    }
    for (number, client) in clients.iter().enumerate() {
        assert_eq!(text(client).await, format!("re: {number}"));
    }
    // The same client has the same address at the target.
    send(&clients[1], "again").await;
    assert_eq!(answer(&target).await.1, senders[1]);
    assert_eq!(text(&clients[1]).await, "re: again");
    let report = relay.quick_report().await;
    assert_eq!((report.senders, report.evicted), (3, 0));
    assert_eq!((report.to_target.datagrams, report.to_target.bytes), (4, 8));
    assert_eq!(
        (report.to_client.datagrams, report.to_client.bytes),
        (4, 24)
    );
    assert_eq!(
        report.summary().to_string(),
        "served 4, refused 0, drained 0, aborted 0, accept errors 0"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_datagrams_of_a_sender_and_their_answers_stay_in_order() {
    const COUNT: usize = 200;
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]));
    let echo = async {
        loop {
            let mut buffer = [0; 99];
            let received = target.recv_msg(&mut buffer).await.unwrap();
            let (bytes, sender) = (&buffer[..received.bytes], received.sender.unwrap());
            target.send_msg_to(bytes, &[], &sender).await.unwrap();
        }
    };
    let exchange = async |client: Datagram| {
        let sends = async {
            for number in 0..COUNT {
                client
                    .send_msg(number.to_string().as_bytes(), &[])
                    .await
                    .unwrap();
            }
        };
        let receives = async {
            for number in 0..COUNT {
                let mut buffer = [0; 99];
                let received = client.recv_msg(&mut buffer).await.unwrap();
                assert_eq!(&buffer[..received.bytes], number.to_string().as_bytes());
            }
        };
        tokio::join!(sends, receives);
    };
    let clients = [
        place.client().await,
        place.client().await,
        place.client().await,
    ];
    let [one, two, three] = clients.map(exchange);
    let exchanges = async { tokio::join!(one, two, three) };
    in_time(async {
        tokio::select! {
            _ = exchanges => {}
            () = echo => {}
        }
    })
    .await;
    let report = relay.report().await;
    assert_eq!(report.to_target.datagrams, 3 * COUNT as u64);
    assert_eq!(report.to_client.datagrams, 3 * COUNT as u64);
}

#[tokio::test]
async fn clients_without_a_connection_are_answered() {
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]));
    let script = "import socket,sys\n\
        s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\n\
        s.bind(sys.argv[2])\n\
        s.sendto(b'from python',sys.argv[1])\n\
        sys.stdout.buffer.write(s.recv(99))";
    let (relay_path, own_path) = (place.0.at("relay.sock"), place.0.at("client.sock"));
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(relay_path).arg(own_path);
    let Ok(client) = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn() else {
        return skipped("python3 is not installed");
    };
    assert_eq!(answer(&target).await.0, "from python");
    let output = tokio::task::spawn_blocking(|| client.wait_with_output());
    let output = in_time(output).await.unwrap().unwrap();
    assert_eq!(output.stdout, b"re: from python");
    assert_eq!(relay.quick_report().await.to_client.datagrams, 1);
}

#[tokio::test]
async fn a_sender_without_an_address_has_none_at_the_target() {
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]));
    let client = UnixDatagram::unbound().unwrap();
    for text in ["one", "two"] {
        client
            .send_to(text.as_bytes(), place.0.at("relay.sock"))
            .unwrap();
        let (bytes, received) = receive(&target).await;
        assert_eq!(bytes, text.as_bytes());
        assert!(received.sender.is_none());
    }
    let report = relay.quick_report().await;
    assert_eq!((report.senders, report.to_target.datagrams), (1, 2));
}

#[tokio::test]
async fn only_the_target_can_answer() {
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]));
    let client = place.client().await;
    send(&client, "question").await;
    let outgoing = answer(&target).await.1;
    assert_eq!(text(&client).await, "re: question");
    let stranger = Datagram::unclaimed().unwrap();
    let error = stranger
        .try_send_msg_to(b"forged", &[], &outgoing)
        .unwrap_err();
    let error = std::io::Error::from(error);
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    relay.quick_report().await;
    assert_empty(&client);
}

#[tokio::test]
async fn an_idle_sender_loses_its_socket_and_gets_another() {
    let place = RelayPlace::new();
    let clock = Clock::stop();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]).idle_timeout(5 * SECOND));
    let client = place.client().await;
    send(&client, "one").await;
    let first = answer(&target).await.1;
    // An answer counts as a sign of life, too.
    clock.pass(4 * SECOND).await;
    target.try_send_msg_to(b"two", &[], &first).unwrap();
    clock.pass(5 * SECOND - MILLISECOND).await;
    target.try_send_msg_to(b"three", &[], &first).unwrap();
    settled().await;
    clock.pass(5 * SECOND + 2 * MILLISECOND).await;
    let error = target.try_send_msg_to(b"late", &[], &first).unwrap_err();
    let error = std::io::Error::from(error);
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    for expected in ["re: one", "two", "three"] {
        assert_eq!(text(&client).await, expected);
    }
    send(&client, "four").await;
    assert_ne!(answer(&target).await.1, first);
    assert_eq!(text(&client).await, "re: four");
    drop(clock);
    assert_eq!(relay.report().await.senders, 2);
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_nobody() {
    let place = RelayPlace::new();
    let clock = Clock::stop();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]).send_timeout(3 * SECOND));
    // Not connected, so that the queue of its socket has the usual bound.
    let slow = Datagram::unclaimed().unwrap();
    let to = rustix::net::SocketAddrUnix::new(place.0.at("relay.sock")).unwrap();
    slow.try_send_msg_to(b"slow", &[], &to).unwrap();
    let slow_at_target = receive(&target).await.1.sender.unwrap();
    let quick = place.client().await;
    // More than the send buffer of the target has room for.
    let sent = 600;
    for number in 0..sent {
        let answer = format!("{number:500}");
        target
            .try_send_msg_to(answer.as_bytes(), &[], &slow_at_target)
            .unwrap();
        settled().await;
    }
    for number in 0..10 {
        send(&quick, &format!("{number}")).await;
        answer(&target).await;
        assert_eq!(text(&quick).await, format!("re: {number}"));
    }
    // It reads at last: everything is there, in order.
    let clock_ticks = async {
        loop {
            clock.pass(Duration::from_millis(20)).await;
        }
    };
    let reads = async {
        for number in 0..sent {
            assert_eq!(text(&slow).await, format!("{number:500}"));
        }
    };
    tokio::select! {
        () = reads => {}
        () = clock_ticks => {}
    }
    drop(clock);
    let report = relay.report().await;
    assert_eq!(report.to_client.dropped, 0);
}

#[tokio::test]
async fn answers_to_a_client_that_never_reads_are_dropped_after_the_deadline() {
    let place = RelayPlace::new();
    let clock = Clock::stop();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]).send_timeout(3 * SECOND));
    let deaf = Datagram::unclaimed().unwrap();
    let to = rustix::net::SocketAddrUnix::new(place.0.at("relay.sock")).unwrap();
    deaf.try_send_msg_to(b"x", &[], &to).unwrap();
    let sender = receive(&target).await.1.sender.unwrap();
    let mut sent = 0;
    for _ in 0..40 {
        target.try_send_msg_to(b"answer", &[], &sender).unwrap();
        sent += 1;
        settled().await;
    }
    clock.pass(3 * SECOND + 21 * MILLISECOND).await;
    // Those that waited are dropped, and others at once.
    for _ in 0..30 {
        target.try_send_msg_to(b"answer", &[], &sender).unwrap();
        sent += 1;
        settled().await;
    }
    let mut read = 0;
    while deaf.try_recv(&mut [0; 99]).unwrap().is_some() {
        read += 1;
    }
    // There is room again.
    target
        .try_send_msg_to(b"there is room", &[], &sender)
        .unwrap();
    assert_eq!(text(&deaf).await, "there is room");
    drop(clock);
    let report = relay.report().await;
    assert_eq!(report.to_client.datagrams, read + 1);
    assert_eq!(report.to_client.dropped, sent - read);
    assert_eq!(report.summary().dropped_replies, sent - read);
}

/// The kernel counts what all clients have not read against the one send buffer of the relay.
#[tokio::test]
async fn connected_clients_that_do_not_read_leave_room_for_others() {
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]).send_timeout(60 * SECOND));
    let mut deaf = Vec::new();
    for _ in 0..4 {
        let client = place.client().await;
        send(&client, "x").await;
        deaf.push((receive(&target).await.1.sender.unwrap(), client));
    }
    let large = [b'a'; 8000];
    for (sender, _client) in &deaf {
        // More than the send buffer has room for.
        for _ in 0..150 {
            in_time(target.send_msg_to(&large, &[], sender))
                .await
                .unwrap();
        }
    }
    let quick = place.client().await;
    for number in 0..100 {
        send(&quick, &number.to_string()).await;
        let (_, received) = receive(&target).await;
        let answer = format!("{number:8000}");
        let sender = received.sender.unwrap();
        in_time(target.send_msg_to(answer.as_bytes(), &[], &sender))
            .await
            .unwrap();
        assert_eq!(text(&quick).await, answer);
    }
    // They read at last: as much as may wait has waited.
    for (_sender, client) in &deaf {
        for _ in 0..150 {
            assert_eq!(receive(client).await.0, large);
        }
    }
    let report = relay.quick_report().await;
    assert_eq!(report.to_client.datagrams, 4 * 150 + 100);
    assert_eq!(report.to_client.dropped, 0);
}
