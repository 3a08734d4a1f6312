use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sockeye::{Address, Connector, Kind, Name};

use super::address::{TypedAddress, bound, connectable};
use super::http_call::{HttpCall, HttpField, curl_method, http_call, http_field};
use super::unresolved::Unresolved;
use super::values::{FramingName, duration, file_size, size, timeout};
use crate::exit::{Exit, failure};

const EXAMPLES: &str = "\
Exit status:
  0  the whole message was sent, and the server closed the connection; a missing answer is reported
  1  the server closed the connection before it had read the whole message (a reset), even if it had answered; with --http: the status of the answer is 400 or above
  6  timed out
  7  file descriptors came and were closed (without --save-fd, all that come)
The other codes are those of sockeye --help.

Examples:
  sockeye send /tmp/app.sock Hello UNIX socket!
  sockeye send /tmp/app.sock < /etc/hosts
  sockeye send --wait 5s --timeout 30s /tmp/app.sock status
  sockeye send /tmp/app.sock -- -v is sent, not an option
  sockeye serve --fds /tmp/files.sock
  sockeye send --fd /etc/hosts /tmp/files.sock here is a file
  sockeye send --save-fd . /run/helper.sock open /etc/shadow
  sockeye serve dgram:/tmp/notify.sock
  sockeye send dgram:/tmp/notify.sock --no-answer READY=1
  sockeye serve --http /usr/share/doc/base-passwd /tmp/doc.sock
  sockeye send --http 'GET /users-and-groups.html' /tmp/doc.sock
  sockeye send --http /containers/json /var/run/docker.sock
  sockeye send --http 'POST /v1/jobs' -H 'Content-Type: application/json' -d @job.json /run/app.sock";

/// Send a message and print the answer
///
/// The words are joined with spaces, and a newline is added. Without words, or
/// with -, standard input is sent as it is. Then the connection is half-closed,
/// and what the server sends is printed until it closes the connection. For
/// seqpacket: and dgram: addresses the message is one record, without a newline,
/// and each record that comes is printed as a line; with dgram: the command waits
/// for one answer.
#[derive(Args)]
#[command(after_help = EXAMPLES, arg = curl_method())]
pub(crate) struct Send {
    #[command(flatten)]
    pub(crate) target: ConnectTarget,

    /// The message; without one, standard input
    #[arg(value_name = "MESSAGE")]
    words: Vec<OsString>,

    /// Give up if the answer is not complete D after connecting [default: 10s
    /// with dgram:, else no limit]
    #[arg(short, long, value_name = "D", value_parser = timeout)]
    pub(crate) timeout: Option<Duration>,

    /// Poll for the answer for at most D (as in 50us) before sleeping
    #[arg(long, value_name = "D", default_value = "0", hide_default_value = true, value_parser = duration)]
    pub(crate) busy_poll: Duration,

    /// Do not half-close the connection after the message; then only the server
    /// ends it
    #[arg(long)]
    pub(crate) no_shutdown: bool,

    /// With length: send the message with its length in front (u32, big-endian),
    /// and print the payloads of such answers. With raw: print records as they
    /// are, without a newline after each [default: line]
    #[arg(long, value_enum)]
    framing: Option<FramingName>,

    /// Open FILE for reading and pass its file descriptor with the message; may be
    /// repeated
    #[arg(long = "fd", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Save received regular files and memfds in DIR, which must exist, as 0, 1, ...
    /// in the order in which their file descriptors came: the whole content,
    /// whatever the file position. No file in DIR is overwritten. Other file
    /// descriptors (pipes, sockets, directories, ...) are closed, their numbers stay
    /// free, and the exit status is 7
    #[arg(long, value_name = "DIR", conflicts_with = "no_answer")]
    pub(crate) save_fd: Option<PathBuf>,

    /// With --save-fd: save at most SIZE bytes, of all files together
    #[arg(long, value_name = "SIZE", default_value = "1GiB", requires = "save_fd", value_parser = file_size)]
    pub(crate) max_saved: u64,

    /// The socket to which the result is reported
    #[arg(long, value_name = "FD", hide = true)]
    pub(crate) supervisor: Option<RawFd>,

    /// End when this process, our parent, ends
    #[arg(long, value_name = "PID", hide = true)]
    pub(crate) end_with_parent: Option<i32>,

    /// Send an HTTP/1.1 request, as in 'GET /path', and print the body of the answer.
    /// A status of 400 and above is an error (exit 1); a redirect is reported, not
    /// followed. Without a method: GET, or POST with --data
    #[arg(
        long,
        value_name = "REQUEST",
        value_parser = http_call,
        help_heading = "HTTP",
        conflicts_with_all = [
            "words", "no_shutdown", "framing", "files", "save_fd", "no_answer", "max_message", "bind", "busy_poll",
        ],
    )]
    pub(crate) http: Option<HttpCall>,

    /// Add a field to the request, as in 'Accept: text/html'; may be repeated. It
    /// replaces one that would be sent unasked, or omits it: 'Accept:'
    #[arg(
        short = 'H',
        long = "header",
        value_name = "FIELD",
        value_parser = http_field,
        requires = "http",
        help_heading = "HTTP",
    )]
    pub(crate) fields: Vec<HttpField>,

    /// Send DATA as the body; with @FILE the bytes of a file, with @- standard input
    /// (64MiB at most). Its type is that of a form, unless -H says otherwise. May be
    /// repeated: the parts are joined with &
    #[arg(
        short,
        long,
        value_name = "DATA",
        allow_hyphen_values = true,
        requires = "http",
        help_heading = "HTTP"
    )]
    pub(crate) data: Vec<OsString>,

    /// Print the status and the fields of the answer, too. HEAD does so anyway
    #[arg(short, long, requires = "http", help_heading = "HTTP")]
    pub(crate) include: bool,

    /// Do not wait for an answer to a datagram
    #[arg(long)]
    pub(crate) no_answer: bool,

    /// The longest record, or message of --framing length, to send or receive
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    pub(crate) max_message: usize,
}

impl Send {
    pub(crate) fn framing(&self) -> sockeye::framing::Framing {
        self.framing.unwrap_or(FramingName::Line).into()
    }

    /// Options that do not fit the kind of the socket are wrong usage.
    pub(crate) fn check_kind(&self) -> anyhow::Result<()> {
        let kind = self.target.address.kind();
        let (option, why) = if self.http.is_some() && kind != Kind::Stream {
            ("--http", "HTTP needs a stream")
        } else if self.no_answer && kind != Kind::Datagram {
            ("--no-answer", "a connection ends when the server closes it")
        } else if self.framing == Some(FramingName::Length) && kind != Kind::Stream {
            ("--framing length", "a record needs no length")
        } else {
            return Ok(());
        };
        let address = &self.target.address;
        Err(failure(
            Exit::Usage,
            format!(
                "cannot send to {} with {option}: {why}; omit {option}",
                address.quoted()
            ),
        ))
    }

    /// The words joined with spaces; `None` for standard input.
    pub(crate) fn message(&self) -> Option<OsString> {
        match &*self.words {
            [] => None,
            [one] if one == "-" => None,
            words => Some(words.join(std::ffi::OsStr::new(" "))),
        }
    }
}

/// The server, and the timeouts of the connect.
#[derive(Args)]
pub(crate) struct ConnectTarget {
    /// Where the server listens: a path, @name or fd:N, with seqpacket: or dgram:
    /// in front if it is not a stream
    #[arg(value_parser = connectable())]
    pub(crate) address: TypedAddress,

    /// Give up if the server's backlog or datagram queue stays full for D, or if a
    /// file system on the path does not answer for D
    #[arg(short = 'w', long, value_name = "D", default_value = "10s", value_parser = duration)]
    connect_timeout: Duration,

    /// Wait up to D for a server to appear
    #[arg(long, value_name = "D", default_value = "0s", hide_default_value = true, value_parser = duration)]
    wait: Duration,

    /// With dgram: bind the client's socket to this path or @name, to which answers
    /// are sent; without --bind the kernel chooses an abstract name
    #[arg(long, value_name = "ADDRESS", value_parser = bound())]
    bind: Option<TypedAddress>,
}

impl ConnectTarget {
    pub(super) fn unresolved(&mut self) -> Vec<Unresolved<'_>> {
        let bind = self.bind.as_mut();
        let addresses = [&mut self.address].into_iter().chain(bind);
        addresses.map(Unresolved::Address).collect()
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// The address to be answered at, if one was given.
    pub(crate) fn bind(&self) -> anyhow::Result<Option<Address>> {
        let Some(local) = &self.bind else {
            return Ok(None);
        };
        if self.address.kind() != Kind::Datagram {
            let text = format!(
                "cannot connect to {} from {local}: a connection needs no address for answers; omit --bind",
                self.address
            );
            return Err(failure(Exit::Usage, text));
        }
        if !matches!(local.name(), Name::Path(_) | Name::Abstract(_)) {
            let text = format!(
                "cannot be answered at {local}: it is bound already; give a path or @name with --bind"
            );
            return Err(failure(Exit::Usage, text));
        }
        Ok(Some(Address::new(Kind::Datagram, local.name())?))
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector::new()
            .connect_timeout(self.connect_timeout)
            .wait_for(self.wait)
    }
}
