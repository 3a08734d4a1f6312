//! `records` answers each record, empty ones too, and says which one was too long.

use crate::support::{Place, Running, python};

const CLIENT: &str = r#"
import socket, sys
client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
client.connect(sys.argv[1])
for size in 3, 0, 65536, 65537, 5:
    client.send(size * b"x")
for _ in range(5):
    print(client.recv(100).decode())
"#;

#[test]
fn each_record_has_an_answer() {
    let place = Place::new();
    let address = format!("seqpacket:{}", place.socket());
    let daemon = Running::server("records", &[&address]);
    if let Some(answers) = python(CLIENT, &[&place.socket()]) {
        let expected = [
            "record 0: 3 bytes",
            "record 1: 0 bytes",
            "record 2: 65536 bytes",
            "record 3: a record of 65537 bytes, and there is room for 65536",
            "record 4: 5 bytes",
        ];
        assert_eq!(answers, expected);
    }
    daemon.stop();
    place.assert_empty();
}
