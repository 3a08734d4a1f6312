//! HTTP on a [`Server`]: any tower service (axum's `Router`, tonic's `Routes`), with the claim, the limits,
//! the authorization, the drain and the takeover of every other server.

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

/// Serves HTTP/1, HTTP/2 and upgrades with `service` until `shutdown` completes, then drains.
///
/// # Errors
/// As [`Server::run`].
///
/// # Cancel safety
/// As [`Server::run`].
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
    server.run(listener, handler, shutdown).await
}
