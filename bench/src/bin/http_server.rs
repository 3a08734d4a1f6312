//! axum's Router, through `sockeye::http::serve` and through `axum::serve` on tokio's listener.

use anyhow::{Context, bail};
use axum::Router;
use axum::routing::get;
use sockeye::{Address, Claim, Listener, Server, http};
use std::path::Path;
use tokio::net::UnixListener;

const BODY: &str = "................................................................";

#[tokio::main(flavor = "multi_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [server, path] = arguments.as_slice() else {
        bail!("usage: http_server sockeye|axum PATH");
    };
    let router = Router::new().route("/", get(async || BODY));
    match server.to_str() {
        Some("sockeye") => {
            let address = Address::from_path(Path::new(path)).context("not an address")?;
            let listener = Listener::open(&address, &Claim::options())?;
            http::serve(Server::new(), listener, router, std::future::pending()).await?;
        }
        Some("axum") => axum::serve(UnixListener::bind(path)?, router).await?,
        _ => bail!("no such server: {}", server.display()),
    }
    Ok(())
}
