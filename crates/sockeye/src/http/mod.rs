//! HTTP on a [`Server`]: any tower service (axum's `Router`, tonic's `Routes`), with the claim, the limits,
//! the authorization, the drain and the takeover of every other server.
//!
#![cfg_attr(feature = "axum08", doc = "```no_run")]
#![cfg_attr(not(feature = "axum08"), doc = "```ignore")]
//! use axum::{Router, routing::get};
//! use sockeye::http::{Allow, Caller};
//! use sockeye::{Claim, Listener, Server};
//!
//! # async fn example(shutdown: impl Future<Output = ()>) -> Result<(), Box<dyn std::error::Error>> {
//! let listener = Listener::open(&"/run/app.sock".parse()?, &Claim::options().mode(0o666))?;
//! let app = Router::new()
//!     .route("/admin", get(async || "hello, administrator").layer(Allow::new().same_user().groups([4])))
//!     .route("/", get(|caller: Caller| async move { format!("hello, user {:?}", caller.uid()) }));
//! let server = Server::new().max_connections(1000).max_per_uid(100);
//! let report = sockeye::http::serve(server, listener, app, shutdown).await?;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```
//!
//! [`serve`] speaks HTTP/1, HTTP/2 (with prior knowledge, as gRPC does) and upgrades (WebSocket), by
//! hyper. For a server that accepts by itself there is [`Incoming`], and for one that takes a listener of
//! the standard library [`Listener::lend`]. For clients there are [`Connector`] and [`uri()`]. (`use
//! sockeye::http` would hide the crate `http`.)
//!
//! # Drain
//!
//! What has begun is finished, and what a client has sent is answered, in the backlog too:
//!
//! | a connection that | |
//! | --- | --- |
//! | has sent nothing yet | may do so for a second |
//! | is between two requests | ends at once: what has come is answered, and later writes of the client fail with `EPIPE` |
//! | waits for a response, or uploads | is answered; over HTTP/1 with `Connection: close`, unless another request has come behind |
//! | has sent half a head, or half the preface of HTTP/2 | may go on until the drain timeout, then it is aborted |
//! | speaks HTTP/2 | gets `GOAWAY`, and ends with its last response |
//! | has an event stream, or is upgraded | is aborted at the drain timeout: its reads and writes fail then, also in tasks of the service's own; [`Caller::shutdown_token`] tells the service to end it before |
//!
//! A client that closes its connection ends its request; one that only half-closes it is answered. With
//! [`Incoming`] the same holds, but for `Connection: close`, and axum ends the request of a client that
//! half-closes.
//!
//! # Limits
//!
//! - The head of a request, and the preface of HTTP/2, have to be complete within
//!   [`Server::first_byte_timeout`], or 30 s ([`LimitError::HeaderTimeout`](crate::LimitError)), from the
//!   first byte on, the first one from accept(2) on. Between two requests only [`Server::idle_timeout`]
//!   counts. It also ends a client that stops reading a response or sending a body; over HTTP/2 not the
//!   latter while a response is under way.
//! - With [`Incoming`] the foreign server has limits of its own in place of those below.
//! - A head has at most 16 KiB. A response waits with as much beside one frame of its body; over HTTP/2
//!   each of at most 64 streams does. What a service holds is its own affair.
//! - The time of a request is not limited: `tower_http`'s `TimeoutLayer` does that.
//! - An idle connection takes less than 2 KiB: hyper, with its buffers of 16 KiB, is dropped after 0.1 s
//!   without a request.
//!
//! A failure of the service (`Service::Error`, an error of a response's body) ends its connection and counts
//! as [`Report::failed`]; what a client breaks off does not.

mod allow;
#[cfg(feature = "axum08")]
mod axum08;
mod caller;
mod connection_io;
mod connector;
mod driver;
mod exchanges;
mod in_flight;
mod incoming;
mod incoming_connection;
mod request_scan;
#[cfg(feature = "tonic014")]
mod tonic014;
mod uri;
mod warm;
mod wire;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming as RequestBody;
use tower_service::Service;

pub use allow::{Allow, AllowService};
pub use caller::Caller;
pub use connector::Connector;
pub use incoming::Incoming;
pub use incoming_connection::IncomingConnection;
pub use uri::{UriError, uri};

use crate::listener::Listener;
use crate::server::{Connection, Report, Server, ServerError};
use driver::{HttpDriver, HttpOptions};

/// An error of any kind.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long the head of a request may take, unless [`Server::first_byte_timeout`] is set.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves HTTP/1, HTTP/2 and upgrades with `service` until `shutdown` completes, then drains. Each request
/// has its [`Caller`] as an extension.
///
/// # Errors
/// As [`Server::run`].
///
/// # Panics
/// As [`Server::run`].
///
/// # Cancel safety
/// As [`Server::run`].
#[doc(alias = "graceful shutdown")]
#[doc(alias = "axum::serve")]
pub async fn serve<S, B>(
    server: Server,
    listener: Listener,
    service: S,
    shutdown: impl Future<Output = ()>,
) -> Result<Report, ServerError>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let head_timeout = server.first_byte().unwrap_or(HEAD_TIMEOUT);
    let options = Arc::new(HttpOptions::new(head_timeout));
    let handler =
        |connection: Connection| HttpDriver::new(connection, service.clone(), Arc::clone(&options));
    tokio::select! {
        report = server.run(listener, handler, shutdown) => report,
        never = options.warm.sweep() => match never {},
    }
}
