//! Products of matrices of either type. Halves are widened in panels, so that a large matrix
//! never exists as f32 as a whole.

use std::sync::Arc;

use super::cell::Block;
use super::halves::{Half, Values};
use super::matrix::Factors;
use super::parallel::{CHUNK, over_pieces_of};
use super::region::Region;
use crate::backend::{Bias, Epilogue, Matrix, Product};
use crate::backend::{Pool, Purpose};
use crate::error::Result;

/// The number of elements that are widened at a time: 2 MiB as f32. A smaller matrix is widened
/// whole, and multiplied like an f32 matrix.
const PANEL: usize = 1 << 19;

/// The inputs of a product.
pub(super) struct Multiplication<'a> {
    a: Values<'a>,
    b: Values<'a>,
    bias: Option<&'a [f32]>,
    /// Whether the output is locked during the product; see `Cell::modify`.
    apart: bool,
}

/// The panels into which a and b are widened if they are f16.
type Panels<'a> = [&'a mut [f32]; 2];

impl<'a> Multiplication<'a> {
    pub(super) fn new(a: Values<'a>, b: Values<'a>, bias: Option<&'a [f32]>, apart: bool) -> Self {
        Self { a, b, bias, apart }
    }

    /// Allocates memory for the panels.
    pub(super) fn panels(
        &self,
        pool: &Arc<Pool<Region>>,
        product: Product<'_>,
    ) -> Result<[Option<Block>; 2]> {
        let Product { rows, inner, columns, .. } = product;
        let panel = |values: &Values<'_>, elements: usize| match values {
            Values::F32(_) => Ok(None),
            Values::F16(_) | Values::BF16(_) => {
                Block::new(pool, Purpose::Workspace, elements.min(PANEL.max(1))).map(Some)
            }
        };
        Ok([panel(&self.a, rows * inner)?, panel(&self.b, inner * columns)?])
    }

    /// Writes the product to its place in the output's storage.
    pub(super) fn run(&self, product: Product<'_>, output: &mut [f32], panels: &mut Panels<'_>) {
        let Product { rows, inner, columns, .. } = product;
        let is_large = |values: &Values<'_>, elements: usize| {
            !matches!(values, Values::F32(_)) && elements > PANEL
        };
        // Cut the longer side, so that panels are not narrow.
        let cut = if is_large(&self.a, rows * inner) {
            if rows >= inner { Cut::Rows(PANEL / inner) } else { Cut::Inner(PANEL / rows) }
        } else if is_large(&self.b, inner * columns) {
            if columns >= inner { Cut::Columns(PANEL / inner) } else { Cut::Inner(PANEL / columns) }
        } else {
            return self.multiply(product, output, panels);
        };
        cut.pieces(product, |piece| self.run(piece, output, panels));
    }

    /// Computes a product whose factors fit into the panels.
    fn multiply(&self, product: Product<'_>, output: &mut [f32], panels: &mut Panels<'_>) {
        let Product { rows, inner, columns, .. } = product;
        let [a, b] = panels;
        let (a, a_values) = self.widened(self.a, product.a, [rows, inner], a);
        let (b, b_values) = self.widened(self.b, product.b, [inner, columns], b);
        let output = &mut output[product.output.range(rows, columns)];
        let bias = product.epilogue.bias.and(self.bias);
        let factors = Factors::new(&Product { a, b, ..product }, a_values, b_values, bias);
        if self.apart { factors.multiply_apart(output) } else { factors.multiply(output) }
    }

    /// A factor as f32: unchanged, or widened into a panel.
    fn widened<'b>(
        &self,
        values: Values<'b>,
        matrix: Matrix<'b>,
        [rows, columns]: [usize; 2],
        panel: &'b mut [f32],
    ) -> (Matrix<'b>, &'b [f32]) {
        match values {
            Values::F32(values) => (matrix, values),
            Values::F16(halves) => self.widened_halves(halves, matrix, [rows, columns], panel),
            Values::BF16(halves) => self.widened_halves(halves, matrix, [rows, columns], panel),
        }
    }

    fn widened_halves<'b, H: Half>(
        &self,
        halves: &'b [H],
        matrix: Matrix<'b>,
        [rows, columns]: [usize; 2],
        panel: &'b mut [f32],
    ) -> (Matrix<'b>, &'b [f32]) {
        let (rows, columns) = matrix.stored(rows, columns);
        let panel = &mut panel[..rows * columns];
        let stored = |row: usize| &halves[matrix.offset + row * matrix.stride..][..columns];
        if self.apart {
            widen_rows(0, columns, panel, stored);
        } else if columns > 0 {
            let piece = CHUNK.div_ceil(columns) * columns;
            over_pieces_of(panel, piece, |start, panel| {
                widen_rows(start / columns, columns, panel, stored);
            });
        }
        (Matrix { offset: 0, stride: columns, ..matrix }, panel)
    }
}

/// Widens rows, starting at row `first`.
fn widen_rows<'a, H: Half>(
    first: usize,
    columns: usize,
    panel: &mut [f32],
    stored: impl Fn(usize) -> &'a [H],
) {
    for (i, row) in panel.chunks_mut(columns.max(1)).enumerate() {
        H::widen(stored(first + i), row);
    }
}

/// A product cut along one of its dimensions, into pieces of the given length.
enum Cut {
    Rows(usize),
    Inner(usize),
    Columns(usize),
}

impl Cut {
    fn pieces(self, product: Product<'_>, mut run: impl FnMut(Product<'_>)) {
        let Product { a, b, output, epilogue, .. } = product;
        let (total, step) = match self {
            Self::Rows(step) => (product.rows, step),
            Self::Inner(step) => (product.inner, step),
            Self::Columns(step) => (product.columns, step),
        };
        for first in (0..total).step_by(step.max(1)) {
            let length = step.max(1).min(total - first);
            run(match self {
                Self::Rows(_) => Product {
                    rows: length,
                    a: a.at(first, 0),
                    output: output.at(first, 0),
                    ..product
                },
                Self::Columns(_) => Product {
                    columns: length,
                    b: b.at(0, first),
                    output: output.at(0, first),
                    epilogue: Epilogue {
                        bias: epilogue
                            .bias
                            .map(|bias| Bias { offset: bias.offset + first, ..bias }),
                        ..epilogue
                    },
                    ..product
                },
                Self::Inner(_) => Product {
                    inner: length,
                    a: a.at(0, first),
                    b: b.at(first, 0),
                    epilogue: if first + length == total { epilogue } else { Epilogue::NONE },
                    accumulate: product.accumulate || first > 0,
                    ..product
                },
            });
        }
    }
}
