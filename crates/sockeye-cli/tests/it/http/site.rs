//! [`Site`]: a directory that `serve --http` serves, and curl.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Finished, PATIENCE, Place, Server, require_peer, run};

pub(super) struct Site {
    pub(super) server: Server,
    pub(super) place: Place,
}

impl Site {
    /// With `index.html`, and what `fill` makes below the directory.
    #[track_caller]
    pub(super) fn new(options: &[&str], fill: impl FnOnce(&Path)) -> Self {
        let place = Place::new();
        let root = place.at("www");
        fs::create_dir(&root).expect("a fresh directory");
        fs::write(root.join("index.html"), "<p>hello</p>\n").expect("a fresh file");
        fill(&root);
        let root = root.to_str().expect("plain");
        let all: Vec<&str> = ["--http", root].iter().chain(options).copied().collect();
        let server = Server::start(place.socket(), &all);
        Self { server, place }
    }

    pub(super) fn root(&self) -> PathBuf {
        self.place.at("www")
    }

    /// `curl OPTIONS http://localhost/PATH`, which normalizes nothing in the path; `None` where there is
    /// no curl.
    #[track_caller]
    pub(super) fn curl(&self, options: &[&str], path: &str) -> Option<Finished> {
        let mut curl = Command::new(require_peer("curl")?);
        curl.args([
            "--silent",
            "--path-as-is",
            "--max-time",
            "20",
            "--unix-socket",
        ])
        .arg(&self.server.path)
        .args(options)
        .arg(format!("http://localhost/{path}"));
        Some(run(&mut curl))
    }

    /// The status, and the body, of a GET by curl.
    #[track_caller]
    pub(super) fn get(&self, path: &str) -> Option<(String, Vec<u8>)> {
        let finished = self.curl(&["--write-out", "%{stderr}%{http_code}"], path)?;
        assert_eq!(finished.code, Some(0), "{path}: {finished:?}");
        Some((finished.stderr, finished.stdout))
    }

    /// What the server answers to these bytes until it closes the connection.
    #[track_caller]
    pub(super) fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = UnixStream::connect(&self.server.path).expect("a server");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        stream.write_all(bytes.as_ref()).expect("a server");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// The value of a field in the head of a response.
#[track_caller]
pub(super) fn field<'a>(head: &'a str, name: &str) -> &'a str {
    let found = head.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then_some(value.trim())
    });
    found.unwrap_or_else(|| panic!("no field {name} in {head}"))
}
