//! What all servers among the examples do alike (`examples/common`).

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use rustix::process::Signal;

use crate::support::{Place, Running};

#[test]
fn what_has_begun_is_aborted_at_the_drain_timeout_and_that_is_exit_code_7() {
    let place = Place::new();
    let directory = place.dir().to_str().unwrap();
    let drain = ["--drain", "50ms"];
    for example in ["lines", "graceful_shutdown", "unit_test", "open_files"] {
        let words: &[&str] = if example == "open_files" {
            &[directory]
        } else {
            &[]
        };
        let socket = place.socket();
        let daemon = Running::server(example, &[&[&socket[..]], words, &drain].concat());
        let mut client = UnixStream::connect(&socket).unwrap();
        client.write_all(b"half a").unwrap();
        daemon.signal(Signal::TERM);
        let (log, code) = daemon.ended();
        let report = log.last().unwrap();
        assert!(
            report.contains("drained 0, aborted 1"),
            "{example}: {log:?}"
        );
        assert_eq!(code, Some(7), "{example}");
        assert_ne!(client.read(&mut [0]).ok(), Some(1), "{example}");
    }
    place.assert_empty();
}

#[test]
fn a_wrong_command_line_is_the_usage() {
    for words in [
        &[][..],
        &["@app", "more"],
        &["@app", "--drain"],
        &["@app", "--x"],
    ] {
        let (log, code) = Running::example("lines", words).ended();
        assert_eq!(log, ["Error: usage: lines ADDRESS [--drain D]"]);
        assert_eq!(code, Some(1));
    }
    let (log, _) = Running::example("lines", ["@app", "--drain", "soon"]).ended();
    let expected = "Error: --drain has no such value; usage: lines ADDRESS [--drain D]";
    assert_eq!(log, [expected]);
}
