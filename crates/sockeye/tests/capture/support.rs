//! Recordings that are made event by event, and the programs that read them.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use sockeye::Kind;
use sockeye::capture::{RecordedConnection, RecordedPart, Recorder, RecorderOptions, Recording};
use sockeye::relay::{
    DirectionEnd, ObservedBegin, ObservedDirection, ObservedEnd, ObservedPiece, Observer,
};
use tempfile::TempDir;

pub(crate) const TO_TARGET: ObservedDirection = ObservedDirection::ToTarget;
pub(crate) const TO_CLIENT: ObservedDirection = ObservedDirection::ToClient;

/// A recording in a directory of its own, each event a millisecond after the one before.
pub(crate) struct Session {
    pub(crate) directory: TempDir,
    pub(crate) recorder: Recorder,
    started: (SystemTime, Instant),
    events: u32,
}

impl Session {
    pub(crate) fn new() -> Self {
        Self::with(&RecorderOptions::new("/run/app.sock"))
    }

    pub(crate) fn with(options: &RecorderOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pcapng");
        Self {
            recorder: Recorder::create(path, options).unwrap(),
            directory,
            started: (SystemTime::now(), Instant::now()),
            events: 0,
        }
    }

    fn now(&mut self) -> (SystemTime, Instant) {
        self.events += 1;
        let later = Duration::from_millis(1) * self.events;
        (self.started.0 + later, self.started.1 + later)
    }

    pub(crate) fn begin(&mut self, connection: u64, kind: Kind) {
        let mut begin = ObservedBegin::new(connection, kind);
        (begin.time, begin.instant) = self.now();
        self.recorder.begin(begin);
    }

    pub(crate) fn piece(
        &mut self,
        connection: u64,
        direction: ObservedDirection,
        bytes: impl Into<Bytes>,
    ) {
        let mut piece = ObservedPiece::new(connection, direction, bytes.into());
        (piece.time, piece.instant) = self.now();
        self.recorder.piece(piece);
    }

    pub(crate) fn record(
        &mut self,
        connection: u64,
        direction: ObservedDirection,
        bytes: impl Into<Bytes>,
    ) {
        let mut piece = ObservedPiece::new(connection, direction, bytes.into());
        piece.is_record = true;
        (piece.time, piece.instant) = self.now();
        self.recorder.piece(piece);
    }

    pub(crate) fn end(&mut self, connection: u64, direction: ObservedDirection, how: DirectionEnd) {
        let mut end = ObservedEnd::new(connection, direction, how);
        (end.time, end.instant) = self.now();
        self.recorder.end(end);
    }

    /// A stream from its beginning to its end.
    pub(crate) fn exchange(&mut self, connection: u64, pieces: &[(ObservedDirection, &[u8])]) {
        self.begin(connection, Kind::Stream);
        for (direction, bytes) in pieces {
            self.piece(connection, *direction, Bytes::copy_from_slice(bytes));
        }
        for direction in [TO_TARGET, TO_CLIENT] {
            self.end(connection, direction, DirectionEnd::Eof);
        }
    }

    /// Writes what waits, and returns the file with its directory, which is removed when it is dropped.
    pub(crate) fn file_and_directory(mut self) -> (PathBuf, TempDir) {
        (self.file(), self.directory)
    }

    /// Writes what waits, and returns the file.
    pub(crate) fn file(&mut self) -> PathBuf {
        self.recorder.flush();
        assert!(self.recorder.status().error().is_none());
        self.directory.path().join("a.pcapng")
    }
}

/// All bytes of a direction.
pub(crate) fn bytes(
    recording: &Recording,
    connection: &RecordedConnection,
    direction: ObservedDirection,
) -> Vec<u8> {
    let events = connection.events().iter();
    let events = events.filter(|event| event.direction == direction);
    let parts = events.filter_map(|event| match &event.what {
        RecordedPart::Bytes(location) | RecordedPart::Record(location) => {
            Some(recording.read(location).unwrap())
        }
        _ => None,
    });
    parts.flatten().collect()
}

/// What a program writes to standard output; `None` where it is not installed.
pub(crate) fn run<I, A>(program: &str, arguments: I) -> Option<String>
where
    I: IntoIterator<Item = A>,
    A: AsRef<OsStr>,
{
    let output = output(program, arguments)?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program}: {errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// What a program does; `None` where it is not installed.
pub(crate) fn output<I, A>(program: &str, arguments: I) -> Option<Output>
where
    I: IntoIterator<Item = A>,
    A: AsRef<OsStr>,
{
    let home = tempfile::tempdir().unwrap();
    let command = Command::new(program)
        .args(arguments)
        .env("HOME", home.path())
        .env("LC_ALL", "C.UTF-8")
        .output();
    match command {
        Ok(output) => Some(output),
        Err(error) if std::env::var_os("SOCKEYE_REQUIRE_PEERS").is_none() => {
            let _ = writeln!(
                std::io::stderr(),
                "skipped: {program} is not installed: {error}"
            );
            None
        }
        Err(error) => panic!("{program} is not installed: {error}"),
    }
}

/// The lines that tshark prints of the packets that `filter` chooses, with these fields.
pub(crate) fn fields(file: &Path, filter: &str, names: &[&str]) -> Option<Vec<String>> {
    let mut arguments = vec!["-r", file.to_str().unwrap(), "-Y", filter, "-T", "fields"];
    arguments.extend(names.iter().flat_map(|name| ["-e", name]));
    let printed = run("tshark", arguments)?;
    Some(printed.lines().map(str::to_owned).collect())
}
