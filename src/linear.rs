//! The linear part of output layers and dense layers: z = x·w + b and its gradients.

use std::ops::Range;

use wgrad_formula::formulas::PointwiseFunction;

use crate::backend::{Bias, Binary, Epilogue, Ignored, Matrix, OpOf, Product, Storage, Unary};
use crate::device::Device;
use crate::device::tensor::{Tensor, check_devices};
use crate::error::{Error, Result};
use crate::lines::Rows;
use crate::shape::Shape;

/// The checked operands of `x·w + b`: x and w of either type, b of f32.
pub(crate) struct Linear<'a> {
    pub(crate) x: &'a Tensor,
    pub(crate) w: &'a Tensor,
    pub(crate) b: Option<&'a Tensor>,
    pub(crate) batch: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Whether w is stored as its transpose, [K, M].
    pub(crate) transposed: bool,
    /// The rows that have no effect on any gradient, whatever x holds there.
    pub(crate) ignored: Option<Ignored<'a>>,
    /// What the logits go through before everything else.
    pub(crate) bound: Option<PointwiseFunction>,
}

/// The maximum number of elements of x that are copied at a time to leave rows out: in tiles, the workspace
/// stays below 64 MiB.
const KEPT: usize = 1 << 20;

/// A part of the logits [B, K], stored separately: some columns of some rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
}

impl Tile {
    pub(crate) fn shape(&self) -> Rows {
        Rows { count: self.rows.len(), width: self.columns.len() }
    }
}

/// Checks that a bias has one number for each output: as a row or as a batch of one row.
fn check_bias(op: &'static str, b: &Tensor, outputs: usize) -> Result<()> {
    if b.shape() == [outputs] || b.shape() == [1, outputs] {
        return Ok(());
    }
    let hint = match b.len() == outputs {
        true => format!("; it has as many elements: b.reshape([{outputs}])"),
        false => String::new(),
    };
    let found = format!("{}{hint}", b.dimensions());
    Err(Error::shape(op, format!("b of shape [{outputs}]"), found))
}

impl<'a> Linear<'a> {
    /// Checks x [..., M], w [M, K] or, `transposed`, [K, M], and b `[K]` or [1, K].
    pub(crate) fn new(
        op: &'static str,
        x: &'a Tensor,
        w: &'a Tensor,
        b: Option<&'a Tensor>,
        transposed: bool,
    ) -> Result<Self> {
        let tensors = [Some(x), Some(w), b];
        check_devices(op, tensors.into_iter().flatten().map(Tensor::device))?;
        let (batch, inputs) = match x.shape() {
            [outer @ .., inputs] if !outer.is_empty() => (outer.iter().product(), *inputs),
            shape => {
                let hint = match shape {
                    [inputs] => format!("; one row of inputs is x.reshape([1, {inputs}])"),
                    _ => String::new(),
                };
                let found = format!("{}{hint}", x.dimensions());
                return Err(Error::shape(op, "x of shape [batch, inputs]", found));
            }
        };
        let order = |inputs: String| {
            if transposed { format!("[outputs, {inputs}]") } else { format!("[{inputs}, outputs]") }
        };
        let (rows, outputs) = match *w.shape() {
            [outputs, rows] if transposed => (rows, outputs),
            [rows, outputs] => (rows, outputs),
            _ => {
                let expected = format!("w of shape {}", order("inputs".to_owned()));
                return Err(Error::shape(op, expected, w.dimensions()));
            }
        };
        if rows != inputs {
            let order = order(inputs.to_string());
            let expected = format!("w of shape {order} for x of shape {}", x.dimensions());
            let hint = match (outputs == inputs, transposed) {
                (true, false) => {
                    "; weights that are stored as [outputs, inputs], as PyTorch does, need \
                     transposed_weights(true)"
                }
                (true, true) => {
                    "; weights that are stored as [inputs, outputs] need no transposed_weights"
                }
                // w [M, K] was given as x, and x [B, M] as w.
                (false, false) if outputs == batch => "; x comes first, then w: are they swapped?",
                (false, _) => "",
            };
            return Err(Error::shape(op, expected, format!("{}{hint}", w.dimensions())));
        }
        if outputs == 0 {
            return Err(Error::shape(op, "w with at least one output", w.dimensions()));
        }
        if let Some(b) = b {
            check_bias(op, b, outputs)?;
        }
        Ok(Self { x, w, b, batch, inputs, outputs, transposed, ignored: None, bound: None })
    }

    /// All logits.
    pub(crate) fn whole(&self) -> Tile {
        Tile { rows: 0..self.batch, columns: 0..self.outputs }
    }

    /// `g(x·w + b)` for a pointwise g.
    pub(crate) fn forward(&self, function: PointwiseFunction) -> Result<Tensor> {
        let y = self.x.device().allocate(self.output_shape())?;
        self.forward_into(&self.whole(), function, y.storage())?;
        Ok(y)
    }

    /// `x·w + b` in the workspace, and what this function makes of it.
    pub(crate) fn bounded_logits(&self, bound: PointwiseFunction) -> Result<[Tensor; 2]> {
        let raw = self.logits()?;
        let z = self.x.device().workspace(self.output_shape())?;
        bound_forward(raw.device(), bound, [raw.storage(), z.storage()], raw.len())?;
        Ok([raw, z])
    }

    /// `x·w + b` in the workspace, for use within an operation.
    pub(crate) fn logits(&self) -> Result<Tensor> {
        let z = self.x.device().workspace(self.output_shape())?;
        self.forward_into(&self.whole(), PointwiseFunction::Identity, z.storage())?;
        Ok(z)
    }

    /// [..., K], with the outer axes of x.
    pub(crate) fn output_shape(&self) -> Shape {
        let mut axes = self.x.shape().to_vec();
        if let Some(last) = axes.last_mut() {
            *last = self.outputs;
        }
        Shape::from(axes)
    }

    /// The shape of the bias, or `[K]` without one.
    pub(crate) fn bias_shape(&self) -> Shape {
        self.b.map_or_else(|| Shape::from([self.outputs]), |b| b.dimensions().clone())
    }

    /// `dE/dw = xᵀ·dz`, stored as w is.
    pub(crate) fn weight_gradient(&self, dz: &Tensor) -> Result<Tensor> {
        let dw = self.w.device().allocate(self.w.dimensions().clone())?;
        self.weight_gradient_into(&self.whole(), dz.storage(), dw.storage(), false)?;
        Ok(dw)
    }

    /// `dE/db = Σ_batch dz`, of the bias's shape.
    pub(crate) fn bias_gradient(&self, dz: &Tensor, shape: &Shape) -> Result<Tensor> {
        let db = self.w.device().allocate(shape.clone())?;
        self.bias_gradient_into(&self.whole(), dz.storage(), db.storage(), false)?;
        Ok(db)
    }

    /// `dE/dx = dz·wᵀ`.
    pub(crate) fn input_gradient(&self, dz: &Tensor) -> Result<Tensor> {
        let dx = self.x.device().allocate(self.x.dimensions().clone())?;
        self.input_gradient_into(&self.whole(), dz.storage(), dx.storage(), false)?;
        Ok(dx)
    }

    /// A tile of `g(x·w + b)`, into a separate storage.
    pub(crate) fn forward_into(
        &self,
        tile: &Tile,
        function: PointwiseFunction,
        y: &Storage,
    ) -> Result<()> {
        let Rows { count, width } = tile.shape();
        let column = tile.columns.start;
        let bias = self.b.map(|b| Bias { storage: b.storage(), offset: column });
        self.x.device().run(OpOf::Product(Product {
            rows: count,
            inner: self.inputs,
            columns: width,
            a: self.x_from(tile),
            b: self.weights().at(0, column),
            output: Matrix::whole(y, width),
            epilogue: Epilogue { bias, function },
            accumulate: false,
        }))
    }

    /// Writes or adds the contribution of a tile of dE/dz to its columns of dE/dw.
    pub(crate) fn weight_gradient_into(
        &self,
        tile: &Tile,
        dz: &Storage,
        dw: &Storage,
        accumulate: bool,
    ) -> Result<()> {
        let dz = Matrix::whole(dz, tile.columns.len());
        let Some(ignored) = self.ignored.filter(|_| !tile.rows.is_empty()) else {
            return self.add_products(tile, self.x_from(tile), dz, dw, accumulate);
        };
        // The product of a zero in dz with infinity or NaN in x would be NaN.
        let step = (KEPT / self.inputs.max(1)).clamp(1, tile.rows.len());
        let device = self.x.device();
        let kept = device.scratch(step * self.inputs)?;
        for first in tile.rows.clone().step_by(step) {
            let rows = first..tile.rows.end.min(first + step);
            let shape = Rows { count: rows.len(), width: self.inputs };
            device.run(OpOf::KeepRows {
                ignored,
                input: self.x.storage(),
                first_row: first,
                rows: shape,
                output: &kept,
            })?;
            let (x, dz) = (Matrix::whole(&kept, self.inputs), dz.at(first - tile.rows.start, 0));
            let adds = accumulate || first > tile.rows.start;
            self.add_products(&Tile { rows, columns: tile.columns.clone() }, x, dz, dw, adds)?;
        }
        Ok(())
    }

    /// The product of the rows of x that a tile is computed from, transposed, and dE/dz of the tile.
    fn add_products(
        &self,
        tile: &Tile,
        x: Matrix<'_>,
        dz: Matrix<'_>,
        dw: &Storage,
        accumulate: bool,
    ) -> Result<()> {
        let Rows { count, width } = tile.shape();
        let column = tile.columns.start;
        // Stored as [K, M], dw is dzᵀ·x.
        let (rows, columns, a, b, output) = if self.transposed {
            let output = Matrix::whole(dw, self.inputs).at(column, 0);
            (width, self.inputs, dz.transposed(), x, output)
        } else {
            let output = Matrix::whole(dw, self.outputs).at(0, column);
            (self.inputs, width, x.transposed(), dz, output)
        };
        let epilogue = Epilogue::NONE;
        let product = Product { rows, inner: count, columns, a, b, output, epilogue, accumulate };
        self.w.device().run(OpOf::Product(product))
    }

    /// Writes or adds the contribution of a tile of dE/dz to its columns of dE/db.
    pub(crate) fn bias_gradient_into(
        &self,
        tile: &Tile,
        dz: &Storage,
        db: &Storage,
        accumulate: bool,
    ) -> Result<()> {
        self.w.device().run(OpOf::ColumnSum {
            input: dz,
            rows: tile.shape(),
            output: db,
            offset: tile.columns.start,
            accumulate,
        })
    }

    /// Writes or adds the contribution of a tile of dE/dz to its rows of dE/dx.
    pub(crate) fn input_gradient_into(
        &self,
        tile: &Tile,
        dz: &Storage,
        dx: &Storage,
        accumulate: bool,
    ) -> Result<()> {
        let Rows { count, width } = tile.shape();
        self.x.device().run(OpOf::Product(Product {
            rows: count,
            inner: width,
            columns: self.inputs,
            a: Matrix::whole(dz, width),
            b: self.weights().at(0, tile.columns.start).transposed(),
            output: Matrix::whole(dx, self.inputs).at(tile.rows.start, 0),
            epilogue: Epilogue::NONE,
            accumulate,
        }))?;
        self.clear_ignored(dx, tile.rows.start, Rows { count, width: self.inputs })
    }

    /// Sets the ignored rows among these rows to zero in `gradient`, which holds the rows of the whole batch.
    pub(crate) fn clear_ignored(
        &self,
        gradient: &Storage,
        first_row: usize,
        rows: Rows,
    ) -> Result<()> {
        let Some(ignored) = self.ignored else { return Ok(()) };
        self.x.device().run(OpOf::ClearRows { ignored, output: gradient, first_row, rows })
    }

    /// The rows of x that a tile is computed from.
    fn x_from(&self, tile: &Tile) -> Matrix<'_> {
        Matrix::whole(self.x.storage(), self.inputs).at(tile.rows.start, 0)
    }

    /// w as [M, K], however it is stored.
    fn weights(&self) -> Matrix<'_> {
        if self.transposed {
            Matrix::whole(self.w.storage(), self.inputs).transposed()
        } else {
            Matrix::whole(self.w.storage(), self.outputs)
        }
    }
}

/// What a pointwise function makes of logits.
pub(crate) fn bound_forward(
    device: &Device,
    function: PointwiseFunction,
    [raw, z]: [&Storage; 2],
    elements: usize,
) -> Result<()> {
    device.run(OpOf::Unary { map: Unary::Forward, function, input: raw, output: z, elements })
}

/// Multiplies a gradient of what the function made of logits by its derivative.
pub(crate) fn bound_backward(
    device: &Device,
    function: PointwiseFunction,
    [raw, dz]: [&Storage; 2],
    elements: usize,
) -> Result<()> {
    let (map, inputs) = (Binary::Backward, [raw, dz]);
    device.run(OpOf::Binary { map, function, inputs, output: dz, elements })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{Within, assert_all, normal, wide};
    use crate::device::Device;
    use crate::on_every_device;

    const BATCH: usize = 37;
    const INPUTS: usize = 45;
    const OUTPUTS: usize = 83;

    /// The range 0..total, split into unequal pieces.
    fn cut(total: usize, pieces: usize) -> Vec<Range<usize>> {
        let start = |piece: usize| total * piece * (piece + 1) / (pieces * (pieces + 1));
        (0..pieces).map(|piece| start(piece)..start(piece + 1)).collect()
    }

    /// z, dw, db and dx, computed tile by tile.
    fn tiled(linear: &Linear<'_>, dz: &[f32], pieces: [usize; 2]) -> [Vec<f32>; 4] {
        let device = linear.x.device();
        let mut z = vec![0.0; BATCH * OUTPUTS];
        let dw = device.allocate(linear.w.dimensions().clone()).unwrap();
        let db = device.allocate(Shape::from([OUTPUTS])).unwrap();
        let dx = device.allocate(linear.x.dimensions().clone()).unwrap();
        for rows in cut(BATCH, pieces[0]) {
            for columns in cut(OUTPUTS, pieces[1]) {
                let tile = Tile { rows: rows.clone(), columns: columns.clone() };
                let Rows { count, width } = tile.shape();
                let part = device.allocate(Shape::from([count, width])).unwrap();
                linear.forward_into(&tile, PointwiseFunction::Identity, part.storage()).unwrap();
                let part = part.to_vec().unwrap();
                let of_row =
                    |row: usize| row * OUTPUTS + columns.start..row * OUTPUTS + columns.end;
                for (row, part) in rows.clone().zip(part.chunks(width.max(1))) {
                    z[of_row(row)].copy_from_slice(part);
                }
                let dz: Vec<f32> = rows.clone().flat_map(|row| dz[of_row(row)].to_vec()).collect();
                let dz = device.tensor(&dz, [count, width]).unwrap();
                let dz = dz.storage();
                let (below, beside) = (rows.start > 0, columns.start > 0);
                linear.weight_gradient_into(&tile, dz, dw.storage(), below).unwrap();
                linear.bias_gradient_into(&tile, dz, db.storage(), below).unwrap();
                linear.input_gradient_into(&tile, dz, dx.storage(), beside).unwrap();
            }
        }
        let [dw, db, dx] = [dw, db, dx].map(|tensor| tensor.to_vec().unwrap());
        [z, dw, db, dx]
    }

    fn check(device: &Device, transposed: bool) {
        let shape = if transposed { [OUTPUTS, INPUTS] } else { [INPUTS, OUTPUTS] };
        let x = device.tensor(&normal(BATCH * INPUTS, 1.0, 1), [BATCH, INPUTS]).unwrap();
        let w = device.tensor(&normal(INPUTS * OUTPUTS, 1.0, 2), shape).unwrap();
        let b = device.tensor(&normal(OUTPUTS, 1.0, 3), [OUTPUTS]).unwrap();
        let dz = normal(BATCH * OUTPUTS, 1.0, 4);
        let linear = Linear::new("test", &x, &w, Some(&b), transposed).unwrap();
        let dz_tensor = device.tensor(&dz, [BATCH, OUTPUTS]).unwrap();
        let whole = [
            linear.forward(PointwiseFunction::Identity),
            linear.weight_gradient(&dz_tensor),
            linear.bias_gradient(&dz_tensor, &linear.bias_shape()),
            linear.input_gradient(&dz_tensor),
        ]
        .map(|tensor| wide(&tensor.unwrap().to_vec().unwrap()));
        for pieces in [[1, 1], [1, 4], [3, 1], [3, 5]] {
            let found = tiled(&linear, &dz, pieces);
            for (part, (found, whole)) in
                ["z", "dw", "db", "dx"].into_iter().zip(found.iter().zip(&whole))
            {
                let size = whole.iter().fold(0.0, |size: f64, value| size.max(value.abs()));
                let within = Within::Approx { relative: 0.0, absolute: 1e-6 * size };
                let what = format!("{part} of {pieces:?} tiles, {transposed}, on {device:?}");
                assert_all(what, found, whole, within);
            }
            assert_eq!(tiled(&linear, &dz, pieces), found, "another run on {device:?}");
        }
    }

    on_every_device! {
        fn tiles_make_up_the_whole(device) {
            check(device, false);
            check(device, true);
        }
    }
}
