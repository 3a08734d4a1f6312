//! Both machines, in every order in which anything can happen.

mod world;

use std::collections::HashSet;

use super::*;
use world::{CERTAIN, STEPS, World, WorldStep};

fn explore(may_happen: impl Fn(WorldStep) -> bool) -> HashSet<World> {
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
        let is_certain = |step: WorldStep| STEPS[..CERTAIN].contains(&step);
        world.check(!next.iter().any(|(step, _)| is_certain(*step)));
        to_do.extend(next.into_iter().map(|(_, world)| world));
    }
    seen
}

#[test]
fn exactly_one_owns_the_path_after_any_death_delay_hang_or_stop_in_any_order() {
    let seen = explore(|_| true);
    let ends = |predecessor, successor| {
        seen.iter()
            .any(|world| (world.predecessor, world.successor) == (predecessor, successor))
    };
    // The search went where it should.
    assert!(ends(Predecessor::HandedOver, Successor::Serving));
    assert!(ends(Predecessor::Promised, Successor::Serving));
    assert!(ends(
        Predecessor::Kept,
        Successor::Without(Reason::Cancelled)
    ));
    // The path was left to one that serves, to one that hangs, and to one that ended in order.
    assert!(ends(Predecessor::Left, Successor::Serving));
    let left = || {
        seen.iter()
            .filter(|world| world.predecessor == Predecessor::Left)
    };
    assert!(left().any(|world| world.successor_hangs));
    assert!(left().any(|world| world.removed));
    assert!(
        seen.iter()
            .any(|world| world.predecessor_hangs && world.committed)
    );
    assert!(seen.len() > 500, "{} worlds", seen.len());
}

#[test]
fn an_undisturbed_path_is_handed_over() {
    let undisturbed = |step: WorldStep| STEPS[..5].contains(&step);
    let seen = explore(undisturbed);
    let last = seen
        .iter()
        .filter(|world| STEPS[..5].iter().all(|step| world.after(*step).is_none()))
        .map(|world| (world.predecessor, world.successor))
        .collect::<HashSet<_>>();
    let expected = (Predecessor::HandedOver, Successor::Serving);
    assert_eq!(last, [expected].into());
}

#[test]
fn a_predecessor_that_is_stopped_during_a_takeover_is_succeeded() {
    let seen = explore(|step| {
        STEPS[..5].contains(&step)
            || matches!(
                step,
                WorldStep::PredecessorStops
                    | WorldStep::PredecessorLeaves
                    | WorldStep::PredecessorRevokes
            )
    });
    let last = seen.iter().filter(|world| {
        world.stopping && STEPS[..5].iter().all(|step| world.after(*step).is_none())
    });
    for world in last {
        let claims = matches!(
            world.successor,
            Successor::Without(Reason::Ended | Reason::Cancelled)
        );
        assert!(
            world.successor_owns() || (world.removed && claims),
            "{world:#?}"
        );
    }
}

#[test]
fn a_successor_that_is_stopped_and_resumes_never_serves_beside_another_one() {
    let seen = explore(|step| {
        !matches!(
            step,
            WorldStep::PredecessorDies
                | WorldStep::SuccessorDies
                | WorldStep::PredecessorStops
                | WorldStep::SuccessorStops
        )
    });
    // Withdrawn while it could not hear of that.
    let is_late = |world: &&World| {
        world.successor_hangs
            && world.predecessor == Predecessor::Kept
            && world.successor == Successor::Ready
    };
    let late: Vec<_> = seen.iter().filter(is_late).collect();
    assert!(!late.is_empty());
    for world in late {
        let resumed = world.after(WorldStep::SuccessorResumes).expect("it hangs");
        let asks = resumed.after(WorldStep::SuccessorServes).expect("it can");
        assert_eq!(asks.successor, Successor::Refused);
        let hears = asks.after(WorldStep::SuccessorReads).expect("it was told");
        assert_eq!(hears.successor, Successor::Without(Reason::Cancelled));
        assert!(hears.predecessor_owns(), "{hears:#?}");
    }
}

#[test]
fn an_unexpected_frame_leaves_the_path_to_the_predecessor() {
    let others = [Frame::Unknown, Frame::Offer, Frame::Denied];
    for frame in others.into_iter().chain([Frame::Serving, Frame::Ready]) {
        let mut machine = Predecessor::Connected;
        assert_eq!(machine.on(HandoverEvent::Frame(frame)), Some(Frame::Cancel));
        assert_eq!(machine, Predecessor::Kept);
    }
    for frame in [Frame::Unknown, Frame::Ready, Frame::Serving] {
        let mut machine = Successor::Asked;
        machine.on(HandoverEvent::Frame(frame));
        assert_eq!(machine, Successor::Without(Reason::ProtocolViolation));
    }
    let mut machine = Successor::Refused;
    machine.on(HandoverEvent::Frame(Frame::Denied));
    assert_eq!(machine, Successor::Without(Reason::ProtocolViolation));
}

#[test]
fn a_successor_that_is_denied_knows_why() {
    let mut machine = Successor::Asked;
    machine.on(HandoverEvent::Frame(Frame::Denied));
    assert_eq!(machine, Successor::Without(Reason::Denied));
}
