//! Clients that never stop asking, and remember what became of each request.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::LONGEST;
use crate::support::REPLY;

/// A request on a connection of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) number: u64,
    pub(super) begin: Instant,
    pub(super) end: Instant,
    /// Whether all of it went into a connection.
    pub(super) was_sent: bool,
    pub(super) is_answered: bool,
}

pub(super) struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Request>>>,
}

impl Load {
    pub(super) fn start(clients: usize, path: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let numbers = Arc::new(AtomicU64::new(0));
        let threads = (0..clients)
            .map(|_| {
                let (stop, numbers) = (Arc::clone(&stop), Arc::clone(&numbers));
                let path = path.to_owned();
                thread::spawn(move || {
                    let mut requests = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let request = ask(&path, numbers.fetch_add(1, Ordering::Relaxed));
                        if !request.was_sent {
                            thread::sleep(Duration::from_millis(1));
                        }
                        requests.push(request);
                    }
                    requests
                })
            })
            .collect();
        Self { stop, threads }
    }

    pub(super) fn finish(self) -> Vec<Request> {
        self.stop.store(true, Ordering::Relaxed);
        let joined = self.threads.into_iter().map(JoinHandle::join);
        joined
            .flat_map(|requests| requests.expect("a client does not panic"))
            .collect()
    }
}

fn ask(path: &Path, number: u64) -> Request {
    let begin = Instant::now();
    let mut request = Request {
        number,
        begin,
        end: begin,
        was_sent: false,
        is_answered: false,
    };
    let mut answer = String::new();
    let asked = (|| {
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(2 * LONGEST))?;
        stream.write_all(format!("storm {number}\n").as_bytes())?;
        request.was_sent = true;
        stream.shutdown(Shutdown::Write)?;
        stream.read_to_string(&mut answer)
    })();
    request.end = Instant::now();
    request.is_answered = answer.strip_suffix('\n') == Some(REPLY);
    let timed_out = asked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    assert!(
        !timed_out,
        "request {number} was neither answered nor aborted"
    );
    request
}
