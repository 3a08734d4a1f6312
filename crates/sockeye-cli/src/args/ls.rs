use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};
use sockeye::inspect::Namespaces;
use sockeye::{Address, AddressError, Kind, Name};

use super::address::{AddressUse, TypedAddress};
use super::id::{TypedId, user};
use super::unresolved::Unresolved;
use super::values::{duration, pid, whole};
use crate::output::column::Column;

const EXAMPLES: &str = "\
Cells:
  ?                unknown (JSON: null; holders is [] only if it is certain that no process has the socket open)
  -                none
  → ADDRESS        the socket has no address; this is its peer's
  (removed)        the socket file was removed
  (replaced)       another file is at the path now
  (bound as NAME)  the socket file was renamed after bind(2)
  (elsewhere)      the path is in another mount namespace or root directory
  (stopped), (T)   the process is stopped by SIGSTOP, by a debugger or with its container

PEER-USER is the owner of the peer's socket. Names that are not plain text are
in quotes. A narrow terminal gets fewer columns; -o prints every column that it names.
Where the column KIND is left out, dgram: or seqpacket: stands in front of the
address. With --watch each listing begins with the time (not with -H); with
--json that line is {\"time\":...,\"round\":N}.

Columns of -o:
  kind state address recv-q send-q user pid fd peer peer-user inode peer-inode peer-address file netns
Columns of -o with --connections:
  kind state address netns client client-user client-fd client-inode client-q server server-user server-fd server-inode server-q

Exit status:
  0  something was found
  3  nothing was found
  7  the list is incomplete: a process or namespace could not be read, or a file system did not answer

Examples:
  sockeye ls
  sockeye ls /tmp/app.sock
  sockeye ls --user root --kind datagram
  sockeye ls --json --kind stream
  sockeye ls --connections -o client,server,address
  sockeye ls --stale --in /tmp
  sockeye ls --watch 1s /tmp/app.sock";

/// List sockets, their processes and their peers
///
/// Without arguments: every listener, and under it its connections with the
/// process at the other end. A path is looked up by device and inode, so that a
/// relative path, a symbolic link, a renamed file and a bind mount find the socket.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Ls {
    /// List only the sockets at this path or @name, and their connections; with a
    /// kind in front (dgram:/dev/log) only sockets of this kind
    #[arg(value_name = "ADDRESS", value_parser = listed())]
    addresses: Vec<ListedAddress>,

    /// Also list unnamed sockets; with --connections also unnamed pairs within one
    /// process
    #[arg(short, long)]
    pub(crate) all: bool,

    /// List listeners only, without their connections
    #[arg(short, long)]
    pub(crate) listening: bool,

    /// Print one row for each connection, with both ends
    #[arg(long, conflicts_with = "listening")]
    pub(crate) connections: bool,

    /// List every socket, named or not, that process P has open; may be repeated
    #[arg(long = "pid", value_name = "P", value_parser = pid)]
    pub(crate) pids: Vec<i32>,

    /// List every socket, named or not, that user U owns; may be repeated
    #[arg(long = "user", value_name = "U", value_parser = user)]
    users: Vec<TypedId>,

    /// List the socket with inode number N, named or not; may be repeated
    #[arg(long = "inode", value_name = "N", value_parser = whole::<u32>)]
    pub(crate) inodes: Vec<u32>,

    /// List every socket of this kind, named or not; may be repeated
    #[arg(long = "kind", value_enum, value_name = "KIND")]
    kinds: Vec<KindName>,

    /// List stale socket files, to which no open socket is bound; ? if not certain
    #[arg(long, conflicts_with_all = ["addresses", "all", "listening", "connections", "pids", "inodes", "kinds", "netns"])]
    pub(crate) stale: bool,

    /// With --stale: search DIR, but not the directories in it; may be repeated
    /// [default: $XDG_RUNTIME_DIR and /run]
    #[arg(long = "in", value_name = "DIR", requires = "stale")]
    pub(crate) dirs: Vec<PathBuf>,

    /// Which network namespaces to list [default: all, where permitted]
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = Netns::All, hide_default_value = true)]
    pub(crate) netns: Netns,

    /// Print JSON lines
    #[arg(long)]
    pub(crate) json: bool,

    /// Print no header
    #[arg(short = 'H', long)]
    pub(crate) no_header: bool,

    /// Print these columns (with --json: these fields), separated by commas
    #[arg(
        short = 'o',
        long = "columns",
        value_name = "LIST",
        value_enum,
        value_delimiter = ',',
        ignore_case = true,
        hide_possible_values = true
    )]
    pub(crate) columns: Vec<Column>,

    /// Repeat the listing every D [default: 2s]
    #[arg(long, value_name = "D", num_args = 0..=1, default_missing_value = "2s", value_parser = watch())]
    watch: Option<WatchArgument>,
}

impl Ls {
    pub(super) fn unresolved(&mut self) -> Vec<Unresolved<'_>> {
        let users = self.users.iter_mut();
        let users = users.map(|id| Unresolved::User("--user", id));
        let swallowed = match &mut self.watch {
            Some(WatchArgument::Address(target)) => Some(target),
            _ => None,
        };
        let addresses = self.addresses.iter_mut().chain(swallowed);
        let addresses = addresses.map(|target| Unresolved::Address(&mut target.address));
        users.chain(addresses).collect()
    }

    /// The addresses, with the one that clap took for the value of `--watch`.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &ListedAddress> {
        let swallowed = match &self.watch {
            Some(WatchArgument::Address(target)) => Some(target),
            _ => None,
        };
        self.addresses.iter().chain(swallowed)
    }

    /// How long to wait between two listings.
    pub(crate) fn interval(&self) -> Option<Duration> {
        match self.watch.as_ref()? {
            WatchArgument::Every(interval) => Some(*interval),
            WatchArgument::Address(_) => Some(WatchArgument::DEFAULT),
        }
    }

    /// Whether a socket of this kind is wanted.
    pub(crate) fn wants_kind(&self, kind: Kind) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|&name| Kind::from(name) == kind)
    }

    /// Whether sockets of this user are wanted; those of an unknown one are only where all are.
    pub(crate) fn wants_user(&self, uid: Option<u32>) -> bool {
        self.users.is_empty() || self.names_user(uid)
    }

    /// Whether `--user` names this user.
    pub(crate) fn names_user(&self, uid: Option<u32>) -> bool {
        uid.is_some() && self.users.iter().any(|user| user.number() == uid)
    }

    /// Whether one of the options that select among all sockets is given.
    pub(crate) fn has_filter(&self) -> bool {
        !self.kinds.is_empty() || self.has_narrow_filter()
    }

    /// Whether one is given that only a part of the sockets can match, wherever they are.
    pub(crate) fn has_narrow_filter(&self) -> bool {
        !(self.pids.is_empty() && self.users.is_empty() && self.inodes.is_empty())
    }
}

/// An address to list.
#[derive(Debug, Clone)]
pub(crate) struct ListedAddress {
    pub(crate) address: TypedAddress,
    /// The kind, if it was written.
    pub(crate) kind: Option<Kind>,
}

impl ListedAddress {
    fn parse(text: OsString) -> Result<Self, AddressError> {
        let address = TypedAddress::parse(&text, AddressUse::LookFor)?;
        if matches!(address.name(), Name::Fd(_) | Name::Systemd(_)) {
            return Err(AddressError {
                text,
                problem: "there is neither a path nor an abstract name".to_owned(),
                hint: "write a path or @name, or look for it with --inode or --pid",
            });
        }
        let kind = address.has_written_kind().then_some(address.kind());
        Ok(Self { address, kind })
    }
}

fn listed() -> impl TypedValueParser<Value = ListedAddress> {
    OsStringValueParser::new().try_map(ListedAddress::parse)
}

/// The value of `--watch`: an address there is not its interval.
#[derive(Debug, Clone)]
pub(crate) enum WatchArgument {
    Every(Duration),
    Address(ListedAddress),
}

impl WatchArgument {
    const DEFAULT: Duration = Duration::from_secs(2);
    /// A listing costs some milliseconds of CPU time.
    const SHORTEST: Duration = Duration::from_millis(50);

    fn parse(text: OsString) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let has_kind = Address::parse(&text).is_ok_and(|address| address.has_written_kind());
        if has_kind || bytes.starts_with(b"@") || bytes.contains(&b'/') {
            return ListedAddress::parse(text)
                .map(Self::Address)
                .map_err(|error| error.to_string());
        }
        let text = text
            .to_str()
            .ok_or("write a duration, as in 500ms or 10s")?;
        let interval = duration(text)
            .map_err(|error| format!("{error}; write the address first, or --watch=2s"))?;
        match interval {
            interval if interval < Self::SHORTEST => Err("write 50ms or more".to_owned()),
            interval => Ok(Self::Every(interval)),
        }
    }
}

fn watch() -> impl TypedValueParser<Value = WatchArgument> {
    OsStringValueParser::new().try_map(WatchArgument::parse)
}

/// Which network namespaces to look into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Netns {
    Current,
    All,
}

impl From<Netns> for Namespaces {
    fn from(netns: Netns) -> Self {
        match netns {
            Netns::Current => Self::Current,
            Netns::All => Self::All,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindName {
    #[value(alias = "unix")]
    Stream,
    Seqpacket,
    #[value(alias = "dgram")]
    Datagram,
}

impl From<KindName> for Kind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::Stream => Self::Stream,
            KindName::Datagram => Self::Datagram,
            KindName::Seqpacket => Self::SeqPacket,
        }
    }
}
