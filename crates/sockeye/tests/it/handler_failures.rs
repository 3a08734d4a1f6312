//! Handlers that return an error, and panics that are to fail the test which runs the server.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use sockeye::server::{Connection, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::Place;
use crate::support::serving::{
    Client, Running, claimed, counted, echo_lines, in_time, on_each_runtime,
};

/// Fails at the byte `!`, and panics at `?`; answers others with themselves.
async fn echo_bytes(mut connection: Connection) -> Result<(), String> {
    let mut byte = [0];
    while connection.read(&mut byte).await.unwrap() > 0 {
        if byte == *b"!" {
            return Err("asked to fail".to_owned());
        }
        assert_ne!(byte, *b"?", "asked to panic");
        connection.write_all(&byte).await.unwrap();
    }
    Ok(())
}

#[test]
fn a_handler_that_returns_an_error_is_counted() {
    on_each_runtime(async || {
        let place = Place::new();
        let server = Running::start(Server::new(), claimed(&place.address()), echo_bytes);
        let mut fine = Client::connect(&place.address()).await;
        assert_eq!(fine.ask("a").await, "a");
        fine.half_close().await;
        assert_eq!(fine.rest().await, b"");
        for _ in 0..3 {
            let mut client = Client::connect(&place.address()).await;
            client.send("!").await;
            assert_eq!(client.rest().await, b"");
        }
        let report = server.report().await;
        assert_eq!(report.failed, 3);
        assert_eq!(report.served + report.drained, 4, "{report}");
        assert!(report.to_string().ends_with(", accept errors 0, failed 3"));
    });
}

#[test]
fn a_report_without_failures_is_as_before() {
    assert_eq!(
        counted(1, 2, 3, 4).to_string(),
        "served 1, refused 2, drained 3, aborted 4, accept errors 0"
    );
}

/// What a run panicked with.
async fn panic_of(run: impl Future) -> String {
    let panic = in_time(AssertUnwindSafe(run).catch_unwind()).await;
    let Err(payload) = panic else {
        panic!("it has not panicked");
    };
    *payload.downcast::<String>().unwrap()
}

#[test]
fn a_panic_of_a_handler_fails_the_test_that_runs_its_server() {
    on_each_runtime(async || {
        let place = Place::new();
        let listener = claimed(&place.address());
        let server = Server::new().propagate_panics(true);
        let run = server.run(listener, echo_bytes, std::future::pending());
        let test = async {
            let mut client = Client::connect(&place.address()).await;
            assert_eq!(client.ask("a").await, "a");
            client.send("?").await;
            std::future::pending::<()>().await;
        };
        let panic = panic_of(async { tokio::join!(run, test) }).await;
        assert!(panic.contains("asked to panic"), "{panic}");
        place.assert_empty();
    });
}

#[test]
fn a_panic_before_the_handlers_future_is_made_fails_the_test_too() {
    on_each_runtime(async || {
        let place = Place::new();
        let listener = claimed(&place.address());
        let handler = |connection: Connection| {
            assert_eq!(place.names().len(), 0, "the file is there");
            echo_lines(connection)
        };
        let server = Server::new().propagate_panics(true);
        let run = server.run(listener, handler, std::future::pending());
        let _client = Client::connect(&place.address()).await;
        let panic = panic_of(run).await;
        assert!(panic.contains("the file is there"), "{panic}");
    });
}

#[tokio::test]
async fn a_panic_in_the_drain_fails_the_test_too() {
    let place = Place::new();
    let handler = |connection: Connection| async move {
        connection.shutdown_token().cancelled().await;
        assert!(connection.peer().is_err(), "there is a peer");
    };
    let server = Server::new().propagate_panics(true);
    let server = Running::start(server, claimed(&place.address()), handler);
    let mut client = Client::connect(&place.address()).await;
    crate::support::serving::settled().await;
    server.stop();
    let panic = panic_of(server.report()).await;
    assert!(panic.contains("there is a peer"), "{panic}");
    assert_eq!(client.rest().await, b"");
}

/// Keeps the text of each event.
#[cfg(feature = "tracing")]
#[derive(Clone, Default)]
struct LogLines(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

#[cfg(feature = "tracing")]
impl tracing::field::Visit for LogLines {
    fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.lock().unwrap().push(format!("{value:?}"));
    }
}

#[cfg(feature = "tracing")]
impl tracing::Subscriber for LogLines {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[cfg(feature = "tracing")]
#[tokio::test]
async fn the_error_of_a_handler_is_logged_on_one_line() {
    let lines = LogLines::default();
    let _logging = tracing::subscriber::set_default(lines.clone());
    let place = Place::new();
    let handler = |connection: Connection| async move {
        drop(connection);
        Err::<(), _>("bad request\n\x1b[2J")
    };
    let server = Running::start(Server::new(), claimed(&place.address()), handler);
    for _ in 0..3 {
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.rest().await, b"");
    }
    assert_eq!(server.report().await.failed, 3);
    // More only if this takes longer than a second.
    let lines = lines.0.lock().unwrap();
    let expected = "a handler failed: bad request\\x0a\\x1b[2J (1 since the last line)";
    assert_eq!(lines[0], expected);
}
