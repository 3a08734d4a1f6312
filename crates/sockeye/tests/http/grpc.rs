//! tonic's own server on `http::Incoming`, and its client.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Buf;
use futures_util::future::BoxFuture;
use http::uri::PathAndQuery;
use sockeye::http::{Allow, Caller, Connector, Incoming};
use sockeye::server::{Report, Server};
use sockeye::{Address, BufMut, Listener};
use tokio::sync::watch;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use crate::raw::{BOTH, Serving, Stop, Threads};
use crate::routes::LONG;
use crate::support::within;

/// Far more than an idle client has to hear of a drain.
const DRAIN: Duration = Duration::from_secs(3);

/// Messages of plain bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length).to_vec()))
    }
}

/// Answers with the uid of the caller: `wait` once it is told to, and anything else at once.
#[derive(Clone)]
struct WhoAmI {
    go: watch::Receiver<bool>,
    begun: Arc<AtomicUsize>,
}

impl WhoAmI {
    fn new() -> (Self, watch::Sender<bool>) {
        let (tell, go) = watch::channel(false);
        let begun = Arc::default();
        (Self { go, begun }, tell)
    }
}

impl tonic::server::NamedService for WhoAmI {
    const NAME: &'static str = "test.WhoAmI";
}

impl tonic::server::UnaryService<Vec<u8>> for WhoAmI {
    type Response = Vec<u8>;
    type Future = BoxFuture<'static, Result<Response<Vec<u8>>, Status>>;

    fn call(&mut self, request: Request<Vec<u8>>) -> Self::Future {
        let mut go = self.go.clone();
        self.begun.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if request.get_ref() == b"wait" {
                go.wait_for(|go| *go).await.unwrap();
            }
            let caller = request.extensions().get::<Caller>().unwrap();
            Ok(Response::new(
                caller.uid().unwrap().to_string().into_bytes(),
            ))
        })
    }
}

impl tower_service::Service<http::Request<tonic::body::Body>> for WhoAmI {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            Ok(tonic::server::Grpc::new(Plain)
                .unary(service, request)
                .await)
        })
    }
}

async fn serve(server: Server, listener: Listener, stop: Stop, service: WhoAmI) -> Report {
    let incoming = Incoming::new(server, listener, stop.told());
    let (ended, report) = (incoming.ended(), incoming.report());
    let tonic = tonic::transport::Server::builder().add_service(service);
    let served = tonic.serve_with_incoming_shutdown(incoming, ended);
    served.await.unwrap();
    report.await.unwrap()
}

fn start(threads: Threads, drain_timeout: Duration) -> (Serving, WhoAmI, watch::Sender<bool>) {
    let (service, go) = WhoAmI::new();
    let (server, served) = (Server::new().drain_timeout(drain_timeout), service.clone());
    let serving = Serving::start_with(threads, async move |listener, stop| {
        serve(server, listener, stop, served).await
    });
    (serving, service, go)
}

async fn connect(serving: &Serving) -> Channel {
    let address = Address::from_path(serving.path()).unwrap();
    let endpoint = Endpoint::from_static("http://localhost");
    let connected = endpoint.connect_with_connector(Connector::new().address(address));
    within(connected).await.unwrap()
}

async fn call(channel: Channel, message: &str) -> Result<String, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    let ready = within(client.ready()).await;
    ready.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static("/test.WhoAmI/Call");
    let request = Request::new(message.as_bytes().to_vec());
    let response = within(client.unary(request, path, Plain)).await?;
    Ok(String::from_utf8(response.into_inner()).unwrap())
}

fn uid() -> String {
    rustix::process::geteuid().as_raw().to_string()
}

/// A connection of HTTP/2 that has sent the preface and its settings, or a part of that.
fn raw(serving: &Serving, length: usize) -> UnixStream {
    let mut stream = UnixStream::connect(serving.path()).unwrap();
    stream
        .set_read_timeout(Some(crate::support::PATIENCE))
        .unwrap();
    let beginning = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    stream.write_all(&beginning[..length]).unwrap();
    stream
}

#[test]
fn an_idle_connection_ends_at_once_and_half_a_preface_at_the_drain_timeout() {
    for threads in BOTH {
        let (serving, _, _go) = start(threads, DRAIN);
        let mut half = raw(&serving, 20);
        let mut idle = raw(&serving, 33);
        // The settings of the server.
        idle.read_exact(&mut [0; 9]).unwrap();
        let begun = Instant::now();
        let draining = serving.drain();
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).unwrap();
        assert!(!draining.has_ended());
        assert!(
            rest.windows(4).any(|it| it == [0, 0, 8, 7]),
            "{rest:?} has no GOAWAY"
        );
        let report = draining.report();
        assert!(begun.elapsed() >= DRAIN);
        assert_eq!((report.drained, report.aborted), (1, 1), "{report}");
        let _ = half.read_to_end(&mut rest);
    }
}

#[test]
fn a_call_in_flight_is_answered_and_no_call_is_lost_beside_it() {
    for threads in BOTH {
        let (serving, _, go) = start(threads, LONG);
        // It would hold back the graceful shutdown of tonic for a minute.
        let mut half = raw(&serving, 20);
        Threads::Two.runtime().block_on(async {
            let channel = connect(&serving).await;
            assert_eq!(call(channel.clone(), "").await.unwrap(), uid());
            let waiting = tokio::spawn(call(channel.clone(), "wait"));
            // It is there before those behind it are answered.
            for _ in 0..10 {
                call(channel.clone(), "").await.unwrap();
            }
            let draining = serving.drain();
            go.send(true).unwrap();
            assert_eq!(waiting.await.unwrap().unwrap(), uid());
            // Only new connections are made now, which nobody accepts.
            call(channel, "").await.unwrap_err();
            half.write_all(b"\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
            half.read_to_end(&mut Vec::new()).unwrap();
            let report = draining.report();
            assert_eq!((report.drained, report.aborted), (2, 0), "{report}");
        });
    }
}

#[test]
fn every_call_that_has_begun_is_answered_while_clients_call_without_a_pause() {
    for threads in BOTH {
        for _ in 0..5 {
            let (serving, service, _go) = start(threads, LONG);
            // It would hold back the graceful shutdown of tonic for a minute.
            let mut half = raw(&serving, 20);
            let answered = Threads::Two.runtime().block_on(async {
                let mut clients = Vec::new();
                for _ in 0..16 {
                    let channel = connect(&serving).await;
                    // Two at a time keep the connection busy.
                    clients.push(tokio::spawn(call_until_refused(channel.clone())));
                    clients.push(tokio::spawn(call_until_refused(channel)));
                }
                let path = serving.path();
                let draining = tokio::task::spawn_blocking(move || serving.drain());
                let draining = draining.await.unwrap();
                let mut answered = 0;
                for client in clients {
                    answered += within(client).await.unwrap();
                }
                assert!(!path.exists());
                half.write_all(b"\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
                half.read_to_end(&mut Vec::new()).unwrap();
                let report = draining.report();
                assert_eq!((report.drained + report.served, report.aborted), (17, 0));
                answered
            });
            assert_eq!(answered, service.begun.load(Ordering::SeqCst));
        }
    }
}

/// How many calls are answered.
async fn call_until_refused(channel: Channel) -> usize {
    let mut answered = 0;
    while call(channel.clone(), "").await.is_ok() {
        answered += 1;
    }
    answered
}

#[test]
fn calls_in_the_backlog_are_answered() {
    for threads in BOTH {
        for _ in 0..5 {
            let (serving, _, go) = start(threads, LONG);
            Threads::One.runtime().block_on(async {
                let mut calls = Vec::new();
                for _ in 0..100 {
                    let channel = connect(&serving).await;
                    calls.push(tokio::spawn(call(channel, "wait")));
                }
                // Until all of them have been sent.
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                let draining = serving.tell();
                go.send(true).unwrap();
                for call in calls {
                    assert_eq!(call.await.unwrap().unwrap(), uid());
                }
                let report = draining.report();
                assert_eq!((report.aborted, report.failed), (0, 0), "{report}");
            });
        }
    }
}

#[test]
fn a_layer_of_the_server_refuses_callers() {
    let serving = Serving::start_with(Threads::Two, async |listener, stop| {
        let incoming = Incoming::new(Server::new(), listener, stop.told());
        let (ended, report) = (incoming.ended(), incoming.report());
        let (service, _go) = WhoAmI::new();
        let tonic = tonic::transport::Server::builder()
            .layer(Allow::new().groups([4242]))
            .add_service(service);
        let served = tonic.serve_with_incoming_shutdown(incoming, ended);
        served.await.unwrap();
        report.await.unwrap()
    });
    Threads::One.runtime().block_on(async {
        let error = call(connect(&serving).await, "").await.unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied, "{error}");
        let message = error.message();
        assert!(
            message.contains("allowed is group 4242; you are uid "),
            "{message}"
        );
    });
    serving.stop();
}
