//! `sockeye connect`

use super::exchange::{Exchange, Input, to_stdout};
use crate::args::Connect;
use crate::exit::Exit;

pub(crate) fn run(args: &Connect) -> anyhow::Result<Exit> {
    let address = &args.target.address;
    let exchange = Exchange {
        address,
        stream: args.target.connector().connect_blocking(address)?,
        half_close: true,
        timeout: None,
        whole_input: false,
    };
    exchange.run(Input::Stdin, to_stdout)?;
    Ok(Exit::Done)
}
