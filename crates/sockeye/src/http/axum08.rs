//! What axum 0.8 needs: a listener, the caller of a connection, and an extractor.

use std::future::pending;
use std::io;
use std::os::unix::net::SocketAddr;

use axum::extract::FromRequestParts;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use http::StatusCode;
use http::request::Parts;

use super::{Caller, Incoming, IncomingConnection};
use crate::socket;

impl Listener for Incoming {
    type Io = IncomingConnection;
    type Addr = SocketAddr;

    /// Waits for ever when the server has ended.
    async fn accept(&mut self) -> (IncomingConnection, SocketAddr) {
        loop {
            let Some(mut connection) = self.next().await else {
                pending().await
            };
            match connection.peer_addr().or_else(|_| socket::unnamed()) {
                Ok(address) => return (connection, address),
                Err(_) => connection.mark_aborted(),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.local_addr {
            Ok(address) => Ok(address.clone()),
            Err(error) => Err(error.kind().into()),
        }
    }
}

/// For [`into_make_service_with_connect_info`](axum::Router::into_make_service_with_connect_info).
impl Connected<IncomingStream<'_, Incoming>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Incoming>) -> Self {
        stream.io().caller().clone()
    }
}

/// An extractor, under [`serve`](super::serve()) and with the connect info of [`Incoming`].
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let caller = Self::in_extensions(&parts.extensions);
        caller.cloned().ok_or((
            StatusCode::INTERNAL_SERVER_ERROR,
            "this request has no http::Caller: serve with sockeye::http::serve, or with http::Incoming and \
             into_make_service_with_connect_info::<Caller>()\n",
        ))
    }
}
