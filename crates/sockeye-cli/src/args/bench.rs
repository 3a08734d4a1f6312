use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};

use super::endpoint::{Endpoint, endpoint};
use super::http_call::{HttpCall, http_call};
use super::unresolved::Unresolved;
use super::values::{FramingName, duration, size};
use crate::exit::{Exit, failure};
use crate::transport::Transport;

const EXAMPLES: &str = "\
Closed loop (the default): each connection sends its next request when it has
the answer to the last one. Open loop (--rate): a request is sent when it is
due, and its time counts from then, even if it has to wait for a connection, so
that the figures show when a server stalls.

B/S: bytes of requests a second. CONNECTIONS/S: connect, one request, its
answer, close; at most 16 at a time. With datagram a connection is a client
socket with an address of its own.

The answer must be the TEXT of --expect (a newline may follow), or begin with
the TEXT of --expect-prefix. With --expect-prefix and --expect-any the answer is
one record, one line, or with --framing raw what one read returns. If the server
closes a connection after an answer, a new one is made.

SIGINT, SIGTERM and SIGHUP end the run; what has been measured is written.

Examples:
  sockeye bench
  sockeye bench --kind stream,tcp --size 64 --html bench.html
  sockeye serve --echo @echo
  sockeye bench @echo
  sockeye bench --rate 20000 --connections 16 --size 64 @echo
  sockeye serve --echo seqpacket:/tmp/echo.sock
  sockeye bench --compare @echo seqpacket:/tmp/echo.sock
  sockeye serve --reply ok /tmp/status.sock
  sockeye bench --request status --expect ok /tmp/status.sock
  sockeye serve --framing length --reply ok @frames
  sockeye bench --request-file /etc/hosts --framing length --expect-any @frames
  sockeye serve --http /usr/share/doc/base-passwd /tmp/doc.sock > /dev/null
  sockeye bench --http 'GET /users-and-groups.html' /tmp/doc.sock";

/// Measure round trips: requests a second, and how long each took
///
/// Without an address: measures UNIX stream, seqpacket and datagram sockets and
/// TCP loopback, in about a minute, with echo servers that it starts and ends
/// itself. With the address of a server of yours, which echoes or answers the
/// --request: measures that server with the same load, for at most 20s.
#[derive(Args)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("what"),
    group = ArgGroup::new("asked"),
    group = ArgGroup::new("answer"),
)]
pub(crate) struct Bench {
    /// The server: a path, @name, either with seqpacket: or dgram: in front, or
    /// tcp:HOST:PORT
    #[arg(value_parser = endpoint(), group = "what")]
    pub(crate) address: Option<Endpoint>,

    /// Without an address: measure only these kinds
    #[arg(
        long = "kind",
        value_enum,
        value_name = "KIND",
        value_delimiter = ',',
        group = "what"
    )]
    kinds: Vec<Transport>,

    /// Compare two servers, measured alternately: requests a second of A divided by
    /// those of B [default: 64 bytes on 16 connections]
    #[arg(
        long,
        num_args = 2,
        value_names = ["A", "B"],
        value_parser = endpoint(),
        group = "what",
        conflicts_with = "rate",
    )]
    pub(crate) compare: Vec<Endpoint>,

    /// Message sizes [default: 64,1KiB,64KiB]
    #[arg(long = "size", value_name = "SIZE", value_delimiter = ',', value_parser = size)]
    sizes: Vec<usize>,

    /// Numbers of connections, each with one request in flight [default: 1,16,256]
    #[arg(
        long = "connections",
        value_name = "N",
        value_delimiter = ',',
        value_parser = connections
    )]
    connections: Vec<u32>,

    /// Duration of each measurement, after a short warm-up [default: so that the
    /// whole run takes a minute, or 20s with an address]
    #[arg(long, value_name = "D", value_parser = time)]
    pub(crate) time: Option<Duration>,

    /// Expect each message back (the default)
    #[arg(long, conflicts_with = "asked")]
    echo: bool,

    /// Send TEXT (with a newline on a stream), instead of messages of --size
    #[arg(
        long,
        value_name = "TEXT",
        value_parser = NonEmptyStringValueParser::new(),
        group = "asked",
        requires = "answer",
        conflicts_with_all = ["kinds", "sizes"],
    )]
    pub(crate) request: Option<String>,

    /// Send the bytes of FILE as they are (64MiB at most)
    #[arg(
        long,
        value_name = "FILE",
        group = "asked",
        requires = "answer",
        conflicts_with_all = ["kinds", "sizes"],
    )]
    pub(crate) request_file: Option<PathBuf>,

    /// Expect TEXT as the answer
    #[arg(
        long,
        value_name = "TEXT",
        value_parser = NonEmptyStringValueParser::new(),
        group = "answer",
        requires = "asked",
    )]
    pub(crate) expect: Option<String>,

    /// Expect an answer that begins with TEXT
    #[arg(
        long,
        value_name = "TEXT",
        value_parser = NonEmptyStringValueParser::new(),
        group = "answer",
        requires = "asked",
    )]
    pub(crate) expect_prefix: Option<String>,

    /// Accept any answer
    #[arg(long, group = "answer", requires = "asked")]
    pub(crate) expect_any: bool,

    /// Send an HTTP/1.1 request, as in 'GET /path', again and again on connections
    /// that are kept open. Answers with a status other than 2xx are counted as errors,
    /// which are not in the other figures
    #[arg(
        long,
        value_name = "REQUEST",
        value_parser = http_call,
        conflicts_with_all = ["kinds", "sizes", "echo", "asked", "answer", "framing"],
    )]
    pub(crate) http: Option<HttpCall>,

    /// How messages on a stream are told apart: by newlines (line), one for each
    /// read (raw), or by a length in front of each (length: u32, big-endian)
    /// [default: line]
    #[arg(long, value_enum)]
    framing: Option<FramingName>,

    /// Send N requests a second over all connections, without waiting for answers
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<NonZeroU32>,

    /// Poll for answers for at most D (as in 50us) before sleeping; the servers that
    /// bench starts do the same
    #[arg(long, value_name = "D", default_value = "0", hide_default_value = true, value_parser = duration)]
    pub(crate) busy_poll: Duration,

    /// Print JSON lines, one for each measurement
    #[arg(long)]
    pub(crate) json: bool,

    /// Also write the results to FILE, as an HTML page with charts
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

impl Bench {
    pub(super) fn unresolved(&mut self) -> Vec<Unresolved<'_>> {
        let servers = self.address.iter_mut().chain(&mut self.compare);
        let addresses = servers.filter_map(|server| match server {
            Endpoint::Unix(address) => Some(Unresolved::Address(address)),
            Endpoint::Tcp(_) => None,
        });
        addresses.collect()
    }

    pub(crate) fn kinds(&self) -> Vec<Transport> {
        match &*self.kinds {
            [] => vec![
                Transport::Unix,
                Transport::Seqpacket,
                Transport::Dgram,
                Transport::Tcp,
            ],
            kinds => kinds.to_vec(),
        }
    }

    /// As `--framing`.
    pub(crate) fn framing(&self) -> FramingName {
        self.framing.unwrap_or(FramingName::Line)
    }

    pub(crate) fn sizes(&self) -> Vec<usize> {
        match &*self.sizes {
            [] => vec![64, 1 << 10, 64 << 10],
            sizes => sizes.to_vec(),
        }
    }

    pub(crate) fn connections(&self) -> Vec<u32> {
        match &*self.connections {
            [] => vec![1, 16, 256],
            counts => counts.to_vec(),
        }
    }

    /// The size and number of connections of a comparison.
    pub(crate) fn single(&self) -> anyhow::Result<(usize, u32)> {
        match (&*self.sizes, &*self.connections) {
            ([] | [_], [] | [_]) => Ok((
                self.sizes.first().copied().unwrap_or(64),
                self.connections.first().copied().unwrap_or(16),
            )),
            _ => Err(failure(
                Exit::Usage,
                "cannot compare several loads at once: the ratio is one number; give one --size and one --connections",
            )),
        }
    }

    /// --request needs an address, since our servers only echo; records are not framed.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let servers = || self.address.iter().chain(&self.compare);
        let asks = [
            ("--request", self.request.is_some()),
            ("--request-file", self.request_file.is_some()),
            ("--framing", self.framing.is_some()),
            ("--http", self.http.is_some()),
        ];
        if let Some((option, _)) = asks.iter().find(|(_, is_given)| *is_given)
            && servers().next().is_none()
        {
            return Err(failure(
                Exit::Usage,
                format!(
                    "cannot use {option} without an address: the servers of the bench echo; add the address of a server, or omit {option}"
                ),
            ));
        }
        match servers().find(|server| server.transport().has_records()) {
            Some(server) if self.http.is_some() => Err(failure(
                Exit::Usage,
                format!("cannot measure {server} with --http: HTTP needs a stream; omit --http"),
            )),
            Some(server) if self.framing.is_some() => Err(failure(
                Exit::Usage,
                format!(
                    "cannot measure {server} with --framing: a record is a message; omit --framing"
                ),
            )),
            _ => Ok(()),
        }
    }
}

fn time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("with 0 nothing would be measured".to_owned()),
        time if time > Duration::from_secs(3600) => Err("write at most 1h".to_owned()),
        time => Ok(time),
    }
}

fn connections(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(number @ 1..=100_000) => Ok(number),
        _ => Err("write a whole number of connections, 1 to 100000".to_owned()),
    }
}

fn rate(text: &str) -> Result<NonZeroU32, String> {
    match text.parse() {
        Ok(rate) if rate <= NonZeroU32::new(1_000_000).unwrap_or(rate) => Ok(rate),
        _ => Err("write a whole number of requests a second, 1 to 1000000".to_owned()),
    }
}
