//! `axum` at SIGTERM, with every kind of connection open.

use crate::axum::{LOOPS, started};
use crate::support::{Place, python};

#[test]
fn axum_answers_the_backlog_and_ends_the_rest_in_time() {
    for accept_loop in LOOPS {
        let place = Place::new();
        let daemon = started(&place, &[accept_loop, &["--drain", "3s"]]);
        let pid = daemon.pid().to_string();
        let Some(said) = python(include_str!("drain.py"), &[&place.socket(), &pid]) else {
            return;
        };
        let expected = [
            "100 answered",
            "idle: b''",
            "0 of the others ended before the drain timeout",
            "all ended",
        ];
        assert_eq!(said, expected, "{accept_loop:?}");
        let (log, code) = daemon.ended();
        // The event stream, the upgraded connection and half a head.
        let expected = "served 0, refused 0, drained 101, aborted 3, accept errors 0";
        assert_eq!(log, [expected], "{accept_loop:?}");
        assert_eq!(code, Some(7));
        place.assert_empty();
    }
}
