//! A thread that has the ids of a client until it ends.

use std::io;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::credentials::{ClientCredentials, CredentialsError};
use crate::sys::signal_mask;

/// Calls `act` on a new thread with the ids of `client`. The thread is never used again: whatever
/// panics or returns early, the ids end with it. `act` must start no thread and no process, since those
/// would inherit them.
///
/// # Errors
/// [`CredentialsError::NotTaken`] where `act` was not called, and [`CredentialsError::Thread`].
///
/// # Cancel safety
/// Dropping the future does not stop the thread, which holds `permit` and drops what `act` returns.
pub(super) async fn run<T: Send + 'static>(
    client: ClientCredentials,
    permit: OwnedSemaphorePermit,
    act: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CredentialsError> {
    let (done, receiver) = oneshot::channel();
    let work = move || {
        // Dropped last.
        let _permit = permit;
        // The process's signal handlers must not run with these ids.
        signal_mask::block_all();
        if !done.is_closed() {
            let result = client.take().map(|()| act());
            let _ = done.send(result);
        }
    };
    let thread = std::thread::Builder::new().name("connecting".to_owned());
    thread.spawn(work).map_err(CredentialsError::Thread)?;
    match receiver.await {
        Ok(result) => result,
        Err(_) => Err(CredentialsError::Thread(io::Error::other(
            "it has panicked",
        ))),
    }
}
