//! A program for each datagram: what is not answered counts, and nobody is held up by others.

use std::fs;
use std::os::unix::net::UnixDatagram;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{
    Place, Server, bound, eventually, longest_queue, receive, require_peer, set_mode, skipped,
};

#[track_caller]
fn serve(place: &Place, options: &[&str], program: &[&str]) -> Server {
    let mut command = Server::command(options);
    command.arg(format!("dgram:{}", place.socket().display()));
    Server::started_by(command.arg("--").args(program), place.socket())
}

fn send(client: &UnixDatagram, server: &Server, datagram: &str) {
    client
        .send_to(datagram.as_bytes(), &server.path)
        .expect("a server");
}

/// Its file is open for writing, so that the start is tried again and again.
#[test]
fn a_second_signal_counts_those_whose_program_is_being_started() {
    let place = Place::new();
    let path = place.at("program");
    fs::copy("/bin/sh", &path).expect("our own place");
    let mut server = serve(&place, &["-v"], &[path.to_str().expect("plain")]);
    let written = fs::OpenOptions::new().append(true).open(&path);
    let written = written.expect("our own file");
    let client = bound(place.at("client"));
    for seen in 1..=3 {
        send(&client, &server, "x");
        eventually("it is tried", || {
            let log = server.process.stderr.so_far();
            (log.matches("again in 5ms").count() >= seen).then_some(())
        });
    }
    server.terminate();
    server
        .process
        .stderr
        .line("the drain", |line| line.contains("stopping on"));
    server.process.signal(Signal::INT);
    let report = server.ending().was_cut();
    drop(written);
    assert_eq!((report.served, report.drained, report.aborted), (0, 0, 3));
}

#[test]
fn what_a_program_cannot_be_started_for_counts() {
    for kind in ["unix", "seqpacket", "dgram"] {
        let place = Place::new();
        let path = place.at("program");
        fs::write(&path, "#!/bin/sh\nexec cat\n").expect("our own place");
        set_mode(&path, 0o755);
        let mut command = Server::command(&[]);
        command.arg(format!("{kind}:{}", place.socket().display()));
        let mut server = Server::started_by(command.arg("--").arg(&path), place.socket());
        fs::remove_file(&path).expect("our own file");
        let mut call = crate::support::sockeye();
        call.args(["send", "--timeout", "200ms"]);
        call.arg(format!("{kind}:{}", place.socket().display()));
        crate::support::run(call.arg("x"));
        server.process.stderr.line("why", |line| {
            line.contains("cannot start the program for") && line.contains("No such file")
        });
        let report = server.stop().was_cut();
        assert_eq!((report.served, report.aborted), (0, 1), "{kind}");
    }
}

#[test]
fn a_client_that_never_reads_holds_up_nobody_else() {
    if longest_queue() > 100 {
        return skipped("net.unix.max_dgram_qlen is above 100");
    }
    let place = Place::new();
    let options = ["--max-connections", "1", "--drain", "60s"];
    let mut server = serve(&place, &options, &["cat"]);
    let (greedy, honest) = (bound(place.at("greedy")), bound(place.at("honest")));
    for _ in 0..longest_queue() + 5 {
        send(&greedy, &server, "more");
    }
    send(&honest, &server, "me too");
    assert_eq!(receive(&honest), b"me too");
    for _ in 0..longest_queue() + 5 {
        assert_eq!(receive(&greedy), b"more");
    }
    server.stop().is_clean();
}

#[test]
fn a_program_that_prints_too_much_is_ended() {
    for ignores in ["", "trap '' PIPE; "] {
        let place = Place::new();
        let endless = format!(
            "{ignores}read word; echo \"$word\"; while [ \"$word\" = much ]; do head -c 99999 /dev/zero 2>/dev/null; done"
        );
        let options = ["--max-connections", "1"];
        let mut server = serve(&place, &options, &["/bin/sh", "-c", &endless]);
        let client = bound(place.at("client"));
        for _ in 0..2 {
            send(&client, &server, "much\n");
        }
        send(&client, &server, "little\n");
        assert_eq!(receive(&client), b"little\n");
        let ending = server.stop();
        assert!(ending.stderr.contains("printed more than"), "{ending:#?}");
        assert_eq!(ending.was_cut().aborted, 2);
    }
}

#[test]
fn what_a_program_leaves_running_does_not_hold_up_its_answer() {
    if require_peer("sleep").is_none() {
        return;
    }
    let place = Place::new();
    let leaves = "cat; sleep 1000 2>/dev/null & printf ' %s' $!";
    let options = ["--max-connections", "1"];
    let mut server = serve(&place, &options, &["/bin/sh", "-c", leaves]);
    let client = bound(place.at("client"));
    for datagram in ["one", "two"] {
        send(&client, &server, datagram);
        let answer = String::from_utf8(receive(&client)).expect("text");
        let (told, left) = answer.split_once(' ').expect("two words");
        assert_eq!(told, datagram);
        let left = Pid::from_raw(left.parse().expect("a pid")).expect("not 0");
        // It goes on.
        kill_process(left, Signal::KILL).expect("it is there");
    }
    server.stop().is_clean();
}
