//! [`Sides`]: what the addresses of the command line stand for.

use std::os::fd::OwnedFd;

use rustix::net::AddressFamily;
use rustix::net::sockopt::{socket_acceptconn, socket_domain};
use sockeye::adopt::{self, AdoptError};
use sockeye::relay::{RelayAddress, Targets};
use sockeye::{Address, Kind, Name};

use super::one_connection::OneConnection;
use crate::args::{RelayArgs, TypedAddress, TypedRelayAddress};
use crate::cmd::listening::inherited::{InheritedFds, Tried};
use crate::cmd::listening::systemd;
use crate::exit::{Exit, failure};

/// Both sides, and the fd of `--ready-fd`.
pub(super) struct Sides<'a> {
    pub(super) client: ClientSide<'a>,
    pub(super) target: TargetSide,
    pub(super) ready: Option<OwnedFd>,
}

/// Where clients come from.
pub(super) enum ClientSide<'a> {
    Listen(ListenSource<'a>),
    One(OneConnection),
}

/// What to listen on.
pub(super) enum ListenSource<'a> {
    /// A UNIX socket, inherited or not.
    Unix(&'a TypedAddress, Option<OwnedFd>, Kind),
    /// A TCP or vsock port.
    Port(&'a RelayAddress),
    /// An inherited TCP or vsock socket.
    InheritedPort(OwnedFd),
}

/// What clients are joined to.
pub(super) enum TargetSide {
    Addresses(Targets, Kind),
    One(RelayAddress, OneConnection),
}

/// A socket that was inherited, or an address without one.
enum InheritedSocket {
    Unix(OwnedFd, Kind),
    Net(OwnedFd),
    Nothing,
}

impl<'a> Sides<'a> {
    /// To be called before anything is opened.
    pub(super) fn take(args: &'a RelayArgs) -> anyhow::Result<Self> {
        let listen = args.listen_address.unix();
        let listen = listen.map(|address| ("listen on", &**address));
        let targets = args.targets.iter().filter_map(TypedRelayAddress::unix);
        let targets = targets.map(|address| ("connect to", &**address));
        let tried: Vec<Tried<'_>> = listen.into_iter().chain(targets).collect();
        let inherited = InheritedFds::take(&tried, args.listen.ready_fd())?;
        let mut sockets = inherited.sockets.into_iter();
        let mut find = |tried, address: &TypedRelayAddress| match address.unix() {
            Some(unix) => InheritedSocket::new(tried, unix, sockets.next().flatten()),
            None => Ok(InheritedSocket::Nothing),
        };
        let client = find("listen on", &args.listen_address)?;
        let mut found = Vec::new();
        for target in &args.targets {
            found.push((target, find("connect to", target)?));
        }
        Ok(Self {
            client: ClientSide::new(&args.listen_address, client),
            target: TargetSide::new(found)?,
            ready: inherited.ready,
        })
    }
}

impl InheritedSocket {
    fn new(tried: &str, address: &Address, socket: Option<OwnedFd>) -> anyhow::Result<Self> {
        let Some(socket) = socket else {
            return Ok(Self::Nothing);
        };
        Self::check(address, socket).map_err(|error| {
            let text = format!("cannot {tried} {}: {error}", address.quoted());
            failure(Exit::Usage, text)
        })
    }

    fn check(address: &Address, socket: OwnedFd) -> Result<Self, AdoptError> {
        let domain = socket_domain(&socket).ok();
        let is_unix = domain.is_none_or(|domain| domain == AddressFamily::UNIX);
        if !is_unix && address.kind() == Kind::Stream {
            return Ok(Self::Net(socket));
        }
        let wanted = match address.name() {
            Name::Systemd(_) => systemd::kind(address, &socket)?,
            _ => address.kind(),
        };
        match adopt::kind(&socket)? {
            Some(kind) if kind == wanted => Ok(Self::Unix(socket, kind)),
            actual => Err(AdoptError::WrongKind { actual, wanted }),
        }
    }
}

impl<'a> ClientSide<'a> {
    fn new(address: &'a TypedRelayAddress, found: InheritedSocket) -> Self {
        use ListenSource::{InheritedPort, Port, Unix};
        let listens = |socket: &OwnedFd| socket_acceptconn(socket).unwrap_or(true);
        match (address, found) {
            (TypedRelayAddress::Unix(address), InheritedSocket::Unix(socket, kind))
                if kind == Kind::Datagram || listens(&socket) =>
            {
                Self::Listen(Unix(address, Some(socket), kind))
            }
            (_, InheritedSocket::Unix(socket, kind)) => {
                Self::One(OneConnection::Unix(socket, kind))
            }
            (_, InheritedSocket::Net(socket)) if listens(&socket) => {
                Self::Listen(InheritedPort(socket))
            }
            (_, InheritedSocket::Net(socket)) => Self::One(OneConnection::Net(socket)),
            (TypedRelayAddress::Unix(address), InheritedSocket::Nothing) => {
                Self::Listen(Unix(address, None, address.kind()))
            }
            (TypedRelayAddress::Other(RelayAddress::Stdio), InheritedSocket::Nothing) => {
                Self::One(OneConnection::stdio())
            }
            (TypedRelayAddress::Other(port), InheritedSocket::Nothing) => Self::Listen(Port(port)),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Listen(ListenSource::Unix(_, _, kind)) => *kind,
            Self::Listen(_) => Kind::Stream,
            Self::One(one) => one.kind(),
        }
    }

    /// Whether its sockets are UNIX sockets, so that fds and peer credentials can come.
    pub(super) fn is_unix(&self) -> bool {
        match self {
            Self::Listen(source) => matches!(source, ListenSource::Unix(..)),
            Self::One(one) => one.is_unix(),
        }
    }

    /// Whether it is a socket file that is ours to make.
    pub(super) fn has_file(&self) -> bool {
        match self {
            Self::Listen(ListenSource::Unix(address, None, _)) => address.path().is_some(),
            _ => false,
        }
    }
}

impl TargetSide {
    fn new(found: Vec<(&TypedRelayAddress, InheritedSocket)>) -> anyhow::Result<Self> {
        let mut addresses = Vec::new();
        let mut one = None;
        for (address, found) in found {
            match found {
                InheritedSocket::Unix(socket, kind) => {
                    one = Some((address, OneConnection::Unix(socket, kind)));
                }
                InheritedSocket::Net(socket) => one = Some((address, OneConnection::Net(socket))),
                InheritedSocket::Nothing if address.is_stdio() => {
                    one = Some((address, OneConnection::stdio()));
                }
                InheritedSocket::Nothing => {}
            }
            addresses.push(address);
        }
        match one {
            None => Self::of_addresses(&addresses),
            Some((address, one)) if addresses.len() == 1 => {
                Ok(Self::One(address.to_relay_address(), one))
            }
            Some((address, _)) => Err(failure(
                Exit::Usage,
                format!(
                    "cannot connect to {} beside other targets: it is one connection; give it as the only TARGET",
                    address.quoted()
                ),
            )),
        }
    }

    fn of_addresses(addresses: &[&TypedRelayAddress]) -> anyhow::Result<Self> {
        // Without an inherited socket each address has a kind.
        let kind_of = |address: &TypedRelayAddress| address.kind().unwrap_or(Kind::Stream);
        let kind = addresses
            .first()
            .map_or(Kind::Stream, |first| kind_of(first));
        if let Some(other) = addresses.iter().find(|other| kind_of(other) != kind) {
            let (first, other) = (addresses[0].quoted(), other.quoted());
            return Err(failure(
                Exit::Usage,
                format!(
                    "cannot relay to {first} and {other}: they are of different kinds; {KINDS_THAT_FIT}"
                ),
            ));
        }
        let addresses = addresses.iter().map(|address| address.to_relay_address());
        let targets = Targets::new(addresses);
        let targets = targets.ok_or_else(|| failure(Exit::Usage, "no TARGET to connect to"))?;
        Ok(Self::Addresses(targets, kind))
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Addresses(_, kind) => *kind,
            Self::One(_, one) => one.kind(),
        }
    }

    /// Whether all of its sockets are UNIX sockets.
    pub(super) fn is_unix(&self) -> bool {
        match self {
            Self::Addresses(targets, _) => {
                let mut addresses = targets.addresses().iter();
                addresses.all(|address| address.unix().is_some())
            }
            Self::One(_, one) => one.is_unix(),
        }
    }
}

pub(super) const KINDS_THAT_FIT: &str = "streams (a path, tcp:, vsock:, -) go with streams, seqpacket: with seqpacket:, and dgram: with dgram:";
