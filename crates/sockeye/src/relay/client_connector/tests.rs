//! Threads that panic, and threads that hang. Other ids take root; without it these tests say that they
//! are skipped.

use std::sync::mpsc;

use super::*;
use crate::{ids, socket};

/// The credentials of this process, as a client.
fn own() -> (ClientConnector, ClientCredentials, Address) {
    let connector = Connector::new().connect_timeout(Duration::ZERO);
    let connector = ClientConnector::new(connector).expect("it is root");
    let flags = rustix::net::SocketFlags::NONBLOCK;
    let (client, _other) = socket::pair(Kind::Stream, flags).expect("a pair");
    let credentials = ClientCredentials::of(&client).expect("all ids are mapped");
    let address = "@sockeye-unit-test".parse().expect("an address");
    (connector, credentials, address)
}

fn is_root() -> bool {
    let is_root = ids::own_uid() == Some(0);
    if !is_root {
        #[allow(clippy::print_stdout, reason = "it says what it skips")]
        {
            println!("skipped: only root can take other ids");
        }
    }
    is_root
}

#[tokio::test]
async fn a_panic_ends_the_thread_alone() {
    if !is_root() {
        return;
    }
    let (connector, client, address) = own();
    let connector = connector.max_threads(1);
    for _ in 0..3 {
        let panics = |_: &Address| -> Result<(), AttemptFailure> { panic!("as the test wants") };
        let error = connector.connect_as(&address, &client, panics).await;
        let error = error.unwrap_err();
        assert!(matches!(error, CredentialsError::Thread(_)), "{error}");
    }
    let connected = connector.connect_as(&address, &client, |_| Ok(7)).await;
    assert_eq!(connected.unwrap(), 7);
}

#[tokio::test]
async fn a_thread_that_hangs_counts_until_it_ends() {
    if !is_root() {
        return;
    }
    let (connector, client, address) = own();
    let connector = connector.max_threads(1);
    let (end, ended) = mpsc::channel::<()>();
    let ended = Arc::new(std::sync::Mutex::new(ended));
    let hang = move |_: &Address| {
        let _ = ended.lock().unwrap().recv();
        Ok(())
    };
    let hung = connector.connect_as(&address, &client, hang).await;
    assert!(matches!(hung, Err(CredentialsError::TimedOut { .. })));
    assert_eq!(connector.threads.available_permits(), 0);
    let waiting = connector.connect_as(&address, &client, |_| Ok(()));
    let mut waiting = std::pin::pin!(waiting);
    assert!(futures_util::poll!(&mut waiting).is_pending());
    drop(end);
    waiting.await.unwrap();
}

/// The client could signal or trace a thread that had its real or saved ids, and no handler of this
/// process may run with the client's.
#[tokio::test]
async fn the_thread_is_out_of_the_reach_of_the_client() {
    if !is_root() {
        return;
    }
    let (connector, mut client, address) = own();
    client = client.with_ids(12_345, 54_321);
    let look = |_: &Address| Ok(std::fs::read_to_string("/proc/thread-self/status").unwrap());
    let status = connector.connect_as(&address, &client, look).await.unwrap();
    let line = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(line("Uid:"), ["0", "12345", "0", "12345"]);
    assert_eq!(line("Gid:"), ["0", "54321", "0", "54321"]);
    assert_eq!(line("CapEff:"), ["0000000000000000"]);
    let blocked = u64::from_str_radix(line("SigBlk:")[0], 16).unwrap();
    // Neither SIGKILL and SIGSTOP nor the two signals of libc can be blocked.
    let most = !(1 << 8 | 1 << 18 | 1 << 31 | 1 << 32);
    assert_eq!(blocked & most, most, "{blocked:x}");
}

#[test]
fn ids_that_were_not_taken_are_noticed() {
    if !is_root() {
        return;
    }
    let (_, client, _) = own();
    assert!(client.are_taken().unwrap());
    assert!(!client.with_ids(1, 0).are_taken().unwrap());
    assert!(!client.with_ids(0, 1).are_taken().unwrap());
}
