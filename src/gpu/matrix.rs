//! Matrix products of parts of matrices, in windows.

use std::sync::Arc;

use super::buffer::{Buffer, OnGpu};
use super::context::Context;
use super::halves::window_of;
use super::kernel::{Kernel, MatMul, Template};
use super::operand::{Window, groups, input, pieces, window};
use super::operations::{WORKGROUP, ZERO, run};
use super::parameters::parameters;
use super::variant::{DEPTH, Extent, Family, Variant};
use crate::backend::{Bias, Epilogue, Matrix, Product};
use crate::dtype::DType;
use crate::error::Result;
use wgrad_formula::formulas::PointwiseFunction;

/// The maximum number of terms that an invocation adds up one after the other. Longer sums are continued by
/// another dispatch: that loses fewer digits, and lavapipe silently ends a kernel's loops after 65 535 iterations.
const INNER: usize = 1 << 14;

parameters! {
    struct ProductParameters {
        rows: u32,
        columns: u32,
        inner: u32,
        zero: u32,
        a_stride: u32,
        b_stride: u32,
        output_stride: u32,
        a_base: u32,
        b_base: u32,
        bias_base: u32,
        output_base: u32,
        biased: u32,
        accumulates: u32,
        slice: u32,
        slice_stride: u32,
        a_transposed: u32,
        b_transposed: u32,
    }
}

parameters! {
    struct SlicesParameters {
        rows: u32,
        columns: u32,
        slices: u32,
        zero: u32,
        sums_base: u32,
        bias_base: u32,
        output_base: u32,
        output_stride: u32,
        biased: u32,
        accumulates: u32,
    }
}

/// A matrix on the GPU, of which a kernel sees one part at a time.
struct Operand<'a> {
    buffer: Arc<Buffer>,
    dtype: DType,
    matrix: Matrix<'a>,
    /// Whether kernels read the matrix as whole vec4s.
    vectors: bool,
}

impl<'a> Operand<'a> {
    /// A factor of this shape; a copy of it if the output lies in the same buffer.
    fn new(
        context: &Arc<Context>,
        matrix: Matrix<'a>,
        output: &Arc<Buffer>,
        rows: usize,
        columns: usize,
    ) -> Result<Self> {
        let elements = matrix.range(rows, columns).end;
        let (storage, dtype) = (matrix.storage, matrix.storage.dtype());
        let buffer = input(context, storage.gpu_words()?, &[output], dtype.words(elements))?;
        Ok(Self { buffer, dtype, matrix, vectors: false })
    }

    /// Sets `vectors` if the matrix can be read as whole vec4s: its own layout must allow it, and `numbers` must be
    /// multiples of four, too. These are where parts begin, and the inner dimension, beyond which nothing may be
    /// added.
    fn find_vectors(&mut self, numbers: [usize; 2]) {
        let Matrix { offset, stride, .. } = self.matrix;
        let mut numbers = [offset, stride].into_iter().chain(numbers);
        let aligned = numbers.all(|number| number.is_multiple_of(4));
        self.vectors = aligned && self.buffer.is_padded();
    }

    /// The number of rows of `columns` columns that a window of `elements` holds.
    fn fitting(&self, columns: usize, elements: usize) -> usize {
        elements.saturating_sub(columns) / self.matrix.stride.max(1) + 1
    }

    /// The window of a part of this shape that begins at this row and column.
    fn window(&self, row: usize, column: usize, rows: usize, columns: usize) -> Window<'_> {
        let range = self.matrix.at(row, column).range(rows, columns);
        let length = if self.vectors { range.len().next_multiple_of(4) } else { range.len() };
        window_of(&self.buffer, self.dtype, range.start, length)
    }
}

/// What all dispatches of a product share.
struct Call<'a> {
    context: &'a Arc<Context>,
    variant: Variant,
    a: Operand<'a>,
    b: Operand<'a>,
    bias: Option<Operand<'a>>,
    sums: Operand<'a>,
    epilogue: Epilogue<'a>,
}

/// A part of the output, and of the inner dimension.
struct Part {
    row: usize,
    column: usize,
    inner: usize,
    extent: Extent,
    /// Whether the part is added to what the output holds.
    adds: bool,
    /// Whether the epilogue follows.
    last: bool,
}

/// A step of at most `most` through a dimension, in whole vec4s unless one step covers the dimension.
fn step(dimension: usize, most: usize) -> usize {
    if dimension <= most { dimension } else { most - if most > 4 { most % 4 } else { 0 } }
}

pub(super) fn matmul(context: &Arc<Context>, product: Product<'_>) -> Result<()> {
    let Product { rows, inner, columns, epilogue, accumulate, .. } = product;
    let output = product.output.storage.gpu()?;
    let mut a = Operand::new(context, product.a, output, rows, inner)?;
    let mut b = Operand::new(context, product.b, output, inner, columns)?;
    let (buffer, dtype) = (Arc::clone(output), DType::F32);
    let sums = Operand { buffer, dtype, matrix: product.output, vectors: false };
    let bias = epilogue.bias.map(|Bias { storage, offset }| {
        let row = Matrix { offset, ..Matrix::whole(storage, columns) };
        Operand::new(context, row, output, 1, columns)
    });
    let bias = bias.transpose()?;
    let extent = Extent { rows, inner, columns };
    let variant =
        |cooperates| Variant::of(context.policy, extent, product.b.transposed, cooperates);
    let halves = [a.dtype, b.dtype] == [DType::F16; 2];
    let mut chosen = variant(halves && context.cooperates());

    // The longer the stored rows of a matrix are, the fewer of them a window holds.
    let seen = context.window_elements();
    let mut inner_step = step(inner, (INNER * chosen.slices).min(seen));
    let mut column_step = step(columns, seen);
    if b.matrix.transposed {
        column_step = step(column_step, b.fitting(inner_step, seen));
    }
    let mut row_step = step(rows, sums.fitting(column_step, seen));
    if a.matrix.transposed {
        inner_step = step(inner_step, a.fitting(row_step, seen));
    } else {
        row_step = step(row_step, a.fitting(inner_step, seen));
    }
    if !b.matrix.transposed {
        inner_step = step(inner_step, b.fitting(column_step, seen));
    }
    let begins = |step: usize, dimension: usize| if step < dimension { step } else { 0 };
    let (row_begins, inner_begins) = (begins(row_step, rows), begins(inner_step, inner));
    let column_begins = begins(column_step, columns);
    let along = |transposed: bool, outer: usize| if transposed { outer } else { inner_begins };
    if inner > 0 {
        a.find_vectors([along(a.matrix.transposed, row_begins), inner]);
        b.find_vectors([along(!b.matrix.transposed, column_begins), inner]);
    }
    if matches!(chosen.family, Family::Cooperative(_)) && !(a.vectors && b.vectors) {
        chosen = variant(false);
    }

    // Even without terms to add up there is an output: the bias, or zeros.
    let inner_pieces: Vec<(usize, usize)> =
        if inner == 0 { vec![(0, 0)] } else { pieces(inner, inner_step).collect() };
    let call = Call { context, variant: chosen, a, b, bias, sums, epilogue };
    for (row, rows) in pieces(rows, row_step) {
        for (column, columns) in pieces(columns, column_step) {
            for (position, &(first, inner)) in inner_pieces.iter().enumerate() {
                let extent = Extent { rows, inner, columns };
                let last = position + 1 == inner_pieces.len();
                let adds = accumulate || position > 0;
                call.run(&Part { row, column, inner: first, extent, adds, last })?;
            }
        }
    }
    Ok(())
}

impl Call<'_> {
    fn run(&self, part: &Part) -> Result<()> {
        let Extent { rows, inner, columns } = part.extent;
        // The kernel that adds up the slices sees the sums of all of them at once.
        let most = self.context.window_elements() / (rows * columns).max(1);
        let slices = self.variant.slices.min(most).max(1);
        let slice = inner.div_ceil(slices).next_multiple_of(DEPTH);
        let slices = inner.div_ceil(slice.max(1)).max(1);
        let output = self.sums.window(part.row, part.column, rows, columns);
        let stride = self.sums.matrix.stride;
        let activates = self.activation(part) != PointwiseFunction::Identity;
        if slices == 1 && (self.variant.activates() || !activates) {
            return self.multiply(part, slice, 1, (output, stride), true);
        }
        let sums = self.context.workspace(slices * rows * columns)?;
        let whole = || window(&sums, 0, slices * rows * columns);
        self.multiply(part, slice, slices, (whole(), columns), false)?;

        let bias = self.bias.as_ref().filter(|_| part.last);
        let bias_window = self.bias_window(bias, part, columns);
        let sums = whole();
        let parameters = SlicesParameters {
            rows: rows as u32,
            columns: columns as u32,
            slices: slices as u32,
            zero: ZERO,
            sums_base: sums.base,
            bias_base: bias_window.base,
            output_base: output.base,
            output_stride: stride as u32,
            biased: u32::from(bias.is_some()),
            accumulates: u32::from(part.adds),
        };
        let bindings = [sums.binding, bias_window.binding, output.binding];
        let kernel = Kernel::new(Template::MatMulSlices).activation(self.activation(part));
        let dispatch = groups((rows * columns).div_ceil(WORKGROUP));
        run(self.context, &kernel, &bindings, &parameters, dispatch)
    }

    fn kernel(&self, activation: PointwiseFunction, output_vectors: bool) -> Kernel {
        let flag = |is: bool| f64::from(u8::from(is));
        let matmul = |tile| {
            let (a_vectors, b_vectors) = (self.a.vectors, self.b.vectors);
            Kernel::new(Template::MatMul(MatMul { tile, a_vectors, b_vectors, output_vectors }))
                .activation(activation)
                .constant("A_TRANSPOSED", flag(self.a.matrix.transposed))
                .constant("B_TRANSPOSED", flag(self.b.matrix.transposed))
        };
        let kernel = match self.variant.family {
            Family::Small => Kernel::new(Template::MatMulSmall),
            Family::Registers { group, blocks: [rows, columns] } => matmul(None)
                .constant("ROW_BLOCKS", rows as f64)
                .constant("COLUMN_BLOCKS", columns as f64)
                .constant("GROUP", group as f64),
            Family::Tiles(tile) => matmul(Some(tile))
                .constant("ACTIVATES", flag(activation != PointwiseFunction::Identity)),
            Family::Cooperative(patch) => {
                Kernel::new(Template::MatMulCooperative { patch, output_vectors })
                    .activation(activation)
                    .constant("A_TRANSPOSED", flag(self.a.matrix.transposed))
                    .constant("B_TRANSPOSED", flag(self.b.matrix.transposed))
                    .constant("ACTIVATES", flag(activation != PointwiseFunction::Identity))
            }
        };
        kernel.types([self.a.dtype, self.b.dtype])
    }

    fn activation(&self, part: &Part) -> PointwiseFunction {
        if part.last { self.epilogue.function } else { PointwiseFunction::Identity }
    }

    /// The window of the bias. If there is no bias, the binding is not read.
    fn bias_window<'b>(
        &'b self,
        bias: Option<&'b Operand<'_>>,
        part: &Part,
        columns: usize,
    ) -> Window<'b> {
        match bias {
            Some(bias) => bias.window(0, part.column, 1, columns),
            None => window(&self.b.buffer, 0, 1),
        }
    }

    /// Computes the sums of slices of the inner dimension. With `finishes` there is only one slice, and the kernel
    /// does all the rest, too.
    fn multiply(
        &self,
        part: &Part,
        slice: usize,
        slices: usize,
        (output, stride): (Window<'_>, usize),
        finishes: bool,
    ) -> Result<()> {
        let Extent { rows, inner, columns } = part.extent;
        let a = self.a.window(part.row, part.inner, rows, inner);
        let b = self.b.window(part.inner, part.column, inner, columns);
        let bias = self.bias.as_ref().filter(|_| part.last && finishes);
        let bias_window = self.bias_window(bias, part, columns);
        let parameters = ProductParameters {
            rows: rows as u32,
            columns: columns as u32,
            inner: inner as u32,
            zero: ZERO,
            a_stride: self.a.matrix.stride as u32,
            b_stride: self.b.matrix.stride as u32,
            output_stride: stride as u32,
            a_base: a.base,
            b_base: b.base,
            bias_base: bias_window.base,
            output_base: output.base,
            biased: u32::from(bias.is_some()),
            accumulates: u32::from(part.adds && finishes),
            slice: slice as u32,
            slice_stride: (rows * columns) as u32,
            a_transposed: u32::from(self.a.matrix.transposed),
            b_transposed: u32::from(self.b.matrix.transposed),
        };
        let activation = if finishes { self.activation(part) } else { PointwiseFunction::Identity };
        let vectors =
            [output.base as usize, stride, columns].iter().all(|number| number.is_multiple_of(4));
        let kernel = self.kernel(activation, vectors);
        let bindings = [a.binding, b.binding, bias_window.binding, output.binding];
        let [x, y, _] = groups(self.variant.workgroups(rows, columns));
        run(self.context, &kernel, &bindings, &parameters, [x, y, slices as u32])
    }
}
