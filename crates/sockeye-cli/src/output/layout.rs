//! The layout of a table's columns.

/// The gap between two columns.
pub(super) const GAP: usize = 2;

/// How a column is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) title: &'static str,
    /// Right-aligned, for numbers.
    pub(crate) right: bool,
    /// A cell may be elided down to this width, and further if no more columns can be left out; `None`:
    /// it is never elided.
    pub(crate) least: Option<usize>,
    /// An elided cell keeps more of its end, which says more of a path, and two addresses that differ
    /// never look the same.
    pub(crate) is_address: bool,
    /// If the terminal is too narrow, the columns of the highest rank are left out first; those of rank 0
    /// never.
    pub(crate) rank: u8,
}
