use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};

use super::endpoint::{Endpoint, Transport, endpoint};
use super::values::{duration, size};
use crate::exit::{Exit, failure};

const EXAMPLES: &str = "\
A request is sent when the answer to the one before has come (closed loop), or
with --rate when it is due (open loop): its time counts from then, even if it
had to wait for a connection, so that a server that stalls cannot hide it.

B/S counts the bytes of the requests. CONNECTIONS/S are conversations: connect,
one request, its answer, close; at most 16 at a time. For dgram a connection is
a client socket with an address of its own.

The answer to --request must be the text of --expect; a newline more does no
harm. A connection that the server closes after an answer is opened anew.

Examples:
  sockeye bench
  sockeye bench --kind unix,tcp --size 64 --html bench.html
  sockeye bench /tmp/echo.sock
  sockeye bench --rate 20000 --connections 16 --size 64 tcp:127.0.0.1:7000
  sockeye bench --request status --expect ok /tmp/app.sock
  sockeye bench --compare /tmp/a.sock /tmp/b.sock";

/// Measure round trips: requests a second, and how long each took
///
/// Without an address: the full picture in about a minute. Echo servers of its
/// own, each a process, on UNIX stream, seqpacket and datagram sockets and on
/// TCP loopback; it leaves nothing behind. With the address of a server of
/// yours, which echoes or answers a request: the same load, for at most 20s.
#[derive(Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("what"))]
pub(crate) struct Bench {
    /// The server: a path, @name, either with seqpacket: or dgram: in front, or
    /// tcp:HOST:PORT
    #[arg(value_parser = endpoint(), group = "what")]
    pub(crate) address: Option<Endpoint>,

    /// Without an address, only these kinds
    #[arg(
        long = "kind",
        value_enum,
        value_name = "KIND",
        value_delimiter = ',',
        group = "what"
    )]
    kinds: Vec<Transport>,

    /// How many times the requests a second of A are those of B: in turn, pair
    /// by pair, with 64 bytes on 16 connections
    #[arg(
        long,
        num_args = 2,
        value_names = ["A", "B"],
        value_parser = endpoint(),
        group = "what",
        conflicts_with = "rate",
    )]
    pub(crate) compare: Vec<Endpoint>,

    /// Bytes of a message [default: 64,1KiB,64KiB]
    #[arg(long = "size", value_name = "SIZE", value_delimiter = ',', value_parser = size)]
    sizes: Vec<usize>,

    /// How many connections, each with one request at a time [default: 1,16,256]
    #[arg(
        long = "connections",
        value_name = "N",
        value_delimiter = ',',
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    connections: Vec<u32>,

    /// How long each measurement takes, after a short warm-up [default: what
    /// fits into the minute, or the 20s]
    #[arg(long, value_name = "D", value_parser = time)]
    pub(crate) time: Option<Duration>,

    /// What is sent comes back (the default)
    #[arg(long, conflicts_with = "request")]
    echo: bool,

    /// Send TEXT, and a newline on a stream
    #[arg(
        long,
        value_name = "TEXT",
        value_parser = NonEmptyStringValueParser::new(),
        requires = "expect",
        conflicts_with_all = ["kinds", "sizes"],
    )]
    request: Option<String>,

    /// What the server answers to --request
    #[arg(
        long,
        value_name = "TEXT",
        value_parser = NonEmptyStringValueParser::new(),
        requires = "request",
    )]
    expect: Option<String>,

    /// Send N requests a second over all connections, whatever the answers
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<NonZeroU32>,

    /// Before sleeping, look for answers again and again for at most D; so do
    /// the servers of the full picture
    #[arg(long, value_name = "D", default_value = "0", hide_default_value = true, value_parser = duration)]
    pub(crate) busy_poll: Duration,

    /// Print one JSON object a measurement
    #[arg(long)]
    pub(crate) json: bool,

    /// Write the results to FILE as well, as a page with charts
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// What a user's server is asked, and what it answers.
#[derive(Clone)]
pub(crate) struct Question {
    pub(crate) request: String,
    pub(crate) answer: String,
}

impl Bench {
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

    /// `None`: what is sent comes back.
    pub(crate) fn question(&self) -> Option<Question> {
        let (request, answer) = self.request.clone().zip(self.expect.clone())?;
        Some(Question { request, answer })
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

    /// The one load of a comparison.
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

    /// A server of one's own is asked with --request; ours only echo.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        match self.request.is_some() && self.address.is_none() && self.compare.is_empty() {
            false => Ok(()),
            true => Err(failure(
                Exit::Usage,
                "cannot use --request without an address: the servers of the bench echo; add the address of a server, or leave --request away",
            )),
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

fn rate(text: &str) -> Result<NonZeroU32, String> {
    match text.parse() {
        Ok(rate) if rate <= NonZeroU32::new(1_000_000).unwrap_or(rate) => Ok(rate),
        _ => Err("write a whole number of requests a second, 1 to 1000000".to_owned()),
    }
}
