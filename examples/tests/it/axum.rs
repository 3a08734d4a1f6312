//! `axum`: its routes, who may call them, and its limits.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::{getegid, geteuid};
use serde_json::Value;

use crate::curl::{curl, curl_as};
use crate::support::{Place, Running, python, skipped};

/// With both accept loops.
pub(crate) const LOOPS: [&[&str]; 2] = [&[], &["--incoming"]];

/// Starts it with these options.
#[track_caller]
pub(crate) fn started(place: &Place, options: &[&[&str]]) -> Running {
    let socket = place.socket();
    Running::server("axum", &[&[&socket[..]], &options.concat()[..]].concat())
}

#[test]
fn axum_answers_curl() {
    for accept_loop in LOOPS {
        let place = Place::new();
        let daemon = started(&place, &[accept_loop]);
        let get = |path: &str| curl(&place.socket(), &[&format!("http://localhost{path}")]);
        let Some(answer) = get("/") else { return };
        assert_eq!(answer, ["hello", "200"]);
        assert_eq!(get("/small").unwrap(), ["x".repeat(64), "200".to_owned()]);
        assert_eq!(get("/admin").unwrap(), ["restricted", "200"]);
        assert_eq!(get("/nothing").unwrap(), ["404"]);
        let whoami = get("/whoami").unwrap();
        let caller: Value = serde_json::from_str(&whoami[0]).unwrap();
        assert_eq!(caller["uid"], geteuid().as_raw());
        assert_eq!(caller["gid"], getegid().as_raw());
        assert!(caller["pid"].as_i64().unwrap() > 0);
        assert!(caller["groups"].is_array(), "{caller}");
        assert!(daemon.stop().ends_with(", aborted 0, accept errors 0"));
        place.assert_empty();
    }
}

#[test]
fn nobody_is_admitted_by_a_supplementary_group_alone() {
    if !geteuid().is_root() {
        return skipped("only root can be another user");
    }
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534"];
    for accept_loop in LOOPS {
        let place = Place::new();
        fs::set_permissions(place.dir(), fs::Permissions::from_mode(0o755)).unwrap();
        let daemon = started(&place, &[accept_loop, &["--admin-group", "4711"]]);
        let get = |groups: &str, path: &str| {
            let user = [&nobody[..], &[groups]].concat();
            curl_as(
                &user,
                &place.socket(),
                &[&format!("http://localhost{path}")],
            )
        };
        let Some(open) = get("--clear-groups", "/") else {
            return;
        };
        assert_eq!(open, ["hello", "200"]);
        let denied = get("--clear-groups", "/admin").unwrap();
        assert!(denied[0].starts_with("forbidden: "), "{denied:?}");
        assert!(denied[0].contains("4711"), "{denied:?}");
        assert_eq!(denied[1], "403");
        assert_eq!(
            get("--groups=4711", "/admin").unwrap(),
            ["restricted", "200"]
        );
        daemon.stop();
    }
}

/// One client has an upgraded connection, and others come.
const LIMITED: &str = r#"
import socket, sys
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
UPGRADE = b"GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n"
def connect(request):
    client = socket.socket(socket.AF_UNIX)
    client.connect(sys.argv[1])
    try:
        client.sendall(request)
    except BrokenPipeError:
        pass
    return client
def rest(client):
    received = b""
    try:
        while more := client.recv(1000):
            received += more
    except ConnectionResetError:
        pass
    return received
first = connect(UPGRADE)
head = b""
while not head.endswith(b"\r\n\r\n"):
    head += first.recv(1)
print(head.split(b"\r\n")[0].decode())
for text in b"one", b"two":
    first.sendall(text)
    print(first.recv(100).decode())
second = connect(GET)
if sys.argv[2] == "refuses":
    print(rest(second))
    second = connect(GET)
    print(rest(second))
else:
    second.settimeout(0.2)
    try:
        print(second.recv(1))
    except TimeoutError:
        print("waits")
    second.settimeout(None)
first.close()
if sys.argv[2] == "refuses":
    # It may be noticed a little later that the first one has ended.
    while not (answer := rest(second := connect(GET))):
        pass
else:
    answer = rest(second)
print(answer.split(b"\r\n")[0].decode())
"#;

#[test]
fn an_upgraded_connection_keeps_its_permit() {
    let begun = ["HTTP/1.1 101 Switching Protocols", "one", "two"];
    for accept_loop in LOOPS {
        let place = Place::new();
        let daemon = started(&place, &[accept_loop, &["--max-connections", "1"]]);
        if let Some(said) = python(LIMITED, &[&place.socket(), "waits"]) {
            assert_eq!(said[..3], begun);
            assert_eq!(said[3..], ["waits", "HTTP/1.1 200 OK"]);
        }
        daemon.stop();
        let daemon = started(&place, &[accept_loop, &["--max-per-uid", "1"]]);
        if let Some(said) = python(LIMITED, &[&place.socket(), "refuses"]) {
            assert_eq!(said[..3], begun);
            assert_eq!(said[3..], ["b''", "b''", "HTTP/1.1 200 OK"]);
            assert!(!daemon.stop().contains("refused 0"));
        }
    }
}
