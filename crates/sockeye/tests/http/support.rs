//! What the tests share: servers that run until they are told to stop, and clients of hyper-util.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use sockeye::server::{Report, Server};
use sockeye::{Address, Claim, Listener, http};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long anything may take that ought to happen at once. Only a failing test waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type HttpClient = Client<http::Connector, Body>;

/// A server of `http::serve`.
pub(crate) struct Running {
    shutdown: oneshot::Sender<()>,
    server: JoinHandle<Report>,
}

impl Running {
    pub(crate) fn start(address: &Address, router: Router) -> Self {
        let listener = Listener::open(address, &Claim::options()).unwrap();
        let (shutdown, stop) = oneshot::channel();
        let stop = async { drop(stop.await) };
        let served = http::serve(Server::new(), listener, router, stop);
        let server = tokio::spawn(async { served.await.unwrap() });
        Self { shutdown, server }
    }

    /// Shuts it down, and returns its report.
    pub(crate) async fn stop(self) -> Report {
        self.shutdown.send(()).unwrap();
        within(self.server).await.unwrap()
    }
}

/// Says why a test looked at nothing.
pub(crate) fn skipped(why: &str) {
    println!("skipped: {why}");
}

pub(crate) fn client(connector: http::Connector) -> HttpClient {
    Client::builder(TokioExecutor::new()).build(connector)
}

pub(crate) async fn text(response: Response<impl BodyText>) -> String {
    let body = within(response.into_body().collect()).await;
    let Ok(body) = body else {
        panic!("the body ended early");
    };
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

/// A body of bytes.
pub(crate) trait BodyText: BodyExt<Data = sockeye::Bytes> {}

impl<B: BodyExt<Data = sockeye::Bytes>> BodyText for B {}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it happens at once")
}
