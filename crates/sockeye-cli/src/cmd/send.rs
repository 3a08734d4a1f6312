//! `sockeye send`

use std::io::{IsTerminal, Read};
use std::os::unix::ffi::OsStringExt;

use bytes::BytesMut;
use sockeye::framing::{Codec, Framing, FramingError};
use tokio_util::codec::Decoder;

use super::exchange::{Exchange, Input, to_stdout};
use crate::args::Send;
use crate::exit::{Exit, failure};

pub(crate) fn run(args: &Send) -> anyhow::Result<Exit> {
    let input = input(args)?;
    let address = &args.target.address;
    let exchange = Exchange {
        address,
        stream: args.target.connector().connect_blocking(address)?,
        half_close: !args.no_shutdown,
        timeout: args.timeout,
        // At a terminal there may be no more to come.
        whole_input: !std::io::stdin().is_terminal(),
    };
    if Framing::from(args.framing) != Framing::Length {
        exchange.run(input, to_stdout)?;
        return Ok(Exit::Done);
    }

    let mut codec = Codec::new(Framing::Length, args.max_message);
    let mut came = BytesMut::new();
    exchange.run(input, |bytes| {
        came.extend_from_slice(bytes);
        while let Some(frame) = codec.decode(&mut came).map_err(|e| unframed(args, &e))? {
            to_stdout(&frame.payload)?;
        }
        Ok(())
    })?;
    match codec.decode_eof(&mut came) {
        Ok(_) => Ok(Exit::Done),
        Err(error) => Err(unframed(args, &error)),
    }
}

/// What to send. A frame needs its length first, so standard input is read to the end for one.
fn input(args: &Send) -> anyhow::Result<Input> {
    let framing = Framing::from(args.framing);
    let payload = match args.message() {
        None if framing != Framing::Length => return Ok(Input::Stdin),
        None => {
            let mut payload = Vec::new();
            let limit = args.max_message as u64 + 1;
            std::io::stdin().take(limit).read_to_end(&mut payload)?;
            payload
        }
        Some(message) => message.into_vec(),
    };
    if framing != Framing::Length {
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
    Ok(Input::Bytes(framing.encode(&payload)?.into()))
}

fn unframed(args: &Send, error: &FramingError) -> anyhow::Error {
    let advice = match error {
        FramingError::TooLong { .. } => {
            "--max-message allows longer ones, if it has length framing"
        }
        _ => "look at the server",
    };
    let address = &args.target.address;
    failure(
        Exit::Failed,
        format!("cannot read the answer of {address}: {error}; {advice}"),
    )
}
