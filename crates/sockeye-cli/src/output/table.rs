//! [`Table`]: aligned columns that fit a terminal.

use std::io::{self, Write};

/// How a column is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) title: &'static str,
    /// Numbers stand to the right.
    pub(crate) right: bool,
    /// A cell may be elided down to this width; `None` if it may not.
    pub(crate) least: Option<usize>,
    /// Of an elided cell, more of the end than of the beginning stays, which says more of a path.
    pub(crate) keep_end: bool,
    /// Where room is short, columns go from the highest rank on; 0 stays.
    pub(crate) rank: u8,
}

/// Between two columns.
const GAP: usize = 2;

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

    /// Writes the rows, none wider than `width`.
    pub(crate) fn write(&self, out: &mut impl Write, width: Option<usize>) -> io::Result<()> {
        let natural = self.natural();
        let widths = match width {
            Some(width) => self.fitted(&natural, width),
            None => natural.into_iter().map(Some).collect(),
        };
        let limit = width.unwrap_or(usize::MAX);
        let mut line = String::new();
        if self.header {
            let titles = self.columns.iter().map(|c| (c.title, c.title.len()));
            self.line(&mut line, titles, &widths, limit);
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
            self.line(&mut line, cells, &widths, limit);
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
    fn fitted(&self, natural: &[usize], width: usize) -> Vec<Option<usize>> {
        let mut kept = vec![true; natural.len()];
        loop {
            let mut widths: Vec<Option<usize>> = natural
                .iter()
                .zip(&kept)
                .map(|(&width, &kept)| kept.then_some(width))
                .collect();
            while total(&widths) > width && self.shrink(&mut widths) {}
            if total(&widths) <= width {
                return widths;
            }
            let ranked = (0..kept.len()).filter(|&at| kept[at] && self.columns[at].rank > 0);
            match ranked.max_by_key(|&at| self.columns[at].rank) {
                Some(at) => kept[at] = false,
                None => return widths,
            }
        }
    }

    /// Takes one from the column that has the most to give.
    fn shrink(&self, widths: &mut [Option<usize>]) -> bool {
        let spare = |(width, column): (&Option<usize>, &Layout)| {
            width
                .and_then(|width| width.checked_sub(column.least?))
                .unwrap_or(0)
        };
        let spares = widths.iter().zip(&self.columns).map(spare).enumerate();
        match spares.max_by_key(|&(_, spare)| spare) {
            Some((at, 1..)) => {
                widths[at] = widths[at].map(|width| width - 1);
                true
            }
            _ => false,
        }
    }

    fn line<'a>(
        &self,
        line: &mut String,
        cells: impl Iterator<Item = (&'a str, usize)>,
        widths: &[Option<usize>],
        limit: usize,
    ) {
        let mut pending = 0;
        let mut used = 0;
        for (((text, natural), width), column) in cells.zip(widths).zip(&self.columns) {
            let Some(width) = *width else { continue };
            let room = width.min(limit.saturating_sub(used + pending));
            let taken = natural.min(room);
            let blank = width - taken.min(width);
            let before = if column.right { blank } else { 0 };
            // Blanks are only written when something follows.
            if taken > 0 {
                let lead = pending + before.min(limit.saturating_sub(used + pending + taken));
                line.extend(std::iter::repeat_n(' ', lead));
                let shown = match natural <= room {
                    true => {
                        line.push_str(text);
                        natural
                    }
                    false => elide(line, text, room, column.keep_end),
                };
                used += lead + shown;
                pending = width.saturating_sub(before + shown) + GAP;
            } else {
                pending += width + GAP;
            }
        }
        line.push('\n');
    }
}

fn total(widths: &[Option<usize>]) -> usize {
    let kept = widths.iter().flatten();
    let count = kept.clone().count();
    kept.sum::<usize>() + GAP * count.saturating_sub(1)
}

/// Leaves the middle out. Returns the width of what is left.
fn elide(line: &mut String, text: &str, room: usize, keep_end: bool) -> usize {
    let keep = room.saturating_sub(1);
    let (head, used) = prefix(
        text.chars(),
        if keep_end { keep / 3 } else { keep - keep / 3 },
    );
    let (tail, more) = prefix(text.chars().rev(), keep - used);
    line.push_str(&text[..head]);
    line.push('…');
    line.push_str(&text[text.len() - tail..]);
    used + 1 + more
}

/// How many bytes of `chars` fit, and their width.
fn prefix(chars: impl Iterator<Item = char>, room: usize) -> (usize, usize) {
    let (mut bytes, mut width) = (0, 0);
    for c in chars {
        if width + width_of_char(c) > room {
            break;
        }
        bytes += c.len_utf8();
        width += width_of_char(c);
    }
    (bytes, width)
}

fn width_of(text: &str) -> usize {
    match text.is_ascii() {
        true => text.len(),
        false => text.chars().map(width_of_char).sum(),
    }
}

/// The columns that a terminal gives a character, for the scripts that names are written in; a
/// table of the rest is not worth a dependency.
fn width_of_char(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAME: Layout = Layout {
        title: "NAME",
        right: false,
        least: Some(9),
        keep_end: true,
        rank: 0,
    };
    const COUNT: Layout = Layout {
        title: "COUNT",
        right: true,
        least: None,
        keep_end: false,
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
            keep_end: false,
            ..NAME
        };
        assert_eq!(
            shown(&rows, [name, COUNT], Some(12)),
            "NAME\n/run/use…ock\n"
        );
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(width_of("日本é"), 5);
        let rows = [["日本日本日本", "1"]];
        let text = shown(&rows, [NAME, COUNT], Some(9));
        assert!(text.lines().all(|line| width_of(line) <= 9), "{text}");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(
            rows in prop::collection::vec([".{0,40}", "[a-z]{0,40}"], 0..5),
            width in 1usize..60,
        ) {
            let rows: Vec<[&str; 2]> = rows.iter().map(|[a, b]| [a.as_str(), b.as_str()]).collect();
            for columns in [[NAME, COUNT], [COUNT, NAME], [COUNT, COUNT]] {
                let text = shown(&rows, columns, Some(width));
                for line in text.split_terminator('\n') {
                    prop_assert!(width_of(line) <= width, "{:?}", line);
                }
            }
        }
    }
}
