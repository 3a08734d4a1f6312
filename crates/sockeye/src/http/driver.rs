//! [`HttpDriver`]: serves one connection, with hyper while a request is under way.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming as RequestBody;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};
use tower_service::Service;

use super::BoxError;
use super::caller::Caller;
use super::connection_io::{ConnectionIo, Protocol};
use super::in_flight::{InFlightBody, InFlightFuture, RequestInFlight};
use super::warm::{WarmConnections, WarmSince};
use crate::server::{Connection, LatchWaiter};

/// The most bytes of the head of a request, and of a response that waits to be sent, beside one frame of
/// its body.
const BUFFER: usize = 16 << 10;

/// The most requests of one connection of HTTP/2 at a time: each of them has a buffer.
const STREAMS: u32 = 64;

/// How hyper serves, for all connections of a server.
pub(super) struct HttpOptions {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    head_timeout: Duration,
    pub(super) warm: WarmConnections,
}

impl HttpOptions {
    pub(super) fn new(head_timeout: Duration) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .half_close(true)
            .header_read_timeout(None)
            .max_buf_size(BUFFER);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .enable_connect_protocol()
            .initial_stream_window_size(128 << 10)
            .initial_connection_window_size(256 << 10)
            .max_concurrent_streams(STREAMS)
            .max_send_buf_size(BUFFER);
        Self {
            http1,
            http2,
            head_timeout,
            warm: WarmConnections::default(),
        }
    }
}

/// One connection.
pub(super) struct HttpDriver<S: HttpService> {
    stage: HttpStage<S>,
    service: TowerToHyperService<S>,
    options: Arc<HttpOptions>,
}

/// A tower service that hyper can serve.
pub(super) trait HttpService:
    Service<
        Request<RequestBody>,
        Response = Response<Self::Body>,
        Future: Send,
        Error: Into<BoxError>,
    > + Clone
    + Send
    + 'static
{
    type Body: Body<Data: Send, Error: Into<BoxError>> + Send + 'static;
}

impl<S, B> HttpService for S
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Body = B;
}

enum HttpStage<S: HttpService> {
    /// Nothing of a request has come yet: hyper, with its buffers, is not there.
    Waiting(Box<ConnectionIo>),
    Http1(Box<Http1Connection<S>>),
    Http2(Box<Http2Connection<S>>),
    /// It could not be asked who the caller is.
    Failed(std::io::Error),
    Ended,
}

struct Http1Connection<S: HttpService> {
    hyper: http1::UpgradeableConnection<TokioIo<Box<ConnectionIo>>, CountedService<S>>,
    caller: Caller,
    /// Since it was last looked at whether it is in use.
    warm: Option<WarmSince>,
}

struct Http2Connection<S: HttpService> {
    hyper: http2::Connection<TokioIo<Box<ConnectionIo>>, CountedService<S>, TokioExecutor>,
    /// `None` once hyper has been told.
    drain: Option<LatchWaiter>,
}

impl<S: HttpService> HttpDriver<S> {
    pub(super) fn new(connection: Connection, service: S, options: Arc<HttpOptions>) -> Self {
        let stage = match Caller::of_connection(&connection) {
            Ok(caller) => {
                let io = ConnectionIo::new(connection, caller, options.head_timeout);
                HttpStage::Waiting(Box::new(io))
            }
            Err(error) => HttpStage::Failed(error),
        };
        Self {
            stage,
            service: TowerToHyperService::new(service),
            options,
        }
    }

    fn take_stage(&mut self) -> HttpStage<S> {
        std::mem::replace(&mut self.stage, HttpStage::Ended)
    }

    /// Drops hyper with its buffers, which are empty, and keeps the connection.
    fn park(&mut self) {
        if let HttpStage::Http1(http1) = self.take_stage()
            && let Some(parts) = http1.hyper.into_parts()
        {
            let mut io = parts.io.into_inner();
            io.hold(&parts.read_buf);
            self.stage = HttpStage::Waiting(io);
        }
    }

    fn begin(&self, io: Box<ConnectionIo>, protocol: Protocol) -> HttpStage<S> {
        let service = CountedService {
            service: self.service.clone(),
            caller: io.caller().clone(),
        };
        let (caller, drain) = (io.caller().clone(), io.on_drain());
        let io = TokioIo::new(io);
        match protocol {
            Protocol::Http1 => {
                let hyper = self.options.http1.serve_connection(io, service);
                HttpStage::Http1(Box::new(Http1Connection {
                    hyper: hyper.with_upgrades(),
                    caller,
                    warm: None,
                }))
            }
            Protocol::Http2 => HttpStage::Http2(Box::new(Http2Connection {
                hyper: self.options.http2.serve_connection(io, service),
                drain: Some(drain),
            })),
        }
    }
}

impl<S: HttpService> Http1Connection<S> {
    /// Whether hyper stays: a request is under way, or the next one may come soon.
    fn stays(&mut self, cx: &mut Context<'_>, warm: &WarmConnections) -> bool {
        let exchanges = self.caller.exchanges();
        if !exchanges.is_parkable() {
            return true;
        }
        match self.warm {
            Some(since) if !warm.is_swept(since) => return true,
            Some(_) if !exchanges.take_used() => return false,
            _ => {}
        }
        exchanges.take_used();
        self.warm = warm.enter(cx.waker());
        self.warm.is_some()
    }
}

impl<S: HttpService> Http2Connection<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        if self.drain.as_mut().is_some_and(|drain| drain.poll_open(cx)) {
            self.drain = None;
            Pin::new(&mut self.hyper).graceful_shutdown();
        }
        Pin::new(&mut self.hyper).poll(cx)
    }
}

/// What hyper calls: requests of HTTP/1 are counted, and all carry their [`Caller`].
struct CountedService<S> {
    service: TowerToHyperService<S>,
    caller: Caller,
}

impl<S: HttpService> hyper::service::Service<Request<RequestBody>> for CountedService<S> {
    type Response = Response<InFlightBody<<S as HttpService>::Body>>;
    type Error = S::Error;
    type Future = InFlightFuture<TowerToHyperServiceFuture<S, Request<RequestBody>>>;

    fn call(&self, mut request: Request<RequestBody>) -> Self::Future {
        // Of HTTP/2 the I/O sees which streams are open.
        let is_counted = request.version() <= Version::HTTP_11;
        let exchange = is_counted.then(|| RequestInFlight::begin(self.caller.clone(), &request));
        request.extensions_mut().insert(self.caller.clone());
        InFlightFuture::new(exchange, self.service.call(request))
    }
}

// Nothing of it is ever pinned.
impl<S: HttpService> Unpin for HttpDriver<S> {}

impl<S: HttpService> Future for HttpDriver<S> {
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            let protocol = match &mut this.stage {
                HttpStage::Waiting(io) => match ready!(io.poll_begin(cx)) {
                    Ok(Some(protocol)) => protocol,
                    // The client has gone, or a timeout has passed, with nothing under way.
                    Ok(None) | Err(_) => return Poll::Ready(Ok(())),
                },
                HttpStage::Http1(http1) => {
                    let ended = Pin::new(&mut http1.hyper).poll(cx);
                    if ended.is_pending() && !http1.stays(cx, &this.options.warm) {
                        this.park();
                    }
                    return ended.map(failure_of_service);
                }
                HttpStage::Http2(http2) => return http2.poll(cx).map(failure_of_service),
                HttpStage::Failed(_) | HttpStage::Ended => break,
            };
            if let HttpStage::Waiting(io) = this.take_stage() {
                this.stage = this.begin(io, protocol);
            }
        }
        match this.take_stage() {
            HttpStage::Failed(error) => Poll::Ready(Err(error.into())),
            _ => Poll::Ready(Ok(())),
        }
    }
}

/// What a client has broken off is no failure of the service.
fn failure_of_service(ended: hyper::Result<()>) -> Result<(), BoxError> {
    match ended {
        Err(error) if error.is_user() => Err(error.into()),
        _ => Ok(()),
    }
}
