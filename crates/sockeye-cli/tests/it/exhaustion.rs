//! Twenty descriptors and forty clients: no spin, no flood of log lines, and everybody is served.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::Signal;

use crate::support::{Client, Place, Process, REPLY, Server, eventually, strace};

const CLIENTS: usize = 40;

/// Forty clients, each with a request sent and its connection kept open.
fn crowd(server: &Server) -> Vec<Client> {
    (0..CLIENTS)
        .map(|_| {
            let mut client = server.client();
            client.send("hello\n");
            client
        })
        .collect()
}

/// Takes out those whose answer has come, at least one, and reads it.
#[track_caller]
fn answered(clients: &mut Vec<Client>) -> Vec<Client> {
    let ready: Vec<bool> = {
        let mut polled: Vec<_> = clients
            .iter()
            .map(|client| PollFd::new(client.stream(), PollFlags::IN))
            .collect();
        let patience = Timespec::try_from(Duration::from_secs(10)).expect("a short time");
        let count = retry_on_intr(|| poll(&mut polled, Some(&patience))).expect("polled");
        assert!(count > 0, "nobody is served, {} wait", clients.len());
        polled.iter().map(|one| !one.revents().is_empty()).collect()
    };
    let mut ready = ready.iter();
    let (mut served, waiting): (Vec<_>, Vec<_>) = clients
        .drain(..)
        .partition(|_| *ready.next().expect("as many"));
    *clients = waiting;
    for client in &mut served {
        assert_eq!(client.line(), REPLY);
    }
    served
}

/// At every limit it either says what it lacks or listens; how many fds that takes also depends on
/// those that the test itself was started with.
#[test]
fn a_server_with_too_few_descriptors_to_start_says_so() {
    let mut refused = 0;
    for limit in 4..40 {
        let place = Place::new();
        let mut command = Command::new("bash");
        command
            .args(["-c", r#"ulimit -n "$1"; exec "$0" serve "$2" 2>&1"#])
            .arg(env!("CARGO_BIN_EXE_sockeye"))
            .arg(limit.to_string())
            .arg(place.socket());
        let mut process = Process::spawn(&mut command);
        // With fewer than five the dynamic linker may be who complains.
        if process.stdout.first_bytes(12) == b"listening on" {
            process.signal(Signal::TERM);
            assert_eq!(process.finish().code, Some(0), "{limit}");
            assert!(refused >= 5, "at {limit} already");
            return;
        }
        let ended = process.finish();
        if limit >= 5 {
            assert_eq!(ended.code, Some(1), "{limit}: {ended:?}");
            let text = ended.text();
            assert_eq!(text.lines().count(), 1, "{limit}: {text}");
            assert!(text.contains("Too many open files"), "{limit}: {text}");
            refused += 1;
        }
        assert_eq!(place.names().len(), 0);
    }
    panic!("not even 39 fds are enough to listen");
}

/// Waits until the server has run out of descriptors and returns who was served before.
fn exhausted(server: &Server, clients: &mut Vec<Client>) -> Vec<Client> {
    let mut served = answered(clients);
    eventually("all descriptors are in use", || {
        let open = fs::read_dir(format!("/proc/{}/fd", server.process.id()));
        (open.expect("it is there").count() >= 20).then_some(())
    });
    // ResultSender may lag behind the last accepted connection.
    let free = Timespec::default();
    loop {
        let mut polled: Vec<_> = clients
            .iter()
            .map(|client| PollFd::new(client.stream(), PollFlags::IN))
            .collect();
        if retry_on_intr(|| poll(&mut polled, Some(&free))).expect("polled") == 0 {
            break;
        }
        drop(polled);
        served.extend(answered(clients));
    }
    assert!(!clients.is_empty(), "twenty descriptors, forty clients");
    served
}

/// accept(2) takes a descriptor before it looks at the backlog.
#[test]
fn a_server_with_its_last_descriptor_in_use_warns_of_no_client() {
    let place = Place::new();
    let server = Server::start_after("ulimit -n 20", place.socket(), &[]);
    let open = || {
        let open = fs::read_dir(format!("/proc/{}/fd", server.process.id()));
        let names = open.expect("it is there").flatten();
        // The limit is one of numbers; the test may have been started with higher ones.
        let numbers = names.filter_map(|name| name.file_name().to_str()?.parse().ok());
        numbers.filter(|&number: &u32| number < 20).count()
    };
    let mut clients = Vec::new();
    while open() < 20 {
        let mut client = server.client();
        client.converse("hello");
        clients.push(client);
    }
    // By their answers the server has tried to accept again.
    for client in &mut clients {
        client.converse("again");
    }
    let log = server.process.stderr.so_far();
    assert!(!log.contains("cannot accept"), "{log}");
}

#[test]
fn a_server_without_descriptors_backs_off() {
    let place = Place::new();
    let mut server = Server::start_after("ulimit -n 20", place.socket(), &[]);
    let mut clients = crowd(&server);
    let served = exhausted(&server, &mut clients);

    // The window that is measured.
    let (from, before) = (Instant::now(), server.process.cpu_ticks());
    thread::sleep(Duration::from_secs(2));
    let used = server.process.cpu_ticks() - before;
    let window = from.elapsed();
    let share = used as f64 / 100.0 / window.as_secs_f64();
    assert!(share < 0.05, "{used} ticks in {window:?}: {share}");
    let log = server.process.stderr.so_far();
    assert!(log.lines().count() <= 8, "a bounded log: {log}");
    assert!(log.lines().count() >= 2, "and not in silence: {log}");

    // One leaves, and one of those who wait is served.
    let mut held = served;
    let left = Instant::now();
    drop(held.pop());
    held.extend(answered(&mut clients));
    assert!(
        left.elapsed() < Duration::from_secs(3),
        "{:?}",
        left.elapsed()
    );

    // All who are served leave: in the end, everybody was.
    drop(held);
    while !clients.is_empty() {
        drop(answered(&mut clients));
    }
    let ending = server.stop();
    let report = ending.is_clean();
    assert_eq!(report.served + report.drained, CLIENTS as u64, "{report:?}");
}

#[test]
fn a_drain_without_descriptors_serves_all_who_wait() {
    let place = Place::new();
    let options = ["--drain", "60s"];
    let mut server = Server::start_after("ulimit -n 20", place.socket(), &options);
    let mut clients = crowd(&server);
    let held = exhausted(&server, &mut clients);
    server.terminate();
    for mut client in clients {
        assert_eq!(client.line(), REPLY);
        assert_eq!(client.rest(), b"");
    }
    drop(held);
    server.ending().is_clean();
}

#[test]
fn failing_accepts_are_few() {
    let place = Place::new();
    let logs = Place::new();
    let log = logs.at("strace");
    let Some(tracer) = strace("accept,accept4", log.as_os_str()) else {
        return;
    };
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(r#"ulimit -n 20; exec "$@""#)
        .arg("sh")
        .args(tracer)
        .arg(env!("CARGO_BIN_EXE_sockeye"))
        .arg("serve")
        .arg(place.socket());
    let mut server = Server::started_by(&mut command, place.socket());
    let mut clients = crowd(&server);
    let served = exhausted(&server, &mut clients);
    let from = Instant::now();
    thread::sleep(Duration::from_secs(2));
    let window = from.elapsed();
    drop(served);
    while !clients.is_empty() {
        drop(answered(&mut clients));
    }
    server.stop().is_clean();
    // All of the trace: standard error ended, and the tracer held it open too.
    let trace = fs::read(&log).expect("a trace");
    let trace = String::from_utf8_lossy(&trace);
    let failed = trace.lines().filter(|line| line.contains("EMFILE")).count();
    assert!(failed > 0, "it did run out: {trace}");
    // The short beginning and the rounds after the window count too, so this is strict.
    let allowed = 50.0 * window.as_secs_f64();
    assert!((failed as f64) < allowed, "{failed} in {window:?}");
}
