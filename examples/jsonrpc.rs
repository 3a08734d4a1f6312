//! JSON-RPC with jsonrpsee: calls over HTTP, calls and subscriptions over WebSocket.
//!
//! ```console
//! $ cargo run -p sockeye-examples --example jsonrpc -- /tmp/rpc.sock
//! $ curl --unix-socket /tmp/rpc.sock http://localhost -H 'Content-Type: application/json' \
//!     -d '{"jsonrpc": "2.0", "id": 1, "method": "add", "params": [1, 2]}'
//! ```

#[path = "../crates/sockeye/examples/common/mod.rs"]
mod common;

use std::time::Duration;

use jsonrpsee::server::{ServerConfig, stop_channel};
use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::{RpcModule, SubscriptionMessage};
use sockeye::http::Caller;
use sockeye::{Claim, Listener, Server};

#[tokio::main]
async fn main() -> common::Ending {
    let args = common::Arguments::parse("usage: jsonrpc ADDRESS [--drain D]")?;
    args.end()?;
    let (signal, abort) = common::signals()?;
    let listener = Listener::open(&args.address, &Claim::options().mode(0o660))?;
    common::listening(&args.address);

    let (stop, handle) = stop_channel();
    let shutdown = async {
        signal.await;
        // Ends the WebSocket connections once their calls are answered. It fails where that is done.
        let _ = handle.stop();
    };
    // The limit of connections is the server's; this one would count requests.
    let config = ServerConfig::builder().max_connections(u32::MAX).build();
    let builder = jsonrpsee::server::Server::builder().set_config(config);
    let service = builder.to_service_builder().build(methods()?, stop);
    let server = Server::new().drain_timeout(args.drain).abort_on(abort);
    let server = server.max_connections(1000).max_per_uid(100);
    common::finish(&sockeye::http::serve(server, listener, service, shutdown).await?)
}

fn methods() -> Result<RpcModule<()>, common::BoxError> {
    let mut module = RpcModule::new(());
    module.register_method("add", |params, (), _| {
        let (one, other): (i64, i64) = params.parse()?;
        let overflow = || ErrorObjectOwned::owned(1, "the sum is too large", None::<()>);
        one.checked_add(other).ok_or_else(overflow)
    })?;
    // What the server knows about the client is in the extensions of each request.
    module.register_method("whoami", |_, (), extensions| {
        extensions.get::<Caller>().and_then(Caller::uid)
    })?;
    module.register_subscription("tick", "tick", "end", |_, pending, _, _| async move {
        let sink = pending.accept().await?;
        for tick in 1_u32.. {
            let message = serde_json::value::to_raw_value(&tick)?;
            sink.send(SubscriptionMessage::from(message)).await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    })?;
    Ok(module)
}
