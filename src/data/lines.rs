//! Tensors as rows, and as lines along any axis.

/// A tensor as rows, contiguous in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    /// The number of rows.
    pub(crate) count: usize,
    /// The elements of a row.
    pub(crate) width: usize,
}

impl Rows {
    /// The elements of all rows.
    pub(crate) const fn elements(self) -> usize {
        self.count * self.width
    }
}

/// A tensor seen from one of its axes, as [outer, width, inner]. The elements of a line lie `inner` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lines {
    /// The product of the axes before.
    pub(crate) outer: usize,
    /// The elements of a line.
    pub(crate) width: usize,
    /// The product of the axes after.
    pub(crate) inner: usize,
}

impl Lines {
    /// The elements from one value of the outer index to the next.
    pub(crate) const fn block(self) -> usize {
        self.width * self.inner
    }

    /// The elements of all lines.
    pub(crate) const fn elements(self) -> usize {
        self.outer * self.block()
    }
}
