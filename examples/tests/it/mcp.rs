//! `mcp`, called through `sockeye connect` as an MCP client calls it.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::geteuid;

use crate::support::{Place, Running, program};

const INITIALIZE: &[u8] = br#"{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}}
{"jsonrpc": "2.0", "method": "notifications/initialized"}
"#;

#[test]
fn mcp_is_called_through_sockeye_connect() {
    let place = Place::new();
    let daemon = Running::server("mcp", &[&place.socket(), "--drain", "60s"]);
    let mut client = Running::start(Command::new(sockeye()).args(["connect", &place.socket()]));
    client.write(INITIALIZE);
    let hello = client.next().unwrap();
    assert!(hello.contains(r#""capabilities":{"tools":{}}"#), "{hello}");
    let mut call = |tool: &str, arguments: &str| {
        let call = format!(
            r#"{{"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {{"name": "{tool}", "arguments": {arguments}}}}}"#
        );
        client.write(call.as_bytes());
        client.write(b"\n");
        client.next().unwrap()
    };
    let sum = call("sum", r#"{"numbers": [1, 2, 3]}"#);
    assert!(sum.contains(r#""text":"6""#), "{sum}");
    let whoami = call("whoami", "{}");
    let uid = format!(" uid {}", geteuid().as_raw());
    assert!(whoami.contains(&uid), "{whoami}");
    // The session ends at a shutdown, long before the drain timeout.
    let report = daemon.stop();
    assert!(report.contains("drained 1, aborted 0"), "{report}");
    client.rest();
    place.assert_empty();
}

/// The command, which is built for its own tests.
fn sockeye() -> PathBuf {
    let examples = program("mcp");
    let command = examples.ancestors().nth(2).unwrap().join("sockeye");
    assert!(command.exists(), "build it: cargo build -p sockeye-cli");
    command
}
