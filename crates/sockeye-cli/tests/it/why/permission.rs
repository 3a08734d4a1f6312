//! What a user may search and write.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{chown, lchown, symlink};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use rustix::fs::{XattrFlags, setxattr};

use super::{Nobody, Told, listening, why};
use crate::support::{
    Place, as_other_user, copy_of_sockeye, is_root, optional_peer, python, run, set_mode, skipped,
};

#[test]
fn a_directory_without_the_search_bit_is_named() {
    let place = Place::new();
    place.set_mode(0o755);
    let dir = place.at("closed");
    fs::create_dir(&dir).expect("our own place");
    let path = dir.join("app.sock");
    let _listener = UnixListener::bind(&path).expect("a fresh path");
    set_mode(&dir, 0o600);
    let told = Nobody::new().map(|nobody| nobody.why(&path, &[]));
    let for_other = is_root().then(|| why(&path, &["--user", "65534"]));
    set_mode(&dir, 0o700);
    for told in told.iter().chain(&for_other) {
        told.is(
            5,
            "directory",
            &["closed may not be searched", "mode 0600", "no x for"],
        );
    }
    // Root sees what lies behind, and says what else is in the way.
    if let Some(told) = for_other {
        assert_eq!(told.steps("permission"), ["no"], "{}", told.text);
        assert_eq!(told.steps("listener"), ["ok"], "{}", told.text);
    }
}

#[test]
fn a_socket_without_the_write_bit_is_named() {
    let (place, _listener) = listening();
    set_mode(&place.socket(), 0o400);
    let Some(nobody) = Nobody::new() else {
        return;
    };
    let told = nobody.why(place.socket(), &[]);
    told.is(
        5,
        "permission",
        &["may not be written", "mode 0400", "no w for"],
    );
    assert_eq!(told.steps("permission"), ["no"]);
}

/// What the asker may not look at is not judged for another user, even if that one may.
#[test]
fn a_directory_that_only_the_other_user_may_search_is_named() {
    if !is_root() {
        return skipped("not root");
    }
    let (place, _listener) = listening();
    let Some(nobody) = Nobody::new() else {
        return;
    };
    place.set_mode(0o700);
    let shown = place.dir().to_str().expect("plain");
    let words = ["you may not look beyond", shown, "run this as root"];
    for options in [
        &["--user", "root"] as &[&str],
        &["--user", "root", "--connect"],
    ] {
        let told = nobody.why(place.socket(), options);
        told.is(7, "unseen", &words);
    }
}

/// A sandbox that says nothing of itself: the bits permit it, and nothing else can be looked at.
#[test]
fn a_connect_that_a_security_module_denies_is_explained() {
    const SANDBOX: &str = "
import ctypes, os, struct, sys
kernel = ctypes.CDLL(None)
scoped = struct.pack('QQQ', 0, 0, 1)  # LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
ruleset = kernel.syscall(444, scoped, len(scoped), 0)  # landlock_create_ruleset(2)
if ruleset < 0: sys.exit(77)
kernel.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
if kernel.syscall(446, ruleset, 0) != 0: sys.exit(77)  # landlock_restrict_self(2)
os.execv(sys.argv[1], sys.argv[1:])
";
    let Some(python) = python(SANDBOX) else {
        return;
    };
    let sandboxed = |program: &str| {
        let mut command = Command::new(python.get_program());
        command.args(python.get_args()).arg(program);
        command
    };
    if run(&mut sandboxed("/bin/true")).code == Some(77) {
        return skipped("Landlock does not scope abstract names here (Linux 6.12)");
    }
    let name = format!("sockeye-test-{}-denied", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("short");
    let _listener = UnixListener::bind_addr(&address).expect("a fresh name");
    let told = Told::by(|| {
        let mut command = sandboxed(env!("CARGO_BIN_EXE_sockeye"));
        command.args(["why", "--connect"]).arg(format!("@{name}"));
        command
    });
    told.is(5, "denied", &["Operation not permitted", "security module"]);
    assert_eq!(told.steps("connect"), ["no"]);
    let address = SocketAddr::from_abstract_name(&name).expect("short");
    let _receiver = UnixDatagram::bind_addr(&address).expect("of another kind");
    for kind in ["", "dgram:"] {
        let mut send = sandboxed(env!("CARGO_BIN_EXE_sockeye"));
        send.arg("send").arg(format!("{kind}@{name}")).arg("hello");
        run(&mut send).fails(5, &["Landlock", "seccomp"]);
    }
}

/// As SELinux or a seccomp profile of a container does it: every permission is there, and connect(2)
/// fails with EACCES.
#[test]
fn a_connect_that_is_denied_though_the_mode_permits_it_is_explained() {
    const FILTER: &str = "
import ctypes, os, platform, struct, sys
kernel = ctypes.CDLL(None)
connect = {'x86_64': 42, 'aarch64': 203}.get(platform.machine()) or sys.exit(77)
statement = lambda code, yes, no, k: struct.pack('HBBI', code, yes, no, k)
program = ctypes.create_string_buffer(b''.join([
    statement(0x20, 0, 0, 0),            # BPF_LD: the number of the call
    statement(0x15, 0, 1, connect),      # BPF_JEQ
    statement(0x06, 0, 0, 0x5000d),      # SECCOMP_RET_ERRNO, EACCES
    statement(0x06, 0, 0, 0x7fff0000)])) # SECCOMP_RET_ALLOW
filter = ctypes.create_string_buffer(struct.pack('HxxxxxxP', 4, ctypes.addressof(program)))
kernel.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
if kernel.prctl(22, 2, filter, 0, 0) != 0: sys.exit(77)  # PR_SET_SECCOMP
os.execv(sys.argv[1], sys.argv[1:])
";
    let Some(python) = python(FILTER) else {
        return;
    };
    let filtered = |program: &str| {
        let mut command = Command::new(python.get_program());
        command.args(python.get_args()).arg(program);
        command
    };
    if run(&mut filtered("/bin/true")).code == Some(77) {
        return skipped("no seccomp filter can be installed here");
    }
    let (place, _listener) = listening();
    set_mode(&place.socket(), 0o666);
    let sockeye = |arguments: &[&str]| {
        let mut command = filtered(env!("CARGO_BIN_EXE_sockeye"));
        command.args(arguments).arg(place.socket());
        command
    };
    let told = Told::by(|| sockeye(&["why"]));
    told.is(
        0,
        "none",
        &["security modules", "were not asked; use --connect for that"],
    );
    assert_eq!(told.steps("module"), ["note"]);
    let told = Told::by(|| sockeye(&["why", "--connect"]));
    told.is(5, "denied", &["Permission denied", "security module"]);
    assert_eq!(told.steps("module"), [""; 0]);
    let sent = run(sockeye(&["send"]).arg("x"));
    sent.fails(5, &["all permissions allow it", "security module"]);
    assert!(!sent.stderr.contains("no write permission"), "{sent:#?}");
    for address in ["@sockeye-test-filtered", "dgram:@sockeye-test-filtered"] {
        let mut send = filtered(env!("CARGO_BIN_EXE_sockeye"));
        run(send.args(["send", address, "x"])).fails(5, &["seccomp"]);
    }
}

/// There an unmapped owner looks like oneself.
#[test]
fn the_bits_are_for_an_unknown_user_in_a_user_namespace() {
    let Some(unshare) = optional_peer("unshare").filter(|_| is_root()) else {
        return skipped("not root, or no unshare");
    };
    let (place, _listener) = listening();
    set_mode(&place.socket(), 0o600);
    let Some(nobody) = Nobody::new() else {
        return;
    };
    let inside = |program: &Path| {
        let mut command = as_other_user(unshare.as_os_str()).expect("as before");
        command.arg("-U").arg(program);
        command
    };
    if run(&mut inside("/bin/true".as_ref())).code != Some(0) {
        return skipped("user namespaces are not permitted");
    }
    let told = Told::by(|| {
        let mut command = inside(&nobody.copy);
        command.arg("why").arg(place.socket());
        command
    });
    told.is(
        5,
        "permission",
        &["?:?", "user namespace hides whose it is"],
    );
}

#[test]
fn another_user_is_judged_by_the_bits_and_its_groups() {
    if !is_root() {
        return skipped("not root");
    }
    let (place, _listener) = listening();
    let path = place.socket();
    let daemon = |owner, group, mode| {
        chown(&path, Some(owner), Some(group)).expect("we are root");
        set_mode(&path, mode);
        why(&path, &["--user", "daemon"])
    };
    daemon(0, 0, 0o600).is(5, "permission", &["by user daemon", "no w for others"]);
    daemon(0, 0, 0o602).is(0, "none", &[]);
    // Nobody should join root's group.
    daemon(0, 0, 0o660).is(
        5,
        "permission",
        &["make the socket for a group of user daemon", "chgrp daemon"],
    );
    daemon(0, 2, 0o660).is(
        5,
        "permission",
        &["usermod -aG bin daemon, then restart its processes"],
    );
    // daemon's own group is 1.
    daemon(0, 1, 0o660).is(0, "none", &[]);
    daemon(0, 1, 0o606).is(5, "permission", &["no w for its group"]);
    daemon(1, 1, 0o060).is(5, "permission", &["no w for its owner"]);
    why(&path, &["--user", "root"]).is(0, "none", &["root may do without w"]);
    // Connecting would tell nothing of the other user.
    let told = why(&path, &["--user", "daemon", "--connect"]);
    assert_eq!(told.is(5, "permission", &[]).steps("connect"), ["note"]);
}

/// An access list (acl(5)) as the kernel keeps it: the bits of its owner, of user 65534, of its group,
/// of the mask and of others.
fn access_list(bits: [u16; 5]) -> Vec<u8> {
    const NONE: u32 = u32::MAX;
    let entries = [(1, NONE), (2, 65534), (4, NONE), (0x10, NONE), (0x20, NONE)];
    let mut list = vec![2, 0, 0, 0];
    for ((tag, id), bits) in entries.into_iter().zip(bits) {
        list.extend(u16::to_le_bytes(tag));
        list.extend(bits.to_le_bytes());
        list.extend(u32::to_le_bytes(id));
    }
    list
}

fn set_access_list(path: &Path, bits: [u16; 5]) -> rustix::io::Result<()> {
    let name = "system.posix_acl_access";
    setxattr(path, name, &access_list(bits), XattrFlags::empty())
}

#[test]
fn an_access_list_is_read_with_its_mask() {
    if !is_root() {
        return skipped("not root");
    }
    let (place, _listener) = listening();
    let path = place.socket();
    if set_access_list(&path, [6, 6, 0, 6, 0]).is_err() {
        return skipped("the file system has no access lists");
    }
    why(&path, &["--user", "65534"]).is(0, "none", &["access list"]);
    let advice = format!("setfacl -m u:65533:rw {}", path.display());
    let words = ["no w for others", &advice];
    why(&path, &["--user", "65533"]).is(5, "permission", &words);

    // The mask is what setfacl(1) does not show as part of the entry.
    set_access_list(&path, [6, 6, 0, 4, 0]).expect("it has access lists");
    let words = ["nobody:rw, but the mask allows r only", "setfacl -m m::rw "];
    why(&path, &["--user", "65534"]).is(5, "permission", &words);

    // As a plain chmod 600 leaves it.
    set_mode(&path, 0o600);
    let words = [
        "nobody:rw, but the mask allows nothing",
        "setfacl -m m::rw ",
    ];
    why(&path, &["--user", "65534"]).is(5, "permission", &words);

    // With an empty mask the kernel does not look at the list.
    for file in [&path, place.dir()] {
        set_access_list(file, [7, 0, 7, 0, 7]).expect("it has access lists");
    }
    why(&path, &["--user", "65534"]).is(0, "none", &["mode 0707"]);
    let asked = Nobody::new().map(|nobody| nobody.why(&path, &["--connect"]));
    if let Some(asked) = asked {
        asked.is(0, "none", &["connected"]);
    }
}

#[test]
fn a_link_of_somebody_else_in_an_open_sticky_directory_is_not_followed() {
    let protected = fs::read_to_string("/proc/sys/fs/protected_symlinks");
    if !is_root() || !protected.is_ok_and(|value| value.trim() == "1") {
        return skipped("not root, or fs.protected_symlinks is off");
    }
    let (place, _listener) = listening();
    fs::create_dir(place.at("open")).expect("our own place");
    set_mode(&place.at("open"), 0o1777);
    symlink(place.socket(), place.at("open/link")).expect("a fresh path");
    lchown(place.at("open/link"), Some(65534), None).expect("we are root");
    UnixStream::connect(place.at("open/link")).expect_err("the kernel does not follow");
    let told = why(place.at("open/link"), &["--connect"]);
    told.is(5, "protected-link", &["sticky"]);
}

/// The modes of `/proc/PID` allow everybody, and the kernel does not.
#[test]
fn a_link_into_a_process_takes_ptrace_access() {
    if !is_root() {
        return skipped("not root");
    }
    let (place, _listener) = listening();
    set_mode(&place.socket(), 0o666);
    let Some(nobody) = Nobody::new() else {
        return;
    };
    for link in ["root", "cwd"] {
        let base = format!("/proc/{}/{link}", std::process::id());
        let up = "/..".repeat(40);
        let path = format!("{base}{up}{}", place.socket().display());
        why(&path, &[]).is(0, "none", &[]);
        why(&path, &["--user", "root"]).is(0, "none", &[]);
        let words = [&*format!("{base} may not be followed by"), "ptrace access"];
        why(&path, &["--user", "65534"]).is(5, "process", &words);
        nobody.why(&path, &[]).is(5, "process", &words);
    }
}

#[test]
fn a_capability_is_named_and_is_not_called_root() {
    if !is_root() || optional_peer("setpriv").is_none() {
        return skipped("not root, or no setpriv");
    }
    let tools = Place::new();
    let copy = copy_of_sockeye(&tools);
    let (place, _listener) = listening();
    set_mode(&place.socket(), 0o600);
    let told = Told::by(|| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65533", "--regid", "65533", "--clear-groups"]);
        command.args([
            "--inh-caps",
            "+dac_override",
            "--ambient-caps",
            "+dac_override",
        ]);
        command.arg(&copy).arg("why").arg(place.socket());
        command
    });
    told.is(0, "none", &["CAP_DAC_OVERRIDE"]);
}

/// Neither does usermod(8) know it.
#[test]
fn a_user_without_an_account_is_not_to_be_added_to_a_group() {
    if !is_root() {
        return skipped("needs root, to give a file away");
    }
    let (place, _listener) = listening();
    set_mode(&place.socket(), 0o660);
    chown(place.socket(), None, Some(1)).expect("we are root");
    let told = why(place.socket(), &["--user", "54321"]);
    told.is(5, "permission", &["no account", "setpriv"]);
}
