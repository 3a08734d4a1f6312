//! `http_client` takes one connection for each socket, whatever its name.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::Command;

use sockeye::Address;

use crate::support::{Place, Running, program};

#[test]
fn a_thousand_requests_are_one_accept() {
    let place = Place::new();
    let path = [
        place.dir().as_os_str().as_encoded_bytes(),
        b"/new\nline\xff",
    ]
    .concat();
    let name = format!("@{}", place.at("name"));
    let addresses = [OsString::from_vec(path), name.into()];
    let servers: Vec<_> = addresses
        .iter()
        .map(|address| {
            let server = Running::start(Command::new(program("axum")).arg(address));
            let address = Address::parse(address).unwrap();
            server.expect_log(&format!("listening on {address}"));
            (server, address)
        })
        .collect();
    let client = Running::start(Command::new(program("http_client")).args(&addresses));
    let expected = servers
        .iter()
        .map(|(_, address)| format!("{address}: requests 1000, connections 1"));
    assert_eq!(client.rest(), expected.collect::<Vec<_>>());
    for (server, _) in servers {
        // Its end may be noticed before the signal, or after.
        let report = server.stop();
        let one = [
            "served 1, refused 0, drained 0, ",
            "served 0, refused 0, drained 1, ",
        ];
        assert!(one.iter().any(|one| report.starts_with(one)), "{report}");
    }
    place.assert_empty();
}

#[test]
fn without_an_address_it_calls_servers_of_its_own() {
    let said = Running::example::<&str>("http_client", []).rest();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("/new\\x0aline\\xff: "), "{said:?}");
    assert!(said[1].starts_with('@'), "{said:?}");
    for line in said {
        let counts = "requests 1000, connections 1, accepted 1";
        assert!(line.ends_with(counts), "{line}");
    }
}
