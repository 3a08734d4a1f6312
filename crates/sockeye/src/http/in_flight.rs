//! [`RequestInFlight`]: counts the requests of a connection of HTTP/1, so that a drain knows which one is idle.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::header::CONNECTION;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::caller::Caller;
use super::exchanges::RequestBodyLength;

/// A request whose response is not done before this is dropped.
#[derive(Debug)]
pub(super) struct RequestInFlight {
    caller: Caller,
    is_connect: bool,
}

impl RequestInFlight {
    pub(super) fn begin<B: Body>(caller: Caller, request: &Request<B>) -> Self {
        caller
            .exchanges()
            .begin(RequestBodyLength::of(request.body()));
        Self {
            caller,
            is_connect: request.method() == Method::CONNECT,
        }
    }

    /// The head of the response is there.
    fn answer<B>(self, response: &mut Response<B>) -> Option<Self> {
        let exchanges = self.caller.exchanges();
        let status = response.status();
        if status == StatusCode::SWITCHING_PROTOCOLS || self.is_connect && status.is_success() {
            exchanges.set_upgraded();
            return None;
        }
        if exchanges.is_last() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        Some(self)
    }
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        self.caller.exchanges().end();
    }
}

pin_project! {
    /// A response that is counted.
    #[derive(Debug)]
    pub(super) struct InFlightFuture<F> {
        exchange: Option<RequestInFlight>,
        #[pin]
        response: F,
    }
}

impl<F> InFlightFuture<F> {
    pub(super) fn new(exchange: Option<RequestInFlight>, response: F) -> Self {
        Self { exchange, response }
    }
}

impl<F, B, E> Future for InFlightFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<InFlightBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.response.poll(cx))?;
        let exchange = this.exchange.take();
        let exchange = exchange.and_then(|exchange| exchange.answer(&mut response));
        Poll::Ready(Ok(response.map(|body| InFlightBody { exchange, body })))
    }
}

pin_project! {
    /// The body of a response whose request is in flight until its end.
    #[derive(Debug)]
    pub(super) struct InFlightBody<B> {
        exchange: Option<RequestInFlight>,
        #[pin]
        body: B,
    }
}

impl<B: Body> Body for InFlightBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        // hyper drops the body some time after its end.
        if !matches!(frame, Some(Ok(_))) || this.body.is_end_stream() {
            *this.exchange = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
