//! `sockeye connect`

use std::time::Duration;

use sockeye::Kind;

use super::exchange::{Answers, Exchange, Input, print_line};
use crate::args::Connect;
use crate::exit::Exit;
use crate::output;

/// How long answers of a datagram server are waited for after the end of the input.
const QUIET: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &Connect) -> anyhow::Result<Exit> {
    let is_datagram = args.target.address.kind() == Kind::Datagram;
    let exchange = Exchange {
        target: &args.target,
        local: args.target.bind()?,
        half_close: true,
        timeout: None,
        whole_input: false,
        answers: match is_datagram {
            true => Answers::UntilQuiet(QUIET),
            false => Answers::ToTheEnd,
        },
        max_message: args.max_message,
        busy_poll: Duration::ZERO,
    };
    match args.target.address.kind() {
        Kind::Stream => exchange.run(Input::Stdin, Vec::new(), output::print)?,
        _ => exchange.run(Input::Stdin, Vec::new(), print_line)?,
    }
    Ok(Exit::Done)
}
