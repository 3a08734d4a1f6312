//! [`Allow`]: who may send requests to a route, by user and group.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{Either, MapOk, Ready, TryFutureExt, ready};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{Either as EitherBody, Full};
use tower_layer::Layer;
use tower_service::Service;

use super::caller::Caller;
use crate::ids;
use crate::peer::AllowedPeers;

/// A tower layer that admits requests of these users and groups only; at first of nobody. Others get
/// `403 Forbidden`, with a line of text that says who is allowed and who has asked; gRPC clients get the
/// status `PERMISSION_DENIED` with that line.
///
/// It looks at the [`Caller`] in the extensions of the request, where [`serve`](super::serve) puts it. A
/// request without one is refused, and the text says so. A group is the primary one of the caller or a
/// supplementary one; an id without a mapping in our user namespace matches nothing, and root is a user
/// like any other.
///
/// [`Server::allow_users`](crate::Server::allow_users) and its like decide about whole connections.
///
/// ```
/// use axum::{Router, routing::get};
/// use sockeye::http::Allow;
///
/// let admin = Router::new()
///     .route("/admin", get(|| async { "restricted" }))
///     .route_layer(Allow::new().same_user().groups([4]));
/// let app = Router::new().route("/", get(|| async { "open" })).merge(admin);
/// # let _: Router = app;
/// ```
#[doc(alias = "authorization")]
#[doc(alias = "SO_PEERCRED")]
#[derive(Debug, Clone, Default)]
pub struct Allow(Arc<AllowedPeers>);

impl Allow {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows our own effective user.
    #[must_use]
    pub fn same_user(self) -> Self {
        self.and(AllowedPeers::same_user)
    }

    /// Allows these users, by their user ids.
    #[must_use]
    pub fn users(self, uids: impl IntoIterator<Item = u32>) -> Self {
        self.and(|allowed| allowed.users(uids))
    }

    /// Allows the members of these groups, by their group ids; getgrnam(3) has that of a name (in the crate
    /// nix, `Group::from_name`).
    #[must_use]
    pub fn groups(self, gids: impl IntoIterator<Item = u32>) -> Self {
        self.and(|allowed| allowed.groups(gids))
    }

    fn and(self, more: impl FnOnce(AllowedPeers) -> AllowedPeers) -> Self {
        more(Arc::unwrap_or_clone(self.0)).into()
    }

    /// Why a request of `caller` is refused; `None` where it is admitted.
    fn refusal(&self, caller: Option<&Caller>) -> Option<String> {
        let Some(caller) = caller else {
            return Some(
                "forbidden: who has sent this request is not known; the server has to put an http::Caller \
                 into its extensions, as sockeye::http::serve does\n"
                    .to_owned(),
            );
        };
        let (uid, gid, groups) = (caller.uid(), caller.gid(), caller.groups());
        if self.0.admits_ids(uid, gid, groups) {
            return None;
        }
        let (uid, gid) = (ids::Shown(uid), ids::Shown(gid));
        let mut text = format!(
            "forbidden: allowed is {}; you are uid {uid} with groups {gid}",
            self.0
        );
        for group in groups {
            text.push(' ');
            text.push_str(&group.to_string());
        }
        text.push('\n');
        Some(text)
    }
}

impl From<AllowedPeers> for Allow {
    fn from(allowed: AllowedPeers) -> Self {
        Self(Arc::new(allowed))
    }
}

impl<S> Layer<S> for Allow {
    type Service = AllowService<S>;

    fn layer(&self, inner: S) -> AllowService<S> {
        let allow = self.clone();
        AllowService { allow, inner }
    }
}

/// The service of the [`Allow`] layer.
#[derive(Debug, Clone)]
pub struct AllowService<S> {
    allow: Allow,
    inner: S,
}

/// The response of the service, or the text of a refusal.
type AllowBody<B> = EitherBody<Full<Bytes>, B>;

impl<S, A, B> Service<Request<A>> for AllowService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: Body<Data = Bytes>,
{
    type Response = Response<AllowBody<B>>;
    type Error = S::Error;
    type Future = Either<
        Ready<Result<Self::Response, S::Error>>,
        MapOk<S::Future, fn(Response<B>) -> Self::Response>,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        if let Some(text) = self
            .allow
            .refusal(Caller::in_extensions(request.extensions()))
        {
            let refused = match request.headers().get(CONTENT_TYPE) {
                Some(kind) if kind.as_bytes().starts_with(b"application/grpc") => denied(&text),
                _ => forbidden(text),
            };
            return Either::Left(ready(Ok(refused)));
        }
        let admitted: fn(Response<B>) -> _ = |response| response.map(EitherBody::Right);
        Either::Right(self.inner.call(request).map_ok(admitted))
    }
}

fn forbidden<B>(text: String) -> Response<AllowBody<B>> {
    let mut response = Response::new(EitherBody::Left(text.into()));
    *response.status_mut() = StatusCode::FORBIDDEN;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// A response of gRPC without a message (its PROTOCOL-HTTP2.md, Trailers-Only): clients take the text of
/// another response for a message that is broken.
fn denied<B>(text: &str) -> Response<AllowBody<B>> {
    let mut response = Response::new(EitherBody::Left(Full::default()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static("7"));
    if let Ok(text) = HeaderValue::from_str(text.trim_end()) {
        headers.insert("grpc-message", text);
    }
    response
}
