//! Timeouts end a connection for both sides.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use sockeye::relay::{DirectionEnd, Relay, RelayFailure};
use tokio::task::spawn_blocking;

use super::joined;

#[tokio::test(start_paused = true)]
async fn the_half_close_timeout_counts_from_the_last_data() {
    let relay = Relay::new().half_close_timeout(Duration::from_secs(60));
    let (mut client, mut target, relay) = joined(&relay);
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let began = tokio::time::Instant::now();
    let mut answers = Vec::new();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(40)).await;
        target.write_all(b"part").unwrap();
        let mut answer = [0; 4];
        let mut reader = client.try_clone().unwrap();
        let read = spawn_blocking(move || reader.read_exact(&mut answer).map(|()| answer));
        answers.push(read.await.unwrap().unwrap());
    }
    let report = relay.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 180);
    assert!(matches!(
        report.failure,
        Some(RelayFailure::TimedOut("half-close timeout"))
    ));
    assert_eq!(report.to_client.bytes, 12);
}

#[tokio::test(start_paused = true)]
async fn an_answer_after_a_half_close_may_take_as_long_as_it_likes() {
    let (client, mut target, relay) = joined(&Relay::new());
    client.shutdown(Shutdown::Write).unwrap();
    tokio::time::sleep(Duration::from_secs(100_000)).await;
    target.write_all(b"late").unwrap();
    drop(target);
    let report = relay.await.unwrap();
    assert_eq!(report.to_client.bytes, 4);
    assert_eq!(report.to_client.end, DirectionEnd::Eof);
}
