//! Exit codes (exit status): the one place that says which error ends the command with which code.

use std::io::ErrorKind;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use sockeye::capture::{
    OpenFailure, RecorderError, RecorderErrorKind, RecordingError, RecordingErrorKind,
};
use sockeye::claim::ClaimErrorKind;
use sockeye::connect::ConnectErrorKind;
use sockeye::relay::{
    CredentialsError, DatagramRelayError, NetListenError, NetListenErrorKind, RelayError,
    TargetError, TargetErrorKind, TargetsError,
};
use sockeye::takeover::TakeoverErrorKind;
use sockeye::tap::{TapError, TapErrorKind};
use sockeye::{AddressError, ClaimError, ConnectError, TakeoverError};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    NothingThere = 3,
    InUse = 4,
    NotPermitted = 5,
    TimedOut = 6,
    /// Done, but incomplete. `serve`: it has lost something that a client had sent, or the answer to
    /// it; the report counts it as aborted, or as a dropped answer. A client that is refused or breaks
    /// a rule does not count.
    Incomplete = 7,
}

impl Exit {
    /// Of the number with which a process of this command has ended.
    pub(crate) fn from_code(code: u8) -> Self {
        let all = [
            Self::Done,
            Self::Failed,
            Self::Usage,
            Self::NothingThere,
            Self::InUse,
            Self::NotPermitted,
            Self::TimedOut,
            Self::Incomplete,
        ];
        let found = all.into_iter().find(|&exit| exit as u8 == code);
        found.unwrap_or(Self::Failed)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct CommandFailure {
    exit: Exit,
    text: String,
}

/// Ends the command as the signal would, but after every destructor has run; nothing is printed.
#[derive(Debug, thiserror::Error)]
#[error("ended by {0:?}")]
struct EndedBySignal(Signal);

/// The end by a signal: SIGINT after Ctrl-C, SIGPIPE where nobody reads the output.
pub(crate) fn by_signal(signal: Signal) -> anyhow::Error {
    EndedBySignal(signal).into()
}

/// A failure of the command itself: what was tried, what was found, what to do.
pub(crate) fn failure(exit: Exit, text: impl Into<String>) -> anyhow::Error {
    let text = text.into();
    CommandFailure { exit, text }.into()
}

/// The signal that ends the command, if one does.
pub(crate) fn signal_of(error: &anyhow::Error) -> Option<Signal> {
    error.downcast_ref().map(|&EndedBySignal(signal)| signal)
}

/// The exit code of an error.
pub(crate) fn code_of(error: &anyhow::Error) -> Exit {
    if let Some(failure) = error.downcast_ref::<CommandFailure>() {
        failure.exit
    } else if let Some(error) = error.downcast_ref::<ClaimError>() {
        of_claim(error)
    } else if let Some(error) = error.downcast_ref::<ConnectError>() {
        of_connect(error)
    } else if let Some(error) = error.downcast_ref::<TakeoverError>() {
        of_takeover(error)
    } else if let Some(error) = error.downcast_ref::<TargetsError>() {
        // Of several targets the first one that was tried decides.
        error.errors().first().map_or(Exit::Failed, of_target)
    } else if let Some(error) = error.downcast_ref::<CredentialsError>() {
        of_credentials(error)
    } else if let Some(error) = error.downcast_ref::<NetListenError>() {
        of_net_listen(error)
    } else if let Some(error) = error.downcast_ref::<DatagramRelayError>() {
        of_datagram_relay(error)
    } else if let Some(error) = error.downcast_ref::<RecorderError>() {
        of_recorder(error)
    } else if let Some(error) = error.downcast_ref::<RecordingError>() {
        of_recording(error)
    } else if let Some(error) = error.downcast_ref::<TapError>() {
        of_tap(error)
    } else if error.is::<AddressError>() || error.is::<RelayError>() {
        Exit::Usage
    } else {
        Exit::Failed
    }
}

fn of_claim(error: &ClaimError) -> Exit {
    match error.kind() {
        ClaimErrorKind::InUse { .. }
        | ClaimErrorKind::Displaced { .. }
        | ClaimErrorKind::Locked { .. }
        | ClaimErrorKind::NotASocket(_)
        | ClaimErrorKind::Stale
        | ClaimErrorKind::MountPoint
        | ClaimErrorKind::LayerChanged
        | ClaimErrorKind::ForeignLockFile(_) => Exit::InUse,
        ClaimErrorKind::ParentMissing(_)
        | ClaimErrorKind::ParentRemoved(_)
        | ClaimErrorKind::ParentNotADirectory(_) => Exit::NothingThere,
        ClaimErrorKind::ParentDenies { .. }
        | ClaimErrorKind::NoSockets { denied: true, .. }
        | ClaimErrorKind::ProcessDenies(_)
        | ClaimErrorKind::LockDenied { .. }
        | ClaimErrorKind::OwnerDenied { .. }
        | ClaimErrorKind::ModeDenied { .. }
        | ClaimErrorKind::AccessList => Exit::NotPermitted,
        ClaimErrorKind::Unclear | ClaimErrorKind::ForeignControlFile { .. } => {
            if is_denial(error) {
                Exit::NotPermitted
            } else {
                Exit::InUse
            }
        }
        ClaimErrorKind::NameTooLong { .. }
        | ClaimErrorKind::NotAMode { .. }
        | ClaimErrorKind::NoTakeover
        | ClaimErrorKind::AlreadyBound => Exit::Usage,
        _ => Exit::Failed,
    }
}

/// Whether a system call was refused by permissions.
fn is_denial(error: &dyn std::error::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref());
    source.is_some_and(|source: &std::io::Error| source.kind() == ErrorKind::PermissionDenied)
}

fn of_connect(error: &ConnectError) -> Exit {
    if error.waited().is_some() {
        return Exit::TimedOut;
    }
    match error.kind() {
        ConnectErrorKind::Absent
        | ConnectErrorKind::DanglingLink(_)
        | ConnectErrorKind::ParentMissing(_)
        | ConnectErrorKind::WorkingDirectoryRemoved
        | ConnectErrorKind::ParentNotADirectory(_)
        | ConnectErrorKind::Stale
        | ConnectErrorKind::Displaced { .. }
        | ConnectErrorKind::Unclear(_)
        | ConnectErrorKind::NobodyListens
        | ConnectErrorKind::NotListening { .. }
        | ConnectErrorKind::NotASocket(_)
        | ConnectErrorKind::WrongKind { .. } => Exit::NothingThere,
        ConnectErrorKind::DirectoryDenies { .. }
        | ConnectErrorKind::ProcessDenies(_)
        | ConnectErrorKind::ModeDenies { .. }
        | ConnectErrorKind::ConnectedElsewhere
        | ConnectErrorKind::Denied => Exit::NotPermitted,
        ConnectErrorKind::Io if is_denial(error) => Exit::NotPermitted,
        ConnectErrorKind::BacklogFull => Exit::TimedOut,
        ConnectErrorKind::WrongAddressKind { .. }
        | ConnectErrorKind::NotAnAddressToCall
        | ConnectErrorKind::NotAdopted(_) => Exit::Usage,
        _ => Exit::Failed,
    }
}

fn of_credentials(error: &CredentialsError) -> Exit {
    match error {
        CredentialsError::NotPermitted(_) | CredentialsError::NotTaken { .. } => Exit::NotPermitted,
        CredentialsError::TimedOut { .. } => Exit::TimedOut,
        CredentialsError::Connect(error) => of_connect(error),
        _ => Exit::Failed,
    }
}

fn of_target(error: &TargetError) -> Exit {
    if error.waited().is_some() {
        return Exit::TimedOut;
    }
    match error.kind() {
        TargetErrorKind::Unix(error) => of_connect(error),
        TargetErrorKind::Credentials(error) => of_credentials(error),
        TargetErrorKind::UnknownHost(_)
        | TargetErrorKind::NobodyListens
        | TargetErrorKind::Unreachable => Exit::NothingThere,
        TargetErrorKind::Denied => Exit::NotPermitted,
        TargetErrorKind::TimedOut { .. } => Exit::TimedOut,
        TargetErrorKind::NotATarget => Exit::Usage,
        _ => Exit::Failed,
    }
}

fn of_net_listen(error: &NetListenError) -> Exit {
    match error.kind() {
        NetListenErrorKind::InUse => Exit::InUse,
        NetListenErrorKind::UnknownHost | NetListenErrorKind::NotThisMachine => Exit::NothingThere,
        NetListenErrorKind::Denied => Exit::NotPermitted,
        NetListenErrorKind::NotNet => Exit::Usage,
        _ => Exit::Failed,
    }
}

fn of_datagram_relay(error: &DatagramRelayError) -> Exit {
    match error {
        DatagramRelayError::NoTarget
        | DatagramRelayError::NotATarget(_)
        | DatagramRelayError::Itself(_) => Exit::Usage,
        DatagramRelayError::Credentials(_) => Exit::NotPermitted,
        _ => Exit::Failed,
    }
}

fn of_recorder(error: &RecorderError) -> Exit {
    match &error.kind {
        RecorderErrorKind::NotARecording
        | RecorderErrorKind::InUse
        | RecorderErrorKind::WrongType(_) => Exit::InUse,
        RecorderErrorKind::OtherOwner(_) => Exit::NotPermitted,
        RecorderErrorKind::NoReader => Exit::NothingThere,
        RecorderErrorKind::Open(failure) => of_open(failure),
        _ => Exit::Failed,
    }
}

fn of_recording(error: &RecordingError) -> Exit {
    match &error.kind {
        RecordingErrorKind::Open(failure) => of_open(failure),
        _ => Exit::Failed,
    }
}

fn of_open(failure: &OpenFailure) -> Exit {
    if failure.is_denial() {
        Exit::NotPermitted
    } else if failure.is_absence() {
        Exit::NothingThere
    } else {
        Exit::Failed
    }
}

fn of_tap(error: &TapError) -> Exit {
    match error.kind() {
        TapErrorKind::NotAPath => Exit::Usage,
        TapErrorKind::Absent
        | TapErrorKind::NotASocket(_)
        | TapErrorKind::NoServer
        | TapErrorKind::NotListening
        | TapErrorKind::WrongKind(_)
        | TapErrorKind::NothingToRestore => Exit::NothingThere,
        TapErrorKind::Tapped { .. }
        | TapErrorKind::Displaced
        | TapErrorKind::ForeignStateFile
        | TapErrorKind::ForeignDisplacedFile => Exit::InUse,
        TapErrorKind::DirectoryDenies | TapErrorKind::StateFileDenies => Exit::NotPermitted,
        TapErrorKind::Claim(error) => of_claim(error),
        TapErrorKind::Io(error) if error.kind() == ErrorKind::PermissionDenied => {
            Exit::NotPermitted
        }
        _ => Exit::Failed,
    }
}

fn of_takeover(error: &TakeoverError) -> Exit {
    match error.kind() {
        TakeoverErrorKind::Claim(error) => of_claim(error),
        TakeoverErrorKind::Connect(error) => of_connect(error),
        TakeoverErrorKind::NotOffered { .. } | TakeoverErrorKind::Mismatch(_) => Exit::InUse,
        TakeoverErrorKind::ForeignServer { .. } | TakeoverErrorKind::Denied { .. } => {
            Exit::NotPermitted
        }
        TakeoverErrorKind::TimedOut => Exit::TimedOut,
        _ => Exit::Failed,
    }
}
