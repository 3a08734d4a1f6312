use std::task::Waker;

use super::*;

const LIMITS: ObserverLimits = ObserverLimits {
    pieces: 2,
    bytes: 10,
};

fn push(queue: &ObserverQueue, size: usize) -> bool {
    let piece = ObservedPiece::new(1, ObservedDirection::ToTarget, Bytes::new());
    queue.push_piece(piece, PieceBytes::Borrowed(&vec![7; size]), None, true)
}

fn has_room(queue: &ObserverQueue) -> bool {
    let key = (1, ObservedDirection::ToTarget);
    queue
        .poll_room(&mut Context::from_waker(Waker::noop()), key)
        .is_ready()
}

#[test]
fn what_does_not_fit_takes_no_room() {
    let queue = ObserverQueue::new(LIMITS, false);
    for _ in 0..5 {
        assert!(!push(&queue, 11));
    }
    assert!(push(&queue, 4) && !push(&queue, 7));
    assert!(push(&queue, 6) && !push(&queue, 0));
    let missed = MissedTotal {
        pieces: 7,
        bytes: 62,
        fds: 0,
        events: 0,
    };
    assert_eq!(queue.missed(), missed);
    // Nobody waits for it.
    assert!(has_room(&queue));
}

#[test]
fn a_complete_queue_takes_everything_and_tells_that_it_is_full() {
    let queue = ObserverQueue::new(LIMITS, true);
    assert!(push(&queue, 4) && has_room(&queue));
    assert!(push(&queue, 20) && !has_room(&queue));
    assert!(push(&queue, 1));
    assert_eq!(queue.missed(), MissedTotal::default());
    // What the observer looks at counts, too.
    let mut batch = ObserverBatch::default();
    assert!(queue.next_batch(&mut batch));
    assert_eq!(batch.entries.len(), 3);
    assert!(!has_room(&queue));
    queue.give_back(1, 20);
    assert!(!has_room(&queue));
    queue.give_back(1, 4);
    assert!(has_room(&queue));
}

#[test]
fn nobody_waits_for_an_observer_that_has_ended() {
    let queue = ObserverQueue::new(LIMITS, true);
    assert!(push(&queue, 20) && !has_room(&queue));
    queue.end();
    assert!(has_room(&queue) && !push(&queue, 20) && has_room(&queue));
    assert_eq!(queue.missed().bytes, 20);
}
