//! SIGTERM and SIGINT end a server that was given them. One test, since signals are the process's.

use rustix::process::{Signal, getpid, kill_process};
use sockeye::server::{Server, shutdown_signal};

use crate::support::Place;
use crate::support::serving::{Client, claimed, counted, echo_lines, in_time};

#[tokio::test]
async fn each_of_the_signals_ends_a_server() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::new();
        let mut others = shutdown_signal().unwrap();
        let listener = claimed(&place.address());
        let shutdown = shutdown_signal().unwrap();
        let run = tokio::spawn(Server::new().run(listener, echo_lines, shutdown));
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.ask("a").await, "a");
        kill_process(getpid(), signal).unwrap();
        assert_eq!(client.rest().await, b"");
        let report = in_time(run).await.unwrap().unwrap();
        assert_eq!(report, counted(0, 0, 1, 0));
        place.assert_empty();
        assert_eq!(in_time(others.next()).await, signal);
    }
}
