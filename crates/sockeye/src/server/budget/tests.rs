use std::time::Duration;

use super::*;

const MOMENT: Duration = Duration::from_millis(5);

fn budget(bytes: usize) -> Arc<Budget> {
    Arc::new(Budget::new(bytes, Some(300)))
}

fn hold(budget: &Arc<Budget>, uid: u32) -> Box<Hold<&'static str>> {
    let mut hold = Hold::new(budget, Err(io::ErrorKind::NotConnected.into()));
    hold.user = Some(uid);
    hold
}

fn park(hold: &mut Hold<&'static str>, bytes: usize, fds: usize) -> io::Result<()> {
    hold.park("kept", Amount { bytes, fds }, Waker::noop())
}

#[tokio::test(start_paused = true)]
async fn the_connection_that_holds_most_is_evicted() {
    let budget = budget(100);
    let mut holds: Vec<_> = (0..4).map(|_| hold(&budget, 0)).collect();
    for (hold, bytes) in holds.iter_mut().zip([30, 45, 20]) {
        park(hold, bytes, 0).unwrap();
    }
    park(&mut holds[3], 6, 0).unwrap();
    assert!(budget.is_evicting());
    let error = holds[1].take().unwrap_err();
    let why = error.get_ref().unwrap().downcast_ref::<LimitError>();
    let expected = LimitError::Buffered {
        held: 45,
        limit: 100,
    };
    assert_eq!(why, Some(&expected));
    holds.remove(1);
    assert!(!budget.is_evicting());
    for hold in &mut holds {
        assert_eq!(hold.take().unwrap(), Some("kept"));
    }
    drop(holds);
    assert_eq!(budget.ledger().bytes.total, 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_parks_more_may_be_evicted_itself() {
    let budget = budget(100);
    let (mut small, mut large) = (hold(&budget, 0), hold(&budget, 0));
    park(&mut small, 1, 0).unwrap();
    tokio::time::advance(MOMENT * 100).await;
    for bytes in [50, 99] {
        park(&mut large, bytes, 0).unwrap();
    }
    park(&mut large, 100, 0).unwrap_err();
    assert_eq!(
        small.take().unwrap(),
        Some("kept"),
        "slow, but it holds little"
    );
}

#[tokio::test(start_paused = true)]
async fn an_arriving_message_is_not_evicted_for_stalled_ones() {
    let budget = budget(64_000);
    let mut still: Vec<_> = (0..64).map(|_| hold(&budget, 0)).collect();
    for hold in &mut still {
        park(hold, 1000, 0).unwrap();
    }
    tokio::time::advance(MOMENT).await;
    let mut arriving = hold(&budget, 0);
    for bytes in 1..=4000 {
        park(&mut arriving, bytes, 0).unwrap();
    }
    let left = still.iter_mut().filter_map(|hold| hold.take().ok());
    assert_eq!(left.count(), 60);
    assert!(park(&mut arriving, 9000, 0).is_err(), "a large part of all");
}

#[tokio::test(start_paused = true)]
async fn fds_have_a_limit_of_their_own() {
    let budget = budget(1 << 20);
    let mut holds: Vec<_> = (0..3).map(|_| hold(&budget, 0)).collect();
    park(&mut holds[0], 10, 200).unwrap();
    park(&mut holds[1], 20, 0).unwrap();
    park(&mut holds[2], 10, 100).unwrap();
    park(&mut holds[2], 10, 101).unwrap();
    let error = holds[0].take().unwrap_err();
    assert_eq!(
        error.to_string(),
        "unfinished messages hold more than 300 descriptors together, and this one holds the most (200)"
    );
    assert_eq!(holds[2].take().unwrap(), Some("kept"));
}

#[tokio::test(start_paused = true)]
async fn a_running_connection_sees_its_eviction_when_it_parks_again() {
    let budget = budget(100);
    let (mut first, mut second) = (hold(&budget, 0), hold(&budget, 0));
    park(&mut first, 60, 0).unwrap();
    assert_eq!(first.take().unwrap(), Some("kept"));
    park(&mut second, 50, 0).unwrap();
    park(&mut first, 60, 0).unwrap_err();
    assert!(first.share.state().parked.is_none() || first.take().is_err());
}

#[tokio::test(start_paused = true)]
async fn no_connection_is_evicted_for_what_another_user_holds() {
    let budget = budget(1000);
    let mut others: Vec<_> = (0..100).map(|_| hold(&budget, 1)).collect();
    let mut mine = hold(&budget, 2);
    for other in &mut others {
        park(other, 10, 0).unwrap();
    }
    for bytes in 1..=500 {
        park(&mut mine, bytes, 0).unwrap();
    }
    let left = others.iter_mut().filter_map(|hold| hold.take().ok());
    assert_eq!(left.count(), 50);
}

#[tokio::test(start_paused = true)]
async fn an_evicted_connection_is_counted_no_more() {
    let budget = budget(100);
    let (mut first, mut second) = (hold(&budget, 0), hold(&budget, 0));
    park(&mut first, 60, 0).unwrap();
    first.take().unwrap();
    park(&mut second, 50, 0).unwrap();
    park(&mut first, 40, 0).unwrap_err();
    assert_eq!(budget.ledger().bytes.total, 50);
    // As another thread can, between that look and the entry.
    let why = LimitError::Buffered { held: 0, limit: 0 };
    first.share.evict(why, &budget.ending);
    drop(first);
    assert!(!budget.is_evicting());
    assert_eq!(second.take().unwrap(), Some("kept"));
}

#[test]
fn what_was_parked_is_taken_back_or_its_eviction_is_reported() {
    const ROUNDS: usize = 20_000;
    let budget = budget(100);
    let turn = Mutex::new(None::<Arc<Share<&'static str>>>);
    let round = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=ROUNDS {
                while round.load(Ordering::Acquire) < number {
                    std::thread::yield_now();
                }
                let share = turn.lock().unwrap().take().unwrap();
                // Each round a little later than the one before.
                for _ in 0..number % 100 {
                    std::hint::spin_loop();
                }
                let why = LimitError::Buffered { held: 0, limit: 0 };
                share.evict(why, &budget.ending);
            }
        });
        let lost = (1..=ROUNDS).filter(|number| {
            let mut hold = hold(&budget, 0);
            park(&mut hold, 1, 0).unwrap();
            *turn.lock().unwrap() = Some(Arc::clone(&hold.share));
            round.store(*number, Ordering::Release);
            while turn.lock().unwrap().is_some() {
                std::hint::spin_loop();
            }
            hold.take().ok() == Some(None)
        });
        assert_eq!(lost.count(), 0);
    });
    assert!(!budget.is_evicting());
}
