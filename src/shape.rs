//! Shapes of tensors.

use std::fmt;
use std::ops::Deref;

use crate::error::{Error, Result};

/// The lengths of a tensor's axes, outermost first; the last axis is contiguous in memory.
///
/// A shape converts from arrays, slices and `Vec<usize>`; `[]` is the shape of a scalar.
///
/// ```
/// use wgrad::Shape;
/// let shape = Shape::from([32, 10]);
/// assert_eq!(shape.len(), 2);
/// assert_eq!(shape.to_string(), "[32, 10]");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// The number of elements, or an error where it does not fit the address space.
    pub(crate) fn elements(&self, op: &'static str) -> Result<usize> {
        let size = |&count: &usize| count <= isize::MAX as usize / size_of::<f32>();
        self.0
            .iter()
            .try_fold(1usize, |product, &axis| product.checked_mul(axis))
            .filter(size)
            .ok_or_else(|| Error::shape(op, "a shape whose bytes fit the address space", self))
    }

    /// The length of the last axis: the row of a row-wise function. A scalar is a row of one.
    pub(crate) fn row(&self) -> usize {
        self.0.last().copied().unwrap_or(1)
    }
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(axes: [usize; N]) -> Self {
        Self(axes.to_vec())
    }
}

impl<const N: usize> From<&[usize; N]> for Shape {
    fn from(axes: &[usize; N]) -> Self {
        Self(axes.to_vec())
    }
}

impl From<&[usize]> for Shape {
    fn from(axes: &[usize]) -> Self {
        Self(axes.to_vec())
    }
}

impl From<Vec<usize>> for Shape {
    fn from(axes: Vec<usize>) -> Self {
        Self(axes)
    }
}

impl From<&Vec<usize>> for Shape {
    fn from(axes: &Vec<usize>) -> Self {
        Self(axes.clone())
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        shape.clone()
    }
}
