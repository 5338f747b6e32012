//! Which kernel computes a matrix product, chosen by the kind of adapter and the shape.

use super::policy::Policy;

/// The number of terms of a slice of the inner dimension is a multiple of this: the depth of a tile in
/// shaders/kernels/matmul_tiles.wgsl. Not measured: other depths.
pub(crate) const DEPTH: usize = 16;

/// The edge of a block of the output: the kernels work with mat4x4.
const BLOCK: usize = 4;

/// The invocations in a workgroup of the kernels without workgroup memory, on processors. Measured: these kernels as
/// a whole (docs/performance.md, products on llvmpipe). Not measured: other groups.
const REGISTER_GROUP: usize = 16;

/// The number of workgroups that keeps a GPU busy, and the smallest number that is worth large tiles. Measured on an
/// H200: 64 rows by a matrix are a sixth faster in small tiles than in large ones; docs/graphics_card.md has the
/// times of the products as they are chosen. Not measured: other thresholds.
const BUSY: usize = 256;
const WORTH: usize = 128;

/// The inner dimension below which nothing is cut into slices, and the least number of terms of a slice for
/// cooperative matrices. Not measured apart from the slices as a whole: see `FEW_ROWS`.
const WHOLE: usize = 256;

/// A product of at most `FEW_ROWS` rows takes as long as reading its second factor. `READERS` invocations read it, in
/// workgroups of `READER_GROUP`, and a slice has at least `READER_SLICE` terms. Measured together on an H200
/// (docs/graphics_card.md, "1, 8, 64 rows by a matrix of 4096 × 4096"; CHANGELOG.md, "products of few rows"): one row
/// takes 0.048 ms instead of 0.097, 8 rows 0.071 instead of 0.098. Not measured: other values.
const FEW_ROWS: usize = 8;
const READERS: usize = 1 << 16;
const READER_GROUP: usize = 64;
const READER_SLICE: usize = 64;

/// The number of multiplications that a processor finishes sooner than it compiles a kernel with large blocks,
/// which takes 0.2 to 0.7 s. Measured on lavapipe: the first output layer takes 0.3 s instead of 1.5 s
/// (docs/performance.md, "The first call"). Not measured: other limits.
const SMALL: usize = 1 << 18;

/// The number of invocations that keeps a processor busy, and the number of terms that is worth a slice there. Not
/// measured: other numbers.
const PROCESSOR_BUSY: usize = 64;
const PROCESSOR_SLICE: usize = 4096;

/// The number of terms that is worth a slice with large tiles, and with other tiles. Slices need one more kernel,
/// which adds them up, so slices with large tiles are long: on an H200 outputs of 1024 x 1000 take no longer
/// without that kernel. Not measured: other lengths.
const LARGE_SLICE: usize = 1024;
const TILE_SLICE: usize = 64;

/// The shape of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) rows: usize,
    pub(crate) inner: usize,
    pub(crate) columns: usize,
}

/// How a kernel computes the product. The files shaders/kernels/matmul_*.wgsl describe each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// One block for each invocation, without workgroup memory and with little code.
    Small,
    /// Without workgroup memory, by workgroups of `group` invocations. `blocks` is the number of blocks that each
    /// computes one below the other and side by side, up to four in each direction.
    Registers { group: usize, blocks: [usize; 2] },
    /// With tiles in workgroup memory.
    Tiles(Tile),
    /// With tiles of halves in workgroup memory, which subgroups multiply block by block.
    Cooperative(Patch),
}

/// The number of invocations that compute a tile, side by side and one below the other, and the number of blocks
/// that each computes in both directions, one or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tile {
    blocks: usize,
    across: usize,
    down: usize,
}

impl Tile {
    /// 128 x 32 for an output of few columns, and 32 x 128 for one of few rows. docs/instructions.md counts the
    /// instructions of all tiles, and docs/graphics_card.md has the times of products.
    pub(crate) const TALL: Self = Self { blocks: 1, across: 8, down: 32 };
    pub(crate) const WIDE: Self = Self { blocks: 1, across: 32, down: 8 };
    /// 64 x 64 and 128 x 128.
    pub(crate) const SMALL: Self = Self { blocks: 1, across: 16, down: 16 };
    pub(crate) const LARGE: Self = Self { blocks: 2, across: 16, down: 16 };

    pub(super) const ALL: [Self; 4] = [Self::TALL, Self::WIDE, Self::SMALL, Self::LARGE];

    /// The constants that its kernel's WGSL begins with.
    pub(super) fn wgsl(self) -> String {
        let Self { blocks, across, down } = self;
        format!(
            "const BLOCKS: u32 = {blocks}u;\nconst ACROSS: u32 = {across}u;\nconst DOWN: u32 = {down}u;\n"
        )
    }
}

/// The number of 16 x 16 blocks that each of two by two subgroups computes in both directions, two or four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Patch {
    blocks: usize,
}

impl Patch {
    /// Tiles of 64 x 64 and 128 x 128. Measured on an H200: docs/graphics_card.md, "cooperative matrices".
    pub(crate) const SMALL: Self = Self { blocks: 2 };
    pub(crate) const LARGE: Self = Self { blocks: 4 };

    pub(crate) const ALL: [Self; 2] = [Self::SMALL, Self::LARGE];

    /// The maximum number of bytes of workgroup memory that its kernel needs.
    pub(super) const BYTES: u32 = 24 << 10;

    /// What its kernel's WGSL begins with.
    pub(super) fn wgsl(self) -> String {
        let Self { blocks } = self;
        format!("enable f16;\nenable wgpu_cooperative_matrix;\nconst BLOCKS: u32 = {blocks}u;\n")
    }
}

/// A kernel of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) family: Family,
    /// The maximum number of slices that the inner dimension is cut into.
    pub(crate) slices: usize,
}

impl Variant {
    /// Chooses the kernel. `b_transposed` says whether the second factor is stored as its transpose, and `cooperates`
    /// whether cooperative matrices can multiply the factors.
    pub(crate) fn of(policy: Policy, extent: Extent, b_transposed: bool, cooperates: bool) -> Self {
        let computes = |it: &Self| cooperates || !matches!(it.family, Family::Cooperative(_));
        if let Some(variant) = policy.product.filter(computes) {
            return variant;
        }
        if policy.for_processors {
            return Self::registers(extent);
        }
        let Extent { rows, inner, columns } = extent;
        if cooperates && rows.min(inner).min(columns) > FEW_ROWS {
            return Self::cooperative(extent);
        }
        let reads = !b_transposed && rows <= FEW_ROWS && inner * columns >= READERS;
        if reads { Self::readers(extent) } else { Self::tiles(extent) }
    }

    /// For a processor: large blocks, which read little, but enough invocations.
    fn registers(extent: Extent) -> Self {
        let Extent { rows, inner, columns } = extent;
        if rows.saturating_mul(inner).saturating_mul(columns) <= SMALL {
            return Self { family: Family::Small, slices: 1 };
        }
        let column_blocks = columns.div_ceil(BLOCK).clamp(1, 4);
        let variant = |row_blocks| {
            let blocks = [row_blocks, column_blocks];
            Self { family: Family::Registers { group: REGISTER_GROUP, blocks }, slices: 1 }
        };
        // Only a few kernels: drivers for processors compile slowly.
        let mut row_blocks = match rows {
            0..=4 => 1,
            5..=8 => 2,
            _ => 4,
        };
        while row_blocks > 1 && variant(row_blocks).invocations(extent) < PROCESSOR_BUSY {
            row_blocks /= 2;
        }
        let variant = variant(row_blocks);
        let missing = PROCESSOR_BUSY / variant.invocations(extent).max(1);
        Self { slices: missing.min(inner / PROCESSOR_SLICE).max(1), ..variant }
    }

    /// For a GPU and few rows: blocks without tiles, as most tiles would be empty, in slices that let enough
    /// invocations read the second factor. Neighbouring invocations read neighbouring elements.
    fn readers(extent: Extent) -> Self {
        let family = Family::Registers { group: READER_GROUP, blocks: [1, 1] };
        let variant = Self { family, slices: 1 };
        let missing = READERS / variant.invocations(extent).max(1);
        Self { slices: missing.min(extent.inner / READER_SLICE).max(1), ..variant }
    }

    /// For a GPU: tiles. If there are few of them, the inner dimension is cut into slices of as many terms as are
    /// worth one.
    fn tiles(extent: Extent) -> Self {
        let Extent { rows, columns, .. } = extent;
        let sliced = |tile, terms| Self::sliced(Family::Tiles(tile), extent, BUSY, terms);
        let large = sliced(Tile::LARGE, LARGE_SLICE);
        let is_worth = large.workgroups(rows, columns) * large.slices >= WORTH;
        match (rows, columns) {
            (_, ..=32) => sliced(Tile::TALL, TILE_SLICE),
            (..=32, _) => sliced(Tile::WIDE, TILE_SLICE),
            (65.., 65..) if is_worth => large,
            _ => sliced(Tile::SMALL, TILE_SLICE),
        }
    }

    /// For a GPU with matrix units: cut into slices as for tiles.
    fn cooperative(extent: Extent) -> Self {
        let sliced = |patch| Self::sliced(Family::Cooperative(patch), extent, WORTH, WHOLE);
        let large = sliced(Patch::LARGE);
        let is_worth = large.workgroups(extent.rows, extent.columns) >= WORTH;
        if is_worth { large } else { sliced(Patch::SMALL) }
    }

    /// Cuts the inner dimension into slices of at least `terms` terms, until `busy` workgroups have work.
    fn sliced(family: Family, extent: Extent, busy: usize, terms: usize) -> Self {
        let Extent { rows, inner, columns } = extent;
        let variant = Self { family, slices: 1 };
        let missing = busy / variant.workgroups(rows, columns).max(1);
        let most = if inner < WHOLE { 1 } else { inner / terms };
        Self { slices: missing.min(most).max(1), ..variant }
    }

    /// The number of rows and columns that one invocation computes, or with tiles one workgroup.
    fn tile(self) -> (usize, usize) {
        let [rows, columns] = match self.family {
            Family::Small => [1, 1],
            Family::Registers { blocks, .. } => blocks,
            Family::Tiles(Tile { blocks, across, down }) => [blocks * down, blocks * across],
            Family::Cooperative(Patch { blocks }) => [2 * blocks * 16 / BLOCK; 2],
        };
        (rows * BLOCK, columns * BLOCK)
    }

    /// Whether the kernel can end with an activation.
    pub(super) const fn activates(self) -> bool {
        matches!(self.family, Family::Tiles(_) | Family::Cooperative(_))
    }

    fn invocations(self, extent: Extent) -> usize {
        let (rows, columns) = self.tile();
        extent.rows.div_ceil(rows) * extent.columns.div_ceil(columns)
    }

    pub(crate) fn workgroups(self, rows: usize, columns: usize) -> usize {
        let tiles = self.invocations(Extent { rows, inner: 0, columns });
        match self.family {
            Family::Small => tiles.div_ceil(REGISTER_GROUP),
            Family::Registers { group, .. } => tiles.div_ceil(group),
            Family::Tiles(_) | Family::Cooperative(_) => tiles,
        }
    }
}
