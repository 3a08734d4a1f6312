//! Why nothing could be received, as a log line or as one of the server's limits.

use std::io::{self, ErrorKind};

use sockeye::ancillary::RecvError;
use sockeye::server::LimitError;

/// The limit of the server that has ended a connection, if one has.
pub(super) fn limit_of(error: &io::Error) -> Option<&LimitError> {
    error.get_ref()?.downcast_ref()
}

/// Whether the idle timeout, or that of the first byte, has ended a connection.
pub(super) fn is_idle_timeout(error: &io::Error) -> bool {
    error.kind() == ErrorKind::TimedOut && limit_of(error).is_none()
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
