//! [`SummaryView`]: a line for each connection that has ended, and a table of all at the end.

use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::Histogram;
use sockeye::relay::{ObservedBegin, ObservedEnd, ObservedGap, ObservedPiece};

use super::connection::TapConnection;
use super::style::{TapStyle, brief};
use super::{TapMissed, TapView};
use crate::escape;
use crate::output::elide::{elide, width_of};
use crate::output::figures;
use crate::output::layout::Layout;
use crate::output::table::TextTable;

// Widths of columns, 79 with the gaps between them.
const CONNECTION: usize = 6;
const PID: usize = 7;
const COMMAND: usize = 15;
const USER: usize = 8;
const BYTES: usize = 9;
const ANSWER: usize = 8;
const TIME: usize = 8;

/// Exact up to here, with a unit above.
const EXACT: u64 = 100_000_000;

/// A line for each connection that has ended.
pub(super) struct SummaryView {
    style: TapStyle,
    has_header: bool,
    connections: u64,
    /// In nanoseconds, as the next one.
    answers: Distribution,
    durations: Distribution,
    to_server: Distribution,
    to_client: Distribution,
}

/// `None` where there is no memory for it.
struct Distribution(Option<Histogram<u64>>);

impl SummaryView {
    pub(super) fn new(style: TapStyle) -> Self {
        Self {
            style,
            has_header: false,
            connections: 0,
            answers: Distribution::new(),
            durations: Distribution::new(),
            to_server: Distribution::new(),
            to_client: Distribution::new(),
        }
    }

    fn header(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if std::mem::replace(&mut self.has_header, true) {
            return Ok(());
        }
        let line = format!(
            "{:<CONNECTION$} {:>PID$} {:<COMMAND$} {:<USER$} {:>BYTES$} {:>BYTES$} {:>ANSWER$} {:>TIME$}",
            "CONN", "PID", "COMMAND", "USER", "TO-SERVER", "TO-CLIENT", "ANSWER", "DURATION",
        );
        writeln!(out, "{}", self.style.dim(&line))
    }

    fn table(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let titles = [
            ("", false),
            ("COUNT", true),
            ("P50", true),
            ("P99", true),
            ("MAX", true),
        ];
        let mut table = TextTable::new(
            titles.map(|(title, right)| column(title, right)).to_vec(),
            true,
        );
        let rows = [
            ("first answer", &self.answers, time as fn(u64) -> String),
            ("duration", &self.durations, time),
            ("bytes to server", &self.to_server, rounded),
            ("bytes to client", &self.to_client, rounded),
        ];
        for (name, values, show) in rows {
            let Some(histogram) = &values.0 else { continue };
            let at = |quantile| {
                let value = (!histogram.is_empty()).then(|| histogram.value_at_quantile(quantile));
                value.map_or_else(|| "-".to_owned(), show)
            };
            let cells = [
                name.to_owned(),
                histogram.len().to_string(),
                at(0.5),
                at(0.99),
                at(1.0),
            ];
            for text in cells {
                table.cell(|cell| cell.push_str(&text));
            }
        }
        table.write(out, None)
    }
}

impl TapView for SummaryView {
    fn begin(&mut self, _: &mut Vec<u8>, _: &TapConnection, _: &ObservedBegin) -> io::Result<()> {
        Ok(())
    }

    fn message(&mut self, _: &mut Vec<u8>, _: &TapConnection, _: &ObservedPiece) -> io::Result<()> {
        Ok(())
    }

    fn end(
        &mut self,
        out: &mut Vec<u8>,
        connection: &TapConnection,
        _: &ObservedEnd,
    ) -> io::Result<()> {
        if !connection.has_closed() {
            return Ok(());
        }
        self.connections += 1;
        let (answer, duration) = (connection.first_answer(), connection.duration());
        if let Some(answer) = answer {
            self.answers.record(nanos(answer));
        }
        self.durations.record(nanos(duration));
        let (to_server, to_client) = (connection.to_server.bytes, connection.to_client.bytes);
        self.to_server.record(to_server);
        self.to_client.record(to_client);
        self.header(out)?;
        let client = &connection.client;
        let unknown = || "?".to_owned();
        let pid = client.pid.map_or_else(unknown, |pid| pid.to_string());
        let command = client
            .command
            .as_deref()
            .map(|it| escape::name(it).to_string());
        let user = client
            .user
            .as_ref()
            .map(|it| escape::name(it.as_bytes()).to_string());
        let user = user.or_else(|| client.uid.map(|uid| uid.to_string()));
        let answer = match answer {
            Some(answer) => brief(answer),
            None if connection.has_missed_answer() => unknown(),
            None => "-".to_owned(),
        };
        writeln!(
            out,
            "{:<CONNECTION$} {pid:>PID$} {} {} {:>BYTES$} {:>BYTES$} {answer:>ANSWER$} {:>TIME$}",
            format!("#{}", connection.number),
            cell(&command.unwrap_or_else(unknown), COMMAND),
            cell(&user.unwrap_or_else(unknown), USER),
            size(to_server),
            size(to_client),
            brief(duration),
        )
    }

    fn missed(&mut self, _: &mut Vec<u8>, _: &TapConnection, _: &ObservedGap) -> io::Result<()> {
        // The connection counts them.
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>, missed: &TapMissed) -> io::Result<()> {
        let noun = if self.connections == 1 {
            "connection"
        } else {
            "connections"
        };
        if self.connections > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{} {noun}", self.connections)?;
        if self.connections > 0 {
            self.table(out)?;
        }
        missed.tell(out, &self.style)
    }
}

impl Distribution {
    fn new() -> Self {
        // Three digits; it grows with the values.
        Self(Histogram::new(3).ok())
    }

    fn record(&mut self, value: u64) {
        if let Some(histogram) = &mut self.0 {
            // It fails where there is no memory to grow: the table counts one less.
            let _ = histogram.record(value);
        }
    }
}

fn column(title: &'static str, right: bool) -> Layout {
    Layout {
        title,
        right,
        least: None,
        is_address: false,
        rank: 0,
    }
}

/// Left-aligned, and elided where it is too wide.
fn cell(text: &str, width: usize) -> String {
    let mut cell = String::new();
    if width_of(text) > width {
        elide(&mut cell, text, width, width / 2);
    } else {
        cell.push_str(text);
    }
    let room = width.saturating_sub(width_of(&cell));
    cell.extend(std::iter::repeat_n(' ', room));
    cell
}

fn size(bytes: u64) -> String {
    if bytes < EXACT {
        bytes.to_string()
    } else {
        figures::bytes(bytes as f64)
    }
}

/// With the three digits that a [`Distribution`] has.
fn rounded(bytes: u64) -> String {
    if bytes < 1000 {
        bytes.to_string()
    } else {
        figures::bytes(bytes as f64)
    }
}

fn time(nanos: u64) -> String {
    brief(Duration::from_nanos(nanos))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
