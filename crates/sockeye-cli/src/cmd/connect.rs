//! `sockeye connect`: standard input and output joined to a socket.

use std::time::Duration;

use sockeye::Kind;

use super::exchange::{AnswerFormat, AwaitedAnswers, Exchange, Input, check_file_systems};
use crate::args::Connect;
use crate::exit::Exit;

/// How long to wait for another datagram after the end of the input.
const QUIET: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &Connect) -> anyhow::Result<Exit> {
    let kind = args.target.address.kind();
    let local = args.target.bind()?;
    check_file_systems(&args.target, local.as_ref(), &[], None)?;
    let exchange = Exchange {
        target: &args.target,
        local,
        half_close: !args.no_shutdown,
        timeout: None,
        whole_input: false,
        answers: match kind {
            Kind::Datagram => AwaitedAnswers::UntilQuiet(QUIET),
            _ => AwaitedAnswers::ToTheEnd,
        },
        max_message: args.max_message,
        busy_poll: Duration::ZERO,
        form: match kind {
            Kind::Stream => AnswerFormat::AsIs,
            _ => AnswerFormat::Lines,
        },
        may_relay: true,
    };
    let ended = exchange.run(Input::Stdin, Vec::new(), None)?;
    exchange.remark(&ended);
    Ok(ended.exit)
}
