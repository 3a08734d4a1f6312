//! [`TextTable`]: aligned columns that fit a terminal.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use super::elide::{differences, partings, width_of};
use super::fit::{Cut, Fit, split_lead};
use super::layout::{GAP, Layout};

impl Layout {
    /// The minimum width of a cell. A title is never elided.
    fn shortest(&self) -> usize {
        let shortest = if self.is_address {
            SHORTEST
        } else {
            SHORTEST_TEXT
        };
        shortest.max(self.title.len())
    }
}

/// Columns up to this rank are left out only if addresses at their shortest leave no room.
const NEEDED: u8 = 2;
/// The minimum width of an address, if it remains unique.
const SHORTEST: usize = 8;
/// The minimum width of any other text.
const SHORTEST_TEXT: usize = 10;

/// Rows of cells. All text is in one string, so that a row costs no allocation.
pub(crate) struct TextTable {
    columns: Vec<Layout>,
    header: bool,
    /// Rows may be wider than the terminal: no column is left out.
    wraps: bool,
    text: String,
    /// Row by row: the end of a cell's text, and its width on a terminal.
    cells: Vec<(usize, usize)>,
}

impl TextTable {
    pub(crate) fn new(columns: Vec<Layout>, header: bool) -> Self {
        Self {
            columns,
            header,
            wraps: false,
            text: String::new(),
            cells: Vec::new(),
        }
    }

    /// Lets rows be wider than the terminal, instead of leaving out a column.
    pub(crate) fn wrapping(self) -> Self {
        Self {
            wraps: true,
            ..self
        }
    }

    /// Adds the next cell: what `write` appends.
    pub(crate) fn cell(&mut self, write: impl FnOnce(&mut String)) {
        let start = self.text.len();
        write(&mut self.text);
        let width = width_of(&self.text[start..]);
        self.cells.push((self.text.len(), width));
    }

    /// Whether nothing has to be elided.
    pub(crate) fn fits(&self, width: usize) -> bool {
        total(&self.natural().into_iter().map(Some).collect::<Vec<_>>()) <= width
    }

    /// Whether the first column has to be left out.
    pub(crate) fn leaves_out_first(&self, width: usize) -> bool {
        let fit = self.fitted(&self.natural(), width);
        fit.widths.first().is_some_and(Option::is_none)
    }

    /// Whether all cells of a column are this text.
    pub(crate) fn is_all(&self, column: usize, text: &str) -> bool {
        self.texts(column).all(|cell| cell.trim_start() == text)
    }

    /// The cells of a column.
    fn texts(&self, column: usize) -> impl Iterator<Item = &str> {
        let ends = self.cells.iter().map(|&(end, _)| end);
        let starts = std::iter::once(0).chain(ends.clone());
        let texts = starts.zip(ends).map(|(start, end)| &self.text[start..end]);
        texts.skip(column).step_by(self.columns.len())
    }

    /// Writes the rows, none wider than `width`, unless addresses would look the same or the table is
    /// [`wrapping`](Self::wrapping).
    pub(crate) fn write(&self, out: &mut impl Write, width: Option<usize>) -> io::Result<()> {
        let natural = self.natural();
        let fit = match width {
            Some(width) => self.fitted(&natural, width),
            None => Fit {
                widths: natural.into_iter().map(Some).collect(),
                cuts: self.columns.iter().map(|_| Cut::After(0)).collect(),
                limit: usize::MAX,
            },
        };
        let mut line = String::new();
        if self.header {
            let titles = self.columns.iter().map(|c| (c.title, c.title.len()));
            fit.line(&mut line, titles, &self.columns);
            out.write_all(line.as_bytes())?;
        }
        let mut start = 0;
        for row in self.cells.chunks_exact(self.columns.len()) {
            let cells = row.iter().map(|&(end, width)| {
                let text = &self.text[start..end];
                start = end;
                (text, width)
            });
            line.clear();
            fit.line(&mut line, cells, &self.columns);
            out.write_all(line.as_bytes())?;
        }
        Ok(())
    }

    fn natural(&self) -> Vec<usize> {
        let title = |column: &Layout| if self.header { column.title.len() } else { 0 };
        let mut widths: Vec<usize> = self.columns.iter().map(title).collect();
        for row in self.cells.chunks_exact(self.columns.len()) {
            for (most, (_, width)) in widths.iter_mut().zip(row) {
                *most = (*most).max(*width);
            }
        }
        widths
    }

    /// Elides what may be elided; if that is not enough, leaves columns out.
    fn fitted(&self, natural: &[usize], width: usize) -> Fit<'_> {
        let mut kept = vec![true; natural.len()];
        let mut least: Vec<Option<usize>> = self.columns.iter().map(|c| c.least).collect();
        let mut is_raised = false;
        loop {
            let mut widths: Vec<Option<usize>> = natural
                .iter()
                .zip(&kept)
                .map(|(&width, &kept)| kept.then_some(width))
                .collect();
            while total(&widths) > width && shrink(&mut widths, &least) {}
            if total(&widths) > width && self.make_room(&mut kept, &mut least, is_raised) {
                continue;
            }
            let cuts: Vec<Option<Cut>> = (0..kept.len())
                .map(|at| self.cut(at, widths[at].unwrap_or_default()))
                .collect();
            let unclear = |at: &usize| kept[*at] && cuts[*at].is_none();
            match (0..kept.len()).find(unclear) {
                // If nothing is elided, all differ.
                Some(at) => {
                    least[at] = widths[at].map(|width| width + 1);
                    is_raised = true;
                }
                None => return self.fit(widths, cuts, width, is_raised),
            }
        }
    }

    /// Leaves a column out, or lets cells be hard to read; `false` if neither is possible. No necessary
    /// column is left out for the sake of unique addresses.
    fn make_room(&self, kept: &mut [bool], least: &mut [Option<usize>], is_raised: bool) -> bool {
        let rank = |at: usize| self.columns[at].rank;
        let ranked = (0..kept.len()).filter(|&at| kept[at] && rank(at) > 0);
        let first = ranked.max_by_key(|&at| rank(at));
        let is_needed = first.is_none_or(|at| rank(at) <= NEEDED);
        if is_needed {
            let mut is_shorter = false;
            for (column, least) in self.columns.iter().zip(least) {
                let shortest = column.shortest();
                if !(column.is_address && is_raised) && least.is_some_and(|least| least > shortest)
                {
                    *least = Some(shortest);
                    is_shorter = true;
                }
            }
            if is_shorter {
                return true;
            }
        }
        match first {
            Some(at) if !(is_needed && is_raised) => {
                kept[at] = false;
                true
            }
            _ => false,
        }
    }

    fn fit<'a>(
        &'a self,
        widths: Vec<Option<usize>>,
        cuts: Vec<Option<Cut<'a>>>,
        width: usize,
        is_raised: bool,
    ) -> Fit<'a> {
        // A truncated address might look like another.
        let last = self.columns.iter().rposition(|column| column.is_address);
        let needed = last.map_or(0, |at| total(&widths[..=at]));
        let has_several = last.is_some_and(|at| {
            let first = self.texts(at).next();
            self.texts(at)
                .any(|text| Some(text.trim_start()) != first.map(str::trim_start))
        });
        let limit = match () {
            () if self.wraps || is_raised => width.max(total(&widths)),
            () if has_several => width.max(needed),
            () => width,
        };
        Fit {
            widths,
            cuts: cuts
                .into_iter()
                .map(|cut| cut.unwrap_or(Cut::After(0)))
                .collect(),
            limit,
        }
    }

    /// How the cells of a column are elided; `None` if two different addresses would look the same.
    fn cut(&self, column: usize, width: usize) -> Option<Cut<'_>> {
        let keep = width.saturating_sub(1);
        if !self.columns[column].is_address {
            return Some(Cut::After(keep - keep / 3));
        }
        let texts: HashSet<&str> = self.texts(column).collect();
        let tells_apart = |cut: &Cut| {
            let mut shown = HashMap::new();
            texts.iter().all(|text| {
                let mut short = String::new();
                if width_of(text) > width {
                    cut.elide(&mut short, text, width);
                } else {
                    short.push_str(text);
                }
                // The indent of a row is not part of its address.
                let text = text.trim_start();
                *shown.entry(short).or_insert(text) == text
            })
        };
        let usual = Cut::After(keep / 3);
        if tells_apart(&usual) {
            return Some(usual);
        }
        let names: Vec<&str> = texts.iter().map(|text| split_lead(text).1).collect();
        let short = Cut::Before(differences(names.clone()));
        if tells_apart(&short) {
            return Some(short);
        }
        Some(Cut::Between(partings(names))).filter(tells_apart)
    }
}

/// Narrows the column with the most room by one.
fn shrink(widths: &mut [Option<usize>], least: &[Option<usize>]) -> bool {
    let spare = |(width, least): (&Option<usize>, &Option<usize>)| {
        let width = width.and_then(|width| width.checked_sub((*least)?));
        width.unwrap_or(0)
    };
    let spares = widths.iter().zip(least).map(spare).enumerate();
    match spares.max_by_key(|&(_, spare)| spare) {
        Some((at, 1..)) => {
            widths[at] = widths[at].map(|width| width - 1);
            true
        }
        _ => false,
    }
}

fn total(widths: &[Option<usize>]) -> usize {
    let kept = widths.iter().flatten();
    let count = kept.clone().count();
    kept.sum::<usize>() + GAP * count.saturating_sub(1)
}

#[cfg(test)]
mod tests;
