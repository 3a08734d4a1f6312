//! The results of a benchmark as one self-contained HTML page.

mod chart;

use std::fmt::{self, Display, Write};

use super::figures::{Figures, RoundTrips, size};
use crate::escape;
use chart::{Bars, Curves, Series};

const STYLE: &str = include_str!("page.css");
const LETTERS: [&str; 2] = ["A", "B"];

/// The page; `about`: the versions and the machine, `command`: the command line.
pub(crate) fn of(figures: &Figures, about: &str, command: &str) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = Page {
        figures,
        about,
        command,
    }
    .write(&mut page);
    page
}

struct Page<'a> {
    figures: &'a Figures,
    about: &'a str,
    command: &'a str,
}

/// The results for one size and number of connections.
struct Cell<'a> {
    size: usize,
    connections: u32,
    found: Vec<(Series<'a>, &'a RoundTrips)>,
}

impl<'a> Page<'a> {
    fn write(&self, page: &mut String) -> fmt::Result {
        write!(
            page,
            "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<meta name=viewport content='width=device-width'>\n\
             <meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
             <link rel=icon href='data:,'>\n<title>sockeye bench</title>\n<style>\n{STYLE}</style>\n\
             <h1>sockeye bench</h1>\n<p>{}</p>\n<p><code id=command>{}</code></p>\n",
            html(self.about),
            html(self.command)
        )?;
        if let Some(ratio) = &self.figures.ratio {
            writeln!(page, "<p id=ratio>{}</p>", html(&ratio.to_string()))?;
        }
        self.legend(page)?;
        let cells = self.cells();
        writeln!(
            page,
            "<h2>Requests a second</h2>\n<p>More is better.</p>\n<div class=charts>"
        )?;
        for cells in cells.chunk_by(|a, b| a.size == b.size) {
            let title = format!("{} messages", size(cells[0].size));
            let group = |cell: &Cell<'a>| {
                let rate = |&(series, found): &(Series<'a>, &RoundTrips)| {
                    (series, found.requests_per_second)
                };
                let name = connections(cell.connections);
                (name, cell.found.iter().map(rate).collect())
            };
            let groups = cells.iter().map(group).collect();
            let title = &title;
            write!(page, "{}", Bars { title, groups })?;
        }
        writeln!(
            page,
            "</div>\n<h2>Latency</h2>\n<p>How long a request and its answer took at most, for that share of them. Lower is better; both axes are logarithmic.</p>\n<div class=charts>"
        )?;
        let decades = self.decades();
        for cell in &cells {
            let title = format!("{}, {}", size(cell.size), connections(cell.connections));
            let title = &title;
            let line = |&(series, found): &(Series<'a>, &'a RoundTrips)| (series, &*found.curve);
            let lines = cell.found.iter().map(line).collect();
            write!(
                page,
                "{}",
                Curves {
                    title,
                    lines,
                    decades
                }
            )?;
        }
        writeln!(page, "</div>")?;
        self.conversations(page)?;
        self.table(page)
    }

    /// The servers, in the order of their first result.
    fn labels(&self) -> Vec<&'a str> {
        let mut labels: Vec<&str> = Vec::new();
        for found in &self.figures.round_trips {
            if self.figures.ratio.is_some() || !labels.contains(&&*found.label) {
                labels.push(&found.label);
            }
        }
        labels
    }

    fn legend(&self, page: &mut String) -> fmt::Result {
        writeln!(page, "<ul class=legend>")?;
        for (index, label) in self.labels().into_iter().enumerate() {
            let letter = match self.figures.ratio {
                Some(_) => format!("{}: ", LETTERS[index % LETTERS.len()]),
                None => String::new(),
            };
            writeln!(page, "<li class=s{index}>{letter}{}</li>", html(label))?;
        }
        writeln!(page, "</ul>")
    }

    fn cells(&self) -> Vec<Cell<'a>> {
        let labels = self.labels();
        let mut cells: Vec<Cell<'a>> = Vec::new();
        for (at, found) in self.figures.round_trips.iter().enumerate() {
            let series = match self.figures.ratio {
                Some(_) => Series {
                    index: at,
                    name: LETTERS[at % LETTERS.len()],
                },
                None => Series {
                    index: labels
                        .iter()
                        .position(|label| *label == found.label)
                        .unwrap_or_default(),
                    name: &found.label,
                },
            };
            // The newline after --request on a stream does not make another cell.
            match cells.last_mut() {
                Some(cell)
                    if self.figures.ratio.is_some()
                        || (cell.size, cell.connections) == (found.size, found.connections) =>
                {
                    cell.found.push((series, found));
                }
                _ => cells.push(Cell {
                    size: found.size,
                    connections: found.connections,
                    found: vec![(series, found)],
                }),
            }
        }
        cells
    }

    /// The decades that hold all latencies.
    fn decades(&self) -> (i32, i32) {
        let all = self.figures.round_trips.iter();
        let all = all.flat_map(|found| found.curve.iter().map(|&(_, micros)| micros.max(0.1)));
        let (low, high) = all.fold((f64::MAX, 1.0_f64), |(low, high), micros| {
            (low.min(micros), high.max(micros))
        });
        let low = low.min(high).log10().floor() as i32;
        (low, (high.log10().ceil() as i32).max(low + 1))
    }

    fn conversations(&self, page: &mut String) -> fmt::Result {
        let found = &self.figures.conversations;
        if found.is_empty() {
            return Ok(());
        }
        let labels = self.labels();
        let bar = |found: &super::figures::Conversations| {
            let name = found.kind.name();
            let index = labels.iter().position(|label| *label == name);
            let index = index.unwrap_or_default();
            (Series { index, name }, found.connections_per_second)
        };
        let groups = vec![(String::new(), found.iter().map(bar).collect())];
        let title = "connect, request, answer, close";
        writeln!(
            page,
            "<h2>Connections a second</h2>\n<div class=charts>\n{}</div>",
            Bars { title, groups }
        )
    }

    fn table(&self, page: &mut String) -> fmt::Result {
        writeln!(page, "<h2>In numbers</h2>\n<div class=wide><table>")?;
        let mut tag = "th";
        self.figures.each_row(|cells| {
            page.push_str("<tr>");
            for cell in cells {
                // Writing to a String cannot fail.
                let _ = write!(page, "<{tag}>{}</{tag}>", html(cell));
            }
            page.push('\n');
            tag = "td";
        });
        writeln!(page, "</table></div>")
    }
}

fn connections(count: u32) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} connection{ending}")
}

/// Text as HTML, in an element or an attribute.
fn html(text: &str) -> impl Display {
    let safe = escape::line(text).to_string();
    fmt::from_fn(move |f| {
        for c in safe.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    })
}
