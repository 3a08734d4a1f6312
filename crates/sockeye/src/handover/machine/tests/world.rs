//! [`World`]: both machines, joined by queues.

use std::collections::VecDeque;

use crate::handover::frame::Frame;
use crate::handover::machine::{HandoverEvent, Predecessor, Reason, Successor};

/// Both sides and what is on the way between them. A slow side is one for which nothing happens while
/// the other goes on. One that hangs does nothing, and no time of its own passes, until it resumes, if
/// it ever does (SIGSTOP, SIGCONT).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) predecessor: Predecessor,
    pub(super) successor: Successor,
    pub(super) to_predecessor: VecDeque<Frame>,
    pub(super) to_successor: VecDeque<Frame>,
    /// What the successor sends fails.
    pub(super) predecessor_is_deaf: bool,
    /// Dead, or has closed the connection in order: to the other side both look alike.
    pub(super) predecessor_gone: bool,
    pub(super) successor_gone: bool,
    pub(super) predecessor_dead: bool,
    pub(super) successor_dead: bool,
    pub(super) predecessor_hangs: bool,
    pub(super) successor_hangs: bool,
    /// The predecessor was told to stop.
    pub(super) stopping: bool,
    /// Somebody has ended in order and removed the files.
    pub(super) removed: bool,
    /// The successor has sent `Serving`.
    pub(super) committed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WorldStep {
    PredecessorReads,
    PredecessorOffers,
    SuccessorReads,
    SuccessorVerifies,
    SuccessorServes,
    PredecessorIsOutOfTime,
    SuccessorIsOutOfTime,
    /// The time for draining is over, and a successor with an offer has not served.
    PredecessorLeaves,
    /// Its server is dropped.
    PredecessorRevokes,
    SuccessorRejects,
    PredecessorStops,
    SuccessorStops,
    /// It is told to stop before it serves.
    SuccessorGivesUp,
    PredecessorDies,
    SuccessorDies,
    PredecessorHangs,
    SuccessorHangs,
    PredecessorResumes,
    SuccessorResumes,
}

/// All of them. The first eight must happen some time, if nothing else does.
pub(super) const STEPS: [WorldStep; 19] = [
    WorldStep::PredecessorReads,
    WorldStep::PredecessorOffers,
    WorldStep::SuccessorReads,
    WorldStep::SuccessorVerifies,
    WorldStep::SuccessorServes,
    WorldStep::PredecessorIsOutOfTime,
    WorldStep::SuccessorIsOutOfTime,
    WorldStep::PredecessorLeaves,
    WorldStep::PredecessorRevokes,
    WorldStep::SuccessorRejects,
    WorldStep::PredecessorStops,
    WorldStep::SuccessorStops,
    WorldStep::SuccessorGivesUp,
    WorldStep::PredecessorDies,
    WorldStep::SuccessorDies,
    WorldStep::PredecessorHangs,
    WorldStep::SuccessorHangs,
    WorldStep::PredecessorResumes,
    WorldStep::SuccessorResumes,
];
pub(super) const CERTAIN: usize = 8;

impl World {
    pub(super) fn new() -> Self {
        Self {
            predecessor: Predecessor::Connected,
            successor: Successor::Asked,
            to_predecessor: [Frame::Hello].into(),
            to_successor: VecDeque::new(),
            predecessor_is_deaf: false,
            predecessor_gone: false,
            successor_gone: false,
            predecessor_dead: false,
            successor_dead: false,
            predecessor_hangs: false,
            successor_hangs: false,
            stopping: false,
            removed: false,
            committed: false,
        }
    }

    fn predecessor_acts(&self) -> bool {
        !self.predecessor_dead && !self.predecessor_hangs && !self.predecessor_gone
    }

    fn successor_acts(&self) -> bool {
        !self.successor_dead && !self.successor_hangs
    }

    fn successor_waits(&self) -> bool {
        self.successor_acts() && matches!(self.successor, Successor::Asked | Successor::Refused)
    }

    /// The predecessor learns something.
    fn predecessor_learns(&mut self, event: HandoverEvent) {
        let answer = self.predecessor.on(event);
        self.predecessor_has_learned(answer);
    }

    fn predecessor_learns_at_last(&mut self, event: HandoverEvent) {
        let answer = self.predecessor.leave_on(event);
        self.predecessor_has_learned(answer);
    }

    fn predecessor_has_learned(&mut self, answer: Option<Frame>) {
        let has_given_away = [Predecessor::HandedOver, Predecessor::Left];
        self.predecessor_gone |= has_given_away.contains(&self.predecessor);
        if self.predecessor == Predecessor::Left {
            assert!(!self.successor_gone, "left to nobody: {self:#?}");
        }
        if self.predecessor == Predecessor::Kept {
            self.keep(answer);
        } else {
            self.to_successor.extend(answer);
        }
    }

    /// The path stays the predecessor's, which removes the files first if it stops.
    fn keep(&mut self, answer: Option<Frame>) {
        if self.stopping {
            assert!(!self.committed, "removes another one's files: {self:#?}");
            self.removed = true;
        }
        // What is sent to a closed socket is lost, and the sender finds out when it reads.
        if !self.successor_gone {
            self.to_successor.extend(answer);
        }
        self.predecessor_gone = true;
    }

    /// The next event of a side that waits; `None` where it would go on waiting.
    fn event(queue: &mut VecDeque<Frame>, other_gone: bool) -> Option<HandoverEvent> {
        match queue.pop_front() {
            Some(frame) => Some(HandoverEvent::Frame(frame)),
            None => other_gone.then_some(HandoverEvent::Closed),
        }
    }

    pub(super) fn predecessor_owns(&self) -> bool {
        !self.predecessor_dead
            && !self.removed
            && !self.committed
            && !matches!(
                self.predecessor,
                Predecessor::HandedOver | Predecessor::Left
            )
    }

    pub(super) fn successor_owns(&self) -> bool {
        !self.successor_dead && !self.removed && self.successor == Successor::Serving
    }

    pub(super) fn after(&self, step: WorldStep) -> Option<Self> {
        let mut world = self.clone();
        let done = match step {
            WorldStep::PredecessorReads
            | WorldStep::PredecessorOffers
            | WorldStep::PredecessorIsOutOfTime
            | WorldStep::PredecessorLeaves
            | WorldStep::PredecessorRevokes
            | WorldStep::PredecessorStops => {
                world.predecessor_acts() && world.predecessor_does(step)?
            }
            WorldStep::PredecessorDies => {
                world.predecessor_gone = true;
                world.predecessor_hangs = false;
                !std::mem::replace(&mut world.predecessor_dead, true)
            }
            WorldStep::PredecessorHangs => {
                !world.predecessor_dead && !std::mem::replace(&mut world.predecessor_hangs, true)
            }
            WorldStep::SuccessorDies => {
                world.successor_gone = true;
                world.successor_hangs = false;
                !std::mem::replace(&mut world.successor_dead, true)
            }
            WorldStep::SuccessorHangs => {
                !world.successor_dead && !std::mem::replace(&mut world.successor_hangs, true)
            }
            WorldStep::PredecessorResumes => std::mem::take(&mut world.predecessor_hangs),
            WorldStep::SuccessorResumes => std::mem::take(&mut world.successor_hangs),
            _ => world.successor_acts() && world.successor_does(step)?,
        };
        done.then_some(world)
    }

    fn predecessor_does(&mut self, step: WorldStep) -> Option<bool> {
        match step {
            WorldStep::PredecessorReads => {
                let event = Self::event(&mut self.to_predecessor, self.successor_gone)?;
                self.predecessor_learns(event);
            }
            WorldStep::PredecessorOffers if !self.stopping => {
                let frame = self.predecessor.offer()?;
                if !self.successor_gone {
                    self.to_successor.push_back(frame);
                }
            }
            // Deaf from now on, it has looked a last time, and nothing was there.
            WorldStep::PredecessorIsOutOfTime
                if self.to_predecessor.is_empty()
                    && !self.successor_gone
                    && self.predecessor != Predecessor::Asked =>
            {
                self.predecessor_is_deaf = true;
                self.predecessor_learns(HandoverEvent::Deadline);
            }
            WorldStep::PredecessorLeaves | WorldStep::PredecessorRevokes
                if self.stopping && self.predecessor.has_offer() =>
            {
                self.predecessor_is_deaf = true;
                while self.predecessor.has_offer() {
                    let event = Self::event(&mut self.to_predecessor, self.successor_gone);
                    let event = event.unwrap_or(HandoverEvent::Deadline);
                    if step == WorldStep::PredecessorLeaves {
                        self.predecessor_learns_at_last(event);
                    } else {
                        self.predecessor_learns(event);
                    }
                }
            }
            WorldStep::PredecessorStops if !self.stopping => {
                self.stopping = true;
                if !self.predecessor.has_offer() {
                    self.keep(Some(Frame::Cancel));
                }
            }
            _ => return None,
        }
        Some(true)
    }

    fn successor_does(&mut self, step: WorldStep) -> Option<bool> {
        match step {
            WorldStep::SuccessorReads if self.successor_waits() => {
                let event = Self::event(&mut self.to_successor, self.predecessor_gone)?;
                self.successor.on(event);
                // Left alone, it looks at the files; without them it claims like any other server.
                if self.successor == Successor::Serving && self.removed {
                    self.successor = Successor::Without(Reason::Ended);
                }
            }
            WorldStep::SuccessorVerifies => {
                if self.successor != Successor::Offered {
                    return None;
                }
                self.successor.verified(|frame| {
                    let is_heard = !self.predecessor_is_deaf && !self.predecessor_gone;
                    if is_heard {
                        self.to_predecessor.push_back(frame);
                    }
                    is_heard
                });
            }
            WorldStep::SuccessorServes if self.successor == Successor::Ready => {
                let mut successor = self.successor;
                successor.serve(|frame| {
                    self.committed = !self.predecessor_is_deaf && !self.predecessor_gone;
                    if self.committed {
                        self.to_predecessor.push_back(frame);
                    }
                    self.committed
                });
                self.successor = successor;
            }
            WorldStep::SuccessorIsOutOfTime
                if self.successor_waits()
                    && self.to_successor.is_empty()
                    && !self.predecessor_gone =>
            {
                self.successor.on(HandoverEvent::Deadline);
            }
            // It cannot have the owner that it wants, or is stopped before it serves.
            WorldStep::SuccessorRejects
                if matches!(self.successor, Successor::Offered | Successor::Ready) =>
            {
                self.successor = Successor::Without(Reason::ProtocolViolation);
            }
            WorldStep::SuccessorStops if self.successor_owns() => {
                self.removed = true;
                self.successor_dead = true;
            }
            WorldStep::SuccessorGivesUp if self.successor == Successor::Ready => {
                self.successor.stop();
                let event = Self::event(&mut self.to_successor, self.predecessor_gone);
                self.successor.on(event.unwrap_or(HandoverEvent::Deadline));
                // The path was left to it, and it removes the files.
                self.removed |= self.successor_owns();
                self.successor_dead = true;
            }
            _ => return None,
        }
        self.successor_gone = self.successor_dead
            || matches!(self.successor, Successor::Serving | Successor::Without(_));
        Some(true)
    }

    pub(super) fn check(&self, is_the_end: bool) {
        assert!(
            !(self.predecessor_owns() && self.successor_owns()),
            "two own it: {self:#?}"
        );
        if self.predecessor == Predecessor::HandedOver {
            assert!(self.committed, "given away to nobody: {self:#?}");
        }
        // However slow or stopped the successor is, and whatever it has said but its last word.
        if !self.predecessor_dead && !self.stopping && !self.committed {
            assert!(self.predecessor_owns(), "given up to nobody: {self:#?}");
        }
        if !is_the_end {
            return;
        }
        let successor_is_left = !self.successor_dead && !self.successor_hangs;
        // Where nothing of it is left, it claims the path like any other server.
        let claims = successor_is_left
            && matches!(
                self.successor,
                Successor::Without(Reason::Ended | Reason::Cancelled | Reason::TimedOut)
            )
            && (self.predecessor_dead || self.removed);
        let owners = [self.predecessor_owns(), self.successor_owns(), claims];
        let owners = owners.into_iter().filter(|owns| *owns).count();
        assert!(owners <= 1, "two own it: {self:#?}");
        // Nobody is left who could own it.
        let nobody = (self.predecessor_dead || self.stopping || self.committed)
            && (!successor_is_left
                || self.successor == Successor::Without(Reason::ProtocolViolation));
        assert!(owners == 1 || nobody, "nobody owns it: {self:#?}");
        // One that hangs for good keeps no other successor from having its turn, nor the server from
        // ending.
        if !self.predecessor_dead && !self.predecessor_hangs {
            assert!(!self.predecessor.has_offer(), "waits for good: {self:#?}");
        }
        if self.predecessor_hangs && self.successor == Successor::Ready {
            assert!(!successor_is_left, "waits for one that hangs: {self:#?}");
        }
    }
}
