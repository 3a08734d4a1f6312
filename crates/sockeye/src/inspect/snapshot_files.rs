//! What a [`Snapshot`] asks of file systems, each of which may hang.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::stat;

use super::asking::ask;
use super::file::{Files, absolute, destination};
use super::hung_files::HungFiles;
use super::mounts::Mounts;
use super::snapshot::Snapshot;
use super::socket::{BoundName, FileState, Socket, SocketFile};
use crate::address::{Address, Name};

/// What is left for the files of other mounts where one path has taken all the time.
const RESERVE: Duration = Duration::from_millis(500);

impl Snapshot {
    /// Looks at the files of the sockets that are `wanted`, and sets [`Socket::file`] of each. After
    /// [`Snapshot::take_without_files`], what did not answer by its deadline is in
    /// [`Snapshot::unanswered`].
    pub fn look_at_files(&mut self, wanted: impl Fn(&Socket) -> bool) {
        let is_asked = |&at: &usize| {
            self.bound_path(at).is_some() && self.files[at].is_some() && wanted(&self.sockets[at])
        };
        let asked = (0..self.sockets.len()).filter(is_asked).collect();
        let (asked, mut unanswered) = self.without_those_that_hang(asked);
        let paths: Vec<&Path> = asked.iter().filter_map(|&at| self.bound_path(at)).collect();
        let mut files = Files::default();
        let look = |index: usize| {
            let at = asked[index];
            let name = paths[index].as_os_str().as_bytes();
            let holders = self.sockets[at].holders.as_deref();
            let inode = self.sockets[at].inode;
            let file = self.files[at].map(|id| files.place(inode, name, id, holders));
            file.map_or_else(Vec::new, |(file, path)| encode(&file, path.as_deref()))
        };
        let started = Instant::now();
        let (answers, hung) = ask(&paths, self.left(), look);
        unanswered.extend(hung);
        for (at, answer) in asked.into_iter().zip(answers) {
            if let Some((file, path)) = answer.as_deref().and_then(decode) {
                let socket = &mut self.sockets[at];
                (socket.file, socket.file_path) = (Some(file), path);
            }
        }
        self.share_paths();
        self.hung_files().add(unanswered, started);
    }

    /// Which of these sockets have their files on no file system that has hung before, and the paths
    /// of the others.
    fn without_those_that_hang(&self, sockets: Vec<usize>) -> (Vec<usize>, Vec<PathBuf>) {
        let hang = self.those_that_hang();
        let path = |&at: &usize| self.bound_path(at).filter(|path| hang(path));
        let hung = sockets
            .iter()
            .filter_map(path)
            .map(Path::to_owned)
            .collect();
        let others = sockets.into_iter().filter(|at| path(at).is_none());
        (others.collect(), hung)
    }

    /// Tells which paths are on file systems that have hung before.
    fn those_that_hang(&self) -> impl Fn(&Path) -> bool {
        let known: Vec<PathBuf> = self
            .unanswered()
            .iter()
            .filter_map(|path| absolute(path))
            .collect();
        let mounts = Mounts::default();
        move |path| {
            let path = absolute(path).filter(|_| !known.is_empty());
            path.is_some_and(|path| known.iter().any(|hung| mounts.hang_together(hung, &path)))
        }
    }

    /// An accepted socket has the file of its listener, and may be in a process through which the
    /// file cannot be found.
    fn share_paths(&mut self) {
        let mut found = HashMap::new();
        for (socket, id) in self.sockets.iter().zip(&self.files) {
            if let (Some(id), Some(file), Some(path)) = (id, socket.file, &socket.file_path) {
                found.insert(*id, (file, path.clone()));
            }
        }
        for (socket, id) in self.sockets.iter_mut().zip(&self.files) {
            let state = socket.file.and_then(|file| file.state);
            if state != Some(FileState::Present)
                && let Some((file, path)) = id.and_then(|id| found.get(&id))
            {
                (socket.file, socket.file_path) = (Some(*file), Some(path.clone()));
            }
        }
    }

    /// The paths of files that did not answer in time, since their file system hangs: their state is
    /// unknown.
    #[must_use]
    pub fn unanswered(&self) -> Vec<PathBuf> {
        self.hung_files().unanswered.clone()
    }

    /// The sockets at an address, by the identity of the file: a relative path, a symbolic or hard
    /// link, a renamed or bind-mounted file lead to the same ones. Also those that were bound to
    /// this path while another file is there now, or none; and accepted ones with their listener.
    /// The address's kind is not looked at.
    ///
    /// Where the path is on a file system that hangs, only those that were bound to this very name; the
    /// path is in [`Snapshot::unanswered`] then.
    #[must_use]
    pub fn select(&self, address: &Address) -> Vec<&Socket> {
        match address.name() {
            Name::Path(path) => {
                let inodes = self.select_path(path);
                let found = inodes.iter().filter_map(|&inode| self.by_inode(inode));
                found.collect()
            }
            Name::Abstract(name) => {
                let is_it = |socket: &&Socket| matches!(&socket.name, Some(BoundName::Abstract(n)) if n == name);
                self.sockets.iter().filter(is_it).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The inode numbers of the sockets at a path, in order.
    fn select_path(&self, path: &Path) -> Vec<u32> {
        if let Some(known) = self.hung_files().selected.get(path) {
            return known.clone();
        }
        let started = Instant::now();
        let (mut answer, mut unanswered) = if self.those_that_hang()(path) {
            (Vec::new(), vec![path.to_owned()])
        } else {
            ask(&[path], self.left_for_one(), |_| self.at_the_file(path))
        };
        let (mut chosen, base) = answer
            .pop()
            .flatten()
            .map(|answer| found_in(&answer))
            .unwrap_or_default();
        if unanswered.is_empty() {
            let bases = [path.file_name(), Some(&base)];
            let candidates = (0..self.sockets.len())
                .filter(|&at| self.may_have_been_bound_to(at, bases))
                .collect();
            let (candidates, known) = self.without_those_that_hang(candidates);
            unanswered = known;
            let paths: Vec<&Path> = candidates
                .iter()
                .filter_map(|&at| self.bound_path(at))
                .collect();
            let (mut places, mut files) = (None, Files::default());
            let (answers, hung) = ask(&paths, self.left_for_one(), |index| {
                let places = places.get_or_insert_with(|| places_of(path));
                let is_it = was_bound_at(paths[index], places)
                    && !self.is_elsewhere(candidates[index], &mut files);
                vec![u8::from(is_it)]
            });
            let answers = candidates.iter().zip(answers);
            chosen.extend(
                answers
                    .filter(|(_, answer)| answer.as_deref() == Some(&[1]))
                    .map(|(&at, _)| self.sockets[at].inode),
            );
            unanswered.extend(hung);
        } else if let Ok(path) = std::path::absolute(path) {
            // The name is all that can be compared.
            let alike = (0..self.sockets.len()).filter(|&at| self.bound_path(at) == Some(&path));
            chosen.extend(alike.map(|at| self.sockets[at].inode));
        }
        chosen.sort_unstable();
        chosen.dedup();
        let mut hung_files = self.hung_files();
        hung_files.add(unanswered, started);
        // Without a deadline it costs less to look again, and files may have changed.
        if hung_files.left.is_some() {
            hung_files.selected.insert(path.to_owned(), chosen.clone());
        }
        chosen
    }

    /// The sockets that are bound to the file at a path, and the name that its links lead to, as
    /// [`found_in`] reads them.
    fn at_the_file(&self, path: &Path) -> Vec<u8> {
        let file = stat(path).ok();
        let mounts = Mounts::default();
        let chosen = self.sockets.iter().zip(&self.files).filter(|(_, id)| {
            let is_it = file.as_ref().zip(id.as_ref());
            is_it.is_some_and(|(file, id)| id.is_at(path, file, &mounts))
        });
        let inodes: Vec<u32> = chosen.map(|(socket, _)| socket.inode).collect();
        let mut answer = (inodes.len() as u32).to_ne_bytes().to_vec();
        answer.extend(inodes.iter().flat_map(|inode| inode.to_ne_bytes()));
        let target = destination(path);
        let base = target.as_deref().and_then(Path::file_name);
        answer.extend_from_slice(base.unwrap_or_default().as_bytes());
        answer
    }

    /// Whether a socket may have been bound to a path whose names are these: its own ends in one.
    fn may_have_been_bound_to(&self, at: usize, bases: [Option<&OsStr>; 2]) -> bool {
        self.bound_path(at).is_some_and(|name| {
            name.is_absolute() && name.file_name().is_some() && bases.contains(&name.file_name())
        })
    }

    /// Whether its name is only the same: what is present under it has been found by its file, and
    /// this one is in another directory for its holder.
    fn is_elsewhere(&self, at: usize, files: &mut Files) -> bool {
        let socket = &self.sockets[at];
        let known = socket.file.filter(|file| file.state.is_some());
        let known = known.map(|file| (file, socket.file_path.clone()));
        let found = known.or_else(|| {
            let name = self.bound_path(at)?.as_os_str().as_bytes();
            Some(files.place(
                socket.inode,
                name,
                self.files[at]?,
                socket.holders.as_deref(),
            ))
        });
        found.is_some_and(|(file, path)| {
            let has_its_name = file.state == Some(FileState::Present) && path.is_none();
            file.elsewhere || has_its_name
        })
    }

    fn bound_path(&self, at: usize) -> Option<&Path> {
        match &self.sockets[at].name {
            Some(BoundName::Path(name)) => Some(Path::new(OsStr::from_bytes(name))),
            _ => None,
        }
    }

    fn left(&self) -> Option<Duration> {
        self.hung_files().left
    }

    /// Of the time that is left, what one path may take: there may be others.
    fn left_for_one(&self) -> Option<Duration> {
        let left = self.left()?;
        Some(left.saturating_sub(RESERVE).max(left / 2))
    }

    fn hung_files(&self) -> MutexGuard<'_, HungFiles> {
        self.hung_files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How many files did not answer.
    pub(super) fn hidden_files(&self) -> usize {
        self.hung_files().unanswered.len()
    }
}

/// The path as it is, and as the links in it lead.
fn places_of(path: &Path) -> Vec<PathBuf> {
    let places = [absolute(path), destination(path)];
    places.into_iter().flatten().collect()
}

fn was_bound_at(name: &Path, places: &[PathBuf]) -> bool {
    let parent = name.parent().and_then(|p| std::fs::canonicalize(p).ok());
    let placed = parent.zip(name.file_name()).map(|(p, base)| p.join(base));
    placed.is_some_and(|placed| places.contains(&placed))
}

/// Inode numbers, and a name.
fn found_in(answer: &[u8]) -> (Vec<u32>, OsString) {
    let mut numbers = answer
        .chunks_exact(4)
        .map(|n| u32::from_ne_bytes([n[0], n[1], n[2], n[3]]));
    let count = numbers.next().unwrap_or_default() as usize;
    let inodes: Vec<u32> = numbers.take(count).collect();
    let base = answer.get(4 + 4 * count..).unwrap_or_default();
    (inodes, OsStr::from_bytes(base).to_owned())
}

fn encode(file: &SocketFile, path: Option<&Path>) -> Vec<u8> {
    let state = match file.state {
        None => 0,
        Some(FileState::Present) => 1,
        Some(FileState::Replaced) => 2,
        Some(FileState::Removed) => 3,
    };
    let mut answer = file.device.to_ne_bytes().to_vec();
    answer.extend(file.inode.to_ne_bytes());
    answer.extend([state, u8::from(file.elsewhere)]);
    answer.extend(path.map_or(&b""[..], |path| path.as_os_str().as_bytes()));
    answer
}

fn decode(answer: &[u8]) -> Option<(SocketFile, Option<PathBuf>)> {
    let (device, rest) = answer.split_first_chunk()?;
    let (inode, rest) = rest.split_first_chunk()?;
    let [state, elsewhere, path @ ..] = rest else {
        return None;
    };
    let file = SocketFile {
        device: u64::from_ne_bytes(*device),
        inode: u64::from_ne_bytes(*inode),
        state: match state {
            1 => Some(FileState::Present),
            2 => Some(FileState::Replaced),
            3 => Some(FileState::Removed),
            _ => None,
        },
        elsewhere: *elsewhere == 1,
    };
    let path = (!path.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(path)));
    Some((file, path))
}
