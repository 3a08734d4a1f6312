//! Why nothing could be received, as a log line or as one of the server's limits.

use std::io;

use sockeye::ancillary::RecvError;
use sockeye::server::LimitError;

/// The limit of the server that has ended a connection, if one has other than a timeout of
/// [`is_idle_timeout`].
pub(super) fn limit_of(error: &io::Error) -> Option<&LimitError> {
    let limit = error.get_ref()?.downcast_ref()?;
    (!is_idle(limit)).then_some(limit)
}

fn is_idle(limit: &LimitError) -> bool {
    matches!(
        limit,
        LimitError::FirstByteTimeout { .. }
            | LimitError::IdleTimeout { .. }
            | LimitError::WriteTimeout { .. }
    )
}

/// Whether the idle timeout, or that of the first byte, has ended a connection.
pub(super) fn is_idle_timeout(error: &io::Error) -> bool {
    let limit = error.get_ref().and_then(|reason| reason.downcast_ref());
    limit.is_some_and(is_idle)
}

/// Describes what was refused or lost; `None` for an error of the socket itself.
pub(super) fn describe_recv_error(error: &RecvError) -> Option<String> {
    match error {
        RecvError::TooLong { size, limit } => Some(format!(
            "sent a record of {size} bytes, and --max-message allows {limit}"
        )),
        RecvError::DescriptorsLost => {
            Some("sent more descriptors than this process may still open (ulimit -n)".to_owned())
        }
        RecvError::TooManyDescriptors => Some(format!("sent {error}")),
        RecvError::StillClosing => Some(
            "passed file descriptors while too many that were passed before are still being closed"
                .to_owned(),
        ),
        _ => None,
    }
}
