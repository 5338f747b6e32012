// A matrix product for GPUs: a workgroup computes a tile of the output from tiles of the factors in workgroup
// memory, 16 deep. While it works on one pair of tiles, the next pair is on its way in registers.

// The lengths of arrays in arrays cannot be overridden, so constants are defined before this file: ACROSS and
// DOWN, the number of invocations of the workgroup side by side and one below the other, and BLOCKS, 1 or 2.
// Each invocation computes BLOCKS by BLOCKS blocks of 4 x 4.

// Whether there is an activation.
override ACTIVATES: bool = true;

const DEPTH: u32 = 16u;

// The number of inner places that are written out, as not every driver unrolls loops.
const STEPS: u32 = 8u;

// The number of blocks in the height and in the width of the output's tile, and in the tiles of the factors.
// Each invocation loads at most one block, of either factor.
const TILE_ROW_BLOCKS: u32 = BLOCKS * DOWN;
const TILE_COLUMN_BLOCKS: u32 = BLOCKS * ACROSS;
const A_BLOCKS: u32 = TILE_ROW_BLOCKS * (DEPTH / 4u);
const B_BLOCKS: u32 = TILE_COLUMN_BLOCKS * (DEPTH / 4u);
const_assert A_BLOCKS + B_BLOCKS <= ACROSS * DOWN;

// For each inner place the rows, or the columns, of a tile: those of each invocation's first block, then those
// of its second. In the loops all indices but the first and the last are constants, so the bounds checks that
// remain are done once for all steps.
var<workgroup> a_tile: array<array<array<array<vec4<f32>, DOWN>, BLOCKS>, STEPS>, DEPTH / STEPS>;
var<workgroup> b_tile: array<array<array<array<vec4<f32>, ACROSS>, BLOCKS>, STEPS>, DEPTH / STEPS>;

// A block of the factors' tiles. Its number counts the blocks of a, then those of b.
struct Block {
    of_a: bool,
    of_b: bool,
    // Its position along the edge of the output's tile, and along the inner dimension.
    across: u32,
    deep: u32,
}

// Neighbouring invocations read neighbouring elements.
fn block_of(number: u32) -> Block {
    if (number < A_BLOCKS) {
        if (A_TRANSPOSED) {
            return Block(true, false, number % TILE_ROW_BLOCKS, number / TILE_ROW_BLOCKS);
        }
        return Block(true, false, number / (DEPTH / 4u), number % (DEPTH / 4u));
    }
    let i = number - A_BLOCKS;
    if (B_TRANSPOSED) {
        return Block(false, i < B_BLOCKS, i / (DEPTH / 4u), i % (DEPTH / 4u));
    }
    return Block(false, i < B_BLOCKS, i % TILE_COLUMN_BLOCKS, i / TILE_COLUMN_BLOCKS);
}

fn fetch(block: Block, row: u32, column: u32, start: u32, end: u32) -> mat4x4<f32> {
    let inner = start + block.deep * 4u;
    if (inner < end) {
        if (block.of_a) {
            return transpose(a_block(row + block.across * 4u, inner));
        }
        if (block.of_b) {
            return b_block(inner, column + block.across * 4u);
        }
    }
    return mat4x4<f32>();
}

fn put_row_of_a(inner: u32, block: Block, values: vec4<f32>) {
    a_tile[inner / STEPS][inner % STEPS][block.across / DOWN][block.across % DOWN] = values;
}

fn put_row_of_b(inner: u32, block: Block, values: vec4<f32>) {
    b_tile[inner / STEPS][inner % STEPS][block.across / ACROSS][block.across % ACROSS] = values;
}

fn put(block: Block, values: mat4x4<f32>) {
    let inner = block.deep * 4u;
    if (block.of_a) {
        put_row_of_a(inner, block, values[0]);
        put_row_of_a(inner + 1u, block, values[1]);
        put_row_of_a(inner + 2u, block, values[2]);
        put_row_of_a(inner + 3u, block, values[3]);
    } else if (block.of_b) {
        put_row_of_b(inner, block, values[0]);
        put_row_of_b(inner + 1u, block, values[1]);
        put_row_of_b(inner + 2u, block, values[2]);
        put_row_of_b(inner + 3u, block, values[3]);
    }
}

// The sums of an invocation.
struct Sums {
    s00: mat4x4<f32>,
    s01: mat4x4<f32>,
    s10: mat4x4<f32>,
    s11: mat4x4<f32>,
}

fn add_outer(sums: mat4x4<f32>, rows: vec4<f32>, columns: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        sums[0] + rows.x * columns,
        sums[1] + rows.y * columns,
        sums[2] + rows.z * columns,
        sums[3] + rows.w * columns,
    );
}

// Adds the products of a tile's column and a tile's row at this inner place.
fn add_products(sums: ptr<function, Sums>, i: u32, step: u32, a_at: u32, b_at: u32) {
    let a0 = a_tile[i][step][0][a_at];
    let b0 = b_tile[i][step][0][b_at];
    (*sums).s00 = add_outer((*sums).s00, a0, b0);
    if (BLOCKS > 1u) {
        let a1 = a_tile[i][step][BLOCKS - 1u][a_at];
        let b1 = b_tile[i][step][BLOCKS - 1u][b_at];
        (*sums).s01 = add_outer((*sums).s01, a0, b1);
        (*sums).s10 = add_outer((*sums).s10, a1, b0);
        (*sums).s11 = add_outer((*sums).s11, a1, b1);
    }
}

fn activated(z: f32) -> f32 {
    return nan_where(is_nan(z), forward(z));
}

// Applies the activation to a block that this invocation has stored, so that it is only once in the code for
// all blocks, and runs while no sums take up registers.
fn activate_block(row: u32, column: u32) {
    if (column < parameters.columns) {
        for (var r = row; r < min(row + 4u, parameters.rows); r = r + 1u) {
            let index = output_index(r, column, 0u);
            let z = load_output(index, column);
            let y = vec4<f32>(activated(z.x), activated(z.y), activated(z.z), activated(z.w));
            store_output(index, column, y);
        }
    }
}

@compute @workgroup_size(ACROSS * DOWN)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let tile = group.y * groups.x + group.x;
    let tiles_across = (parameters.columns + 4u * TILE_COLUMN_BLOCKS - 1u) / (4u * TILE_COLUMN_BLOCKS);
    let tile_row = tile / tiles_across * 4u * TILE_ROW_BLOCKS;
    let tile_column = tile % tiles_across * 4u * TILE_COLUMN_BLOCKS;
    let slice = group.z;
    let start = slice * parameters.slice;
    let end = min(start + parameters.slice, parameters.inner);

    let mine = block_of(local);
    let a_at = local / ACROSS;
    let b_at = local % ACROSS;
    var sums = Sums();
    var next = fetch(mine, tile_row, tile_column, start, end);
    for (var inner = start; inner < end; inner = inner + DEPTH) {
        // Waits until all invocations are done with the tiles before.
        workgroupBarrier();
        put(mine, next);
        workgroupBarrier();
        next = fetch(mine, tile_row, tile_column, inner + DEPTH, end);
        for (var i = 0u; i < DEPTH / STEPS; i = i + 1u) {
            add_products(&sums, i, 0u, a_at, b_at);
            add_products(&sums, i, 1u, a_at, b_at);
            add_products(&sums, i, 2u, a_at, b_at);
            add_products(&sums, i, 3u, a_at, b_at);
            add_products(&sums, i, 4u, a_at, b_at);
            add_products(&sums, i, 5u, a_at, b_at);
            add_products(&sums, i, 6u, a_at, b_at);
            add_products(&sums, i, 7u, a_at, b_at);
        }
    }

    let row = tile_row + a_at * 4u;
    let column = tile_column + b_at * 4u;
    let below = 4u * DOWN;
    let beside = column + 4u * ACROSS;
    store_block(sums.s00, row, column, slice);
    if (BLOCKS > 1u) {
        store_block(sums.s01, row, beside, slice);
        store_block(sums.s10, row + below, column, slice);
        store_block(sums.s11, row + below, beside, slice);
    }
    if (ACTIVATES) {
        for (var i = 0u; i < BLOCKS * BLOCKS; i = i + 1u) {
            activate_block(row + i / BLOCKS * below, column + i % BLOCKS * 4u * ACROSS);
        }
    }
}
