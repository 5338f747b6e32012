// Reductions among the invocations of a row, through workgroup memory.

var<workgroup> exchange: array<f32, 256>;
var<workgroup> exchange_pairs: array<vec2<f32>, 256>;
var<workgroup> exchange_ranks: array<i32, 256>;

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

// Computes two sums at once, with as many barriers as one sum needs.
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

// The maximum; NaN if any value is NaN.
fn reduce_maximum(value: f32, at: Place) -> f32 {
    return number_of(reduce_greatest(rank_of(value), at));
}

// The greatest of integers.
fn reduce_greatest(rank: i32, at: Place) -> i32 {
    if (LANES == 1u) {
        return rank;
    }
    exchange_ranks[at.local] = rank;
    workgroupBarrier();
    for (var stride = LANES / 2u; stride > 0u; stride = stride / 2u) {
        if (at.lane < stride) {
            let other = exchange_ranks[at.local + stride * LANE_STEP];
            exchange_ranks[at.local] = max(exchange_ranks[at.local], other);
        }
        workgroupBarrier();
    }
    let greatest = exchange_ranks[at.local - at.lane * LANE_STEP];
    workgroupBarrier();
    return greatest;
}
