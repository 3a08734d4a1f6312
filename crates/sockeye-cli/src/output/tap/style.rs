//! [`TapStyle`]: times, colors, and how each line begins.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sockeye::relay::ObservedDirection;

use crate::output::figures;

/// What a time of day takes.
pub(super) const TIME: usize = "00:00:00.000000".len();

/// How lines for people look.
#[derive(Debug, Clone)]
pub(crate) struct TapStyle {
    pub(crate) zone: TimeZone,
    pub(crate) is_colored: bool,
}

// Select graphic rendition (console_codes(4)).
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";
/// For numbers of connections, so that neighbors differ.
const NUMBERS: [&str; 6] = ["34", "35", "36", "33", "32", "31"];

impl TapStyle {
    /// `10:15:03.204718 #3 `, without the time where it is not known.
    pub(super) fn start(
        &self,
        out: &mut Vec<u8>,
        time: Option<SystemTime>,
        number: u64,
    ) -> io::Result<()> {
        match time {
            Some(time) => write!(out, "{} ", self.dim(&self.time_of_day(time)))?,
            None => write!(out, "{:TIME$} ", "")?,
        }
        let color = NUMBERS[(number % NUMBERS.len() as u64) as usize];
        write!(out, "{} ", self.paint(color, &format!("#{number}")))
    }

    /// `>` to the server, `<` to the client.
    pub(super) fn arrow(&self, direction: ObservedDirection) -> String {
        match direction {
            ObservedDirection::ToTarget => self.paint(CYAN, ">"),
            ObservedDirection::ToClient => self.paint(GREEN, "<"),
        }
    }

    /// Of less weight.
    pub(super) fn dim(&self, text: &str) -> String {
        self.paint(DIM, text)
    }

    pub(super) fn warning(&self, text: &str) -> String {
        self.paint(YELLOW, text)
    }

    pub(super) fn error(&self, text: &str) -> String {
        self.paint(RED, text)
    }

    /// By the class of an HTTP status.
    pub(super) fn status(&self, status: u16, text: &str) -> String {
        let color = match status {
            500.. => RED,
            400.. => YELLOW,
            300.. => CYAN,
            200.. => GREEN,
            _ => DIM,
        };
        self.paint(color, text)
    }

    fn paint(&self, color: &str, text: &str) -> String {
        if self.is_colored {
            format!("\x1b[{color}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// In the zone of the machine, as tcpdump(8) shows it.
    fn time_of_day(&self, time: SystemTime) -> String {
        let Ok(time) = Timestamp::try_from(time) else {
            return format!("{:TIME$}", "?");
        };
        let time = self.zone.to_datetime(time).time();
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        let micros = time.subsec_nanosecond() / 1000;
        format!("{hour:02}:{minute:02}:{second:02}.{micros:06}")
    }
}

/// `409us`, `1.23ms`
pub(super) fn brief(time: Duration) -> String {
    figures::time(Some(time.as_nanos() as f64 / 1e3))
}
