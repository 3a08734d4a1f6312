//! `serve --http`: the files of a directory, read-only.

mod file_body;
mod file_root;
mod preconditions;

use std::ffi::OsStr;
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED,
    LOCATION,
};
use http::response::Builder;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sockeye::Listener;
use sockeye::http::{BoxError, Caller};
use sockeye::server::{Report, Server, ServerError};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tower_service::Service;

use super::handler::Handler;
use crate::output::http_request::ShownRequest;
use file_body::FileBody;
pub(super) use file_root::FileRoot;
use file_root::{FileRefusal, FoundFile};
use preconditions::{FileVersion, Selected};

/// How many calls of file systems may be under way at a time. One that hangs holds up one of them.
pub(super) const FILE_THREADS: usize = 16;

/// What a path keeps as it is (RFC 3986, `pchar` and the slash).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// Serves the files of `root` until `stopped` completes, then drains.
pub(super) async fn serve(
    root: Arc<FileRoot>,
    handler: &Arc<Handler>,
    (server, listener): (Server, Listener),
    stopped: impl Future<Output = ()>,
) -> Result<Report, ServerError> {
    let service = FileService {
        root,
        handler: Arc::clone(handler),
        free_threads: Arc::new(Semaphore::new(FILE_THREADS)),
    };
    sockeye::http::serve(server, listener, service, stopped).await
}

/// Answers each request with a file.
#[derive(Clone)]
struct FileService {
    root: Arc<FileRoot>,
    handler: Arc<Handler>,
    /// A request that is given up leaves this queue; it would not leave that of the threads.
    free_threads: Arc<Semaphore>,
}

impl FileService {
    async fn respond<B>(self, request: Request<B>) -> Result<Response<FileBody>, BoxError> {
        let (head, _) = request.into_parts();
        let caller = head.extensions.get::<Caller>();
        let sender = self.handler.output.caller(caller);
        let (method, uri) = (head.method.clone(), head.uri.clone());
        let is_get = method == Method::GET;
        let mut response = if is_get || method == Method::HEAD {
            let (root, thread) = (self.root, self.free_threads.acquire_owned().await?);
            // open(2) may block.
            let answer = move || {
                let answer = answer(&root, &head.uri, &head.headers);
                drop(thread);
                answer
            };
            spawn_blocking(answer).await?
        } else {
            let refusal = FileRefusal {
                status: StatusCode::METHOD_NOT_ALLOWED,
                why: "files can be read, with GET and HEAD",
            };
            refuse(Response::builder().header(ALLOW, "GET, HEAD"), &refusal)
        };
        if method == Method::HEAD {
            *response.body_mut() = FileBody::empty();
        }
        let shown = ShownRequest {
            method: method.as_str(),
            target: &target(&uri),
            version: head.version,
            status: response.status(),
            bytes: response.body().size(),
        };
        let log = &self.handler.log;
        let body = response.body_mut();
        body.log_to(log, || shown.describe(&sender));
        let line = self.handler.output.request_line(&shown, &sender);
        if self.handler.output.print(line, &sender).await {
            Ok(response)
        } else {
            // Who has asked is in the log already.
            Err("the request could not be printed".into())
        }
    }
}

impl<B: Send + 'static> Service<Request<B>> for FileService {
    type Response = Response<FileBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(self.clone().respond(request))
    }
}

/// The path and query, also where HTTP/2 or a proxy names a host.
fn target(uri: &Uri) -> String {
    uri.path_and_query()
        .map_or_else(|| uri.to_string(), PathAndQuery::to_string)
}

/// The response to a GET.
fn answer(root: &FileRoot, uri: &Uri, fields: &HeaderMap) -> Response<FileBody> {
    if !uri.path().starts_with('/') {
        // `*`, or a host and port alone.
        let refusal = FileRefusal {
            status: StatusCode::BAD_REQUEST,
            why: "the path of a request begins with a slash",
        };
        return refuse(Response::builder(), &refusal);
    }
    let path: Vec<u8> = percent_decode_str(uri.path()).collect();
    let found = match root.find(&path) {
        Ok(FoundFile::File(file)) => send_file(file, &path, fields),
        Ok(FoundFile::Directory) => Ok(redirect(&path, uri.query())),
        Err(refusal) => Err(refusal),
    };
    found.unwrap_or_else(|refusal| refuse(Response::builder(), &refusal))
}

fn send_file(
    file: File,
    path: &[u8],
    fields: &HeaderMap,
) -> Result<Response<FileBody>, FileRefusal> {
    let unreadable = |_: io::Error| FileRefusal {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        why: "it cannot be read",
    };
    let version = FileVersion::of(&file.metadata().map_err(unreadable)?);
    let mut response = Response::builder()
        .header(ACCEPT_RANGES, "bytes")
        .header(ETAG, &version.etag);
    if let Some(date) = version.last_modified() {
        response = response.header(LAST_MODIFIED, date);
    }
    let size = version.size;
    let (status, part) = match version.select(fields) {
        Selected::Whole => (StatusCode::OK, 0..size),
        Selected::Part(part) => {
            let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            response = response.header(CONTENT_RANGE, range);
            (StatusCode::PARTIAL_CONTENT, part)
        }
        Selected::NotModified => {
            let response = response.status(StatusCode::NOT_MODIFIED);
            return Ok(built(response, FileBody::empty()));
        }
        Selected::PreconditionFailed => {
            let refusal = FileRefusal {
                status: StatusCode::PRECONDITION_FAILED,
                why: "it is another version",
            };
            return Ok(refuse(response, &refusal));
        }
        Selected::NotSatisfiable => {
            let refusal = FileRefusal {
                status: StatusCode::RANGE_NOT_SATISFIABLE,
                why: "the range begins behind its end",
            };
            let range = format!("bytes */{size}");
            return Ok(refuse(response.header(CONTENT_RANGE, range), &refusal));
        }
    };
    let length = part.end - part.start;
    let response = response
        .status(status)
        .header(CONTENT_TYPE, content_type(path))
        .header(CONTENT_LENGTH, length);
    let body = FileBody::of_file(file, part).map_err(unreadable)?;
    Ok(built(response, body))
}

/// By the extension; a text is UTF-8.
fn content_type(path: &[u8]) -> String {
    let name = Path::new(OsStr::from_bytes(path));
    let mime = match path {
        [.., b'/'] | [] => mime_guess::mime::TEXT_HTML,
        _ => mime_guess::from_path(name).first_or_octet_stream(),
    };
    if mime.type_() == mime_guess::mime::TEXT {
        format!("{mime}; charset=utf-8")
    } else {
        mime.to_string()
    }
}

/// To the same path with a slash at its end. It is encoded again and begins with one slash, so that no
/// browser takes its first name for a host.
fn redirect(path: &[u8], query: Option<&str>) -> Response<FileBody> {
    let slashes = path.iter().take_while(|&&byte| byte == b'/').count();
    let path = percent_encode(&path[slashes..], ENCODED);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("/{path}/{query}");
    let moved = FileRefusal {
        status: StatusCode::MOVED_PERMANENTLY,
        why: "it is a directory, whose path ends with a slash",
    };
    refuse(Response::builder().header(LOCATION, location), &moved)
}

/// A text that says why.
fn refuse(response: Builder, refusal: &FileRefusal) -> Response<FileBody> {
    let text = format!("{}: {}\n", refusal.status, refusal.why);
    let response = response
        .status(refusal.status)
        .header(CONTENT_TYPE, "text/plain; charset=utf-8")
        .header(CONTENT_LENGTH, text.len());
    built(response, FileBody::text(Bytes::from(text)))
}

fn built(response: Builder, body: FileBody) -> Response<FileBody> {
    response.body(body).unwrap_or_else(|_| {
        // No field is made of what a client or a file says as it is.
        let mut response = Response::new(FileBody::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}
