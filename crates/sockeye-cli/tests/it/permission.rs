//! What is not permitted is exit 5, and the message names the directory or the bit that denies.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::support::{Place, Server, as_other_user, copy_of_sockeye, run, set_mode, stale_socket};

/// The command as somebody to whom these modes mean something; the copy stands in `tools`.
fn unprivileged(tools: &Place, arguments: &[&OsStr]) -> Option<Command> {
    let mut command = as_other_user(copy_of_sockeye(tools).as_os_str())?;
    command.args(arguments);
    Some(command)
}

fn subcommand<'a>(name: &'a str, path: &'a Path) -> Vec<&'a OsStr> {
    let mut arguments = vec![OsStr::new(name), path.as_os_str()];
    if name == "send" {
        arguments.push(OsStr::new("hello"));
    }
    arguments
}

#[test]
fn a_socket_without_the_write_bit_is_named() {
    for name in ["send", "connect"] {
        let (place, tools) = (Place::new(), Place::new());
        place.set_mode(0o755);
        let _server = Server::start(place.socket(), &["--mode", "0400"]);
        let path = place.socket();
        let Some(mut command) = unprivileged(&tools, &subcommand(name, &path)) else {
            return;
        };
        let tried = run(&mut command);
        tried.fails(5, &["0400|write", path.to_str().expect("plain")]);
    }
}

#[test]
fn a_directory_without_the_search_bit_is_named() {
    for name in ["send", "connect", "serve"] {
        let (place, tools) = (Place::new(), Place::new());
        let dir = place.at("closed");
        std::fs::create_dir(&dir).expect("our own place");
        let path = dir.join("app.sock");
        stale_socket(&path);
        place.set_mode(0o755);
        set_mode(&dir, 0o600);
        let Some(mut command) = unprivileged(&tools, &subcommand(name, &path)) else {
            return;
        };
        let tried = run(&mut command);
        set_mode(&dir, 0o700);
        // The directory itself, not just the path below it.
        tried.fails(5, &["directory", dir.to_str().expect("plain")]);
    }
}

#[test]
fn a_directory_without_the_write_bit_is_named() {
    let (place, tools) = (Place::new(), Place::new());
    place.set_mode(0o555);
    let path = place.socket();
    let Some(mut command) = unprivileged(&tools, &subcommand("serve", &path)) else {
        return;
    };
    let tried = run(&mut command);
    place.set_mode(0o755);
    tried.fails(5, &["directory", place.dir().to_str().expect("plain")]);
    assert_eq!(place.names().len(), 0);
}

#[test]
fn only_root_gives_the_socket_to_another_user() {
    let (place, tools) = (Place::new(), Place::new());
    // Open to everybody: only the change of owner is not permitted.
    place.set_mode(0o1777);
    let path = place.socket();
    let arguments = ["serve", "--owner", "daemon"].map(OsStr::new);
    let arguments = [&arguments[..], &[path.as_os_str()]].concat();
    let Some(mut command) = unprivileged(&tools, &arguments) else {
        return;
    };
    let tried = run(&mut command);
    tried.fails(5, &["daemon|owner|given"]);
    assert_eq!(place.names().len(), 0, "and nothing is left");
}

#[test]
fn serving_and_sending_need_no_privileges() {
    let (place, tools) = (Place::new(), Place::new());
    place.set_mode(0o1777);
    let path = place.socket();
    let Some(mut command) = unprivileged(&tools, &subcommand("serve", &path)) else {
        return;
    };
    let mut server = Server::started_by(&mut command, &path);
    server.ask("hello\n");
    let again = Place::new();
    let Some(mut second) = unprivileged(&again, &subcommand("serve", &path)) else {
        return;
    };
    let pid = server.process.id().to_string();
    run(&mut second).fails(4, &[&pid]);
    server.stop().is_clean();
}

#[test]
fn a_stale_socket_of_another_user_is_not_taken_by_force() {
    if !crate::support::is_root() {
        return crate::support::skipped("not root");
    }
    let (place, tools) = (Place::new(), Place::new());
    stale_socket(&place.socket());
    // Sticky: nobody may make files here, and not remove those of root.
    place.set_mode(0o1777);
    let before = place.snapshot();
    let path = place.socket();
    let Some(mut command) = unprivileged(&tools, &subcommand("serve", &path)) else {
        return;
    };
    let tried = run(&mut command);
    assert!(matches!(tried.code, Some(4 | 5)), "{tried:#?}");
    tried.explains(&[path.to_str().expect("plain")]);
    assert_eq!(place.snapshot(), before, "untouched, and nothing of ours");
}
