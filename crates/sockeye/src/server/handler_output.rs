//! [`HandlerOutput`]: what a handler may return.

use std::fmt::Display;

/// What a handler of [`Server::run`](super::Server::run) may return: `()` or nothing at all (a loop
/// without end), or a `Result<(), E>` whose error can be displayed. An error counts as [`Report::failed`](super::Report::failed), and is logged with the feature `tracing`.
///
/// ```no_run
/// use sockeye::framing::{Framing, FramingError};
/// use sockeye::server::{Connection, Messages, Server};
///
/// async fn count_lines(connection: Connection) -> Result<(), FramingError> {
///     let mut lines = Messages::new(connection, Framing::Line, 64 << 10);
///     let mut count = 0;
///     while lines.next().await?.is_some() {
///         count += 1;
///     }
///     Ok(lines.send(format!("{count}\n").as_bytes()).await?)
/// }
///
/// # async fn example(listener: sockeye::Listener) -> Result<(), sockeye::server::ServerError> {
/// let report = Server::new().run(listener, count_lines, std::future::pending()).await?;
/// println!("{} handlers failed", report.failed);
/// # Ok(())
/// # }
/// ```
pub trait HandlerOutput: sealed::Failure {}

impl HandlerOutput for () {}
impl HandlerOutput for Never {}
impl<E: Display> HandlerOutput for Result<(), E> {}

/// The type `!`, which stable Rust lets nobody write here.
type Never = <fn() -> ! as sealed::Returns>::Output;

pub(super) mod sealed {
    use super::{Display, Never};

    pub trait Returns {
        type Output;
    }

    impl<T> Returns for fn() -> T {
        type Output = T;
    }

    pub trait Failure {
        fn failure(&self) -> Option<&dyn Display>;
    }

    impl Failure for () {
        fn failure(&self) -> Option<&dyn Display> {
            None
        }
    }

    impl Failure for Never {
        fn failure(&self) -> Option<&dyn Display> {
            None
        }
    }

    impl<E: Display> Failure for Result<(), E> {
        fn failure(&self) -> Option<&dyn Display> {
            self.as_ref().err().map(|error| error as &dyn Display)
        }
    }
}
