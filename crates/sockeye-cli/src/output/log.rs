//! Log lines on standard error.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{DefaultFields, FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use super::escape;

/// Starts logging: warnings and what the command says of itself; with `quiet` errors only.
pub(crate) fn init(quiet: bool, verbose: u8) {
    let level = match (quiet, verbose) {
        (true, _) => Level::ERROR,
        (_, 0) => Level::INFO,
        (_, 1) => Level::DEBUG,
        _ => Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        // It would panic where standard error is a pipe that nobody reads.
        .log_internal_errors(false)
        .event_format(Plain)
        .init();
}

/// One line an event: warnings and errors say so, the rest is just said.
struct Plain;

impl<S> FormatEvent<S, DefaultFields> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, DefaultFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut text), event)?;
        let prefix = match *event.metadata().level() {
            Level::ERROR => "sockeye: ",
            Level::WARN => "sockeye: warning: ",
            _ => "",
        };
        writeln!(writer, "{prefix}{}", escape::text(&text))
    }
}
