//! `--watch`: the listing, repeated.

use std::io;
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use serde::Serialize;

use super::{ListOutcome, answer};
use crate::args::Ls;
use crate::escape;
use crate::exit::{Exit, by_signal};
use crate::lookup::users::UserNames;
use crate::output::elide::{elide, width_of};
use crate::output::json;
use crate::output::rfc3339::rfc3339;
use crate::stdio;
use crate::stdio::terminal;

/// Clears the screen.
const CLEAR: &[u8] = b"\x1b[2J";
/// Moves the cursor to the upper left corner.
const HOME: &[u8] = b"\x1b[H";
/// Clear the rest of the line, and the rest of the screen.
const CLEAR_LINE: &[u8] = b"\x1b[K";
const CLEAR_BELOW: &[u8] = b"\x1b[J";

/// The JSON object before those of each round.
#[derive(Serialize)]
struct Round {
    time: Option<String>,
    round: u64,
}

/// Repeats the listing until a signal, or until the reader of standard output is gone.
pub(super) fn run(args: &Ls, users: &UserNames, interval: Duration) -> anyhow::Result<Exit> {
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
        let ListOutcome { mut message, .. } = answer(args, users, &mut out)?;
        if let Some(size) = screen {
            message = message.map(|message| short(&message, size));
            let said = message
                .as_ref()
                .map_or(0, |message| height(&shown(message), size.0));
            // The last line stays free for the cursor.
            cut(&mut out, size.0, size.1.saturating_sub(1 + said).max(1));
            out = in_place(&out, round == 0);
        }
        stdio::print(&out)?;
        // A screen was cleared; elsewhere, a message is not repeated.
        if screen.is_some() || said != message {
            if let Some(message) = &message {
                stdio::complain(message);
            }
            said = message;
        }
        if is_abandoned_within(interval)? {
            return Err(by_signal(Signal::PIPE));
        }
    }
    Ok(Exit::Done)
}

/// Overwrites the screen, without a moment in which it is empty.
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

/// How many lines of a screen of this width a line takes.
fn height(line: &str, width: usize) -> usize {
    width_of(line).div_ceil(width).max(1)
}

/// The line on standard error.
fn shown(message: &str) -> String {
    format!("sockeye: {}", escape::line(message))
}

/// Shortens a message, so that half of the screen is left to the rows.
fn short(message: &str, (width, lines): (usize, usize)) -> String {
    let room = (lines / 2).max(1) * width;
    let room = room.saturating_sub(width_of("sockeye: "));
    let message = escape::line(message).to_string();
    if width_of(&message) <= room {
        return message;
    }
    let mut text = String::new();
    elide(&mut text, &message, room, room);
    text
}

/// Keeps the rows that fit on so many lines of the screen, and counts the rest.
fn cut(text: &mut Vec<u8>, width: usize, lines: usize) {
    let rows: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
    let heights = rows.iter().map(|row| {
        let row = String::from_utf8_lossy(row);
        height(row.trim_end_matches('\n'), width)
    });
    let mut taken = 0;
    let ends: Vec<usize> = heights
        .map(|height| {
            taken += height;
            taken
        })
        .collect();
    if taken <= lines {
        return;
    }
    // The last line says how many there are more.
    let kept = ends.iter().take_while(|&&end| end < lines).count();
    let bytes = rows[..kept].iter().map(|row| row.len()).sum();
    let more = format!("{} more\n", rows.len() - kept);
    text.truncate(bytes);
    text.extend_from_slice(more.as_bytes());
}

/// Waits; whether the reader of standard output is gone.
fn is_abandoned_within(interval: Duration) -> io::Result<bool> {
    let stdout = io::stdout();
    let end = Instant::now() + interval;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        // poll(2) reports POLLERR and POLLHUP without being asked.
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
    fn a_screen_takes_so_many_lines_and_tells_of_the_others() {
        let left = |width, lines| {
            let mut text = "a\nb\nécé\n".as_bytes().to_vec();
            cut(&mut text, width, lines);
            String::from_utf8(text).unwrap()
        };
        assert_eq!(left(3, 1), "3 more\n");
        assert_eq!(left(3, 2), "a\n2 more\n");
        assert_eq!(left(3, 3), "a\nb\nécé\n");
        assert_eq!(left(3, 9), "a\nb\nécé\n");
        // The last row takes two lines.
        assert_eq!(left(2, 3), "a\nb\n1 more\n");
        assert_eq!(left(2, 4), "a\nb\nécé\n");
    }

    #[test]
    fn a_message_leaves_half_of_the_screen() {
        assert_eq!(short("a few", (20, 8)), "a few");
        let words = short(&"many words ".repeat(50), (20, 8));
        assert_eq!(height(&shown(&words), 20), 4, "{words}");
        assert!(words.ends_with('…'), "{words}");
    }
}
