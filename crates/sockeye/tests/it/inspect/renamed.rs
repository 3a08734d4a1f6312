//! Files that are not at the name that was bound.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use sockeye::inspect::FileState;
use sockeye::{Address, Claim, Connector};

use super::{inode, inodes, of, snapshot};
use crate::support::{Place, is_root};

/// Where the file of a socket is, if not where it was bound.
fn found_at(listener: &UnixListener) -> (Option<FileState>, Option<PathBuf>) {
    let snapshot = snapshot();
    let socket = of(&snapshot, listener);
    (socket.file.unwrap().state, socket.file_path.clone())
}

#[test]
fn a_renamed_file_is_found_and_a_removed_one_is_removed() {
    let place = Place::new();
    let path = place.at("a.tmp");
    let listener = UnixListener::bind(&path).unwrap();
    assert_eq!(found_at(&listener), (Some(FileState::Present), None));
    let new = place.at("a.sock");
    fs::rename(&path, &new).unwrap();
    let present = |path: &Path| (Some(FileState::Present), Some(path.to_owned()));
    assert_eq!(found_at(&listener), present(&new));
    // What stands at the old name makes no difference.
    let other = UnixListener::bind(&path).unwrap();
    assert_eq!(found_at(&listener), present(&new));
    assert_eq!(found_at(&other), (Some(FileState::Present), None));
    fs::remove_file(&new).unwrap();
    assert_eq!(found_at(&listener), (Some(FileState::Replaced), None));
    fs::remove_file(&path).unwrap();
    assert_eq!(found_at(&listener), (Some(FileState::Removed), None));
}

#[test]
fn a_file_that_was_moved_to_another_directory_is_found_by_root() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).unwrap();
    fs::create_dir(place.at("sub")).unwrap();
    let new = place.at("sub/new.sock");
    fs::rename(place.socket(), &new).unwrap();
    let found = found_at(&listener);
    if is_root() {
        assert_eq!(found, (Some(FileState::Present), Some(new)));
    } else {
        assert_eq!(found, (Some(FileState::Removed), None));
    }
}

#[test]
fn a_long_path_is_shown_as_it_is() {
    let place = Place::new();
    let deep = place.at("d".repeat(120));
    fs::create_dir(&deep).unwrap();
    for base in ["a.sock".to_owned(), "n".repeat(150)] {
        let path = deep.join(base);
        let claim = Claim::options()
            .claim(&Address::from_path(&path).unwrap())
            .unwrap();
        let client = Connector::new().connect_blocking(claim.address()).unwrap();
        let snapshot = snapshot();
        let socket = of(&snapshot, &claim);
        assert_eq!(socket.file.unwrap().state, Some(FileState::Present));
        assert_eq!(socket.file_path.as_deref(), Some(path.as_path()));
        assert_eq!(inodes(&snapshot.select(claim.address())), [inode(&claim)]);
        drop(client);
    }
}
