//! `http::Allow`: who is admitted to a route, and what the others are told.

use std::convert::Infallible;
use std::os::unix::net::UnixStream;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use axum::routing::get;
use rustix::fs::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use sockeye::http::{Allow, Caller};
use sockeye::peer::AllowedPeers;
use tower_service::Service;

use crate::support::{skipped, text};

/// A user who owns nothing here, and its group.
const NOBODY: u32 = 65534;
const ADMINS: u32 = 4242;

/// The caller of a connection that this process has made.
fn ourselves() -> Caller {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    Caller::of(&ours).unwrap()
}

/// The caller of a connection that nobody has made, with these supplementary groups.
fn nobody(groups: &[u32]) -> Option<Caller> {
    if !rustix::process::geteuid().is_root() {
        skipped("only root can become another user");
        return None;
    }
    // The kernel keeps ids by thread.
    let connected = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
            let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
            set_thread_groups(&groups).unwrap();
            set_thread_res_gid(gid, gid, gid).unwrap();
            set_thread_res_uid(uid, uid, uid).unwrap();
            UnixStream::pair().unwrap()
        });
        thread.join().unwrap()
    });
    Some(Caller::of(&connected.0).unwrap())
}

async fn ask(router: &Router, path: &str, caller: Option<Caller>) -> Response {
    let mut request = Request::get(path).body(Body::empty()).unwrap();
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    let answered: Result<_, Infallible> = router.clone().call(request).await;
    answered.unwrap()
}

/// `/` is open, `/admin` is restricted.
fn router(allow: Allow) -> Router {
    Router::new()
        .route("/admin", get(|| async { "restricted" }))
        .route_layer(allow)
        .route("/", get(|| async { "open" }))
}

#[tokio::test]
async fn our_own_user_is_admitted() {
    let router = router(Allow::new().same_user());
    let response = ask(&router, "/admin", Some(ourselves())).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(text(response).await, "restricted");
}

#[tokio::test]
async fn somebody_else_is_refused_on_that_route_alone_and_told_who_is_allowed() {
    let router = router(Allow::new().users([0]).groups([ADMINS]));
    let Some(caller) = nobody(&[100]) else {
        return;
    };
    let response = ask(&router, "/admin", Some(caller.clone())).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        response.headers()[CONTENT_TYPE],
        "text/plain; charset=utf-8"
    );
    assert_eq!(
        text(response).await,
        "forbidden: allowed is uid 0, or group 4242; you are uid 65534 with groups 65534 100\n"
    );
    let response = ask(&router, "/", Some(caller)).await;
    assert_eq!(text(response).await, "open");
}

#[tokio::test]
async fn a_supplementary_group_alone_admits() {
    let router = router(Allow::new().groups([ADMINS]));
    let Some(member) = nobody(&[100, ADMINS]) else {
        return;
    };
    assert_eq!(member.gid(), Some(NOBODY));
    let response = ask(&router, "/admin", Some(member)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let stranger = nobody(&[]).unwrap();
    let response = ask(&router, "/admin", Some(stranger)).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_primary_group_admits() {
    let Some(caller) = nobody(&[]) else {
        return;
    };
    let router = router(AllowedPeers::new().groups([NOBODY]).into());
    let response = ask(&router, "/admin", Some(caller)).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn nobody_is_admitted_who_is_not_named() {
    let router = router(Allow::new());
    let response = ask(&router, "/admin", Some(ourselves())).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let text = text(response).await;
    assert!(text.contains("allowed is nobody; you are uid "), "{text}");
}

#[tokio::test]
async fn a_request_without_a_caller_is_refused_and_says_so() {
    let router = router(Allow::new().same_user());
    let response = ask(&router, "/admin", None).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let text = text(response).await;
    assert!(text.contains("http::Caller"), "{text}");
}
