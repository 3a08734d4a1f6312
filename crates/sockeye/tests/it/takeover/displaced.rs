//! Takeovers of a server whose socket file a tap has put aside.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sockeye::server::Renew;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::*;
use crate::support::{HandTap, displaced};

fn behind(place: &Place) -> Address {
    Address::from_path(displaced(place)).unwrap()
}

fn inode(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::symlink_metadata(path).unwrap().ino()
}

async fn assert_answers(address: &Address) {
    let mut client = Client::connect(address).await;
    assert_eq!(client.ask("hello").await, "hello");
}

#[tokio::test]
async fn a_server_behind_a_tap_is_taken_over() {
    let place = Place::new();
    let mut server = serve(&place.address()).await;
    let tap = HandTap::before(&place);
    let files = (inode(&place.socket()), inode(&displaced(&place)));
    for _ in 0..5 {
        let next = serve(&place.address()).await;
        server.result().await.unwrap();
        assert_answers(&behind(&place)).await;
        let now = (inode(&place.socket()), inode(&displaced(&place)));
        assert_eq!(now, files);
        server = next;
    }
    tap.exchange();
    fs::remove_file(displaced(&place)).unwrap();
    assert_answers(&place.address()).await;
    server.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn the_displaced_file_gets_the_successors_mode() {
    let place = Place::new();
    let first = serve(&place.address()).await;
    let _tap = HandTap::before(&place);
    let before = mode_of(&place.socket());
    let takeover = Takeover::new(Claim::options().mode(0o640));
    let listener = in_time(takeover.listen(&place.address())).await.unwrap();
    let second = Running::start(Server::new(), listener, echo_lines);
    first.result().await.unwrap();
    assert_eq!(mode_of(&displaced(&place)), 0o640);
    assert_eq!(mode_of(&place.socket()), before, "that file is the tap's");
    second.report().await;
    assert_eq!(place.names(), ["app.sock"]);
}

#[tokio::test]
async fn a_successor_that_gives_up_leaves_the_displaced_file_as_it_was() {
    let place = Place::new();
    let first = serve(&place.address()).await;
    let _tap = HandTap::before(&place);
    let before = identity(&displaced(&place));
    drop(listen(&place.address()).await);
    assert_answers(&behind(&place)).await;
    assert_eq!(identity(&displaced(&place)), before);
    first.report().await;
    assert_eq!(place.names(), ["app.sock"]);
}

#[tokio::test]
async fn a_server_behind_a_killed_tap_is_taken_over() {
    let place = Place::new();
    let first = serve(&place.address()).await;
    HandTap::before(&place).kill();
    let second = serve(&place.address()).await;
    first.result().await.unwrap();
    assert_answers(&behind(&place)).await;
    second.report().await;
    assert_eq!(place.names(), ["app.sock"], "the dead file of the tap");
    let third = serve(&place.address()).await;
    assert_answers(&place.address()).await;
    third.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn a_renewal_makes_no_second_file_beside_a_displaced_one() {
    let place = Place::new();
    let renew = Renew::default();
    let server = Server::new().renew_files(renew.clone());
    let server = Running::start(server, listen(&place.address()).await, echo_lines);
    let tap = HandTap::before(&place);
    let before = (identity(&place.socket()), identity(&displaced(&place)));
    in_time(renew.ask()).await.unwrap();
    let after = (identity(&place.socket()), identity(&displaced(&place)));
    assert_eq!(after, before);
    // Without a file at the path nobody reaches the server.
    let file = inode(&displaced(&place));
    tap.remove();
    in_time(renew.ask()).await.unwrap();
    assert_eq!(inode(&place.socket()), file);
    assert!(!displaced(&place).exists());
    assert_answers(&place.address()).await;
    server.report().await;
    place.assert_empty();
}

/// Has a tap come and go for as long as `work` takes.
async fn while_a_tap_comes_and_goes<T>(place: &Place, work: impl Future<Output = T>) -> T {
    let is_over = AtomicBool::new(false);
    let begun = Barrier::new(2);
    let (path, other) = (place.socket(), displaced(place));
    let exchange = || renameat_with(CWD, &path, CWD, &other, RenameFlags::EXCHANGE);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            begun.wait();
            // Until one of the two is removed.
            while exchange().is_ok() && !is_over.load(Ordering::Relaxed) {}
        });
        begun.wait();
        let result = block_in_place(|| Handle::current().block_on(work));
        is_over.store(true, Ordering::Relaxed);
        result
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_taken_over_and_drained_while_a_tap_comes_and_goes() {
    for _ in 0..20 {
        let place = Place::new();
        let first = serve(&place.address()).await;
        let file = inode(&place.socket());
        let _tap = HandTap::before(&place);
        let second = while_a_tap_comes_and_goes(&place, async {
            let second = serve(&place.address()).await;
            first.result().await.unwrap();
            second
        })
        .await;
        let files = [place.socket(), displaced(&place)];
        assert!(files.iter().any(|path| inode(path) == file));
        while_a_tap_comes_and_goes(&place, second.report()).await;
        let is_there = |path: &PathBuf| path.exists() && inode(path) == file;
        assert!(!files.iter().any(is_there));
    }
}
