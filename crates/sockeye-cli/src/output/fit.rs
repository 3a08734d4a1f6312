//! The widths of a table's columns, and how cells are elided.

use std::collections::HashMap;
use std::ops::Range;

use super::elide::{elide, elide_between, elide_from, width_of};
use super::layout::{GAP, Layout};

/// What an elided cell keeps, apart from its end.
pub(super) enum Cut<'a> {
    /// So many columns of its beginning.
    After(usize),
    /// What begins at this offset of each text.
    Before(HashMap<&'a str, usize>),
    /// These parts of each text.
    Between(HashMap<&'a str, Vec<Range<usize>>>),
}

impl Cut<'_> {
    pub(super) fn elide(&self, line: &mut String, text: &str, room: usize) -> usize {
        let (lead, name) = split_lead(text);
        let lead = if width_of(lead) < room { lead } else { "" };
        line.push_str(lead);
        let left = room - width_of(lead);
        let taken = match self {
            Self::After(head) => elide(line, name, left, *head),
            Self::Before(places) => {
                let at = places.get(name).copied().unwrap_or_default();
                elide_from(line, name, left, at)
            }
            Self::Between(parts) => {
                elide_between(line, name, left, parts.get(name).map_or(&[], |p| &p[..]))
            }
        };
        width_of(lead) + taken
    }
}

/// The indent of a row, the arrow before a peer's address and the kind are never elided.
pub(super) fn split_lead(text: &str) -> (&str, &str) {
    let name = text.trim_start_matches(' ');
    let name = name.strip_prefix("→ ").unwrap_or(name);
    let kinds = ["dgram:", "seqpacket:"].into_iter();
    let name = kinds
        .filter_map(|kind| name.strip_prefix(kind))
        .next()
        .unwrap_or(name);
    text.split_at(text.len() - name.len())
}

/// The widths of the columns.
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
            // No trailing blanks.
            if taken > 0 {
                let lead = pending + before.min(self.limit.saturating_sub(used + pending + taken));
                line.extend(std::iter::repeat_n(' ', lead));
                let shown = if natural <= room {
                    line.push_str(text);
                    natural
                } else {
                    self.cuts[at].elide(line, text, room)
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
