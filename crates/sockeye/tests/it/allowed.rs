//! Who may connect: `same_user`, `allow_users` and `allow_groups` of a server.

use std::os::unix::net::UnixStream;

use sockeye::peer::AllowedPeers;
use sockeye::server::Server;
use sockeye::{Claim, Listener, Stream};

use crate::support::serving::{Client, Running, claimed, counted, echo_lines};
use crate::support::{NOBODY, Place, as_nobody_in};

const GROUP: u32 = 64_999;
const OTHER_GROUP: u32 = 64_998;

/// Whether the server answers a client of ours, and one of [`NOBODY`] who is a member of [`GROUP`].
async fn admitted(server: Server) -> Option<(bool, bool)> {
    let place = Place::new();
    place.open_to_all();
    let path = place.socket();
    let server = Running::start(server, claimed(&place.address()), echo_lines);
    let ours = UnixStream::connect(&path).unwrap();
    let theirs = as_nobody_in(&[GROUP], || UnixStream::connect(&path).unwrap())?;
    let mut answered = [false; 2];
    for (client, answered) in [ours, theirs].into_iter().zip(&mut answered) {
        let mut client = Client::from(Stream::from_std(client).unwrap());
        // One that is refused is closed by now, or with the line unread.
        let _ = rustix::net::send(
            client.0.get_ref(),
            b"hello\n",
            rustix::net::SendFlags::NOSIGNAL,
        );
        client.half_close().await;
        *answered = client.rest().await == b"hello\n";
    }
    let refused = answered.iter().filter(|answered| !**answered).count() as u64;
    let report = server.report().await;
    assert_eq!(report.refused, refused, "{report}");
    Some((answered[0], answered[1]))
}

#[tokio::test]
async fn only_who_is_allowed_is_served() {
    let server = Server::new;
    for (server, expected) in [
        (server(), (true, true)),
        (server().same_user(), (true, false)),
        (server().allow_users([NOBODY]), (false, true)),
        (server().allow_users([]), (false, false)),
        (server().allow_users([1, 2]).same_user(), (true, false)),
        (server().same_user().allow_users([NOBODY]), (true, true)),
        (server().allow_groups([NOBODY]), (false, true)),
        (server().allow_groups([GROUP]), (false, true)),
        (server().allow_groups([OTHER_GROUP]), (false, false)),
        (
            server().allow_groups([OTHER_GROUP, GROUP]).same_user(),
            (true, true),
        ),
        (server().same_user().authorize(|_, _| false), (false, false)),
        (
            server().allow_users([NOBODY]).authorize(|_, _| true),
            (false, true),
        ),
        (
            server()
                .same_user()
                .allow_peers(AllowedPeers::new().users([NOBODY])),
            (false, true),
        ),
    ] {
        let Some(found) = admitted(server.clone()).await else {
            return;
        };
        assert_eq!(found, expected, "{server:?}");
    }
}

#[tokio::test]
async fn a_client_of_the_same_user_is_served() {
    let place = Place::new();
    let listener = Listener::open(&place.address(), &Claim::options()).unwrap();
    let server = Running::start(Server::new().same_user(), listener, echo_lines);
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.ask("a").await, "a");
    assert_eq!(server.report().await, counted(0, 0, 1, 0));
}
