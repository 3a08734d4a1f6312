//! Connections that the client may not make.

use std::os::unix::fs::chown;

use sockeye::Connector;
use sockeye::connect::ConnectErrorKind;
use sockeye::relay::{ClientConnector, CredentialsError};

use super::*;

fn error_for(user: User, address: &Address) -> CredentialsError {
    let connector = ClientConnector::new(Connector::new()).unwrap();
    let client = user.credentials();
    let connected = runtime().block_on(connector.connect(address, &client));
    connected.unwrap_err()
}

#[test]
fn the_mode_of_the_file_counts_for_the_client() {
    alone(|| {
        let place = Place::new();
        let listener = place.listener();
        set_mode(&place.socket(), 0o660);
        chown(place.socket(), None, Some(ALICE.groups[2])).unwrap();
        let denied = error_for(BOB, &place.address());
        let text = denied.to_string();
        assert!(
            text.contains("(mode 0660, owner uid 0) gives uid 23456 no write"),
            "{text}"
        );
        let CredentialsError::Connect(denied) = denied else {
            panic!("{denied}")
        };
        assert!(matches!(denied.kind(), ConnectErrorKind::ModeDenies { .. }));
        let connector = ClientConnector::new(Connector::new()).unwrap();
        runtime().block_on(async {
            let client = ALICE.credentials();
            let _stream = connector.connect(&place.address(), &client).await.unwrap();
            ALICE.assert_peer(listener.accept().unwrap().0);
        });
    });
}

#[test]
fn a_directory_of_root_is_closed_to_the_client() {
    alone(|| {
        let place = Place::new();
        let _listener = place.listener();
        set_mode(place.0.path(), 0o700);
        for path in [place.socket(), place.at("missing")] {
            let text = error_for(ALICE, &Address::from_path(path).unwrap()).to_string();
            let directory = place.0.path().display();
            let wanted = format!(
                "the directory {directory} (mode 0700, owner uid 0) does not let uid 12345 pass"
            );
            assert!(text.contains(&wanted), "{text}");
        }
        assert!(
            error_for(ROOT, &Address::from_path(place.at("missing")).unwrap())
                .to_string()
                .contains("no such file")
        );
    });
}

#[test]
fn other_errors_say_what_was_found() {
    alone(|| {
        let place = Place::new();
        drop(place.listener());
        let text = error_for(ALICE, &place.address()).to_string();
        assert!(text.contains("nobody listens on it"), "{text}");
        let text = error_for(ALICE, &"@sockeye-credentials-nobody".parse().unwrap()).to_string();
        assert!(text.contains("nobody listens on this name"), "{text}");
        let text = error_for(ALICE, &place.address_of(Kind::SeqPacket)).to_string();
        assert!(text.contains("seqpacket"), "{text}");
        let text = error_for(ALICE, &"fd:3".parse().unwrap()).to_string();
        assert!(text.contains("was made by somebody else"), "{text}");
    });
}

#[test]
fn a_link_into_another_process_is_closed_to_the_client() {
    alone(|| {
        let place = Place::new();
        let _listener = place.listener();
        let path = Path::new("/proc/1/root").join(place.socket().strip_prefix("/").unwrap());
        let text = error_for(ALICE, &Address::from_path(path).unwrap()).to_string();
        assert!(
            text.contains("/proc/1/root may not be followed by uid 12345"),
            "{text}"
        );
    });
}

/// TCP has no peer credentials.
#[test]
fn a_client_without_credentials_is_nobody_else() {
    alone(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let error = ClientCredentials::of(&client).unwrap_err();
        assert!(matches!(error, CredentialsError::NoPeer(_)), "{error}");
    });
}
