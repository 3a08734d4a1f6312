//! HTTP on a [`Server`]: any tower service (axum's `Router`, tonic's `Routes`), with the claim, the limits,
//! the authorization, the drain and the takeover of every other server.

mod allow;
mod caller;
mod connector;
mod uri;

use std::future::Future;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming as RequestBody;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tower_service::Service;

pub use allow::{Allow, AllowService};
pub use caller::Caller;
pub use connector::Connector;
pub use uri::{UriError, uri};

use crate::listener::Listener;
use crate::server::{Connection, Report, Server, ServerError};

/// An error of any kind.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

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
    let handler = |connection: Connection| {
        let service = TowerToHyperService::new(service.clone());
        async move {
            let builder = Builder::new(TokioExecutor::new());
            let io = TokioIo::new(connection);
            builder.serve_connection_with_upgrades(io, service).await
        }
    };
    server.run(listener, handler, shutdown).await
}
