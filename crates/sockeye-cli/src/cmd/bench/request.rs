//! [`CustomRequest`]: the request of `--request`, and the answer that is expected.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use http::Method;
use sockeye::address::quoted;

use crate::args::{Bench, Endpoint, HttpCall};
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
    /// A response of HTTP, to HEAD or to another method.
    Response {
        is_head: bool,
    },
}

/// The request to `server`; `None` if it echoes.
pub(super) fn of(args: &Bench, server: &Endpoint) -> anyhow::Result<Option<CustomRequest>> {
    if let Some(call) = &args.http {
        return Ok(Some(http_request(call, server)));
    }
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

fn http_request(call: &HttpCall, server: &Endpoint) -> CustomRequest {
    let method = call.method.clone().unwrap_or(Method::GET);
    let host = match server {
        Endpoint::Unix(_) => "localhost",
        Endpoint::Tcp(host) => host,
    };
    let length = if HttpCall::expects_length(&method) {
        "Content-Length: 0\r\n"
    } else {
        ""
    };
    let (target, version) = (&call.target, env!("CARGO_PKG_VERSION"));
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: sockeye/{version}\r\nAccept: */*\r\n{length}\r\n"
    );
    CustomRequest {
        request: request.into_bytes(),
        is_line: false,
        answer: Expected::Response {
            is_head: method == Method::HEAD,
        },
    }
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
