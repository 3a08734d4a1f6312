//! How the columns of a table share a line.

use std::collections::HashMap;

use super::elide::{elide, elide_from};
use super::table::{GAP, Layout};

/// What an elided cell keeps beside its end.
pub(super) enum Cut<'a> {
    /// So much of the beginning.
    After(usize),
    /// What begins at this place of each text.
    Before(HashMap<&'a str, usize>),
}

impl Cut<'_> {
    pub(super) fn elide(&self, line: &mut String, text: &str, room: usize) -> usize {
        match self {
            Self::After(head) => elide(line, text, room, *head),
            Self::Before(places) => {
                let name = text.trim_start();
                let indent = (text.len() - name.len()).min(room);
                line.extend(std::iter::repeat_n(' ', indent));
                let at = places.get(name).copied().unwrap_or_default();
                indent + elide_from(line, name, room - indent, at)
            }
        }
    }
}

/// How the columns share a line.
pub(super) struct Fit<'t> {
    /// `None` for a column that is left out.
    pub(super) widths: Vec<Option<usize>>,
    pub(super) cuts: Vec<Cut<'t>>,
    pub(super) limit: usize,
}

impl Fit<'_> {
    pub(super) fn line<'a>(
        &self,
        line: &mut String,
        cells: impl Iterator<Item = (&'a str, usize)>,
        columns: &[Layout],
    ) {
        let mut pending = 0;
        let mut used = 0;
        for (at, (text, natural)) in cells.enumerate() {
            let Some(width) = self.widths[at] else {
                continue;
            };
            let room = width.min(self.limit.saturating_sub(used + pending));
            let taken = natural.min(room);
            let blank = width - taken.min(width);
            let before = if columns[at].right { blank } else { 0 };
            // Blanks are only written when something follows.
            if taken > 0 {
                let lead = pending + before.min(self.limit.saturating_sub(used + pending + taken));
                line.extend(std::iter::repeat_n(' ', lead));
                let shown = match natural <= room {
                    true => {
                        line.push_str(text);
                        natural
                    }
                    false => self.cuts[at].elide(line, text, room),
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
