//! How the columns of a table are laid out.

/// Between two columns.
pub(super) const GAP: usize = 2;

/// How a column is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) title: &'static str,
    /// Numbers stand to the right.
    pub(crate) right: bool,
    /// A cell may be elided down to this width, below it only once no column can be left out any
    /// more; `None` if it may not.
    pub(crate) least: Option<usize>,
    /// Of an elided cell, more of the end than of the beginning stays, which says more of a path;
    /// and two that differ never come to look the same.
    pub(crate) is_address: bool,
    /// Where room is short, columns go from the highest rank on; 0 stays.
    pub(crate) rank: u8,
}
