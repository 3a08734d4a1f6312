//! Predecessor and successor, which accept from one socket until the former has read `Serving`.

use tokio_util::sync::CancellationToken;

use super::*;
use crate::support::serving::on_each_runtime;

async fn ask_until(stop: CancellationToken, address: Address) -> u64 {
    let mut asked = 0;
    while !stop.is_cancelled() {
        let mut client = Client::connect(&address).await;
        assert_eq!(client.ask("hello").await, "hello");
        asked += 1;
    }
    asked
}

#[test]
fn each_connection_is_served_and_counted_by_one_of_two_servers_that_accept_at_once() {
    on_each_runtime(async || {
        let place = Place::new();
        let stop = CancellationToken::new();
        let mut servers = vec![serve(&place.address()).await];
        let client = |_| tokio::spawn(ask_until(stop.clone(), place.address()));
        let clients: Vec<_> = (0..8).map(client).collect();
        let mut counted = 0;
        for _ in 0..30 {
            servers.push(serve(&place.address()).await);
            counted += count(&servers.remove(0).result().await.unwrap());
        }
        stop.cancel();
        let mut asked = 0;
        for client in clients {
            asked += in_time(client).await.unwrap();
        }
        counted += count(&servers.remove(0).report().await);
        assert_eq!(counted, asked);
        place.assert_empty();
    });
}

#[tokio::test]
async fn a_listener_whose_predecessor_serves_cannot_be_made_blocking() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let error = listen(&place.address()).await.into_blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.ask("still here").await, "still here");
    drop(client);
    server.report().await;
    place.assert_empty();
}

fn count(report: &Report) -> u64 {
    assert_eq!((report.refused, report.aborted), (0, 0), "{report}");
    report.served + report.drained
}
