//! Files come as they are, and what is no file does not.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::Site;
use super::site::field;
use crate::support::{is_root, run, skipped};

#[test]
fn a_file_comes_as_it_is() {
    let bytes: Vec<u8> = (0..3_000_000u32)
        .map(|at| (at.wrapping_mul(at) >> 7) as u8)
        .collect();
    let site = Site::new(&[], |root| {
        fs::write(root.join("large.bin"), &bytes).expect("a fresh file");
        fs::write(root.join("empty"), "").expect("a fresh file");
    });
    let Some(large) = site.get("large.bin") else {
        return;
    };
    assert_eq!(large.0, "200");
    assert!(large.1 == bytes, "the same bytes");
    let empty = site.get("empty").expect("as before");
    assert_eq!(empty, ("200".to_owned(), Vec::new()));
    let http2 = site.curl(&["--http2-prior-knowledge"], "large.bin");
    assert!(http2.expect("as before").stdout == bytes, "the same bytes");
}

#[test]
fn a_directory_is_its_index_and_its_path_ends_with_a_slash() {
    let site = Site::new(&[], |root| {
        fs::create_dir_all(root.join("a dir/empty")).expect("fresh");
        fs::write(root.join("a dir/index.html"), "inside").expect("fresh");
        fs::create_dir_all(root.join("odd/index.html")).expect("fresh");
    });
    let Some(index) = site.get("") else {
        return;
    };
    assert_eq!(index, ("200".to_owned(), b"<p>hello</p>\n".to_vec()));
    let inside = ("200".to_owned(), b"inside".to_vec());
    assert_eq!(site.get("a%20dir/"), Some(inside.clone()));
    let moved = site.curl(&["--include"], "a%20dir?q=1").expect("curl");
    assert!(moved.text().starts_with("HTTP/1.1 301 "), "{moved:?}");
    assert_eq!(field(&moved.text(), "location"), "/a%20dir/?q=1");
    let followed = site.curl(&["--location"], "a%20dir?q=1").expect("curl");
    assert_eq!(followed.stdout, inside.1);
    // Not the index.html of a host that is called `a dir`.
    let moved = site.curl(&["--include"], "//a%20dir").expect("curl");
    assert_eq!(field(&moved.text(), "location"), "/a%20dir/");
    for missing in ["a%20dir/empty/", "odd/", "index.html/", "none", "none/"] {
        assert_eq!(site.get(missing).expect("curl").0, "404", "{missing}");
    }
}

#[test]
fn names_of_any_bytes_are_found_by_their_encoding() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let site = Site::new(&[], |root| {
        for name in [&b"new\nline"[..], b"not\xfftext", b"100%", b"a?b#c", b"..."] {
            fs::write(root.join(OsStr::from_bytes(name)), name).expect("a fresh file");
        }
    });
    for (path, name) in [
        ("new%0Aline", &b"new\nline"[..]),
        ("not%fftext", b"not\xfftext"),
        ("100%25", b"100%"),
        ("100%", b"100%"),
        ("a%3Fb%23c", b"a?b#c"),
        ("...", b"..."),
    ] {
        let Some(found) = site.get(path) else { return };
        assert_eq!(found, ("200".to_owned(), name.to_vec()), "{path}");
    }
    assert_eq!(site.get("%00").expect("curl").0, "404");
    // One line each on standard output.
    let lines = site.server.process.stdout.first_lines(7);
    let quoted = |line: &String| line.ends_with(" 404 32") || line.contains(" HTTP/1.1\" 200 ");
    assert!(lines.iter().all(quoted), "{lines:?}");
}

#[test]
fn the_content_type_is_that_of_the_extension() {
    let names = [
        "a.html",
        "a.css",
        "a.json",
        "a.PNG",
        "a.txt",
        "a",
        "a.unknown",
        ".hidden",
    ];
    let site = Site::new(&[], |root| {
        for name in names {
            fs::write(root.join(name), "x").expect("a fresh file");
        }
    });
    let types = names.map(|name| {
        let options = ["--output", "/dev/null", "--write-out", "%{content_type}"];
        site.curl(&options, name).map(|finished| finished.text())
    });
    // A name that begins with a dot is one like any other, as --help says.
    if let Some(found) = site.get(".hidden") {
        assert_eq!(found.0, "200");
    }
    let types: Vec<String> = types.into_iter().flatten().collect();
    if types.is_empty() {
        return;
    }
    assert_eq!(
        types,
        [
            "text/html; charset=utf-8",
            "text/css; charset=utf-8",
            "application/json",
            "image/png",
            "text/plain; charset=utf-8",
            "application/octet-stream",
            "application/octet-stream",
            "application/octet-stream",
        ]
    );
}

#[test]
fn help_says_how_http_is_served_and_what_a_kind_is_called() {
    let flat = |subcommand| {
        let help = run(crate::support::sockeye().args([subcommand, "--help"])).text();
        help.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let serve = flat("serve");
    for said in [
        "extension",
        "application/octet-stream",
        "begin with a dot are served",
        "report counts connections",
    ] {
        assert!(serve.contains(said), "{said}: {serve}");
    }
    let send = flat("send");
    assert!(send.contains("a redirect is reported"), "{send}");
    let bench = flat("bench");
    assert!(bench.contains("--kind stream,tcp"), "{bench}");
    assert!(!bench.contains("With dgram"), "{bench}");
}

#[test]
fn what_is_not_a_regular_file_is_refused_at_once_and_untouched() {
    let site = Site::new(&[], |root| {
        mknodat(
            CWD,
            root.join("fifo"),
            FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .expect("a fresh name");
        std::os::unix::net::UnixListener::bind(root.join("socket")).expect("a fresh name");
        symlink("fifo", root.join("link")).expect("a fresh name");
        if is_root() {
            let null = rustix::fs::makedev(1, 3);
            let made = mknodat(
                CWD,
                root.join("null"),
                FileType::CharacterDevice,
                Mode::RUSR,
                null,
            );
            if made.is_err() {
                skipped("mknod of a device is not permitted");
            }
        }
    });
    // Opening the FIFO for reading would wake this writer.
    let fifo = site.root().join("fifo");
    let mut writer = crate::support::Process::spawn(
        Command::new("sh")
            .args(["-c", "echo x > \"$0\""])
            .arg(&fifo),
    );
    for name in ["fifo", "socket", "link", "null"] {
        if fs::symlink_metadata(site.root().join(name)).is_err() {
            continue;
        }
        let Some(found) = site.get(name) else { return };
        assert_eq!(found.0, "403", "{name}: {found:?}");
    }
    assert!(
        !writer.ends_within(std::time::Duration::from_millis(100)),
        "the writer still waits"
    );
    let read = run(Command::new("cat").arg(&fifo));
    assert_eq!(read.text(), "x\n");
}

#[test]
fn a_file_that_the_server_may_not_read_is_403() {
    let Some(other) = crate::support::OtherUser::new() else {
        return;
    };
    let root = other.place.at("www");
    fs::create_dir(&root).expect("fresh");
    crate::support::set_mode(&root, 0o755);
    fs::write(root.join("secret"), "x").expect("fresh");
    crate::support::set_mode(&root.join("secret"), 0o600);
    let root = root.to_str().expect("plain");
    let mut serve = other.serve(&["--http", root]);
    let server = crate::support::Server::started_by(&mut serve, other.place.socket());
    let asked = run(crate::support::sockeye()
        .args(["send", "--http", "/secret"])
        .arg(&server.path));
    assert_eq!(asked.code, Some(1));
    assert_eq!(asked.text(), "403 Forbidden: the server may not read it\n");
}
