//! An MCP server (Model Context Protocol) with rmcp: one daemon for all clients, and its tools know which
//! user calls.
//!
//! ```console
//! $ cargo run -p sockeye-examples --example mcp -- /tmp/mcp.sock
//! ```
//!
//! A client that starts its servers and talks to them over standard input and output starts
//! `sockeye connect` instead:
//!
//! ```json
//! { "mcpServers": { "example": { "command": "sockeye", "args": ["connect", "/tmp/mcp.sock"] } } }
//! ```

#[path = "../crates/sockeye/examples/common/mod.rs"]
mod common;

use std::io;

use futures_util::{sink, stream};
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{ServerCapabilities, ServerConfig};
use rmcp::{ServerHandler, ServiceExt, schemars, tool, tool_handler, tool_router};
use sockeye::{Claim, Connection, Framing, Listener, Messages, Peer, Server};
use tokio::io::AsyncWriteExt;

#[tokio::main]
async fn main() -> common::Ending {
    let args = common::Arguments::parse("usage: mcp ADDRESS [--drain D]")?;
    args.end()?;
    let (shutdown, abort) = common::signals()?;
    let listener = Listener::open(&args.address, &Claim::options().mode(0o660))?;
    common::listening(&args.address);
    let server = Server::new().drain_timeout(args.drain).abort_on(abort);
    let server = server.max_connections(100).max_per_uid(10);
    common::finish(&server.run(listener, session, shutdown).await?)
}

async fn session(connection: Connection) -> Result<(), common::BoxError> {
    let tools = Tools(connection.peer()?);
    let (reader, writer) = connection.into_split();
    // A message is a line, of at most 1 MiB. In a drain they end once those that have come are answered.
    let requests = stream::unfold(
        Messages::new(reader, Framing::Line, 1 << 20),
        |mut lines| async {
            let line = lines.next().await.ok()??;
            Some((serde_json::from_slice(&line.payload).ok()?, lines))
        },
    );
    let responses = sink::unfold(writer, |mut writer, message| async move {
        let mut line = serde_json::to_vec(&message)?;
        line.push(b'\n');
        writer.write_all(&line).await?;
        Ok::<_, io::Error>(writer)
    });
    let session = tools
        .serve((Box::pin(responses), Box::pin(requests)))
        .await?;
    session.waiting().await?;
    Ok(())
}

/// Those of one client.
#[derive(Clone)]
struct Tools(Peer);

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Sum {
    numbers: Vec<i64>,
}

#[tool_router]
impl Tools {
    #[tool(description = "The sum of some numbers")]
    fn sum(&self, Parameters(Sum { numbers }): Parameters<Sum>) -> String {
        let sum: i128 = numbers.into_iter().map(i128::from).sum();
        sum.to_string()
    }

    #[tool(description = "Which process of which user calls")]
    fn whoami(&self) -> String {
        self.0.to_string()
    }
}

#[tool_handler]
impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}
