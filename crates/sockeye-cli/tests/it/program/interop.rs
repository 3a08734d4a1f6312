//! The clients of the two traditions.

use std::process::Command;

use super::serving;
use crate::support::{Place, require_peer, run};

#[test]
fn s6_ipcclient_and_unixclient_talk_to_a_program() {
    for client in ["s6-ipcclient", "unixclient"] {
        let Some(client) = require_peer(client) else {
            continue;
        };
        let place = Place::new();
        let mut server = serving(&place, &[], &["cat"]);
        let said = run(Command::new(client).arg(place.socket()).args([
            "/bin/sh",
            "-c",
            "echo hello >&7; head -n 1 <&6",
        ]));
        assert_eq!(said.text(), "hello\n", "{said:?}");
        server.stop().is_clean();
    }
}
