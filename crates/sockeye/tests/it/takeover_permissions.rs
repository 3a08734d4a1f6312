//! What a takeover makes of the files' modes and access control lists.

use sockeye::server::Server;
use sockeye::{Claim, Listener, Takeover};

use crate::support::serving::{Running, echo_lines, in_time};
use crate::support::{ACCESS, Place, assert_no_list, list_nobody, mode_of, set_mode};

#[tokio::test]
async fn the_successor_removes_access_lists_and_mends_the_lock_files_mode() {
    let place = Place::new();
    let address = place.address();
    let serve = async || {
        let takeover = Takeover::new(Claim::options().mode(0o660));
        let listener: Listener = in_time(takeover.listen(&address)).await.unwrap();
        Running::start(Server::new(), listener, echo_lines)
    };
    let control = place.at("app.sock.takeover");
    let first = serve().await;
    // As an older version may have left them in a directory with a default list.
    for file in [place.socket(), control.clone(), place.lock()] {
        if list_nobody(&file, ACCESS).is_none() {
            return;
        }
    }
    set_mode(&place.lock(), 0o600);
    let second = serve().await;
    first.result().await.unwrap();
    for file in [place.socket(), control.clone(), place.lock()] {
        assert_no_list(&file);
    }
    assert_eq!(mode_of(&place.socket()), 0o660);
    assert_eq!(mode_of(&control), 0o600);
    assert_eq!(mode_of(&place.lock()), 0o1600);
    second.report().await;
    place.assert_empty();
}
