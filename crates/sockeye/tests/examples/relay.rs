//! `relay` joins a client to a server that is not ours, with its half-close and its file descriptor.

use crate::support::{Place, Running, python};

const SERVER_AND_CLIENT: &str = r#"
import array, os, socket, sys
front, back = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX)
listener.bind(back)
listener.listen()
client = socket.socket(socket.AF_UNIX)
client.connect(front)
server, _ = listener.accept()
reader, writer = os.pipe()
socket.send_fds(client, [b"here"], [writer])
client.shutdown(socket.SHUT_WR)
text, fds, _, _ = socket.recv_fds(server, 100, 1)
assert server.recv(100) == b""
os.write(fds[0], b"through the pipe")
server.sendall(b"an answer after the half-close")
server.close()
print(text.decode(), os.read(reader, 100).decode(), client.recv(100).decode(), sep="\n")
assert client.recv(100) == b""
os.unlink(back)
"#;

#[test]
fn a_client_is_joined_to_the_server() {
    let place = Place::new();
    let (front, back) = (place.at("front.sock"), place.at("back.sock"));
    let daemon = Running::server("relay", &[&front, &back]);
    if let Some(answers) = python(SERVER_AND_CLIENT, &[&front, &back]) {
        let expected = ["here", "through the pipe", "an answer after the half-close"];
        assert_eq!(answers, expected);
        daemon.expect(&format!("{back}: 4 bytes to it, 30 back"));
    }
    daemon.stop();
    place.assert_empty();
}
