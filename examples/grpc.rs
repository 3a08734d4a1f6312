//! gRPC with tonic: `helloworld.Greeter/SayHello`.
//!
//! ```console
//! $ cargo run -p sockeye-examples --example grpc -- /tmp/greeter.sock
//! $ grpcurl -plaintext -unix -proto examples/helloworld/helloworld.proto \
//!     -d '{"name": "world"}' /tmp/greeter.sock helloworld.Greeter/SayHello
//! ```
//!
//! With `--incoming` the accept loop is tonic's. A client is `Endpoint::from_static("unix:/tmp/greeter.sock")`,
//! or `connect_with_connector(sockeye::http::Connector)`.

#[path = "../crates/sockeye/examples/common/mod.rs"]
mod common;
mod helloworld;

use helloworld::greeter_server::{Greeter, GreeterServer};
use helloworld::{HelloReply, HelloRequest};
use sockeye::http::Incoming;
use sockeye::{Claim, Listener, Server};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

#[tokio::main]
async fn main() -> common::Ending {
    let mut args = common::Arguments::parse("usage: grpc ADDRESS [--drain D] [--incoming]")?;
    let is_incoming = args.flag("--incoming");
    args.end()?;
    let (shutdown, abort) = common::signals()?;
    let listener = Listener::open(&args.address, &Claim::options().mode(0o660))?;
    common::listening(&args.address);
    let server = Server::new().drain_timeout(args.drain).abort_on(abort);
    let greeter = GreeterServer::new(Hello);
    let report = if is_incoming {
        let incoming = Incoming::new(server, listener, shutdown);
        let (ended, report) = (incoming.ended(), incoming.report());
        tonic::transport::Server::builder()
            .add_service(greeter)
            .serve_with_incoming_shutdown(incoming, ended)
            .await?;
        report.await?
    } else {
        sockeye::http::serve(server, listener, Routes::new(greeter), shutdown).await?
    };
    common::finish(&report)
}

struct Hello;

#[tonic::async_trait]
impl Greeter for Hello {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        let message = format!("Hello {}!", request.into_inner().name);
        Ok(Response::new(HelloReply { message }))
    }
}
