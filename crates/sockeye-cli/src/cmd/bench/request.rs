//! [`CustomRequest`]: the request of `--request`, and the answer that is expected.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sockeye::address::quoted;

use crate::args::Bench;
use crate::exit::{Exit, failure};

/// The longest request that is taken from a file, which may have no end.
const LONGEST_REQUEST: usize = 64 << 20;

/// A request to a server that does not echo.
#[derive(Clone)]
pub(super) struct CustomRequest {
    /// Without its framing.
    pub(super) request: Vec<u8>,
    /// Whether a newline ends it on a stream without length framing.
    pub(super) is_line: bool,
    pub(super) answer: Expected,
}

/// The expected answer.
#[derive(Clone)]
pub(super) enum Expected {
    /// This text; a newline may follow, except with length framing.
    Text(String),
    Prefix(String),
    Any,
}

/// `None` if the server echoes.
pub(super) fn of(args: &Bench) -> anyhow::Result<Option<CustomRequest>> {
    let answer = match (&args.expect, &args.expect_prefix, args.expect_any) {
        (Some(text), ..) => Expected::Text(text.clone()),
        (_, Some(text), _) => Expected::Prefix(text.clone()),
        (.., true) => Expected::Any,
        _ => return Ok(None),
    };
    let request = match (&args.request, &args.request_file) {
        (Some(text), _) => text.clone().into_bytes(),
        (_, Some(file)) => read(file)?,
        _ => return Ok(None),
    };
    Ok(Some(CustomRequest {
        request,
        is_line: args.request.is_some(),
        answer,
    }))
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let cannot = |found: &str, exit| {
        let file = quoted(file);
        failure(
            exit,
            format!("cannot take the request from {file}: {found}"),
        )
    };
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let most = LONGEST_REQUEST as u64 + 1;
        File::open(file)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) if bytes.len() > LONGEST_REQUEST => Err(cannot(
            "it has more than 64MiB; give a shorter request",
            Exit::Usage,
        )),
        Ok(bytes) if bytes.is_empty() => Err(cannot(
            "it is empty; write the request into it",
            Exit::Usage,
        )),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(cannot(&format!("{error}; check the name"), Exit::Failed)),
    }
}
