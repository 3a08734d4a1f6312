//! A handler under unit test: `Connection::pair` gives it a connection without a server, its client, and
//! a handle that starts a drain. tokio's paused clock jumps over the timeouts.
//!
//! ```console
//! $ cargo test -p sockeye --features signal --example unit_test
//! $ cargo run -p sockeye --features signal --example unit_test -- /tmp/sum.sock
//! $ printf '1\n2\n3\n' | nc -NU /tmp/sum.sock
//! ```

mod common;

use std::time::Duration;

use common::BoxError;
use sockeye::{Claim, Connection, Framing, Listener, Messages, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> common::Ending {
    let args = common::Arguments::parse("usage: unit_test ADDRESS [--drain D]")?;
    args.end()?;
    let (shutdown, abort) = common::signals()?;
    let listener = Listener::open(&args.address, &Claim::options())?;
    common::listening(&args.address);
    let server = server().drain_timeout(args.drain).abort_on(abort);
    common::finish(&server.run(listener, sum, shutdown).await?)
}

/// In a function, so that the tests have the same timeouts.
fn server() -> Server {
    Server::new().idle_timeout(Duration::from_secs(60))
}

/// Answers each number with the sum until then.
async fn sum(connection: Connection) -> Result<(), BoxError> {
    let mut numbers = Messages::new(connection, Framing::Line, 20);
    let mut sum = 0_i64;
    while let Some(number) = numbers.next().await? {
        let number: i64 = std::str::from_utf8(&number.payload)?.parse()?;
        sum = sum.checked_add(number).ok_or("the sum is too large")?;
        numbers.send(sum.to_string().as_bytes()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_number_is_added() {
        let (connection, client, _handle) = Connection::pair().unwrap();
        let handler = tokio::spawn(sum(connection));
        let mut client = Messages::new(client, Framing::Line, 100);
        for (number, sum) in [("1", "1"), ("2", "3"), ("-10", "-7")] {
            client.send(number.as_bytes()).await.unwrap();
            assert_eq!(client.next().await.unwrap().unwrap().payload, sum);
        }
        drop(client);
        handler.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_word_ends_the_connection() {
        let (connection, client, _handle) = Connection::pair().unwrap();
        let mut client = Messages::new(client, Framing::Line, 100);
        client.send(b"one").await.unwrap();
        let error = sum(connection).await.unwrap_err();
        assert_eq!(error.to_string(), "invalid digit found in string");
        assert!(client.next().await.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_dropped_after_a_minute() {
        let (connection, _client, _handle) = Connection::pair_of(&server()).unwrap();
        let before = tokio::time::Instant::now();
        assert!(sum(connection).await.is_err());
        assert_eq!(before.elapsed().as_secs(), 60);
    }

    #[tokio::test]
    async fn a_number_that_has_begun_is_answered_in_a_drain() {
        let (connection, client, handle) = Connection::pair().unwrap();
        let handler = tokio::spawn(sum(connection));
        let mut client = Messages::new(client, Framing::Line, 100);
        client.send_raw(b"4").await.unwrap();
        handle.drain();
        client.send_raw(b"2\n").await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap().payload, "42");
        handler.await.unwrap().unwrap();
        assert_eq!(handle.report().drained, 1);
    }
}
