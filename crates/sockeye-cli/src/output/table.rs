//! [`Table`]: aligned columns that fit a terminal.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use super::elide::{differences, width_of};
use super::fit::{Cut, Fit};

/// How a column is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) title: &'static str,
    /// Numbers stand to the right.
    pub(crate) right: bool,
    /// A cell may be elided down to this width; `None` if it may not.
    pub(crate) least: Option<usize>,
    /// Of an elided cell, more of the end than of the beginning stays, which says more of a path;
    /// and two that differ never come to look the same.
    pub(crate) is_address: bool,
    /// Where room is short, columns go from the highest rank on; 0 stays.
    pub(crate) rank: u8,
}

/// Between two columns.
pub(super) const GAP: usize = 2;

/// Rows of cells. All text is in one place, so that a row costs no allocation.
pub(crate) struct Table {
    columns: Vec<Layout>,
    header: bool,
    text: String,
    /// Row by row: where the text of a cell ends, and its width on a terminal.
    cells: Vec<(usize, usize)>,
}

impl Table {
    pub(crate) fn new(columns: Vec<Layout>, header: bool) -> Self {
        Self {
            columns,
            header,
            text: String::new(),
            cells: Vec::new(),
        }
    }

    /// Adds the next cell: what `write` appends.
    pub(crate) fn cell(&mut self, write: impl FnOnce(&mut String)) {
        let start = self.text.len();
        write(&mut self.text);
        let width = width_of(&self.text[start..]);
        self.cells.push((self.text.len(), width));
    }

    /// Whether all fits as it is.
    pub(crate) fn fits(&self, width: usize) -> bool {
        total(&self.natural().into_iter().map(Some).collect::<Vec<_>>()) <= width
    }

    /// Whether the first column has no place.
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

    /// Writes the rows, none wider than `width`, unless addresses could not be told apart then.
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

    /// Elides what may be elided, and where that is not enough leaves columns out.
    fn fitted(&self, natural: &[usize], width: usize) -> Fit<'_> {
        let mut kept = vec![true; natural.len()];
        let mut least: Vec<Option<usize>> = self.columns.iter().map(|c| c.least).collect();
        loop {
            let mut widths: Vec<Option<usize>> = natural
                .iter()
                .zip(&kept)
                .map(|(&width, &kept)| kept.then_some(width))
                .collect();
            while total(&widths) > width && shrink(&mut widths, &least) {}
            if total(&widths) > width {
                let ranked = (0..kept.len()).filter(|&at| kept[at] && self.columns[at].rank > 0);
                if let Some(at) = ranked.max_by_key(|&at| self.columns[at].rank) {
                    kept[at] = false;
                    continue;
                }
            }
            let cuts: Vec<Option<Cut>> = (0..kept.len())
                .map(|at| self.cut(at, widths[at].unwrap_or_default()))
                .collect();
            let unclear = |at: &usize| kept[*at] && cuts[*at].is_none();
            match (0..kept.len()).find(unclear) {
                // Once nothing is elided any more, all are told apart.
                Some(at) => least[at] = widths[at].map(|width| width + 1),
                None => return self.fit(widths, cuts, width),
            }
        }
    }

    fn fit<'a>(
        &'a self,
        widths: Vec<Option<usize>>,
        cuts: Vec<Option<Cut<'a>>>,
        width: usize,
    ) -> Fit<'a> {
        // An address that is cut off might look like another.
        let last = self.columns.iter().rposition(|column| column.is_address);
        let needed = last.map_or(0, |at| total(&widths[..=at]));
        let has_several = last.is_some_and(|at| {
            let first = self.texts(at).next();
            self.texts(at)
                .any(|text| Some(text.trim_start()) != first.map(str::trim_start))
        });
        Fit {
            widths,
            cuts: cuts
                .into_iter()
                .map(|cut| cut.unwrap_or(Cut::After(0)))
                .collect(),
            limit: if has_several {
                width.max(needed)
            } else {
                width
            },
        }
    }

    /// How the cells of a column are elided; `None` if some addresses that differ would look the same.
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
                match width_of(text) > width {
                    true => drop(cut.elide(&mut short, text, width)),
                    false => short.push_str(text),
                }
                // The indent of a row is no part of its address.
                let text = text.trim_start();
                *shown.entry(short).or_insert(text) == text
            })
        };
        let usual = Cut::After(keep / 3);
        if tells_apart(&usual) {
            return Some(usual);
        }
        let names = texts.iter().map(|text| text.trim_start()).collect();
        Some(Cut::Before(differences(names))).filter(tells_apart)
    }
}

/// Takes one from the column that has the most to give.
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAME: Layout = Layout {
        title: "NAME",
        right: false,
        least: Some(9),
        is_address: true,
        rank: 0,
    };
    const COUNT: Layout = Layout {
        title: "COUNT",
        right: true,
        least: None,
        is_address: false,
        rank: 1,
    };

    fn shown(rows: &[[&str; 2]], columns: [Layout; 2], width: Option<usize>) -> String {
        let mut table = Table::new(columns.to_vec(), true);
        for cell in rows.iter().flatten() {
            table.cell(|text| text.push_str(cell));
        }
        let mut out = Vec::new();
        table.write(&mut out, width).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_aligned_and_lines_end_where_the_text_does() {
        let rows = [["a", "1"], ["long name", "22"]];
        assert_eq!(
            shown(&rows, [NAME, COUNT], None),
            "NAME       COUNT\na              1\nlong name     22\n"
        );
        let rows = [["1", "a"], ["22", "long name"]];
        assert_eq!(
            shown(&rows, [COUNT, NAME], None),
            "COUNT  NAME\n    1  a\n   22  long name\n"
        );
    }

    #[test]
    fn long_cells_lose_their_middle_before_a_column_goes() {
        let rows = [["/run/user/1000/app.sock", "1"]];
        assert_eq!(
            shown(&rows, [NAME, COUNT], Some(20)),
            "NAME           COUNT\n/run…app.sock      1\n"
        );
        assert_eq!(
            shown(&rows, [NAME, COUNT], Some(12)),
            "NAME\n/ru…app.sock\n"
        );
        let name = Layout {
            is_address: false,
            ..NAME
        };
        assert_eq!(
            shown(&rows, [name, COUNT], Some(12)),
            "NAME\n/run/use…ock\n"
        );
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let rows = [["日本日本日本", "1"]];
        let text = shown(&rows, [NAME, COUNT], Some(9));
        assert!(text.lines().all(|line| width_of(line) <= 9), "{text}");
    }

    #[test]
    fn addresses_that_differ_in_the_middle_do_so_when_they_are_short() {
        let rows = [
            ["/run/containers/a1/app.sock", "1"],
            ["/run/containers/b1/app.sock", "1"],
            ["/run/containers/a1/app.sock", "2"],
        ];
        let text = shown(&rows, [NAME, COUNT], Some(19));
        assert_eq!(
            text,
            "NAME          COUNT\n…a1/app.sock      1\n…b1/app.sock      1\n…a1/app.sock      2\n"
        );
        let text = shown(&rows, [NAME, COUNT], Some(16));
        assert_eq!(
            text,
            "NAME       COUNT\n…a1/a…ock      1\n…b1/a…ock      1\n…a1/a…ock      2\n"
        );
        // What tells them apart stays, whatever else goes.
        let text = shown(&rows, [NAME, COUNT], Some(1));
        assert_eq!(text, "NAME\n…a1/a…ock\n…b1/a…ock\n…a1/a…ock\n");
    }

    proptest! {
        #[test]
        fn two_addresses_never_look_the_same(
            names in prop::collection::btree_set("/[ab]{0,12}(xx|y)[ab]{0,12}", 2..8),
            width in 1usize..40,
        ) {
            let first: Vec<[&str; 2]> = names.iter().map(|name| [name.as_str(), "1"]).collect();
            let last: Vec<[&str; 2]> = names.iter().map(|name| ["1", name.as_str()]).collect();
            for (rows, columns) in [(&first, [NAME, COUNT]), (&last, [COUNT, NAME])] {
                let text = shown(rows, columns, Some(width));
                let lines: std::collections::BTreeSet<&str> = text.lines().skip(1).collect();
                prop_assert_eq!(lines.len(), names.len(), "{}", text);
            }
        }

        #[test]
        fn no_line_is_wider_than_the_terminal(
            rows in prop::collection::vec([".{0,40}", "[a-z]{0,40}"], 0..5),
            width in 1usize..60,
        ) {
            let rows: Vec<[&str; 2]> = rows.iter().map(|[a, b]| [a.as_str(), b.as_str()]).collect();
            let name = Layout { is_address: false, ..NAME };
            for columns in [[name, COUNT], [COUNT, name], [COUNT, COUNT]] {
                let text = shown(&rows, columns, Some(width));
                for line in text.split_terminator('\n') {
                    prop_assert!(width_of(line) <= width, "{:?}", line);
                }
            }
        }
    }
}
