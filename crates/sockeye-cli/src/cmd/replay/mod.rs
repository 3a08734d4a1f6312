//! `sockeye replay`: plays the clients of a recording against a server, or the server for clients.

mod answer;
mod client_script;
mod mask;
mod pace;
mod playback;
mod player;
mod progress;
mod record_comparison;
mod record_socket;
mod recorded_bytes;
mod recording;
mod stand_in;
mod stream_comparison;

use crate::args::ReplayArgs;
use crate::cmd::parent::end_with;
use crate::exit::Exit;
use crate::stdio::log;

pub(crate) fn run(args: &ReplayArgs) -> anyhow::Result<Exit> {
    log::init(args.log.quiet, args.log.verbose);
    if let Some(parent) = args.listen.end_with_parent {
        end_with(parent)?;
    }
    if args.serve {
        stand_in::run(args)
    } else {
        playback::run(args)
    }
}
