//! axum on a socket that has an owner, with authorization by route, an event stream and an upgrade.
//!
//! ```console
//! $ cargo run -p sockeye-examples --example axum -- /tmp/app.sock --admin-group 27
//! $ curl --unix-socket /tmp/app.sock http://localhost/whoami
//! $ curl --unix-socket /tmp/app.sock http://localhost/admin     # 403 unless of our user or that group
//! ```
//!
//! With `--takeover` a restart refuses no client. With `--incoming` axum runs the accept loop.

#[path = "../crates/sockeye/examples/common/mod.rs"]
mod common;

use std::convert::Infallible;

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use futures_util::{Stream, StreamExt, stream};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sockeye::http::{Allow, Caller, Incoming};
use sockeye::{Claim, Listener, Pid, Server, Takeover};

#[tokio::main]
async fn main() -> common::Ending {
    let usage = "usage: axum ADDRESS [--drain D] [--incoming] [--takeover] [--admin-group GID] \
                 [--max-connections N] [--max-per-uid N]";
    let mut args = common::Arguments::parse(usage)?;
    let (is_incoming, is_takeover) = (args.flag("--incoming"), args.flag("--takeover"));
    let group: Option<u32> = args.value("--admin-group")?;
    let connections = args.value("--max-connections")?.unwrap_or(usize::MAX);
    let per_uid = args.value("--max-per-uid")?.unwrap_or(usize::MAX);
    args.end()?;
    let (shutdown, abort) = common::signals()?;
    // Anybody may connect; the routes decide.
    let (address, claim) = (&args.address, Claim::options().mode(0o666));
    let listener: Listener = if is_takeover {
        Takeover::new(claim).listen(address).await?
    } else {
        Listener::open(address, &claim)?
    };
    common::listening(address);
    let server = Server::new().drain_timeout(args.drain).abort_on(abort);
    let server = server.max_connections(connections).max_per_uid(per_uid);
    let app = app(Allow::new().same_user().groups(group));
    let report = if is_incoming {
        let incoming = Incoming::new(server, listener, shutdown);
        let (ended, report) = (incoming.ended(), incoming.report());
        let app = app.into_make_service_with_connect_info::<Caller>();
        let server = axum::serve(incoming, app);
        server.with_graceful_shutdown(ended).await?;
        report.await?
    } else {
        sockeye::http::serve(server, listener, app, shutdown).await?
    };
    common::finish(&report)
}

fn app(admins: Allow) -> Router {
    Router::new()
        .route("/admin", get(|| async { "restricted\n" }).layer(admins))
        .route("/", get(|| async { "hello\n" }))
        .route("/small", get(|| async { "x".repeat(64) }))
        .route("/whoami", get(whoami))
        .route("/events", get(events))
        .route("/echo", any(echo))
}

/// `null` is an id without a mapping in our namespaces.
async fn whoami(caller: Caller) -> Json<Value> {
    let (uid, gid, groups) = (caller.uid(), caller.gid(), caller.groups());
    let pid = caller.pid().map(Pid::as_raw_nonzero);
    Json(json!({ "uid": uid, "gid": gid, "pid": pid, "groups": groups }))
}

/// The first event at once, and then none: a drain ends it at its timeout.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let first = stream::once(async { Ok(Event::default().data("hello")) });
    Sse::new(first.chain(stream::pending()))
}

/// The connection keeps its permit after the upgrade, and the drain timeout ends it, too.
async fn echo(mut request: Request) -> Response {
    let protocol = request.headers().get(header::UPGRADE);
    if protocol.is_none_or(|name| name != "tcp") {
        return StatusCode::UPGRADE_REQUIRED.into_response();
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgrade.await?));
        Ok::<_, common::BoxError>(tokio::io::copy(&mut reader, &mut writer).await?)
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "tcp")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}
