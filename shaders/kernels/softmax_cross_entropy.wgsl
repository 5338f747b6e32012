// Softmax and cross-entropy in one: from the logits the loss of each row, y = softmax(z) or its
// logarithm, and dE/dz = p * sum t - t for p = softmax(z), where the composition would divide by a p
// that may have underflowed.

// y is the logarithm of softmax.
override Y_IS_LOG: bool = false;

// The logits are where dE/dz goes.
override IN_PLACE: bool = false;

fn argument_at(row: u32, i: u32) -> f32 {
    if (IN_PLACE) {
        return dz[parameters.dz_base + row + i];
    }
    return z[parameters.z_base + row + i];
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let at = place(group, groups, local);
    let inside = at.row < parameters.rows;
    let width = select(0u, parameters.width, inside);
    let row = at.row * parameters.width;
    let counts = inside && row_counts(select(0u, at.row, inside));
    let statistics = row_statistics(row, width, at);
    let log_sum = math_log1p(statistics.rest);
    let normalizer = statistics.maximum + log_sum;

    var scale = 0.0;
    // The weight of the z-loss, c * (ln sum_k e^z_k)^2.
    var coefficient = 0.0;
    if (counts) {
        scale = reduction_scale() * weight_at(at.row, 0u);
        coefficient = parameters.z_loss * label_weight(at.row);
    }

    // The row's loss, sum_k -t_k ln p_k, and the sum of its targets.
    var loss = Sum(0.0, 0.0);
    var mass = Sum(0.0, 0.0);
    let range = targets_of(at.row, width);
    for (var i = range.x + at.lane; i < range.y; i = i + LANES) {
        let t = target_at(at.row, i);
        let term = t * (log_sum - (argument_at(row, i) - statistics.maximum));
        loss = add(loss, nan_where(is_nan(t), select(term, 0.0, t == 0.0)));
        mass = add(mass, t);
    }
    let totals = reduce_sums(vec2<f32>(loss.value - loss.lost, mass.value - mass.lost), at);
    var row_loss = totals.x;
    let unit_mass = TARGETS_ADD_UP_TO_ONE && !has(HAS_CLASS_WEIGHTS);
    let row_mass = select(totals.y, 1.0, unit_mass);
    if (coefficient != 0.0) {
        row_loss = row_loss + coefficient * normalizer * normalizer;
    }
    if (WANT_LOSS && inside && at.lane == 0u) {
        let value = nan_where(statistics.undefined, scale * row_loss);
        losses[parameters.losses_base + at.row] = select(0.0, value, counts);
    }

    // 1 - p of an element that dominates its row, without the cancellation.
    let others = statistics.rest * statistics.inverse.high;
    let undefined = statistics.undefined || is_nan(row_mass);
    for (var i = at.lane; i < width; i = i + LANES) {
        let d = math_difference(argument_at(row, i), statistics.maximum);
        let p = softmax_of(d, statistics);
        if (WANT_Y) {
            let value = select(p, opaque(d.high - log_sum) + d.low, Y_IS_LOG);
            y[parameters.y_base + row + i] = nan_where(statistics.undefined, value);
        }
        if (WANT_DZ) {
            let t = target_at(at.row, i);
            var error = select(p * row_mass - t, (row_mass - t) - row_mass * others, p > 0.5);
            if (coefficient != 0.0) {
                error = error + 2.0 * coefficient * normalizer * p;
            }
            let slope = nan_where(undefined, scale * error);
            dz[parameters.dz_base + row + i] = select(0.0, slope, counts);
        }
    }
}
