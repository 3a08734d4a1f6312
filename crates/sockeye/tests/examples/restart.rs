//! `restart` hands its listening socket over to the process that is started next.

use crate::support::{Place, Running, netcat};

#[test]
fn the_next_process_takes_over() {
    let place = Place::new();
    let mut predecessor: Option<Running> = None;
    for _ in 0..3 {
        let daemon = Running::server("restart", &[&place.socket()]);
        let pid = daemon.pid();
        if let Some(predecessor) = predecessor.replace(daemon) {
            let (log, code) = predecessor.ended();
            let expected = format!("handed over to pid {pid} ");
            assert!(log[0].starts_with(&expected), "{log:?}");
            assert!(log[1].contains("aborted 0") && code == Some(0), "{log:?}");
        }
        if let Some(answers) = netcat(&place.socket(), b"") {
            assert_eq!(answers, [format!("process {pid} answers")]);
        }
    }
    predecessor.unwrap().stop();
    place.assert_empty();
}
