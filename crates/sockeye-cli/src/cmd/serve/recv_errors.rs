//! Why nothing could be received: in the server's words, or as one of its limits.

use std::io;

use sockeye::ancillary::RecvError;
use sockeye::server::LimitError;

/// The limit of the server that has ended a connection, if one has.
pub(super) fn limit_of(error: &io::Error) -> Option<&LimitError> {
    error.get_ref()?.downcast_ref()
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
