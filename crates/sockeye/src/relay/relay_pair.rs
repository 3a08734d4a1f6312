//! [`RelayPair`]: both directions of a relay, in one future.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::direction_state::{DirectionState, WriterEnd};
use super::end::RelayEnd;
use super::linger::Linger;
use super::relay_direction::RelayDirection;
use super::report::{DirectionEnd, RelayFailure, RelayReport};
use super::settings::Settings;
use super::stall::Stall;
use super::timer::Timer;

/// How often both directions are polled before it yields.
const TURNS: usize = 4;

/// Index of the client in `ends`, and of its direction in `directions`.
const CLIENT: usize = 0;
const TARGET: usize = 1;

pub(super) struct RelayPair {
    pub(super) ends: [RelayEnd; 2],
    /// From the end of the same index to the other one.
    pub(super) directions: [RelayDirection; 2],
    pub(super) timer: Option<Box<Timer>>,
    linger: Option<Box<Linger>>,
    /// Runs while a send waits.
    stall: Option<Box<Stall>>,
    settings: Arc<Settings>,
}

impl RelayPair {
    pub(super) fn new(
        ends: [RelayEnd; 2],
        directions: [RelayDirection; 2],
        settings: Arc<Settings>,
    ) -> Self {
        let timer = Timer::new(ends[CLIENT].timeouts, settings.half_close_timeout);
        Self {
            ends,
            directions,
            timer,
            linger: None,
            stall: None,
            settings,
        }
    }

    fn poll_directions(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let [client, target] = &mut self.ends;
        let [to_target, to_client] = &mut self.directions;
        let settings = &*self.settings;
        let one = to_target.poll(cx, &mut client.io, &mut target.io, settings);
        let other = to_client.poll(cx, &mut target.io, &mut client.io, settings);
        client.io.poll_flush(cx);
        target.io.poll_flush(cx);
        if one.is_ready() || other.is_ready() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Tells each direction what the other one has found out: that its reader has gone.
    fn settle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut settled = Poll::Pending;
        for writer in [CLIENT, TARGET] {
            let is_open = matches!(
                self.directions[1 - writer].state,
                DirectionState::Open | DirectionState::Flushing(_)
            );
            let has_gone = match self.directions[writer].state {
                DirectionState::Flushing(WriterEnd::Reset)
                | DirectionState::Ended(DirectionEnd::Reset) => is_open,
                DirectionState::Ended(DirectionEnd::Eof | DirectionEnd::ReaderClosed)
                    if is_open && !self.directions[1 - writer].is_sending() =>
                {
                    self.ends[writer].io.poll_hang_up(cx).is_ready()
                }
                _ => false,
            };
            if has_gone {
                self.directions[1 - writer].lose_reader(DirectionEnd::ReaderGone);
                settled = Poll::Ready(());
            }
        }
        settled
    }

    fn is_over(&self) -> bool {
        let [one, other] = &self.directions;
        let has_failed =
            |direction: &RelayDirection| matches!(direction.state, DirectionState::Failed(_));
        if has_failed(one) || has_failed(other) {
            return true;
        }
        // A writer that cannot be told that nobody reads is not waited for.
        let is_discarding =
            |direction: &RelayDirection| matches!(direction.state, DirectionState::Discarding(_));
        (one.is_over() || is_discarding(one)) && other.is_over()
            || one.is_over() && is_discarding(other)
    }

    /// `Ready` where sends that wait are to be attempted again.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_sending = self.directions.iter().any(RelayDirection::is_sending);
        if self.stall.is_none() && !is_sending {
            return Poll::Pending;
        }
        let moved = self.directions.iter().map(RelayDirection::moved).sum();
        let stall = self
            .stall
            .get_or_insert_with(|| Box::new(Stall::new(moved)));
        ready!(stall.poll(cx, moved));
        if !is_sending {
            self.stall = None;
            return Poll::Pending;
        }
        for socket in self.ends.iter().filter_map(|end| end.io.as_socket()) {
            socket.io.attempt_write();
        }
        Poll::Ready(())
    }

    /// `Ready` where a timeout has failed the pair.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(timer) = &mut self.timer else {
            return Poll::Pending;
        };
        let [to_target, to_client] = &mut self.directions;
        if to_target.is_held() || to_client.is_held() {
            // Nothing can move; what has come meanwhile is read before the timer is asked again.
            return Poll::Pending;
        }
        let is_half_closed = to_target.has_ended() || to_client.has_ended();
        let moved = [to_target.moved(), to_client.moved()];
        let why = ready!(timer.poll(cx, moved, is_half_closed));
        to_target.state = DirectionState::Failed(Some(RelayFailure::TimedOut(why)));
        Poll::Ready(())
    }

    /// Whether the end is to read a reset.
    fn is_reset(&self, end: usize) -> bool {
        let (from, to) = (&self.directions[end], &self.directions[1 - end]);
        let has_lost = from.report.lost_bytes + from.report.lost_records > 0;
        match to.end() {
            DirectionEnd::Aborted | DirectionEnd::Reset => true,
            DirectionEnd::Eof => {
                let is_cut = matches!(from.end(), DirectionEnd::ReaderGone | DirectionEnd::Aborted);
                is_cut && has_lost
            }
            DirectionEnd::ReaderClosed | DirectionEnd::ReaderGone => false,
        }
    }

    /// Waits for what a close would spoil: a UNIX socket is reset only where input was unread, and a
    /// writer in full flow sends some soon; TCP discards what was not sent yet.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut waits_for_input = false;
            let mut unsent = 0;
            for end in [CLIENT, TARGET] {
                let is_reset = self.is_reset(end);
                let io = &mut self.ends[end].io;
                waits_for_input |= is_reset && io.poll_unread(cx).is_pending();
                if let Some(socket) = io.as_socket()
                    && (is_reset || socket.has_unread())
                {
                    unsent += socket.unsent();
                }
            }
            if !waits_for_input && unsent == 0 {
                return Poll::Ready(());
            }
            let linger = self.linger.get_or_insert_with(Default::default);
            ready!(linger.poll(cx, waits_for_input, unsent));
            if linger.is_over() {
                return Poll::Ready(());
            }
        }
    }

    /// Closes both sides, each in good order or so that it reads a reset.
    fn finish(&mut self) -> RelayReport {
        for end in [CLIENT, TARGET] {
            if !self.is_reset(end) {
                let is_read_closed = self.directions[end].end() == DirectionEnd::ReaderClosed;
                self.ends[end].io.end_cleanly(is_read_closed);
            }
        }
        let mut failure = None;
        for direction in &mut self.directions {
            failure = failure.or(direction.finish());
        }
        let is_ours = failure.as_ref().is_some_and(RelayFailure::is_ours);
        if let Some(permit) = self.ends[CLIENT].permit.as_ref().filter(|_| is_ours) {
            permit.mark_aborted();
        }
        RelayReport {
            to_target: self.directions[CLIENT].report,
            to_client: self.directions[TARGET].report,
            failure,
        }
    }
}

impl Future for RelayPair {
    type Output = RelayReport;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RelayReport> {
        for _ in 0..TURNS {
            if self.is_over() {
                // Input that is left unread now is what resets a UNIX socket.
                return self.poll_linger(cx).map(|()| self.finish());
            }
            let polled = self.poll_directions(cx);
            let settled = self.settle(cx);
            self.directions
                .iter_mut()
                .for_each(RelayDirection::note_end);
            if self.is_over() {
                continue;
            }
            if polled.is_pending() && settled.is_pending() && self.poll_stall(cx).is_pending() {
                ready!(self.poll_timer(cx));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
