//! [`HeadReader`]: the head of a request or of a response.

use std::time::Instant;

use httparse::{EMPTY_HEADER, Header, Request, Response, Status};

use super::HttpProblem;

/// The longest head.
pub(super) const LONGEST: usize = 32 << 10;
/// The most header fields of a head.
const FIELDS: usize = 128;
/// A head is parsed with its first bytes, to find out soon that it is none, then at each end of a line:
/// not at each piece, which may be one byte.
const EARLY: usize = 32;
/// What an HTTP/2 client sends first (RFC 9113, section 3.4), as far as a parser of HTTP/1 goes.
const HTTP2: &[u8] = b"PRI * HTTP/2";

/// Collects the bytes of a head.
#[derive(Debug, Default)]
pub(super) struct HeadReader {
    bytes: Vec<u8>,
    /// When the first byte came.
    since: Option<Instant>,
}

/// A request's head.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) minor: u8,
    pub(super) length: HeadLength,
    pub(super) asks_for_upgrade: bool,
}

/// A response's head.
#[derive(Debug)]
pub(super) struct ResponseHead {
    pub(super) status: u16,
    pub(super) reason: String,
    pub(super) length: HeadLength,
    /// The value of `Upgrade`.
    pub(super) upgrade: Option<String>,
}

/// What a head says about the length of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeadLength {
    Nothing,
    Length(u64),
    Chunked,
    /// A transfer encoding whose end is EOF.
    OtherEncoding,
}

/// A head and its length; `None` where more must come.
type HeadResult<T> = Result<Option<(T, usize)>, HttpProblem>;

impl HeadReader {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes it holds.
    pub(super) fn held(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the bytes of a request's head off the front, and returns when the first one came; `None`
    /// where more must come.
    pub(super) fn request(
        &mut self,
        bytes: &mut &[u8],
        at: Instant,
    ) -> Result<Option<(RequestHead, Instant)>, HttpProblem> {
        self.read(bytes, at, parse_request)
    }

    /// As [`request`](Self::request), of a response.
    pub(super) fn response(
        &mut self,
        bytes: &mut &[u8],
        at: Instant,
    ) -> Result<Option<(ResponseHead, Instant)>, HttpProblem> {
        self.read(bytes, at, parse_response)
    }

    fn read<T>(
        &mut self,
        bytes: &mut &[u8],
        at: Instant,
        parse: fn(&[u8]) -> HeadResult<T>,
    ) -> Result<Option<(T, Instant)>, HttpProblem> {
        if self.bytes.is_empty() {
            // A lenient server reads empty lines before a request (RFC 9112, section 2.2).
            let blank = |byte: &&u8| matches!(**byte, b'\r' | b'\n');
            *bytes = &bytes[bytes.iter().take_while(blank).count()..];
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let since = *self.since.get_or_insert(at);
        let before = self.bytes.len();
        let new = &bytes[..bytes.len().min(LONGEST - before)];
        self.bytes.extend_from_slice(new);
        let lines = self.bytes.iter().rposition(|&byte| byte == b'\n');
        let parsed = lines
            .map_or(0, |last| last + 1)
            .max(EARLY.min(self.bytes.len()));
        if parsed > before
            && let Some((head, length)) = parse(&self.bytes[..parsed])?
        {
            *bytes = &bytes[length.saturating_sub(before)..];
            *self = Self::default();
            return Ok(Some((head, since)));
        }
        if self.bytes.len() == LONGEST {
            return Err(HttpProblem::HeadTooLong);
        }
        *bytes = &[];
        Ok(None)
    }
}

/// Whether these bytes begin with a complete head of a request.
pub(super) fn begins_with_request(bytes: &[u8]) -> bool {
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    matches!(parse_request(bytes), Ok(Some(_)))
}

/// Whether these bytes begin with a complete head of a response.
pub(super) fn begins_with_response(bytes: &[u8]) -> bool {
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    matches!(parse_response(bytes), Ok(Some(_)))
}

fn parse_request(bytes: &[u8]) -> HeadResult<RequestHead> {
    let mut fields = [EMPTY_HEADER; FIELDS];
    let mut request = Request::new(&mut fields);
    let length = match request.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(_) if bytes.starts_with(HTTP2) => return Err(HttpProblem::Http2),
        Err(error) => return Err(problem(error)),
    };
    let fields = Fields::of(request.headers)?;
    let head = RequestHead {
        method: request.method.unwrap_or_default().to_owned(),
        target: request.path.unwrap_or_default().to_owned(),
        minor: request.version.unwrap_or_default(),
        length: fields.length,
        asks_for_upgrade: fields.upgrade.is_some() && fields.has_connection_upgrade,
    };
    // RFC 9112, section 6.3: without an end that can be found
    if head.length == HeadLength::OtherEncoding {
        return Err(HttpProblem::Syntax);
    }
    Ok(Some((head, length)))
}

fn parse_response(bytes: &[u8]) -> HeadResult<ResponseHead> {
    let mut fields = [EMPTY_HEADER; FIELDS];
    let mut response = Response::new(&mut fields);
    let length = match response.parse(bytes).map_err(problem)? {
        Status::Complete(length) => length,
        Status::Partial => return Ok(None),
    };
    let fields = Fields::of(response.headers)?;
    let head = ResponseHead {
        status: response.code.unwrap_or_default(),
        reason: response.reason.unwrap_or_default().to_owned(),
        length: fields.length,
        upgrade: fields.upgrade,
    };
    Ok(Some((head, length)))
}

fn problem(error: httparse::Error) -> HttpProblem {
    match error {
        httparse::Error::TooManyHeaders => HttpProblem::TooManyFields,
        _ => HttpProblem::Syntax,
    }
}

/// What the fields of a head say about what follows.
struct Fields {
    length: HeadLength,
    upgrade: Option<String>,
    has_connection_upgrade: bool,
}

impl Fields {
    fn of(fields: &[Header<'_>]) -> Result<Self, HttpProblem> {
        let mut found = Self {
            length: HeadLength::Nothing,
            upgrade: None,
            has_connection_upgrade: false,
        };
        let (mut encoding, mut length) = (None, None);
        for field in fields {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            let value = field.value.trim_ascii();
            if is("transfer-encoding") {
                encoding = tokens(value).last().or(encoding);
            } else if is("content-length") {
                // RFC 9112, section 6.3: a list of equal numbers is one number.
                for number in tokens(value) {
                    let number = number_of(number).ok_or(HttpProblem::Length)?;
                    if length
                        .replace(number)
                        .is_some_and(|before| before != number)
                    {
                        return Err(HttpProblem::Length);
                    }
                }
            } else if is("upgrade") {
                found.upgrade = Some(String::from_utf8_lossy(value).into_owned());
            } else if is("connection") {
                let is_upgrade = |token: &[u8]| token.eq_ignore_ascii_case(b"upgrade");
                found.has_connection_upgrade |= tokens(value).any(is_upgrade);
            }
        }
        found.length = match (encoding, length) {
            (Some(last), _) if last.eq_ignore_ascii_case(b"chunked") => HeadLength::Chunked,
            (Some(_), _) => HeadLength::OtherEncoding,
            (None, Some(length)) => HeadLength::Length(length),
            (None, None) => HeadLength::Nothing,
        };
        Ok(found)
    }
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

fn number_of(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits)
        .ok()
        .filter(|_| is_number)?
        .parse()
        .ok()
}
