// Reductions among the invocations of a row, through registers within subgroups and through workgroup memory
// between them. row_reductions_memory.wgsl, in contrast, has a barrier for each level of the tree.
//
// All invocations of the row go through the whole tree, and all get the same result, as a + b is b + a.

// Invocations whose numbers in the workgroup differ only in the bits below this power of two share a subgroup,
// in that order: subgroups.wgsl has verified this.
override SUBGROUP: u32 = 32u;

var<workgroup> exchange_pairs: array<vec2<f32>, 256>;
var<workgroup> exchange_ranks: array<i32, 256>;

// The number of invocations of a row that share a subgroup.
fn near_lanes() -> u32 {
    return clamp(SUBGROUP / LANE_STEP, 1u, LANES);
}

// The place of the first value that an invocation gathers. Each next one is as far away as near_lanes()
// invocations of the row.
fn first_gathered(at: Place) -> u32 {
    return at.local - (at.lane - at.lane % near_lanes()) * LANE_STEP;
}

fn reduce_sum(value: f32, at: Place) -> f32 {
    return reduce_sums(vec2<f32>(value, 0.0), at).x;
}

// Computes two sums at once, with as many barriers as one sum needs.
fn reduce_sums(values: vec2<f32>, at: Place) -> vec2<f32> {
    let near = near_lanes();
    var totals = values;
    if (LANES > near) {
        exchange_pairs[at.local] = values;
        workgroupBarrier();
        for (var stride = LANES / 2u; stride > near; stride = stride / 2u) {
            if (at.lane < stride) {
                let other = exchange_pairs[at.local + stride * LANE_STEP];
                exchange_pairs[at.local] = exchange_pairs[at.local] + other;
            }
            workgroupBarrier();
        }
        // At the last level each invocation adds its own two values: gathering more would take registers.
        let first = first_gathered(at);
        totals = exchange_pairs[first] + exchange_pairs[first + near * LANE_STEP];
        workgroupBarrier();
    }
    // If the distance is a constant, drivers know faster ways than a shuffle.
    if (near > 16u) {
        totals = totals + subgroupShuffleXor(totals, 16u * LANE_STEP);
    }
    if (near > 8u) {
        totals = totals + subgroupShuffleXor(totals, 8u * LANE_STEP);
    }
    if (near > 4u) {
        totals = totals + subgroupShuffleXor(totals, 4u * LANE_STEP);
    }
    if (near > 2u) {
        totals = totals + subgroupShuffleXor(totals, 2u * LANE_STEP);
    }
    if (near > 1u) {
        totals = totals + subgroupShuffleXor(totals, LANE_STEP);
    }
    // Keeps the compiler from merging a later addition into the last sum.
    return vec2<f32>(opaque(totals.x), opaque(totals.y));
}

// The maximum; NaN if any value is NaN.
fn reduce_maximum(value: f32, at: Place) -> f32 {
    return number_of(reduce_greatest(rank_of(value), at));
}

// The greatest of integers. The order makes no difference, so the values gathered are those of all subgroups.
fn reduce_greatest(rank: i32, at: Place) -> i32 {
    let near = near_lanes();
    var greatest = rank;
    if (near > 16u) {
        greatest = max(greatest, subgroupShuffleXor(greatest, 16u * LANE_STEP));
    }
    if (near > 8u) {
        greatest = max(greatest, subgroupShuffleXor(greatest, 8u * LANE_STEP));
    }
    if (near > 4u) {
        greatest = max(greatest, subgroupShuffleXor(greatest, 4u * LANE_STEP));
    }
    if (near > 2u) {
        greatest = max(greatest, subgroupShuffleXor(greatest, 2u * LANE_STEP));
    }
    if (near > 1u) {
        greatest = max(greatest, subgroupShuffleXor(greatest, LANE_STEP));
    }
    if (LANES > near) {
        exchange_ranks[at.local] = greatest;
        workgroupBarrier();
        let first = first_gathered(at);
        for (var lane = 0u; lane < LANES; lane = lane + near) {
            greatest = max(greatest, exchange_ranks[first + lane * LANE_STEP]);
        }
        workgroupBarrier();
    }
    return greatest;
}
