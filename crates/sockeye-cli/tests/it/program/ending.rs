//! Programs that do not want to end, and what they leave running.

use std::fs;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::script;
use crate::support::{
    Place, Process, Server, copy_of_sockeye, eventually, in_another_network, is_root, python,
    require_peer, set_mode, skipped,
};

/// Goes over to the process group of the server's parent, and takes no SIGTERM.
const LEAVES: &str = r"
import os, signal, sys, time
os.setpgid(0, os.getpgid(os.getppid()))
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1] + '.new', 'w').write(str(os.getpid()))
os.rename(sys.argv[1] + '.new', sys.argv[1])
time.sleep(1000)
";

fn pid(text: &str) -> Pid {
    let number = text.trim().parse().expect("a pid");
    Pid::from_raw(number).expect("not 0")
}

#[test]
fn a_program_that_leaves_its_process_group_is_ended() {
    let Some(interpreter) = python("") else {
        return;
    };
    let Some(env) = require_peer("env") else {
        return;
    };
    let interpreter = interpreter.get_program();
    for (kind, options) in [
        ("unix", &[][..]),
        ("dgram", &[]),
        ("unix", &["--inetd-listener"]),
    ] {
        for ignored in ["", "--ignore-signal=CHLD"] {
            let place = Place::new();
            let file = place.at("pid");
            let mut command = Command::new(&env);
            command.args(Some(ignored).filter(|ignored| !ignored.is_empty()));
            command.arg(env!("CARGO_BIN_EXE_sockeye"));
            command.args(["serve", "--drain", "100ms"]).args(options);
            command.arg(format!("{kind}:{}", place.socket().display()));
            command.arg("--").arg(interpreter).args(["-c", LEAVES]);
            let mut server = Server::started_by(command.arg(&file), place.socket());
            let _client = match kind {
                "dgram" => {
                    let client = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
                    client.send_to(b"x", &server.path).expect("a server");
                    None
                }
                _ => Some(server.client()),
            };
            let program = pid(&eventually("it has left", || {
                fs::read_to_string(&file).ok()
            }));
            let ending = server.stop();
            ending_is_incomplete(kind, options, &ending.stderr, ending.code);
            eventually("it has gone", || {
                test_kill_process(program).is_err().then_some(())
            });
        }
    }
}

#[track_caller]
fn ending_is_incomplete(kind: &str, options: &[&str], stderr: &str, code: Option<i32>) {
    assert_eq!(code, Some(7), "{kind} {options:?}: {stderr}");
}

/// The server waits for `left`, a process that its program has left running, and counts its connection.
#[track_caller]
fn drains(server: &mut Server, left: Pid, ends_in_time: bool) {
    if ends_in_time {
        server.await_release();
        kill_process(left, Signal::KILL).expect("it is ours");
        server.ending().is_clean();
        return;
    }
    let ending = server.ending();
    assert_eq!(ending.was_cut().aborted, 1);
    let counts = ending.stderr.contains("still open in processes");
    assert!(counts, "{ending:#?}");
    // It goes on.
    kill_process(left, Signal::KILL).expect("it is there");
}

#[test]
fn what_a_program_leaves_running_is_waited_for_and_counted() {
    for ends_in_time in [true, false] {
        // Where there is no time for it, the program would be aborted itself.
        for in_drain in if ends_in_time {
            &[true, false][..]
        } else {
            &[false]
        } {
            let place = Place::new();
            let drain = if ends_in_time { "60s" } else { "100ms" };
            let leaves = "read word; sleep 1000 2>/dev/null & echo $!";
            let mut server = script(&place, &["-v", "--drain", drain], leaves);
            let mut client = server.client();
            if *in_drain {
                server.terminate();
                server
                    .process
                    .stderr
                    .line("the drain", |line| line.contains("stopping on"));
            }
            client.send("go\n");
            let left = pid(&client.line());
            server
                .process
                .stderr
                .line("the program's end", |line| line.contains(": done"));
            if !in_drain {
                server.terminate();
            }
            drains(&mut server, left, ends_in_time);
        }
    }
}

/// Its socket is in the network namespace of the client, and so not in the kernel's table here.
#[test]
fn what_a_program_leaves_running_for_a_client_of_another_network_namespace_counts_too() {
    for ends_in_time in [true, false] {
        let place = Place::new();
        let drain = if ends_in_time { "60s" } else { "100ms" };
        let leaves = "sleep 1000 2>/dev/null & echo $!";
        let mut server = script(&place, &["-v", "--drain", drain], leaves);
        let path = place.socket();
        let Some(mut client) = in_another_network(&["connect", path.to_str().expect("plain")])
        else {
            return;
        };
        let client = Process::spawn_piped(&mut client);
        let left = pid(&client.stdout.first_lines(1)[0]);
        let end = |line: &str| line.contains(": done");
        server.process.stderr.line("the program's end", end);
        server.terminate();
        drains(&mut server, left, ends_in_time);
    }
}

/// It is setuid root, and the server is not.
#[test]
fn a_program_that_may_not_be_killed_is_reported() {
    if !is_root() {
        return skipped("another user is needed: not root");
    }
    let (Some(setpriv), Some(sleep)) = (require_peer("setpriv"), require_peer("sleep")) else {
        return;
    };
    for options in [&[][..], &["--inetd-listener"]] {
        let place = Place::new();
        let copy = copy_of_sockeye(&place);
        let program = place.at("setuid");
        fs::copy(&setpriv, &program).expect("our own place");
        set_mode(&program, 0o4755);
        let home = place.at("home");
        fs::create_dir(&home).expect("our own place");
        set_mode(&home, 0o777);
        let other = ["--reuid", "64994", "--regid", "64994", "--clear-groups"];
        let root = ["--reuid", "0", "--regid", "0", "--clear-groups"];
        let mut command = Command::new(&setpriv);
        command.args(other).arg(copy).args(["serve", "-v"]);
        command.args(["--drain", "100ms"]).args(options);
        command.arg(home.join("app.sock")).arg("--").arg(&program);
        command.args(root).arg("/bin/sh").arg("-c");
        // Its standard error would stay open, and be waited for here.
        let script = "echo up $$ >&2; exec \"$0\" 1000 2>/dev/null >&2";
        command.arg(script).arg(&sleep);
        let mut server = Server::started_by(&mut command, home.join("app.sock"));
        let client = server.client();
        let up = server
            .process
            .stderr
            .line("it runs", |line| line.starts_with("up "));
        let program = &up["up ".len()..];
        let ending = server.stop();
        drop(client);
        kill_process(pid(program), Signal::KILL).expect("it goes on");
        let told = format!("program {program} ");
        let line = ending.stderr.lines().find(|line| {
            line.contains(&told) && line.contains("still runs") && line.contains("not permitted")
        });
        assert!(line.is_some(), "{ending:#?}");
        assert_eq!(ending.code, Some(7), "{ending:#?}");
    }
}
