//! `--stale`: socket files that no open socket is bound to.

use std::collections::HashSet;
use std::env;
use std::fmt::{self, Write};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use sockeye::address::quoted;
use sockeye::claim::{
    Probe, ProcessLink, UnclearReason, WORKING_DIRECTORY_REMOVED, begins_in_removed,
    probe_all_within,
};
use sockeye::inspect::{ForkedWorker, Mount, Snapshot};
use sockeye::{Address, ids};

use super::completeness::{incomplete, not_answered};
use super::listing::{self, Row, RowDetail};
use super::{ListOutcome, snapshot};
use crate::args::Ls;
use crate::cmd::visibility::hidden_reason;
use crate::cmd::{hung, impassable};
use crate::escape;
use crate::exit::{Exit, failure};
use crate::lookup::users::UserNames;
use crate::output::column::Column;
use crate::output::json;
use crate::output::record::{FileRecord, Holders, SocketRecord};
use crate::output::socket::path_address;

/// The time that is left for the sockets' own files after directories that hang.
const REST: Duration = Duration::from_millis(500);
const COLUMNS: [Column; 3] = [Column::State, Column::Address, Column::User];

pub(super) fn list(args: &Ls, users: &UserNames, out: &mut Vec<u8>) -> anyhow::Result<ListOutcome> {
    let dirs = dirs(args);
    let deadline = Instant::now() + hung::DEADLINE;
    // The files first: one that appears after the snapshot would look stale.
    let (files, mut hung) = files_in(args, &dirs, deadline - REST)?;
    let left = || {
        deadline
            .saturating_duration_since(Instant::now())
            .max(hung::LEAST)
    };
    let snapshot = snapshot(args, left())?;
    let files = without_owner(args, files, &snapshot);
    let mut files = probe_files(files, hidden_reason(&snapshot).is_none(), left());
    files.retain(|found| found.file.is_unchanged());
    write(args, users, &files, out)?;
    hung.extend(snapshot.unanswered());
    Ok(outcome(&dirs, &files, &hung, &snapshot))
}

/// The socket files in the directories, and the directories that did not answer by `deadline`.
fn files_in(
    args: &Ls,
    dirs: &[PathBuf],
    deadline: Instant,
) -> anyhow::Result<(Vec<CandidateFile>, Vec<PathBuf>)> {
    if let Some(dir) = dirs.iter().find(|dir| begins_in_removed(dir)) {
        return Err(unread(Exit::NothingThere, dir, WORKING_DIRECTORY_REMOVED));
    }
    let (mut files, mut hung) = (Vec::new(), Vec::new());
    for (dir, found) in dirs.iter().zip(look_into_all(dirs, deadline)) {
        match found {
            Ok(found) => files.extend(found),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => hung.push(dir.clone()),
            Err(error) => unreadable(args, dir, &error)?,
        }
    }
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    Ok((files, hung))
}

/// Those of the wanted users that no socket of the snapshot is bound to.
fn without_owner(
    args: &Ls,
    mut files: Vec<CandidateFile>,
    snapshot: &Snapshot,
) -> Vec<CandidateFile> {
    let owned: HashSet<u32> = snapshot
        .sockets()
        .iter()
        .filter_map(|s| Some(s.file?.inode as u32))
        .collect();
    files.retain(|file| !(owned.contains(&(file.inode as u32)) && file.is_owned(snapshot)));
    files.retain(|file| args.wants_user(file.uid));
    files
}

fn write(
    args: &Ls,
    users: &UserNames,
    files: &[JudgedFile],
    out: &mut Vec<u8>,
) -> anyhow::Result<()> {
    if args.json {
        for found in files {
            let mut record = found.record();
            record.keep(&args.columns);
            json::line(out, &record)?;
        }
    } else if !files.is_empty() {
        let rows: Vec<StaleRow> = files
            .iter()
            .map(|found| StaleRow { found, users })
            .collect();
        listing::write(args, &COLUMNS, &rows, out)?;
    }
    Ok(())
}

fn outcome(
    dirs: &[PathBuf],
    files: &[JudgedFile],
    hung: &[PathBuf],
    snapshot: &Snapshot,
) -> ListOutcome {
    if !hung.is_empty() {
        return not_answered("the list is incomplete", hung);
    }
    let unclear: Vec<UnclearReason> = files
        .iter()
        .filter_map(|found| found.unclear_reason)
        .collect();
    if let [reason, ..] = unclear[..] {
        return ListOutcome {
            exit: Exit::Incomplete,
            message: Some(format!(
                "of the files listed, {} may have an open socket: {reason}; sockeye why PATH explains each",
                unclear.len()
            )),
        };
    }
    if files.iter().any(|found| !found.is_stale) {
        let lead = "the owners of these sockets, if any, are hidden";
        return incomplete(lead, snapshot, None);
    }
    if !files.is_empty() {
        return ListOutcome {
            exit: Exit::Done,
            message: None,
        };
    }
    let dirs: Vec<String> = dirs.iter().map(|dir| quoted(dir).to_string()).collect();
    ListOutcome {
        exit: Exit::NothingThere,
        message: Some(format!(
            "nothing to list: no socket file in {} is stale; --in DIR looks elsewhere",
            dirs.join(" or ")
        )),
    }
}

fn dirs(args: &Ls) -> Vec<PathBuf> {
    if !args.dirs.is_empty() {
        return args.dirs.clone();
    }
    let runtime = env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    runtime
        .into_iter()
        .map(PathBuf::from)
        .chain([PathBuf::from("/run")])
        .collect()
}

/// The default directories need not exist; one that was asked for must.
fn unreadable(args: &Ls, dir: &Path, error: &io::Error) -> anyhow::Result<()> {
    let link = ProcessLink::on_the_way(dir);
    if let Some(link) = link.filter(|_| error.kind() == io::ErrorKind::PermissionDenied) {
        return Err(unread(Exit::NotPermitted, dir, link));
    }
    let (exit, advice) = match error.kind() {
        io::ErrorKind::NotFound if args.dirs.is_empty() => return Ok(()),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            (Exit::NothingThere, "give a directory that exists")
        }
        io::ErrorKind::PermissionDenied if impassable(dir).is_some() => {
            let above = impassable(dir).unwrap_or(dir);
            let why = format!(
                "the directory {} does not let uid {} pass, which takes its execute bit (x); ask its owner, or root",
                quoted(above),
                geteuid().as_raw()
            );
            return Err(unread(Exit::NotPermitted, dir, why));
        }
        io::ErrorKind::PermissionDenied if geteuid().is_root() => {
            (Exit::NotPermitted, "give root its capabilities")
        }
        io::ErrorKind::PermissionDenied => (Exit::NotPermitted, "ask its owner, or root"),
        _ => (Exit::Failed, "look at the file system"),
    };
    Err(unread(exit, dir, format_args!("{error}; {advice}")))
}

fn unread(exit: Exit, dir: &Path, why: impl fmt::Display) -> anyhow::Error {
    let text = format!("cannot look for socket files in {}: {why}", quoted(dir));
    failure(exit, text)
}

/// A file that no visible socket is bound to.
struct JudgedFile {
    file: CandidateFile,
    /// Whether it is certain that none is.
    is_stale: bool,
    unclear_reason: Option<UnclearReason>,
}

/// Probes each file: a socket that is not visible may be bound to it. If a probe fails, the snapshot has
/// to do; `sees_all` says whether that has all sockets.
fn probe_files(files: Vec<CandidateFile>, sees_all: bool, patience: Duration) -> Vec<JudgedFile> {
    // A name that is no address was taken for owned.
    let addressed = files.into_iter().filter_map(|file| {
        let address = Address::from_path(&file.path).ok()?;
        Some((file, address))
    });
    let (files, addresses): (Vec<CandidateFile>, Vec<Address>) = addressed.unzip();
    let probed = files
        .into_iter()
        .zip(probe_all_within(patience, &addresses));
    let judged = probed.filter_map(|(file, probe)| {
        let (is_stale, unclear_reason) = match probe {
            Probe::Stale => (true, None),
            Probe::Unclear(reason) => (false, Some(reason)),
            Probe::Unknown(_) => (sees_all, None),
            // A server has come meanwhile, or is hidden.
            _ => return None,
        };
        Some(JudgedFile {
            file,
            is_stale,
            unclear_reason,
        })
    });
    judged.collect()
}

#[derive(Serialize, Deserialize)]
struct CandidateFile {
    #[serde(with = "hung::path_bytes")]
    path: PathBuf,
    device: u64,
    inode: u64,
    uid: Option<u32>,
    changed: (i64, i64),
}

/// The socket files of each directory by `deadline`. All are read in parallel, so that one that hangs
/// does not delay the others.
fn look_into_all(dirs: &[PathBuf], deadline: Instant) -> Vec<io::Result<Vec<CandidateFile>>> {
    // All copies of this process are made before any thread: a copy has no other threads.
    let looks: Vec<io::Result<ForkedWorker>> = dirs.iter().map(|dir| look_into(dir)).collect();
    thread::scope(|scope| {
        let read = |look: io::Result<ForkedWorker>| scope.spawn(move || files_of(look?, deadline));
        let readers: Vec<_> = looks.into_iter().map(read).collect();
        let found = readers.into_iter().map(|reader| {
            let panicked = |_| Err(io::Error::other("a thread panicked"));
            reader.join().unwrap_or_else(panicked)
        });
        found.collect()
    })
}

/// Starts to read a directory in a copy of this process, since its file system may hang.
fn look_into(dir: &Path) -> io::Result<ForkedWorker> {
    ForkedWorker::start(|results| {
        let mut send = |answer: &Result<CandidateFile, i32>| {
            results.send(&serde_json::to_vec(answer).unwrap_or_default());
        };
        if let Err(error) = socket_files(dir, |file| send(&Ok(file))) {
            send(&Err(error.raw_os_error().unwrap_or_default()));
        }
    })
}

fn files_of(mut look: ForkedWorker, deadline: Instant) -> io::Result<Vec<CandidateFile>> {
    let mut files = Vec::new();
    while let Some(answer) = look.next(deadline)? {
        let answer: Result<CandidateFile, i32> = serde_json::from_slice(&answer)?;
        files.push(answer.map_err(io::Error::from_raw_os_error)?);
    }
    Ok(files)
}

fn socket_files(dir: &Path, mut found_one: impl FnMut(CandidateFile)) -> io::Result<()> {
    let mounted_on = Mount::names_in(dir);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let is_socket = entry.file_type().is_ok_and(|kind| kind.is_socket());
        if !is_socket && !mounted_on.contains(&entry.file_name()) {
            continue;
        }
        match entry.metadata() {
            Ok(found) if !found.file_type().is_socket() => {}
            Ok(found) => found_one(CandidateFile {
                path: entry.path(),
                device: found.dev(),
                inode: found.ino(),
                uid: ids::uid(found.uid()),
                changed: (found.ctime(), found.ctime_nsec()),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl CandidateFile {
    /// Whether a socket is bound to this file, by whatever path.
    fn is_owned(&self, snapshot: &Snapshot) -> bool {
        let Ok(address) = Address::from_path(&self.path) else {
            return true;
        };
        let owners = snapshot.select(&address);
        // Others were bound to this path, but to another file: earlier, or in another mount namespace.
        owners.iter().any(|socket| {
            let id = |device, inode: u64| (device, inode as u32);
            socket
                .file
                .is_some_and(|file| id(file.device, file.inode) == id(self.device, self.inode))
        })
    }

    /// Whether the path still leads to the file that was probed: a server may have started.
    fn is_unchanged(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|now| {
            (now.dev(), now.ino(), (now.ctime(), now.ctime_nsec()))
                == (self.device, self.inode, self.changed)
        })
    }
}

impl JudgedFile {
    fn record(&self) -> SocketRecord<'_> {
        let path = self.file.path.as_os_str().as_bytes();
        let mut record = SocketRecord::of_path(path);
        record.state = Some(self.is_stale.then_some("stale"));
        record.file = Some(Some(FileRecord {
            dev: self.file.device,
            ino: self.file.inode,
            state: Some("present"),
        }));
        record.uid = Some(self.file.uid);
        record.holders = Some(self.is_stale.then_some(Holders(&[], None)));
        record
    }
}

struct StaleRow<'a> {
    found: &'a JudgedFile,
    users: &'a UserNames,
}

impl Row for StaleRow<'_> {
    fn write(&self, cell: &mut String, column: Column, _: RowDetail) -> fmt::Result {
        match column {
            Column::State => cell.write_str(if self.found.is_stale { "stale" } else { "?" }),
            Column::Address => {
                let path = path_address(self.found.file.path.as_os_str().as_bytes());
                write!(cell, "{}", escape::address(&path))
            }
            Column::User => self.users.write(cell, self.found.file.uid),
            Column::File => cell.write_str("present"),
            Column::Kind => cell.write_char('?'),
            _ => cell.write_char(if self.found.is_stale { '-' } else { '?' }),
        }
    }
}
