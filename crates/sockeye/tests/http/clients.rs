//! `http::Connector` under hyper-util's client and under tonic's.

use std::error::Error;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use axum::Router;
use axum::http::header::HOST;
use axum::http::{HeaderMap, Request, Uri, Version};
use axum::routing::get;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use sockeye::{Address, ConnectError, Connector, Kind, Name, http};
use tempfile::tempdir;
use tonic::transport::Endpoint;
use tower_service::Service;

use crate::support::{HttpClient, Running, client, text, within};

/// Answers with `name`.
fn named(name: &'static str) -> Router {
    Router::new().route("/", get(move || async move { name }))
}

async fn get_text(client: &HttpClient, uri: &Uri) -> String {
    text(within(client.get(uri.clone())).await.unwrap()).await
}

#[tokio::test]
async fn a_thousand_requests_to_a_path_of_any_bytes_are_one_connection() {
    let dir = tempdir().unwrap();
    let path = dir.path().join(OsStr::from_bytes(b"new\nline and \xff"));
    let address = Address::from_path(path).unwrap();
    let server = Running::start(&address, named("hello"));
    let uri = http::uri(&address, "/").unwrap();
    let client = client(http::Connector::new());
    for _ in 0..1000 {
        assert_eq!(get_text(&client, &uri).await, "hello");
    }
    drop(client);
    let report = server.stop().await;
    assert_eq!(report.served + report.drained, 1, "{report}");
}

#[tokio::test]
async fn an_abstract_name_is_called() {
    let dir = tempdir().unwrap();
    let name = [dir.path().as_os_str().as_bytes(), b"\0\xff"].concat();
    let address = Address::new(Kind::Stream, &Name::Abstract(name)).unwrap();
    let server = Running::start(&address, named("hello"));
    let uri = http::uri(&address, "/").unwrap();
    let text = get_text(&client(http::Connector::new()), &uri).await;
    assert_eq!(text, "hello");
    server.stop().await;
}

#[tokio::test]
async fn two_sockets_never_share_a_connection() {
    let dir = tempdir().unwrap();
    // The authorities of two URIs are equal where only the case of letters differs.
    let [lower, upper] = ["a", "A"].map(|name| Address::from_path(dir.path().join(name)).unwrap());
    let servers = [
        Running::start(&lower, named("lower")),
        Running::start(&upper, named("upper")),
    ];
    let client = client(http::Connector::new());
    for _ in 0..10 {
        for (address, answer) in [(&lower, "lower"), (&upper, "upper")] {
            let uri = http::uri(address, "/").unwrap();
            assert_eq!(get_text(&client, &uri).await, answer);
        }
    }
    drop(client);
    for server in servers {
        let report = server.stop().await;
        assert_eq!(report.served + report.drained, 1, "{report}");
    }
}

/// Answers with the host that the client has sent.
fn host() -> Router {
    let host = |uri: Uri, headers: HeaderMap| async move {
        let field = headers.get(HOST).map(|host| host.to_str().unwrap());
        let authority = uri.authority().map(ToString::to_string);
        format!("{field:?} {authority:?}")
    };
    Router::new().route("/v1", get(host))
}

#[tokio::test]
async fn the_host_is_localhost_unless_it_is_set() {
    let dir = tempdir().unwrap();
    let address = Address::from_path(dir.path().join("s")).unwrap();
    let server = Running::start(&address, host());
    let uri = http::uri(&address, "/v1").unwrap();
    let client = client(http::Connector::new());
    let host = get_text(&client, &uri).await;
    assert_eq!(host, "Some(\"localhost\") None");
    let set = Request::get(uri).header(HOST, "app.example");
    let set = set.body(axum::body::Body::empty()).unwrap();
    let host = text(within(client.request(set)).await.unwrap()).await;
    assert_eq!(host, "Some(\"app.example\") None");
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn a_connector_with_an_address_sends_the_host_of_the_uri() {
    let dir = tempdir().unwrap();
    let address = Address::from_path(dir.path().join("s")).unwrap();
    let server = Running::start(&address, host());
    let connector = http::Connector::new().address(address);
    let uri = Uri::from_static("http://localhost/v1");
    let old = client(connector.clone());
    assert_eq!(get_text(&old, &uri).await, "Some(\"localhost\") None");
    let mut builder = Client::builder(TokioExecutor::new());
    let new: HttpClient = builder.http2_only(true).build(connector);
    let response = within(new.get(uri)).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(text(response).await, "None Some(\"localhost\")");
    drop((old, new));
    server.stop().await;
}

#[tokio::test]
async fn tonic_connects_through_it() {
    let dir = tempdir().unwrap();
    let address = Address::from_path(dir.path().join("s")).unwrap();
    let server = Running::start(&address, host());
    let connector = http::Connector::new().address(address.clone());
    let endpoint = Endpoint::from_static("http://localhost");
    let named = Endpoint::from(http::uri(&address, "/").unwrap());
    let named = named.origin(Uri::from_static("http://localhost"));
    for mut channel in [
        within(endpoint.connect_with_connector(connector))
            .await
            .unwrap(),
        within(named.connect_with_connector(http::Connector::new()))
            .await
            .unwrap(),
    ] {
        std::future::poll_fn(|cx| channel.poll_ready(cx))
            .await
            .unwrap();
        let request = Request::get("/v1").body(tonic::body::Body::empty());
        let response = within(channel.call(request.unwrap())).await.unwrap();
        assert_eq!(text(response).await, "None Some(\"localhost\")");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_waits_for_its_server() {
    let dir = tempdir().unwrap();
    let address = Address::from_path(dir.path().join("s")).unwrap();
    let uri = http::uri(&address, "/").unwrap();
    let patient = Connector::new().wait_for(crate::support::PATIENCE);
    let client = client(patient.into());
    let (tell, told) = tokio::sync::oneshot::channel();
    let waiting = tokio::spawn(async move {
        let request = client.get(uri);
        tell.send(()).unwrap();
        text(within(request).await.unwrap()).await
    });
    told.await.unwrap();
    let server = Running::start(&address, named("late"));
    assert_eq!(within(waiting).await.unwrap(), "late");
    server.stop().await;
}

#[tokio::test]
async fn a_client_without_a_server_is_told_why() {
    let dir = tempdir().unwrap();
    let address = Address::from_path(dir.path().join("s")).unwrap();
    let client = client(http::Connector::new());
    let error = within(client.get(http::uri(&address, "/").unwrap())).await;
    let error = error.unwrap_err();
    let source = error.source().unwrap();
    let error = source.downcast_ref::<ConnectError>().unwrap();
    assert!(error.to_string().contains("s"), "{error}");

    let error = within(client.get(Uri::from_static("http://example.com/"))).await;
    let error = error.unwrap_err();
    let source = error.source().unwrap();
    let error = source.downcast_ref::<http::UriError>().unwrap();
    assert!(error.to_string().contains("\"example.com\""), "{error}");
}
