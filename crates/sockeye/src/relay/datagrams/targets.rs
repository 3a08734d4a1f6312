//! [`DatagramTargets`]: where the datagrams go, round-robin.

use std::time::Duration;

use tokio::time::Instant;

use crate::address::Address;

/// How long a target that failed is tried after the others.
const SET_ASIDE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct DatagramTargets {
    targets: Vec<DatagramTarget>,
    /// Which one the next sender gets.
    next: usize,
}

#[derive(Debug)]
struct DatagramTarget {
    address: Address,
    /// Until when it is tried after the others.
    aside_until: Option<Instant>,
    /// Whether a datagram has waited for room for the whole deadline, and none was taken since.
    is_full: bool,
}

impl DatagramTargets {
    pub(super) fn new(addresses: Vec<Address>) -> Self {
        let targets = addresses.into_iter().map(|address| DatagramTarget {
            address,
            aside_until: None,
            is_full: false,
        });
        Self {
            targets: targets.collect(),
            next: 0,
        }
    }

    /// Calls `attempt` with one target after the other until it succeeds or has failed for good; those
    /// that have failed lately come last.
    pub(super) fn choose<T, E>(
        &mut self,
        mut attempt: impl FnMut(usize, &Address) -> Result<T, ChooseError<E>>,
    ) -> Result<T, Option<E>> {
        let count = self.targets.len();
        let now = Instant::now();
        let mut order: Vec<usize> = (0..count).map(|step| (self.next + step) % count).collect();
        let is_aside = |until: Option<Instant>| until.is_some_and(|until| now < until);
        order.sort_by_key(|&index| is_aside(self.targets[index].aside_until));
        for index in order {
            let target = &mut self.targets[index];
            match attempt(index, &target.address) {
                Ok(chosen) => {
                    target.aside_until = None;
                    self.next = (index + 1) % count;
                    return Ok(chosen);
                }
                Err(ChooseError::Next) => self.set_aside(index),
                Err(ChooseError::Final(error)) => return Err(Some(error)),
            }
        }
        Err(None)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }

    pub(super) fn address(&self, index: usize) -> &Address {
        &self.targets[index].address
    }

    pub(super) fn set_aside(&mut self, index: usize) {
        self.targets[index].aside_until = Some(Instant::now() + SET_ASIDE);
    }

    pub(super) fn is_full(&self, index: usize) -> bool {
        self.targets[index].is_full
    }

    pub(super) fn set_full(&mut self, index: usize, is_full: bool) {
        self.targets[index].is_full = is_full;
    }
}

/// Why an attempt failed.
pub(super) enum ChooseError<E> {
    /// The next target may do.
    Next,
    /// No target would.
    Final(E),
}
