//! Logits in tiles: every gradient of a layer over a large vocabulary, in bounded memory.
//!
//! The logits [B, K] are never stored as a whole. If the workspace holds enough rows of them, the layer
//! processes blocks of whole rows, and computes nothing twice. Otherwise a block of rows is split into tiles
//! of some columns: a first pass over the tiles computes the log-sum-exp of each row; a second pass computes
//! the tiles again, and the gradients from them.

use std::ops::Range;

use super::{OutputLayer, Outputs, Parts};
use wgrad_formula::formulas::{Formula, Head, PointwiseFunction};

use crate::backend::{
    DeviceKind, LossCall, LossOutputs, LossPass, OpOf, STATE, Storage, TilePass, TileStep,
};
use crate::device::tensor::Tensor;
use crate::error::Result;
use crate::linear::{Linear, Tile, bound_backward, bound_forward};
use crate::loss::Comparison;

/// The maximum number of bytes of a tile: with the other needs of an operation, the workspace stays below
/// 64 MiB.
pub(super) const TILE_BYTES: usize = 56 << 20;

/// The minimum number of rows of a block: with fewer, reading and writing dw for each block costs more than
/// computing the logits twice. Measured on two cores of a Xeon with 512 x 512 and 262 144 classes, 56 rows in a block: in
/// columns f32 takes 2.3 s instead of 3.1, and bf16, which is widened for each block, 2.5 instead of 4.9; with 112 rows
/// and M = 1024 still 2.1 instead of 2.7, with M = 256 2.5 instead of 2.4. With 292 rows, whole rows are faster.
const LEAST_ROWS: usize = 48;
const LEAST_ROWS_ON_CPU: usize = 128;

/// The maximum number of rows of a block that is split by columns.
const MOST_ROWS: usize = 2048;

/// The maximum number of columns of a tile: on lavapipe, longer loops of a kernel end silently (see `Loops`
/// in src/gpu/operations.rs).
const MOST_COLUMNS: usize = 1 << 22;

/// How the logits are split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The number of rows of a block.
    pub(super) rows: usize,
    /// The number of columns of a tile.
    pub(super) columns: usize,
}

impl Plan {
    /// For logits of shape [batch, classes] in tiles of at most `elements` elements, in blocks of at least some rows.
    pub(super) fn new(batch: usize, classes: usize, elements: usize, least_rows: usize) -> Self {
        let rows = batch.min(elements / classes.max(1));
        if rows >= batch.min(least_rows) && classes <= MOST_COLUMNS {
            return Self { rows: rows.max(1), columns: classes };
        }
        let rows = batch.clamp(1, MOST_ROWS);
        Self { rows, columns: (elements / rows).clamp(1, classes.min(MOST_COLUMNS)) }
    }
}

impl OutputLayer {
    /// The loss and the gradients of x, w and b, without the logits.
    pub(super) fn tiled(
        &self,
        linear: &Linear<'_>,
        comparison: &Comparison<'_>,
        parts: &Parts,
    ) -> Result<Option<Tensor>> {
        let device = linear.x.device();
        // Logits that are bounded are kept as they were, too, and gradients are multiplied in a copy.
        let tiles = if linear.bound.is_some() { 3 } else { 1 };
        let elements = self.tile_bytes / size_of::<f32>() / tiles;
        let least_rows = match device.info().kind {
            DeviceKind::Cpu => LEAST_ROWS_ON_CPU,
            _ => LEAST_ROWS,
        };
        let plan = Plan::new(linear.batch, linear.outputs, elements, least_rows);
        let mut call = comparison.call();
        call.z_loss = self.z_loss;
        let wants_loss = self.outputs.contains(Outputs::LOSS) && comparison.empty.is_none();
        let losses = wants_loss.then(|| self.row_losses(device, linear.batch)).transpose()?;
        let tile = || device.scratch(plan.rows * plan.columns);
        let tiles = Tiles {
            linear,
            comparison,
            call,
            plan,
            tile: tile()?,
            raw: linear.bound.map(|bound| Ok((tile()?, bound))).transpose()?,
            states: device.scratch(plan.rows * STATE)?,
            losses: losses.as_ref(),
            parts,
        };
        for first in (0..linear.batch).step_by(plan.rows) {
            tiles.block(first..linear.batch.min(first + plan.rows))?;
        }
        self.reduced(linear, comparison, losses.as_ref(), linear.batch)
    }
}

/// The work on all tiles.
struct Tiles<'a> {
    linear: &'a Linear<'a>,
    comparison: &'a Comparison<'a>,
    call: LossCall<'a>,
    plan: Plan,
    /// The logits of one tile, and dE/dz in their place.
    tile: Storage,
    /// The logits before they are bounded, and what bounds them.
    raw: Option<(Storage, PointwiseFunction)>,
    /// The states of the rows of a block between its tiles.
    states: Storage,
    losses: Option<&'a Storage>,
    parts: &'a Parts,
}

impl Tiles<'_> {
    /// Processes a block of rows.
    fn block(&self, rows: Range<usize>) -> Result<()> {
        let classes = self.linear.outputs;
        if self.plan.columns == classes {
            let whole = Tile { rows, columns: 0..classes };
            self.logits(&whole)?;
            self.whole_rows(&whole)?;
            self.unbound(&whole)?;
            return self.gradients(&whole);
        }
        let tiles = || {
            let tile = |first| first..classes.min(first + self.plan.columns);
            let columns = (0..classes).step_by(self.plan.columns).map(tile);
            columns.map(|columns| Tile { rows: rows.clone(), columns })
        };
        for tile in tiles() {
            self.logits(&tile)?;
            self.step(TileStep::Statistics, &tile)?;
        }
        if let (Some(losses), Some(tile)) = (self.losses, tiles().next()) {
            self.step(TileStep::Losses(losses), &tile)?;
        }
        if self.parts.has_gradients() {
            for tile in tiles() {
                self.logits(&tile)?;
                self.step(TileStep::Gradient, &tile)?;
                self.unbound(&tile)?;
                self.gradients(&tile)?;
            }
        }
        Ok(())
    }

    fn logits(&self, tile: &Tile) -> Result<()> {
        let linear = self.linear;
        let Some((raw, bound)) = &self.raw else {
            return linear.forward_into(tile, PointwiseFunction::Identity, &self.tile);
        };
        linear.forward_into(tile, PointwiseFunction::Identity, raw)?;
        let elements = tile.shape().elements();
        bound_forward(linear.x.device(), *bound, [raw, &self.tile], elements)
    }

    /// Makes dE/dz of a gradient of the bounded logits.
    fn unbound(&self, tile: &Tile) -> Result<()> {
        match &self.raw {
            Some((raw, bound)) if self.parts.has_gradients() => {
                let (device, elements) = (self.linear.x.device(), tile.shape().elements());
                bound_backward(device, *bound, [raw, &self.tile], elements)
            }
            _ => Ok(()),
        }
    }

    /// The losses of whole rows, and dE/dz in their place.
    fn whole_rows(&self, tile: &Tile) -> Result<()> {
        let rows = tile.shape();
        let pass = |call, losses, dz: bool| {
            self.linear.x.device().run(OpOf::Loss(LossPass {
                call,
                head: Head::of_output(Formula::LogSumExp),
                z: if dz { None } else { Some(&self.tile) },
                rows,
                elements: rows.elements(),
                first_row: tile.rows.start,
                outputs: LossOutputs {
                    losses,
                    dz: dz.then_some(&self.tile),
                    ..LossOutputs::default()
                },
            }))
        };
        let wants_dz = self.parts.has_gradients();
        if wants_dz && self.comparison.has_upstream() {
            // dE/dloss multiplies only the gradients.
            if self.losses.is_some() {
                pass(self.call, self.losses, false)?;
            }
            return pass(self.for_gradients(), None, true);
        }
        pass(self.call, self.losses, wants_dz)
    }

    fn for_gradients(&self) -> LossCall<'_> {
        self.comparison.for_gradients(self.call, self.comparison.rows)
    }

    fn step(&self, step: TileStep<'_>, tile: &Tile) -> Result<()> {
        let call = match step {
            TileStep::Gradient => self.for_gradients(),
            TileStep::Statistics | TileStep::Losses(_) => self.call,
        };
        let pass = TilePass {
            call,
            tile: &self.tile,
            rows: tile.shape(),
            first_row: tile.rows.start,
            first_column: tile.columns.start,
            classes: self.linear.outputs,
            states: &self.states,
        };
        self.linear.x.device().run(OpOf::Tile(step, pass))
    }

    /// Adds the contribution of the tile's dE/dz to the gradients. The first tile that writes to a part of
    /// them overwrites it, unless they accumulate.
    fn gradients(&self, tile: &Tile) -> Result<()> {
        let (linear, parts) = (self.linear, self.parts);
        let adds = parts.accumulate || tile.rows.start > 0;
        if let Some(dw) = &parts.dw {
            linear.weight_gradient_into(tile, &self.tile, dw.storage(), adds)?;
        }
        if let Some(db) = &parts.db {
            linear.bias_gradient_into(tile, &self.tile, db.storage(), adds)?;
        }
        if let Some(dx) = &parts.dx {
            let adds = tile.columns.start > 0;
            linear.input_gradient_into(tile, &self.tile, dx.storage(), adds)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_fit_and_leave_nothing_out() {
        let elements = TILE_BYTES / 4;
        for batch in [1, 7, 48, 100, 4096, 1 << 20] {
            for classes in [1, 10, 50_000, 131_072, 256_000, 1 << 20, 1 << 25, 1 << 28] {
                let Plan { rows, columns } = Plan::new(batch, classes, elements, LEAST_ROWS);
                assert!(rows * columns <= elements, "{batch}, {classes}: {rows}, {columns}");
                assert!((1..=batch).contains(&rows) && (1..=classes).contains(&columns));
                assert!(columns <= MOST_COLUMNS);
            }
        }
        // Whole rows for the vocabularies of current language models.
        for classes in [50_257, 131_072, 256_000] {
            assert_eq!(Plan::new(4096, classes, elements, LEAST_ROWS).columns, classes);
        }
        assert_eq!(
            Plan::new(4096, 1 << 20, elements, LEAST_ROWS),
            Plan { rows: 2048, columns: 7168 }
        );
    }
}
