//! Processes that run have other credentials than the database gives their user.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use super::{LISTENER, Told, foreign, listening, why};
use crate::support::{
    Place, Process, is_root, optional_peer, python, run, set_mode, skipped, sockeye,
};

/// A process of user daemon (1) with these supplementary groups, out of `unshare FLAGS` if any are
/// given.
fn process(groups: &str, flags: &[&str]) -> Option<Process> {
    if !is_root() {
        skipped("not root");
        return None;
    }
    let (setpriv, unshare) = (optional_peer("setpriv")?, optional_peer("unshare")?);
    let mut command = Command::new(setpriv);
    command.args(["--reuid", "1", "--regid", "1", "--groups", groups]);
    if !flags.is_empty() {
        command.arg(unshare).args(flags);
    }
    let script = "echo up; exec cat";
    let process = Process::spawn_piped(command.args(["sh", "-c", script]));
    process.stdout.first_lines(1);
    Some(process)
}

#[track_caller]
fn judged(process: &Process, path: &Path) -> Told {
    why(path, &["--pid", &process.id().to_string()])
}

#[test]
fn a_process_is_judged_by_the_groups_that_it_has() {
    let (Some(member), Some(other)) = (process("2", &[]), process("7", &[])) else {
        return;
    };
    let (place, _listener) = listening();
    let path = place.socket();
    chown(&path, Some(0), Some(2)).expect("we are root");
    set_mode(&path, 0o660);
    judged(&member, &path).is(0, "none", &[]);
    let pid = format!("pid {} (", other.id());
    let words = [
        &pid,
        "of user daemon",
        "usermod -aG bin daemon",
        "no w for others",
    ];
    judged(&other, &path).is(5, "permission", &words);
    judged(&other, &place.at("none")).is(3, "missing", &[]);
    run(sockeye()
        .args(["why", "--pid", "1", "--user", "0"])
        .arg(&path))
    .fails(2, &["--user"]);
    run(sockeye().args(["why", "--pid", "2147483647"]).arg(&path)).fails(3, &["2147483647"]);
}

/// The database has been changed since the processes were started.
#[test]
fn a_group_that_came_later_counts_for_the_user_and_not_for_the_process() {
    let Some(process) = process("7", &[]) else {
        return;
    };
    let Some(unshare) = optional_peer("unshare") else {
        return;
    };
    let (place, _listener) = listening();
    let path = place.socket();
    chown(&path, Some(0), Some(2)).expect("we are root");
    set_mode(&path, 0o660);
    let groups = fs::read_to_string("/etc/group").expect("a database");
    let bin = |line: &str| {
        if line.starts_with("bin:") {
            "bin:x:2:daemon\n".to_owned()
        } else {
            format!("{line}\n")
        }
    };
    fs::write(
        place.at("group"),
        groups.lines().map(bin).collect::<String>(),
    )
    .expect("our own");
    let ask = |options: &[&str]| {
        Told::by(|| {
            let mount = format!(
                "mount --bind {} /etc/group; exec \"$@\"",
                place.at("group").display()
            );
            let mut command = Command::new(&unshare);
            command.args(["-m", "--propagation", "private", "sh", "-ec", &mount, "sh"]);
            command
                .arg(sockeye().get_program())
                .arg("why")
                .args(options)
                .arg(&path);
            command
        })
    };
    let pid = process.id().to_string();
    let shown = format!("pid {pid} (");
    let words = [
        "user daemon is in group bin, but",
        &*shown,
        "started before that",
        "restart it",
    ];
    ask(&["--pid", &pid]).is(5, "permission", &words);
    // A new login would be allowed, and it is said who is not.
    let told = ask(&["--user", "daemon"]);
    told.is(
        0,
        "none",
        &[
            &shown,
            // Another test may have a process of that user, too.
            " the group: started before user daemon",
            "restart",
        ],
    );
    assert_eq!(told.steps("permission"), ["ok", "note"], "{}", told.text);
}

/// The caller itself: the kernel refuses it, the database would not.
#[test]
fn the_caller_is_told_to_log_in_again() {
    if !is_root() {
        return skipped("not root");
    }
    let (Some(unshare), Some(setpriv)) = (optional_peer("unshare"), optional_peer("setpriv"))
    else {
        return;
    };
    let (place, _listener) = listening();
    let path = place.socket();
    let copy = crate::support::copy_of_sockeye(&place);
    chown(&path, Some(0), Some(2)).expect("we are root");
    set_mode(&path, 0o660);
    fs::write(place.at("group"), "daemon:x:1:\nbin:x:2:daemon\n").expect("our own place");
    let told = Told::by(|| {
        let mount = format!(
            "mount --bind {} /etc/group; exec \"$@\"",
            place.at("group").display()
        );
        let mut command = Command::new(&unshare);
        command.args(["-m", "--propagation", "private", "sh", "-ec", &mount, "sh"]);
        command
            .arg(&setpriv)
            .args(["--reuid", "1", "--regid", "1", "--clear-groups"]);
        command.arg(&copy).arg("why").arg(&path);
        command
    });
    let words = [
        "user daemon is in group bin, but this process started before that",
        "log in again",
    ];
    told.is(5, "permission", &words);
}

#[test]
fn a_process_with_another_root_directory_is_judged_from_there() {
    if !is_root() {
        return skipped("not root");
    }
    let Some(mut command) = python(LISTENER) else {
        return;
    };
    let place = Place::new();
    let name = format!("/sockeye-test-{}-judged", std::process::id());
    let server = Process::spawn_piped(command.arg(&name).arg(place.dir()));
    server.stdout.first_lines(1);
    let root = format!("/proc/{}/root", server.id());
    let told = judged(&server, Path::new(&name));
    let words = [
        "another root directory",
        &*root,
        &*format!("{root}{name} is a socket file"),
    ];
    told.is(0, "none", &words);
    why(&name, &[]).is(3, "root-directory", &[]);
}

#[test]
fn a_process_in_another_network_namespace_does_not_reach_an_abstract_name() {
    let name = format!("@sockeye-test-{}-judged", std::process::id());
    let Some(server) = foreign(&["-n"], "", name.as_ref()) else {
        return;
    };
    let pid = server.id().to_string();
    why(&name, &["--pid", &pid]).is(0, "none", &[&format!("pid {pid} (")]);
    why(&name, &[]).is(3, "network-namespace", &[]);
}

/// There it has all capabilities, over files of those who are mapped there.
#[test]
fn root_of_a_user_namespace_is_no_root_outside() {
    let Some(process) = process("1", &["-U", "-r"]) else {
        return;
    };
    let (place, _listener) = listening();
    let path = place.socket();
    set_mode(&path, 0o600);
    judged(&process, &path).is(5, "permission", &["no w for others"]);
    chown(&path, Some(1), Some(1)).expect("we are root");
    set_mode(&path, 0o400);
    judged(&process, &path).is(0, "none", &["may do without w"]);
}
