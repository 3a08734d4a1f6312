//! [`Notify`]: messages to the service manager (sd_notify(3)).

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use sockeye::address::quoted;
use tokio::time::MissedTickBehavior;
use tracing::warn;

/// How long a message may wait for a manager that does not read.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sends to the manager at `NOTIFY_SOCKET`, if there is one.
pub(super) struct Notify {
    manager: Option<Manager>,
    /// A successor notifies the manager now.
    replaced: AtomicBool,
}

impl Notify {
    /// A manager that cannot be reached is a warning: the server serves all the same.
    pub(super) fn from_environment() -> Self {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self::to(None);
        };
        Self::to(Manager::at(&name).map_or_else(
            |error| {
                warn!(
                    "cannot notify {}: {error}; check NOTIFY_SOCKET",
                    quoted(&name)
                );
                None
            },
            Some,
        ))
    }

    /// `None`: nobody is told.
    pub(super) fn to(manager: Option<Manager>) -> Self {
        Self {
            manager,
            replaced: AtomicBool::new(false),
        }
    }

    /// Clients can be served (again).
    pub(super) fn ready(&self, address: &str) {
        // A line break would begin a variable of its own, but an address is printed without any.
        let status = format!("listening on {address}");
        self.tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    pub(super) fn stopping(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
    }

    /// A restart in place has begun (`Type=notify-reload`); `replaced_by` ends it, or `ready` if it
    /// fails.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(error) => warn!("cannot notify of the restart: no clock: {error}"),
        }
    }

    /// Process `pid` is the service from now on, and ready. Nothing is sent after that.
    ///
    /// It must have been started with `NOTIFY_SOCKET` and `WATCHDOG_USEC`, without `WATCHDOG_PID`.
    pub(super) fn replaced_by(&self, pid: u32) {
        self.tell(&[NotifyState::MainPid(pid), NotifyState::Ready]);
        self.replaced.store(true, Ordering::Relaxed);
    }

    /// Notifies the watchdog, if there is one, twice in its interval. To be run as a task of the
    /// runtime that serves, so that a runtime that hangs is noticed.
    pub(super) async fn keep_alive(self: Arc<Self>) {
        let limit = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero());
        let (Some(_), Some(limit)) = (&self.manager, limit) else {
            return;
        };
        let mut tick = tokio::time::interval(limit / 2);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.tell(&[NotifyState::Watchdog]);
        }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        let Some(manager) = &self.manager else { return };
        if self.replaced.load(Ordering::Relaxed) {
            return;
        }
        let text: String = states.iter().map(|state| format!("{state}\n")).collect();
        if let Err(error) = manager.send(&text) {
            let (manager, text) = (quoted(&manager.name), text.trim_end().replace('\n', " "));
            warn!("cannot notify {manager}: {error}; it was not told {text}");
        }
    }
}

/// Instead of `sd_notify::notify`, which takes an abstract name for a path, opens a socket for each
/// message (which fails where fds run out), and waits without a limit.
pub(super) struct Manager {
    name: OsString,
    address: SocketAddr,
    socket: UnixDatagram,
}

impl Manager {
    pub(super) fn at(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => {
                let why = "it is neither an absolute path nor an @name";
                return Err(io::Error::new(ErrorKind::InvalidInput, why));
            }
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            name: name.to_owned(),
            address,
            socket,
        })
    }

    fn send(&self, text: &str) -> io::Result<()> {
        self.socket.send_to_addr(text.as_bytes(), &self.address)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_in_place_is_notified() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let message = || {
            let mut buffer = [0; 256];
            let count = manager.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..count].to_vec()).unwrap()
        };
        let notify = Notify::to(Some(Manager::at(path.as_os_str()).unwrap()));
        notify.reloading();
        let reloading = message();
        let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        let micros: u64 = micros.unwrap().trim_end().parse().unwrap();
        assert!(micros > 0, "{reloading}");
        notify.replaced_by(4242);
        assert_eq!(message(), "MAINPID=4242\nREADY=1\n");
        notify.stopping();
        let silent = manager.recv(&mut [0]).unwrap_err();
        assert_eq!(silent.kind(), ErrorKind::WouldBlock);
    }
}
