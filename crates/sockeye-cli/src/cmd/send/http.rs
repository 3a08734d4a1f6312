//! `send --http`: one request over HTTP/1.1, and the body of its answer.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use ::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::ext::ReasonPhrase;
use hyper_util::rt::TokioIo;
use rustix::process::Signal;
use sockeye::Stream;
use sockeye::address::quoted;

use crate::args::{HttpCall, Send};
use crate::cmd::exchange::check_file_systems;
use crate::escape;
use crate::exit::{Exit, by_signal, failure};
use crate::output;
use crate::stdio::{self, reader::reader_gone};

/// The longest body of a request.
const LONGEST_BODY: usize = 64 << 20;
/// The longest head of an answer, and the most of a body that is read ahead.
const BUFFER: usize = 256 << 10;

pub(super) fn run(args: &Send, call: &HttpCall) -> anyhow::Result<Exit> {
    let parts = args.data.iter().map(|data| file_of(data.as_bytes()));
    let files: Vec<PathBuf> = parts.flatten().collect();
    check_file_systems(&args.target, None, &files, args.timeout)?;
    let body = body(args)?;
    let caller = HttpCaller { args, call };
    let request = caller.request(body);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    runtime.block_on(async {
        tokio::select! {
            biased;
            result = caller.exchange(request) => result,
            gone = reader_gone(stdout) => {
                gone?;
                Err(by_signal(Signal::PIPE))
            }
        }
    })
}

/// The FILE of `@FILE`; `None` for standard input, too.
fn file_of(data: &[u8]) -> Option<PathBuf> {
    let name = data.strip_prefix(b"@").filter(|name| *name != b"-")?;
    Some(Path::new(std::ffi::OsStr::from_bytes(name)).to_owned())
}

/// All parts, joined as those of a form are.
fn body(args: &Send) -> anyhow::Result<Bytes> {
    let mut body = Vec::new();
    for (index, data) in args.data.iter().enumerate() {
        if index > 0 {
            body.push(b'&');
        }
        append(&mut body, data.as_bytes())?;
        if body.len() > LONGEST_BODY {
            let address = args.target.address.quoted();
            let text = format!(
                "cannot send the body of the request to {address}: it has more than 64MiB; send less, or use curl --unix-socket"
            );
            return Err(failure(Exit::Usage, text));
        }
    }
    Ok(body.into())
}

/// Appends one part to the body; of a longer one than may be sent, its beginning.
fn append(body: &mut Vec<u8>, data: &[u8]) -> anyhow::Result<()> {
    let most = LONGEST_BODY as u64 + 1;
    let (read, name, advice) = if let Some(path) = file_of(data) {
        let read = File::open(&path).and_then(|file| file.take(most).read_to_end(body));
        (read, quoted(&path).to_string(), "the name")
    } else if data == b"@-" || data == b"-" {
        let read = io::stdin().take(most).read_to_end(body);
        (read, "standard input".to_owned(), "what it is")
    } else {
        body.extend_from_slice(data);
        return Ok(());
    };
    match read {
        Ok(_) => Ok(()),
        Err(error) => {
            let text =
                format!("cannot read {name}, the body of the request: {error}; check {advice}");
            Err(failure(Exit::Failed, text))
        }
    }
}

struct HttpCaller<'a> {
    args: &'a Send,
    call: &'a HttpCall,
}

impl HttpCaller<'_> {
    fn method(&self) -> Method {
        let method = self.call.method.clone();
        method.unwrap_or(if self.args.data.is_empty() {
            Method::GET
        } else {
            Method::POST
        })
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let fields = self.fields(body.is_empty());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method();
        *request.uri_mut() = self.call.target.clone().into();
        *request.headers_mut() = fields;
        request
    }

    /// Those of the user, and of ours what they do not mention.
    fn fields(&self, is_empty: bool) -> HeaderMap {
        let agent = concat!("sockeye/", env!("CARGO_PKG_VERSION"));
        let mut fields = HeaderMap::new();
        fields.insert(HOST, HeaderValue::from_static("localhost"));
        fields.insert(USER_AGENT, HeaderValue::from_static(agent));
        fields.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let has_data = !self.args.data.is_empty();
        // hyper says the length of a body that is not empty.
        if is_empty && (has_data || HttpCall::expects_length(&self.method())) {
            fields.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        if has_data {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            fields.insert(CONTENT_TYPE, form);
        }
        for field in &self.args.fields {
            fields.remove(&field.name);
        }
        for field in self.args.fields.iter().filter(|it| !it.value.is_empty()) {
            fields.append(field.name.clone(), field.value.clone());
        }
        fields
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Exit> {
        let target = &self.args.target;
        let stream = target.connector().connect(&target.address).await?;
        let answer = self.ask(stream, request);
        match self.args.timeout {
            Some(time) => match tokio::time::timeout(time, answer).await {
                Ok(result) => result,
                Err(_) => Err(self.failed(
                    Exit::TimedOut,
                    &format!(
                        "the answer was not complete after {}; allow more with --timeout, or look at the server",
                        output::duration(time)
                    ),
                )),
            },
            None => answer.await,
        }
    }

    async fn ask(&self, stream: Stream, request: Request<Full<Bytes>>) -> anyhow::Result<Exit> {
        let connection = http1::Builder::new()
            .title_case_headers(true)
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(stream));
        let (mut sender, connection) = connection.await.map_err(|error| self.broken(&error))?;
        // It ends with the runtime. Its errors are those of the request.
        tokio::spawn(connection);
        let answer = sender.send_request(request).await;
        let mut answer = answer.map_err(|error| self.broken(&error))?;
        if self.shows_head() {
            stdio::print(&head(&answer))?;
        }
        while let Some(frame) = answer.body_mut().frame().await {
            let frame = frame.map_err(|error| self.broken(&error))?;
            if let Some(data) = frame.data_ref() {
                stdio::print(data)?;
            }
        }
        self.judge(&answer)
    }

    fn shows_head(&self) -> bool {
        self.args.include || self.method() == Method::HEAD
    }

    fn judge(&self, answer: &Response<Incoming>) -> anyhow::Result<Exit> {
        let status = answer.status();
        let code = status.as_u16();
        let status_line = format!("{code} {}", escape::bytes(reason(answer)));
        let status_line = status_line.trim_end();
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.failed(
                Exit::Failed,
                "the server switches to another protocol (101); ask without the field Upgrade",
            ));
        }
        if code >= 400 {
            return Err(self.failed(
                Exit::Failed,
                &format!("the status is {status_line}; the body of the answer may say why"),
            ));
        }
        if status.is_redirection() && !self.shows_head() {
            let location = answer.headers().get(LOCATION);
            let location = location.map_or_else(String::new, |location| {
                let location = escape::name(location.as_bytes());
                format!("; its location is {location}; ask for that")
            });
            let (method, target) = (self.method(), &self.call.target);
            let address = self.args.target.address.quoted();
            stdio::complain(&format!(
                "{method} {target} at {address}: the status is {status_line}{location}"
            ));
        }
        Ok(Exit::Done)
    }

    fn broken(&self, error: &hyper::Error) -> anyhow::Error {
        let why = std::error::Error::source(error);
        let found = if error.is_incomplete_message() {
            "the server closed the connection before the answer was complete; look at its log"
                .to_owned()
        } else if error.is_parse() {
            format!("the answer is not HTTP/1 ({error}); without --http it is printed as it is")
        } else {
            match why {
                Some(why) => format!("{why}; look at the server"),
                None => format!("{error}; look at the server"),
            }
        };
        self.failed(Exit::Failed, &found)
    }

    fn failed(&self, exit: Exit, found: &str) -> anyhow::Error {
        let address = self.args.target.address.quoted();
        let (method, target) = (self.method(), &self.call.target);
        failure(
            exit,
            format!("cannot {method} {target} at {address}: {found}"),
        )
    }
}

/// The phrase of the status, if there is one.
fn reason(answer: &Response<Incoming>) -> &[u8] {
    let sent = answer.extensions().get::<ReasonPhrase>();
    sent.map_or_else(
        || {
            answer
                .status()
                .canonical_reason()
                .unwrap_or_default()
                .as_bytes()
        },
        ReasonPhrase::as_bytes,
    )
}

/// The status line and the fields, as they came.
fn head(answer: &Response<Incoming>) -> Vec<u8> {
    let status = answer.status().as_u16();
    let mut head = format!("{:?} {status} ", answer.version()).into_bytes();
    head.extend_from_slice(reason(answer));
    head.extend_from_slice(b"\r\n");
    for (name, value) in answer.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}
