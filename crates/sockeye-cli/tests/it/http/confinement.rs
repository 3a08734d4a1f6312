//! No way leads out of the directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::Site;

/// What must not be seen.
const SECRET: &str = "a secret outside";

/// A site beside a file `secret`, with links that lead to it and links that do not.
fn site() -> Site {
    Site::new(&[], |root| {
        let outside = root.parent().expect("a parent").join("secret");
        fs::write(&outside, SECRET).expect("fresh");
        fs::create_dir_all(root.join("dir/deep")).expect("fresh");
        fs::write(root.join("dir/file"), "inside").expect("fresh");
        for (name, target) in [
            ("inside", "dir/file"),
            ("dir/deep/up", "../../dir/file"),
            ("chain", "dir/deep/up"),
            ("directory", "dir"),
            ("relative", "../secret"),
            ("parent", ".."),
            ("dir/deep/parents", "../../.."),
            ("loop", "loop"),
            ("magic", "/proc/self/root"),
            ("cwd", "/proc/self/cwd"),
            ("fd", "/proc/self/fd"),
        ] {
            symlink(target, root.join(name)).expect("fresh");
        }
        symlink(&outside, root.join("absolute")).expect("fresh");
        symlink(root.join("dir"), root.join("absolute-inside")).expect("fresh");
        symlink(root.join("dir/file"), root.join("absolute-file")).expect("fresh");
        // Beside the directory, with a name that begins with its own.
        let sibling = format!("{}-sibling", root.display());
        fs::create_dir(&sibling).expect("fresh");
        fs::write(format!("{sibling}/file"), SECRET).expect("fresh");
        symlink(sibling, root.join("sibling")).expect("fresh");
    })
}

#[test]
fn links_that_stay_inside_are_followed() {
    let site = site();
    for path in [
        "inside",
        "dir/deep/up",
        "chain",
        "directory/file",
        "dir/../dir/file",
        "absolute-file",
        "absolute-inside/file",
        "absolute-inside/deep/up",
    ] {
        let Some(found) = site.get(path) else { return };
        assert_eq!(found, ("200".to_owned(), b"inside".to_vec()), "{path}");
    }
}

#[test]
fn no_path_and_no_link_leads_out() {
    let site = site();
    let secret = site.place.at("secret");
    let absolute = secret.to_str().expect("plain");
    let encoded = absolute.replace('/', "%2f");
    for path in [
        "../secret",
        "%2e%2e/secret",
        "%2E%2E%2Fsecret",
        "..%2fsecret",
        ".%2e/secret",
        "dir/../../secret",
        "dir/%2e%2e/%2e%2e/secret",
        "./../secret",
        "..//secret",
        "..\\secret",
        "..%5csecret",
        "..%00/secret",
        "..%c0%af../secret",
        "%252e%252e/secret",
        "....//secret",
        "..;/secret",
        "relative",
        "absolute",
        "parent/secret",
        "dir/deep/parents/secret",
        "directory/../../secret",
        "absolute-inside/../../secret",
        "sibling/file",
        "loop",
        "loop/secret",
        absolute,
        &encoded,
        &format!("magic{absolute}"),
        &format!("cwd{absolute}"),
        "fd/0",
        "fd/3/secret",
        "?/../../secret",
    ] {
        let Some((status, body)) = site.get(path) else {
            return;
        };
        assert!(!String::from_utf8_lossy(&body).contains(SECRET), "{path}");
        let expected = if path.starts_with('?') { "200" } else { "404" };
        assert_eq!(status, expected, "{path}");
    }
}

#[test]
fn targets_that_curl_does_not_send_lead_nowhere() {
    let site = site();
    for target in [
        "/../secret",
        "http://localhost/../secret",
        "*",
        "secret",
        "//../secret",
    ] {
        let answer = site.raw(format!(
            "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ));
        assert!(!answer.contains(SECRET), "{target}: {answer}");
        assert!(answer.starts_with("HTTP/1.1 40"), "{target}: {answer}");
    }
}

/// Stops the thread that exchanges names, also where the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A directory and a link to the outside exchange their names all the time.
#[test]
fn nothing_leaks_while_directories_are_replaced() {
    let site = site();
    let root = site.root();
    symlink("..", root.join("other")).expect("fresh");
    fs::create_dir(root.join("swapped")).expect("fresh");
    fs::write(root.join("swapped/secret"), "inside").expect("fresh");
    let stop = AtomicBool::new(false);
    let names = [root.join("swapped"), root.join("other")];
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let [a, b] = &names;
                renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).expect("ours");
            }
        });
        let _stop = Stop(&stop);
        let mut statuses = Vec::new();
        for _ in 0..50 {
            let urls = [
                "swapped/secret",
                "dir/../swapped/secret",
                "swapped/../dir/file",
            ];
            for url in urls {
                let Some((status, body)) = site.get(url) else {
                    break;
                };
                let body = String::from_utf8_lossy(&body).into_owned();
                assert!(!body.contains(SECRET), "{url}: {body}");
                assert!(status != "200" || body == "inside", "{url}: {body}");
                assert_ne!(status, "500", "{url}: {body}");
                statuses.push(status);
            }
        }
        let of = |wanted: &str| statuses.iter().filter(|it| *it == wanted).count();
        assert!(statuses.is_empty() || of("200") > 0, "{statuses:?}");
    });
}
