//! What a process needs to connect with the credentials of a client, and what it must not use.

use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, capabilities, set_capabilities,
    set_capabilities_secure_bits,
};
use sockeye::Connector;
use sockeye::relay::{ClientConnector, CredentialsError};

use super::*;

fn set_effective(effective: CapabilitySet) {
    let mut sets = capabilities(None).unwrap();
    sets.effective = effective;
    set_capabilities(None, sets).unwrap();
}

/// New threads inherit what this one has.
fn connect(connector: &ClientConnector, place: &Place, user: User) -> Result<(), CredentialsError> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    let client = user.credentials();
    let connected = runtime.block_on(connector.connect(&place.address(), &client));
    connected.map(drop)
}

#[test]
fn without_privileges_nothing_is_connected() {
    alone(|| {
        let place = Place::new();
        let listener = place.listener();
        listener.set_nonblocking(true).unwrap();
        let connector = ClientConnector::new(Connector::new()).unwrap();
        for missing in [CapabilitySet::SETGID, CapabilitySet::SETUID] {
            let client = ALICE.credentials();
            on_a_thread(|| {
                set_effective(capabilities(None).unwrap().effective - missing);
                let error = ClientConnector::new(Connector::new()).unwrap_err();
                assert!(
                    matches!(error, CredentialsError::NotPermitted(_)),
                    "{error}"
                );
                assert!(
                    error
                        .to_string()
                        .contains("take root (CAP_SETUID, CAP_SETGID)")
                );
                let mut builder = tokio::runtime::Builder::new_current_thread();
                let runtime = builder.enable_all().build().unwrap();
                let error = runtime.block_on(connector.connect(&place.address(), &client));
                let text = error.unwrap_err().to_string();
                assert!(
                    text.contains("cannot take the ids of the client (uid 12345"),
                    "{text}"
                );
            });
        }
        let nobody = listener.accept().unwrap_err();
        assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
    });
}

#[test]
fn capabilities_of_the_relay_do_not_open_a_path_for_the_client() {
    alone(|| {
        let place = Place::new();
        let _listener = place.listener();
        set_mode(&place.socket(), 0o600);
        let connector = ClientConnector::new(Connector::new()).unwrap();
        on_a_thread(|| {
            set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP).unwrap();
            let denied = connect(&connector, &place, ALICE).unwrap_err().to_string();
            assert!(
                denied.contains("gives uid 12345 no write permission"),
                "{denied}"
            );
            connect(&connector, &place, ROOT).unwrap();
        });
    });
}

#[test]
fn a_relay_of_another_user_needs_two_capabilities_only() {
    alone(|| {
        let place = Place::new();
        let listener = place.listener();
        let _closed = UnixListener::bind(place.at("closed.sock")).unwrap();
        set_mode(&place.at("closed.sock"), 0o600);
        let closed = Address::from_path(place.at("closed.sock")).unwrap();
        let client = ALICE.credentials();
        let connect = |address: &Address| {
            let connector = ClientConnector::new(Connector::new()).unwrap();
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build().unwrap();
            runtime.block_on(connector.connect(address, &client))
        };
        on_a_thread(|| {
            set_capabilities_secure_bits(CapabilitiesSecureBits::KEEP_CAPS).unwrap();
            let bob = Uid::from_raw(BOB.uid);
            set_thread_res_uid(bob, bob, bob).unwrap();
            let needed = CapabilitySet::SETUID | CapabilitySet::SETGID;
            set_effective(needed | CapabilitySet::DAC_OVERRIDE);
            drop(connect(&place.address()).unwrap());
            ALICE.assert_peer(listener.accept().unwrap().0);
            let denied = connect(&closed).unwrap_err().to_string();
            assert!(
                denied.contains("gives uid 12345 no write permission"),
                "{denied}"
            );
        });
    });
}
