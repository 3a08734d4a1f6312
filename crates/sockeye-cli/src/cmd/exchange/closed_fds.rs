//! [`ClosedFds`]: received fds that were closed, since they could not be passed on.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;
use signal_hook::low_level::{emulate_default_handler, pipe};
use sockeye::Address;

use crate::cmd::ignored::is_ignored;
use crate::stdio;

pub(super) struct ClosedFds {
    /// Where they came from.
    address: Address,
    /// How many have not been reported.
    count: AtomicUsize,
}

impl ClosedFds {
    pub(super) fn new(address: &Address) -> Arc<Self> {
        let address = address.clone();
        let count = AtomicUsize::new(0);
        Arc::new(Self { address, count })
    }

    /// Counts them. From the first one on, a signal that ends the command reports them first: that is
    /// how an interactive session ends.
    pub(super) fn count(self: &Arc<Self>, descriptors: usize) -> io::Result<()> {
        if descriptors > 0 && self.count.fetch_add(descriptors, Ordering::SeqCst) == 0 {
            self.report_on_signals()
        } else {
            Ok(())
        }
    }

    fn report_on_signals(self: &Arc<Self>) -> io::Result<()> {
        let signals = [Signal::INT, Signal::TERM].map(Signal::as_raw);
        for signal in signals.into_iter().filter(|&signal| !is_ignored(signal)) {
            let (mut arrival, handler) = UnixStream::pair()?;
            pipe::register(signal, handler)?;
            let closed = Arc::clone(self);
            std::thread::Builder::new().spawn(move || {
                if arrival.read_exact(&mut [0]).is_ok() {
                    closed.report();
                    let _ = emulate_default_handler(signal);
                }
            })?;
        }
        Ok(())
    }

    /// Reports them once; whether there were any.
    pub(super) fn report(&self) -> bool {
        let (came, was) = match self.count.swap(0, Ordering::SeqCst) {
            0 => return false,
            1 => ("1 file descriptor".to_owned(), "was"),
            count => (format!("{count} file descriptors"), "were"),
        };
        stdio::complain(&format!(
            "{came} came from {} and {was} closed: standard output takes bytes only; receive with a program of your own, or relay with sockeye serve --fds ADDRESS -- sockeye connect {}",
            self.address.quoted(),
            self.address.shell_quoted()
        ));
        true
    }
}
