//! Servers that do not echo: what is asked, and what counts as an answer.

use std::path::Path;

use super::{bench, objects, serve_unix, text};
use crate::support::{Finished, Place, Server, run};

/// Asks a server `what?` in lines, unless other options say otherwise.
fn ask(server: &Path, options: &[&str]) -> Finished {
    let load = ["--json", "--connections", "2", "--request", "what?"];
    run(bench(&load).args(options).arg(server))
}

#[test]
fn the_answer_is_a_text() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--reply", "fine, thanks"]);
    let found = objects(&ask(&server.path, &["--expect", "fine, thanks"]));
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0]["size"], "what?\n".len());
    ask(&server.path, &["--expect", "fine"]).fails(
        1,
        &[
            text(&server.path),
            r#"expected "fine\n""#,
            r#"found "fine, thanks\n""#,
        ],
    );
}

#[test]
fn line_ends_of_both_sides_are_shown_where_only_these_differ() {
    let place = Place::new();
    serve_unix(&place.socket(), |_, _| Some(b"ok\r\n".to_vec()));
    ask(&place.socket(), &["--expect", "ok"])
        .fails(1, &[r#"expected "ok\n""#, r#"found "ok\r\n""#]);
}

#[test]
fn the_answer_begins_with_a_text_or_is_any() {
    let place = Place::new();
    serve_unix(&place.socket(), |_, before| {
        Some(format!("at {before}\n").into_bytes())
    });
    for fine in [&["--expect-prefix", "at "][..], &["--expect-any"]] {
        assert_eq!(objects(&ask(&place.socket(), fine)).len(), 2);
    }
    ask(&place.socket(), &["--expect-prefix", "in"])
        .fails(1, &[r#"expected "in""#, r#"found "at "#]);
}

#[test]
fn an_answer_of_several_lines_is_what_one_read_gives() {
    let place = Place::new();
    serve_unix(&place.socket(), |_, _| {
        Some(b"HTTP/1.1 200 OK\r\n\r\nhi".to_vec())
    });
    let prefix = ["--expect-prefix", "HTTP/1.1 200"];
    ask(&place.socket(), &prefix).fails(1, &["more than one message", "--framing raw"]);
    let raw = ask(
        &place.socket(),
        &[&prefix[..], &["--framing", "raw"]].concat(),
    );
    assert_eq!(objects(&raw).len(), 2);
}

#[test]
fn records_are_answers_as_they_are() {
    let place = Place::new();
    for kind in ["seqpacket", "dgram"] {
        let path = place.at(kind);
        let address = format!("{kind}:{}", text(&path));
        let mut server =
            Server::started_by(Server::command(&["--reply", "noted"]).arg(&address), path);
        for fine in [
            &["--expect", "noted"][..],
            &["--expect-prefix", "not"],
            &["--expect-any"],
        ] {
            assert_eq!(objects(&ask(Path::new(&address), fine)).len(), 2);
        }
        ask(Path::new(&address), &["--expect-prefix", "noted!"])
            .fails(1, &[r#"expected "noted!""#, r#"found "noted""#]);
        server.stop().is_clean();
    }
}

#[test]
fn a_request_from_a_file_goes_as_it_is_behind_its_length() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--framing", "length", "--reply", "noted"]);
    let file = place.at("request");
    std::fs::write(&file, b"\0\xff\n\n").expect("a file");
    let asked = |options: &[&str]| {
        let load = ["--json", "--connections", "2", "--framing", "length"];
        run(bench(&load)
            .args(options)
            .arg("--request-file")
            .arg(&file)
            .arg(&server.path))
    };
    for fine in [
        &["--expect", "noted"][..],
        &["--expect-prefix", "not"],
        &["--expect-any"],
    ] {
        let found = objects(&asked(fine));
        assert_eq!(found[0]["size"], 4, "the length in front is not counted");
    }
    asked(&["--expect", "not"]).fails(1, &["wrong answer"]);
    std::fs::write(&file, b"").expect("a file");
    asked(&["--expect-any"]).fails(2, &["it is empty", text(&file)]);
    std::fs::remove_file(&file).expect("a file");
    asked(&["--expect-any"]).fails(1, &["No such file", text(&file)]);
}

#[test]
fn an_echo_may_have_its_length_in_front() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--echo", "--framing", "length"]);
    let load = ["--json", "--framing", "length", "--size", "3,64KiB"];
    let found = objects(&run(bench(&load)
        .args(["--connections", "3"])
        .arg(&server.path)));
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found[0]["size"], 3);
}

#[test]
fn questions_that_make_no_sense_are_wrong_usage() {
    let wrong = |options: &[&str], words: &[&str]| {
        run(&mut bench(options)).fails(2, words);
    };
    wrong(&["--request", "a", "/tmp/a"], &["--expect"]);
    wrong(&["--expect-any", "/tmp/a"], &["--request"]);
    wrong(
        &[
            "--request",
            "a",
            "--request-file",
            "b",
            "--expect-any",
            "/tmp/a",
        ],
        &["cannot be used with"],
    );
    wrong(
        &["--request", "a", "--expect", "b", "--expect-any", "/tmp/a"],
        &["cannot be used with"],
    );
    wrong(
        &["--request", "a", "--expect-any"],
        &["without an address", "omit --request"],
    );
    wrong(&["--framing", "length"], &["without an address"]);
    wrong(
        &["--framing", "raw", "dgram:/tmp/a"],
        &["a record is a message", "omit --framing"],
    );
}
