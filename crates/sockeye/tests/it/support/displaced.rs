//! A tap that stands in front of a server, by hand.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::Place;

/// Where a tap moves the server's socket file.
pub(crate) fn displaced(place: &Place) -> PathBuf {
    sockeye::claim::displaced_path(&place.socket())
}

/// The tap's socket at the path of a running server.
pub(crate) struct HandTap<'a> {
    place: &'a Place,
    /// Closed, as when the tap was killed, by dropping it.
    pub(crate) socket: Option<UnixListener>,
}

impl<'a> HandTap<'a> {
    pub(crate) fn before(place: &'a Place) -> Self {
        let socket = UnixListener::bind(displaced(place)).unwrap();
        let tap = Self {
            place,
            socket: Some(socket),
        };
        tap.exchange();
        tap
    }

    /// Puts the server's file back, and the tap's in its place.
    pub(crate) fn exchange(&self) {
        let (path, other) = (self.place.socket(), displaced(self.place));
        renameat_with(CWD, path, CWD, other, RenameFlags::EXCHANGE).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.socket = None;
    }

    /// Removes its file, which must be at the path.
    pub(crate) fn remove(self) {
        fs::remove_file(self.place.socket()).unwrap();
    }
}
