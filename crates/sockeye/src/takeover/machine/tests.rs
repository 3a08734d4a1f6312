//! Both machines, joined by queues, in every order in which anything can happen.

use std::collections::{HashSet, VecDeque};

use super::*;

/// Both sides and what is on the way between them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    predecessor: Predecessor,
    successor: Successor,
    to_predecessor: VecDeque<Frame>,
    to_successor: VecDeque<Frame>,
    /// Dead, or has closed the connection in order: to the other side both look alike.
    predecessor_gone: bool,
    successor_gone: bool,
    predecessor_dead: bool,
    successor_dead: bool,
    /// The predecessor was told to stop, and has removed the files.
    stopped: bool,
    /// Somebody who was the only one left was killed.
    nobody_could_know: bool,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    PredecessorReads,
    SuccessorReads,
    SuccessorVerifies,
    SuccessorRejects,
    SuccessorServes,
    PredecessorIsOutOfTime,
    SuccessorIsOutOfTime,
    PredecessorStops,
    PredecessorDies,
    SuccessorDies,
}

const STEPS: [Step; 10] = [
    Step::PredecessorReads,
    Step::SuccessorReads,
    Step::SuccessorVerifies,
    Step::SuccessorRejects,
    Step::SuccessorServes,
    Step::PredecessorIsOutOfTime,
    Step::SuccessorIsOutOfTime,
    Step::PredecessorStops,
    Step::PredecessorDies,
    Step::SuccessorDies,
];

impl World {
    fn new() -> Self {
        Self {
            predecessor: Predecessor::Connected,
            successor: Successor::Asked,
            to_predecessor: [Frame::Hello].into(),
            to_successor: VecDeque::new(),
            predecessor_gone: false,
            successor_gone: false,
            predecessor_dead: false,
            successor_dead: false,
            stopped: false,
            nobody_could_know: false,
        }
    }

    fn predecessor_waits(&self) -> bool {
        use Predecessor::{Connected, Offered, Yielded};
        !self.predecessor_gone && matches!(self.predecessor, Connected | Offered | Yielded)
    }

    fn successor_waits(&self) -> bool {
        !self.successor_gone && matches!(self.successor, Successor::Asked | Successor::Ready)
    }

    fn predecessor_says(&mut self, frame: Option<Frame>) {
        // What is sent to a closed socket is lost, and the sender finds out when it reads.
        if !self.successor_gone {
            self.to_successor.extend(frame);
        }
        if matches!(
            self.predecessor,
            Predecessor::Kept | Predecessor::HandedOver
        ) {
            self.predecessor_gone = true;
        }
    }

    fn successor_says(&mut self, frame: Option<Frame>) {
        if !self.predecessor_gone {
            self.to_predecessor.extend(frame);
        }
        if matches!(self.successor, Successor::Serving | Successor::Without(_)) {
            self.successor_gone = true;
        }
    }

    /// The next event of a side that waits; `None` where it would go on waiting.
    fn event(queue: &mut VecDeque<Frame>, other_gone: bool) -> Option<Event> {
        match queue.pop_front() {
            Some(frame) => Some(Event::Frame(frame)),
            None => other_gone.then_some(Event::Closed),
        }
    }

    /// Whether the predecessor accepts connections or will go on to when it has looked.
    fn predecessor_owns(&self) -> bool {
        !self.predecessor_dead
            && !self.stopped
            && !matches!(
                self.predecessor,
                Predecessor::Yielded | Predecessor::HandedOver
            )
    }

    fn successor_owns(&self) -> bool {
        !self.successor_dead && matches!(self.successor, Successor::Owner | Successor::Serving)
    }

    fn after(&self, step: Step) -> Option<Self> {
        let mut world = self.clone();
        match step {
            Step::PredecessorReads if world.predecessor_waits() => {
                let event = Self::event(&mut world.to_predecessor, world.successor_gone)?;
                let answer = world.predecessor.on(event);
                world.predecessor_says(answer);
            }
            Step::SuccessorReads if world.successor_waits() => {
                let event = Self::event(&mut world.to_successor, world.predecessor_gone)?;
                world.successor.on(event);
                world.successor_says(None);
            }
            Step::SuccessorVerifies if !world.successor_dead => {
                let frame = world.successor.verified()?;
                world.successor_says(Some(frame));
            }
            // Also: it cannot have the mode that it wants, or is stopped before it serves.
            Step::SuccessorRejects
                if !world.successor_gone
                    && matches!(world.successor, Successor::Offered | Successor::Owner) =>
            {
                world.nobody_could_know |= world.predecessor_dead
                    || world.stopped
                    || world.predecessor == Predecessor::HandedOver;
                world.successor = Successor::Without(Reason::Broken);
                world.successor_gone = true;
            }
            Step::SuccessorServes if !world.successor_dead => {
                let frame = world.successor.serve()?;
                world.successor_says(Some(frame));
            }
            Step::PredecessorIsOutOfTime
                if world.predecessor_waits()
                    && world.to_predecessor.is_empty()
                    && !world.successor_gone =>
            {
                let answer = world.predecessor.on(Event::Deadline);
                world.predecessor_says(answer);
            }
            Step::SuccessorIsOutOfTime
                if world.successor_waits()
                    && world.to_successor.is_empty()
                    && !world.predecessor_gone =>
            {
                world.successor.on(Event::Deadline);
                world.successor_says(None);
            }
            Step::PredecessorStops if world.predecessor_owns() => {
                let answer = world.predecessor.stop();
                world.stopped = true;
                world.predecessor_says(answer);
            }
            Step::PredecessorDies if !world.predecessor_dead => {
                // A successor that has given up does not come back.
                world.nobody_could_know |=
                    world.successor_dead || matches!(world.successor, Successor::Without(_));
                world.predecessor_dead = true;
                world.predecessor_gone = true;
            }
            Step::SuccessorDies if !world.successor_dead => {
                // A server like any other has died.
                world.nobody_could_know |= world.predecessor_dead
                    || world.stopped
                    || world.successor == Successor::Serving
                    || world.predecessor == Predecessor::HandedOver;
                world.successor_dead = true;
                world.successor_gone = true;
            }
            _ => return None,
        }
        Some(world)
    }

    fn check(&self, is_the_end: bool) {
        assert!(
            !(self.predecessor_owns() && self.successor_owns()),
            "two own it: {self:#?}"
        );
        if !is_the_end {
            return;
        }
        // Where nothing of it is left, it claims the path like any other server.
        let claims = !self.successor_dead
            && matches!(
                self.successor,
                Successor::Without(Reason::Ended | Reason::Cancelled)
            )
            && (self.predecessor_dead || self.stopped);
        let owners = [self.predecessor_owns(), self.successor_owns(), claims];
        let owners = owners.into_iter().filter(|owns| *owns).count();
        assert!(owners <= 1, "two own it: {self:#?}");
        let was_stopped = self.stopped && owners == 0;
        assert!(
            owners == 1 || self.nobody_could_know || was_stopped,
            "nobody owns it: {self:#?}"
        );
    }
}

/// Whether this step must happen some time, if nothing else does.
fn is_certain(step: Step) -> bool {
    matches!(
        step,
        Step::PredecessorReads
            | Step::SuccessorReads
            | Step::SuccessorVerifies
            | Step::SuccessorServes
            | Step::PredecessorIsOutOfTime
            | Step::SuccessorIsOutOfTime
    )
}

fn explore(may_happen: impl Fn(Step) -> bool) -> HashSet<World> {
    let mut seen = HashSet::new();
    let mut to_do = vec![World::new()];
    while let Some(world) = to_do.pop() {
        if !seen.insert(world.clone()) {
            continue;
        }
        let next: Vec<_> = STEPS
            .into_iter()
            .filter(|step| may_happen(*step))
            .filter_map(|step| Some((step, world.after(step)?)))
            .collect();
        world.check(!next.iter().any(|(step, _)| is_certain(*step)));
        to_do.extend(next.into_iter().map(|(_, world)| world));
    }
    seen
}

#[test]
fn exactly_one_owns_the_path_after_any_death_delay_or_stop_in_any_order() {
    let seen = explore(|_| true);
    let ends = |predecessor, successor| {
        seen.iter()
            .any(|world| (world.predecessor, world.successor) == (predecessor, successor))
    };
    // The search went where it should.
    assert!(ends(Predecessor::HandedOver, Successor::Serving));
    assert!(ends(Predecessor::Kept, Successor::Owner));
    assert!(ends(
        Predecessor::Kept,
        Successor::Without(Reason::Cancelled)
    ));
    assert!(seen.len() > 200, "{} worlds", seen.len());
}

#[test]
fn undisturbed_it_is_handed_over() {
    let seen = explore(|step| {
        matches!(
            step,
            Step::PredecessorReads
                | Step::SuccessorReads
                | Step::SuccessorVerifies
                | Step::SuccessorServes
        )
    });
    let last = seen
        .iter()
        .filter(|world| {
            STEPS[..5].iter().all(|step| match step {
                Step::SuccessorRejects => true,
                step => world.after(*step).is_none(),
            })
        })
        .map(|world| (world.predecessor, world.successor))
        .collect::<HashSet<_>>();
    let expected = (Predecessor::HandedOver, Successor::Serving);
    assert_eq!(last, [expected].into());
}

#[test]
fn nonsense_ends_it_with_the_predecessor_in_its_place() {
    for frame in [Frame::Unknown, Frame::Serving, Frame::Yours, Frame::Ready] {
        let mut machine = Predecessor::Connected;
        assert_eq!(machine.on(Event::Frame(frame)), Some(Frame::Cancel));
        assert_eq!(machine, Predecessor::Kept);
    }
    for frame in [Frame::Unknown, Frame::Yours, Frame::Serving] {
        let mut machine = Successor::Asked;
        machine.on(Event::Frame(frame));
        assert_eq!(machine, Successor::Without(Reason::Broken));
    }
}
