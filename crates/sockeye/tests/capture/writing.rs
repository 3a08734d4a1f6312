//! Files, pipes and full disks that a recorder writes to.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::fs::{Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, open};
use rustix::io::Errno;
use sockeye::Kind;
use sockeye::capture::{
    RecordedEvent, RecordedPart, Recorder, RecorderErrorKind, RecorderOptions, Recording,
};
use sockeye::relay::{ObservedBegin, ObservedPiece, Observer};

use crate::support::TO_TARGET;

fn options() -> RecorderOptions {
    RecorderOptions::new("/run/app.sock")
}

fn kind_of(created: Result<Recorder, sockeye::capture::RecorderError>) -> RecorderErrorKind {
    created.unwrap_err().kind
}

fn piece(size: usize) -> ObservedPiece {
    ObservedPiece::new(1, TO_TARGET, vec![b'x'; size].into())
}

#[test]
fn a_recording_is_readable_by_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let mode = || fs::metadata(&path).unwrap().mode() & 0o7777;
    drop(Recorder::create(&path, &options()).unwrap());
    assert_eq!(mode(), 0o600);
    // One that is there loses what others may do, and gains nothing.
    for (before, after) in [(0o644, 0o600), (0o200, 0o200)] {
        fs::write(&path, "").unwrap();
        let file = File::open(&path);
        let file = file.or_else(|_| File::options().write(true).open(&path));
        file.unwrap()
            .set_permissions(Permissions::from_mode(before))
            .unwrap();
        drop(Recorder::create(&path, &options()).unwrap());
        assert_eq!(mode(), after);
    }
}

#[test]
fn only_a_recording_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    fs::write(&path, "a letter").unwrap();
    let refused = kind_of(Recorder::create(&path, &options()));
    assert!(matches!(refused, RecorderErrorKind::NotARecording));
    assert_eq!(fs::read(&path).unwrap(), b"a letter");
    fs::write(&path, "").unwrap();
    let mut recorder = Recorder::create(&path, &options()).unwrap();
    recorder.begin(ObservedBegin::new(1, Kind::Stream));
    recorder.piece(piece(100));
    recorder.flush();
    let again = kind_of(Recorder::create(&path, &options()));
    assert!(matches!(again, RecorderErrorKind::InUse));
    drop(recorder);
    assert_eq!(Recording::open(&path).unwrap().packets(), 4);
    drop(Recorder::create(&path, &options()).unwrap());
    assert_eq!(Recording::open(&path).unwrap().packets(), 0);
}

#[test]
fn a_fifo_without_a_reader_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        Mode::RWXU,
        0,
    )
    .unwrap();
    let refused = kind_of(Recorder::create(&path, &options()));
    assert!(matches!(refused, RecorderErrorKind::NoReader));
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let mut reader = File::from(open(&path, flags, Mode::empty()).unwrap());
    let recorder = Recorder::create(&path, &options()).unwrap();
    let mut start = [0; 4];
    reader.read_exact(&mut start).unwrap();
    assert_eq!(start, [0x0a, 0x0d, 0x0d, 0x0a]);
    drop(recorder);
}

#[test]
fn a_full_disk_keeps_whole_blocks_and_is_told() {
    // A file that cannot grow: what does not fit fails, in the middle of a block.
    let memfd = memfd_create("full", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&memfd, 64 << 10).unwrap();
    fcntl_add_seals(&memfd, SealFlags::GROW).unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&memfd));
    let mut recorder = Recorder::new(memfd.try_clone().unwrap(), &options()).unwrap();
    let status = recorder.status();
    recorder.begin(ObservedBegin::new(1, Kind::Stream));
    for _ in 0..30 {
        recorder.piece(piece(10_000));
    }
    recorder.flush();
    let error = status.error().and_then(std::io::Error::raw_os_error);
    assert_eq!(error, Some(Errno::PERM.raw_os_error()));
    assert!(status.is_failing());
    let recording = Recording::open(&path).unwrap();
    assert_eq!(recording.cut(), None);
    // Three of the handshake, and an acknowledgement before 64 KiB are full.
    assert_eq!(recording.packets(), 3 + 6 + 1);
    assert_eq!(fs::metadata(&path).unwrap().size(), status.written().bytes);
    assert_eq!(status.dropped().blocks, 30 - 6);
    let handed_over = 30 * (10_000 + 40 + 48);
    assert!(status.dropped().bytes > handed_over - 64 * 1024);
    recorder.finish();
    assert_eq!(Recording::open(&path).unwrap().packets(), 10);
}

#[test]
fn a_recorder_goes_on_when_there_is_room_again() {
    let directory = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o size=300k none "$1" && shift && exec "$@""#;
    let status = Command::new("unshare")
        .args(["-m", "sh", "-c", script, "sh"])
        .args([directory.path(), &std::env::current_exe().unwrap()])
        .args(["--exact", "--ignored", "writing::on_a_small_tmpfs"])
        .env("SOCKEYE_SMALL_TMPFS", directory.path())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&status.stdout);
    if rustix::process::geteuid().is_root() {
        assert!(output.contains("1 passed"), "{output}");
    } else {
        let _ = writeln!(std::io::stderr(), "skipped: only root can mount");
    }
}

#[test]
#[ignore = "run by a_recorder_goes_on_when_there_is_room_again"]
fn on_a_small_tmpfs() {
    let directory = PathBuf::from(std::env::var_os("SOCKEYE_SMALL_TMPFS").unwrap());
    let (path, other) = (directory.join("a"), directory.join("other"));
    fs::write(&other, vec![0; 200_000]).unwrap();
    let mut recorder = Recorder::create(&path, &options()).unwrap();
    let status = recorder.status();
    recorder.begin(ObservedBegin::new(1, Kind::Stream));
    for _ in 0..20 {
        recorder.piece(piece(10_000));
        recorder.flush();
    }
    let error = status.error().map(std::io::Error::kind);
    assert_eq!(error, Some(ErrorKind::StorageFull));
    assert!(status.is_failing());
    let full = Recording::open(&path).unwrap();
    assert!(full.cut().is_none() && full.packets() > 3);
    File::create(&other).unwrap();
    // Blocks are dropped until the next attempt is due.
    while status.is_failing() {
        recorder.piece(piece(100));
        recorder.flush();
    }
    recorder.piece(piece(100));
    recorder.finish();
    let recording = Recording::open(&path).unwrap();
    assert!(recording.cut().is_none() && recording.packets() > full.packets());
    let [connection] = recording.connections() else {
        panic!("{:?}", recording.connections());
    };
    let missing = |event: &&RecordedEvent| matches!(event.what, RecordedPart::Missing(_));
    assert_eq!(connection.events().iter().filter(missing).count(), 1);
}

#[test]
fn a_pipe_without_a_reader_costs_the_recording_alone() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut recorder = Recorder::new(writer, &options()).unwrap();
    let status = recorder.status();
    drop(reader);
    recorder.begin(ObservedBegin::new(1, Kind::Stream));
    recorder.piece(piece(100));
    recorder.flush();
    assert_eq!(
        status.error().map(std::io::Error::kind),
        Some(ErrorKind::BrokenPipe)
    );
    assert!(status.dropped().blocks >= 4);
    let written = status.written();
    recorder.piece(piece(100));
    recorder.finish();
    assert_eq!(status.written(), written);
}

#[test]
fn a_recorder_waits_for_the_reader_of_a_pipe_until_it_is_abandoned() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut recorder = Recorder::new(writer, &options()).unwrap();
    let status = recorder.status();
    let recording = thread::spawn(move || {
        recorder.begin(ObservedBegin::new(1, Kind::Stream));
        recorder.piece(piece(3 << 20));
        recorder.flush();
        // Nobody reads this.
        recorder.piece(piece(3 << 20));
        recorder.finish()
    });
    let mut read = vec![0; 3 << 20];
    reader.read_exact(&mut read).unwrap();
    status.abandon();
    let status = recording.join().unwrap();
    assert!(status.dropped().blocks > 0);
    assert_eq!(
        status.error().and_then(std::io::Error::raw_os_error),
        Some(Errno::CANCELED.raw_os_error())
    );
    drop(reader);
}

#[test]
fn another_observer_sees_everything_too() {
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<&'static str>>>);
    impl Observer for Seen {
        fn begin(&mut self, _: ObservedBegin) {
            self.0.lock().unwrap().push("begin");
        }
        fn piece(&mut self, _: ObservedPiece) {
            self.0.lock().unwrap().push("piece");
        }
        fn flush(&mut self) {
            self.0.lock().unwrap().push("flush");
        }
    }
    let seen = Seen::default();
    let (_reader, writer) = std::io::pipe().unwrap();
    let mut recorder = Recorder::new(writer, &options())
        .unwrap()
        .then(seen.clone());
    recorder.begin(ObservedBegin::new(1, Kind::Stream));
    recorder.piece(piece(1));
    recorder.flush();
    assert_eq!(*seen.0.lock().unwrap(), ["begin", "piece", "flush"]);
}
