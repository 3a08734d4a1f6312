//! A relay in a user namespace where the client's ids have no mapping (user_namespaces(7)).

use std::process::Command;

use sockeye::relay::CredentialsError;

use super::*;

/// The variable that says to the test below where to listen.
const AT: &str = "SOCKEYE_TEST_LISTEN_AT";

#[test]
fn a_client_without_a_mapping_is_neither_nobody_nor_root() {
    alone(|| {
        let place = Place::new();
        let name = "unmapped::in_a_user_namespace";
        let mut inner = Command::new("unshare");
        inner.args(["--user", "--map-root-user"]);
        inner.arg(std::env::current_exe().unwrap());
        inner.args(["--ignored", "--exact", "--nocapture", name]);
        inner.env(AT, place.socket());
        let Ok(mut inner) = inner.spawn() else {
            return println!("skipped: unshare is not installed");
        };
        let start = Instant::now();
        let _client = loop {
            match ALICE.call(|| UnixStream::connect(place.socket())) {
                Ok(client) => break client,
                Err(_) if inner.try_wait().unwrap().is_none() => {
                    assert!(start.elapsed() < PATIENCE);
                    std::thread::yield_now();
                }
                Err(_) => return println!("skipped: no user namespace"),
            }
        };
        assert!(inner.wait().unwrap().success());
    });
}

#[test]
#[ignore = "the test above runs it in a user namespace"]
fn in_a_user_namespace() {
    let Ok(path) = std::env::var(AT) else { return };
    let hidden = format!("{path}.new");
    let listener = UnixListener::bind(&hidden).unwrap();
    set_mode(Path::new(&hidden), 0o666);
    fs::rename(&hidden, &path).unwrap();
    let (client, _) = listener.accept().unwrap();
    let error = ClientCredentials::of(&client).unwrap_err();
    assert!(
        matches!(error, CredentialsError::UnknownId("user")),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("has no mapping in this user namespace")
    );
}
