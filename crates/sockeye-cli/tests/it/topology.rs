//! Random topologies, against ss and lsof.

use crate::support::{Place, python, require_peer};

/// Enough to have each kind in each state, and each combination of sharers, some time.
const SEEDS: std::ops::Range<u32> = 0..8;

#[test]
fn ls_shows_the_same_sockets_peers_and_holders_as_ss_and_lsof() {
    if require_peer("ss").is_none() || require_peer("lsof").is_none() {
        return;
    }
    for seed in SEEDS {
        let place = Place::new();
        let Some(mut command) = python(include_str!("peers/topology.py")) else {
            return;
        };
        let output = command
            .arg(env!("CARGO_BIN_EXE_sockeye"))
            .arg(place.dir())
            .arg(seed.to_string())
            .output()
            .expect("python3 was found");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert!(output.stdout.starts_with(b"same "), "{errors}");
    }
}
