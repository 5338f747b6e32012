//! Matrix products and sums.

use gemm_common::Parallelism;
use pulp::NullaryFnOnce;

use super::parallel::{
    self, CHUNK, of_pieces, on_all_threads, over_pieces_apart, over_pieces_of, vectorised,
};
use super::pointwise;
use crate::backend::{Matrix, Product, Rows};
use wgrad_formula::formulas::PointwiseFunction;

/// Below this number of multiplications, other threads would only add cost.
const SERIAL_PRODUCT: usize = 1 << 18;

/// Below this number of multiplications, a thread would cost more to start than it saves.
const SERIAL_APART: usize = 1 << 22;

/// The crate uses a different order of summation for products with fewer rows than `TILE`, and for
/// products with no more rows and columns than `SMALL`.
const TILE: usize = 16;
const SMALL: usize = 64;

/// A matrix to read: its elements, and the steps from one row and from one column to the next.
#[derive(Clone, Copy)]
struct Operand<'a> {
    values: &'a [f32],
    row: usize,
    column: usize,
}

impl<'a> Operand<'a> {
    /// Selects the elements of the storage that belong to a matrix of this shape.
    fn new(matrix: Matrix<'_>, storage: &'a [f32], rows: usize, columns: usize) -> Self {
        let (row, column) = matrix.stored(matrix.stride, 1);
        Self { values: &storage[matrix.range(rows, columns)], row, column }
    }

    /// The matrix without its first rows.
    fn rows_from(self, row: usize) -> Self {
        Self { values: &self.values[self.values.len().min(row * self.row)..], ..self }
    }

    fn transposed(self) -> Self {
        Self { row: self.column, column: self.row, ..self }
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        (rows - 1) * self.row + (columns - 1) * self.column < self.values.len()
    }
}

/// The right side of `output = activation(a·b + bias)`.
pub(super) struct Factors<'a> {
    inner: usize,
    columns: usize,
    a: Operand<'a>,
    b: Operand<'a>,
    bias: Option<&'a [f32]>,
    function: PointwiseFunction,
    accumulate: bool,
    /// The number of elements from one row of the output to the next.
    stride: usize,
}

impl<'a> Factors<'a> {
    /// Selects the elements of the storages that belong to the product.
    pub(super) fn new(
        product: &Product<'a>,
        a: &'a [f32],
        b: &'a [f32],
        bias: Option<&'a [f32]>,
    ) -> Self {
        let Product { rows, inner, columns, epilogue, output, accumulate, .. } = *product;
        let bias_offset = epilogue.bias.map_or(0, |bias| bias.offset);
        Self {
            inner,
            columns,
            a: Operand::new(product.a, a, rows, inner),
            b: Operand::new(product.b, b, inner, columns),
            bias: bias.map(|bias| &bias[bias_offset..bias_offset + columns]),
            function: epilogue.function,
            accumulate,
            stride: output.stride.max(1),
        }
    }

    /// Computes the product, on all cores.
    pub(super) fn multiply(&self, output: &mut [f32]) {
        let rows = output.len().div_ceil(self.stride);
        if self.multiplications(rows) < SERIAL_PRODUCT {
            self.add_up(0, output, Parallelism::None);
            self.finish(output);
        } else if let Some(piece) = self.piece(rows) {
            let pieces = output.chunks_mut(piece * self.stride).enumerate();
            on_all_threads(pieces, |(i, output)| {
                self.add_up(i * piece, output, Parallelism::None);
                self.finish(output);
            });
        } else {
            self.add_up(0, output, Parallelism::Rayon(0));
            if self.bias.is_some() || self.function != PointwiseFunction::Identity {
                let piece = CHUNK.div_ceil(self.stride) * self.stride;
                over_pieces_of(output, piece, |_, output| self.finish(output));
            }
        }
    }

    /// The number of rows for each thread, if there are enough rows. In that case no thread has to
    /// be woken or to wait for others, although each one prepares the other factor for itself.
    fn piece(&self, rows: usize) -> Option<usize> {
        let threads = rayon::current_num_threads();
        let (enough, least) = if self.columns <= SMALL { (96, SMALL + 1) } else { (32, TILE) };
        if threads == 1 || rows < enough * threads {
            return None;
        }
        let mut piece = rows.div_ceil(threads).next_multiple_of(TILE);
        // The last piece has the remaining rows.
        while (1..least).contains(&(rows % piece)) {
            piece += TILE;
        }
        Some(piece)
    }

    fn multiplications(&self, rows: usize) -> usize {
        rows * self.inner * self.columns
    }

    /// Like [`multiply`](Self::multiply), on separate threads, for use while the output is locked.
    pub(super) fn multiply_apart(&self, output: &mut [f32]) {
        let rows = output.len().div_ceil(self.stride);
        let is_small = self.multiplications(rows) < SERIAL_APART;
        let threads = if is_small { 1 } else { rayon::current_num_threads() };
        let rows = rows.div_ceil(threads);
        over_pieces_apart(output, rows * self.stride, threads, |start, output| {
            self.add_up(start / self.stride, output, Parallelism::None);
            self.finish(output);
        });
    }

    /// Applies the bias and the activation to some rows.
    fn finish(&self, rows: &mut [f32]) {
        if let Some(bias) = self.bias {
            vectorised(AddToRows { rows: &mut *rows, stride: self.stride, bias });
        }
        if self.stride == self.columns {
            return pointwise::forward(self.function, rows);
        }
        for row in rows.chunks_mut(self.stride) {
            pointwise::forward(self.function, &mut row[..self.columns]);
        }
    }

    /// Computes a·b from row `first` on, and writes it to the rows of
    /// the output or adds it to them.
    fn add_up(&self, first: usize, output: &mut [f32], parallelism: Parallelism) {
        let (inner, columns, stride) = (self.inner, self.columns, self.stride);
        let rows = output.len().div_ceil(stride);
        if rows == 0 {
            return;
        }
        if inner == 0 {
            if !self.accumulate {
                output.chunks_mut(stride).for_each(|row| row[..columns].fill(0.0));
            }
            return;
        }
        let (a, b) = (self.a.rows_from(first), self.b);
        assert!(columns > 0 && columns <= stride && output.len() >= (rows - 1) * stride + columns);
        assert!(a.holds(rows, inner) && b.holds(inner, columns));
        // The kernels need an output with contiguous columns, so let them compute its transpose,
        // bᵀ·aᵀ. A single column is contiguous as it is.
        let (height, width, left, right) = if stride > 1 {
            (columns, rows, b.transposed(), a.transposed())
        } else {
            (rows, columns, a, b)
        };
        let step = |elements: usize| elements as isize;
        // SAFETY: the slices hold all elements that the steps reach (asserted above), and the output,
        // borrowed mutably, overlaps neither. The crate has no safe interface; a safe loop of our own is
        // ten times slower.
        #[allow(unsafe_code)]
        unsafe {
            gemm_f32::gemm::f32::get_gemm_fn()(
                height,
                width,
                inner,
                output.as_mut_ptr(),
                step(stride),
                1,
                self.accumulate,
                left.values.as_ptr(),
                step(left.column),
                step(left.row),
                right.values.as_ptr(),
                step(right.column),
                step(right.row),
                1.0,
                1.0,
                false,
                false,
                false,
                parallelism,
            );
        }
    }
}

/// Adds the bias to each row.
struct AddToRows<'a> {
    rows: &'a mut [f32],
    stride: usize,
    bias: &'a [f32],
}

impl NullaryFnOnce for AddToRows<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for row in self.rows.chunks_mut(self.stride) {
            row.iter_mut().zip(self.bias).for_each(|(z, b)| *z += b);
        }
    }
}

/// Writes values, or adds them to the existing ones.
pub(super) fn write(values: &[f32], output: &mut [f32], accumulate: bool) {
    if accumulate {
        output.iter_mut().zip(values).for_each(|(output, value)| *output += value);
    } else {
        output.copy_from_slice(values);
    }
}

/// The sum of all elements. Pieces are added up first, so that all threads can take part.
pub(super) fn sum(input: &[f32]) -> f32 {
    let sums = of_pieces(input, CHUNK, |values| vectorised(Sum { values }));
    // Start from 0: the sum of an empty iterator would be −0.
    sums.iter().fold(0.0, |total, sum| total + sum) as f32
}

struct Sum<'a> {
    values: &'a [f32],
}

impl NullaryFnOnce for Sum<'_> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        parallel::sum(self.values)
    }
}

/// Adds each row to the sums.
struct AddRows<'a> {
    rows: &'a [f32],
    sums: &'a mut [f32],
}

impl NullaryFnOnce for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for row in self.rows.chunks_exact(self.sums.len()) {
            self.sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
    }
}

/// The number of rows in one partial sum. It is fixed, so that the result
/// does not depend on the threads.
const ROWS_PER_SUM: usize = 256;

/// The sum over all rows.
pub(super) fn column_sum(input: &[f32], rows: Rows, output: &mut [f32]) {
    let partial = |block: &[f32]| {
        let mut sums = vec![0.0f32; rows.width];
        vectorised(AddRows { rows: block, sums: &mut sums });
        sums
    };
    let block = ROWS_PER_SUM * rows.width.max(1);
    let partials = of_pieces(input, block, partial);
    for (column, output) in output.iter_mut().enumerate() {
        let sums = partials.iter().map(|sums| f64::from(sums[column]));
        *output = sums.fold(0.0, |total, sum| total + sum) as f32;
    }
}
