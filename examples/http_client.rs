//! An HTTP client for any number of sockets: one pool, in which each socket has its own connections.
//!
//! ```console
//! $ cargo run -p sockeye-examples --example http_client -- /tmp/app.sock @app
//! /tmp/app.sock: requests 1000, connections 1
//! @app: requests 1000, connections 1
//! ```
//!
//! Without an address it calls two servers of its own, one at a path with a newline and a byte that is not
//! UTF-8 in it, one at an abstract name. They say how many connections they have accepted.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::mpsc;

use axum::Router;
use axum::http::Uri;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use sockeye::{Address, Bytes, CancellationToken, Claim, Listener, Server, http};
use tower::{Service, service_fn};

const REQUESTS: usize = 1000;

type AnyError = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AnyError> {
    let arguments = std::env::args_os().skip(1);
    let addresses: Vec<_> = arguments.map(Address::parse).collect::<Result<_, _>>()?;
    if addresses.is_empty() {
        return call_own().await;
    }
    for (address, connections) in addresses.iter().zip(call(&addresses, false).await?) {
        println!("{address}: requests {REQUESTS}, connections {connections}");
    }
    Ok(())
}

async fn call_own() -> Result<(), AnyError> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join(OsStr::from_bytes(b"new\nline\xff"));
    let name = format!("@sockeye-http-client-{}", std::process::id());
    let addresses = [Address::from_path(path)?, name.parse()?];
    let (stop, mut servers) = (CancellationToken::new(), Vec::new());
    for address in &addresses {
        let listener = Listener::open(address, &Claim::options())?;
        let name = address.to_string();
        let app = Router::new().fallback(|| async { name });
        let shutdown = stop.clone().cancelled_owned();
        servers.push(tokio::spawn(http::serve(
            Server::new(),
            listener,
            app,
            shutdown,
        )));
    }
    let connections = call(&addresses, true).await?;
    stop.cancel();
    for ((address, connections), server) in addresses.iter().zip(connections).zip(servers) {
        let report = server.await??;
        let accepted = report.served + report.drained + report.aborted;
        println!("{address}: requests {REQUESTS}, connections {connections}, accepted {accepted}");
    }
    Ok(())
}

/// Sends requests to all of them in turn, and returns how many connections that took for each.
async fn call(addresses: &[Address], are_named: bool) -> Result<Vec<usize>, AnyError> {
    let (connecting, connected) = mpsc::channel();
    // hyper-util's client pools connections by the authority of the URI, which names the socket.
    let connector = service_fn(move |uri: Uri| {
        let _ = connecting.send(uri.authority().cloned());
        http::Connector::new().call(uri)
    });
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let uris = addresses.iter().map(|address| http::uri(address, "/"));
    let uris: Vec<Uri> = uris.collect::<Result<_, _>>()?;
    for _ in 0..REQUESTS {
        for (uri, address) in uris.iter().zip(addresses) {
            let response = client.get(uri.clone()).await?;
            let body = response.into_body().collect().await?.to_bytes();
            if are_named && body != address.to_string() {
                return Err(format!("the answer of {address} is {body:?}").into());
            }
        }
    }
    let connected: Vec<_> = connected.try_iter().collect();
    let count = |uri: &Uri| {
        let same = |made: &&Option<_>| made.as_ref() == uri.authority();
        connected.iter().filter(same).count()
    };
    Ok(uris.iter().map(count).collect())
}
