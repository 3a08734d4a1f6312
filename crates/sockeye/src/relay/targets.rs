//! [`Targets`]: the targets of a relay, one after the other.

use std::fmt;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::target_error::{TargetError, TargetErrorKind};
use super::{RelayAddress, TargetSocket};
use crate::backoff::Backoff;
use crate::connect::{ConnectErrorKind, Connector, FIRST_PAUSE, LONGEST_PAUSE};

/// How long a target is set aside after its first failure.
const FIRST_ASIDE: Duration = Duration::from_secs(1);
/// How long a target is set aside at most.
const LONGEST_ASIDE: Duration = Duration::from_secs(30);

/// Several targets, which take turns: each client is connected to the next one (round-robin).
///
/// A target that cannot be connected to is set aside for a second, and twice as long after each further
/// failure, up to 30 seconds; the next target is tried at once for the same client. When the time is
/// over, one client tries it again while the others go on without it. Where all are set aside, all are
/// tried, in order. A target that only denies permission, to one client perhaps, is not set aside, and
/// neither is one that could not be tried for a lack of file descriptors.
///
/// All connections share it. With one target it is [`Connector::connect_target`].
///
/// ```no_run
/// use sockeye::Connector;
/// use sockeye::relay::{RelayAddress, Targets};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let addresses: Vec<RelayAddress> = vec!["/run/a.sock".parse()?, "tcp:localhost:80".parse()?];
/// let targets = Targets::new(addresses).expect("there are two");
/// let (address, socket) = targets.connect(&Connector::new()).await?;
/// println!("connected to {address}");
/// # Ok(())
/// # }
/// ```
#[doc(alias = "round-robin")]
#[doc(alias = "load balancing")]
#[doc(alias = "failover")]
#[derive(Debug)]
pub struct Targets {
    addresses: Vec<RelayAddress>,
    turns: Mutex<TargetTurns>,
}

/// Whose turn it is.
#[derive(Debug)]
struct TargetTurns {
    next: usize,
    /// Those that have failed; `None` for each other one.
    aside: Vec<Option<SetAside>>,
}

#[derive(Debug)]
struct SetAside {
    until: Instant,
    backoff: Backoff,
}

/// Why no target could be connected to. It names each one that was tried.
pub struct TargetsError {
    errors: Vec<TargetError>,
}

crate::error_debug::debug_as_display!(TargetsError);

impl Targets {
    /// `None` where there is no address.
    #[must_use]
    pub fn new(addresses: impl IntoIterator<Item = RelayAddress>) -> Option<Self> {
        let addresses: Vec<_> = addresses.into_iter().collect();
        let turns = Mutex::new(TargetTurns {
            next: 0,
            aside: addresses.iter().map(|_| None).collect(),
        });
        (!addresses.is_empty()).then_some(Self { addresses, turns })
    }

    /// The targets, in order.
    #[must_use]
    pub fn addresses(&self) -> &[RelayAddress] {
        &self.addresses
    }

    /// Connects to the target whose turn it is, or to another one if that fails; returns which.
    ///
    /// With [`Connector::wait_for`] all targets are tried without waiting first, and then again until one
    /// of them can be connected to or the time is over.
    ///
    /// # Errors
    /// [`TargetsError`] has the error of each target.
    ///
    /// # Panics
    /// As [`Connector::connect_target`].
    ///
    /// # Cancel safety
    /// As [`Connector::connect_target`].
    pub async fn connect(
        &self,
        connector: &Connector,
    ) -> Result<(&RelayAddress, TargetSocket), TargetsError> {
        let attempt =
            |connector: Connector, address| async move { connector.connect_target(address).await };
        self.connect_with(connector, attempt).await
    }

    /// As [`connect`](Self::connect), with an attempt of your own: with a connector for this one attempt.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Panics
    /// Where there is more than one target, outside of a tokio runtime with time enabled.
    ///
    /// # Cancel safety
    /// As `attempt`.
    pub async fn connect_with<'a, T, F>(
        &'a self,
        connector: &Connector,
        attempt: impl Fn(Connector, &'a RelayAddress) -> F,
    ) -> Result<(&'a RelayAddress, T), TargetsError>
    where
        F: Future<Output = Result<T, TargetError>>,
    {
        if let [only] = &self.addresses[..] {
            return match attempt(connector.clone(), only).await {
                Ok(connected) => Ok((only, connected)),
                Err(error) => Err(TargetsError::new(vec![error])),
            };
        }
        let started = Instant::now();
        let wait_for = connector.wait_for;
        let at_once = connector.clone().wait_for(Duration::ZERO);
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let errors = match self.try_each(&at_once, &attempt).await {
                Ok(connected) => return Ok(connected),
                Err(errors) => errors,
            };
            if wait_for.is_zero() || !errors.iter().any(TargetError::is_nothing_there) {
                return Err(TargetsError::new(errors));
            }
            let left = wait_for.saturating_sub(started.elapsed());
            if left.is_zero() {
                let errors = errors.into_iter().map(|error| error.after(wait_for));
                return Err(TargetsError::new(errors.collect()));
            }
            tokio::time::sleep(backoff.next_pause().min(left)).await;
        }
    }

    /// Tries each target once, unless one can be connected to.
    async fn try_each<'a, T, F>(
        &'a self,
        connector: &Connector,
        attempt: &impl Fn(Connector, &'a RelayAddress) -> F,
    ) -> Result<(&'a RelayAddress, T), Vec<TargetError>>
    where
        F: Future<Output = Result<T, TargetError>>,
    {
        let mut tried = vec![false; self.addresses.len()];
        let mut errors = Vec::new();
        loop {
            let Some(index) = self.turns().next(&tried, Instant::now()) else {
                return Err(errors);
            };
            tried[index] = true;
            let address = &self.addresses[index];
            let attempted = attempt(connector.clone(), address).await;
            match attempted {
                Ok(connected) => {
                    if self.turns().succeeded(index) {
                        log_back(address);
                    }
                    return Ok((address, connected));
                }
                Err(error) => {
                    let is_its_own = is_failure_of_target(&error);
                    if is_its_own && self.turns().failed(index, Instant::now()) && tried.len() > 1 {
                        log_set_aside(&error);
                    }
                    errors.push(error);
                }
            }
        }
    }

    /// Locked only between two attempts.
    fn turns(&self) -> MutexGuard<'_, TargetTurns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TargetTurns {
    /// The target to try; `None` after all were tried.
    fn next(&mut self, tried: &[bool], now: Instant) -> Option<usize> {
        let count = tried.len();
        for index in (self.next..count).chain(0..self.next) {
            if tried[index] || !self.is_due(index, now) {
                continue;
            }
            self.next = (index + 1) % count;
            return Some(index);
        }
        tried.iter().position(|&was_tried| !was_tried)
    }

    /// Whether the target is not set aside. One whose time is over is set aside anew for all but the
    /// caller.
    fn is_due(&mut self, index: usize, now: Instant) -> bool {
        let Some(aside) = &mut self.aside[index] else {
            return true;
        };
        let is_over = aside.until <= now;
        if is_over {
            aside.until = now + aside.backoff.next_pause();
        }
        is_over
    }

    /// Whether it was set aside before.
    fn succeeded(&mut self, index: usize) -> bool {
        self.aside[index].take().is_some()
    }

    /// Whether it was not set aside before.
    fn failed(&mut self, index: usize, now: Instant) -> bool {
        let is_new = self.aside[index].is_none();
        self.aside[index].get_or_insert_with(|| {
            let mut backoff = Backoff::new(FIRST_ASIDE, LONGEST_ASIDE);
            let until = now + backoff.next_pause();
            SetAside { until, backoff }
        });
        is_new
    }
}

#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
fn log_set_aside(error: &TargetError) {
    #[cfg(feature = "tracing")]
    tracing::warn!("{error}; the target is set aside, and the others go on");
}

#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
fn log_back(address: &RelayAddress) {
    #[cfg(feature = "tracing")]
    tracing::info!("the target {} is back", address.quoted());
}

/// Whether others would meet the same error now: neither a permission of this client nor a limit of our
/// own.
fn is_failure_of_target(error: &TargetError) -> bool {
    match error.kind() {
        TargetErrorKind::UnknownHost(_)
        | TargetErrorKind::NobodyListens
        | TargetErrorKind::Unreachable
        | TargetErrorKind::TimedOut { .. } => true,
        TargetErrorKind::Unix(error) => !matches!(
            error.kind(),
            ConnectErrorKind::DirectoryDenies { .. }
                | ConnectErrorKind::ProcessDenies(_)
                | ConnectErrorKind::ModeDenies { .. }
                | ConnectErrorKind::Denied
                | ConnectErrorKind::Io
        ),
        _ => false,
    }
}

impl TargetsError {
    fn new(errors: Vec<TargetError>) -> Self {
        Self { errors }
    }

    /// The errors of the targets, in the order in which these were tried; at least one.
    #[must_use]
    pub fn errors(&self) -> &[TargetError] {
        &self.errors
    }
}

impl fmt::Display for TargetsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.errors.len() > 1 {
            write!(f, "no target can be connected to: ")?;
        }
        for (index, error) in self.errors.iter().enumerate() {
            let before = if index == 0 { "" } else { "; " };
            write!(f, "{before}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for TargetsError {}

#[cfg(test)]
mod tests;
