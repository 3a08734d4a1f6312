//! How a bench ends before its time, and what it writes then.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{bench, serve_unix, text};
use crate::support::{Place, Process, Server, eventually, run, sockeye};

/// The full picture, and its servers, once something was measured.
fn begun(place: &Place, html: &Path) -> (Process, Vec<i32>) {
    let bench = Process::spawn(
        bench(&["--json", "--connections", "3", "--html", text(html)])
            .args(["--size", "64", "--busy-poll", "1ms"])
            .env("TMPDIR", place.dir()),
    );
    bench.stdout.first_lines(1);
    let list = format!("/proc/{0}/task/{0}/children", bench.id());
    let children = std::fs::read_to_string(list).expect("it runs");
    let children = children
        .split_whitespace()
        .map(|pid| pid.parse().expect("a pid"));
    let children: Vec<i32> = children.collect();
    assert_eq!(children.len(), 4, "a server of each kind");
    (bench, children)
}

fn all_end(servers: &[i32]) {
    for pid in servers {
        let status = PathBuf::from(format!("/proc/{pid}/status"));
        // Whoever inherits it may take its time to wait for it.
        eventually("the server has ended", || {
            match std::fs::read_to_string(&status) {
                Ok(status) => status.contains("State:\tZ").then_some(()),
                Err(_) => Some(()),
            }
        });
    }
}

#[test]
fn a_signal_leaves_neither_a_process_nor_a_file_but_what_was_measured() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let place = Place::new();
        let pages = Place::new();
        let page = pages.at("page.html");
        let (mut bench, servers) = begun(&place, &page);
        bench.signal(signal);
        let finished = bench.finish();
        assert_eq!(finished.code, None, "by that signal: {finished:#?}");
        all_end(&servers);
        assert_eq!(place.names().len(), 0, "nothing is left");
        let page = std::fs::read_to_string(page).expect("a page");
        assert!(page.contains("<h2>In numbers</h2>"), "{page}");
    }
}

#[test]
fn its_servers_end_with_it_when_it_is_killed() {
    let place = Place::new();
    let (mut bench, servers) = begun(&place, &place.at("page.html"));
    bench.signal(Signal::KILL);
    bench.finish();
    all_end(&servers);
    let directory = std::fs::read_dir(place.dir()).expect("a directory");
    let mut left = directory.filter_map(|entry| Some(entry.ok()?.path()));
    let left = left
        .find(|path| path.is_dir())
        .expect("that of the servers");
    let left = std::fs::read_dir(left).expect("a directory").count();
    assert_eq!(left, 0, "each server has removed its files");
}

#[test]
fn a_server_of_its_own_that_ends_is_reported() {
    let place = Place::new();
    let (mut bench, servers) = begun(&place, &place.at("page.html"));
    let pid = Pid::from_raw(servers[0]).expect("a pid");
    kill_process(pid, Signal::KILL).expect("it runs");
    let finished = bench.finish();
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    finished.explains(&["the echo server there has ended", "signal: 9"]);
}

#[test]
fn a_server_that_ends_is_reported() {
    for kind in ["", "seqpacket:", "dgram:"] {
        let place = Place::new();
        let address = format!("{kind}{}", text(&place.socket()));
        let server = Server::started_by(Server::command(&["--echo"]).arg(&address), place.socket());
        let mut bench = Process::spawn(
            sockeye()
                .args([
                    "bench",
                    "--json",
                    "--connections",
                    "1,2,3,4",
                    "--time",
                    "1s",
                ])
                .arg(&address),
        );
        bench.stdout.first_lines(1);
        server.process.signal(Signal::KILL);
        let finished = bench.finish();
        assert_eq!(finished.code, Some(1), "{finished:#?}");
        finished.explains(&[&address, "the server has ended"]);
    }
}

#[test]
fn a_page_that_cannot_be_written_is_noticed_before_anything_is_measured() {
    let place = Place::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    serve_unix(&place.socket(), move |bytes, _| {
        count.fetch_add(1, Ordering::Relaxed);
        Some(bytes.to_vec())
    });
    let socket = place.socket();
    let wrong = [place.at("no/page.html"), place.dir().to_owned()];
    for page in &wrong {
        let options = ["--html", text(page), text(&socket)];
        run(&mut bench(&options)).fails(1, &["cannot write the page", text(page)]);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[test]
fn a_page_that_has_nothing_to_show_is_not_left_behind() {
    let place = Place::new();
    let (new, old) = (place.at("new.html"), place.at("old.html"));
    std::fs::write(&old, "what was there").expect("a file");
    for page in [&new, &old] {
        let nobody = place.at("nobody");
        let options = ["--html", text(page), text(&nobody)];
        run(&mut bench(&options)).fails(3, &["nobody"]);
    }
    assert!(!new.exists());
    assert_eq!(std::fs::read(&old).expect("a file"), b"what was there");
}

#[test]
fn a_comparison_that_ends_early_tells_of_the_pairs_until_then() {
    let place = Place::new();
    let (a, b) = (place.at("a"), place.at("b"));
    serve_unix(&a, |bytes, _| Some(bytes.to_vec()));
    // With 5 ms for each answer a pair has at most 15 of them, and 3 at least.
    serve_unix(&b, |bytes, before| {
        thread::sleep(Duration::from_millis(5));
        (before < 40).then(|| bytes.to_vec())
    });
    let page = place.at("page.html");
    let load = ["bench", "--time", "40ms", "--connections", "1", "--html"];
    let compared = run(sockeye()
        .args(load)
        .args([&page, Path::new("--compare"), &a, &b]));
    assert_eq!(compared.code, Some(1), "{compared:#?}");
    compared.explains(&["closed a connection without an answer"]);
    assert!(compared.text().contains("A has "), "{compared:#?}");
    assert!(page.exists());
}
