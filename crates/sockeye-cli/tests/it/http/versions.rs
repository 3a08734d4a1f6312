//! Ranges and conditions: what curl resumes and what it does not load again.

use std::fs;

use super::Site;
use super::site::field;
use crate::support::{python, run};

#[test]
fn curl_gets_parts_and_resumes() {
    let bytes: Vec<u8> = (0..100_000u32).map(|at| (at % 251) as u8).collect();
    let site = Site::new(&[], |root| {
        fs::write(root.join("a"), &bytes).expect("fresh");
    });
    for (range, part) in [
        ("0-0", 0..1),
        ("10-19", 10..20),
        ("99990-", 99_990..100_000),
        ("-10", 99_990..100_000),
        ("-1000000", 0..100_000),
        ("50000-99999999999999999999", 50_000..100_000),
    ] {
        let Some(got) = site.curl(&["--range", range, "--dump-header", "/dev/stderr"], "a") else {
            return;
        };
        assert!(
            got.stderr.starts_with("HTTP/1.1 206 "),
            "{range}: {}",
            got.stderr
        );
        let expected = format!("bytes {}-{}/100000", part.start, part.end - 1);
        assert_eq!(field(&got.stderr, "content-range"), expected, "{range}");
        assert!(got.stdout == bytes[part], "{range}");
    }
    // Several ranges at once may be answered with the whole file (RFC 9110, 14.2).
    let many: Vec<String> = (0..500).map(|at| format!("{at}-{at}")).collect();
    for range in ["0-1,5-9", "9-5", &many.join(",")] {
        let got = site.curl(&["--range", range], "a").expect("curl");
        assert!(got.stdout == bytes, "{} bytes", got.stdout.len());
    }
    let kept = site.place.at("kept");
    fs::write(&kept, &bytes[..40_000]).expect("fresh");
    let kept_name = kept.to_str().expect("plain");
    let resumed = site.curl(&["--continue-at", "-", "--output", kept_name], "a");
    assert_eq!(resumed.expect("curl").code, Some(0));
    assert!(fs::read(&kept).expect("there") == bytes);
}

#[test]
fn a_range_behind_the_end_is_416() {
    let site = Site::new(&[], |root| {
        fs::write(root.join("empty"), "").expect("fresh");
    });
    for (path, range, size) in [("", "13-", 13), ("", "-0", 13), ("empty", "0-", 0)] {
        let Some(got) = site.curl(
            &["--include", "--header", &format!("Range: bytes={range}")],
            path,
        ) else {
            return;
        };
        assert!(got.text().starts_with("HTTP/1.1 416 "), "{}", got.text());
        assert_eq!(
            field(&got.text(), "content-range"),
            format!("bytes */{size}")
        );
    }
}

#[test]
fn a_version_that_curl_has_is_not_sent_again() {
    let site = Site::new(&[], |_| ());
    let tag = site.place.at("tag");
    let tag = tag.to_str().expect("plain");
    let Some(first) = site.curl(&["--etag-save", tag], "") else {
        return;
    };
    assert_eq!(first.text(), "<p>hello</p>\n");
    let code = |options: &[&str]| {
        let mut all = vec!["--output", "/dev/null", "--write-out", "%{http_code}"];
        all.extend(options);
        site.curl(&all, "").expect("curl").text()
    };
    let index = site.root().join("index.html");
    let index = index.to_str().expect("plain");
    assert_eq!(code(&["--etag-compare", tag]), "304");
    assert_eq!(code(&["--time-cond", index]), "304");
    assert_eq!(code(&["--time-cond", "2001-01-01"]), "200");
    assert_eq!(code(&["--header", "If-Match: \"other\""]), "412");
    // As long as before, and written at once.
    fs::write(index, "<p>HELLO</p>\n").expect("ours");
    assert_eq!(code(&["--etag-compare", tag]), "200");
    let part = ["--header", "If-Range: \"other\"", "--range", "0-1"];
    assert_eq!(code(&part), "200");
    assert_eq!(code(&part[2..]), "206");
}

#[test]
fn a_file_of_any_time_is_served() {
    let site = Site::new(&[], |root| {
        for name in ["before", "after"] {
            fs::write(root.join(name), "x").expect("fresh");
        }
    });
    let script =
        "import os,sys; os.utime(sys.argv[1], (-9e9, -9e9)); os.utime(sys.argv[2], (3e11, 3e11))";
    let Some(mut python) = python(script) else {
        return;
    };
    let names = ["before", "after"].map(|name| site.root().join(name));
    assert_eq!(run(python.args(&names)).code, Some(0));
    for name in ["before", "after"] {
        let Some(got) = site.get(name) else { return };
        assert_eq!(got, ("200".to_owned(), b"x".to_vec()), "{name}");
    }
}
