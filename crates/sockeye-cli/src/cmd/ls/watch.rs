//! The listing again and again.

use std::io;
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use serde::Serialize;

use super::{Answer, answer};
use crate::args::Ls;
use crate::cmd::why::rfc3339;
use crate::exit::{Exit, by_signal};
use crate::output::json;
use crate::output::users::Users;
use crate::output::{self, terminal};

/// Everything gone.
const CLEAR: &[u8] = b"\x1b[2J";
/// To the upper left corner.
const HOME: &[u8] = b"\x1b[H";
/// The rest of the line gone, and the rest of the screen.
const CLEAR_LINE: &[u8] = b"\x1b[K";
const CLEAR_BELOW: &[u8] = b"\x1b[J";

/// What stands before the objects of each round.
#[derive(Serialize)]
struct Round {
    time: Option<String>,
    round: u64,
}

/// Until a signal ends it, or nobody reads it any more.
pub(super) fn run(args: &Ls, users: &Users, interval: Duration) -> anyhow::Result<Exit> {
    let mut said = None;
    let mut out = Vec::new();
    for round in 0_u64.. {
        out.clear();
        let screen = terminal::size().filter(|_| !args.json);
        let time = rfc3339(SystemTime::now());
        if args.json {
            json::line(&mut out, &Round { time, round })?;
        } else {
            if screen.is_none() && round > 0 {
                out.push(b'\n');
            }
            if !args.no_header {
                out.extend_from_slice(time.unwrap_or_else(|| "no time".to_owned()).as_bytes());
                out.push(b'\n');
            }
        }
        let Answer { words, .. } = answer(args, users, &mut out)?;
        if let Some((_, lines)) = screen {
            // The last line stays free for the cursor, the one before for a word of ours.
            cut(&mut out, lines.saturating_sub(2).max(1));
            out = in_place(&out, round == 0);
        }
        output::print(&out)?;
        // On a screen it was cleared away; elsewhere once is enough.
        if screen.is_some() || said != words {
            if let Some(words) = &words {
                output::complain(words);
            }
            said = words;
        }
        if is_abandoned_within(interval)? {
            return Err(by_signal(Signal::PIPE));
        }
    }
    Ok(Exit::Done)
}

/// Over what was on the screen before, without a moment in which that is empty.
fn in_place(text: &[u8], is_first: bool) -> Vec<u8> {
    let mut drawn = Vec::with_capacity(text.len() * 2);
    drawn.extend_from_slice(if is_first { CLEAR } else { b"" });
    drawn.extend_from_slice(HOME);
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        drawn.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        drawn.extend_from_slice(CLEAR_LINE);
        drawn.push(b'\n');
    }
    drawn.extend_from_slice(CLEAR_BELOW);
    drawn
}

/// Leaves the first `lines` lines.
fn cut(text: &mut Vec<u8>, lines: usize) {
    let ends = text.iter().enumerate().filter(|&(_, &byte)| byte == b'\n');
    if let Some((at, _)) = ends.map(|(at, byte)| (at, *byte)).nth(lines - 1) {
        text.truncate(at + 1);
    }
}

/// Waits, but not for a reader that is gone.
fn is_abandoned_within(interval: Duration) -> io::Result<bool> {
    let stdout = io::stdout();
    let end = Instant::now() + interval;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        // No event is asked for: an error is told all the same.
        match poll(&mut [PollFd::new(&stdout, PollFlags::empty())], Some(&left)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_takes_so_many_lines() {
        let left = |lines| {
            let mut text = b"a\nb\nc\n".to_vec();
            cut(&mut text, lines);
            text
        };
        assert_eq!(left(2), b"a\nb\n");
        assert_eq!(left(3), b"a\nb\nc\n");
        assert_eq!(left(9), b"a\nb\nc\n");
    }
}
