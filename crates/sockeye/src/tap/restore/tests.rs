//! Every point at which a displacement can stop, and everything that a server does to its path meanwhile.

#![allow(
    clippy::disallowed_methods,
    reason = "the tests play the foreign server"
)]

use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use super::*;
use crate::address::Address;
use crate::claim::Place;

/// A directory with a server's socket.
struct TappedPlace {
    dir: tempfile::TempDir,
    names: TapNames,
    sockets: Vec<UnixListener>,
    original: FileIdentity,
}

/// How far the tap has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TapStage {
    Bound,
    Displaced,
    ExchangedBack,
    Removed,
}

/// What the server does then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ServerDeed {
    Nothing,
    RemovesPath,
    BindsAnew,
    RenamesOver,
    RemovesItsFile,
}

impl TappedPlace {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = Address::from_path(dir.path().join("s")).unwrap();
        let socket = UnixListener::bind(dir.path().join("s")).unwrap();
        let place = Place::open(&address, address.path().unwrap()).unwrap();
        let names = TapNames::of(&place).unwrap();
        let original = names.identity(&names.path).unwrap().unwrap();
        Self {
            dir,
            names,
            sockets: vec![socket],
            original,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn bind(&mut self, name: &str) {
        let socket = UnixListener::bind(self.at(name)).unwrap();
        self.sockets.push(socket);
    }

    fn tap_until(&mut self, stage: TapStage) -> TapFiles {
        self.bind(".s.tap");
        let stat = self.names.look_at(&self.names.displaced).unwrap();
        let files = TapFiles {
            original: self.original,
            tap: TapFile::of(&stat.unwrap()),
        };
        if stage != TapStage::Bound {
            assert_eq!(files.displace(&self.names), Ok(true));
        }
        if matches!(stage, TapStage::ExchangedBack | TapStage::Removed) {
            self.names.exchange().unwrap();
        }
        if stage == TapStage::Removed {
            self.names.unlink(&self.names.displaced).unwrap();
        }
        files
    }

    fn act(&mut self, deed: ServerDeed) {
        match deed {
            ServerDeed::Nothing => {}
            ServerDeed::RemovesPath => std::fs::remove_file(self.at("s")).unwrap(),
            ServerDeed::BindsAnew => {
                std::fs::remove_file(self.at("s")).unwrap();
                self.bind("s");
            }
            ServerDeed::RenamesOver => {
                self.bind("new");
                std::fs::rename(self.at("new"), self.at("s")).unwrap();
            }
            ServerDeed::RemovesItsFile => {
                for name in [&self.names.path, &self.names.displaced] {
                    if self.names.identity(name) == Ok(Some(self.original)) {
                        self.names.unlink(name).unwrap();
                    }
                }
            }
        }
    }

    fn path_now(&self) -> Option<FileIdentity> {
        self.names.identity(&self.names.path).unwrap()
    }

    fn names_now(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }
}

#[test]
fn a_path_is_as_if_there_had_been_no_tap() {
    use ServerDeed::{BindsAnew, Nothing, RemovesItsFile, RemovesPath, RenamesOver};
    for stage in [
        TapStage::Bound,
        TapStage::Displaced,
        TapStage::ExchangedBack,
        TapStage::Removed,
    ] {
        for deed in [Nothing, RemovesPath, BindsAnew, RenamesOver, RemovesItsFile] {
            let mut world = TappedPlace::new();
            let files = world.tap_until(stage);
            world.act(deed);
            let left = world.path_now();
            let expected = match deed {
                Nothing => Some(world.original),
                RemovesPath | RemovesItsFile => None,
                BindsAnew | RenamesOver => left,
            };
            files.restore(&world.names).unwrap();
            assert_eq!(world.path_now(), expected, "{stage:?}, {deed:?}");
            let names: &[&str] = if expected.is_some() { &["s"] } else { &[] };
            assert_eq!(world.names_now(), names, "{stage:?}, {deed:?}");
            // Again, as a guardian may do it after the tap.
            assert_eq!(files.restore(&world.names), Ok(Restored::Unchanged));
            assert_eq!(world.path_now(), expected, "{stage:?}, {deed:?}");
        }
    }
}

#[test]
fn a_path_that_was_replaced_is_not_displaced() {
    let mut world = TappedPlace::new();
    let files = world.tap_until(TapStage::Bound);
    world.act(ServerDeed::RenamesOver);
    let left = world.path_now();
    assert_eq!(files.displace(&world.names), Ok(false));
    assert_eq!(world.path_now(), left);
    files.restore(&world.names).unwrap();
    assert_eq!(world.names_now(), ["s"]);
}

#[test]
fn a_file_with_the_inode_number_of_the_tap_is_another_one() {
    let mut world = TappedPlace::new();
    let mut files = world.tap_until(TapStage::Displaced);
    // As if it were made later, where the number was free again.
    files.tap.made.1 += 1;
    let left = world.path_now();
    assert_eq!(files.restore(&world.names), Ok(Restored::Replaced));
    assert_eq!(world.path_now(), left);
    assert_eq!(world.names_now(), ["s"]);
}
