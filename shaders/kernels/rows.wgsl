// Shared by the kernels that work on rows: LANES invocations work on one row together, so a workgroup has
// 256 / LANES rows. reduce_sum, reduce_sums, reduce_maximum and reduce_greatest of row_reductions_*.wgsl combine what they have
// found. The sums have a fixed tree, the same in both of these files: the same input gives the same bits.

// A power of two up to 256.
override LANES: u32 = 256u;

// The distance between invocations of a row in the workgroup: 1, or 256 / LANES if neighbouring rows lie side
// by side in memory, so that neighbouring invocations read neighbouring elements.
override LANE_STEP: u32 = 1u;

// What an output depends on besides its own element; see row_statistics.wgsl.
struct RowStatistics {
    // The greatest element.
    maximum: f32,
    // Whether the row holds a NaN or plus infinity, or nothing but minus infinity.
    undefined: bool,
    // For softmax and its relatives: sum_j e^d_j with the differences d_j = scaled(z_j - maximum), without
    // the 1 of the maximum itself. It is small if one element dominates.
    rest: f32,
    // 1 / (1 + rest), with its rounding error.
    inverse: Parts,
    // For projections onto the simplex: the t for which sum_j max(d_j - t, 0) = 1, rounded, and the rounding
    // error.
    threshold: f32,
    threshold_lost: f32,
}

// The sums along a row that a product with the Jacobian needs.
struct RowTotals {
    // The sum of the terms, or their mean over the support.
    total: f32,
    // The same, including what an output that outweighs all others adds to it.
    whole: f32,
    // The sum of the other outputs: 1 - p for an output p that outweighs them.
    others: f32,
}

// e^d_i / sum_j e^d_j
fn softmax_of(d: Parts, row: RowStatistics) -> f32 {
    return exp_difference_times(row.inverse, d);
}

fn raised_softmax_of(raised: f32, row: RowStatistics) -> f32 {
    return lowered(raised * row.inverse.high + raised * row.inverse.low);
}

struct Place {
    // The row, counted over all workgroups; it may be beyond the last row.
    row: u32,
    // The invocation's number within the row.
    lane: u32,
    // The invocation's number within the workgroup.
    local: u32,
}

fn place(group: vec3<u32>, groups: vec3<u32>, local: u32) -> Place {
    let rows_before = (group.y * groups.x + group.x) * (256u / LANES);
    if (LANE_STEP == 1u) {
        return Place(rows_before + local / LANES, local % LANES, local);
    }
    return Place(rows_before + local % LANE_STEP, local / LANE_STEP, local);
}

// The greater of the two; NaN if one of them is NaN.
fn greater(a: f32, b: f32) -> f32 {
    return nan_where(is_nan(a) || is_nan(b), select(b, a, a > b));
}

// An integer that grows with x, also from -0 to 0, and is greatest if x is NaN.
fn rank_of(x: f32) -> i32 {
    let bits = bitcast<i32>(nan_where(is_nan(x), x));
    return select(bits, bits ^ 0x7fffffff, bits < 0);
}

// The number that has this rank.
fn number_of(rank: i32) -> f32 {
    return bitcast<f32>(select(rank, rank ^ 0x7fffffff, rank < 0));
}

// A sum that keeps track of what its additions lost (Kahan).
struct Sum {
    value: f32,
    lost: f32,
}

fn add_four(sum: Sum, terms: vec4<f32>) -> Sum {
    return add(add(add(add(sum, terms.x), terms.y), terms.z), terms.w);
}

fn add(sum: Sum, term: f32) -> Sum {
    let total = add_finite(sum, term);
    // An infinite sum has lost nothing that could be added back.
    return Sum(total.value, select(total.lost, 0.0, is_infinite(total.value)));
}

// The same, for a sum that stays finite.
fn add_finite(sum: Sum, term: f32) -> Sum {
    let corrected = term - sum.lost;
    let value = opaque(sum.value + corrected);
    return Sum(value, opaque(value - sum.value) - corrected);
}

fn add_four_finite(sum: Sum, terms: vec4<f32>) -> Sum {
    let half = add_finite(add_finite(sum, terms.x), terms.y);
    return add_finite(add_finite(half, terms.z), terms.w);
}
