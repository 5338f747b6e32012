// A matrix product for GPUs that have matrix units: subgroups multiply blocks of 16 x 16 halves and add up
// in f32 (cooperative matrices). A workgroup of two by two subgroups computes a square tile of the output
// from tiles of the factors in workgroup memory. While it works on one pair of tiles, the next pair is on its
// way in registers.

// The text before this file enables halves and cooperative matrices, and defines the constant BLOCKS, 2 or 4:
// each subgroup computes BLOCKS by BLOCKS blocks. Neither these blocks nor the vec4s below are in arrays, as
// drivers do not keep arrays in registers.

// Whether there is an activation.
override ACTIVATES: bool = true;

alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sum = coop_mat16x16<f32, C>;

const BLOCK: u32 = 16u;
const SUBGROUP: u32 = 32u;
const INVOCATIONS: u32 = 4u * SUBGROUP;

// The edge of the output's tile, and the depth of the factors' tiles, chosen so that each of these has 4096
// elements, eight vec4s for each invocation.
const EDGE: u32 = 2u * BLOCKS * BLOCK;
const DEPTH: u32 = 4096u / EDGE;

// The factors' tiles are stored like the factors, in lines along the inner dimension or along the edge. These
// are the vec4s of a line. Two more behind each line keep neighbours in the same column out of the same bank.
const DEEP_LINE: u32 = DEPTH / 4u;
const EDGE_LINE: u32 = EDGE / 4u;
const BESIDE: u32 = 2u;
const DEEP_STRIDE: u32 = DEEP_LINE + BESIDE;
const EDGE_STRIDE: u32 = EDGE_LINE + BESIDE;
const TILE: u32 = max(EDGE * DEEP_STRIDE, DEPTH * EDGE_STRIDE);

@group(0) @binding(1) var<storage, read> a: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f16>>;

var<workgroup> a_tile: array<vec4<f16>, TILE>;
var<workgroup> b_tile: array<vec4<f16>, TILE>;
// A block of sums for each subgroup.
var<workgroup> blocks: array<vec4<f32>, INVOCATIONS / SUBGROUP * BLOCK * BLOCK / 4u>;

// The sums of a subgroup.
var<private> s00: Sum;
var<private> s01: Sum;
var<private> s02: Sum;
var<private> s03: Sum;
var<private> s10: Sum;
var<private> s11: Sum;
var<private> s12: Sum;
var<private> s13: Sum;
var<private> s20: Sum;
var<private> s21: Sum;
var<private> s22: Sum;
var<private> s23: Sum;
var<private> s30: Sum;
var<private> s31: Sum;
var<private> s32: Sum;
var<private> s33: Sum;

// Where a vec4 lies along the edge and along the inner dimension, counted from the first element of the tile.
struct Place {
    edge: u32,
    inner: u32,
}

fn place_of(number: u32, lines_are_deep: bool) -> Place {
    if (lines_are_deep) {
        return Place(number / DEEP_LINE, number % DEEP_LINE * 4u);
    }
    return Place(number % EDGE_LINE * 4u, number / EDGE_LINE);
}

// The index in the tile at which the vec4 is stored.
fn place_in_tile(number: u32, lines_are_deep: bool) -> u32 {
    if (lines_are_deep) {
        return number / DEEP_LINE * DEEP_STRIDE + number % DEEP_LINE;
    }
    return number / EDGE_LINE * EDGE_STRIDE + number % EDGE_LINE;
}

// A vec4 of the tile that begins at this row and inner place. Beyond the edge or the end it is another vec4
// of the matrix.
fn four_of_a(number: u32, tile_row: u32, start: u32, end: u32) -> vec4<f16> {
    let place = place_of(number, !A_TRANSPOSED);
    let row = min(tile_row + place.edge, parameters.rows - 1u);
    let inner = min(start + place.inner, end - 1u);
    let index = select(
        row * parameters.a_stride + inner,
        inner * parameters.a_stride + row,
        A_TRANSPOSED,
    );
    return a[(parameters.a_base + index) / 4u];
}

fn four_of_b(number: u32, tile_column: u32, start: u32, end: u32) -> vec4<f16> {
    let place = place_of(number, B_TRANSPOSED);
    let column = min(tile_column + place.edge, parameters.columns - 1u);
    let inner = min(start + place.inner, end - 1u);
    let index = select(
        inner * parameters.b_stride + column,
        column * parameters.b_stride + inner,
        B_TRANSPOSED,
    );
    return b[(parameters.b_base + index) / 4u];
}

// The vec4s that an invocation loads for a tile.
struct Fours {
    x0: vec4<f16>,
    x1: vec4<f16>,
    x2: vec4<f16>,
    x3: vec4<f16>,
    x4: vec4<f16>,
    x5: vec4<f16>,
    x6: vec4<f16>,
    x7: vec4<f16>,
}

fn fetch_a(local: u32, row: u32, start: u32, end: u32) -> Fours {
    return Fours(
        four_of_a(local, row, start, end),
        four_of_a(local + INVOCATIONS, row, start, end),
        four_of_a(local + 2u * INVOCATIONS, row, start, end),
        four_of_a(local + 3u * INVOCATIONS, row, start, end),
        four_of_a(local + 4u * INVOCATIONS, row, start, end),
        four_of_a(local + 5u * INVOCATIONS, row, start, end),
        four_of_a(local + 6u * INVOCATIONS, row, start, end),
        four_of_a(local + 7u * INVOCATIONS, row, start, end),
    );
}

fn fetch_b(local: u32, column: u32, start: u32, end: u32) -> Fours {
    return Fours(
        four_of_b(local, column, start, end),
        four_of_b(local + INVOCATIONS, column, start, end),
        four_of_b(local + 2u * INVOCATIONS, column, start, end),
        four_of_b(local + 3u * INVOCATIONS, column, start, end),
        four_of_b(local + 4u * INVOCATIONS, column, start, end),
        four_of_b(local + 5u * INVOCATIONS, column, start, end),
        four_of_b(local + 6u * INVOCATIONS, column, start, end),
        four_of_b(local + 7u * INVOCATIONS, column, start, end),
    );
}

// Replaces what lies at this inner place or beyond by zeros.
fn cut(local: u32, fours: Fours, lines_are_deep: bool, end: u32) -> Fours {
    let zero = vec4<f16>();
    return Fours(
        select(zero, fours.x0, place_of(local, lines_are_deep).inner < end),
        select(zero, fours.x1, place_of(local + INVOCATIONS, lines_are_deep).inner < end),
        select(zero, fours.x2, place_of(local + 2u * INVOCATIONS, lines_are_deep).inner < end),
        select(zero, fours.x3, place_of(local + 3u * INVOCATIONS, lines_are_deep).inner < end),
        select(zero, fours.x4, place_of(local + 4u * INVOCATIONS, lines_are_deep).inner < end),
        select(zero, fours.x5, place_of(local + 5u * INVOCATIONS, lines_are_deep).inner < end),
        select(zero, fours.x6, place_of(local + 6u * INVOCATIONS, lines_are_deep).inner < end),
        select(zero, fours.x7, place_of(local + 7u * INVOCATIONS, lines_are_deep).inner < end),
    );
}

fn put_a(local: u32, fours: Fours) {
    a_tile[place_in_tile(local, !A_TRANSPOSED)] = fours.x0;
    a_tile[place_in_tile(local + INVOCATIONS, !A_TRANSPOSED)] = fours.x1;
    a_tile[place_in_tile(local + 2u * INVOCATIONS, !A_TRANSPOSED)] = fours.x2;
    a_tile[place_in_tile(local + 3u * INVOCATIONS, !A_TRANSPOSED)] = fours.x3;
    a_tile[place_in_tile(local + 4u * INVOCATIONS, !A_TRANSPOSED)] = fours.x4;
    a_tile[place_in_tile(local + 5u * INVOCATIONS, !A_TRANSPOSED)] = fours.x5;
    a_tile[place_in_tile(local + 6u * INVOCATIONS, !A_TRANSPOSED)] = fours.x6;
    a_tile[place_in_tile(local + 7u * INVOCATIONS, !A_TRANSPOSED)] = fours.x7;
}

fn put_b(local: u32, fours: Fours) {
    b_tile[place_in_tile(local, B_TRANSPOSED)] = fours.x0;
    b_tile[place_in_tile(local + INVOCATIONS, B_TRANSPOSED)] = fours.x1;
    b_tile[place_in_tile(local + 2u * INVOCATIONS, B_TRANSPOSED)] = fours.x2;
    b_tile[place_in_tile(local + 3u * INVOCATIONS, B_TRANSPOSED)] = fours.x3;
    b_tile[place_in_tile(local + 4u * INVOCATIONS, B_TRANSPOSED)] = fours.x4;
    b_tile[place_in_tile(local + 5u * INVOCATIONS, B_TRANSPOSED)] = fours.x5;
    b_tile[place_in_tile(local + 6u * INVOCATIONS, B_TRANSPOSED)] = fours.x6;
    b_tile[place_in_tile(local + 7u * INVOCATIONS, B_TRANSPOSED)] = fours.x7;
}

// The block of the tile that begins at this row and inner place.
fn left_at(row: u32, inner: u32) -> Left {
    if (A_TRANSPOSED) {
        let at = inner * EDGE_STRIDE + row / 4u;
        return coopLoad<Left>(&a_tile[at], EDGE_STRIDE);
    }
    let at = row * DEEP_STRIDE + inner / 4u;
    return coopLoadT<Left>(&a_tile[at], DEEP_STRIDE);
}

fn right_at(inner: u32, column: u32) -> Right {
    if (B_TRANSPOSED) {
        let at = column * DEEP_STRIDE + inner / 4u;
        return coopLoad<Right>(&b_tile[at], DEEP_STRIDE);
    }
    let at = inner * EDGE_STRIDE + column / 4u;
    return coopLoadT<Right>(&b_tile[at], EDGE_STRIDE);
}

// Adds the products of 16 inner places.
fn add_products(inner: u32, row: u32, column: u32) {
    let b0 = right_at(inner, column);
    let b1 = right_at(inner, column + BLOCK);
    let a0 = left_at(row, inner);
    let a1 = left_at(row + BLOCK, inner);
    s00 = coopMultiplyAdd(a0, b0, s00);
    s01 = coopMultiplyAdd(a0, b1, s01);
    s10 = coopMultiplyAdd(a1, b0, s10);
    s11 = coopMultiplyAdd(a1, b1, s11);
    if (BLOCKS > 2u) {
        let b2 = right_at(inner, column + 2u * BLOCK);
        let b3 = right_at(inner, column + 3u * BLOCK);
        s02 = coopMultiplyAdd(a0, b2, s02);
        s03 = coopMultiplyAdd(a0, b3, s03);
        s12 = coopMultiplyAdd(a1, b2, s12);
        s13 = coopMultiplyAdd(a1, b3, s13);
        let a2 = left_at(row + 2u * BLOCK, inner);
        s20 = coopMultiplyAdd(a2, b0, s20);
        s21 = coopMultiplyAdd(a2, b1, s21);
        s22 = coopMultiplyAdd(a2, b2, s22);
        s23 = coopMultiplyAdd(a2, b3, s23);
        let a3 = left_at(row + 3u * BLOCK, inner);
        s30 = coopMultiplyAdd(a3, b0, s30);
        s31 = coopMultiplyAdd(a3, b1, s31);
        s32 = coopMultiplyAdd(a3, b2, s32);
        s33 = coopMultiplyAdd(a3, b3, s33);
    }
}

// Stores a block of sums that begins at this row and column of the output. Only the device knows which of its
// elements each invocation holds, so the block goes through workgroup memory.
fn store(sums: Sum, row: u32, column: u32, slice: u32, local: u32) {
    let lane = local % SUBGROUP;
    let room = local / SUBGROUP * (BLOCK * BLOCK / 4u);
    let other = lane + SUBGROUP;
    workgroupBarrier();
    coopStoreT(sums, &blocks[room], BLOCK / 4u);
    workgroupBarrier();
    store_row(blocks[room + lane], row + lane / 4u, column + lane % 4u * 4u, slice);
    store_row(blocks[room + other], row + other / 4u, column + other % 4u * 4u, slice);
}

fn activated(z: f32) -> f32 {
    return nan_where(is_nan(z), forward(z));
}

// Applies the activation to what this invocation has stored of a subgroup's blocks, so that it is only once
// in the code, and runs while no sums take up registers.
fn activate(first_row: u32, first_column: u32, lane: u32) {
    for (var i = 0u; i < 2u * BLOCKS * BLOCKS; i = i + 1u) {
        let number = lane + i % 2u * SUBGROUP;
        let row = first_row + i / 2u / BLOCKS * BLOCK + number / 4u;
        let column = first_column + i / 2u % BLOCKS * BLOCK + number % 4u * 4u;
        if (row < parameters.rows && column < parameters.columns) {
            let index = output_index(row, column, 0u);
            let z = load_output(index, column);
            let y = vec4<f32>(activated(z.x), activated(z.y), activated(z.z), activated(z.w));
            store_output(index, column, y);
        }
    }
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let tile = group.y * groups.x + group.x;
    let tiles_across = (parameters.columns + EDGE - 1u) / EDGE;
    let tile_row = tile / tiles_across * EDGE;
    let tile_column = tile % tiles_across * EDGE;
    let slice = group.z;
    let start = slice * parameters.slice;
    let end = min(start + parameters.slice, parameters.inner);

    // The subgroup's first row and column in the tile.
    let down = local / SUBGROUP / 2u * (BLOCKS * BLOCK);
    let across = local / SUBGROUP % 2u * (BLOCKS * BLOCK);
    var next_a = Fours();
    var next_b = Fours();
    if (start < end) {
        next_a = fetch_a(local, tile_row, start, end);
        next_b = fetch_b(local, tile_column, start, end);
    }
    for (var inner = start; inner < end; inner = inner + DEPTH) {
        // Waits until all invocations are done with the tiles before.
        workgroupBarrier();
        if (inner + DEPTH > end) {
            put_a(local, cut(local, next_a, !A_TRANSPOSED, end - inner));
            put_b(local, cut(local, next_b, B_TRANSPOSED, end - inner));
        } else {
            put_a(local, next_a);
            put_b(local, next_b);
        }
        workgroupBarrier();
        next_a = fetch_a(local, tile_row, inner + DEPTH, end);
        next_b = fetch_b(local, tile_column, inner + DEPTH, end);
        add_products(0u, down, across);
        add_products(BLOCK, down, across);
        if (DEPTH > 2u * BLOCK) {
            add_products(2u * BLOCK, down, across);
            add_products(3u * BLOCK, down, across);
        }
    }

    let row = tile_row + down;
    let column = tile_column + across;
    store(s00, row, column, slice, local);
    store(s01, row, column + BLOCK, slice, local);
    store(s10, row + BLOCK, column, slice, local);
    store(s11, row + BLOCK, column + BLOCK, slice, local);
    if (BLOCKS > 2u) {
        store(s02, row, column + 2u * BLOCK, slice, local);
        store(s03, row, column + 3u * BLOCK, slice, local);
        store(s12, row + BLOCK, column + 2u * BLOCK, slice, local);
        store(s13, row + BLOCK, column + 3u * BLOCK, slice, local);
        store(s20, row + 2u * BLOCK, column, slice, local);
        store(s21, row + 2u * BLOCK, column + BLOCK, slice, local);
        store(s22, row + 2u * BLOCK, column + 2u * BLOCK, slice, local);
        store(s23, row + 2u * BLOCK, column + 3u * BLOCK, slice, local);
        store(s30, row + 3u * BLOCK, column, slice, local);
        store(s31, row + 3u * BLOCK, column + BLOCK, slice, local);
        store(s32, row + 3u * BLOCK, column + 2u * BLOCK, slice, local);
        store(s33, row + 3u * BLOCK, column + 3u * BLOCK, slice, local);
    }
    if (ACTIVATES) {
        activate(row, column, local % SUBGROUP);
    }
}
