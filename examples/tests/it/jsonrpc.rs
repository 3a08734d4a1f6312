//! `jsonrpc` over HTTP and over WebSocket.

use rustix::process::{Signal, geteuid};

use crate::curl::curl;
use crate::support::{Place, Running, peer};

#[test]
fn jsonrpc_answers_curl() {
    let place = Place::new();
    let daemon = Running::server("jsonrpc", &[&place.socket()]);
    let call = |method: &str, params: &str| {
        let call =
            format!(r#"{{"jsonrpc": "2.0", "id": 1, "method": "{method}", "params": {params}}}"#);
        let json = "Content-Type: application/json";
        curl(
            &place.socket(),
            &["-H", json, "-d", &call, "http://localhost"],
        )
    };
    let Some(sum) = call("add", "[1, 2]") else {
        return;
    };
    assert_eq!(sum, [r#"{"jsonrpc":"2.0","id":1,"result":3}"#, "200"]);
    let uid = geteuid().as_raw();
    let own = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{uid}}}"#);
    assert_eq!(call("whoami", "[]").unwrap(), [&own[..], "200"]);
    let wrong = call("add", "[1]").unwrap();
    assert!(wrong[0].contains(r#""code":-32602"#), "{wrong:?}");
    daemon.stop();
    place.assert_empty();
}

/// Subscribes, and prints the notifications.
const SUBSCRIBE: &str = r#"
import base64, json, os, socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
key = base64.b64encode(os.urandom(16)).decode()
client.sendall(f"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
               f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
reader = client.makefile("rb")
while reader.readline() != b"\r\n":
    pass
call = b'{"jsonrpc": "2.0", "id": 1, "method": "tick"}'
# Masked with zeros.
client.sendall(bytes([0x81, 0x80 | len(call), 0, 0, 0, 0]) + call)
while head := reader.read(2):
    payload = reader.read(head[1])
    if head[0] == 0x88:
        print("closed")
        break
    message = json.loads(payload)
    print(message.get("method", "subscribed"), flush=True)
"#;

#[test]
fn a_shutdown_closes_a_subscription() {
    let place = Place::new();
    let daemon = Running::server("jsonrpc", &[&place.socket(), "--drain", "60s"]);
    let Some(mut python) = peer("python3") else {
        return;
    };
    let client = Running::start(python.args(["-c", SUBSCRIBE, &place.socket()]));
    client.expect("subscribed");
    client.expect("tick");
    daemon.signal(Signal::TERM);
    let (log, code) = daemon.ended();
    assert!(log[0].contains("drained 1, aborted 0"), "{log:?}");
    assert_eq!(code, Some(0));
    assert_eq!(client.rest().last().unwrap(), "closed");
    place.assert_empty();
}
