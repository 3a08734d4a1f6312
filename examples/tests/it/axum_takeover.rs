//! `axum --takeover`: each process takes the socket over from the one before, under load.

use std::env;

use crate::axum::{LOOPS, started};
use crate::support::{Place, Running, peer};

const CLIENTS: usize = 8;
/// Calls until its input ends, and says how many calls have failed.
const LOOP: &str = r#"
calls=0 failed=0
while [ -e "$2" ]; do
    curl -sS -f -o "$3" --unix-socket "$1" http://localhost/ || failed=$((failed + 1))
    calls=$((calls + 1))
done
[ $calls -gt 0 ] && echo "$failed failed"
"#;

#[test]
fn no_curl_is_refused_in_many_takeovers() {
    if peer("curl").is_none() {
        return;
    }
    let rounds = env::var("SOCKEYE_TAKEOVER_ROUNDS");
    let rounds = rounds.map_or(5, |rounds| rounds.parse().unwrap());
    for accept_loop in LOOPS {
        let (place, load) = (Place::new(), Place::new());
        let mut running = started(&place, &[accept_loop, &["--takeover"]]);
        let go_on = load.at("go-on");
        std::fs::write(&go_on, "").unwrap();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|at| {
                let mut shell = peer("sh").unwrap();
                let arguments = ["-c", LOOP, "sh", &place.socket(), &go_on];
                Running::start(shell.args(arguments).arg(load.at(&at.to_string())))
            })
            .collect();
        for _ in 0..rounds {
            let successor = started(&place, &[accept_loop, &["--takeover"]]);
            let (log, code) = std::mem::replace(&mut running, successor).ended();
            assert_eq!(code, Some(0), "{log:?}");
        }
        std::fs::remove_file(&go_on).unwrap();
        for client in clients {
            assert_eq!(client.rest(), ["0 failed"], "{accept_loop:?}");
        }
        running.stop();
        place.assert_empty();
    }
}
