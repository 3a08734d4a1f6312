//! [`HandlerPanic`]: the panic of a handler, for the test that runs the server.

use std::any::Any;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::Server;

/// The first panic of a handler.
#[derive(Debug, Default)]
pub(super) struct HandlerPanic {
    first: Mutex<Option<Box<dyn Any + Send>>>,
    occurred: Notify,
}

impl HandlerPanic {
    pub(super) fn keep(&self, payload: Box<dyn Any + Send>) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *first {
            // Dropping it might panic again.
            Some(_) => std::mem::forget(payload),
            first => *first = Some(payload),
        }
        self.occurred.notify_one();
    }

    pub(super) fn take(&self) -> Option<Box<dyn Any + Send>> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.take()
    }

    /// Waits for the first panic.
    pub(super) async fn next(&self) -> Box<dyn Any + Send> {
        loop {
            if let Some(payload) = self.take() {
                return payload;
            }
            self.occurred.notified().await;
        }
    }
}

impl Server {
    /// Has [`run`](Self::run) panic as soon as a handler does, instead of that connection alone: a failed
    /// assertion in a handler then fails the test that runs the server. Default no.
    ///
    /// ```should_panic
    /// # use sockeye::{Address, Claim, Connection, Connector, Listener, Server};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let address = Address::from_path(dir.path().join("app.sock"))?;
    /// # let listener = Listener::open(&address, &Claim::options())?;
    /// let handler = |connection: Connection| async move {
    ///     let peer = connection.peer().unwrap();
    ///     assert_eq!(peer.pid(), None, "its client is this process");
    /// };
    /// let server = Server::new().propagate_panics(true);
    /// let _client = Connector::new().connect(&address).await?;
    /// server.run(listener, handler, std::future::pending()).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn propagate_panics(mut self, propagate: bool) -> Self {
        self.propagates_panics = propagate;
        self
    }
}
