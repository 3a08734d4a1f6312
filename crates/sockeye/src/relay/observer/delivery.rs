//! The thread of an observer: hands over batches.

use std::time::{Duration, Instant, SystemTime};

use super::Observer;
use super::batch::{ObserverBatch, ObserverEvent};
use super::queue::ObserverQueue;

/// A clock that was set differs by more; what reading both clocks takes, by less.
const CLOCK_STEP: Duration = Duration::from_millis(1);

/// Hands over all that is queued until no handle is left.
pub(super) fn deliver<O: Observer>(mut observer: O, queue: &ObserverQueue) -> O {
    let _end = EndOnDrop(queue);
    let mut batch = ObserverBatch::default();
    let mut clock = BothClocks::read();
    while queue.next_batch(&mut batch) {
        clock.keep_up();
        deliver_batch(&mut observer, queue, &mut batch, clock);
        observer.flush();
    }
    observer
}

fn deliver_batch<O: Observer>(
    observer: &mut O,
    queue: &ObserverQueue,
    batch: &mut ObserverBatch,
    clock: BothClocks,
) {
    let all = batch.take_small();
    let mut small = all.clone();
    let (mut places, mut bytes) = (0, 0);
    for mut entry in batch.entries.drain(..) {
        entry.take_small(&mut small);
        let needs_time = entry.needs_time;
        places += 1;
        match entry.event {
            ObserverEvent::Begin(mut begin) => {
                clock.set(&mut begin.time, begin.instant, needs_time);
                observer.begin(begin);
            }
            ObserverEvent::Piece(mut piece) => {
                clock.set(&mut piece.time, piece.instant, needs_time);
                bytes += piece.bytes.len();
                observer.piece(piece);
            }
            ObserverEvent::End(mut end) => {
                clock.set(&mut end.time, end.instant, needs_time);
                observer.end(end);
            }
            ObserverEvent::Missed(gap) => {
                places -= 1;
                observer.missed(gap);
            }
        }
        if queue.is_worth_giving_back(places, bytes) {
            queue.give_back(places, bytes);
            (places, bytes) = (0, 0);
        }
    }
    queue.give_back(places, bytes);
    drop(small);
    batch.reuse(all);
}

/// Ends the queue also where the observer panics.
struct EndOnDrop<'a>(&'a ObserverQueue);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Tells the time of the system from an instant: the relay reads one clock for each piece. Both run at
/// the same rate (clock_gettime(2)) until the clock of the system is set.
#[derive(Clone, Copy)]
struct BothClocks {
    instant: Instant,
    time: SystemTime,
}

impl BothClocks {
    /// Of a few attempts the one that was interrupted least.
    fn read() -> Self {
        let attempts = [(); 3].map(|()| {
            let instant = Instant::now();
            let time = SystemTime::now();
            (instant.elapsed(), Self { instant, time })
        });
        let [first, rest @ ..] = attempts;
        let least = |one: (Duration, Self), other: (Duration, Self)| {
            if one.0 <= other.0 { one } else { other }
        };
        rest.into_iter().fold(first, least).1
    }

    /// Notices that the clock of the system was set.
    fn keep_up(&mut self) {
        let now = Self {
            instant: Instant::now(),
            time: SystemTime::now(),
        };
        let is_undisturbed = now.instant.elapsed() < CLOCK_STEP / 2;
        let expected = self.time_of(now.instant);
        let step = match now.time.duration_since(expected) {
            Ok(step) => step,
            Err(error) => error.duration(),
        };
        if is_undisturbed && step > CLOCK_STEP {
            *self = now;
        }
    }

    fn time_of(&self, instant: Instant) -> SystemTime {
        match instant.checked_duration_since(self.instant) {
            Some(since) => self.time + since,
            None => self.time - self.instant.duration_since(instant),
        }
    }

    fn set(&self, time: &mut SystemTime, instant: Instant, needs_time: bool) {
        if needs_time {
            *time = self.time_of(instant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_noticed() {
        let hour = Duration::from_secs(3600);
        let now = BothClocks::read();
        let mut clock = BothClocks {
            time: now.time + hour,
            ..now
        };
        // It does nothing where this thread is interrupted between the clocks.
        while clock.time > now.time + hour / 2 {
            clock.keep_up();
        }
        let earlier = now.instant - hour;
        let time = clock.time_of(earlier);
        let distance = (now.time - hour)
            .duration_since(time)
            .unwrap_or_else(|error| error.duration());
        assert!(distance < Duration::from_secs(60), "{distance:?}");
    }

    #[test]
    fn times_keep_the_order_of_their_instants() {
        let mut clock = BothClocks::read();
        let mut before = clock.time;
        for _ in 0..1000 {
            clock.keep_up();
            let time = clock.time_of(Instant::now());
            assert!(before <= time);
            before = time;
        }
    }
}
