//! Sockets of different kinds at one path: no claim mistakes one for another.

use std::fs;

use rustix::process::Signal;

use crate::support::{Place, Server, run, sockeye};

const KINDS: [&str; 3] = ["unix", "seqpacket", "dgram"];

fn address(kind: &str, place: &Place) -> String {
    format!("{kind}:{}", place.socket().display())
}

#[track_caller]
fn serve(kind: &str, place: &Place) -> Server {
    Server::started_by(
        Server::command(&[]).arg(address(kind, place)),
        place.socket(),
    )
}

#[test]
fn a_live_server_of_any_kind_is_not_displaced() {
    for kind in KINDS {
        let place = Place::new();
        let mut server = serve(kind, &place);
        let before = place.snapshot();
        for other in KINDS {
            let refused = run(Server::command(&[]).arg(address(other, &place)));
            let pid = server.process.id().to_string();
            refused.fails(4, &["a running server owns it", &pid]);
            // Nor where its lock is gone.
            fs::rename(server.lock_path(), place.at("kept")).expect("our own");
            let refused = run(Server::command(&[]).arg(address(other, &place)));
            refused.fails(4, &["running server"]);
            fs::rename(place.at("kept"), server.lock_path()).expect("our own");
        }
        assert_eq!(place.snapshot(), before);
        run(sockeye()
            .arg("send")
            .arg(address(kind, &place))
            .arg("hello"))
        .succeeds();
        server.stop().is_clean();
    }
}

#[test]
fn what_a_killed_server_of_any_kind_left_is_replaced() {
    for left in KINDS {
        for kind in KINDS {
            let place = Place::new();
            let mut server = serve(left, &place);
            server.process.signal(Signal::KILL);
            server.process.wait();
            let mut send = sockeye();
            send.arg("send").arg(address(kind, &place)).arg("hello");
            run(&mut send).fails(3, &["left behind"]);
            let mut server = serve(kind, &place);
            run(&mut send).succeeds();
            server.stop().is_clean();
        }
    }
}

#[test]
fn a_call_of_the_wrong_kind_is_told_the_right_address() {
    for kind in KINDS {
        let place = Place::new();
        let mut server = serve(kind, &place);
        for other in KINDS.iter().filter(|other| **other != kind) {
            let right = match kind {
                "unix" => place.socket().display().to_string(),
                _ => address(kind, &place),
            };
            let advice = format!("give the address as {right}\n");
            for subcommand in ["send", "connect"] {
                let mut command = sockeye();
                run(command.arg(subcommand).arg(address(other, &place))).fails(3, &[&advice]);
            }
        }
        server.stop().is_clean();
    }
}
