//! Results and reports as text, JSON and HTML. Nothing in here makes a system call; `stdio` writes.

pub(crate) mod column;
pub(crate) mod elide;
pub(crate) mod figures;
mod fit;
pub(crate) mod http;
pub(crate) mod http_request;
pub(crate) mod json;
pub(crate) mod layout;
pub(crate) mod message;
pub(crate) mod page;
pub(crate) mod record;
pub(crate) mod replay;
pub(crate) mod rfc3339;
pub(crate) mod socket;
pub(crate) mod table;
pub(crate) mod tap;
pub(crate) mod wrap;

use std::time::Duration;

/// `1 byte`, `2 bytes`
pub(crate) fn bytes(count: usize) -> String {
    match count {
        1 => "1 byte".to_owned(),
        _ => format!("{count} bytes"),
    }
}

/// A duration as an option takes it: `0s`, `50us`, `1.5s`.
pub(crate) fn duration(time: Duration) -> String {
    match time {
        Duration::ZERO => "0s".to_owned(),
        _ if time < Duration::from_micros(1) => format!("{}us", time.as_nanos() as f64 / 1e3),
        _ => format!("{time:?}").replace("µs", "us"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::values;

    #[test]
    fn a_duration_is_shown_as_options_take_it() {
        for (nanos, shown) in [
            (0, "0s"),
            (100, "0.1us"),
            (50_000, "50us"),
            (1_500_000, "1.5ms"),
            (90_000_000_000, "90s"),
        ] {
            let time = Duration::from_nanos(nanos);
            assert_eq!(duration(time), shown);
            assert_eq!(values::duration(shown), Ok(time));
        }
    }
}
