//! `--connections`, and the address of the peer.

use std::os::unix::net::UnixStream;

use super::{connected, inode, json, listening, ls};
use crate::support::run;

#[test]
fn connections_have_both_ends() {
    let (_place, listener, path) = listening();
    let (client, accepted) = connected(&listener);
    let waiting = UnixStream::connect(&path).expect("the backlog has room");
    let found = json(["--connections", &path]);
    assert_eq!(found.len(), 2, "{found:#?}");
    for pair in found {
        assert_eq!(pair.as_object().expect("an object").len(), 3);
        assert_eq!(pair["server"]["address"], path);
        let (client_is, server_is) = match pair["state"].as_str() {
            Some("connected") => (inode(&client), inode(&accepted)),
            Some("pending") => (inode(&waiting), inode(&listener)),
            other => panic!("{other:?}"),
        };
        assert_eq!(pair["client"]["inode"], client_is);
        assert_eq!(pair["server"]["inode"], server_is);
    }
    let text = run(&mut ls(["--connections", &path])).text();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains("CLIENT"), "{text}");
}

#[test]
fn a_listener_without_connections_is_not_missing() {
    let (_place, listener, path) = listening();
    let listed = run(&mut ls(["--connections", &path]));
    listed.fails(3, &[&path, "has no connections"]);
    assert!(!listed.stderr.contains("no such socket"), "{listed:#?}");
    run(&mut ls(["--connections", "--kind", "dgram", &path])).fails(3, &["no connection matches"]);
    let (client, _accepted) = connected(&listener);
    let listed = run(&mut ls(["--json", "--all", "--connections"]));
    let found = super::objects(&listed);
    let is_it = |pair: &&serde_json::Value| pair["client"]["inode"] == inode(&client);
    assert_eq!(found.iter().filter(is_it).count(), 1, "{listed:#?}");
}

#[test]
fn a_client_without_a_name_is_shown_by_its_peer() {
    let (_place, listener, path) = listening();
    let (client, accepted) = connected(&listener);
    let row = |socket: &UnixStream, columns| {
        let inode = inode(socket).to_string();
        run(&mut ls(["-H", "-o", columns, "--inode", &inode])).text()
    };
    assert_eq!(row(&client, "address"), format!("→ {path}\n"));
    assert_eq!(row(&client, "peer-address"), format!("{path}\n"));
    assert_eq!(
        row(&accepted, "address,peer-address"),
        format!("{path}  -\n")
    );
    let (alone, _other) = UnixStream::pair().expect("a pair");
    assert_eq!(row(&alone, "address,peer-address"), "-  -\n");
    let found = json(["-o", "peer-address", "--inode", &inode(&client).to_string()]);
    assert_eq!(found[0]["peer"]["address"], path);
}
