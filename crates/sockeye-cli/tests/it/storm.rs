//! Servers that start, take over, are stopped, frozen and killed on one path, at random and under
//! load: for 20 seconds, or as many as `SOCKEYE_STORM_SECONDS` says. `SOCKEYE_STORM_SEED` has the
//! same things done in the same order.

mod load;
mod servers;

use std::thread;
use std::time::{Duration, Instant};

use crate::support::Place;
use load::{Load, Request};
use servers::Servers;

/// The longest that anything waits for in a takeover: a successor asks for so long. A predecessor
/// waits for 30 seconds until its successor serves.
const LONGEST: Duration = Duration::from_secs(35);
/// Between two times at which all of them are let go on and settle.
const GUST: Duration = Duration::from_secs(3);

/// The same numbers for the same seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn a_storm_of_servers_loses_no_request_in_silence_and_ends_with_one_owner() {
    let seconds = number("SOCKEYE_STORM_SECONDS").unwrap_or(20);
    let seed = number("SOCKEYE_STORM_SEED").unwrap_or_else(|| {
        let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
        now.as_nanos() as u64
    });
    println!("SOCKEYE_STORM_SEED={seed} SOCKEYE_STORM_SECONDS={seconds}");
    let mut random = Random(seed);
    let place = Place::new();
    // A name of its own: an open socket of the same name on a FUSE elsewhere makes a stale one
    // unclear.
    let socket = place.at(format!("{seed:x}.sock"));
    let mut servers = Servers::new(&socket);
    servers.start();
    servers.settle();
    let load = Load::start(4, &socket);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut gusts = 0u32;
    while Instant::now() < end {
        let calm = Instant::now() + GUST;
        while Instant::now() < calm {
            servers.disturb(&mut random, gusts % 2 == 1);
            // The moments are what is random here.
            thread::sleep(Duration::from_millis(1 + random.below(40)));
        }
        servers.settle();
        gusts += 1;
    }
    let requests = load.finish();
    servers.end();
    println!("settled {gusts} times; {}", check(&requests, &servers));
}

/// What became of the requests; fails where that is not what should have.
fn check(requests: &[Request], servers: &Servers) -> String {
    let logged = servers.logged();
    let mut answered: Vec<_> = requests
        .iter()
        .filter(|request| request.is_answered)
        .collect();
    answered.sort_by_key(|request| request.end);
    let unlogged = answered
        .iter()
        .filter(|request| logged.get(&request.number) != Some(&1))
        .count();
    let lost = requests
        .iter()
        .filter(|request| !request.is_answered && request.was_sent);
    let silently: Vec<_> = lost
        .clone()
        .filter(|request| !servers.admit_loss(request.begin, request.end))
        .collect();
    let pauses = answered.windows(2).map(|pair| pair[1].end - pair[0].end);
    let longest = pauses.max().unwrap_or_default();
    assert_eq!(unlogged, 0, "answered, and not logged once");
    assert!(silently.is_empty(), "lost in silence: {silently:#?}");
    assert!(longest < LONGEST, "nobody served for {longest:?}");
    assert!(answered.len() > 100, "the load has met servers");
    format!(
        "{}; {} requests answered, {} lost to a server that was killed or said so, {} not sent; the longest time without an answer {longest:?}",
        servers.done,
        answered.len(),
        lost.count(),
        requests.iter().filter(|request| !request.was_sent).count(),
    )
}
