//! A whole output layer with few outputs, in one pass over x.
//!
//! Everything that is computed from a chunk of rows is computed while the chunk is in the cache:
//! the logits, the loss and dE/dz, dE/dx, and the chunk's contribution to dE/dw and dE/db. The
//! weights, and the sums for dE/dw, are stored as [outputs, inputs], so that every vector lies
//! along the inputs, no matter how few outputs there are.

use pulp::{Simd, WithSimd};

use super::loss;
use super::matrix::write;
use super::parallel::{on_all_threads, vectorised};
use crate::backend::{LayerPass, Rows};
use wgrad_formula::formulas::PointwiseFunction;

/// The maximum number of outputs: with more, matrix products are as fast.
const MOST_OUTPUTS: usize = 32;

/// The maximum number of weights: the weights and the sums for dE/dw stay in the cache.
const MOST_WEIGHTS: usize = 1 << 16;

/// The minimum number of weights: with fewer, the fixed work for each chunk
/// costs more than passes over x.
const LEAST_WEIGHTS: usize = 256;

/// The number of rows in a chunk.
const CHUNK: usize = 64;

/// The minimum number of rows in a group, and the maximum number of groups. Each group has its own
/// sums. The groups depend only on the batch, so that the results do not depend on the threads.
const GROUP: usize = 128;
const GROUPS: usize = 64;

/// Below this number of multiplications, other threads would only add cost.
const SERIAL: usize = 1 << 20;

/// The number of outputs that are processed together.
const TOGETHER: usize = 5;

/// Whether a layer of this size is best computed in this way.
pub(super) const fn suits(inputs: usize, outputs: usize) -> bool {
    let weights = inputs.saturating_mul(outputs);
    outputs <= MOST_OUTPUTS && weights >= LEAST_WEIGHTS && weights <= MOST_WEIGHTS
}

/// The number of elements of scratch memory that a layer needs.
pub(super) fn scratch(batch: usize, inputs: usize, outputs: usize) -> usize {
    (1 + groups(batch)) * inputs * outputs
}

fn rows_of_group(batch: usize) -> usize {
    batch.div_ceil(GROUPS).max(GROUP).next_multiple_of(CHUNK)
}

fn groups(batch: usize) -> usize {
    batch.div_ceil(rows_of_group(batch)).max(1)
}

/// The inputs of a layer.
pub(super) struct Layer<'a> {
    pub(super) pass: &'a LayerPass<'a>,
    pub(super) x: &'a [f32],
    /// The weights as they are stored.
    pub(super) w: &'a [f32],
    pub(super) bias: Option<&'a [f32]>,
    /// The targets, for rows with this number of outputs, or for whole
    /// chunks if the loss is elementwise.
    pub(super) targets: loss::Targets<'a>,
    pub(super) scale: f32,
}

/// The outputs for each row; empty if they are not wanted.
#[derive(Default)]
pub(super) struct Outputs<'a> {
    pub(super) y: &'a mut [f32],
    pub(super) dz: &'a mut [f32],
    pub(super) dx: &'a mut [f32],
}

/// The sums over rows, except dE/dw.
#[derive(Clone)]
pub(super) struct Sums {
    pub(super) loss: f64,
    pub(super) db: [f64; MOST_OUTPUTS],
}

impl Sums {
    const ZERO: Self = Self { loss: 0.0, db: [0.0; MOST_OUTPUTS] };

    fn add(mut self, other: &Self) -> Self {
        self.loss += other.loss;
        self.db.iter_mut().zip(other.db).for_each(|(sum, other)| *sum += other);
        self
    }
}

/// The maximum number of elements in a chunk of outputs.
type ChunkOutputs = [f32; CHUNK * MOST_OUTPUTS];

impl<'a> Layer<'a> {
    /// The width of the rows of targets for an elementwise loss.
    pub(super) const fn target_width(outputs: usize) -> usize {
        CHUNK * outputs
    }

    /// Writes the outputs and returns the sums. Afterwards dE/dw, as [outputs, inputs], is at the
    /// beginning of the scratch memory.
    pub(super) fn run(&self, outputs: Outputs<'_>, scratch: &mut [f32]) -> Sums {
        let &LayerPass { batch, inputs, outputs: width, .. } = self.pass;
        let (groups, weights) = (groups(batch), inputs * width);
        let (dw, packed) = scratch.split_at_mut(groups * weights);
        dw.fill(0.0);
        let w = if self.is_packed() {
            &self.w[..weights]
        } else {
            transposed(self.w, packed, inputs, width, |to, from| *to = from);
            packed
        };
        let rows = rows_of_group(batch);
        let mut sums = vec![Sums::ZERO; groups];
        let tasks = outputs.tasks(rows, width, inputs).zip(dw.chunks_exact_mut(weights));
        let run = |(group, (outputs, dw)): (usize, (Outputs<'_>, &mut [f32]))| {
            self.group(w, group * rows..batch.min((group + 1) * rows), outputs, dw)
        };
        let tasks = sums.iter_mut().zip(tasks.enumerate());
        if groups == 1 || batch * weights < SERIAL {
            tasks.for_each(|(sums, task)| *sums = run(task));
        } else {
            on_all_threads(tasks, |(sums, task)| *sums = run(task));
        }
        let (total, others) = dw.split_at_mut(weights);
        for other in others.chunks_exact(weights) {
            total.iter_mut().zip(other).for_each(|(total, other)| *total += other);
        }
        sums.iter().fold(Sums::ZERO, Sums::add)
    }

    /// Whether the weights are stored as [outputs, inputs].
    fn is_packed(&self) -> bool {
        self.pass.transposed || self.pass.outputs == 1
    }

    /// Writes the sums that [`run`](Self::run) left, as [outputs, inputs], to dE/dw.
    pub(super) fn write_weights(&self, sums: &[f32], dw: &mut [f32]) {
        let &LayerPass { inputs, outputs, accumulate, .. } = self.pass;
        match accumulate {
            _ if self.is_packed() => write(sums, dw, accumulate),
            false => transposed(sums, dw, outputs, inputs, |to, from| *to = from),
            true => transposed(sums, dw, outputs, inputs, |to, from| *to += from),
        }
    }

    /// Processes these rows, one chunk after the other.
    fn group(
        &self,
        w: &[f32],
        rows: std::ops::Range<usize>,
        outputs: Outputs<'_>,
        dw: &mut [f32],
    ) -> Sums {
        let mut sums = Sums::ZERO;
        let mut memory = [[0.0; CHUNK * MOST_OUTPUTS]; 2];
        let chunks = outputs.tasks(CHUNK, self.pass.outputs, self.pass.inputs);
        for (first, outputs) in rows.clone().step_by(CHUNK).zip(chunks) {
            let last = rows.end.min(first + CHUNK);
            self.chunk(w, first..last, outputs, dw, &mut sums, &mut memory);
        }
        sums
    }

    fn chunk(
        &self,
        w: &[f32],
        rows: std::ops::Range<usize>,
        outputs: Outputs<'_>,
        dw: &mut [f32],
        sums: &mut Sums,
        [z, dz]: &mut [ChunkOutputs; 2],
    ) {
        let &LayerPass { inputs, outputs: width, ref call, head, .. } = self.pass;
        let [wants_loss, wants_dw, wants_db] =
            [self.pass.loss, self.pass.dw, self.pass.db].map(|output| output.is_some());
        let (first, count) = (rows.start, rows.len());
        let (z, dz) = (&mut z[..count * width], &mut dz[..count * width]);
        let x = &self.x[first * inputs..rows.end * inputs];
        vectorised(Logits { x, w, bias: self.bias, inputs, z });
        let Outputs { y, dz: dz_output, dx } = outputs;
        let is_identity = head.activation() == PointwiseFunction::Identity.into();
        if is_identity && !y.is_empty() {
            y.copy_from_slice(z);
        }
        let wants_dz = wants_dw || wants_db || !dz_output.is_empty() || !dx.is_empty();
        let mut losses = [0.0; CHUNK];
        let runs = self.runs(rows);
        let (rows, first_row) = if self.pass.elementwise {
            (Rows { count: 1, width: CHUNK * width }, first / CHUNK)
        } else {
            (Rows { count, width }, first)
        };
        let losses = if wants_loss { &mut losses[..rows.count] } else { &mut [] };
        let pass = loss::Pass {
            head,
            z,
            rows,
            first_row,
            targets: self.targets,
            scale: self.scale,
            z_loss: call.z_loss,
            outputs: loss::Outputs {
                losses: &mut *losses,
                terms: &mut [],
                y: if is_identity { &mut [] } else { y },
                dz: if wants_dz { &mut *dz } else { &mut [] },
            },
        };
        pass.run();
        sums.loss += losses.iter().map(|&loss| f64::from(loss)).sum::<f64>();
        if !wants_dz {
            return;
        }
        if !dz_output.is_empty() {
            dz_output.copy_from_slice(dz);
        }
        if wants_db {
            let mut db = [0.0f32; MOST_OUTPUTS];
            for dz in dz.chunks_exact(width) {
                db.iter_mut().zip(dz).for_each(|(sum, dz)| *sum += dz);
            }
            sums.db.iter_mut().zip(db).for_each(|(sum, db)| *sum += f64::from(db));
        }
        let dw = if wants_dw { dw } else { &mut [] };
        let (mut dx, mut done) = (dx, 0);
        for run in runs {
            // The rows in between are ignored. The zeros of their dz must not be multiplied, since
            // a factor may be infinite or NaN.
            let wanted = if dx.is_empty() { 0 } else { inputs };
            let (between, rest) = dx.split_at_mut((run.start - done) * wanted);
            let (here, rest) = rest.split_at_mut(run.len() * wanted);
            (dx, done) = (rest, run.end);
            between.fill(0.0);
            let x = &x[run.start * inputs..run.end * inputs];
            let dz = &dz[run.start * width..run.end * width];
            vectorised(Gradients { x, w, dz, inputs, dx: here, dw });
        }
        dx.fill(0.0);
    }

    /// The runs of rows, among these, that are not ignored, counted from the first of these rows.
    /// If no row is ignored, there is one run of all rows.
    fn runs(&self, rows: std::ops::Range<usize>) -> impl Iterator<Item = std::ops::Range<usize>> {
        let counts = move |row: &usize| self.pass.elementwise || !self.targets.ignores(*row);
        let (first, mut next) = (rows.start, rows.start);
        std::iter::from_fn(move || {
            let start = (next..rows.end).find(counts)?;
            next = (start..rows.end).find(|row| !counts(row)).unwrap_or(rows.end);
            Some(start - first..next - first)
        })
    }
}

impl<'a> Outputs<'a> {
    /// Cuts the outputs into pieces of this number of rows; the pieces are
    /// empty if an output is not wanted.
    fn tasks(self, rows: usize, outputs: usize, inputs: usize) -> impl Iterator<Item = Self> {
        let pieces = |output: &'a mut [f32], width: usize| {
            output.chunks_mut(rows * width).chain(std::iter::repeat_with(Default::default))
        };
        let tasks = pieces(self.y, outputs).zip(pieces(self.dz, outputs));
        tasks.zip(pieces(self.dx, inputs)).map(|((y, dz), dx)| Self { y, dz, dx })
    }
}

/// Transposes [rows, columns] to [columns, rows].
#[inline(always)]
fn transposed(
    from: &[f32],
    to: &mut [f32],
    rows: usize,
    columns: usize,
    put: impl Fn(&mut f32, f32) + Copy,
) {
    let whole = rows / 8 * 8;
    for first in (0..whole).step_by(8) {
        transposed_rows::<8>(from, to, [rows, columns, first], put);
    }
    for first in whole..rows {
        transposed_rows::<1>(from, to, [rows, columns, first], put);
    }
}

/// Transposes N rows together, so that the writes are contiguous.
#[inline(always)]
fn transposed_rows<const N: usize>(
    from: &[f32],
    to: &mut [f32],
    [rows_of_from, columns, first]: [usize; 3],
    put: impl Fn(&mut f32, f32),
) {
    let from = rows::<N>(from, columns, first);
    for (column, to) in to.chunks_exact_mut(rows_of_from).enumerate() {
        for (to, from) in to[first..first + N].iter_mut().zip(from) {
            put(to, from[column]);
        }
    }
}

/// The rows of a matrix, starting at row `first`.
#[inline(always)]
fn rows<const N: usize>(matrix: &[f32], width: usize, first: usize) -> [&[f32]; N] {
    std::array::from_fn(|r| &matrix[(first + r) * width..][..width])
}

/// x·wᵀ + b
struct Logits<'a> {
    x: &'a [f32],
    w: &'a [f32],
    bias: Option<&'a [f32]>,
    inputs: usize,
    z: &'a mut [f32],
}

impl WithSimd for Logits<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        // The sums and their inputs have to fit in the registers.
        if S::REGISTER_COUNT >= 32 {
            self.all::<S, 4>(simd);
        } else {
            self.all::<S, 2>(simd);
        }
    }
}

impl Logits<'_> {
    #[inline(always)]
    fn all<S: Simd, const R: usize>(&mut self, simd: S) {
        let count = self.x.len() / self.inputs;
        let whole = count / R * R;
        for row in (0..whole).step_by(R) {
            self.rows::<S, R>(simd, row);
        }
        for row in whole..count {
            self.rows::<S, 1>(simd, row);
        }
    }

    #[inline(always)]
    fn rows<S: Simd, const R: usize>(&mut self, simd: S, row: usize) {
        for (first, count) in parts(self.w.len() / self.inputs) {
            match count {
                1 => self.tile::<S, R, 1>(simd, row, first),
                2 => self.tile::<S, R, 2>(simd, row, first),
                3 => self.tile::<S, R, 3>(simd, row, first),
                4 => self.tile::<S, R, 4>(simd, row, first),
                _ => self.tile::<S, R, TOGETHER>(simd, row, first),
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const K: usize>(&mut self, simd: S, row: usize, first: usize) {
        let outputs = self.w.len() / self.inputs;
        let x = rows::<R>(self.x, self.inputs, row).map(|x| S::as_simd_f32s(x));
        let w = rows::<K>(self.w, self.inputs, first).map(|w| S::as_simd_f32s(w));
        let vectors = x[0].0.len();
        let (x, x_rest) = (x.map(|x| &x.0[..vectors]), x.map(|x| x.1));
        let (w, w_rest) = (w.map(|w| &w.0[..vectors]), w.map(|w| w.1));
        let mut sums = [[simd.splat_f32s(0.0); K]; R];
        for i in 0..vectors {
            let x: [S::f32s; R] = std::array::from_fn(|r| x[r][i]);
            for k in 0..K {
                for r in 0..R {
                    sums[r][k] = simd.mul_add_e_f32s(x[r], w[k][i], sums[r][k]);
                }
            }
        }
        if !x_rest[0].is_empty() {
            let x: [S::f32s; R] = std::array::from_fn(|r| simd.partial_load_f32s(x_rest[r]));
            for k in 0..K {
                let w = simd.partial_load_f32s(w_rest[k]);
                for r in 0..R {
                    sums[r][k] = simd.mul_add_e_f32s(x[r], w, sums[r][k]);
                }
            }
        }
        // A copy, so that the sums themselves stay in registers.
        let mut done = sums;
        for r in 0..R {
            for k in 0..K {
                done[r][k] = sums[r][k];
            }
        }
        for (r, sums) in done.iter().enumerate() {
            let z = &mut self.z[(row + r) * outputs + first..][..K];
            for (k, (z, &sum)) in z.iter_mut().zip(sums).enumerate() {
                let bias = self.bias.map_or(0.0, |bias| bias[first + k]);
                *z = simd.reduce_sum_f32s(sum) + bias;
            }
        }
    }
}

/// The outputs, cut into parts that are processed together and are as even as possible: the first
/// output and the number of outputs of each part.
#[inline(always)]
fn parts(outputs: usize) -> impl Iterator<Item = (usize, usize)> {
    let parts = outputs.div_ceil(TOGETHER);
    (0..parts).map(move |part| {
        let (first, next) = (part * outputs / parts, (part + 1) * outputs / parts);
        (first, next - first)
    })
}

/// Computes dz·w into dx, and adds dzᵀ·x to dw, for each of dx and dw that is not empty.
struct Gradients<'a> {
    x: &'a [f32],
    w: &'a [f32],
    dz: &'a [f32],
    inputs: usize,
    dx: &'a mut [f32],
    dw: &'a mut [f32],
}

impl WithSimd for Gradients<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::REGISTER_COUNT >= 32 {
            self.both::<S, 4>(simd);
        } else {
            self.both::<S, 2>(simd);
        }
    }
}

impl Gradients<'_> {
    /// Processes V vectors at a time.
    #[inline(always)]
    fn both<S: Simd, const V: usize>(mut self, simd: S) {
        if !self.dx.is_empty() {
            self.input_gradient::<S, V>(simd);
        }
        if !self.dw.is_empty() {
            for (first, count) in parts(self.w.len() / self.inputs) {
                match count {
                    1 => self.weight_gradient::<S, 1, V>(simd, first),
                    2 => self.weight_gradient::<S, 2, V>(simd, first),
                    3 => self.weight_gradient::<S, 3, V>(simd, first),
                    4 => self.weight_gradient::<S, 4, V>(simd, first),
                    _ => self.weight_gradient::<S, TOGETHER, V>(simd, first),
                }
            }
        }
    }

    #[inline(always)]
    fn input_gradient<S: Simd, const V: usize>(&mut self, simd: S) {
        const ROWS: usize = 4;
        let (inputs, outputs) = (self.inputs, self.w.len() / self.inputs);
        let mut w = [Line::<S, V>::EMPTY; MOST_OUTPUTS];
        for (w, row) in w.iter_mut().zip(self.w.chunks_exact(inputs)) {
            *w = Line::new(row);
        }
        let w = &w[..outputs];
        let whole = self.dx.len() / inputs / ROWS * ROWS;
        let (dx, dx_rest) = self.dx.split_at_mut(whole * inputs);
        let (dz, dz_rest) = self.dz.split_at(whole * outputs);
        let rows = dx.chunks_exact_mut(ROWS * inputs).zip(dz.chunks_exact(ROWS * outputs));
        for (dx, dz) in rows {
            input_gradient_rows::<S, ROWS, V>(simd, w, dz, dx);
        }
        let rows = dx_rest.chunks_exact_mut(inputs).zip(dz_rest.chunks_exact(outputs));
        for (dx, dz) in rows {
            input_gradient_rows::<S, 1, V>(simd, w, dz, dx);
        }
    }

    /// Computes the gradient of the weights of K outputs.
    #[inline(always)]
    fn weight_gradient<S: Simd, const K: usize, const V: usize>(&mut self, simd: S, first: usize) {
        let (inputs, outputs) = (self.inputs, self.w.len() / self.inputs);
        let mut x = [Line::<S, V>::EMPTY; CHUNK];
        let mut dz = [[0.0; K]; CHUNK];
        let rows = self.x.chunks_exact(inputs).zip(self.dz.chunks_exact(outputs));
        let count = rows.len();
        for ((x, dz), (x_row, dz_row)) in x.iter_mut().zip(&mut dz).zip(rows) {
            *x = Line::new(x_row);
            dz.copy_from_slice(&dz_row[first..first + K]);
        }
        let (x, dz) = (&x[..count], &dz[..count]);
        let mut lines = self.dw[first * inputs..].chunks_exact_mut(inputs);
        let dw: [_; K] =
            std::array::from_fn(|_| LineMut::<S, V>::new(lines.next().unwrap_or_default()));
        for i in 0..dw[0].blocks.len() {
            let sums = std::array::from_fn(|k| dw[k].blocks[i]);
            let sums = add_products(simd, sums, x.iter().map(|x| x.blocks[i]).zip(dz));
            (0..K).for_each(|k| dw[k].blocks[i] = sums[k]);
        }
        for i in 0..dw[0].vectors.len() {
            let sums = std::array::from_fn(|k| [dw[k].vectors[i]]);
            let sums = add_products(simd, sums, x.iter().map(|x| [x.vectors[i]]).zip(dz));
            (0..K).for_each(|k| [dw[k].vectors[i]] = sums[k]);
        }
        if !dw[0].rest.is_empty() {
            let sums = std::array::from_fn(|k| [simd.partial_load_f32s(dw[k].rest)]);
            let rest = |x: &Line<'_, S, V>| [simd.partial_load_f32s(x.rest)];
            let sums = add_products(simd, sums, x.iter().map(rest).zip(dz));
            (0..K).for_each(|k| simd.partial_store_f32s(dw[k].rest, sums[k][0]));
        }
    }
}

/// For each term, adds the product of each of its numbers and its
/// vectors to the sums of that number.
#[inline(always)]
fn add_products<'a, S: Simd, const N: usize, const V: usize>(
    simd: S,
    mut sums: [[S::f32s; V]; N],
    terms: impl Iterator<Item = ([S::f32s; V], &'a [f32; N])>,
) -> [[S::f32s; V]; N] {
    for (vectors, numbers) in terms {
        for (sums, number) in sums.iter_mut().zip(numbers) {
            let number = simd.splat_f32s(*number);
            for (sum, vector) in sums.iter_mut().zip(vectors) {
                *sum = simd.mul_add_e_f32s(number, vector, *sum);
            }
        }
    }
    sums
}

/// A row as blocks of V vectors, single vectors, and the remaining elements.
#[derive(Clone, Copy)]
struct Line<'a, S: Simd, const V: usize> {
    blocks: &'a [[S::f32s; V]],
    vectors: &'a [S::f32s],
    rest: &'a [f32],
}

impl<'a, S: Simd, const V: usize> Line<'a, S, V> {
    const EMPTY: Self = Self { blocks: &[], vectors: &[], rest: &[] };

    #[inline(always)]
    fn new(row: &'a [f32]) -> Self {
        let (vectors, rest) = S::as_simd_f32s(row);
        let (blocks, vectors) = vectors.as_chunks();
        Self { blocks, vectors, rest }
    }
}

/// A mutable [`Line`].
struct LineMut<'a, S: Simd, const V: usize> {
    blocks: &'a mut [[S::f32s; V]],
    vectors: &'a mut [S::f32s],
    rest: &'a mut [f32],
}

impl<'a, S: Simd, const V: usize> LineMut<'a, S, V> {
    #[inline(always)]
    fn new(row: &'a mut [f32]) -> Self {
        let (vectors, rest) = S::as_mut_simd_f32s(row);
        let (blocks, vectors) = vectors.as_chunks_mut();
        Self { blocks, vectors, rest }
    }
}

#[inline(always)]
fn input_gradient_rows<S: Simd, const R: usize, const V: usize>(
    simd: S,
    w: &[Line<'_, S, V>],
    dz: &[f32],
    dx: &mut [f32],
) {
    // Gather the numbers that belong to one output side by side.
    let mut across = [[0.0; R]; MOST_OUTPUTS];
    for (r, dz) in dz.chunks_exact(w.len()).enumerate() {
        across.iter_mut().zip(dz).for_each(|(across, dz)| across[r] = *dz);
    }
    let dz = &across[..w.len()];
    let mut lines = dx.chunks_exact_mut(dx.len() / R);
    let dx: [_; R] =
        std::array::from_fn(|_| LineMut::<S, V>::new(lines.next().unwrap_or_default()));
    for i in 0..dx[0].blocks.len() {
        let sums = [[simd.splat_f32s(0.0); V]; R];
        let sums = add_products(simd, sums, w.iter().map(|w| w.blocks[i]).zip(dz));
        (0..R).for_each(|r| dx[r].blocks[i] = sums[r]);
    }
    let zeros = [[simd.splat_f32s(0.0)]; R];
    for i in 0..dx[0].vectors.len() {
        let sums = add_products(simd, zeros, w.iter().map(|w| [w.vectors[i]]).zip(dz));
        (0..R).for_each(|r| [dx[r].vectors[i]] = sums[r]);
    }
    if !dx[0].rest.is_empty() {
        let rest = |w: &Line<'_, S, V>| [simd.partial_load_f32s(w.rest)];
        let sums = add_products(simd, zeros, w.iter().map(rest).zip(dz));
        (0..R).for_each(|r| simd.partial_store_f32s(dx[r].rest, sums[r][0]));
    }
}
