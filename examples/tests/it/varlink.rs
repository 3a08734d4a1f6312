//! `varlink` passes the fd of a file with its answer.

use std::fs;

use rustix::process::Signal;

use crate::support::{Place, Running, peer};

/// Prints each answer, and what can be read from its fds. Then it waits for the end.
const CLIENT: &str = r#"
import json, os, socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
def call(method, **parameters):
    client.sendall(json.dumps({"method": method, "parameters": parameters}).encode() + b"\0")
    answer, all_fds = b"", []
    while not answer.endswith(b"\0"):
        received, fds, _, _ = socket.recv_fds(client, 4096, 4)
        answer += received
        all_fds += fds
    answer = json.loads(answer[:-1])
    print(answer.get("error", "ok"), *[os.read(fd, 100).decode() for fd in all_fds], flush=True)
    return answer["parameters"]
print(call("org.example.Files.Open", name="notes"))
print(call("org.example.Files.Open", name="../secret"))
interface = call("org.varlink.service.GetInterfaceDescription", interface="org.example.Files")
print("method Open" in interface["description"], flush=True)
print(client.recv(100))
"#;

#[test]
fn a_varlink_client_gets_an_fd() {
    let place = Place::new();
    let (files, socket) = (place.at("files"), place.socket());
    fs::create_dir(&files).unwrap();
    fs::write(format!("{files}/notes"), "some notes").unwrap();
    fs::write(place.at("secret"), "a secret").unwrap();
    let daemon = Running::server("varlink", &[&socket, &files, "--drain", "60s"]);
    let Some(mut python) = peer("python3") else {
        return;
    };
    let client = Running::start(python.args(["-c", CLIENT, &socket]));
    client.expect("ok some notes");
    client.expect("{'fd': 0}");
    client.expect("org.example.Files.NotOpened");
    client.expect("{'reason': 'Invalid cross-device link (os error 18)'}");
    client.expect("ok");
    client.expect("True");
    daemon.signal(Signal::TERM);
    let (log, code) = daemon.ended();
    assert!(log[0].contains("drained 1, aborted 0"), "{log:?}");
    assert_eq!(code, Some(0));
    assert_eq!(client.rest(), ["b''"]);
    assert!(!fs::exists(&socket).unwrap());
}
