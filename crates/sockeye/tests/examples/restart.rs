//! `restart` hands its listening socket over to the process that is started next.

use crate::support::{Place, Running, netcat};

#[test]
fn the_next_process_takes_over() {
    let place = Place::new();
    let mut predecessor: Option<Running> = None;
    for _ in 0..3 {
        let daemon = Running::example("restart", [place.socket()]);
        let pid = daemon.pid();
        daemon.expect(&format!("{pid}: listening on {}", place.socket()));
        if let Some(predecessor) = predecessor.replace(daemon) {
            let (before, said) = (predecessor.pid(), predecessor.rest());
            let expected = format!("{before}: handed over to pid {pid} ");
            assert!(said[0].starts_with(&expected), "{said:?}");
            assert!(said[1].contains("aborted 0"), "{said:?}");
        }
        if let Some(answers) = netcat(&place.socket(), b"") {
            assert_eq!(answers, [format!("process {pid} answers")]);
        }
    }
    predecessor.unwrap().stop();
    place.assert_empty();
}
