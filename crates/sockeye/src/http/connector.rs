//! [`Connector`]: connections of HTTP clients to UNIX sockets.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use super::BoxError;
use super::uri::address_of;
use crate::address::Address;
use crate::stream::Stream;

/// Connects HTTP clients to UNIX sockets, with the timeout and the waiting of a
/// [`Connector`](crate::Connector): a [`Service`] of [`Uri`] for hyper-util's `client::legacy::Client` and
/// for tonic's `Endpoint::connect_with_connector`.
///
/// The socket is the one that [`uri`](super::uri()) has put into the URI. hyper-util's client pools
/// connections by that part of the URI, so that two sockets never share one; it sends `Host: localhost`
/// unless the request has a `Host` of its own. Sockets do not accept fds.
///
/// ```no_run
/// use std::time::Duration;
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::TokioExecutor;
/// use sockeye::{Connector, http};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let connector = http::Connector::from(Connector::new().wait_for(Duration::from_secs(5)));
/// let client = Client::builder(TokioExecutor::new()).build(connector);
/// # let client: Client<_, String> = client;
/// let uri = http::uri(&"/run/app.sock".parse()?, "/v1/items")?;
/// let response = client.get(uri).await?;
/// println!("{}", response.status());
/// # Ok(())
/// # }
/// ```
///
/// # HTTP/2 and gRPC
///
/// HTTP/2 sends the authority of the URI to the server, where user information is not allowed (RFC 9113).
/// So set the [`address`](Self::address) of the connector, and the URI is `http://localhost` for tonic,
/// or for a client of hyper-util with `http2_only`:
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tonic::transport::Endpoint;
///
/// let connector = sockeye::http::Connector::new().address("/run/app.sock".parse()?);
/// let endpoint = Endpoint::from_static("http://localhost");
/// let channel = endpoint.connect_with_connector(connector).await?;
/// // GreeterClient::new(channel)
/// # Ok(())
/// # }
/// ```
///
/// tonic's own `Endpoint::from_static("unix:/run/app.sock")` has no abstract names and does not wait
/// for a server.
///
/// # reqwest
///
/// reqwest takes no connector, but has `ClientBuilder::unix_socket(path)` of its own, for clients that call
/// one socket by its path.
#[doc(alias = "hyperlocal")]
#[doc(alias = "UnixConnector")]
#[derive(Debug, Clone)]
pub struct Connector {
    connector: crate::Connector,
    address: Option<Address>,
}

impl Connector {
    /// As [`crate::Connector::new`]: ten seconds for a server with a full backlog, none for an absent one.
    #[must_use]
    pub fn new() -> Self {
        crate::Connector::new().into()
    }

    /// Connects to `address`, whatever the URI is. A client of it calls one socket only, and its pool is for
    /// that one.
    #[must_use]
    pub fn address(mut self, address: Address) -> Self {
        self.address = Some(address);
        self
    }
}

impl Default for Connector {
    fn default() -> Self {
        Self::new()
    }
}

impl From<crate::Connector> for Connector {
    fn from(connector: crate::Connector) -> Self {
        Self {
            connector: connector.allow_fd_passing(false),
            address: None,
        }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    /// A [`ConnectError`](crate::ConnectError), or a [`UriError`](super::UriError) where the URI names
    /// no socket.
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { connector, address } = self.clone();
        Box::pin(async move {
            let address = match address {
                Some(address) => address,
                None => address_of(&uri)?,
            };
            Ok(TokioIo::new(connector.connect(&address).await?))
        })
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
