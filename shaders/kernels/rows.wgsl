// Shared by the kernels that work on rows: LANES invocations work on one row together, so that a
// workgroup takes 256 / LANES rows. The sums have a fixed tree: the same input gives the same bits.

// A power of two up to 256.
override LANES: u32 = 256u;

// How far apart the invocations of a row are in the workgroup: 1, or 256 / LANES where neighbouring
// rows lie side by side in memory, so that neighbours read neighbours.
override LANE_STEP: u32 = 1u;

var<workgroup> exchange: array<f32, 256>;
var<workgroup> exchange_pairs: array<vec2<f32>, 256>;

// What an output depends on besides its own element: see row_statistics.wgsl.
struct RowStatistics {
    // The greatest element.
    maximum: f32,
    // The row holds a NaN or plus infinity, or nothing but minus infinity.
    undefined: bool,
    // For softmax and its relatives: sum_j e^d_j with the differences d_j = scaled(z_j - maximum), less
    // the 1 of the maximum itself. Small where one element dominates.
    rest: f32,
    // 1 / (1 + rest), with what its rounding lost.
    inverse: Parts,
    // For projections onto the simplex: t with sum_j max(d_j - t, 0) = 1, rounded, and what the rounding
    // took from it.
    threshold: f32,
    threshold_lost: f32,
}

// e^d_i / sum_j e^d_j
fn softmax_of(d: Parts, row: RowStatistics) -> f32 {
    return exp_difference_times(row.inverse, d);
}

fn raised_softmax_of(raised: f32, row: RowStatistics) -> f32 {
    return lowered(raised * row.inverse.high + raised * row.inverse.low);
}

struct Place {
    // The row, counted over all workgroups; it may lie beyond the last.
    row: u32,
    // The invocation's number within the row.
    lane: u32,
    // And within the workgroup.
    local: u32,
}

fn place(group: vec3<u32>, groups: vec3<u32>, local: u32) -> Place {
    let rows_before = (group.y * groups.x + group.x) * (256u / LANES);
    if (LANE_STEP == 1u) {
        return Place(rows_before + local / LANES, local % LANES, local);
    }
    return Place(rows_before + local % LANE_STEP, local / LANE_STEP, local);
}

fn reduce_sum(value: f32, at: Place) -> f32 {
    if (LANES == 1u) {
        return value;
    }
    exchange[at.local] = value;
    workgroupBarrier();
    for (var stride = LANES / 2u; stride > 0u; stride = stride / 2u) {
        if (at.lane < stride) {
            exchange[at.local] = exchange[at.local] + exchange[at.local + stride * LANE_STEP];
        }
        workgroupBarrier();
    }
    let total = exchange[at.local - at.lane * LANE_STEP];
    workgroupBarrier();
    return total;
}

// Two sums at once, with as many barriers as for one.
fn reduce_sums(values: vec2<f32>, at: Place) -> vec2<f32> {
    if (LANES == 1u) {
        return values;
    }
    exchange_pairs[at.local] = values;
    workgroupBarrier();
    for (var stride = LANES / 2u; stride > 0u; stride = stride / 2u) {
        if (at.lane < stride) {
            let other = exchange_pairs[at.local + stride * LANE_STEP];
            exchange_pairs[at.local] = exchange_pairs[at.local] + other;
        }
        workgroupBarrier();
    }
    let totals = exchange_pairs[at.local - at.lane * LANE_STEP];
    workgroupBarrier();
    return totals;
}

// The greater of the two; NaN if one is.
fn greater(a: f32, b: f32) -> f32 {
    return nan_where(is_nan(a) || is_nan(b), select(b, a, a > b));
}

fn reduce_maximum(value: f32, at: Place) -> f32 {
    if (LANES == 1u) {
        return value;
    }
    exchange[at.local] = value;
    workgroupBarrier();
    for (var stride = LANES / 2u; stride > 0u; stride = stride / 2u) {
        if (at.lane < stride) {
            exchange[at.local] = greater(exchange[at.local], exchange[at.local + stride * LANE_STEP]);
        }
        workgroupBarrier();
    }
    let maximum = exchange[at.local - at.lane * LANE_STEP];
    workgroupBarrier();
    return maximum;
}

// A sum that carries what its additions lost (Kahan).
struct Sum {
    value: f32,
    lost: f32,
}

fn add_four(sum: Sum, terms: vec4<f32>) -> Sum {
    return add(add(add(add(sum, terms.x), terms.y), terms.z), terms.w);
}

fn add(sum: Sum, term: f32) -> Sum {
    let total = add_finite(sum, term);
    // An infinite sum has lost nothing that could be given back.
    return Sum(total.value, select(total.lost, 0.0, is_infinite(total.value)));
}

// The same where the sum stays finite.
fn add_finite(sum: Sum, term: f32) -> Sum {
    let corrected = term - sum.lost;
    let value = opaque(sum.value + corrected);
    return Sum(value, opaque(value - sum.value) - corrected);
}

fn add_four_finite(sum: Sum, terms: vec4<f32>) -> Sum {
    let half = add_finite(add_finite(sum, terms.x), terms.y);
    return add_finite(add_finite(half, terms.z), terms.w);
}
