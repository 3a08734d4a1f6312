//! Clients that never stop asking.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::support::{PATIENCE, REPLY};

/// Threads that connect, ask and read in a loop, each request on a connection of its own.
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Result<(), String>>>,
}

impl Clients {
    pub(crate) fn start(count: usize, path: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let threads = (0..count)
            .map(|_| {
                let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
                let path = path.to_owned();
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        ask(&path)?;
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        Self {
            stop,
            answered,
            threads,
        }
    }

    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Stops them; every request of every client was answered.
    #[track_caller]
    pub(crate) fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let result = thread.join().expect("a client does not panic");
            assert_eq!(result, Ok(()), "a request failed");
        }
        self.answered.load(Ordering::Relaxed)
    }
}

fn ask(path: &PathBuf) -> Result<(), String> {
    let failed = |step: &str| {
        let step = step.to_owned();
        move |error: std::io::Error| format!("{step}: {error}")
    };
    let mut stream = UnixStream::connect(path).map_err(failed("connect"))?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .map_err(failed("timeout"))?;
    stream.write_all(b"hello\n").map_err(failed("write"))?;
    stream
        .shutdown(Shutdown::Write)
        .map_err(failed("shutdown"))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed("read"))?;
    if answer.strip_suffix('\n') == Some(REPLY) {
        Ok(())
    } else {
        Err(format!("the answer is {answer:?}"))
    }
}
