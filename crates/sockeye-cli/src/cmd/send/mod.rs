//! `sockeye send`: one message, and its answer.

mod http;

use std::io::{IsTerminal, Read};
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use sockeye::Kind;
use sockeye::framing::Framing;

use super::exchange::{AnswerFormat, AwaitedAnswers, Exchange, Input, check_file_systems};
use super::passed_files;
use super::save_directory::SaveDirectory;
use super::supervisor::{Supervisor, supervise};
use crate::args::Send;
use crate::exit::{Exit, failure};

/// The timeout for the answer to a datagram: there is no connection that could end.
const DATAGRAM_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn run(args: &Send) -> anyhow::Result<Exit> {
    args.check_kind()?;
    args.target.bind()?;
    if let Some(call) = &args.http {
        return http::run(args, call);
    }
    match (&args.save_fd, args.supervisor) {
        (_, Some(fd)) => {
            let supervisor = Supervisor::inherited(fd, args.end_with_parent)?;
            supervisor.finish(exchange(args))
        }
        (Some(_), None) => supervise(),
        (None, None) => exchange(args),
    }
}

fn exchange(args: &Send) -> anyhow::Result<Exit> {
    let local = args.target.bind()?;
    let kind = args.target.address.kind();
    let files = args.files.iter().chain(&args.save_fd);
    check_file_systems(&args.target, local.as_ref(), files, args.timeout)?;
    let save = match &args.save_fd {
        Some(path) => {
            let address = &args.target.address;
            Some(SaveDirectory::open(path, args.max_saved, address)?)
        }
        None => None,
    };
    let descriptors = passed_files::open(&args.files, &args.target.address)?;
    let input = input(args)?;
    let exchange = Exchange {
        target: &args.target,
        local,
        half_close: !args.no_shutdown,
        timeout: match kind {
            Kind::Datagram => args.timeout.or(Some(DATAGRAM_TIMEOUT)),
            _ => args.timeout,
        },
        // At a terminal there may be no more input.
        whole_input: !std::io::stdin().is_terminal(),
        answers: match kind {
            Kind::Datagram if args.no_answer => AwaitedAnswers::None,
            Kind::Datagram => AwaitedAnswers::One,
            _ => AwaitedAnswers::ToTheEnd,
        },
        max_message: args.max_message,
        busy_poll: args.busy_poll,
        form: match (kind, args.framing()) {
            (_, Framing::Length) => AnswerFormat::Payloads(args.max_message),
            (Kind::Stream, _) | (_, Framing::Raw) => AnswerFormat::AsIs,
            _ => AnswerFormat::Lines,
        },
        may_relay: false,
    };
    let ended = exchange.run(input, descriptors, save)?;
    exchange.remark(&ended);
    Ok(ended.exit)
}

/// What to send. For a frame (its length is first) and for a record (one send) standard input is read to
/// its end.
fn input(args: &Send) -> anyhow::Result<Input> {
    let framing = args.framing();
    let is_stream = args.target.address.kind() == Kind::Stream;
    let payload = match args.message() {
        None if is_stream && framing != Framing::Length => return Ok(Input::Stdin),
        None => {
            let mut payload = Vec::new();
            let limit = args.max_message as u64 + 1;
            let read = std::io::stdin().take(limit).read_to_end(&mut payload);
            read.map_err(|error| {
                let address = &args.target.address;
                let why = format!(
                    "cannot send to {}: reading standard input: {error}",
                    address.quoted()
                );
                failure(Exit::Failed, why)
            })?;
            payload
        }
        Some(message) => message.into_vec(),
    };
    if is_stream && framing != Framing::Length {
        let mut line = payload;
        line.push(b'\n');
        return Ok(Input::Bytes(line));
    }
    if payload.len() > args.max_message {
        return Err(failure(
            Exit::Usage,
            format!(
                "cannot send to {}: the message has more than {} bytes; --max-message allows longer ones",
                args.target.address, args.max_message
            ),
        ));
    }
    Ok(Input::Bytes(if is_stream {
        framing.encode(&payload)?.into()
    } else {
        payload
    }))
}
