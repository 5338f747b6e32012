// A matrix product for GPUs: a workgroup computes a tile of the output, through tiles of the factors in
// workgroup memory, 16 deep. While one is worked on, the next is on its way in registers.

const DEPTH: u32 = 16u;

// Whether there is an activation.
override ACTIVATES: bool = true;

// The invocations in the workgroup, and those of them that are side by side and one below the other.
override GROUP: u32 = 256u;
override ACROSS: u32 = 16u;
override DOWN: u32 = GROUP / ACROSS;

// The blocks of 4 x 4 in the height and width of the output's tile.
override TILE_ROW_BLOCKS: u32 = ROW_BLOCKS * DOWN;
override TILE_COLUMN_BLOCKS: u32 = COLUMN_BLOCKS * ACROSS;

// And in the tiles of the factors: at most two together for each invocation.
override A_BLOCKS: u32 = TILE_ROW_BLOCKS * (DEPTH / 4u);
override B_BLOCKS: u32 = TILE_COLUMN_BLOCKS * (DEPTH / 4u);

// For each inner place the rows, and the columns, of a tile.
var<workgroup> a_tile: array<vec4<f32>, A_BLOCKS * 4u>;
var<workgroup> b_tile: array<vec4<f32>, B_BLOCKS * 4u>;

// A block of the tiles that begin at this row, column and inner place: its number runs over those of a,
// then over those of b.
struct Block {
    of_a: bool,
    of_b: bool,
    // Along the edge of the output's tile, and along the inner dimension.
    across: u32,
    deep: u32,
}

// Neighbours read what lies side by side.
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

fn put(block: Block, values: mat4x4<f32>) {
    let inner = block.deep * 4u;
    if (block.of_a) {
        let at = inner * TILE_ROW_BLOCKS + block.across;
        a_tile[at] = values[0];
        a_tile[at + TILE_ROW_BLOCKS] = values[1];
        a_tile[at + 2u * TILE_ROW_BLOCKS] = values[2];
        a_tile[at + 3u * TILE_ROW_BLOCKS] = values[3];
    } else if (block.of_b) {
        let at = inner * TILE_COLUMN_BLOCKS + block.across;
        b_tile[at] = values[0];
        b_tile[at + TILE_COLUMN_BLOCKS] = values[1];
        b_tile[at + 2u * TILE_COLUMN_BLOCKS] = values[2];
        b_tile[at + 3u * TILE_COLUMN_BLOCKS] = values[3];
    }
}

// What an invocation adds up: ROW_BLOCKS by COLUMN_BLOCKS blocks, 1 by 1, 2 by 2 or 4 by 2.
struct Sums {
    s00: mat4x4<f32>,
    s01: mat4x4<f32>,
    s10: mat4x4<f32>,
    s11: mat4x4<f32>,
    s20: mat4x4<f32>,
    s21: mat4x4<f32>,
    s30: mat4x4<f32>,
    s31: mat4x4<f32>,
}

fn add_outer(sums: mat4x4<f32>, rows: vec4<f32>, columns: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        sums[0] + rows.x * columns,
        sums[1] + rows.y * columns,
        sums[2] + rows.z * columns,
        sums[3] + rows.w * columns,
    );
}

// Adds the products of the tiles' columns and rows at this inner place.
fn add_products(sums: ptr<function, Sums>, i: u32, a_at: u32, b_at: u32) {
    let a = i * TILE_ROW_BLOCKS + a_at;
    let b = i * TILE_COLUMN_BLOCKS + b_at;
    let a0 = a_tile[a];
    let b0 = b_tile[b];
    (*sums).s00 = add_outer((*sums).s00, a0, b0);
    if (COLUMN_BLOCKS > 1u) {
        let b1 = b_tile[b + ACROSS];
        let a1 = a_tile[a + DOWN];
        (*sums).s01 = add_outer((*sums).s01, a0, b1);
        (*sums).s10 = add_outer((*sums).s10, a1, b0);
        (*sums).s11 = add_outer((*sums).s11, a1, b1);
        if (ROW_BLOCKS > 2u) {
            let a2 = a_tile[a + 2u * DOWN];
            (*sums).s20 = add_outer((*sums).s20, a2, b0);
            (*sums).s21 = add_outer((*sums).s21, a2, b1);
            let a3 = a_tile[a + 3u * DOWN];
            (*sums).s30 = add_outer((*sums).s30, a3, b0);
            (*sums).s31 = add_outer((*sums).s31, a3, b1);
        }
    }
}

// Applies the activation to a block that this invocation has stored: once for all blocks in the code,
// and while no sums take up registers.
fn activate_block(row: u32, column: u32) {
    for (var i = 0u; i < 16u; i = i + 1u) {
        let r = row + i / 4u;
        let c = column + i % 4u;
        if (r < parameters.rows && c < parameters.columns) {
            let index = output_index(r, c, 0u);
            let z = output[index];
            output[index] = nan_where(is_nan(z), forward(z));
        }
    }
}

@compute @workgroup_size(GROUP)
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
    let also_mine = block_of(local + GROUP);
    let a_at = local / ACROSS;
    let b_at = local % ACROSS;
    var sums = Sums();
    var next = fetch(mine, tile_row, tile_column, start, end);
    var also_next = mat4x4<f32>();
    if (A_BLOCKS + B_BLOCKS > GROUP) {
        also_next = fetch(also_mine, tile_row, tile_column, start, end);
    }
    for (var inner = start; inner < end; inner = inner + DEPTH) {
        // All are done with the tiles before.
        workgroupBarrier();
        put(mine, next);
        if (A_BLOCKS + B_BLOCKS > GROUP) {
            put(also_mine, also_next);
        }
        workgroupBarrier();
        next = fetch(mine, tile_row, tile_column, inner + DEPTH, end);
        if (A_BLOCKS + B_BLOCKS > GROUP) {
            also_next = fetch(also_mine, tile_row, tile_column, inner + DEPTH, end);
        }
        // Four at a time: not every driver unrolls loops.
        for (var i = 0u; i < DEPTH; i = i + 4u) {
            add_products(&sums, i, a_at, b_at);
            add_products(&sums, i + 1u, a_at, b_at);
            add_products(&sums, i + 2u, a_at, b_at);
            add_products(&sums, i + 3u, a_at, b_at);
        }
    }

    let row = tile_row + a_at * 4u;
    let column = tile_column + b_at * 4u;
    let below = 4u * DOWN;
    let beside = column + 4u * ACROSS;
    store_block(sums.s00, row, column, slice);
    if (COLUMN_BLOCKS > 1u) {
        store_block(sums.s01, row, beside, slice);
        store_block(sums.s10, row + below, column, slice);
        store_block(sums.s11, row + below, beside, slice);
        if (ROW_BLOCKS > 2u) {
            store_block(sums.s20, row + 2u * below, column, slice);
            store_block(sums.s21, row + 2u * below, beside, slice);
            store_block(sums.s30, row + 3u * below, column, slice);
            store_block(sums.s31, row + 3u * below, beside, slice);
        }
    }
    if (ACTIVATES) {
        for (var i = 0u; i < ROW_BLOCKS * COLUMN_BLOCKS; i = i + 1u) {
            let c = select(column, beside, i % COLUMN_BLOCKS == 1u);
            activate_block(row + i / COLUMN_BLOCKS * below, c);
        }
    }
}
