//! Tensors as rows, and as lines along any axis.

/// A tensor as rows that are contiguous in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    /// The number of rows.
    pub(crate) count: usize,
    /// The number of elements in a row.
    pub(crate) width: usize,
}

impl Rows {
    /// The number of elements in all rows.
    pub(crate) const fn elements(self) -> usize {
        self.count * self.width
    }
}

/// A tensor seen along one of its axes, as [outer, width, inner]. The elements
/// of a line lie `inner` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lines {
    /// The product of the lengths of the axes before this one.
    pub(crate) outer: usize,
    /// The number of elements in a line.
    pub(crate) width: usize,
    /// The product of the lengths of the axes after this one.
    pub(crate) inner: usize,
}

impl Lines {
    /// The number of elements from one value of the outer index to the next.
    pub(crate) const fn block(self) -> usize {
        self.width * self.inner
    }

    /// The number of elements in all lines.
    pub(crate) const fn elements(self) -> usize {
        self.outer * self.block()
    }
}
