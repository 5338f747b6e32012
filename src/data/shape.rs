//! Shapes of tensors.

use std::fmt;
use std::ops::Deref;

use super::lines::Lines;
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
    /// The number of elements, or an error if it does not fit the address space.
    pub(crate) fn elements(&self, op: &'static str) -> Result<usize> {
        let size = |&count: &usize| count <= isize::MAX as usize / size_of::<f32>();
        self.0
            .iter()
            .try_fold(1usize, |product, &axis| product.checked_mul(axis))
            .filter(size)
            .ok_or_else(|| Error::shape(op, "a shape whose bytes fit the address space", self))
    }

    /// The index of an axis; a negative index counts from the end. A scalar has one axis.
    pub(crate) fn axis(&self, axis: isize) -> Result<usize> {
        let rank = self.0.len().max(1);
        let index = if axis < 0 { axis.checked_add_unsigned(rank) } else { Some(axis) };
        let index = index.and_then(|index| usize::try_from(index).ok());
        index.filter(|&index| index < rank).ok_or_else(|| {
            let reason = format!("must be from -{rank} to {} for the shape {self}", rank - 1);
            Error::parameter("axis", axis, reason)
        })
    }

    /// The shape seen along an axis. The axis of a scalar has length 1.
    pub(crate) fn lines(&self, axis: isize) -> Result<Lines> {
        let index = self.axis(axis)?;
        let width = self.0.get(index).copied().unwrap_or(1);
        if self.0.contains(&0) {
            // The product of the other axes' lengths may overflow.
            return Ok(Lines { outer: 0, width, inner: 1 });
        }
        let outer = self.0.iter().take(index).product();
        let inner = self.0.iter().skip(index + 1).product();
        Ok(Lines { outer, width, inner })
    }

    /// The length of the last axis, which is the row of a row-wise
    /// function. A scalar is a row of one.
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
