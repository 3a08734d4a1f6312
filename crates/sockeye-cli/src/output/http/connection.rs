//! [`HttpConnection`]: both directions of a connection, and which response belongs to which request.

use std::collections::VecDeque;
use std::time::Instant;

use sockeye::relay::ObservedDirection;

use super::body::{ChunkedBody, HttpBody};
use super::head::{
    HeadLength, HeadReader, RequestHead, ResponseHead, begins_with_request, begins_with_response,
};
use super::{HttpEvent, HttpProblem, HttpRequest, HttpResponse};

/// Requests without a response.
const MOST_PENDING: usize = 128;
/// What is kept of a method and a target.
const METHOD: usize = 32;
const TARGET: usize = 512;
/// What is kept of a reason and of the name of a protocol.
const PHRASE: usize = 64;
/// Bytes behind a request for an upgrade, before its response.
const MOST_HELD: usize = 16 << 10;

type Sink<'a> = dyn FnMut(HttpEvent<'_>) + 'a;

/// Both directions of a connection.
#[derive(Debug)]
pub(crate) struct HttpConnection {
    requests: RequestState,
    responses: ResponseState,
    /// In order, those whose response has not begun.
    pending: VecDeque<HttpRequest>,
    /// How many requests were read.
    count: u64,
}

#[derive(Debug)]
enum RequestState {
    Head(HeadReader),
    /// Of the request with this number.
    Body(HttpBody, u64),
    /// After a request for an upgrade (or CONNECT), until its response: bytes of HTTP or not.
    Held(Vec<u8>),
    /// Pieces are missing.
    Lost,
    /// Nothing more is shown.
    Silent,
}

#[derive(Debug)]
enum ResponseState {
    Head(HeadReader),
    Body(HttpBody, HttpResponse),
    Lost,
}

impl HttpConnection {
    pub(crate) fn new() -> Self {
        Self {
            requests: RequestState::Head(HeadReader::default()),
            responses: ResponseState::Head(HeadReader::default()),
            pending: VecDeque::new(),
            count: 0,
        }
    }

    /// Whether nothing more is shown of it.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.requests, RequestState::Silent)
    }

    /// How many bytes of memory it holds, about.
    pub(crate) fn held(&self) -> usize {
        let requests = match &self.requests {
            RequestState::Head(head) => head.held(),
            RequestState::Held(bytes) => bytes.len(),
            _ => 0,
        };
        let responses = match &self.responses {
            ResponseState::Head(head) => head.held(),
            _ => 0,
        };
        requests + responses + self.pending.len() * (size_of::<HttpRequest>() + TARGET)
    }

    /// Bytes that go in this direction.
    pub(crate) fn feed(
        &mut self,
        direction: ObservedDirection,
        bytes: &[u8],
        at: Instant,
        sink: &mut Sink<'_>,
    ) {
        let result = match direction {
            ObservedDirection::ToTarget => self.feed_requests(bytes, at, sink),
            ObservedDirection::ToClient => self.feed_responses(bytes, at, sink),
        };
        if let Err((direction, problem)) = result {
            self.give_up();
            sink(HttpEvent::Problem(direction, problem));
        }
    }

    /// Bytes of this direction were not seen.
    pub(crate) fn skip(&mut self, direction: ObservedDirection, bytes: u64) {
        let is_within_body = match (direction, &mut self.requests, &mut self.responses) {
            (ObservedDirection::ToTarget, RequestState::Body(body, _), _) => {
                body.skip(bytes, &mut 0)
            }
            (ObservedDirection::ToClient, _, ResponseState::Body(body, response)) => {
                body.skip(bytes, &mut response.size)
            }
            _ => false,
        };
        if !is_within_body && !self.is_silent() {
            self.pending.clear();
            self.requests = RequestState::Lost;
            self.responses = ResponseState::Lost;
        }
    }

    /// A direction has ended; `is_eof`: all that was sent has come.
    pub(crate) fn end(
        &mut self,
        direction: ObservedDirection,
        is_eof: bool,
        at: Instant,
        sink: &mut Sink<'_>,
    ) {
        if self.is_silent() {
            return;
        }
        if direction == ObservedDirection::ToTarget {
            if let RequestState::Head(head) = &self.requests
                && !head.is_empty()
            {
                sink(HttpEvent::Truncated(direction));
            }
            return;
        }
        match std::mem::replace(&mut self.responses, ResponseState::Lost) {
            ResponseState::Head(head) if !head.is_empty() => sink(HttpEvent::Truncated(direction)),
            ResponseState::Body(body, response) => {
                let is_complete = is_eof && matches!(body, HttpBody::UntilEof);
                sink(HttpEvent::Response(&finished(response, is_complete, at)));
            }
            ResponseState::Head(_) | ResponseState::Lost => {}
        }
        for request in self.pending.drain(..) {
            let waited = at.saturating_duration_since(request.sent);
            sink(HttpEvent::Unanswered {
                request: &request,
                waited,
            });
        }
    }

    /// Shows nothing more.
    pub(crate) fn give_up(&mut self) {
        self.requests = RequestState::Silent;
        self.responses = ResponseState::Lost;
        self.pending = VecDeque::new();
    }

    fn feed_requests(&mut self, mut bytes: &[u8], at: Instant, sink: &mut Sink<'_>) -> HttpResult {
        let fail = |problem| (ObservedDirection::ToTarget, problem);
        while !bytes.is_empty() {
            match &mut self.requests {
                RequestState::Head(reader) => match reader.request(&mut bytes, at).map_err(fail)? {
                    Some((head, _)) => self.begin_request(head, at, sink).map_err(fail)?,
                    None => return Ok(()),
                },
                RequestState::Body(body, number) => {
                    let number = *number;
                    let is_complete = body.take(&mut bytes, &mut 0);
                    let is_complete = is_complete.map_err(|_| fail(HttpProblem::Chunk))?;
                    let sent = self.pending.iter_mut().find(|it| it.number == number);
                    let mut asks_for_upgrade = false;
                    if let Some(request) = sent {
                        request.sent = at;
                        asks_for_upgrade = request.asks_for_upgrade;
                    }
                    if is_complete {
                        self.requests = after_request(asks_for_upgrade);
                    }
                }
                RequestState::Held(held) => {
                    if held.len() + bytes.len() > MOST_HELD {
                        return Err(fail(HttpProblem::TooMuchHeld));
                    }
                    held.extend_from_slice(bytes);
                    return Ok(());
                }
                RequestState::Lost if begins_with_request(bytes) => {
                    self.requests = RequestState::Head(HeadReader::default());
                }
                RequestState::Lost | RequestState::Silent => return Ok(()),
            }
        }
        Ok(())
    }

    fn begin_request(
        &mut self,
        head: RequestHead,
        at: Instant,
        sink: &mut Sink<'_>,
    ) -> Result<(), HttpProblem> {
        if self.pending.len() == MOST_PENDING {
            return Err(HttpProblem::TooManyRequests);
        }
        self.count += 1;
        let (body, size) = match head.length {
            HeadLength::Chunked | HeadLength::OtherEncoding => {
                (Some(HttpBody::Chunked(ChunkedBody::default())), None)
            }
            HeadLength::Nothing | HeadLength::Length(0) => (None, Some(0)),
            HeadLength::Length(length) => (Some(HttpBody::Length(length)), Some(length)),
        };
        let request = HttpRequest {
            asks_for_upgrade: head.asks_for_upgrade || head.method == "CONNECT",
            method: shortened(head.method, METHOD),
            target: shortened(head.target, TARGET),
            minor: head.minor,
            size,
            number: self.count,
            sent: at,
        };
        sink(HttpEvent::Request(&request));
        self.requests = match body {
            Some(body) => RequestState::Body(body, request.number),
            None => after_request(request.asks_for_upgrade),
        };
        self.pending.push_back(request);
        Ok(())
    }

    fn feed_responses(&mut self, mut bytes: &[u8], at: Instant, sink: &mut Sink<'_>) -> HttpResult {
        let fail = |problem| (ObservedDirection::ToClient, problem);
        while !bytes.is_empty() {
            match &mut self.responses {
                ResponseState::Head(reader) => {
                    match reader.response(&mut bytes, at).map_err(fail)? {
                        Some((head, since)) => self.begin_response(head, (since, at), sink)?,
                        None => return Ok(()),
                    }
                }
                ResponseState::Body(body, response) => {
                    let is_complete = body.take(&mut bytes, &mut response.size);
                    if is_complete.map_err(|_| fail(HttpProblem::Chunk))? {
                        self.finish_response(at, sink);
                    }
                }
                ResponseState::Lost if !self.pending.is_empty() && begins_with_response(bytes) => {
                    self.responses = ResponseState::Head(HeadReader::default());
                }
                ResponseState::Lost => return Ok(()),
            }
        }
        Ok(())
    }

    fn begin_response(
        &mut self,
        head: ResponseHead,
        (since, at): (Instant, Instant),
        sink: &mut Sink<'_>,
    ) -> HttpResult {
        let (status, reason) = (head.status, shortened(head.reason, PHRASE));
        self.responses = ResponseState::Head(HeadReader::default());
        if (100..200).contains(&status) && status != 101 {
            sink(HttpEvent::Interim { status, reason });
            return Ok(());
        }
        let request = self.pending.pop_front();
        let (is_connect, asked) = request.as_ref().map_or((false, false), |request| {
            (request.method == "CONNECT", request.asks_for_upgrade)
        });
        let is_tunnel = is_connect && (200..300).contains(&status);
        let has_body = request
            .as_ref()
            .is_none_or(|request| request.method != "HEAD")
            && !is_tunnel
            && !matches!(status, 101 | 204 | 304);
        let (body, promised) = match head.length {
            _ if !has_body => (None, None),
            HeadLength::Length(0) => (None, None),
            HeadLength::Length(length) => (Some(HttpBody::Length(length)), Some(length)),
            HeadLength::Chunked => (Some(HttpBody::Chunked(ChunkedBody::default())), None),
            HeadLength::Nothing | HeadLength::OtherEncoding => (Some(HttpBody::UntilEof), None),
        };
        let latency = request
            .as_ref()
            .map(|it| since.saturating_duration_since(it.sent));
        let response = HttpResponse {
            status,
            reason,
            size: 0,
            promised,
            is_complete: false,
            request,
            latency,
            total: None,
        };
        // A server of Docker answers a request for an upgrade with 200 as well, and the stream follows.
        let is_raw = asked && status == 200 && matches!(body, Some(HttpBody::UntilEof));
        let protocol = match head.upgrade.filter(|_| !is_connect) {
            Some(protocol) => shortened(protocol, PHRASE),
            None if is_connect => "a tunnel".to_owned(),
            None => "another protocol".to_owned(),
        };
        if status == 101 || is_tunnel || is_raw {
            sink(HttpEvent::Response(&finished(response, true, at)));
            self.give_up();
            sink(HttpEvent::Upgraded(protocol));
            return Ok(());
        }
        match body {
            Some(body) => self.responses = ResponseState::Body(body, response),
            None => sink(HttpEvent::Response(&finished(response, true, at))),
        }
        self.release(asked, at, sink)
    }

    /// After a response that is no upgrade: what the client has sent behind its request is HTTP.
    fn release(&mut self, asked: bool, at: Instant, sink: &mut Sink<'_>) -> HttpResult {
        match &mut self.requests {
            RequestState::Held(held) if asked => {
                let held = std::mem::take(held);
                self.requests = RequestState::Head(HeadReader::default());
                self.feed_requests(&held, at, sink)
            }
            _ => Ok(()),
        }
    }

    fn finish_response(&mut self, at: Instant, sink: &mut Sink<'_>) {
        let next = ResponseState::Head(HeadReader::default());
        if let ResponseState::Body(_, response) = std::mem::replace(&mut self.responses, next) {
            sink(HttpEvent::Response(&finished(response, true, at)));
        }
    }
}

type HttpResult = Result<(), (ObservedDirection, HttpProblem)>;

fn after_request(asks_for_upgrade: bool) -> RequestState {
    if asks_for_upgrade {
        RequestState::Held(Vec::new())
    } else {
        RequestState::Head(HeadReader::default())
    }
}

fn finished(response: HttpResponse, is_complete: bool, at: Instant) -> HttpResponse {
    let sent = response.request.as_ref().map(|request| request.sent);
    HttpResponse {
        is_complete,
        total: sent.map(|sent| at.saturating_duration_since(sent)),
        ..response
    }
}

/// At most `most` bytes of it.
fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}
