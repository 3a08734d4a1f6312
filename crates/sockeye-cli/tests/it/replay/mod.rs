//! `sockeye replay`, between servers and clients that know nothing of it.

mod checks;
mod http;
mod players;
mod recorder;
mod records;
mod serving;
mod usage;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use sockeye::Kind;

use crate::support::{Client, Finished, Place, Server, run, sockeye};
use recorder::RecordingRelay;

/// `sockeye replay OPTIONS FILE ADDRESS`, to its end.
#[track_caller]
fn replay(options: &[&str], file: &Path, address: impl AsRef<Path>) -> Finished {
    let mut command = sockeye();
    command.arg("replay").args(options);
    run(command.arg(file).arg(address.as_ref()))
}

/// `sockeye replay --serve OPTIONS FILE PATH`, up and listening.
#[track_caller]
fn stand_in(options: &[&str], file: &Path, path: &Path) -> Server {
    let mut command = sockeye();
    command.args(["replay", "--serve"]).args(options);
    Server::started_by(command.arg(file).arg(path), path)
}

/// A server at `path` that answers each line of each connection, until the test ends.
fn answer_lines(path: &Path, answer: impl Fn(&str) -> String + Clone + Send + 'static) {
    serve_each(path, move |stream| {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while let Some(Ok(line)) = lines.next() {
            if (&stream).write_all(answer(&line).as_bytes()).is_err() {
                break;
            }
        }
    });
}

/// A server at `path`: each connection on a thread of its own.
fn serve_each(path: &Path, handle: impl Fn(UnixStream) + Clone + Send + 'static) {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).expect("a fresh path");
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let handle = handle.clone();
            thread::spawn(move || handle(stream));
        }
    });
}

/// Records clients of the server at `app.sock` that send these lines, one after the other, each after
/// the answer to the one before.
#[track_caller]
fn record_lines(place: &Place, clients: &[&[&str]]) -> PathBuf {
    let relay = RecordingRelay::start(place, "tap", Kind::Stream, &place.socket());
    for lines in clients {
        let mut client = Client::connect(&relay.front);
        for line in *lines {
            client.send(format!("{line}\n"));
            client.line();
        }
        client.finish();
        client.rest();
    }
    relay.finish()
}

/// The last line on standard error.
fn last_line(finished: &Finished) -> &str {
    finished.stderr.lines().last().unwrap_or_default()
}

/// Reads to EOF.
fn read_all(mut stream: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("EOF");
    bytes
}
