use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, ArgGroup, Args, ValueEnum, value_parser};

use super::address::{TypedAddress, bound, connectable};
use super::tap_filter::TapFilter;
use super::unresolved::Unresolved;
use super::values::{duration, fd, file_size};

/// How much of a message is shown as text or as bytes, unless `--max-shown` says otherwise.
const SHOWN: u64 = 256;

/// What `--restore` leaves no room for.
const WITHOUT_RESTORE: &[&str] = &[
    "listen",
    "follow",
    "as_me",
    "credentials",
    "display",
    "quiet",
    "max_shown",
    "filter",
    "color",
    "record",
    "drain",
    "ready_fd",
];

const EXAMPLES: &str = "\
Examples:
  sockeye tap /run/app.sock
  sockeye tap --http /var/run/docker.sock
  sockeye tap --hex --filter comm=psql,uid=1000 /run/postgresql/.s.PGSQL.5432
  sockeye tap --json dgram:/dev/log | jq .text
  sockeye tap --summary /run/app.sock
  sockeye tap --quiet --record app.pcapng /run/app.sock
  sockeye tap --record - /run/app.sock | wireshark -k -i -
  sockeye tap --listen @other @app
  sockeye tap --restore /run/app.sock

What is shown, by default one line a message:
  10:15:03.204614 #3 connected: pid 4242 (curl) uid 1000 (user)
  10:15:03.204718 #3 > 27 bytes +104us: GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n
#3 is the connection, > goes to the server, < to the client, and + is the time
since the message before it of this connection. A message is what one read
returned: bytes of a stream, a record or a datagram. File descriptors that came
with it (SCM_RIGHTS) are on a line of their own. If the terminal or the reader is
slow, messages are left out, which a line says and counts: the tap never makes
the traffic wait for the display. A recording is complete: if the disk is slow,
the traffic waits.

JSON: event (begin, message, end, missed), connection, time, direction
(to-server, to-client), size, fds, text (or data: base64, if it is not UTF-8), and
pid, comm and uid of the client. A begin has its kind. An end has end (eof, reset, aborted,
reader-closed, reader-gone), total_bytes and total_messages of its direction.

The tap takes the name of the server's socket, which is DIR/.NAME.tap meanwhile,
and gives it back at the end, also if the tap is killed. Connections that were
there before are not seen. After a crash of the machine or of every process of
the tap, --restore gives the name back. An abstract name cannot be taken:
let clients connect to the name of --listen instead.

Peer credentials: as root, the server sees the user and groups of each client,
and clients see those of the server; the process id of SO_PEERCRED is the tap's.
Otherwise the server sees the tap's user, so clients of other users are refused,
unless --as-me is given.

The tap ends on SIGINT, SIGTERM and SIGHUP, if the server ends (without
--follow), and if nobody reads what it shows and nothing is recorded. It gives
the name back first; connections go on for at most the time of --drain.

Exit status:
  0  ended by a signal, or the server has ended
  1  failed on the way
  2  wrong usage, also a bad filter
  3  no server at the address; with --restore: nothing to restore; --record: no
     such directory, or a FIFO that nobody reads
  4  another tap is there, or FILE of --record is no recording or in use
  5  the directory, or FILE of --record, may not be written
  7  the recording is incomplete, or the tap had to drop something, which it said";

/// Show and record the traffic of a running server
///
/// Puts itself in front of a stream, seqpacket or datagram server, without a
/// restart of the server or its clients, and shows each connection and message:
/// who, when, how much, which file descriptors, and the bytes.
#[derive(Args)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("display").args(["text", "hex", "json", "http", "summary"]),
)]
pub(crate) struct TapArgs {
    /// The server's socket: a path, with seqpacket: or dgram: in front if it is not a
    /// stream. With --listen also @name
    #[arg(value_parser = connectable())]
    pub(crate) address: TypedAddress,

    /// Listen at this address instead of taking the server's name; clients must
    /// connect to it
    #[arg(long, value_name = "ADDRESS", value_parser = bound(), conflicts_with = "follow")]
    pub(crate) listen: Option<TypedAddress>,

    /// Give the server its name back after a tap that could not, and end
    #[arg(long, conflicts_with_all = WITHOUT_RESTORE)]
    pub(crate) restore: bool,

    /// When the server ends, wait for the next one and tap it
    #[arg(long)]
    pub(crate) follow: bool,

    /// Let clients of other users in, although the server sees the tap's user
    #[arg(long)]
    pub(crate) as_me: bool,

    /// Whose user and groups the server sees [default: client as root, otherwise tap]
    #[arg(long, value_enum)]
    pub(crate) credentials: Option<TapCredentials>,

    /// Show the bytes as text, with escapes (the default)
    #[arg(long, help_heading = "Display")]
    text: bool,

    /// Show the bytes as xxd(1) does
    #[arg(long, help_heading = "Display")]
    hex: bool,

    /// Print a JSON object for each event: begin, message, end, missed
    #[arg(long, help_heading = "Display")]
    json: bool,

    /// Show a line for each HTTP/1 request and response, with status, size and time
    #[arg(long, help_heading = "Display")]
    http: bool,

    /// Show a line for each connection that has ended, and a table at the end
    #[arg(long, help_heading = "Display")]
    summary: bool,

    /// Show nothing: only record
    #[arg(
        short,
        long,
        requires = "record",
        conflicts_with = "display",
        help_heading = "Display"
    )]
    quiet: bool,

    /// Show at most SIZE bytes of a message [default: 256; with --json: all]
    #[arg(
        short = 's',
        long,
        value_name = "SIZE",
        value_parser = shown,
        conflicts_with_all = ["http", "summary", "quiet"],
        help_heading = "Display"
    )]
    max_shown: Option<u64>,

    /// Show and record only connections of these clients: pid=N, uid=USER (a name or
    /// a number) and comm=NAME (the command name, /proc/PID/comm), separated by
    /// commas. May be repeated. A key that is given twice matches either value;
    /// different keys must all match
    #[arg(long, value_name = "KEY=VALUE,...", value_parser = TapFilter::parse, help_heading = "Display")]
    filter: Vec<TapFilter>,

    /// Color the display: auto does so on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = ColorWhen::Auto, help_heading = "Display")]
    pub(crate) color: ColorWhen,

    /// Record the traffic to FILE (pcap-ng, mode 0600), for Wireshark and sockeye
    /// replay; - is standard output, and then what is shown goes to standard error
    #[arg(long, value_name = "FILE", value_parser = record(), help_heading = "Recording")]
    pub(crate) record: Option<RecordTarget>,

    /// The TCP port of the server in the recording of a stream: Wireshark chooses the
    /// protocol by it. With 80, and a large stream that is not HTTP, it is slow
    #[arg(
        long,
        value_name = "N",
        default_value_t = 80,
        requires = "record",
        value_parser = value_parser!(u16).range(1..),
        help_heading = "Recording"
    )]
    pub(crate) port: u16,

    /// Wireshark's dissector for records and datagrams in the recording, such as
    /// syslog [default: data]
    #[arg(long, value_name = "NAME", requires = "record", value_parser = dissector, help_heading = "Recording")]
    pub(crate) dissector: Option<String>,

    /// Drain timeout: how long connections may go on after the name was given back
    #[arg(long, value_name = "D", default_value = "10s", value_parser = duration)]
    pub(crate) drain: Duration,

    /// Write a newline to file descriptor N once new connections are seen
    #[arg(long, value_name = "N", value_parser = fd)]
    pub(crate) ready_fd: Option<RawFd>,

    /// Log more to standard error; -vv logs still more
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// Whose credentials the server of a tap sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TapCredentials {
    /// The client's; takes root
    Client,
    /// The tap's; clients of other users need --as-me
    Tap,
}

/// When the display is in color.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    Auto,
    Always,
    Never,
}

/// How the traffic is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DisplayMode {
    /// With at most this many bytes of a message, as for `Hex` and `Json`.
    Text(u64),
    Hex(u64),
    Json(u64),
    Http,
    Summary,
}

/// Where a recording is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RecordTarget {
    Stdout,
    File(PathBuf),
}

impl TapArgs {
    pub(super) fn unresolved(&mut self) -> Vec<Unresolved<'_>> {
        let addresses = [&mut self.address].into_iter().chain(&mut self.listen);
        let users = self.filter.iter_mut().flat_map(TapFilter::users);
        let users = users.map(|id| Unresolved::User("--filter", id));
        addresses.map(Unresolved::Address).chain(users).collect()
    }

    /// `None` where nothing is to be shown.
    pub(crate) fn display(&self) -> Option<DisplayMode> {
        let most = |default: u64| self.max_shown.unwrap_or(default);
        if self.quiet {
            None
        } else if self.hex {
            Some(DisplayMode::Hex(most(SHOWN)))
        } else if self.json {
            Some(DisplayMode::Json(most(u64::MAX)))
        } else if self.http {
            Some(DisplayMode::Http)
        } else if self.summary {
            Some(DisplayMode::Summary)
        } else {
            Some(DisplayMode::Text(most(SHOWN)))
        }
    }

    /// All filters as one.
    pub(crate) fn filter(&self) -> TapFilter {
        self.filter.iter().cloned().collect()
    }
}

/// As [`file_size`], or 0 for none.
fn shown(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { file_size(text) }
}

fn record() -> impl TypedValueParser<Value = RecordTarget> {
    OsStringValueParser::new().try_map(|text: OsString| match text {
        text if text.is_empty() => Err("write the name of a file, or - for standard output"),
        text if text == OsStr::new("-") => Ok(RecordTarget::Stdout),
        text => Ok(RecordTarget::File(text.into())),
    })
}

/// Wireshark's short names of protocols (`tshark -G protocols`, third column).
fn dissector(text: &str) -> Result<String, String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=64).contains(&text.len()) && text.chars().all(is_part) {
        Ok(text.to_owned())
    } else {
        Err("write the filter name of a protocol in Wireshark, such as syslog".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct OnlyTap {
        #[command(flatten)]
        tap: TapArgs,
    }

    fn parsed(options: &[&str]) -> Result<TapArgs, String> {
        let words = ["tap"].iter().chain(options).chain(&["/a"]);
        let parsed = OnlyTap::try_parse_from(words);
        parsed.map(|it| it.tap).map_err(|it| it.to_string())
    }

    #[test]
    fn one_display_is_chosen() {
        let display = |options: &[&str]| parsed(options).unwrap().display();
        assert_eq!(display(&[]), Some(DisplayMode::Text(256)));
        assert_eq!(display(&["--text", "-s0"]), Some(DisplayMode::Text(0)));
        assert_eq!(
            display(&["--hex", "-s", "1K"]),
            Some(DisplayMode::Hex(1024))
        );
        assert_eq!(display(&["--json"]), Some(DisplayMode::Json(u64::MAX)));
        assert_eq!(display(&["--http"]), Some(DisplayMode::Http));
        assert_eq!(display(&["--summary"]), Some(DisplayMode::Summary));
        assert_eq!(display(&["-q", "--record", "-"]), None);
        for wrong in [
            &["--hex", "--json"][..],
            &["--http", "-s1"],
            &["--quiet"],
            &["--quiet", "--record", "-", "--text"],
            &["--port", "81"],
            &["--record", "-", "--port", "0"],
            &["--record", "-", "--dissector", "a b"],
            &["--record", ""],
            &["--follow", "--listen", "@b"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_restore_takes_no_other_option() {
        assert!(parsed(&["--restore", "-v"]).unwrap().restore);
        for other in [
            &["--json"][..],
            &["--follow"],
            &["--filter", "pid=1"],
            &["--record", "a"],
            &["--drain", "1s"],
            &["--color", "never"],
        ] {
            let options = [&["--restore"], other].concat();
            assert!(parsed(&options).is_err(), "{options:?}");
        }
    }

    #[test]
    fn a_bad_filter_is_named() {
        let error = parsed(&["--filter", "port=80"]).err().unwrap();
        assert!(
            error.contains("--filter") && error.contains("\"port\""),
            "{error}"
        );
    }
}
